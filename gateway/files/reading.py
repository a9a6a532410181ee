"""Octets on their way from the disk: read by a thread, ahead of who needs them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.files.spool import Spool

WINDOW = 256 << 10
"""Octets that are read at once; a source holds two of these, the one that is being sent and the next one."""

PIECE = 128 << 10
"""Octets of one write to an HTTP client."""


class SpoolSource:
    """A file as the source of an MSRP message (:class:`sipstack.msrp.stream.Source`), with one window read ahead.

    Closed by :meth:`close`; what is read after that is an error.
    """

    __slots__ = ("_closed", "_failure", "_loop", "_on_ready", "_path", "_reading", "_spool", "_windows", "size")

    def __init__(self, spool: Spool, path: Path, size: int, on_ready: Callable[[], None]) -> None:
        self.size = size
        self._spool = spool
        self._path = path
        self._on_ready = on_ready
        self._loop = asyncio.get_running_loop()
        self._windows: dict[int, memoryview] = {}
        self._reading: int | None = None
        self._failure: OSError | None = None
        self._closed = False

    def read(self, start: int, limit: int) -> memoryview | None:
        """Return octets from ``start`` on, None when they have to be read first. Raises OSError."""
        if self._failure is not None:
            raise self._failure
        window = start - start % WINDOW
        held = self._windows.get(window)
        following = window + WINDOW
        if held is None:
            self._windows.clear()
            self._fetch(window)
            return None
        if following < self.size and following not in self._windows:
            self._windows = {window: held}
            self._fetch(following)
        octets = held[start - window : start - window + limit]
        if len(octets) < min(limit, 2048) and start + len(octets) < self.size:
            # the end of a window: the next one begins where this chunk would become shorter than it may be
            rest = self._windows.get(following)
            if rest is None:
                return None
            return memoryview(bytes(octets) + bytes(rest[: limit - len(octets)]))
        return octets

    def close(self) -> None:
        """Let go of what was read."""
        self._closed = True
        self._windows.clear()
        self._failure = self._failure or OSError("the source is closed")

    def _fetch(self, window: int) -> None:
        if self._reading is None:
            self._reading = window
            self._spool.submit(self._read)

    def _read(self) -> None:
        assert self._reading is not None
        data, failure = b"", None
        wanted = min(WINDOW, self.size - self._reading)
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(descriptor, wanted, self._reading)
            finally:
                os.close(descriptor)
            if len(data) < wanted:
                failure = OSError("the file in the spool is shorter than it should be")
        except OSError as error:
            failure = error
        try:
            self._loop.call_soon_threadsafe(self._fetched, data, failure)
        except RuntimeError:
            pass  # the loop is closed: nobody is left to be told

    def _fetched(self, data: bytes, failure: OSError | None) -> None:
        window, self._reading = self._reading, None
        if self._closed or window is None:
            return
        if failure is not None:
            self._failure = failure
        else:
            self._windows[window] = memoryview(data)
        self._on_ready()


class SpoolReader:
    """A file, or the part of it that is there, for an HTTP client."""

    __slots__ = ("_descriptor", "_spool", "modified", "size")

    def __init__(self, spool: Spool, descriptor: int, size: int, modified: float) -> None:
        self.size = size
        self.modified = modified
        """Unix seconds."""
        self._spool = spool
        self._descriptor = descriptor

    @classmethod
    async def open(cls, spool: Spool, path: Path) -> SpoolReader:
        """Open a file. Raises FileNotFoundError."""

        def opened() -> tuple[int, os.stat_result]:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return descriptor, os.fstat(descriptor)

        descriptor, stat = await spool.run(opened)
        return cls(spool, descriptor, stat.st_size, stat.st_mtime)

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the octets from ``start`` to ``end``, fewer where the file ends. Raises OSError."""
        while start < end:
            data = await self._spool.run(os.pread, self._descriptor, min(PIECE, end - start), start)
            if not data:
                return
            start += len(data)
            yield data

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
