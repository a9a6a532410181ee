"""A chat endpoint of the simplest kind, by UDP and TCP, with one defect or none: what the MSRP suites are proven on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from gateway.lab.conformance.bench import sdp
from gateway.lab.conformance.msrpsteps import cpim, response_to
from gateway.lab.conformance.peer import Peer, Received, answers
from gateway.lab.conformance.recording import Recording
from gateway.lab.conformance.target import Target
from sipstack import ids
from sipstack.errors import ParseError, RemoteProtocolError
from sipstack.im.cpim import CpimMessage
from sipstack.im.imdn import CONTENT_TYPE as IMDN
from sipstack.im.imdn import Imdn, ImdnRequest
from sipstack.msrp.chunk import BadRequest, Chunk, Frame, MsrpResponse, OtherRequest, Report
from sipstack.msrp.parser import ChunkParser
from sipstack.sdp import SessionDescription
from sipstack.sdp_msrp import MsrpMedia, msrp_media
from sipstack.sip.message import Request
from sipstack.sip.uri import Uri
from tests.gateway.lab.conformance.helpers import FAST, HOST

CPIM = "message/cpim"
TYPES = (CPIM, "text/plain", "application/im-iscomposing+xml")
WRAPPED = ("text/plain", IMDN)
LARGEST = 2048

DEFECTS = {
    "paths-not-turned": "MSRP-FRM-001",
    "names-in-one-case": "MSRP-FRM-002",
    "short-identifiers-refused": "MSRP-FRM-003",
    "last-line-break-lost": "MSRP-FRM-004",
    "ended-by-any-end-line": "MSRP-FRM-005",
    "ended-without-flag": "MSRP-FRM-006",
    "reads-whole-segments": "MSRP-FRM-007",
    "one-at-a-time": "MSRP-FRM-008",
    "empty-refused": "MSRP-FRM-009",
    "unknown-header-refused": "MSRP-FRM-010",
    "unknown-method-400": "MSRP-FRM-011",
    "order-of-headers-fixed": "MSRP-FRM-012",
    "answered-twice": "MSRP-FRM-013",
    "fault-taken": "MSRP-BAD-001",
    "message-id-not-needed": "MSRP-BAD-002",
    "unknown-session-taken": "MSRP-BAD-003",
    "any-connection": "MSRP-BAD-004",
    "response-answered": "MSRP-BAD-005",
    "report-answered": "MSRP-BAD-006",
    "answers-though-not-wanted": "MSRP-BAD-007",
    "partial-as-yes": "MSRP-BAD-008",
    "any-type-taken": "MSRP-BAD-009",
    "path-cut": "MSRP-BAD-010",
    "dies-of-rubbish": "MSRP-BAD-012",
    "order-matters": "MSRP-CHK-002",
    "last-chunk-is-the-end": "MSRP-CHK-003",
    "overlap-refused": "MSRP-CHK-004",
    "star-refused": "MSRP-CHK-005",
    "announced-end-trusted": "MSRP-CHK-006",
    "one-message-at-a-time": "MSRP-CHK-007",
    "given-up-is-whole": "MSRP-CHK-008",
    "gap-between-chunks": "MSRP-CHK-011",
    "report-from-nobody": "MSRP-REP-001",
    "report-unasked": "MSRP-REP-002",
    "no-report-without-response": "MSRP-REP-003",
    "own-report-answered": "MSRP-REP-004",
    "goes-on-behind-413": "MSRP-REP-005",
    "no-accept-types": "MSRP-SES-001",
    "active-to-active": "MSRP-SES-002",
    "actpass-to-actpass": "MSRP-SES-003",
    "active-but-silent": "MSRP-SES-004",
    "one-medium-answered": "MSRP-SES-005",
    "no-common-type-needed": "MSRP-SES-006",
    "one-session-a-connection": "MSRP-SES-007",
    "lives-on-behind-bye": "MSRP-SES-008",
    "refresh-breaks": "MSRP-SES-009",
    "far-hop-read": "MSRP-SES-012",
    "unlisted-type-sent": "MSRP-SES-013",
    "required-header-ignored": "IM-CPM-003",
    "any-wrapped-type": "IM-CPM-005",
    "notifies-of-now": "IM-IMD-001",
    "notifies-unasked": "IM-IMD-002",
    "notifies-about-notifications": "IM-IMD-003",
}
"""What an element can have → the case that has to find it, and no other."""


@dataclass(slots=True, eq=False)
class Chat:
    """One session of the element."""

    path: str
    remote: str
    media: MsrpMedia
    answer: bytes
    link: Link | None = None
    partial: dict[str, Partial] = field(default_factory=dict)


@dataclass(slots=True)
class Partial:
    """What came of one message."""

    octets: dict[int, int] = field(default_factory=dict)
    total: int | None = None
    wants_report: bool = False
    content_type: str = ""
    next_start: int = 1
    announced: int = 0
    """Last octet of the newest chunk, as its Byte-Range had it."""
    broke_off: bool = False
    """That was too much."""

    @property
    def whole(self) -> bool:
        return self.total is not None and all(place in self.octets for place in range(1, self.total + 1))

    @property
    def body(self) -> bytes:
        return bytes(self.octets.get(place, 0) for place in range(1, (self.total or 0) + 1))


class Link(asyncio.Protocol):
    """One MSRP connection of the element."""

    def __init__(self, element: MsrpElement) -> None:
        self.element = element
        self.parser = ChunkParser()
        self.pieces: dict[str, Chunk] = {}
        self.answers: asyncio.Queue[MsrpResponse] = asyncio.Queue()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.element.links.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.element.links.discard(self)
        self.element.forget(self)

    def data_received(self, data: bytes) -> None:
        if self.element.has("reads-whole-segments") and not data.startswith(b"MSRP"):
            return
        if self.element.has("names-in-one-case"):
            data = data.replace(b"to-path:", b"x-path:")
        self.parser.receive_data(data)
        frames = 0
        with contextlib.suppress(ParseError):
            while (frame := self.parser.next_frame()) is not None:
                frames += 1
                if self.element.has("one-at-a-time") and frames > 3:
                    return
                self.element.take(self, frame)
            return
        if self.element.has("dies-of-rubbish"):
            self.element.dead = True
        self.transport.close()

    def send(self, frame: Chunk | Report | MsrpResponse) -> None:
        self.transport.write(bytes(frame))


class MsrpElement:
    """Use as ``async with``; ``defect`` is one of :data:`DEFECTS`."""

    def __init__(self, defect: str = "") -> None:
        assert not defect or defect in DEFECTS
        self.defect = defect
        self.dead = False
        self.links: set[Link] = set()
        self.chats: dict[str, Chat] = {}
        self.written: set[str] = set()
        self._calls: dict[str, Chat] = {}
        self._tasks: set[asyncio.Future[object]] = set()
        nobody = Target(Uri.parse("sip:nobody@127.0.0.1"), (HOST, 9), ("uas",))
        self._peer = Peer("UDP", nobody, FAST, Recording())

    def has(self, defect: str) -> bool:
        return self.defect == defect

    async def __aenter__(self) -> Self:
        await self._peer.open(HOST)
        self._peer.on_received = self._received
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Link(self), HOST, 0)
        self._port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        self._server.close()
        for link in list(self.links):
            link.transport.abort()
        await self._peer.close()

    @property
    def target(self) -> Target:
        """This element, as the runner is told of it."""
        uri = Uri.parse(f"sip:element@{HOST}:{self._peer.address[1]}")
        return Target(uri, self._peer.address, ("msrp",), ("UDP",), name="element", act=self._act)

    # SIP

    def _received(self, received: Received) -> bool:
        request = received.message
        if not isinstance(request, Request) or self.dead:
            return self.dead
        self._begin(self._answer(received, request))
        return True

    def _begin(self, work: Awaitable[object]) -> None:
        self._tasks.add(asyncio.ensure_future(work))

    async def _answer(self, received: Received, request: Request) -> None:
        match request.method:
            case "INVITE":
                await self._invited(received, request)
            case "BYE":
                self._end(request.call_id)
                await self._peer.respond(received, 200)
            case "ACK":
                return
            case _:
                await self._peer.respond(received, 405, [("Allow", "INVITE, ACK, BYE")])

    async def _invited(self, received: Received, request: Request) -> None:
        contact = [("Contact", self._peer.contact)]
        known = self._calls.get(request.call_id)
        if known is not None:
            if self.has("refresh-breaks") and known.link is not None:
                known.link.transport.close()
            await self._peer.respond(received, 200, contact, known.answer, to_tag=request.to.tag)
            return
        try:
            chat = self._take_offer(request.body)
        except RemoteProtocolError:
            await self._peer.respond(received, 488)
            return
        self._calls[request.call_id] = self.chats[chat.path] = chat
        await self._peer.respond(received, 200, contact, chat.answer)

    def _take_offer(self, body: bytes) -> Chat:
        description = SessionDescription.parse(body)
        media = msrp_media(description)
        if self.has("far-hop-read") and any(uri.transport != "tcp" for uri in media.path):
            raise ParseError("path", "has an unknown transport")
        common = any(media.accepts(name) for name in TYPES)
        if not common and not self.has("no-common-type-needed"):
            raise ParseError("accept-types", "names nothing that is known")
        setup = "passive"
        if (self.has("active-to-active") and media.setup == "active") or (
            self.has("actpass-to-actpass") and media.setup == "actpass"
        ):
            setup = str(media.setup)
        path = self._new_path()
        answer = self._describe(path, setup)
        others = [medium for medium in description.media if medium.media != "message"]
        if not self.has("one-medium-answered"):
            answer += b"".join(f"m={medium.refused().m_line}\r\n".encode() for medium in others)
        return Chat(path, " ".join(map(str, media.path)), media, answer)

    def _new_path(self) -> str:
        return f"msrp://{HOST}:{self._port}/{ids.msrp_session_id()};tcp"

    def _describe(self, path: str, setup: str) -> bytes:
        text = sdp(HOST, path=path, setup=setup).decode()
        lines = [line for line in text.split("\r\n")[:-1] if not line.startswith("a=accept")]
        if not self.has("no-accept-types"):
            lines += [f"a=accept-types:{' '.join(TYPES)}", f"a=accept-wrapped-types:{' '.join(WRAPPED)}"]
        return "\r\n".join([*lines, ""]).encode()

    def _end(self, call_id: str) -> None:
        chat = self._calls.pop(call_id, None)
        if chat is None or self.has("lives-on-behind-bye"):
            return
        self.chats.pop(chat.path, None)
        if chat.link is not None and not any(other.link is chat.link for other in self.chats.values()):
            chat.link.transport.close()

    def forget(self, link: Link) -> None:
        """The connection is gone; its sessions wait for another."""
        for chat in self.chats.values():
            if chat.link is link:
                chat.link = None

    # the element calls

    async def _act(self, action: str, details: Mapping[str, str]) -> None:
        assert action == "invite"
        self._begin(self._call(Uri.parse(details["uri"]), details.get("text", "hello")))

    async def _call(self, uri: Uri, text: str) -> None:
        path = self._new_path()
        place = (str(uri.host), uri.port or 5060)
        invite = self._peer.request("INVITE", uri, body=self._describe(path, "active"))
        await self._peer.send(invite, place)
        received = await self._peer.receive(5, answers(invite, least=200))
        assert received is not None
        response = received.response
        ack = self._peer.request("ACK", uri, call_id=invite.call_id)
        for name, message in (("From", invite), ("To", response)):
            ack.headers.set(name, message.headers.get(name, ""))
        await self._peer.send(ack, place)
        media = msrp_media(SessionDescription.parse(response.body))
        chat = Chat(path, " ".join(map(str, media.path)), media, invite.body)
        self._calls[invite.call_id] = self.chats[path] = chat
        _, link = await asyncio.get_running_loop().create_connection(lambda: Link(self), *media.path[0].host_port)
        chat.link = link
        if not self.has("active-but-silent"):
            await self._write(chat, link, text.encode())

    async def _write(self, chat: Chat, link: Link, body: bytes) -> None:
        """Send a message, each chunk after the answer to the one before; 413 ends it."""
        content_type = "text/html" if self.has("unlisted-type-sent") else "text/plain"
        message_id, start = ids.message_id(), 1
        self.written.add(message_id)
        while start <= len(body):
            part = body[start - 1 : start - 1 + LARGEST]
            end = start + len(part) - 1
            chunk = Chunk(
                ids.msrp_transaction_id(), chat.remote, chat.path, message_id, start, end, len(body), False, "yes",
                content_type, part, "$" if end == len(body) else "+",
            )  # fmt: skip
            link.send(chunk)
            if not self.has("goes-on-behind-413") and (await asyncio.wait_for(link.answers.get(), 5)).status != 200:
                return
            start = end + (2 if self.has("gap-between-chunks") else 1)

    # MSRP

    def take(self, link: Link, frame: Frame) -> None:
        """Do what a frame asks for."""
        match frame:
            case Chunk():
                whole = self._gather(link, frame)
                if whole is not None:
                    self._take_chunk(link, whole)
            case MsrpResponse():
                link.answers.put_nowait(frame)
                if self.has("response-answered"):
                    link.send(MsrpResponse(frame.transaction_id, 400, "", frame.from_path, frame.to_path))
            case Report():
                if self.has("own-report-answered" if frame.message_id in self.written else "report-answered"):
                    link.send(MsrpResponse(frame.transaction_id, 200, "", frame.from_path, frame.to_path))
            case OtherRequest():
                status = 400 if self.has("unknown-method-400") else 501
                link.send(MsrpResponse(frame.transaction_id, status, "", frame.from_path, frame.to_path))
            case BadRequest():
                self._refuse_fault(link, frame)

    def _refuse_fault(self, link: Link, fault: BadRequest) -> None:
        status = 400
        if self.has("fault-taken") and "Message-ID" not in fault.reason and fault.failure_report == "yes":
            status = 200
        if self.has("message-id-not-needed") and "Message-ID" in fault.reason:
            status = 200
        if fault.failure_report != "no":
            near = fault.from_path.split(" ")[0]
            link.send(MsrpResponse(fault.transaction_id, status, "", near, fault.to_path or ""))

    def _gather(self, link: Link, piece: Chunk) -> Chunk | None:
        """Put the pieces of one chunk together; None until it has ended."""
        known = link.pieces.pop(piece.transaction_id, None)
        if known is not None:
            known.body += piece.body
            known.flag = piece.flag
            piece = known
        if not piece.flag:
            link.pieces[piece.transaction_id] = piece
            return None
        return piece

    def _take_chunk(self, link: Link, chunk: Chunk) -> None:
        chat = self._chat_of(chunk)
        status = self._status(chat, link, chunk)
        wanted = chunk.failure_report == "yes" or (chunk.failure_report == "partial" and status != 200)
        wanted = wanted or (self.has("partial-as-yes") and chunk.failure_report == "partial")
        wanted = wanted or (self.has("answers-though-not-wanted") and chunk.failure_report == "no")
        if wanted:
            response = response_to(chunk, chunk.to_path, status)
            if self.has("paths-not-turned"):
                response.to_path, response.from_path = chunk.to_path, chunk.from_path
            link.send(response)
            if self.has("answered-twice"):
                link.send(response)
        if chat is not None and status == 200 and chunk.body:
            self._assemble(chat, link, chunk)

    def _chat_of(self, chunk: Chunk) -> Chat | None:
        path = chunk.to_path.split(" ")[0] if self.has("path-cut") else chunk.to_path
        chat = self.chats.get(path)
        if chat is None and self.has("unknown-session-taken") and " " not in path:
            chat = next(iter(self.chats.values()), None)
        return chat

    def _status(self, chat: Chat | None, link: Link, chunk: Chunk) -> int:
        if chat is None:
            return 481
        if chat.link not in (None, link) and not self.has("any-connection"):
            return 506
        if chat.link is None:
            if self.has("one-session-a-connection") and any(other.link is link for other in self.chats.values()):
                return 481
            chat.link = link
        if (
            (self.has("short-identifiers-refused") and len(chunk.transaction_id) < 10)
            or (self.has("empty-refused") and not chunk.body and chunk.total is None)
            or (self.has("unknown-header-refused") and chunk.headers)
            or (self.has("order-of-headers-fixed") and "another order" in chunk.body.decode(errors="replace"))
            or (self.has("star-refused") and chunk.total is None and chunk.body)
        ):
            return 400
        return self._status_of_body(chunk)

    def _status_of_body(self, chunk: Chunk) -> int:
        content_type = (chunk.content_type or "").partition(";")[0]
        if not chunk.body or chunk.flag != "$" or chunk.start != 1:
            return 200
        if content_type not in TYPES:
            return 200 if self.has("any-type-taken") else 415
        if content_type != CPIM:
            return 200
        try:
            wrapped = CpimMessage.parse(chunk.body).content_type.partition(";")[0]
        except RemoteProtocolError as error:
            status = error.status or 400
            return 200 if status == 415 and self.has("required-header-ignored") else status
        return 200 if wrapped in WRAPPED or self.has("any-wrapped-type") else 415

    def _assemble(self, chat: Chat, link: Link, chunk: Chunk) -> None:
        if self.has("one-message-at-a-time") and chunk.message_id not in chat.partial:
            chat.partial.clear()
        partial = chat.partial.setdefault(chunk.message_id, Partial())
        if self.has("order-matters") and chunk.start > partial.next_start:
            return
        if self.has("overlap-refused") and chunk.start in partial.octets:
            return
        if self.has("announced-end-trusted") and chunk.start <= partial.announced and partial.broke_off:
            return
        body = self._body_of(chunk)
        end = chunk.start + len(body) - 1
        partial.announced, partial.broke_off = chunk.end or 0, chunk.end is not None and chunk.end > end
        partial.next_start = end + 1
        partial.octets.update(zip(range(chunk.start, end + 1), body, strict=False))
        partial.wants_report |= chunk.success_report
        partial.content_type = chunk.content_type or ""
        if chunk.flag == "#":
            del chat.partial[chunk.message_id]
            if not self.has("given-up-is-whole"):
                return
        if chunk.flag != "+":
            partial.total = end
        if partial.whole or (self.has("last-chunk-is-the-end") and chunk.flag == "$"):
            chat.partial.pop(chunk.message_id, None)
            self._arrived(chat, link, chunk, partial)

    def _body_of(self, chunk: Chunk) -> bytes:
        body = chunk.body
        if self.has("last-line-break-lost"):
            body = body.rstrip(b"\r\n")
        if self.has("ended-by-any-end-line"):
            body = body.split(b"\r\n-------")[0] if b"$\r\nMSRP" in body else body
        if self.has("ended-without-flag"):
            body = body.split(f"\r\n-------{chunk.transaction_id}".encode())[0]
        return body

    def _arrived(self, chat: Chat, link: Link, chunk: Chunk, partial: Partial) -> None:
        """A message is whole: report and notify."""
        size = partial.total or 0
        silent = self.has("no-report-without-response") and chunk.failure_report == "no"
        if (partial.wants_report and not silent) or (self.has("report-unasked") and chunk.failure_report == "yes"):
            sender = f"{chat.path}x" if self.has("report-from-nobody") else chat.path
            link.send(Report(ids.msrp_transaction_id(), chunk.from_path, sender, chunk.message_id, 1, size, size))
        if partial.content_type.startswith(CPIM):
            with contextlib.suppress(RemoteProtocolError):
                self._notify(chat, link, CpimMessage.parse(partial.body))

    def _notify(self, chat: Chat, link: Link, message: CpimMessage) -> None:
        asked = ImdnRequest.of(message)
        told = asked.delivered() if asked is not None else None
        about = message.imdn_message_id or ""
        is_notification = message.content_type.startswith(IMDN)
        unasked = self.has("notifies-unasked") and not is_notification
        if told is None and (unasked or (self.has("notifies-about-notifications") and is_notification)):
            told = ImdnRequest(about, frozenset({"positive-delivery"}), message.datetime).delivered()
        if told is None:
            return
        if self.has("notifies-of-now"):
            told = Imdn(told.message_id, told.kind, told.disposition, "2026-11-22T23:59:59Z")
        body = cpim(bytes(told).decode(), content_type=IMDN)
        size = len(body)
        chunk = Chunk(
            ids.msrp_transaction_id(), chat.remote, chat.path, ids.message_id(), 1, size, size,
            content_type=CPIM, body=body,
        )  # fmt: skip
        link.send(chunk)
