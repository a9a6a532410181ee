"""Event streams, octets to events (WHATWG HTML §9.2.6)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.clients.errors import Unreachable

MAX_LINE = 1_048_576
"""Octets of one line: an event of ours holds one message, which is smaller."""


@dataclass(slots=True)
class ServerEvent:
    """One event, or what a block without data says: only its id counts then."""

    kind: str
    data: bytes
    last_id: str


class StreamParser:
    """Takes an event stream in pieces of any size."""

    def __init__(self) -> None:
        self.retry: float | None = None
        """Seconds that the server wants a client to wait before it connects again."""
        self._last_id = ""
        self._rest = b""
        self._after_cr = False
        self._is_first = True
        self._kind = ""
        self._data: list[bytes] = []
        self._block = False

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Take some octets and return the events that they complete. Raise Unreachable for a line without end."""
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
        if data:
            self._after_cr = data[-1:] == b"\r"
        pieces = (self._rest + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = pieces.pop()
        if len(self._rest) > MAX_LINE:
            raise Unreachable("the event stream has a line without end")
        events = []
        for line in pieces:
            event = self._take(line)
            if event is not None:
                events.append(event)
        return events

    def _take(self, line: bytes) -> ServerEvent | None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._end_block()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data.append(value)
                self._block = True
            case b"event":
                self._kind = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value:
                self._last_id = value.decode("utf-8", "replace")
                self._block = True
            case b"retry" if value.isdigit():
                self.retry = int(value) / 1000
        return None

    def _end_block(self) -> ServerEvent | None:
        is_event, self._block = self._block, False
        kind, self._kind = self._kind, ""
        data, self._data = self._data, []
        return ServerEvent(kind or "message", b"\n".join(data), self._last_id) if is_event else None
