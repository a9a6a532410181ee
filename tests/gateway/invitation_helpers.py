"""A gateway without network: drivers that record and fail on demand, guests that record what they are told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.accountsource import AccountSource
from gateway.config.load import loads
from gateway.config.settings import Config
from gateway.config.users import Subscriber
from gateway.delivery.base import DeliveryDriver, DeliveryOrder
from gateway.drivers import DriverError
from gateway.invitations import Invitations
from gateway.provisioning.base import CoreAccount
from gateway.relations import Relation
from gateway.secrets import Sealer
from gateway.services import Inviter
from gateway.storage.sqlite import SqliteStore
from gateway.storage.store import Store
from gateway.users.base import UserAnswer, UsersDriver
from gateway.users.local import LocalUsers
from translators.identifiers import Identifier

CONFIG = """
[core]
domain = "cc.com"
[accounts]
naming = "identifier"
[policy]
max_per_minute = 0
resend_pause = 0
[provisioning.retry]
first = 0.01
longest = 0.02
deadline = 60
[delivery.retry]
first = 0.01
longest = 0.02
deadline = 60
"""

ALICE = Inviter("a", "sip:a@cc.com", ("sip:a@cc.com", "tel:+15550100"), "Alice", "active", 5)
CAROL = Inviter("c", "sip:c@cc.com", ("sip:c@cc.com",), "Carol", "active", 5)


class Faults:
    """Calls by name, and the errors that the next ones raise."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.errors: dict[str, list[DriverError]] = {}
        self.hook: Callable[[str], None] | None = None

    def fail(self, name: str, *, temporary: bool = True, times: int = 1) -> None:
        """Let the next calls fail."""
        self.errors.setdefault(name, []).extend([DriverError(f"{name} fails", temporary=temporary)] * times)

    def happen(self, name: str, *arguments: str) -> None:
        """Note a call; raise if it is to fail."""
        if self.hook is not None:
            self.hook(name)
        self.calls.append((name, *arguments))
        if self.errors.get(name):
            raise self.errors[name].pop(0)

    def names(self) -> list[str]:
        """Return the names of the calls in their order."""
        return [call[0] for call in self.calls]


class Core:
    """Provisioning and interaction driver in one; ``accounts`` and ``registered`` are what the network knows."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.accounts: dict[str, str] = {}
        self.registered: set[tuple[str, str]] = set()
        self.others: set[str] = set()

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        return uri in self.others or uri in self.accounts

    async def provision(self, account: CoreAccount) -> None:
        self.faults.happen("provision", account.uri)
        self.accounts[account.uri] = account.ha1(account.impi, account.realm, "MD5")

    async def deprovision(self, account: CoreAccount) -> None:
        self.faults.happen("deprovision", account.uri)
        self.accounts.pop(account.uri, None)

    async def register(self, uri: str, kind: str) -> None:
        self.faults.happen("register", uri, kind)
        self.registered.add((uri, kind))

    async def deregister(self, uri: str, kind: str) -> None:
        self.faults.happen("deregister", uri, kind)
        self.registered.discard((uri, kind))

    async def close(self) -> None:
        pass


class Mailbox:
    """Delivery driver that keeps what it is given."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.orders: list[DeliveryOrder] = []

    async def send(self, order: DeliveryOrder) -> tuple[str, ...]:
        self.faults.happen("send", order.address)
        self.orders.append(order)
        return ()

    async def close(self) -> None:
        pass

    @property
    def secret(self) -> str:
        """Login secret of the newest mail."""
        return self.orders[-1].link.partition("passwd=")[2]


class Users(LocalUsers):
    """Local users that may fail, be slow, or not know."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(
            [
                Subscriber(uid="a", password="pa", identities=("sip:a@cc.com", "tel:+15550100"), name="Alice"),
                Subscriber(uid="s", password="ps", identities=("sip:s@cc.com",), emails=("sub@cc.com",)),
            ]
        )
        self.faults = faults
        self.known = True
        self.changed: dict[str, str | None] = {}
        """States that differ from the table's; None: no subscriber any more."""
        self.delay = 0.0

    async def lookup(self, identifier: Identifier) -> UserAnswer:
        await asyncio.sleep(self.delay)
        self.faults.happen("lookup", identifier.value)
        return await super().lookup(identifier) if self.known else UserAnswer("unknown")

    async def states(self, uids: Sequence[str]) -> Mapping[str, str]:
        self.faults.happen("states", *uids)
        states = {**await super().states(uids), **self.changed}
        return {uid: state for uid in uids if (state := states.get(uid)) is not None}


class Guests:
    """Records what flow 1 tells flow 2."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def relation_changed(self, account: str, relation: Relation) -> None:
        self.told.append(("changed", account, relation.uid))

    def secret_ended(self, account: str, invitation_id: int) -> None:
        self.told.append(("secret", account))

    async def relation_ended(self, account: str, uid: str, reason: str) -> None:
        self.told.append(("relation", account, uid, reason))

    async def account_ended(self, account: str, reason: str) -> None:
        self.told.append(("account", account, reason))


class House:
    """Invitations with all that they need; ``restart`` makes a new process of it."""

    def __init__(self, folder: Path, text: str = CONFIG, **overrides: Any) -> None:
        self.folder = folder
        self.text = text
        self.overrides = {key.replace("__", "."): value for key, value in overrides.items()}
        self.faults = Faults()
        self.core = Core(self.faults)
        self.mailbox = Mailbox(self.faults)
        self.users = Users(self.faults)
        self.driver: UsersDriver = self.users
        self.source: Callable[[Store], AccountSource] | None = None
        """Makes who names accounts instead of the gateway."""
        self.guests = Guests()
        self.channels: dict[str, DeliveryDriver] = {}
        """Those besides the mailbox."""
        self.ahead = 0.0
        self.store: SqliteStore
        self.invitations: Invitations

    def clock(self) -> float:
        """Return wall time, which tests may set forward."""
        return time.time() + self.ahead

    @property
    def config(self) -> Config:
        return loads(self.text, folder=str(self.folder), overrides=self.overrides)

    async def start(self) -> House:
        """Open store and invitations."""
        config = self.config
        self.store = SqliteStore(config.database)
        await self.store.open()
        self.invitations = Invitations(
            config,
            self.store,
            Sealer.from_file(config.key_file),
            users=self.driver,
            provisioning=self.core,
            interaction=self.core,
            delivery={"email": self.mailbox, **self.channels},
            guests=self.guests,
            source=self.source(self.store) if self.source is not None else None,
            clock=self.clock,
        )
        await self.invitations.start()
        return self

    async def stop(self) -> None:
        """Close both."""
        await self.invitations.close()
        await self.store.close()

    async def restart(self) -> None:
        """Stop, and start again on the same files."""
        await self.stop()
        await self.start()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; fails after five seconds."""
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.005)

    async def gone(self) -> None:
        """Wait until no account is left."""
        async with asyncio.timeout(5):
            while await self.store.accounts():
                await asyncio.sleep(0.005)
