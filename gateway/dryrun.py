"""What an invitation would do at the core and at interaction servers, said instead of done."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.accountsource import AccountSource
from gateway.app import endpoint_config
from gateway.config.settings import Config, split_host_port
from gateway.interaction.base import DryRun as InteractionDryRun
from gateway.interaction.drivers import interaction_driver
from gateway.interaction.none import NoInteraction
from gateway.naming import account_name, private_identity
from gateway.numbers import read_identifier
from gateway.provisioning.base import CoreAccount, DryRun, ProvisioningDriver
from gateway.provisioning.drivers import provisioning_driver
from gateway.provisioning.none import NoProvisioning
from gateway.secrets import KEY_BYTES, KEY_ID_BYTES, Sealer
from gateway.storage.leasestore import Lease
from sipstack.net.endpoint import Endpoint
from sipstack.sip.uri import Uri
from translators.identifiers import Kind

MASK = "***"
"""What stands for secrets."""

NOTHING = ["nothing to do"]
CANNOT_TELL = ["the driver cannot say what it would do"]


async def dry_run(config: Config, identifier: str) -> list[str]:
    """Return the lines. Raises ValueError for no identifier, DriverError when the core cannot be looked at."""
    parsed = read_identifier(identifier, config.gateway.region)
    if parsed is None or parsed.kind is Kind.SIP:
        raise ValueError(f"{identifier} is neither an e-mail address nor a number")
    uri = account_name(config, parsed, 0, 1)
    impi, realm = private_identity(config, uri)
    account = CoreAccount(uri, impi, realm, lambda *_: MASK, lambda: MASK)
    async with _provisioning(config) as driver:
        lines = await _first(config, driver, account)
    return lines + await _second(config, uri)


@contextlib.asynccontextmanager
async def _provisioning(config: Config) -> AsyncIterator[ProvisioningDriver]:
    driver = provisioning_driver(config, _sealer(config), LeasesOnDisk(config.database))
    try:
        yield driver
    finally:
        await driver.close()


async def _first(config: Config, driver: ProvisioningDriver, account: CoreAccount) -> list[str]:
    """Return what the first registration would do, and undo."""
    title = f"first registration ({config.provisioning.driver}), then its end:"
    if config.users.driver == "http" and config.users.http.allocate:
        return [title, "  nothing to do: the UP Center names the accounts, and makes them known everywhere"]
    lines = CANNOT_TELL
    if isinstance(driver, NoProvisioning):
        lines = NOTHING
    elif isinstance(driver, DryRun):
        lines = await driver.rehearse(account)
    if isinstance(driver, AccountSource):
        return [title, *_indented(lines)]
    taken = await driver.taken(account.uri, account.impi, account.realm)
    name = f"account {account.uri}, private identity {account.impi}, realm {account.realm}"
    free = "somebody has this name: another would be tried" if taken else "the name is free"
    return [f"{name}: {free}", title, *_indented(lines)]


async def _second(config: Config, uri: str) -> list[str]:
    """Return what the second registration would do, and undo, for every type on offer."""
    if config.users.driver == "http" and config.users.http.allocate:
        return []
    host, port = split_host_port(config.sip.advertise or config.sip.bind)
    contact = Uri("sip", None, None, f"[{host}]" if ":" in host else host, port)
    driver = interaction_driver(config, Endpoint(endpoint_config(config)), contact)
    try:
        lines = []
        for kind in config.policy.types:
            rehearsed = CANNOT_TELL
            if isinstance(driver, NoInteraction):
                rehearsed = NOTHING
            elif isinstance(driver, InteractionDryRun):
                rehearsed = await driver.rehearse(uri, kind)
            title = f"second registration ({config.interaction.driver}) for {kind}, then its end:"
            lines += [title, *_indented(rehearsed)]
        return lines
    finally:
        await driver.close()


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _sealer(config: Config) -> Sealer:
    """Return the gateway's keys; where there are none yet, some that are forgotten: only marks depend on them."""
    if config.key_file.is_file():
        return Sealer.from_file(config.key_file)
    return Sealer({os.urandom(KEY_ID_BYTES): os.urandom(KEY_BYTES)})


class LeasesOnDisk:
    """The leases in a store, :class:`gateway.storage.leasestore.LeaseStore` for those who try things out: they see
    what is there, and what they take and return is forgotten."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def leases(self, origin: str) -> list[Lease]:
        """Return all of an origin; none where there is no store yet, or one of an older version."""
        if not self._path.is_file():
            return []
        query = "SELECT key, origin, identifier_kind, identifier, request, free_at FROM lease WHERE origin = ?"
        # a file that nobody has open is read as it is: SQLite would make two more beside it otherwise
        idle = not self._path.with_name(f"{self._path.name}-wal").exists()
        uri = f"{self._path.absolute().as_uri()}?mode=ro{'&immutable=1' if idle else ''}"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            try:
                rows: list[Any] = connection.execute(query, (origin,)).fetchall()
            except sqlite3.OperationalError:
                return []
        return [Lease(*row) for row in rows]

    async def put_lease(self, lease: Lease) -> None:
        """Write nothing."""

    async def drop_lease(self, key: str, origin: str) -> None:
        """Write nothing."""
