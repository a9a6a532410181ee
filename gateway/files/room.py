"""What the files of all guests share: the store, the spool, the limits, and the clock that ends them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config.settings import FilesSection
from gateway.files.spool import Spool, SpoolFull
from gateway.files.webclient import WebClient
from gateway.fileservices import FileTooLarge, FileTypeRefused
from gateway.peers import reachable_servers
from gateway.services import Unavailable
from gateway.storage.errors import StoreError
from gateway.storage.filestore import NOBODY, FileRecord, FileStore
from translators.files import is_listed

if TYPE_CHECKING:
    from gateway.files.contentserver import ContentServer
    from gateway.files.guestfiles import GuestFiles

log = logging.getLogger("rcsgw.files")

SWEEP = 60.0
"""Seconds between two looks for files whose time is over, at most: wall clocks are set now and then."""

STORE_PAUSE = 2.0
"""Seconds to wait when the store cannot be read."""


class FileRoom:
    """All files. ``clock`` returns Unix seconds."""

    def __init__(
        self, store: FileStore, section: FilesSection, folder: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.store = store
        self.limits = section
        self.spool = Spool(folder, section.max_spool)
        self.clock = clock
        content = section.content
        networks = content.allowed_networks
        self.web = WebClient(reachable_servers(networks, content.allowed_ports), content)
        """For files that lie elsewhere."""
        self.server: ContentServer | None = None
        """The gateway as content server, where it is one."""
        self.guests: dict[int, GuestFiles] = {}
        """Account id → the files of a guest who is logged in."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._next_end = float("inf")
        self._sooner = asyncio.Event()

    # life

    async def start(self) -> None:
        """Open the spool, drop what belongs to no file, end what is over. Raises OSError, StoreError."""
        records = await self.store.all_files()
        await self.spool.open({record.id: record.size or record.octets for record in records})
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        """Finish what is being written."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.gather(*self._tasks, *filter(None, [self._sweeper]), return_exceptions=True)
        await self.web.close()
        await self.spool.close()

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run something beside the caller; it is awaited at the end."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # what may come in

    def check(self, content_type: str, size: int | None) -> None:
        """Raise FileTypeRefused or FileTooLarge for a file that may not pass."""
        limits = self.limits
        if not is_listed(content_type, limits.allow) or is_listed(content_type, limits.deny):
            raise FileTypeRefused(f"Files of type {content_type} are not allowed here.")
        if size is not None and size > limits.max_size:
            raise FileTooLarge(f"The file has {size} octets; the limit files.max_size is {limits.max_size}.")

    def check_thumbnail(self, content_type: str, size: int) -> None:
        """Raise FileTypeRefused or FileTooLarge for a thumbnail that may not pass."""
        if not content_type.startswith("image/"):
            raise FileTypeRefused("A thumbnail is an image.")
        limit = self.limits.thumbnail_max_size
        if size > limit:
            raise FileTooLarge(f"The thumbnail has {size} octets; the limit files.thumbnail_max_size is {limit}.")

    def reserve(self, id: str, octets: int) -> None:
        """Promise octets of the spool to a file. Raises Unavailable when it is full."""
        try:
            self.spool.reserve(id, octets)
        except SpoolFull:
            raise Unavailable("No room is left for files.", retry_after=60) from None

    # records

    def save(self, record: FileRecord) -> None:
        """Write what has changed of a record, beside the caller."""
        self.spawn(self._save(replace(record)))

    async def _save(self, record: FileRecord) -> None:
        try:
            _ = await self.store.update_file(record)
        except StoreError as error:
            log.error("file %s: its state %s is not stored: %s", record.id, record.state, error)

    # ends

    async def relation_ended(self, account_id: int, uid: str | None) -> None:
        """Delete the octets of all files of a relation, or of an account, and tell the guest if they are there."""
        guest = self.guests.get(account_id)
        if guest is not None:
            await guest.end(uid)
        records = await self.store.files(account_id, uid)
        await self.delete_octets([record.id for record in records])

    async def delete_octets(self, ids: list[str]) -> None:
        """Delete files of the spool; what cannot be deleted is left for the next start."""
        try:
            await self.spool.delete(*ids)
        except OSError as error:
            log.error("files are left in the spool: %s", error)

    def discard(self, *ids: str) -> None:
        """Delete octets beside the caller; they count no more from now on."""
        for id in ids:
            self.spool.release(id)
        self.spawn(self.delete_octets(list(ids)))

    def forget(self, id: str) -> None:
        """Delete a file and all that is known of it, beside the caller."""
        self.discard(id)
        self.spawn(self._delete(id))

    async def _delete(self, id: str) -> None:
        try:
            await self.store.delete_files([id])
        except StoreError as error:
            log.error("file %s is left in the store: %s", id, error)

    def ends_at(self, until: float) -> None:
        """See to it that a file ends at this wall time."""
        if until < self._next_end:
            self._next_end = until
            self._sooner.set()

    async def _sweep(self) -> None:
        while True:
            self._sooner.clear()
            try:
                for record in await self.store.files_over(self.clock()):
                    await self._expire(record)
                self._next_end = await self.store.next_file_end() or float("inf")
            except StoreError as error:
                log.warning("which files are over cannot be read: %s", error)
                self._next_end = self.clock() + STORE_PAUSE
            delay = min(max(self._next_end - self.clock(), 0.0), SWEEP)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._sooner.wait()

    async def _expire(self, record: FileRecord) -> None:
        guest = self.guests.get(record.account_id)
        if guest is None:
            await self.delete_octets([record.id])
            if record.account_id == NOBODY:
                await self.store.delete_files([record.id])
                return
            _ = await self.store.update_file(replace(record, state="expired"))
            guest = self.guests.get(record.account_id)  # who may have logged in meanwhile
        if guest is not None:
            await guest.expire(record.id)
