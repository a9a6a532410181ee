"""From recorded bytes to messages with a label: what the ladder draws on its arrows.

One splitter a direction of a connection; those of HTTP and SMTP are in ``wiretext``. What does not parse is labelled as
such.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

from sipstack.errors import ParseError, RemoteProtocolError
from sipstack.msrp.chunk import BadRequest, Chunk, MsrpResponse, OtherRequest, Report
from sipstack.msrp.parser import ChunkParser
from sipstack.sip.message import Message, Request, Response
from sipstack.sip.parser import parse_message
from sipstack.sip.uri import Uri

from .wiretext import CONTENT_LENGTH, MAX_PENDING, HttpSplitter, Part, SmtpSplitter, SmtpState, Splitter

_PATHS = re.compile(rb"(?m)^a=path:([^\r\n]+)")
_SIP_START = re.compile(rb"(?:[A-Z]{3,20} \S+ SIP/2\.0|SIP/2\.0 [0-9]{3} [^\r\n]*)\r\n", re.IGNORECASE)


# SIP ------------------------------------------------------------------------------------------------------------


class SipSplitter:
    """SIP over a stream; a datagram is a stream of its own."""

    def __init__(self) -> None:
        self._data = b""

    def receive_data(self, data: bytes) -> Iterator[Part]:
        if self._data and _SIP_START.match(data):
            # Masking may have made the message before it shorter than it says.
            yield sip_part(self._data)
            self._data = b""
        self._data = (self._data + data).lstrip(b"\r\n")
        while self._data:
            head = self._data.find(b"\r\n\r\n")
            if head < 0:
                if len(self._data) > MAX_PENDING:
                    yield sip_part(self._data)
                    self._data = b""
                return
            length = CONTENT_LENGTH.search(self._data, 0, head + 2)
            end = head + 4 + (int(length[1]) if length else 0)
            if len(self._data) < end <= MAX_PENDING:
                return
            yield sip_part(self._data[:end])
            self._data = self._data[end:].lstrip(b"\r\n")


class DatagramSplitter:
    """SIP over UDP: one record, one message."""

    def receive_data(self, data: bytes) -> Iterator[Part]:
        if data.strip(b"\r\n\0"):
            yield sip_part(data)


def sip_part(data: bytes) -> Part:
    """Return a SIP message with its label."""
    broken = ""
    try:
        message: Message = parse_message(data)
    except ParseError as error:
        broken = f" (malformed {error.what})"
        if not isinstance(error.message, Request | Response):
            first = data.split(b"\r\n", 1)[0][:60].decode("ascii", "replace")
            return Part(f"SIP? {first}", data, len(data))
        message = error.message
    label, fields = _sip_label(message)
    if message.body:
        label += " (SDP)" if _content_type(message) == "application/sdp" else f" ({len(message.body)} B)"
    call_id = message.headers.get("Call-ID")
    if call_id:
        fields["call_id"] = call_id
    cseq = message.headers.get("CSeq")
    if cseq:
        fields["cseq"] = cseq
    return Part(label + broken, data, len(data), fields, marks=_sip_marks(message))


def _sip_marks(message: Message) -> tuple[str, ...]:
    """By Call-ID and the MSRP paths of the description SIP belongs to MSRP, by Session-ID (:rfc:`7989`) to HTTP."""
    trace = (message.headers.get("Session-ID") or "").partition(";")[0].strip()
    paths = _PATHS.findall(message.body) if b"a=path:" in message.body else ()
    uris = " ".join(path.decode("ascii", "replace") for path in paths).split()
    return tuple(filter(None, (message.headers.get("Call-ID"), trace, *uris)))


def _sip_label(message: Message) -> tuple[str, dict[str, str | int]]:
    if isinstance(message, Response):
        method = (message.headers.get("CSeq") or "? ?").split()[-1]
        return f"{message.status} {message.reason} ({method})", {"status": message.status, "method": method}
    assert isinstance(message, Request)
    label = f"{message.method} {_plain_uri(_target(message))}"
    if message.method == "REGISTER" and _expires(message) == 0:
        label += " Expires 0"
    if "Authorization" in message.headers or "Proxy-Authorization" in message.headers:
        label += " +credentials"
    return label, {"method": message.method}


def _target(request: Request) -> str:
    """A REGISTER is told from others by whom it registers, not by its Request-URI."""
    if request.method == "REGISTER":
        try:
            return str(request.to.uri)
        except RemoteProtocolError:
            pass
    return request.uri_text


def _plain_uri(text: str) -> str:
    """Without password, parameters and headers."""
    try:
        uri = Uri.parse(text)
    except RemoteProtocolError:
        return re.split(r"[;?\s]", text, maxsplit=1)[0]
    if uri.opaque is not None or uri.is_tel:
        return str(uri.without_params(*(name for name, _ in uri.parameters)))
    user = f"{uri.user}@" if uri.user else ""
    return f"{uri.scheme}:{user}{uri.host}"


def _expires(request: Request) -> int | None:
    try:
        contacts = request.contacts
    except RemoteProtocolError:
        return request.expires
    for contact in contacts:
        value = contact.param("expires")
        if value and value.isdigit():
            return int(value)
    return request.expires


def _content_type(message: Message) -> str:
    return (message.headers.get("Content-Type") or "").partition(";")[0].strip().lower()


# MSRP -----------------------------------------------------------------------------------------------------------


class MsrpSplitter:
    """One direction of an MSRP connection.

    ``chunks`` maps transactions of chunks that are not the last of their message to the Message-ID; the splitter of
    the other direction shares it, so that the answers to them fold as well.
    """

    def __init__(self, chunks: dict[str, str]) -> None:
        self._parser = ChunkParser()
        self._chunks = chunks
        self._size = 0
        self._broken = False

    def receive_data(self, data: bytes) -> Iterator[Part]:
        if self._broken:
            yield Part(f"MSRP? {len(data)} B", data, len(data))
            return
        self._parser.receive_data(data)
        while True:
            try:
                frame = self._parser.next_frame()
            except ParseError as error:
                self._broken = True
                yield Part(f"MSRP? (malformed {error.what})", data, len(data))
                return
            if frame is None:
                return
            if isinstance(frame, Chunk):
                self._size += len(frame.body)
                if not frame.flag:
                    continue  # a piece; its end-line is yet to come
                size, self._size = self._size, 0
                yield self._send(frame, size)
            else:
                yield self._other(frame)

    def _send(self, chunk: Chunk, size: int) -> Part:
        label = f"MSRP SEND {size} B" if size else "MSRP SEND (empty)"
        fold = None
        if chunk.flag == "+":
            label += f" of {chunk.total or '?'}"
            fold = f"SEND {chunk.message_id}"
            self._chunks[chunk.transaction_id] = chunk.message_id
        elif chunk.flag == "#":
            label += " (given up)"
        fields: dict[str, str | int] = {"method": "SEND", "message_id": chunk.message_id, "body": size}
        marks = _uris(chunk.to_path, chunk.from_path)
        return Part(label, chunk.transaction_id.encode() + b" SEND", size, fields, fold, marks)

    def _other(self, frame: Report | MsrpResponse | OtherRequest | BadRequest) -> Part:
        key = frame.transaction_id.encode()
        marks = _uris(frame.to_path or "", frame.from_path)
        match frame:
            case MsrpResponse():
                message_id = self._chunks.pop(frame.transaction_id, None)
                fold = None if message_id is None else f"{frame.status} {message_id}"
                label = f"MSRP {frame.status} {frame.comment}".rstrip()
                return Part(label, key, len(bytes(frame)), {"status": frame.status}, fold, marks)
            case Report():
                fields: dict[str, str | int] = {
                    "method": "REPORT",
                    "status": frame.status,
                    "message_id": frame.message_id,
                }
                label = f"MSRP REPORT {frame.status}"
                return Part(label, key + b" REPORT", len(bytes(frame)), fields, marks=marks)
            case OtherRequest():
                return Part(
                    f"MSRP {frame.method}", key + frame.method.encode(), 0, {"method": frame.method}, marks=marks
                )
            case BadRequest():
                return Part(
                    f"MSRP {frame.method} (malformed: {frame.reason})", key, 0, {"method": frame.method}, marks=marks
                )


def _uris(*paths: str) -> tuple[str, ...]:
    return tuple(uri for path in paths for uri in path.split())


def splitters(protocol: str, transport: str) -> tuple[Splitter, Splitter]:
    """Return what reads the two directions of a new connection."""
    match protocol:
        case "SIP":
            return (DatagramSplitter(), DatagramSplitter()) if transport == "UDP" else (SipSplitter(), SipSplitter())
        case "MSRP":
            chunks: dict[str, str] = {}
            return MsrpSplitter(chunks), MsrpSplitter(chunks)
        case "HTTP":
            asked: deque[tuple[str, str]] = deque()
            return HttpSplitter(asked), HttpSplitter(asked)
        case "SMTP":
            state = SmtpState()
            return SmtpSplitter(state), SmtpSplitter(state)
        case _:
            return PlainSplitter(protocol), PlainSplitter(protocol)


class PlainSplitter:
    """A protocol that this page does not know: one record, one arrow."""

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol

    def receive_data(self, data: bytes) -> Iterator[Part]:
        yield Part(f"{self._protocol} {len(data)} B", data, len(data))
