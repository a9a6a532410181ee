"""The files of a guest between HTTP and the inviter: who moves which, one way and the other."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import aiohttp

from gateway.asked import Asked
from gateway.files import links
from gateway.files.contentclient import ContentClient
from gateway.files.fetching import FetchedContent, Fetching
from gateway.files.guestfile import GuestFile
from gateway.files.guestfiles import GuestFiles
from gateway.files.receiving import SHA_256, Offered, Receiving
from gateway.files.sending import Over, Sending
from gateway.files.webclient import read_document
from gateway.fileservices import Content, FileTooLarge, FileTypeRefused
from gateway.pager import NOT_FOR_THIS_DEVICE
from gateway.services import Conflict, ServiceError
from gateway.storage.filestore import FileRecord
from sipstack import ids
from sipstack.errors import ParseError
from sipstack.net.fileoffer import IncomingFile
from sipstack.sdp_file import SHA_1, FileAttributes
from translators.files import media_type, safe_name
from translators.from_http import FieldError
from translators.model import FileState, FileView, MessageState

if TYPE_CHECKING:
    from gateway.arrivals import Arrival
    from gateway.conversation import Conversation
    from gateway.files.room import FileRoom
    from gateway.guest import GuestSession
    from gateway.relations import Relation
    from sipstack.im.cpim import CpimMessage

log = logging.getLogger("rcsgw.files")


class GuestTransfers(GuestFiles):
    """The files of a guest who is logged in, with what moves them."""

    __slots__ = ("_slots",)

    def __init__(self, room: FileRoom, guest: GuestSession, records: Sequence[FileRecord]) -> None:
        super().__init__(room, guest, records)
        self._slots: asyncio.Semaphore | None = None

    @property
    def slots(self) -> asyncio.Semaphore:
        """What a transfer holds while it runs: a guest has only so many."""
        if self._slots is None:
            self._slots = asyncio.Semaphore(self.room.limits.guest_transfers)
        return self._slots

    def go_on(self) -> None:
        """Go on with what was on its way when the guest's last session ended."""
        for file in self.all():
            if file.mover is not None:
                continue
            if file.record.state == "sending":
                self.send(file)
            elif file.record.state == "receiving" and file.record.way == "msrp":
                self.broke_off(file, "restart")
            elif file.record.state == "offered" and file.record.way == "msrp":
                file.set("failed", "The guest was not there to take it.")

    # to the inviter

    def send(self, file: GuestFile) -> None:
        """Bring a file to its inviter."""
        _ = Sending(self, file)

    async def choose_way(self, file: GuestFile) -> None:
        """Decide between MSRP and a link, by what the inviter's device announces, before anything is sent."""
        record, content = file.record, self.room.limits.content
        relation = self.guest.relations.get(record.uid)
        if content.server == "off" or relation is None or "im" not in relation.types or record.message_id:
            return
        services = await self._services(relation)
        if "file-http" in services and (content.prefer or "file" not in services):
            record.way = "http"
            file.save()

    async def _services(self, relation: Relation) -> Sequence[str]:
        """Return what the inviter's device announces, asking it if nobody has."""
        presence = self.guest.guests.presence
        known = presence.known(relation.sip)
        if known is None:
            known = await presence.ask(self.guest, relation.uid, relation.sip)
            presence.leave(self.guest, relation.sip)  # who only sends a file does not watch
        return known.services

    async def other_way(self, file: GuestFile, over: Over) -> bool:
        """Take the way of a link where the device refuses MSRP itself; return whether there is one."""
        record = file.record
        relation = self.guest.relations.get(record.uid)
        if over.status not in NOT_FOR_THIS_DEVICE or record.way == "http" or relation is None:
            return False
        takes_links = self.room.limits.content.server != "off" and "im" in relation.types
        if not takes_links or "file-http" not in await self._services(relation):
            return False
        record.way, record.octets, record.message_id = "http", 0, ""
        file.save()
        return True

    async def send_link(self, file: GuestFile) -> None:
        """Send a file as a link. Raises Over or Broken."""
        server, record = self.room.server, file.record
        if server is not None:
            icon = len(await self.room.spool.thumbnail(record.id)) if record.thumbnail else 0
            document = server.document(record, icon)
        else:
            credentials = self.guest.agent.identity.credentials
            client = ContentClient(self.room.web, self.room.spool, self.room.limits.content.server, credentials)
            document = await links.upload(client, file)
        await links.send_link(self, file, document)

    def sending_over(self, file: GuestFile, over: Over) -> None:
        """Note what became of a file for the inviter."""
        file.set(over.state, str(over), over.cause)

    def notified(self, uid: str, message_id: str, state: MessageState) -> bool:
        """Take what the inviter's device says about a file, by IMDN; False when it means no file."""
        for file in self.all():
            record = file.record
            if (record.message_id, record.uid, record.direction) == (message_id, uid, "out"):
                if state in ("delivered", "displayed") or (state == "failed" and record.state != "sending"):
                    file.set(cast(FileState, state))
                return True
        return False

    # from the inviter

    def offered(self, offer: IncomingFile) -> None:
        """Take, keep waiting or refuse a file that an inviter's device offers (RFC 5547)."""
        relation = self.guest.relations.asserted(offer.asserted)
        if relation is None or "file" not in relation.types:
            offer.refuse(403, "No invitation for files joins the two")
        elif offer.direction != "push":
            offer.refuse(488, "Files cannot be fetched here")  # D-FTM-05
        else:
            self.room.spawn(self._offered(relation, offer))

    async def _offered(self, relation: Relation, offer: IncomingFile) -> None:
        try:
            file = await self._broken(relation, offer.attributes) or await self._new(relation, offer)
        except FileTooLarge as error:
            offer.refuse(413, error.detail)
        except FileTypeRefused as error:
            offer.refuse(488, error.detail)
        except (FieldError, ParseError) as error:
            offer.refuse(488, f"The file cannot be described: {error}")
        except Conflict as error:
            offer.refuse(486, error.detail)
        except (ServiceError, OSError) as error:
            log.warning("%s: file of %s refused: %s", self.account, relation.sip, error)
            offer.refuse(480, "No room for files now")
        else:
            if file.record.state == "offered":
                _ = Offered(self, file, offer)
            else:
                Receiving(self, file, file.record.octets).begin(offer)
            await self._keep_icon(file, offer)

    async def _broken(self, relation: Relation, attributes: FileAttributes) -> GuestFile | None:
        """Return the file that an offer goes on with, ready for it; None when it is a new one.

        Raises FieldError when octets are missing in front of what is offered.
        """
        start = attributes.start - 1
        for file in self.all():
            record = file.record
            if record.state == "receiving" and record.uid == relation.uid and _is_same(record, attributes):
                if file.mover is not None:
                    if not start:
                        continue  # the same file once more, while it still comes in
                    await file.mover.stop(cancelled=False)  # its connection is gone, and we have not noticed yet
                there = await self.room.spool.size(record.id) if record.sha1 or record.sha256 else record.octets
                if start > there:
                    raise FieldError("file-range", f"begins behind the {there} octets that came")
                record.octets = start
                record.transfer_id = attributes.transfer_id
                return file
        if start:
            raise FieldError("file-range", "goes on with a file that is not known")
        return None

    async def _new(self, relation: Relation, offer: IncomingFile) -> GuestFile:
        selector, now, limits = offer.attributes.selector, self.room.clock(), self.room.limits
        content_type = media_type("type", selector.content_type)
        self.room.check(content_type, selector.size)
        if sum(isinstance(file.mover, Receiving) for file in self.all()) >= limits.guest_transfers:
            raise Conflict("Too many files come in at once.")
        hashes = {name: digest.hex() for name, digest in selector.hashes.items()}
        return await self.add(
            FileRecord(
                ids.token(96),
                self.guest.account_id,
                relation.uid,
                "in",
                safe_name(selector.name, content_type),
                content_type,
                selector.size,
                0,
                "receiving" if limits.accept == "auto" else "offered",
                now,
                min(relation.until, now + limits.ttl),
                sha1=hashes.get(SHA_1, ""),
                sha256=hashes.get(SHA_256, ""),
                transfer_id=offer.attributes.transfer_id,
            )
        )

    async def _keep_icon(self, file: GuestFile, offer: IncomingFile) -> None:
        icon = offer.icon
        if icon is None or not icon[0].startswith("image/") or len(icon[1]) > self.max_thumbnail:
            return
        try:
            await self.room.spool.put_thumbnail(file.record.id, icon[1])
        except OSError as error:
            log.warning("%r: its thumbnail cannot be written: %s", file, error)
            return
        file.record.thumbnail = media_type("file-icon", icon[0])
        file.save()
        file.tell()

    async def accept(self, id: str) -> FileView:
        """Take a file that an inviter offers."""
        self.touch()
        file = self.find(id)
        if file.record.way == "http" and file.record.state == "offered":
            _ = self._fetch(file)
            return file.view()
        if not isinstance(file.mover, Offered):
            raise Conflict(f"The file is {file.record.state}: there is nothing to accept.")
        offer = file.mover.taken()
        file.set("receiving")
        Receiving(self, file, 0).begin(offer)
        return file.view()

    # links of the inviter

    def take_attachment(self, conversation: Conversation, message: Arrival, conversation_id: str) -> bool:
        """Take a message of a chat that is about a file; False when it is about none, or none may come."""
        if not links.is_attachment(message.content_type) or "file" not in conversation.relation.types:
            return False
        if any(file.record.message_id == message.message_id for file in self.all() if file.record.direction == "in"):
            message.accept()  # it is repeated: our answer was lost
        else:
            self.room.spawn(links.take(self, conversation, message, conversation_id))
        return True

    async def content(self, id: str) -> Content:
        """Open a file; one that an inviter sent as a link is brought here now."""
        file = self.find(id)
        if file.record.way != "http" or file.record.state not in ("offered", "receiving"):
            return await super().content(id)
        self.touch()
        fetching = self._fetch(file)
        await asyncio.shield(fetching.started)
        return FetchedContent(self, fetching)

    def _fetch(self, file: GuestFile) -> Fetching:
        if isinstance(file.mover, Fetching):
            return file.mover
        self.reserve(file.record.id, file.record.size or 0)
        return Fetching(self, file, self.room.web)

    async def thumbnail(self, id: str) -> Content:
        """Open a thumbnail, which may have to be fetched."""
        record = self.find(id).record
        if record.thumbnail_url:
            await self._fetch_thumbnail(record)
        return await super().thumbnail(id)

    async def _fetch_thumbnail(self, record: FileRecord) -> None:
        try:
            async with self.room.web.request("GET", record.thumbnail_url) as response:
                data = await read_document(response)
            if response.status == 200 and len(data) <= self.max_thumbnail:
                await self.room.spool.put_thumbnail(record.id, data)
                record.thumbnail_url = ""
                self.room.save(record)
        except (OSError, aiohttp.ClientError) as error:
            log.info("%s: no thumbnail: %s", self.account, error)

    def fetched(self, file: GuestFile) -> None:
        """Note that the guest has got a file; the sender of a link is told, if they want to know (D-FTH-06)."""
        record = file.record
        is_first = record.state != "displayed"
        super().fetched(file)
        relation = self.guest.relations.get(record.uid)
        if is_first and record.direction == "in" and record.asked and relation is not None:
            self.guest.conversation(relation).receipts.displayed(links.entry_of(record))

    def grow(self, id: str, octets: int) -> None:
        """Make room for a file whose size is not known. Raises OSError when there is none."""
        try:
            self.reserve(id, octets)
        except ServiceError as error:
            raise OSError(errno.EFBIG, error.detail) from error

    def received(self, file: GuestFile, wrapper: CpimMessage | None) -> None:
        """Note that a file of an inviter is there, and tell its sender, if the wrapper asks for that."""
        log.info("%r has come", file)
        record = file.record
        asked = Asked.in_(wrapper)
        relation = self.guest.relations.get(record.uid)
        if asked is not None and relation is not None:
            record.message_id, record.asked = asked.request.message_id, asked.text()
            file.save()
            self.guest.conversation(relation).receipts.stored(links.entry_of(record), asked)

    def broke_off(self, file: GuestFile, why: str) -> None:
        """Keep what came of a file for as long as its sender may go on with it."""
        log.info("%r broke off: %s", file, why)
        deadline = self.room.limits.retry.deadline
        asyncio.get_running_loop().call_later(deadline, self._give_up, file, file.record.transfer_id)

    def _give_up(self, file: GuestFile, transfer_id: str) -> None:
        record = file.record
        if (record.state, record.transfer_id) == ("receiving", transfer_id) and file.mover is None:
            file.set("failed", "The transfer broke off and was not gone on with.")


def _is_same(record: FileRecord, attributes: FileAttributes) -> bool:
    """Tell whether an offer is about a file that broke off: by its hash, else by name and size."""
    selector = attributes.selector
    known = {SHA_1: record.sha1, SHA_256: record.sha256}
    hashes = [(known.get(name, ""), digest.hex()) for name, digest in selector.hashes.items() if known.get(name)]
    if record.direction != "in" or record.way != "msrp" or record.size != selector.size:
        return False
    if hashes:
        return all(mine == theirs for mine, theirs in hashes)
    return record.size is not None and record.name == safe_name(selector.name, record.content_type)
