"""A file that an inviter's device sends to our content server."""

from __future__ import annotations

from dataclasses import replace

from gateway.files.room import FileRoom
from gateway.files.upload import not_written
from gateway.fileservices import FileTooLarge
from gateway.refusals import refusals
from gateway.services import Conflict
from gateway.storage.filestore import FileRecord
from translators.files import media_type
from translators.model import FileView, format_time


class InviterUpload:
    """:class:`gateway.fileservices.Upload` into the spool, for nobody yet."""

    __slots__ = ("_running", "_room", "_writer", "record")

    def __init__(self, room: FileRoom, record: FileRecord, start: int, running: dict[str, InviterUpload]) -> None:
        """``running`` are the uploads, this one among them, by id: it takes itself out."""
        self.record = record
        self._room = room
        self._running = running
        self._writer = room.spool.writer(record.id, start)

    @property
    def id(self) -> str:
        """Id of the file."""
        return self.record.id

    async def write(self, data: bytes) -> None:
        """Take the next octets."""
        self._check_current()
        record, room = self.record, self._room
        position = self._writer.prefix + len(data)
        if position > (room.limits.max_size if record.size is None else record.size):
            raise FileTooLarge(f"The file has more octets than it may; the limit is {room.limits.max_size}.")
        if record.size is None:
            room.reserve(self.id, position)
        try:
            self._writer.write(self._writer.prefix, data)
        except OSError as error:
            raise not_written(error) from error
        record.octets = position
        if room.spool.is_pressed:
            await room.spool.room()

    async def thumbnail(self, content_type: str, data: bytes) -> None:
        """Keep a thumbnail."""
        self._check_current()
        bare = media_type("Thumbnail", content_type)
        self._room.check_thumbnail(bare, len(data))
        try:
            await self._room.spool.put_thumbnail(self.id, data)
        except OSError as error:
            raise not_written(error) from error
        self.record.thumbnail = bare

    async def finish(self) -> FileView:
        """Make it durable; it is ready when no octet is missing."""
        self._check_current()
        record = self.record
        if record.size is not None and self._writer.prefix < record.size:
            await self.leave()
            return self._view()
        try:
            digests = await self._writer.finish()
        except OSError as error:
            raise not_written(error) from error
        record.size, record.sha1, record.sha256 = digests
        record.octets, record.state = digests.size, "ready"
        self._running.pop(self.id, None)
        with refusals():
            _ = await self._room.store.update_file(replace(record))
        return self._view()

    async def leave(self) -> None:
        """Keep what came."""
        if self._running.get(self.id) is not self:
            return
        del self._running[self.id]
        await self._writer.close()
        self.record.octets = self._writer.prefix
        with refusals():
            _ = await self._room.store.update_file(replace(self.record))

    def _check_current(self) -> None:
        if self._running.get(self.id) is not self:
            raise Conflict("Another upload of this file has begun.")

    def _view(self) -> FileView:
        record = self.record
        return FileView(
            id=record.id,
            from_=record.uid,
            to="",
            direction="in",
            name=record.name,
            content_type=record.content_type,
            octets=record.octets,
            state="ready" if record.state == "ready" else "uploading",
            at=format_time(record.created),
            until=format_time(record.until),
            size=record.size,
        )
