"""Accounts made beforehand, for cores that nobody may write to: taken from a file, leased, returned, rested.

What is leased and what rests stands in the store, so that it survives a crash; the file is read again when it has
changed. An account that was returned rests, so that what is still sent to its last guest reaches no other.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.accountsource import SourcedAccount
from gateway.drivers import DriverError
from gateway.provisioning.base import Audit, CoreAccount
from gateway.provisioning.poolfile import PoolError, read_pool
from gateway.services import Inviter, NoAccountLeft
from gateway.storage.leasestore import Lease, LeaseStore
from translators.identifiers import Identifier

log = logging.getLogger("rcsgw.pool")

ORIGIN = "pool"


class PoolProvisioning:
    """:class:`gateway.provisioning.base.ProvisioningDriver` with nothing to do, and the
    :class:`gateway.accountsource.AccountSource` that takes its place."""

    def __init__(
        self, path: Path, store: LeaseStore, *, realm: str, quarantine: float, clock: Callable[[], float] = time.time
    ) -> None:
        """``realm`` is that of accounts whose line names none; ``quarantine`` the seconds that an account rests.

        Raises DriverError when the file cannot be used.
        """
        self._path = path
        self._store = store
        self._realm = realm
        self._quarantine = quarantine
        self._clock = clock
        self._lock = asyncio.Lock()
        self._stamp = _stamp(path)
        try:
            self._accounts = read_pool(path, realm)
        except PoolError as error:
            raise DriverError(str(error), temporary=False) from error
        if path.stat().st_mode & 0o077:
            log.warning("%s: others may read it, though its lines are secrets; its mode should be 0600", path)
        self._leases: dict[str, Lease] | None = None
        """SIP URI → lease, out or resting; None until the store has been asked."""
        self._people: dict[tuple[str, str], str] = {}
        """Kind and identifier → the account that is out for them."""
        self._fresh: deque[str] = deque()
        """Never given to anybody, in the order of the file."""
        self._resting: list[tuple[float, str]] = []
        """A heap of when a returned account is free, and its URI."""

    # gateway.provisioning.base.ProvisioningDriver: the core knows these accounts

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        """Know of no other accounts."""
        return False

    async def provision(self, account: CoreAccount) -> None:
        """Lease an account that is in use and was taken back all the same; whoever made it has made it known.

        Raises DriverError for one that the file has no more.
        """
        async with self._lock:
            leases = await self._current()
            if account.uri not in self._accounts:
                text = f"{account.uri} is not in {self._path} any more: put it back, or end the account"
                raise DriverError(text, temporary=False)
            lease = Lease(account.uri, ORIGIN, "", "")  # whose it is stands in the store
            await self._store.put_lease(lease)
            leases[account.uri] = lease
            self._index()

    async def deprovision(self, account: CoreAccount) -> None:
        """Do nothing; :meth:`release` takes accounts back."""

    async def close(self) -> None:
        """Hold nothing."""

    # gateway.accountsource.AccountSource

    async def allocate(self, identifier: Identifier, inviter: Inviter, types: Sequence[str]) -> SourcedAccount:
        """Lease an account: one that nobody ever had, else the one that has been free the longest."""
        person = identifier.kind.value, identifier.key
        async with self._lock:
            await self._current()
            uri = self._people.get(person, "")
            if uri not in self._accounts:
                uri = await self._free()
            # also where it is theirs already: an audit in another process may have taken it back
            lease = Lease(uri, ORIGIN, *person)
            try:
                await self._store.put_lease(lease)
            except BaseException:
                self._index()  # it is still free
                raise
            (await self._current())[uri] = lease
            self._people[person] = uri
        return self._accounts[uri]

    async def _free(self) -> str:
        """Take a free account; what others have returned to the store is looked for when there is none."""
        try:
            return self._next_free()
        except NoAccountLeft:
            self._leases = None
            await self._current()
            return self._next_free()

    async def release(self, uri: str) -> None:
        """Let an account rest. Whose it was is forgotten at once."""
        async with self._lock:
            leases = await self._current()
            lease = leases.get(uri)
            if lease is None or lease.free_at is not None:
                return
            resting = Lease(uri, ORIGIN, "", "", free_at=self._clock() + self._quarantine)
            await self._store.put_lease(resting)
            leases[uri] = resting
            self._people.pop((lease.identifier_kind, lease.identifier), None)
            heapq.heappush(self._resting, (resting.free_at or 0.0, uri))

    # gateway.provisioning.base.DryRun

    async def rehearse(self, account: CoreAccount) -> list[str]:
        """Tell which account would be taken; the core is not touched in any case."""
        async with self._lock:
            leases = await self._current()
            out = sum(lease.free_at is None for lease in leases.values())
            line = f"pool {self._path}: {len(self._accounts)} accounts, {out} out, {len(leases) - out} returned"
            try:
                uri = self._next_free()
            except NoAccountLeft as error:
                return [line, str(error)]
            self._index()
        return [line, f"the next guest gets {uri}; it rests {self._quarantine:g} s after its return"]

    # gateway.provisioning.base.Auditable

    async def audit(self, accounts: Sequence[CoreAccount]) -> Audit:
        """Compare with leases and file: what is out and nobody's is an orphan; what is not in the file is missing, and
        so is what is in use without being out."""
        async with self._lock:
            leases = await self._current()
            wanted = {account.uri for account in accounts}
            out = {uri for uri, lease in leases.items() if lease.free_at is None}
            return Audit(tuple(sorted(wanted - (out & set(self._accounts)))), tuple(sorted(out - wanted)))

    async def remove(self, name: str) -> None:
        """Take an account back."""
        await self.release(name)

    # the file and the store

    async def _current(self) -> dict[str, Lease]:
        """Return the leases; read the store the first time, and the file when it has changed."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._accounts = await asyncio.to_thread(read_pool, self._path, self._realm)
                log.info("%s: read again, %d accounts", self._path, len(self._accounts))
            except PoolError as error:
                log.error("%s; the accounts that were read before stay in use", error)
            else:
                self._index()
        if self._leases is None:
            self._leases = {lease.key: lease for lease in await self._store.leases(ORIGIN)}
            self._index()
        return self._leases

    def _index(self) -> None:
        """Find out what is free and what rests."""
        leases = self._leases or {}
        self._fresh = deque(uri for uri in self._accounts if uri not in leases)
        self._resting = [
            (lease.free_at, uri) for uri, lease in leases.items() if lease.free_at is not None and uri in self._accounts
        ]
        heapq.heapify(self._resting)
        self._people = {
            (lease.identifier_kind, lease.identifier): uri for uri, lease in leases.items() if lease.free_at is None
        }

    def _next_free(self) -> str:
        """Take a free account. Raises NoAccountLeft."""
        if self._fresh:
            return self._fresh.popleft()
        while self._resting and self._resting[0][1] not in self._accounts:
            heapq.heappop(self._resting)
        now = self._clock()
        if self._resting and self._resting[0][0] <= now:
            return heapq.heappop(self._resting)[1]
        wait = max(1, round(self._resting[0][0] - now)) if self._resting else None
        raise NoAccountLeft("All accounts of the pool are in use or resting.", retry_after=wait)


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file does; zeros when it is not there."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_mtime_ns, status.st_size
