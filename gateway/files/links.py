"""Files as links in the chat (GSMA RCC.07, "FT over HTTP"): a guest's file to the inviter, and the other way."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING, cast

from gateway.asked import Asked
from gateway.files.contentclient import ContentClient, UploadBroken, UploadRefused
from gateway.files.guestfile import GuestFile
from gateway.files.sending import Broken, Over
from gateway.outgoing import Outgoing
from gateway.services import Conflict, ServiceError, TooLarge
from gateway.storage.entrystore import Entry
from gateway.storage.errors import StoreError
from gateway.storage.filestore import FileRecord
from sipstack import ids
from sipstack.errors import ParseError
from sipstack.im.fthttp import CONTENT_TYPE, FtHttp
from translators.files import media_type, safe_name
from translators.from_http import FieldError
from translators.model import FileState

if TYPE_CHECKING:
    from gateway.arrivals import Arrival
    from gateway.conversation import Conversation
    from gateway.files.room import FileRoom
    from gateway.files.transfers import GuestTransfers

log = logging.getLogger("rcsgw.files")

LOCATION = "application/vnd.gsma.rcspushlocation+xml"
"""A place on the map: kept as a file, for whoever understands it (D-FTH-07)."""

ATTACHMENTS = (CONTENT_TYPE, LOCATION)
"""Types of messages in a chat that are about a file."""

ANSWER_WAIT = 120.0
"""Seconds for the answer to the message that carries a link."""


class LinkMessage(Outgoing):
    """The message that carries a link; what becomes of it becomes of the file."""

    __slots__ = ("_file", "outcome")

    def __init__(self, files: GuestTransfers, file: GuestFile, document: bytes) -> None:
        record = file.record
        entry = Entry(
            record.account_id,
            0,
            "message",
            record.uid,
            record.message_id,
            "out",
            "pending",
            record.created,
            CONTENT_TYPE,
            document.decode(),
        )
        super().__init__(files.guest, entry, None)
        self.committed = True
        self.outcome: asyncio.Future[tuple[str, ServiceError | None]] = asyncio.get_running_loop().create_future()
        self._file = file

    def _note(self, state: str, error: ServiceError | None) -> None:
        """Take the state of the message as that of the file; there is no row of the conversation."""
        self.entry.state = state
        if not self.outcome.done():
            self.outcome.set_result((state, error))
        elif state in ("sent", "delivered", "displayed", "failed"):
            self._file.set(cast(FileState, state), str(error or ""))


async def send_link(files: GuestTransfers, file: GuestFile, document: bytes) -> None:
    """Send a document in the chat. Raises Over with what became of it, Broken when that is not known."""
    record = file.record
    relation = files.guest.relations.to(record.uid, "im")
    if not record.message_id:
        record.message_id = ids.message_id()
        file.save()
    message = LinkMessage(files, file, document)
    files.guest.conversation(relation).send(message)
    try:
        async with asyncio.timeout(ANSWER_WAIT):
            state, error = await message.outcome
    except TimeoutError:
        raise Broken("the message with the link was not answered") from None
    if state == "unknown":
        raise Broken("the message with the link was not answered")
    if state == "failed":
        retryable = error is not None and error.retryable
        if retryable:
            raise Broken(str(error), error.retry_after if error else None, error.sip if error else None)
        raise Over("failed", str(error or ""), error.sip if error else None)
    record.octets = record.size or 0
    raise Over(cast(FileState, state), "")


async def upload(client: ContentClient, file: GuestFile) -> bytes:
    """Bring a file to the operator's content server; return the document. Raises Over or Broken."""

    def progressed(octets: int) -> None:
        if file.progressed(octets):
            file.save()

    try:
        return await client.upload(file, progressed)
    except UploadBroken as error:
        raise Broken(str(error), error.retry_after) from error
    except UploadRefused as error:
        raise Over("failed", str(error)) from error


def is_attachment(content_type: str) -> bool:
    """Tell whether a message of a chat is about a file."""
    return content_type.partition(";")[0].strip().lower() in ATTACHMENTS


