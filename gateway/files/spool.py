"""The folder with the octets of files: who may put how much there, and the threads that touch the disk.

Every file lies under its id, its thumbnail beside it. Disks block, so nothing here is done on the event loop but
counting.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from gateway.files.reading import SpoolReader, SpoolSource
from gateway.files.writing import SpoolWriter

THREADS = 4
"""Threads for the disk: a slow one, in which a write hangs for a second, holds up no other transfer at once."""

HIGH_WATER = 4 << 20
"""Octets that wait for the disk above which those who bring more are asked to stop."""

LOW_WATER = 1 << 20
"""Octets below which they may go on."""

THUMBNAIL = ".thumbnail"
"""Ending of the file with the thumbnail."""

P = ParamSpec("P")
T = TypeVar("T")


class SpoolFull(Exception):
    """The spool, or the part of it that a guest may have, is full."""


class Spool:
    """One folder. ``max_bytes`` octets is what all files in it may have together."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.used = 0
        """Octets that are there or promised to a file that comes in."""
        self._reserved: dict[str, int] = {}
        self._threads = ThreadPoolExecutor(THREADS, "spool")
        self._queued = 0
        self._room: asyncio.Future[None] | None = None
        """What those wait for who bring more, while too much waits for the disk."""
        self._listeners: set[Callable[[bool], None]] = set()

    # life

    async def open(self, known: Mapping[str, int]) -> set[str]:
        """Make the folder; delete what is no file of ``known`` (id → octets); return the ids that are there.

        Raises OSError.
        """
        found = await self.run(self._tidy, known.keys())
        for id in found:
            self._reserved[id] = known[id]
        self.used = sum(self._reserved.values())
        return found

    def _tidy(self, known: Collection[str]) -> set[str]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = set()
        for item in os.scandir(self.folder):
            id = item.name.removesuffix(THUMBNAIL)
            if id not in known:
                os.unlink(item.path)
            elif id == item.name:
                found.add(id)
        return found

    async def close(self) -> None:
        """Finish what the threads do."""
        await asyncio.to_thread(self._threads.shutdown)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that touches the disk, in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))

    def submit(self, function: Callable[[], None]) -> None:
        """Let a thread call a function that reports for itself."""
        self._threads.submit(function)

    # how much

    def reserve(self, id: str, octets: int) -> None:
        """Promise so many octets to a file; what it had before counts no more. Raises :class:`SpoolFull`."""
        used = self.used - self._reserved.get(id, 0) + octets
        if used > self.max_bytes:
            raise SpoolFull(f"The spool holds {self.max_bytes} octets at most.")
        self.used = used
        self._reserved[id] = octets

    def held(self, id: str) -> int:
        """Return how many octets a file has, or is promised."""
        return self._reserved.get(id, 0)

    def release(self, id: str) -> None:
        """Take back what was promised to a file."""
        self.used -= self._reserved.pop(id, 0)

    # files

    def path(self, id: str) -> Path:
        """Return where a file lies."""
        return self.folder / id

    def writer(self, id: str, start: int = 0) -> SpoolWriter:
        """Return what writes a file from octet ``start`` on; what lies behind it is cut off."""
        return SpoolWriter(self, self.path(id), start)

    def source(self, id: str, size: int, on_ready: Callable[[], None]) -> SpoolSource:
        """Return a file as the source of an MSRP message; ``on_ready`` is called when octets are there again."""
        return SpoolSource(self, self.path(id), size, on_ready)

    async def reader(self, id: str) -> SpoolReader:
        """Open a file for reading. Raises FileNotFoundError."""
        return await SpoolReader.open(self, self.path(id))

    async def size(self, id: str) -> int:
        """Return how many octets of a file are there, 0 when there is none."""

        def size() -> int:
            try:
                return self.path(id).stat().st_size
            except FileNotFoundError:
                return 0

        return await self.run(size)

    async def delete(self, *ids: str) -> None:
        """Delete files and thumbnails; nothing happens for those that are not there."""
        for id in ids:
            self.release(id)
        await self.run(self._unlink, ids)

    def _unlink(self, ids: tuple[str, ...]) -> None:
        for id in ids:
            self.path(id).unlink(missing_ok=True)
            self.path(id + THUMBNAIL).unlink(missing_ok=True)

    async def link(self, id: str, other: str) -> bool:
        """Give the octets of ``id`` a second name, so that each can be deleted for itself; False if they are gone."""
        return await self.run(self._link, id, other)

    def _link(self, id: str, other: str) -> bool:
        for ending in ("", THUMBNAIL):
            try:
                os.link(self.path(id + ending), self.path(other + ending))
            except FileExistsError:
                pass
            except FileNotFoundError:
                if not ending:
                    return False
        return True

    async def put_thumbnail(self, id: str, data: bytes) -> None:
        """Keep a thumbnail. Raises OSError."""
        await self.run(self.path(id + THUMBNAIL).write_bytes, data)

    async def thumbnail(self, id: str) -> bytes:
        """Return a thumbnail. Raises FileNotFoundError."""
        return await self.run(self.path(id + THUMBNAIL).read_bytes)

    # what waits for the disk; SpoolWriter calls these on the loop

    @property
    def is_pressed(self) -> bool:
        """Tell whether so much waits for the disk that nobody should bring more."""
        return self._room is not None

    def queued(self, octets: int) -> None:
        """Count what has been given to a writer."""
        self._queued += octets
        if self._room is None and self._queued > HIGH_WATER:
            self._room = asyncio.get_running_loop().create_future()
            self._tell(True)

    def written(self, octets: int) -> None:
        """Count what has left the queues."""
        self._queued -= octets
        if self._room is not None and self._queued < LOW_WATER:
            room, self._room = self._room, None
            room.set_result(None)
            self._tell(False)

    def _tell(self, pressed: bool) -> None:
        for listener in list(self._listeners):
            listener(pressed)

    def watch(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Call ``listener`` with True when whoever brings more is to stop, with False when to go on.

        Return the call that ends this.
        """
        self._listeners.add(listener)
        if self.is_pressed:
            listener(True)
        return lambda: self._listeners.discard(listener)

    async def room(self) -> None:
        """Wait until more may be brought."""
        while self._room is not None:
            await asyncio.shield(self._room)


def is_full(error: OSError) -> bool:
    """Tell whether the disk is full, for what is answered then."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
