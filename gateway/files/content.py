"""Files as HTTP clients get them: :class:`gateway.fileservices.Content`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from gateway.files.reading import SpoolReader
from gateway.files.spool import Spool
from gateway.fileservices import FileGone
from gateway.storage.filestore import FileRecord


class SpoolContent:
    """A file that is whole in the spool. ``on_taken`` is called when a client has got its end."""

    __slots__ = ("_on_taken", "_reader", "content_type", "etag", "modified", "name", "size")

    def __init__(self, record: FileRecord, reader: SpoolReader, on_taken: Callable[[], None] | None) -> None:
        self.name = record.name
        self.content_type = record.content_type
        self.size = reader.size
        self.etag = f'"{record.sha256 or record.id}"'
        self.modified = reader.modified
        self._reader = reader
        self._on_taken = on_taken

    @classmethod
    async def open(cls, spool: Spool, record: FileRecord, on_taken: Callable[[], None] | None = None) -> SpoolContent:
        """Open a file of the spool. Raises FileGone when it is not there any more."""
        try:
            return cls(record, await spool.reader(record.id), on_taken)
        except FileNotFoundError:
            raise FileGone("The octets of this file are not kept any more.") from None

    def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield octets."""
        return self._reader.read(start, end)

    async def taken(self) -> None:
        """Note that a client has got the end of the file."""
        if self._on_taken is not None:
            self._on_taken()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class ThumbnailContent:
    """A thumbnail, small enough to be in memory."""

    __slots__ = ("_data", "content_type", "etag", "modified", "name", "size")

    def __init__(self, record: FileRecord, data: bytes) -> None:
        self.name = record.name
        self.content_type = record.thumbnail
        self.size = len(data)
        self.etag = f'"{record.id}-thumbnail"'
        self.modified = record.created
        self._data = data

    @classmethod
    async def open(cls, spool: Spool, record: FileRecord) -> ThumbnailContent:
        """Read a thumbnail. Raises FileGone when there is none."""
        if record.thumbnail:
            try:
                return cls(record, await spool.thumbnail(record.id))
            except FileNotFoundError:
                pass
        raise FileGone("This file has no thumbnail.")

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield octets."""
        yield self._data[start:end]

    async def taken(self) -> None:
        """Mean nothing: a thumbnail is no file."""

    def close(self) -> None:
        """Hold nothing."""
