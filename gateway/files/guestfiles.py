"""What a guest does with files: ``gateway.fileservices.FileAccess``."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.files.content import SpoolContent, ThumbnailContent
from gateway.files.guestfile import LOST, GuestFile
from gateway.files.shelf import Shelf
from gateway.files.upload import GuestUpload
from gateway.fileservices import Content, FileGone, NewFile, RangeRefused, Upload
from gateway.refusals import refusals
from gateway.services import Conflict, Unprocessable
from gateway.storage.filestore import FileRecord
from sipstack import ids
from translators.files import safe_name
from translators.model import Files, FileView

if TYPE_CHECKING:
    from gateway.files.room import FileRoom
    from gateway.guest import GuestSession
    from gateway.relations import Relation

KEY_REUSED = "This Idempotency-Key was used for another file."


class GuestFiles(Shelf, ABC):
    """The files of a guest who is logged in, as the guest's client sees them."""

    __slots__ = ("max_thumbnail", "stall_timeout")

    def __init__(self, room: FileRoom, guest: GuestSession, records: Sequence[FileRecord]) -> None:
        super().__init__(room, guest, records)
        self.max_thumbnail = room.limits.thumbnail_max_size
        self.stall_timeout = room.limits.stall_timeout
        room.guests[guest.account_id] = self

    def touch(self) -> None:
        """Note that the guest's client was heard of."""
        self.guest.touch()

    async def close(self) -> None:
        """Stop what moves; it goes on with the guest's next session."""
        if self.room.guests.get(self.guest.account_id) is self:
            del self.room.guests[self.guest.account_id]
        for file in self.all():
            if file.mover is not None:
                await file.mover.stop(cancelled=False)

    # uploads

    async def begin(self, to: str, new: NewFile, key: str | None) -> Upload | FileView:
        """Begin a file to an inviter; a repeat with the same key goes on with it, or tells what came of it."""
        self.touch()
        relation = self.guest.relations.to(to, "file")
        id = self._id(key)
        known = self.get(id)
        if known is not None:
            return await self._again(known, relation, new)
        self.room.check(new.content_type, new.size)
        now = self.room.clock()
        record = FileRecord(
            id,
            self.guest.account_id,
            relation.uid,
            "out",
            safe_name(new.name, new.content_type),
            new.content_type,
            new.size,
            0,
            "uploading",
            now,
            min(relation.until, now + self.room.limits.ttl),
        )
        return self._upload(await self.add(record), 0)

    def _id(self, key: str | None) -> str:
        """Return an id; with a key always the same one, so that a retry finds the file after a restart too."""
        if key is None:
            return ids.token(96)
        return hashlib.sha256(f"{self.account}\0file\0{key}".encode()).hexdigest()[:24]

    async def _again(self, file: GuestFile, relation: Relation, new: NewFile) -> Upload | FileView:
        record = file.record
        same = (relation.uid, new.content_type, safe_name(new.name, new.content_type))
        if (record.uid, record.content_type, record.name) != same:
            raise Unprocessable(KEY_REUSED)
        if new.size is not None and record.size not in (None, new.size):
            raise Unprocessable(KEY_REUSED)
        return file.view() if record.state != "uploading" else await self._take_over(file, 0)

    async def resume(self, id: str, start: int, total: int | None) -> Upload:
        """Go on with an upload from octet ``start``."""
        self.touch()
        file = self.find(id)
        record = file.record
        if record.state != "uploading":
            raise Conflict(f"Nothing more is taken: the file is {record.state}.")
        if total is not None and record.size is None:
            self.room.check(record.content_type, total)
            self.reserve(id, total)
            record.size = total
        if total is not None and record.size != total:
            raise Unprocessable(f"The file was said to have {record.size} octets, not {total}.")
        if start > record.octets:
            raise RangeRefused(f"The file has {record.octets} octets so far; go on from there.", record.octets)
        return await self._take_over(file, start)

    async def _take_over(self, file: GuestFile, start: int) -> GuestUpload:
        """Go on with an upload; one that still runs is over, its connection may hang."""
        if file.mover is not None:
            await file.mover.stop(cancelled=False)
        return self._upload(file, min(start, file.record.octets))

    def _upload(self, file: GuestFile, start: int) -> GuestUpload:
        upload = GuestUpload(self, file, self.room.spool.writer(file.record.id, start))
        file.mover = upload
        file.record.octets = start
        return upload

    async def uploaded(self, file: GuestFile) -> None:
        """Send a file that is whole and durable. Raises Unavailable when that cannot be stored."""
        file.note("sending")
        file.record.octets = 0
        with refusals():
            _ = await self.room.store.update_file(replace(file.record))
        file.tell()
        self.send(file)

    @abstractmethod
    def send(self, file: GuestFile) -> None:
        """Bring a file to its inviter."""

    # what is there

    async def content(self, id: str) -> Content:
        """Open a file that an inviter sent, or one's own."""
        self.touch()
        file = self.find(id)
        state = file.record.state
        if state in LOST:
            raise FileGone(f"The file is {state}.")
        if state in ("uploading", "offered", "receiving"):
            raise Conflict("The file is not there yet.", retry_after=2)
        return await SpoolContent.open(self.room.spool, file.record, lambda: self.fetched(file))

    def fetched(self, file: GuestFile) -> None:
        """Note that the guest has got a file of an inviter."""
        if file.record.direction == "in":
            file.set("displayed")

    async def thumbnail(self, id: str) -> Content:
        """Open a thumbnail."""
        self.touch()
        return await ThumbnailContent.open(self.room.spool, self.find(id).record)

    def state(self, id: str) -> FileView:
        """Tell how far a file has come."""
        self.touch()
        return self.find(id).view()

    def list(self, peer: str | None) -> Files:
        """Return the files of one inviter or of all."""
        self.touch()
        uid = self.guest.relations.to(peer).uid if peer is not None else None
        return Files(files=[file.view() for file in self.all() if uid in (None, file.record.uid)])

    async def accept(self, id: str) -> FileView:
        """Take a file that an inviter offers."""
        self.touch()
        file = self.find(id)
        raise Conflict(f"The file is {file.record.state}: there is nothing to accept.")

    async def cancel(self, id: str) -> FileView:
        """Cancel, decline or, when it is over already, delete a file."""
        self.touch()
        file = self.find(id)
        if file.is_over:
            await self.forget(file)
            return file.view()
        declined = file.record.state == "offered"
        if file.mover is not None:
            await file.mover.stop(cancelled=True)
        file.set("declined" if declined else "cancelled", "By the guest.")
        return file.view()
