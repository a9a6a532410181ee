"""A guest's file on its way to the inviter over MSRP: offered, sent, and gone on with when it breaks off (RFC 5547)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.backoff import pause
from gateway.files.guestfile import GuestFile
from gateway.files.reading import SpoolSource
from gateway.services import Ended, ServiceError
from gateway.upstream import from_exception
from sipstack.errors import ConnectionClosed, RequestFailed, SipstackError, TransactionTimeout
from sipstack.net import fileoffer
from sipstack.net.filesender import FileSender
from sipstack.net.filetransfer import CANCELLED, DONE, LOCAL, REFUSED, UNREADABLE, FileHandler, FileTransfer
from sipstack.sdp_file import ATTACHMENT, RENDER, SHA_1, FileAttributes, FileSelector
from sipstack.sip.uri import Uri
from translators.files import is_listed
from translators.model import FileState, SipCause

if TYPE_CHECKING:
    from gateway.files.transfers import GuestTransfers
    from gateway.relations import Relation

log = logging.getLogger("rcsgw.files")

SHOWN = ("image/*", "audio/*", "video/*")
"""Media types that the inviter's device may show at once (``render``); the others are attachments."""

TEMPORARY = frozenset({408, 430, 480, 486, 487, 491, 500, 502, 503, 504, 600})
"""Answers to an offer after which a later one may be taken: away, busy, a network that fails."""

DECLINED = frozenset({603, 607, 608})

NO_RANGE = frozenset({400, 415, 488, 606})
"""Answers of a device that does not know how to go on in the middle of a file."""


