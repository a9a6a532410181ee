"""Accounts that others name: asked for, sealed, given back; and what a crash in between leaves is given back too.

A request is written down before it is made. When the process dies before the account is in the store, the next start
makes the same request again, which brings the same account (an :class:`~gateway.accountsource.AccountSource` promises
that), and returns it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from gateway.accountsource import AccountSource, SourcedAccount
from gateway.config.settings import Config
from gateway.drivers import DriverError
from gateway.provisioning.base import ProvisioningDriver
from gateway.secrets import Sealer
from gateway.services import Inviter, ServiceError
from gateway.storage.accountstore import NewAccount
from gateway.storage.errors import StoreError
from gateway.storage.leasestore import Lease
from gateway.storage.store import Store
from gateway.users.base import UsersDriver
from sipstack import ids
from sipstack.errors import ParseError
from sipstack.sip.uri import Uri
from translators.identifiers import Identifier, Kind

log = logging.getLogger("rcsgw.invitations")

REQUEST = "request"
"""Origin of the leases that are requests."""


RECOVER_INTERVAL = 60.0
"""Seconds after which what was not given back is tried again."""


def account_source(config: Config, users: UsersDriver, provisioning: ProvisioningDriver) -> AccountSource | None:
    """Return the driver that names accounts in the gateway's stead; None where the gateway does that itself."""
    if isinstance(provisioning, AccountSource):
        return provisioning
    allocates = config.users.driver != "http" or config.users.http.allocate
    return users if allocates and isinstance(users, AccountSource) else None


class _Request(msgspec.Struct, frozen=True):
    """What is needed to ask again."""

    value: str
    inviter: Inviter
    types: tuple[str, ...]


class Sourcing:
    """The gateway's side of an :class:`~gateway.accountsource.AccountSource`."""

    def __init__(self, source: AccountSource, store: Store, sealer: Sealer) -> None:
        self._source = source
        self._store = store
        self._sealer = sealer

    async def allocate(self, identifier: Identifier, inviter: Inviter, types: Sequence[str]) -> NewAccount:
        """Ask for an account and return it as the store takes it. :meth:`settle` or :meth:`undo` have to follow.

        Raises what the source raises, DriverError also for an account of no use.
        """
        request = _Request(identifier.value, inviter, tuple(types))
        body = msgspec.json.encode(request).decode()
        await self._store.put_lease(Lease(_key(identifier), REQUEST, identifier.kind.value, identifier.key, body))
        try:
            account = await self._source.allocate(identifier, inviter, types)
        except (DriverError, ServiceError) as error:
            if isinstance(error, ServiceError) or not error.temporary:
                await self.settle(identifier)  # nothing came of it; otherwise nobody knows
            raise
        try:
            _check(account)
        except DriverError:
            await self.undo(identifier, account.uri)
            raise
        return NewAccount(
            uri=account.uri,
            impi=account.impi,
            realm=account.realm,
            identifier_kind=identifier.kind.value,
            identifier=identifier.key,
            sealed_secret=self._sealed(account),
            contact_token=ids.contact_token(),
            instance_id=ids.instance_id(),
            origin=account.origin,
        )

    async def settle(self, identifier: Identifier) -> None:
        """Note that the account is in the store, or that there is none."""
        await self._store.drop_lease(_key(identifier), REQUEST)

    async def undo(self, identifier: Identifier, uri: str) -> None:
        """Give back an account that nothing came of; what fails now is done by the next start."""
        try:
            await self._source.release(uri)
        except DriverError as error:
            log.warning("%s: not given back yet: %s", uri, error)
            return
        await self.settle(identifier)

    async def release(self, uri: str) -> None:
        """Give back an account that has ended. Raises DriverError."""
        await self._source.release(uri)

    async def recover(self, lock: Callable[[str, str], asyncio.Lock]) -> None:
        """Give back what was asked for and not written down: before a crash, or because no answer came in time.

        ``lock`` returns the lock of a person, kind and identifier: nothing is given back that is just being taken.
        """
        for lease in await self._store.leases(REQUEST):
            async with lock(lease.identifier_kind, lease.identifier):
                if lease in await self._store.leases(REQUEST):
                    await self._give_back(lease)

    async def run(self, lock: Callable[[str, str], asyncio.Lock]) -> None:
        """Do so now and every minute, until cancelled."""
        while True:
            try:
                await self.recover(lock)
            except StoreError as error:
                log.error("the store: %s", error)
            await asyncio.sleep(RECOVER_INTERVAL)

    async def _give_back(self, lease: Lease) -> None:
        request = msgspec.json.decode(lease.request, type=_Request)
        identifier = Identifier(Kind(lease.identifier_kind), request.value)
        if await self._store.account_by_identifier(lease.identifier_kind, lease.identifier) is not None:
            await self.settle(identifier)
            return
        try:
            account = await self._source.allocate(identifier, request.inviter, request.types)
        except (DriverError, ServiceError) as error:
            log.warning("what was asked for on behalf of %s is not given back yet: %s", request.inviter.uid, error)
            return
        await self.undo(identifier, account.uri)

    def _sealed(self, account: SourcedAccount) -> bytes:
        return seal_credentials(self._sealer, account)


def seal_credentials(sealer: Sealer, account: SourcedAccount) -> bytes:
    """Return what is kept of an account's credentials, of whatever kind they are."""
    if account.sim is not None:
        return sealer.seal_sim(account.sim, account.uri)
    if account.secret:
        return sealer.seal(account.secret, account.uri)
    return sealer.seal_hashes(account.ha1, account.uri, account.impi, account.realm)


def _key(identifier: Identifier) -> str:
    return f"{identifier.kind.value}:{identifier.key}"


def _check(account: SourcedAccount) -> None:
    """Refuse an account that could not be used: it would fail later, and less clearly."""
    try:
        uri = Uri.parse(account.uri)
    except ParseError as error:
        raise DriverError(f"The account that was allocated has no SIP URI: {error}", temporary=False) from error
    if not uri.is_sip or not uri.user:
        raise DriverError(f"The account that was allocated has no SIP URI: {account.uri}", temporary=False)
    if not account.impi or not account.realm or not (account.secret or account.ha1 or account.sim):
        raise DriverError(f"{account.uri} was allocated without credentials.", temporary=False)
