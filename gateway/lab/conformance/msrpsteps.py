"""Steps that MSRP cases share: a session with the target, frames in it, what they are answered with."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.lab.conformance.bench import Bench, sdp
from gateway.lab.conformance.msrpside import MsrpLink, ReceivedFrame, answers_to, is_chunk, is_report
from gateway.lab.conformance.peer import Peer, Received, requests
from gateway.lab.conformance.rawdialog import RawDialog
from gateway.lab.conformance.sipsteps import need_success
from gateway.lab.conformance.verdict import Inconclusive
from sipstack import ids
from sipstack.errors import ParseError, RemoteProtocolError
from sipstack.im.cpim import CpimTemplate
from sipstack.msrp.chunk import Chunk, FailureReport, Flag, MsrpResponse, Report
from sipstack.sdp import SessionDescription
from sipstack.sdp_msrp import TCP_MSRP, TLS_MSRP, MsrpMedia, msrp_media

ANONYMOUS = "sip:anonymous@anonymous.invalid"

TYPES = ("text/plain", "message/cpim")
"""Types of which a target has to take one for most cases; the first that it takes is sent."""


@dataclass(slots=True)
class Session:
    """An MSRP session with the target."""

    bench: Bench
    peer: Peer
    dialog: RawDialog
    link: MsrpLink
    path: str
    """Our ``a=path``."""
    media: MsrpMedia
    """What the target's description says."""

    @property
    def remote(self) -> str:
        """The target's ``a=path``: To-Path of what we send."""
        return " ".join(map(str, self.media.path))

    def content(self, text: str) -> tuple[str, bytes]:
        """Return type and octets of a message that the target has said it takes."""
        for content_type in TYPES:
            if self.media.accepts(content_type):
                body = text.encode() if content_type == "text/plain" else cpim(text)
                return content_type, body
        self.bench.not_applicable(f"the target takes neither {' nor '.join(TYPES)}")

    def chunk(
        self,
        body: bytes = b"",
        content_type: str | None = None,
        *,
        start: int = 1,
        end: int | None = -1,
        total: int | None = -1,
        flag: Flag = "$",
        message_id: str | None = None,
        transaction_id: str | None = None,
        success: bool = False,
        failure: FailureReport = "yes",
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Chunk:
        """Return a SEND of this session; ``end`` and ``total`` are those of ``body`` alone unless given."""
        last = start + len(body) - 1
        return Chunk(
            transaction_id or ids.msrp_transaction_id(),
            self.remote,
            self.path,
            message_id or ids.message_id(),
            start,
            last if end == -1 else end,
            last if total == -1 else total,
            success,
            failure,
            content_type,
            body,
            flag,
            headers,
        )

    def message(self, text: str = "conformance", **fields: object) -> Chunk:
        """Return a SEND with a whole message that the target takes; ``fields`` as of :meth:`chunk`."""
        content_type, body = self.content(text)
        return self.chunk(body, content_type, **fields)  # type: ignore[arg-type]  # the same names and types

    async def answer(self, chunk: Chunk | bytes, transaction_id: str = "") -> ReceivedFrame:
        """Send a request and return its response. Raises Failed when none comes."""
        sent = transaction_id or (chunk.transaction_id if isinstance(chunk, Chunk) else "")
        self.link.send(chunk)
        return await self.link.expect(answers_to(sent), "a request gets no response")

    async def taken(
        self, chunk: Chunk | bytes, transaction_id: str = "", what: str = "a sound request"
    ) -> MsrpResponse:
        """Send a request that has to get 200, and return that."""
        response = (await self.answer(chunk, transaction_id)).response
        self.bench.check(response.status == 200, f"{what} is answered with {response.status}")
        return response

    async def whole(self, message_id: str, size: int) -> None:
        """Wait for success reports about the octets 1 to ``size`` of a message."""
        missing = set(range(1, size + 1))
        while missing:
            received = await self.link.expect(
                is_report, f"no success report tells of octets {min(missing)} to {max(missing)}"
            )
            report = received.report
            if report.message_id == message_id and report.status == 200:
                end = size if report.end is None else report.end
                missing -= set(range(report.start or 1, end + 1))

    async def alive(self) -> None:
        """Show that the session still works."""
        await self.taken(self.message("still there?"), what="a sound request afterwards")


def cpim(
    text: str,
    headers: tuple[tuple[str, str], ...] = (),
    content_type: str = "text/plain;charset=utf-8",
    *,
    message_id: str | None = None,
) -> bytes:
    """Return a CPIM message of two who are not named, as RCS has it."""
    template = CpimTemplate(ANONYMOUS, ANONYMOUS)
    return template.render(
        content_type,
        text.encode(),
        datetime="2026-11-22T10:15:30Z",
        message_id=message_id or ids.message_id(),
        headers=headers,
    )


# sessions


async def session(bench: Bench, *, link: MsrpLink | None = None) -> Session:
    """Call the target for a chat in which we connect, and speak first; ended behind the case.

    With ``link`` the new session shares that connection. Not applicable to a target that takes no MSRP.
    """
    peer, path, media, dialog = await called(bench, setup="active")
    if link is None:
        link = await bench.msrp.connect(media.path[0].host_port, secure=media.secure)
    chat = Session(bench, peer, dialog, link, path, media)
    await chat.taken(chat.chunk(), what="an empty SEND")
    return chat


async def called(
    bench: Bench, *, setup: str, extra: str = "", version: int = 1
) -> tuple[Peer, str, MsrpMedia, RawDialog]:
    """Call the target with an MSRP offer that it has to take; ``extra`` lines are added to it.

    Returns our peer, our path, what the answer says, and the dialog, which is ended behind the case.
    """
    peer = await bench.sip.peer()
    path = str(await bench.msrp.listen())
    offer = sdp(bench.sip.host, path=path, setup=setup, version=version) + extra.encode()
    invite = peer.request("INVITE", body=offer)
    answer = await peer.exchange(invite)
    need_success(bench, answer)
    dialog = RawDialog.calling(peer, invite, answer.response)
    bench.later(dialog.hangup)
    await dialog.send(dialog.ack())
    return peer, path, media_of(bench, answer.response.body), dialog


def media_of(bench: Bench, body: bytes) -> MsrpMedia:
    """Return the MSRP medium of a description. Ends the case when there is none or it can't be read."""
    try:
        description = SessionDescription.parse(body)
    except ParseError as error:
        bench.inconclusive(f"the target's description does not parse: {error}")
    if not any(medium.media == "message" and medium.port for medium in description.media):
        bench.not_applicable("the target takes the call, but not its MSRP")
    try:
        return msrp_media(description, protocols=(TCP_MSRP, TLS_MSRP))
    except RemoteProtocolError as error:
        bench.inconclusive(f"the target's description of MSRP is none: {error}")


async def visited(bench: Bench, text: str = "Hello from the target") -> tuple[Session, ReceivedFrame]:
    """Have the target call us for a chat and write ``text``, if it can; returns the session and its first SEND.

    We are the passive side: what comes first binds the connection (:rfc:`4975#section-5.4`).
    """
    chat = await visiting(bench, text)
    first = await chat.link.receive(bench.options.answer_time, is_chunk)
    if first is None:
        bench.inconclusive("the target connects, but sends nothing")
    return chat, first


async def visiting(bench: Bench, text: str, *, must: bool = False) -> Session:
    """Have the target call us, and return the session as soon as something has come by a connection of its own.

    Where it ``must`` connect, and does not, that is a fail, else the case is inconclusive.
    """
    peer, received = await bench.triggered("invite", text=text)
    if not received.request.body:
        bench.not_applicable("the target's INVITE has no offer")
    media = media_of(bench, received.request.body)
    path = str(await bench.msrp.listen())
    body = sdp(bench.sip.host, path=path, setup="passive")
    response = await peer.respond(received, 200, [("Contact", peer.contact)], body)
    dialog = RawDialog.called(peer, received.request, response)
    await peer.need(requests("ACK", received.request.call_id), "the target does not acknowledge our 200")
    bench.later(dialog.hangup)
    try:
        link = await bench.msrp.accepted(bench.options.answer_time)
    except Inconclusive as error:
        if must:
            bench.fail(str(error))
        raise
    return Session(bench, peer, dialog, link, path, media)


async def written(chat: Session, first: ReceivedFrame) -> list[Chunk]:
    """Answer what the target sends until a message with a body is whole, and return its chunks.

    Not applicable to a target that writes nothing.
    """
    chunks: list[Chunk] = []
    received: ReceivedFrame | None = first
    while received is not None:
        chunk = received.chunk
        if chunk.flag:  # the whole chunk has come, not a piece of it
            chat.link.send(response_to(chunk, chat.path))
        if chunk.body or chunks:
            chunks.append(chunk)
        if chunks and chunk.flag in ("$", "#"):
            return chunks
        received = await chat.link.receive(chat.bench.options.answer_time, is_chunk)
    chat.bench.not_applicable("the target writes no message into the chat that it opened")


def response_to(chunk: Chunk, path: str, status: int = 200, comment: str = "OK") -> MsrpResponse:
    """Return the response to a SEND (:rfc:`4975#section-7.2`): to the nearest hop only."""
    return MsrpResponse(chunk.transaction_id, status, comment, chunk.from_path.split(" ")[0], path)


def refused(bench: Bench, received: Received) -> bool:
    """Tell whether an answer refuses the call, or at least its media."""
    if received.response.status >= 300:
        return True
    try:
        return all(medium.port == 0 for medium in SessionDescription.parse(received.response.body).media)
    except ParseError:
        bench.inconclusive("the target's description does not parse")


def frame(transaction_id: str, method: str, *lines: str, flag: str = "$", body: bytes | None = None) -> bytes:
    """Return any frame: ``lines`` are its headers as they stand; ``body`` comes behind a blank line."""
    head = "".join(f"{line}\r\n" for line in (f"MSRP {transaction_id} {method}", *lines)).encode()
    middle = b"" if body is None else b"\r\n" + body + b"\r\n"
    return head + middle + f"-------{transaction_id}{flag}\r\n".encode()


def report(chat: Session, message_id: str, status: int = 200) -> Report:
    """Return a REPORT of ours about a whole message."""
    return Report(
        ids.msrp_transaction_id(), chat.remote, chat.path, message_id, 1, 1, 1, status=status, comment="conformance"
    )
