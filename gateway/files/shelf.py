"""The files of one guest: which there are, how much of the spool they may have, how they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.files.guestfile import LOST, GuestFile
from gateway.fileservices import FileTooLarge
from gateway.refusals import refusals
from gateway.services import NotFound
from gateway.storage.filestore import FileRecord

if TYPE_CHECKING:
    from gateway.files.room import FileRoom
    from gateway.guest import GuestSession


class Shelf:
    """Files by id, oldest first."""

    __slots__ = ("_files", "guest", "room")

    def __init__(self, room: FileRoom, guest: GuestSession, records: Sequence[FileRecord]) -> None:
        self.room = room
        self.guest = guest
        self._files = {record.id: GuestFile(self, record) for record in records}

    # what the files themselves need

    @property
    def account(self) -> str:
        """SIP URI of the guest."""
        return self.guest.account

    def address_of(self, uid: str) -> str:
        """Return the SIP URI of an inviter."""
        relation = self.guest.relations.get(uid)
        return relation.sip if relation is not None else uid

    def announce(self, uid: str, body: str) -> None:
        """Make an event."""
        self.guest.feed.announce("file", uid, body)

    # which there are

    def all(self) -> list[GuestFile]:
        """Return the files, oldest first."""
        return list(self._files.values())

    def get(self, id: str) -> GuestFile | None:
        """Return a file if there is one of this id."""
        return self._files.get(id)

    def find(self, id: str) -> GuestFile:
        """Return a file. Raises NotFound."""
        file = self._files.get(id)
        if file is None:
            raise NotFound("You have no such file.")
        return file

    @property
    def is_busy(self) -> bool:
        """Tell whether octets are on their way."""
        return any(file.mover is not None for file in self._files.values())

    async def add(self, record: FileRecord) -> GuestFile:
        """Keep and tell a new file. Raises FileTooLarge when the guest has too much, Unavailable when all have."""
        self._check_number()
        self.reserve(record.id, record.size or 0)
        file = self._files[record.id] = GuestFile(self, record)
        try:
            with refusals():
                await self.room.store.add_file(replace(record))
        except BaseException:
            self._files.pop(record.id, None)
            self.room.discard(record.id)
            raise
        file.tell()
        self.room.ends_at(record.until)
        return file

    def _check_number(self) -> None:
        limit = self.room.limits.guest_files
        if len(self._files) < limit:
            return
        useless = next((file for file in self._files.values() if self._is_useless(file)), None)
        if useless is None:
            raise FileTooLarge(f"The limit files.guest_files is {limit} files; delete some.")
        del self._files[useless.record.id]
        self.room.forget(useless.record.id)

    async def forget(self, file: GuestFile) -> None:
        """Delete a file and all that is known of it. Raises Unavailable."""
        self._files.pop(file.record.id, None)
        self.room.discard(file.record.id)
        with refusals():
            await self.room.store.delete_files([file.record.id])

    # how much

    def reserve(self, id: str, octets: int) -> None:
        """Promise octets of the spool to a file; what is of no use any more gives way, the oldest first.

        Raises FileTooLarge beyond what a guest may have, Unavailable when the spool is full.
        """
        limit = self.room.limits.guest_bytes
        held = {file: self.room.spool.held(file.record.id) for file in self._files.values() if file.record.id != id}
        used = sum(held.values())
        for file, size in held.items():
            if used + octets <= limit:
                break
            if size and self._is_useless(file):
                self.room.discard(file.record.id)
                used -= size
        if used + octets > limit:
            raise FileTooLarge(f"The limit files.guest_bytes is {limit} octets, of which {used} are used.")
        self.room.reserve(id, octets)

    @staticmethod
    def _is_useless(file: GuestFile) -> bool:
        """Tell whether nobody waits for these octets: the inviter has them, or will never get them."""
        record = file.record
        return record.state in LOST or (record.direction == "out" and file.is_over and record.way == "msrp")

    # how they end

    async def end(self, uid: str | None) -> None:
        """End the files of a relation, or all: the invitation is over."""
        for file in self.all():
            if uid in (None, file.record.uid):
                if file.mover is not None:
                    await file.mover.stop(cancelled=True)
                file.set("expired", "The invitation is over.")
                self._files.pop(file.record.id, None)

    async def expire(self, id: str) -> None:
        """End a file whose time is over; that it was there is still known."""
        file = self._files.get(id)
        if file is not None:
            if file.mover is not None:
                await file.mover.stop(cancelled=True)
            await self.room.delete_octets([id])
            file.set("expired", "Its time is over.")
