"""What operators do with accounts from the command line, whether a gateway runs on the store or not.

Looking is done in the store itself. What changes accounts is done by the gateway that runs, by an order in the store;
where none runs, by one that is started for it and serves nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from gateway.app import Gateway, endpoint_config
from gateway.audit import Auditor, Comparison, Finding
from gateway.config.settings import Config
from gateway.interaction.drivers import interaction_driver
from gateway.lifecycle import core_account
from gateway.numbers import read_identifier
from gateway.orders import LOOK_INTERVAL
from gateway.provisioning.drivers import provisioning_driver
from gateway.secrets import Sealer
from gateway.storage.accountstore import AccountRecord
from gateway.storage.errors import StoreError
from gateway.storage.historystore import Happened, Order, OrderKind
from gateway.storage.invitationstore import Invited
from gateway.storage.sqlite import SqliteStore
from gateway.storelock import StoreInUse
from sipstack.net.endpoint import Endpoint
from sipstack.sip.uri import Uri
from translators.identifiers import identity

ANSWER_WITHIN = 30.0
"""Seconds that a running gateway may take for an order."""


class NoSuchAccount(Exception):
    """Nobody has this name."""


@dataclass(frozen=True, slots=True)
class Known:
    """An account with all that the store knows of it."""

    account: AccountRecord
    invitations: tuple[Invited, ...]

    @property
    def state(self) -> str:
        """Return the state that says most: ``active``, else ``preparing``, else ``ending``, else ``idle``."""
        states = {item.invitation.state for item in self.invitations}
        return next((state for state in ("active", "preparing", "ending") if state in states), "idle")


class Accounts:
    """The accounts in one store."""

    def __init__(self, config: Config, store: SqliteStore, sealer: Sealer) -> None:
        self._config = config
        self._store = store
        self._sealer = sealer

    async def everything(self, uid: str = "") -> list[Known]:
        """Return all accounts, or those that an inviter has invited, oldest first."""
        invitations: dict[int, list[Invited]] = {}
        for item in await self._store.invitations():
            invitations.setdefault(item.account.id, []).append(item)
        known = [Known(item, tuple(invitations.get(item.id, ()))) for item in await self._store.accounts()]
        return [item for item in known if not uid or any(one.invitation.uid == uid for one in item.invitations)]

    async def find(self, name: str) -> Known:
        """Return the account with a SIP URI, or of an e-mail address or a number. Raises NoSuchAccount."""
        wanted = set(self._names(name))
        for item in await self._store.accounts():
            if wanted & {item.uri, item.identifier, identity(item.uri)}:
                return Known(item, tuple(await self._store.invitations(account_id=item.id)))
        raise NoSuchAccount(f"There is no account of {name}.")

    async def registrations(self, account: AccountRecord) -> dict[str, bool]:
        """Return interaction type → done."""
        return await self._store.registrations(account.id)

    async def history(self, name: str, limit: int) -> list[Happened]:
        """Return the newest steps about an account, a person or an inviter, or about all; also of who is gone."""
        names = self._names(name) if name else []
        return await self._store.history([*names, *map(self._sealer.person, names)], limit)

    def _names(self, name: str) -> list[str]:
        """Return the ways in which the store may know what somebody has typed."""
        parsed = read_identifier(name, self._config.gateway.region)
        names = [name, identity(name)]
        if parsed is not None:
            names += [parsed.value, parsed.key]
        return list(dict.fromkeys(names))

    async def audit(self, *, fix: bool) -> tuple[Comparison, Sequence[Finding]]:
        """Compare the store with core and interaction servers; return what differs, and what is left of that.

        Raises DriverError, StoreError and what drivers raise that can't be made.
        """
        config = self._config
        async with AsyncExitStack() as stack:
            provisioning = provisioning_driver(config, self._sealer, self._store)
            stack.push_async_callback(provisioning.close)
            # an endpoint that is not started: what speaks SIP can't tell what it knows anyway
            unused = Endpoint(endpoint_config(config))
            interaction = interaction_driver(config, unused, Uri.parse(f"sip:rcsgw@{config.core.domain}"))
            stack.push_async_callback(interaction.close)
            auditor = Auditor(self._store, config, provisioning, interaction, partial(core_account, self._sealer))
            comparison = await auditor.compare()
            left = await auditor.fix(comparison.findings) if fix else comparison.findings
            return comparison, left


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Accounts]:
    """Open the store that a configuration names. Raises StoreError, also where there is none yet."""
    if not config.database.exists():
        raise StoreError(f"{config.database}: there is no store; has the gateway ever run with this configuration?")
    store = SqliteStore(config.database, synchronous=config.storage.synchronous)
    await store.open()
    try:
        yield Accounts(config, store, Sealer.from_file(config.key_file))
    finally:
        await store.close()


async def carry_out(config: Config, kind: OrderKind, account: str, uid: str = "") -> str:
    """Revoke or purge an account; return in a sentence what came of it. Raises StoreError and what a start raises."""
    try:
        async with Gateway(config, serving=False) as gateway:
            return await gateway.invitations.orders.carry_out(Order(0, kind, account, uid, None))
    except StoreInUse:
        return await _order(config, kind, account, uid)


async def _order(config: Config, kind: OrderKind, account: str, uid: str) -> str:
    """Have the gateway do it that runs on the store."""
    store = SqliteStore(config.database, synchronous=config.storage.synchronous)
    await store.open()
    try:
        number = await store.place_order(kind, account, uid)
        result = None
        try:
            deadline = time.monotonic() + ANSWER_WITHIN
            while result is None and time.monotonic() < deadline:
                await asyncio.sleep(LOOK_INTERVAL / 4)
                result = await store.take_result(number)
        finally:  # also by Ctrl-C: what nobody waits for any more must not be done at some later time
            result = result or await store.take_result(number, withdraw=True)
        if result is None:
            raise StoreError(f"The gateway that uses {config.database} did not do it within {ANSWER_WITHIN:.0f} s.")
        return result
    finally:
        await store.close()
