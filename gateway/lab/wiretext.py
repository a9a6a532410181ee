"""HTTP and SMTP as the ladder shows them: recorded bytes become messages with a label.

Tolerant on purpose: a trace shows broken traffic too, so nothing here raises. Labels never hold a query string, a
credential, a header or a body.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

MAX_PENDING = 16 * 1024 * 1024
"""Octets of one unfinished HTTP, SIP or SMTP message; more is shown as it is and forgotten."""

_HTTP_START = re.compile(rb"(?:[A-Z]{3,20} \S+ HTTP/1\.[01]|HTTP/1\.[01] [0-9]{3}(?: [^\r\n]*)?)\r?\n")
CONTENT_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:[ \t]*([0-9]{1,12})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding[ \t]*:.*\bchunked\b", re.IGNORECASE | re.MULTILINE)
_EVENT_STREAM = re.compile(rb"^content-type[ \t]*:[ \t]*text/event-stream", re.IGNORECASE | re.MULTILINE)
_TRACE = re.compile(rb"(?im)^trace(?:parent|response)[ \t]*:[ \t]*[0-9a-f]{2}-([0-9a-f]{32})-")
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
    marks: tuple[str, ...] = ()
    """By which it is known to belong to others: the paths of MSRP, Call-ID, a trace id."""


class Splitter(Protocol):
    """One direction of a connection."""

    def receive_data(self, data: bytes) -> Iterator[Part]:
        """Take the bytes of one record, yield the messages that end in them."""


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
        length = CONTENT_LENGTH.search(data, 0, head)
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
            whose = f" ({method} {_last_word(path)})" if method else ""
            stream = " event stream" if _EVENT_STREAM.search(data) else ""
            fields: dict[str, str | int] = {"status": status, "method": method, "path": path}
            yield Part(f"{status}{reason}{whose}{stream}", data, len(data), fields, marks=_trace_of(data))
        elif len(words) == 3:
            path = plain_path(words[1])
            self._asked.append((words[0], path.partition("?")[0]))
            fields = {"method": words[0], "path": path}
            yield Part(f"{words[0]} {path}", data, len(data), fields, marks=_trace_of(data))


def _trace_of(data: bytes) -> tuple[str, ...]:
    """Return the trace id of a message (W3C Trace Context), which the gateway hands on to SIP."""
    match = _TRACE.search(data, 0, data.find(b"\r\n\r\n") + 2)
    return () if match is None else (match[1].decode(),)


def _last_word(path: str) -> str:
    """Return the last segment of a path that is no account: what was asked for."""
    words = [word for word in path.split("/") if word and not re.search("[:@%]", word)]
    return words[-1] if words else path


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