class Broken(Exception):
    """The transfer has broken off and can be gone on with. ``retry_after`` is in seconds."""

    def __init__(self, why: str, retry_after: int | None = None, cause: SipCause | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        self.cause = cause


class Over(Exception):
    """The transfer is over, with this state."""

    def __init__(self, state: FileState, why: str, cause: SipCause | None = None, status: int = 0) -> None:
        super().__init__(why)
        self.state: FileState = state
        self.cause = cause
        self.status = status
        """SIP status that refused the offer, 0 where none did."""


class Attempt(FileHandler):
    """One transfer, from the answer to the offer to its end."""

    __slots__ = ("_file", "ended")

    def __init__(self, file: GuestFile) -> None:
        self._file = file
        self.ended: asyncio.Future[tuple[str, Exception | None]] = asyncio.get_running_loop().create_future()

    def file_progress(self, transfer: FileTransfer, octets: int) -> None:
        """Tell the guest, now and then; what a restart goes on from is what the other side surely has."""
        if self._file.progressed(octets):
            self._file.guest.room.save(replace(self._file.record, octets=transfer.resumable))

    def file_ended(self, transfer: FileTransfer, reason: str, error: Exception | None) -> None:
        """Let whoever waits go on."""
        if not self.ended.done():
            self.ended.set_result((reason, error))


class Sending:
    """Brings one file to its inviter: a mover with a task of its own, which lives as long as it takes."""

    __slots__ = ("_files", "_task", "_transfer", "file")

    def __init__(self, files: GuestTransfers, file: GuestFile) -> None:
        self.file = file
        self._files = files
        self._transfer: FileTransfer | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())
        file.mover = self

    async def stop(self, *, cancelled: bool) -> None:
        """Hang up; the other side hears of a cancellation in MSRP and SIP."""
        transfer, self._transfer = self._transfer, None
        if transfer is not None and cancelled:
            transfer.cancel()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if transfer is not None and not cancelled:
            await transfer.close()
            self.file.save()

    async def _run(self) -> None:
        try:
            await self._try_until_over()
        except Over as over:
            self._files.sending_over(self.file, over)
        except ServiceError as error:
            self.file.set("failed", str(error), error.sip)
        except Exception:
            log.exception("%r could not be sent", self.file)
            self.file.set("failed", "Internal error.")
        finally:
            if self.file.mover is self:
                self.file.mover = None

    async def _try_until_over(self) -> None:
        """Offer it again and again, from where the other side has it, as long as that makes sense."""
        loop = asyncio.get_running_loop()
        retry, record = self._files.room.limits.retry, self.file.record
        failures, since = 0, loop.time()
        await self._files.choose_way(self.file)
        while True:
            before = record.octets
            try:
                async with self._files.slots:
                    await self._attempt()
            except Broken as broken:
                if record.octets > before:
                    failures, since = 0, loop.time()
                failures += 1
                if loop.time() - since >= retry.deadline:
                    raise Over("failed", f"Given up: {broken}", broken.cause) from None
                log.info("%r: %s, tried again", self.file, broken)
                await asyncio.sleep(max(pause(failures, retry), broken.retry_after or 0))
            except Over as over:
                if not await self._files.other_way(self.file, over):
                    raise

    async def _attempt(self) -> None:
        """Bring the file or its rest to the inviter. Raises Over or Broken."""
        await self._files.guest.prepare("file")
        if self.file.record.way == "http":
            await self._files.send_link(self.file)
        else:
            await self._send()

    async def _send(self) -> None:
        """Offer and send it over MSRP."""
        relation = self._relation()
        record = self.file.record
        assert record.size is not None
        attempt = Attempt(self.file)
        transfer: FileSender | None = None

        def ready() -> None:
            if transfer is not None:
                transfer.source_ready()

        source = self._files.room.spool.source(record.id, record.size, ready)
        try:
            transfer = self._transfer = await self._offer(relation, source, attempt)
            record.message_id = transfer.message_id
            reason, error = await self._outcome(transfer, attempt)
        finally:
            source.close()
            self._transfer = None
            if transfer is not None:
                # behind a relay it may be less than what was acknowledged hop by hop
                record.octets = transfer.resumable
        self._judge(reason, error)

    async def _outcome(self, transfer: FileTransfer, attempt: Attempt) -> tuple[str, Exception | None]:
        """Wait for the end; a transfer that stands still for too long is given up, and tried again."""
        stall, octets = self._files.room.limits.stall_timeout, -1
        while True:
            done, _ = await asyncio.wait({attempt.ended}, timeout=stall)
            if done:
                return attempt.ended.result()
            if transfer.transferred == octets:
                await transfer.close()
                raise Broken("the transfer stood still")
            octets = transfer.transferred

    async def _offer(self, relation: Relation, source: SpoolSource, attempt: Attempt) -> FileSender:
        record, room = self.file.record, self._files.room
        # an empty file has no octet to begin behind
        start = min(record.octets + 1, max(record.size or 1, 1))
        try:
            return await self._files.guest.agent.send_file(
                Uri.parse(relation.sip),
                self._attributes(),
                source,
                attempt,
                icon=await self._icon() if start == 1 else None,
                start=start,
                notify=True,
                timeout=room.limits.answer_timeout,
            )
        except RequestFailed as error:
            raise self._refusal(error, start) from error
        except TransactionTimeout as error:
            raise Over("failed", "The other side did not take it in time.", from_exception(error).sip) from error
        except (ConnectionClosed, OSError) as error:
            raise Broken(str(error), cause=from_exception(error).sip) from error
        except SipstackError as error:
            raise Over("failed", str(error), from_exception(error).sip) from error

    def _refusal(self, error: RequestFailed, start: int) -> Exception:
        """Return what a refused offer means."""
        refusal = from_exception(error)
        status = error.response.status
        if status in DECLINED:
            return Over("declined", "The other side declined it.", refusal.sip, status)
        if start > 1 and status in NO_RANGE:
            self.file.record.octets = 0
            return Broken("the other side does not go on in the middle", cause=refusal.sip)
        if status in TEMPORARY:
            return Broken(refusal.detail, refusal.retry_after, refusal.sip)
        return Over("failed", refusal.detail, refusal.sip, status)

    def _attributes(self) -> FileAttributes:
        record = self.file.record
        selector = FileSelector(
            record.name, record.content_type, record.size, {SHA_1: bytes.fromhex(record.sha1)} if record.sha1 else {}
        )
        return FileAttributes(selector, disposition=RENDER if is_listed(record.content_type, SHOWN) else ATTACHMENT)

    async def _icon(self) -> fileoffer.Icon | None:
        record = self.file.record
        if not record.thumbnail:
            return None
        try:
            icon = await self._files.room.spool.thumbnail(record.id)
        except OSError:
            return None
        return (record.thumbnail, icon) if len(icon) <= fileoffer.MAX_ICON else None

    def _relation(self) -> Relation:
        relation = self._files.guest.relations.get(self.file.record.uid)
        if relation is None or relation.is_over:
            raise Ended("The invitation is over.")
        return relation

    def _judge(self, reason: str, error: Exception | None) -> None:
        """Raise what the end of a transfer means for the file."""
        record = self.file.record
        if reason == DONE:
            record.octets = record.size or 0
            raise Over("sent", "")
        if reason == LOCAL:
            raise Over("cancelled", "By the guest.")
        if reason == UNREADABLE:
            raise Over("failed", f"The file could not be read: {error}")
        if reason == REFUSED:
            raise Over("failed", f"Refused: {error}")
        if reason == CANCELLED:
            raise Over("cancelled", "By the other side.")
        raise Broken(f"the transfer broke off ({reason})")
