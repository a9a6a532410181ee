"""From recorded bytes to messages with a label: what the ladder draws on its arrows.

One splitter a direction of a connection. They are tolerant: a trace shows broken traffic too, so nothing here raises;
what does not parse is labelled as such. Labels never hold a query string, a credential, a header or a body.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from sipstack.errors import ParseError, RemoteProtocolError
from sipstack.msrp.chunk import BadRequest, Chunk, MsrpResponse, OtherRequest, Report
from sipstack.msrp.parser import ChunkParser
from sipstack.sip.message import Message, Request, Response
from sipstack.sip.parser import parse_message
from sipstack.sip.uri import Uri

MAX_PENDING = 16 * 1024 * 1024
"""Octets of one unfinished HTTP, SIP or SMTP message; more is shown as it is and forgotten."""

_HTTP_START = re.compile(rb"(?:[A-Z]{3,20} \S+ HTTP/1\.[01]|HTTP/1\.[01] [0-9]{3}(?: [^\r\n]*)?)\r?\n")
_SIP_START = re.compile(rb"(?:[A-Z]{3,20} \S+ SIP/2\.0|SIP/2\.0 [0-9]{3} [^\r\n]*)\r\n", re.IGNORECASE)
_CONTENT_LENGTH = re.compile(
    rb"^(?:content-length|l)[ \t]*:[ \t]*([0-9]{1,12})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)
_CHUNKED = re.compile(rb"^transfer-encoding[ \t]*:.*\bchunked\b", re.IGNORECASE | re.MULTILINE)
_EVENT_STREAM = re.compile(rb"^content-type[ \t]*:[ \t]*text/event-stream", re.IGNORECASE | re.MULTILINE)
_SHORT_LINK = re.compile(r"^((?:/[^/]+)?/i)/.+")


@dataclass(slots=True)
class Part:
    """A message, or what one arrow shows of it."""

    label: str
    key: bytes
    """Equal on both sides of a hop."""
    size: int
    """Octets on the wire."""
    fields: dict[str, str | int] = field(default_factory=dict)
    """For the JSON form: method, status, Call-ID and the like."""
    fold: str | None = None
    """Neighbours on one hop with the same word are drawn as one line: the chunks of a long message."""


class Splitter(Protocol):
    """One direction of a connection."""

    def receive_data(self, data: bytes) -> Iterator[Part]:
        """Take the bytes of one record, yield the messages that end in them."""


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
            length = _CONTENT_LENGTH.search(self._data, 0, head + 2)
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
    return Part(label + broken, data, len(data), fields)


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
        return Part(label, chunk.transaction_id.encode() + b" SEND", size, fields, fold)

    def _other(self, frame: Report | MsrpResponse | OtherRequest | BadRequest) -> Part:
        key = frame.transaction_id.encode()
        match frame:
            case MsrpResponse():
                message_id = self._chunks.pop(frame.transaction_id, None)
                fold = None if message_id is None else f"{frame.status} {message_id}"
                label = f"MSRP {frame.status} {frame.comment}".rstrip()
                return Part(label, key, len(bytes(frame)), {"status": frame.status}, fold)
            case Report():
                fields: dict[str, str | int] = {
                    "method": "REPORT",
                    "status": frame.status,
                    "message_id": frame.message_id,
                }
                return Part(f"MSRP REPORT {frame.status}", key + b" REPORT", len(bytes(frame)), fields)
            case OtherRequest():
                return Part(f"MSRP {frame.method}", key + frame.method.encode(), 0, {"method": frame.method})
            case BadRequest():
                return Part(f"MSRP {frame.method} (malformed: {frame.reason})", key, 0, {"method": frame.method})


# HTTP -----------------------------------------------------------------------------------------------------------


class HttpSplitter:
    """One direction of an HTTP/1.1 connection.

    ``asked`` holds the requests of the connection that are not answered yet; both directions share it. A response is
    named after its request, and one to HEAD has no body.
    """

    def __init__(self, asked: deque[tuple[str, str]]) -> None:
        self._asked = asked
        self._data = b""
        self._head: bytes | None = None  # of the message whose body is being read
        self._part: Part | None = None
        self._events = False

    def receive_data(self, data: bytes) -> Iterator[Part]:
        if self._data and not self._events and _HTTP_START.match(data):
            # Masking may have made the message before it shorter than it says.
            yield from self._end(self._data)
            self._data = b""
        self._data += data
        while self._data:
            before = len(self._data)
            if self._events:
                yield from self._read_events()
            else:
                yield from self._read_message()
            if len(self._data) == before:
                break
        if len(self._data) > MAX_PENDING:
            yield Part(f"HTTP? {len(self._data)} B", self._data, len(self._data))
            self._data, self._events = b"", False

    def _read_message(self) -> Iterator[Part]:
        start = _HTTP_START.match(self._data)
        if start is None:
            if b"\n" in self._data:
                yield Part(f"HTTP? {len(self._data)} B", self._data, len(self._data))
                self._data = b""
            return
        head = self._data.find(b"\r\n\r\n")
        if head < 0:
            return
        head += 4
        if self._data.startswith(b"HTTP/") and _EVENT_STREAM.search(self._data, 0, head):
            yield from self._end(self._data[:head])
            self._data = self._data[head:]
            self._events = True
            return
        end = self._body_end(head)
        if end is not None and end <= len(self._data):
            yield from self._end(self._data[:end])
            self._data = self._data[end:]

    def _body_end(self, head: int) -> int | None:
        """Return where the message ends, None while that cannot be seen."""
        data = self._data
        if data.startswith(b"HTTP/"):
            status = int(data[9:12])
            method = self._asked[0][0] if self._asked else ""
            if status < 200 or status in (204, 304) or method == "HEAD":
                return head
        if _CHUNKED.search(data, 0, head):
            return chunked_end(data, head)
        length = _CONTENT_LENGTH.search(data, 0, head)
        # Without a length a response lasts until the connection ends; its head is all that matters here.
        return head + int(length[1]) if length else head

    def _read_events(self) -> Iterator[Part]:
        """Server-sent events, chunked or not: each is worth an arrow of its own."""
        end = self._data.find(b"\n\n")
        if end < 0:
            if self._data.endswith(b"0\r\n\r\n"):
                self._data, self._events = b"", False
            return
        event, self._data = self._data[: end + 2], self._data[end + 2 :].removeprefix(b"\r\n")
        kind = re.search(rb"^event: ?(\S+)", event, re.MULTILINE)
        if kind is not None or b"data:" in event:
            name = kind[1].decode("ascii", "replace") if kind else "event"
            yield Part(f"event: {name}", event, len(event), {"event": name})

    def _end(self, data: bytes) -> Iterator[Part]:
        words = data.split(b"\r\n", 1)[0].decode("utf-8", "replace").split(" ", 2)
        if words[0].startswith("HTTP/"):
            status = int(words[1])
            method, path = self._asked[0] if self._asked else ("", "")
            if status >= 200 and self._asked:
                self._asked.popleft()
            reason = f" {words[2]}" if len(words) > 2 and words[2] else ""
            whose = f" ({method} {path.rpartition('/')[2]})" if method else ""
            stream = " event stream" if _EVENT_STREAM.search(data) else ""
            yield Part(
                f"{status}{reason}{whose}{stream}", data, len(data), {"status": status, "method": method, "path": path}
            )
        elif len(words) == 3:
            path = plain_path(words[1])
            self._asked.append((words[0], path.partition("?")[0]))
            yield Part(f"{words[0]} {path}", data, len(data), {"method": words[0], "path": path})


def plain_path(target: str) -> str:
    """Return a request target without its query and without the token of a short link."""
    path, query, _ = target.partition("?")
    path = _SHORT_LINK.sub(r"\1/…", path)
    return f"{path}?…" if query else path


def chunked_end(data: bytes, start: int) -> int | None:
    """Return where a chunked body (:rfc:`9112#section-7.1`) that begins at ``start`` ends, None if not in ``data``."""
    while True:
        line = data.find(b"\r\n", start)
        if line < 0:
            return None
        try:
            size = int(data[start:line].partition(b";")[0], 16)
        except ValueError:
            return line + 2  # no chunk at all: go on behind the line
        if size == 0:
            trailer_end = data.find(b"\r\n\r\n", line)
            return None if trailer_end < 0 else trailer_end + 4
        start = line + 2 + size + 2


# SMTP -----------------------------------------------------------------------------------------------------------


class SmtpSplitter:
    """One direction of an SMTP session; after STARTTLS what passes is only counted.

    ``state`` is shared by both directions: the replies 354 and 220 change how the client's next bytes are read.
    """

    def __init__(self, state: SmtpState) -> None:
        self._state = state
        self._data = b""

    def receive_data(self, data: bytes) -> Iterator[Part]:
        self._data += data
        while self._data:
            state = self._state
            if state.encrypted:
                size, whole = len(self._data), self._data
                self._data = b""
                yield Part(f"TLS {size} B", whole, size)
                return
            if state.mail and not self._data[:3].isdigit():
                end = self._data.find(b"\r\n.\r\n")
                if end < 0:
                    return
                mail, self._data = self._data[: end + 5], self._data[end + 5 :]
                state.mail = False
                yield Part(f"SMTP mail {len(mail)} B", mail, len(mail))
                continue
            end = self._data.find(b"\r\n")
            if end < 0:
                return
            line, self._data = self._data[: end + 2], self._data[end + 2 :]
            yield from self._line(line)

    def _line(self, line: bytes) -> Iterator[Part]:
        text = line.decode("utf-8", "replace").strip()
        state = self._state
        if re.match(r"[2-5][0-9]{2}(?: |-|$)", text):
            if text[3:4] == "-":
                return  # the last line of a reply stands for all of it
            state.mail = text.startswith("354")
            state.password = text.startswith("334")
            if text.startswith("220") and state.starttls:
                state.encrypted = True
            yield Part(f"SMTP {text[:3]}", line, len(line), {"status": int(text[:3])})
            return
        if state.password:
            yield Part("SMTP (credentials)", line, len(line))
            return
        verb = text.split(" ", 1)[0].upper()
        state.starttls = verb == "STARTTLS"
        shown = {"MAIL": "MAIL FROM", "RCPT": "RCPT TO"}.get(verb, verb)
        yield Part(f"SMTP {shown}", line, len(line), {"method": verb})


@dataclass(slots=True)
class SmtpState:
    """Where an SMTP session is."""

    mail: bool = False
    password: bool = False
    starttls: bool = False
    encrypted: bool = False


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
