"""Octets on their way to the disk: queued on the loop, written and hashed by a thread."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.files.spool import Spool

BATCH = 1 << 20
"""Octets that a thread writes before it reports; one system call each."""

MAX_PIECES = 256
"""Pieces of one batch: below what ``writev`` takes anywhere (IOV_MAX)."""

READ_BACK = 1 << 20
"""Octets read at once where a hash has to be made of what lies on the disk."""


class Digests(NamedTuple):
    """A whole file, as it lies on the disk."""

    size: int
    sha1: str
    """In hex."""
    sha256: str


class SpoolWriter:
    """Writes one file. Octets may come in any order and twice; those that came last count.

    Hashes are made along the way as long as octets come in order, else of the file at the end. All methods are called
    on the loop.
    """

    __slots__ = (
        "_busy",
        "_descriptor",
        "_hashed",
        "_idle",
        "_loop",
        "_path",
        "_queue",
        "_sha1",
        "_sha256",
        "_spool",
        "_start",
        "failure",
        "prefix",
        "written",
    )

    def __init__(self, spool: Spool, path: Path, start: int) -> None:
        self.prefix = start
        """Octets from the beginning of the file without a gap, the queued ones included."""
        self.written = start
        """The same without the queued ones, as long as octets come in order."""
        self.failure: OSError | None = None
        """Why nothing can be written any more."""
        self._spool = spool
        self._path = path
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[int, bytes]] = deque()
        self._busy = False
        self._idle: asyncio.Future[None] | None = None
        # the thread's, while it is busy
        self._descriptor = -1
        self._hashed = 0
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def write(self, start: int, data: bytes) -> None:
        """Queue octets for a position, counted from 0. Raises OSError when earlier ones could not be written."""
        if self.failure is not None:
            raise self.failure
        self._queue.append((start, data))
        self._spool.queued(len(data))
        if start <= self.prefix:
            self.prefix = max(self.prefix, start + len(data))
        self._work()

    async def flush(self) -> None:
        """Wait until all that was given is written and would survive a power cut. Raises OSError."""
        await self._settled()
        await self._spool.run(self._sync)

    async def finish(self) -> Digests:
        """Write what waits, make it durable, close the file; return what it is. Raises OSError."""
        await self._settled()
        return await self._spool.run(self._finish)

    async def close(self) -> None:
        """Write what waits and close the file: it can be gone on with. What cannot be written is passed over."""
        while self._busy:
            await self._wait()
        await self._spool.run(self._close)

    async def _settled(self) -> None:
        while self._busy:
            await self._wait()
        if self.failure is not None:
            raise self.failure

    async def _wait(self) -> None:
        if self._idle is None:
            self._idle = self._loop.create_future()
        await asyncio.shield(self._idle)

    def _work(self) -> None:
        if not self._busy:
            self._busy = True
            self._spool.submit(self._drain)

    # back on the loop

    def _wrote(self, octets: int) -> None:
        self.written += octets
        self._spool.written(octets)

    def _drained(self, failure: OSError | None) -> None:
        self._busy = False
        if failure is not None:
            self.failure = self.failure or failure
            self._spool.written(sum(len(data) for _, data in self._queue))
            self._queue.clear()
        if self._queue:
            self._work()
        elif self._idle is not None:
            idle, self._idle = self._idle, None
            idle.set_result(None)

    # in a thread

    def _drain(self) -> None:
        failure = None
        try:
            while self._queue:
                octets, error = self._write_batch()
                self._loop.call_soon_threadsafe(self._wrote, octets)
                if error is not None:
                    failure = error
                    break
            self._loop.call_soon_threadsafe(self._drained, failure)
        except RuntimeError:
            pass  # the loop is closed: nobody is left to be told

    def _write_batch(self) -> tuple[int, OSError | None]:
        """Write pieces that lie one behind the other; return how many octets they had, and what went wrong."""
        start, data = self._queue.popleft()
        pieces, end = [data], start + len(data)
        while self._queue and self._queue[0][0] == end and end - start < BATCH and len(pieces) < MAX_PIECES:
            data = self._queue.popleft()[1]
            pieces.append(data)
            end += len(data)
        try:
            _write_all(self._open(), pieces, start)
        except OSError as error:
            return end - start, error
        for data in pieces:
            self._hash(start, data)
            start += len(data)
        return sum(map(len, pieces)), None

    def _open(self) -> int:
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._descriptor, self._start)
        return self._descriptor

    def _hash(self, start: int, data: bytes) -> None:
        if start == self._hashed:
            self._sha1.update(data)
            self._sha256.update(data)
            self._hashed += len(data)
        elif start < self._hashed:
            # written over: what was hashed there counts no more
            self._hashed = 0
            self._sha1 = hashlib.sha1(usedforsecurity=False)
            self._sha256 = hashlib.sha256()

    def _sync(self) -> None:
        os.fdatasync(self._open())

    def _finish(self) -> Digests:
        descriptor = self._open()
        size = os.fstat(descriptor).st_size
        while self._hashed < size:
            data = os.pread(descriptor, READ_BACK, self._hashed)
            if not data:
                break
            self._hash(self._hashed, data)
        os.fsync(descriptor)
        _sync_folder(self._path.parent)
        self._close()
        return Digests(size, self._sha1.hexdigest(), self._sha256.hexdigest())

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._start = os.fstat(descriptor).st_size
            os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file as durable as its octets."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, pieces: list[bytes], start: int) -> None:
    """Write pieces one behind the other from ``start`` on; the disk may take less than all at once."""
    total = sum(map(len, pieces))
    written = os.pwritev(descriptor, pieces, start)
    if written < total:
        rest = memoryview(b"".join(pieces))
        while written < total:
            written += os.pwrite(descriptor, rest[written:], start + written)
