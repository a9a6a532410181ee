"""A file of an inviter on its way to the guest over MSRP: offered, taken into the spool, checked (RFC 5547)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.files.guestfile import GuestFile
from gateway.files.spool import is_full
from gateway.files.writing import SpoolWriter
from gateway.storage.errors import StoreError
from sipstack.errors import SipstackError
from sipstack.net.fileoffer import IncomingFile
from sipstack.net.filereceiver import FileReceiver
from sipstack.net.filetransfer import CANCELLED, DONE, LOCAL, MISMATCH, REFUSED, FileHandler, FileTransfer, ReceivedFile
from sipstack.sdp_file import SHA_1, FileSelector

if TYPE_CHECKING:
    from gateway.files.transfers import GuestTransfers

log = logging.getLogger("rcsgw.files")

SHA_256 = "sha-256"


class Offered:
    """A file that waits for the guest's word, while the inviter's device hears it ring."""

    __slots__ = ("_files", "_timer", "file", "offer")

    def __init__(self, files: GuestTransfers, file: GuestFile, offer: IncomingFile) -> None:
        self.file = file
        self.offer = offer
        self._files = files
        timeout = files.room.limits.answer_timeout
        self._timer = asyncio.get_running_loop().call_later(timeout, self._timed_out)
        file.mover = self
        offer.on_cancel = self._cancelled
        offer.ring()

    def taken(self) -> IncomingFile:
        """Return the offer: the guest takes it."""
        self._timer.cancel()
        self.offer.on_cancel = None
        self.file.mover = None
        return self.offer

    async def stop(self, *, cancelled: bool) -> None:
        """Decline, or say that the guest cannot be reached now."""
        self.taken()
        if cancelled:
            self.offer.refuse(603, "Declined by the guest")
        else:
            self.offer.reject(480)
            self.file.set("failed", "The guest was not there to take it.")

    def _cancelled(self, _: object) -> None:
        self.taken()
        self.file.set("cancelled", "By the other side.")

    def _timed_out(self) -> None:
        self.taken()
        self.offer.reject(480, "The guest does not answer")
        self.file.set("failed", "It was not taken in time.")


class Receiving(FileHandler):
    """Takes one file into the spool: a mover, and the sink of the transfer."""

    __slots__ = ("_files", "_finishing", "_paused", "_selector", "_transfer", "_unwatch", "_writer", "file")

    def __init__(self, files: GuestTransfers, file: GuestFile, start: int) -> None:
        """``start``: octets from the beginning that are there already."""
        self.file = file
        self._files = files
        self._writer: SpoolWriter = files.room.spool.writer(file.record.id, start)
        self._transfer: FileTransfer | None = None
        self._selector = FileSelector()
        self._paused = False
        self._unwatch: Callable[[], None] | None = None
        self._finishing = False
        file.mover = self

    def begin(self, offer: IncomingFile) -> None:
        """Answer an offer. What cannot be agreed on has been answered then, and the file has failed."""
        self._selector = offer.attributes.selector
        limit = self._files.room.limits.max_size
        try:
            self._transfer = offer.answer(self, self, limit=limit)
        except SipstackError as error:
            self.file.mover = None
            self._files.room.spawn(self._writer.close())
            if self.file.record.octets:
                self._files.broke_off(self.file, str(error))
            else:
                self.file.set("failed", f"It could not be taken: {error}")
            return
        self._unwatch = self._files.room.spool.watch(self._pressed)

    async def stop(self, *, cancelled: bool) -> None:
        """Hang up; a cancellation is told in MSRP too (413)."""
        transfer = self._let_go()
        if transfer is not None:
            if cancelled:
                transfer.cancel()
            else:
                await transfer.close()
        await self._writer.close()

    def _let_go(self) -> FileTransfer | None:
        """Take nothing more; return the transfer if it is not over."""
        if self.file.mover is self:
            self.file.mover = None
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self._pressed(False)
        transfer, self._transfer = self._transfer, None
        return transfer

    # sipstack.msrp.stream.Sink

    def write(self, start: int, data: bytes) -> None:
        """Queue octets for the disk. Raises SpoolFull's words where a file of unknown size grows too much."""
        record = self.file.record
        if record.size is None:
            self._files.grow(record.id, start + len(data))
        self._writer.write(start, data)
        if self._files.room.spool.is_pressed:
            self._paused = False  # a pause of a connection that is shared ends by itself
            self._pressed(True)

    def _pressed(self, pressed: bool) -> None:
        """Have the connection read no more while too much waits for the disk."""
        transfer = self._transfer
        if transfer is None or pressed == self._paused:
            return
        self._paused = pressed
        hub = transfer.agent.endpoint.hub
        if pressed:
            # Chats behind a relay share its connection. They wait too, for the memory is shared as well.
            _ = hub.pause(transfer.msrp) or hub.pause(transfer.msrp, is_urgent=True)
        else:
            hub.resume(transfer.msrp)

    # sipstack.net.filetransfer.FileHandler

    def file_progress(self, transfer: FileTransfer, octets: int) -> None:
        """Tell the guest, and see to it now and then that what came would survive a restart."""
        self._files.touch()
        if self.file.progressed(self._writer.prefix):
            self._files.room.spawn(self._checkpoint())

    async def _checkpoint(self) -> None:
        try:
            await self._writer.flush()
        except OSError as error:
            log.error("%r cannot be written: %s", self.file, error)
        else:
            self.file.save()

    def file_received(self, transfer: FileTransfer, file: ReceivedFile) -> None:
        """Check it; the answer follows the disk and the store."""
        self._finishing = True
        self._files.room.spawn(self._finish(file))

    async def _finish(self, received: ReceivedFile) -> None:
        try:
            refusal = await self._keep(received.size)
        except OSError as error:
            log.error("%r cannot be written: %s", self.file, error)
            refusal = (413 if is_full(error) else 408), "Not stored"
        except StoreError as error:
            log.error("%r: %s", self.file, error)
            refusal = 408, "Not stored"
        transfer = self._let_go()
        if refusal is None:
            received.accept()
            self.file.tell()
            self._files.received(self.file, transfer.wrapper if isinstance(transfer, FileReceiver) else None)
        else:
            received.reject(*refusal)
            self.file.set("failed", refusal[1])

    async def _keep(self, size: int) -> tuple[int, str] | None:
        """Make the file durable and check it (D-FTM-12); return what to refuse it with, None when it is right."""
        record = self.file.record
        digests = await self._writer.finish()
        wrong = self._mismatch(size, digests.size, {SHA_1: digests.sha1, SHA_256: digests.sha256})
        if wrong is not None:
            return 400, wrong
        record.size, record.sha1, record.sha256 = digests
        record.octets = digests.size
        self.file.note("ready")
        if not await self._files.room.store.update_file(record):
            return 403, "The invitation is over"
        return None

    def _mismatch(self, size: int, written: int, hashes: dict[str, str]) -> str | None:
        if written != size:
            return f"The file has {written} octets instead of {size}"
        for algorithm, digest in self._selector.hashes.items():
            if hashes.get(algorithm, digest.hex()) != digest.hex():
                return f"The {algorithm} hash of the file is another one than was announced"
        return None

    def file_ended(self, transfer: FileTransfer, reason: str, error: Exception | None) -> None:
        """Note how it ended; what broke off is kept, as it may be gone on with."""
        if self._finishing or reason in (DONE, LOCAL) or self.file.mover is not self:
            return
        self._let_go()
        self._files.room.spawn(self._left(reason, error))

    async def _left(self, reason: str, error: Exception | None) -> None:
        await self._writer.close()
        file = self.file
        file.record.octets = self._writer.prefix
        if reason in (MISMATCH, REFUSED):
            file.set("failed", str(error))
        elif reason == CANCELLED:
            file.set("cancelled", "By the other side.")
        else:
            file.save()
            self._files.broke_off(file, reason)
