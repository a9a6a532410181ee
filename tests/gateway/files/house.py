"""A guest with files between two real endpoints: a subscriber's phone on the one side, HTTP's calls on the other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from gateway.admission import Admission
from gateway.config.settings import FilesSection
from gateway.config.types import RetrySection
from gateway.files.links import ATTACHMENTS
from gateway.files.room import FileRoom
from gateway.files.transfers import GuestTransfers
from gateway.fileservices import Content, NewFile
from gateway.guest import GuestSession
from gateway.presence import Presence
from gateway.relations import Relation
from gateway.sessions import Guests, Settings
from gateway.storage.accountstore import AccountRecord
from gateway.storage.invitationstore import Invited
from gateway.storage.sqlite import SqliteStore
from sipstack.net import notices
from sipstack.net.features import CHAT_FEATURES, FILE_FEATURES, joined
from sipstack.net.useragent import AgentHandler, UserAgent
from tests.gateway.guest_helpers import FakeLifecycle
from tests.gateway.storage.helpers import announce, new_account, new_invitation
from tests.sipstack.net.filehelpers import FilePhone
from tests.sipstack.net.helpers import REALM, World, until, world
from translators.model import Event, FileView

RCS: dict[str, Any] = {
    "accept_types": notices.ACCEPT_TYPES,
    "accept_wrapped_types": (*notices.ACCEPT_WRAPPED_TYPES, *ATTACHMENTS),
}
"""What both sides take in chats."""

ACCOUNT = f"sip:b@{REALM}"
ALICE = f"sip:a@{REALM}"


def relation(*types: str, ends_in: float = 1000.0) -> Relation:
    """Return the relation to Alice."""
    return Relation(1, "a", ALICE, "Alice", (ALICE,), types or ("im", "file"), time.time() + ends_in)


class Lifecycle(FakeLifecycle):
    """Flow 1, with an account that is in the store."""

    def __init__(self, record: AccountRecord, *relations: Relation) -> None:
        super().__init__(*relations)
        self.record = record

    async def check_secret(self, uri: str, secret: str, client: str) -> Admission:
        return Admission(self.record, 1, self.relations)

    async def admission(self, uri: str) -> Admission | None:
        return Admission(self.record, 0, self.relations) if self.relations else None


class FileHouse:
    """The gateway's rooms that files go through."""

    def __init__(self, around: World, folder: Path, limits: FilesSection) -> None:
        self.around = around
        self.folder = folder
        self.limits = limits
        self.phone = FilePhone()
        self.alice = around.agent(around.a, "a", self.phone, features=joined(CHAT_FEATURES, FILE_FEATURES))
        self.now = time.time()
        self.relations = [relation()]
        self.store: SqliteStore
        self.room: FileRoom
        self.guests: Guests
        self.guest: GuestSession
        self.heard: list[Event | None] = []

    async def start(self) -> None:
        """Start the gateway's part and log the guest in, as a new process does."""
        self.store = SqliteStore(self.folder / "rcsgw.db")
        await self.store.open()
        known = await self.store.accounts()
        record = known[0] if known else (await self._begin()).account
        self.room = FileRoom(self.store, self.limits, self.folder / "files", clock=lambda: self.now)
        await self.room.start()
        self.guests = Guests(self.store, Settings(), self._make_agent, Presence(60, 1), self.room)
        self.guests.lifecycle = Lifecycle(record, *self.relations)
        self.guest = await self.guests.authenticate("Basic x", ACCOUNT, "right", "127.0.0.1")
        self.guest.feed.subscribe(self.heard.append)

    async def _begin(self) -> Invited:
        new = new_account(uri=ACCOUNT)
        return (await self.store.begin_invitation(new, new_invitation(sip=ALICE), announce))[0]

    async def stop(self) -> None:
        """Stop it, as SIGTERM does."""
        await self.guests.close(5.0)
        await self.room.close()
        await self.store.close()

    def _make_agent(self, record: AccountRecord, handler: AgentHandler) -> UserAgent:
        return self.around.agent(self.around.b, "b", handler)

    @property
    def files(self) -> GuestTransfers:
        return self.guest.files

    def states(self, id: str | None = None) -> list[str]:
        """Return the states that the guest was told, each once in a row."""
        told: list[str] = []
        for event in self.heard:
            if event is not None and event.file is not None and id in (None, event.file.id):
                told += [event.file.state] if told[-1:] != [event.file.state] else []
        return told

    async def told(self, *states: str) -> None:
        """Wait until the guest has been told these states, and no others."""
        await until(lambda: len(self.states()) >= len(states))
        assert self.states() == list(states)

    def views(self) -> list[FileView]:
        """Return the files as the guest sees them."""
        return self.files.list(None).files

    async def send(self, data: bytes, *, key: str | None = None, icon: bytes = b"", **new: Any) -> FileView:
        """Send a file as an HTTP client does."""
        values: dict[str, Any] = {"name": "a b.txt", "content_type": "text/plain", "size": len(data)}
        upload = await self.files.begin("a", NewFile(**(values | new)), key)
        assert not isinstance(upload, FileView)
        for start in range(0, len(data), 65536):
            await upload.write(data[start : start + 65536])
        if icon:
            await upload.thumbnail("image/png", icon)
        return await upload.finish()

    async def state(self, id: str, state: str, timeout: float = 20.0) -> FileView:
        """Wait until a file is in a state."""
        await until(lambda: self.files.state(id).state == state, timeout)
        return self.files.state(id)

    async def only(self, state: str, timeout: float = 20.0) -> FileView:
        """Wait until there is one file, and it is in a state."""
        await until(lambda: [view.state for view in self.views()] == [state], timeout)
        return self.views()[0]


async def fetch(content: Content, start: int = 0, end: int | None = None) -> bytes:
    """Read a file as an HTTP client does."""
    try:
        data = b"".join([part async for part in content.read(start, content.size if end is None else end)])
        await content.taken()
        return data
    finally:
        content.close()


@asynccontextmanager
async def file_house(
    folder: Path, prepare: Callable[[FileHouse], None] | None = None, **limits: Any
) -> AsyncIterator[FileHouse]:
    """Run it: Alice registered, the guest logged in. ``limits`` are keys of ``[files]``."""
    retry = RetrySection(first=0.01, longest=0.05, deadline=5.0)
    section = msgspec.structs.replace(FilesSection(), **{"retry": retry, "stall_timeout": 5.0, **limits})
    async with world("tcp", a=RCS, b=RCS) as around:
        house = FileHouse(around, folder, section)
        if prepare is not None:
            prepare(house)
        await house.alice.register()
        await house.start()
        try:
            yield house
        finally:
            await house.stop()
            await house.alice.close()