async def take(files: GuestTransfers, conversation: Conversation, message: Arrival, conversation_id: str) -> None:
    """Take a message about a file: the answer follows the commit; refused in words when the file may not pass."""
    try:
        record = _record(files, conversation, message)
        asked = Asked.in_(message.cpim, conversation_id)
        record.asked = asked.text() if asked is not None else ""
        file = await _keep(files, record, message)
    except ParseError as error:
        message.reject(error.status, str(error)[:80])
    except FieldError as error:
        message.reject(400, str(error)[:80])
    except ServiceError as error:
        log.info("%s: file of %s refused: %s", files.account, conversation.relation.sip, error)
        message.reject(error.status if error.status in (413, 415) else 403, error.detail[:80])
    except (OSError, StoreError) as error:
        log.error("%s: file of %s not stored: %s", files.account, conversation.relation.sip, error)
        message.reject(408, "Not stored")
    else:
        message.accept()
        conversation.remember(message.message_id)
        if asked is not None:
            conversation.receipts.stored(entry_of(file.record), asked)


def entry_of(record: FileRecord) -> Entry:
    """Return the row that a message with a link would have in the conversation: for its notifications."""
    return Entry(
        record.account_id,
        0,
        "message",
        record.uid,
        record.message_id,
        "in",
        "delivered",
        record.created,
        CONTENT_TYPE,
        "",
        record.asked,
    )


def _record(files: GuestTransfers, conversation: Conversation, message: Arrival) -> FileRecord:
    relation, room = conversation.relation, files.room
    now = room.clock()
    record = FileRecord(
        ids.token(96),
        files.guest.account_id,
        relation.uid,
        "in",
        "",
        LOCATION,
        len(message.body),
        0,
        "offered",
        now,
        min(relation.until, now + room.limits.ttl),
        way="http",
        message_id=message.message_id,
    )
    if media_type("Content-Type", message.content_type) == LOCATION:
        record.name = "location.xml"
        return record
    document = FtHttp.parse(message.body)
    record.content_type = media_type("content-type", document.file.content_type)
    record.name = safe_name(document.file.name, record.content_type)
    record.size, record.url = document.file.size, document.file.url
    record.until = min(record.until, _time(document.file.until) or record.until)
    if document.thumbnail is not None and document.thumbnail.size <= files.max_thumbnail:
        record.thumbnail = media_type("content-type", document.thumbnail.content_type)
        record.thumbnail_url = document.thumbnail.url
    room.check(record.content_type, record.size)
    if record.until <= now:
        raise Conflict("The file is not kept any more.")
    if record.size > room.limits.guest_bytes:
        raise TooLarge("The file is too large.")
    return record


async def _keep(files: GuestTransfers, record: FileRecord, message: Arrival) -> GuestFile:
    """Keep a file: its link, or its octets where they are here already."""
    try:
        await _take_octets(files.room, record, message)
        return await files.add(record)
    except BaseException:
        files.room.discard(record.id)
        raise


async def _take_octets(room: FileRoom, record: FileRecord, message: Arrival) -> None:
    """Put octets that are here into the spool: those of the message itself, and those at a link of our own."""
    own = room.server.id_of(record.url) if record.url and room.server is not None else None
    if not record.url:
        writer = room.spool.writer(record.id)
        writer.write(0, message.body)
        digests = await writer.finish()
        record.sha1, record.sha256, record.octets, record.state = digests.sha1, digests.sha256, digests.size, "ready"
    elif own is not None:
        known = await room.store.file(own)
        if known is None or known.state != "ready" or not await room.spool.link(own, record.id):
            raise Conflict("Nothing is at this link.")
        record.size, record.sha1, record.sha256 = known.size, known.sha1, known.sha256
        record.octets, record.state, record.thumbnail = known.octets, "ready", known.thumbnail


def _time(text: str | None) -> float | None:
    """Return Unix seconds of an RFC 3339 time, None when there is none that can be read."""
    try:
        parsed = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return parsed.timestamp() if parsed is not None and parsed.tzinfo is not None else None
