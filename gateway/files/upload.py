"""A file that a guest's client sends to us over HTTP, in one go or in several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.files.guestfile import GuestFile
from gateway.files.spool import is_full
from gateway.files.writing import SpoolWriter
from gateway.fileservices import FileTooLarge
from gateway.services import Conflict, ServiceError, Unavailable
from translators.files import media_type
from translators.model import FileView

if TYPE_CHECKING:
    from gateway.files.guestfiles import GuestFiles


class GuestUpload:
    """:class:`gateway.fileservices.Upload` into the spool; the newest one of a file counts."""

    __slots__ = ("_files", "_left", "_writer", "file")

    def __init__(self, files: GuestFiles, file: GuestFile, writer: SpoolWriter) -> None:
        self.file = file
        self._files = files
        self._writer = writer
        self._left = False

    @property
    def id(self) -> str:
        """Id of the file."""
        return self.file.record.id

    async def write(self, data: bytes) -> None:
        """Take the next octets; returns when more may come."""
        self._check_current()
        file, room = self.file, self._files.room
        position = self._writer.prefix + len(data)
        size = file.record.size
        limit = room.limits.max_size if size is None else size
        if position > limit:
            name = "the limit files.max_size is" if size is None else "it was said to have"
            raise FileTooLarge(f"The file has more octets than it may: {name} {limit}.")
        if size is None:
            self._files.reserve(self.id, position)
        try:
            self._writer.write(self._writer.prefix, data)
            if file.progressed(position):
                await self._writer.flush()
                file.save()
        except OSError as error:
            raise not_written(error) from error
        self._files.touch()
        if room.spool.is_pressed:
            await room.spool.room()

    async def thumbnail(self, content_type: str, data: bytes) -> None:
        """Keep a thumbnail."""
        self._check_current()
        record, room = self.file.record, self._files.room
        bare = media_type("thumbnail", content_type)
        room.check_thumbnail(bare, len(data))
        try:
            await room.spool.put_thumbnail(record.id, data)
        except OSError as error:
            raise not_written(error) from error
        record.thumbnail = bare

    async def finish(self) -> FileView:
        """Hash and keep it; send it on when no octet is missing."""
        self._check_current()
        record = self.file.record
        if record.size is not None and self._writer.prefix < record.size:
            await self.leave()
            return self.file.view()
        try:
            digests = await self._writer.finish()
        except OSError as error:
            raise not_written(error) from error
        self._check_current()
        self._left = True
        record.size, record.sha1, record.sha256 = digests
        await self._files.uploaded(self.file)
        return self.file.view()

    async def leave(self) -> None:
        """Keep what came, so that the client can go on from there."""
        if self._left:
            return
        self._left = True
        await self._writer.close()
        if self.file.mover is self:
            self.file.mover = None
            self.file.record.octets = self._writer.prefix
            self.file.save()

    async def stop(self, *, cancelled: bool) -> None:
        """Take no more; of what the client sends from now on it is told that nobody takes it."""
        await self.leave()
        self.file.mover = None

    def _check_current(self) -> None:
        if self.file.mover is not self:
            raise Conflict(f"The upload is over: the file is {self.file.record.state}.")


def not_written(error: OSError) -> ServiceError:
    """Return the refusal for octets that the disk did not take."""
    full = is_full(error)
    return Unavailable("The disk is full." if full else "The file could not be written.", retry_after=60)
