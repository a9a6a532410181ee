"""Two ends of an MSRP connection joined in memory, and raw bytes for one end."""

from __future__ import annotations

from collections.abc import Sequence

from sipstack.msrp.chunk import Chunk, Frame, MsrpResponse
from sipstack.msrp.connection import MsrpConnection
from sipstack.msrp.events import ChunkConfirmed, Event, SessionFailed, StreamEnded
from sipstack.msrp.message import IncomingMessage, OutgoingMessage
from sipstack.msrp.parser import ChunkParser
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.table import SessionTable
from sipstack.msrp.uri import MsrpUri
from tests.utils import Clock, lf2crlf

OURS = "msrp://192.0.2.10:2855/aV7pKe03;tcp"
THEIRS = "msrp://192.0.2.20:7777/s2bQ81xT;tcp"


def frame(text: str, body: bytes | None = None, end: str = "") -> bytes:
    """Return a frame written with plain line breaks; ``body`` and the end-line ``end`` follow its blank line."""
    octets = lf2crlf(text)
    return octets if body is None else octets + b"\r\n" + body + b"\r\n" + lf2crlf(end + "\n")


def send(
    transaction_id: str = "d93kswow2a",
    body: bytes | None = b"hello",
    *,
    message_id: str = "87652491kzp",
    byte_range: str | None = None,
    content_type: str | None = "text/plain",
    to: str = OURS,
    by: str = THEIRS,
    extra: str = "",
    flag: str = "$",
) -> bytes:
    """Return a SEND from the peer to us."""
    length = len(body or b"")
    lines = [f"MSRP {transaction_id} SEND", f"To-Path: {to}", f"From-Path: {by}", f"Message-ID: {message_id}"]
    lines.append(f"Byte-Range: {byte_range or f'1-{length}/{length}'}")
    text = "\n".join(lines) + "\n" + extra
    end = f"-------{transaction_id}{flag}"
    if body is None:
        return frame(f"{text}{end}\n")
    return frame(f"{text}Content-Type: {content_type}\n" if content_type else text, body, end)


def answer(transaction_id: str, status: int = 200, comment: str = " OK") -> bytes:
    """Return the peer's response to a SEND of ours."""
    return frame(
        f"MSRP {transaction_id} {status}{comment}\nTo-Path: {OURS}\nFrom-Path: {THEIRS}\n-------{transaction_id}$\n"
    )


def report(status: str, *, message_id: str, byte_range: str | None = None, flag: str = "$") -> bytes:
    """Return a REPORT from the peer."""
    ranges = f"Byte-Range: {byte_range}\n" if byte_range else ""
    return frame(
        f"MSRP k2p0Zq7x REPORT\nTo-Path: {OURS}\nFrom-Path: {THEIRS}\nMessage-ID: {message_id}\n{ranges}"
        f"Status: {status}\n-------k2p0Zq7x{flag}\n"
    )


def frames_of(data: bytes) -> list[Frame]:
    """Return what a parser makes of ``data``."""
    parser = ChunkParser()
    parser.receive_data(data)
    found = []
    while (one := parser.next_frame()) is not None:
        found.append(one)
    return found


def chunks_of(data: bytes) -> list[Chunk]:
    """Return the SEND requests in ``data``; one that has no end yet is the last."""
    return [one for one in frames_of(data) if isinstance(one, Chunk)]


class End:
    """One end: a connection, its table of sessions, what has happened."""

    def __init__(self, clock: Clock | None = None, *, local: str = OURS) -> None:
        self.clock = clock or Clock()
        self.table = SessionTable()
        self.wakes = 0
        self.connection = MsrpConnection(self.table, self.clock(), wake=self._wake)
        self.local = MsrpUri.parse(local)
        self.done: list[tuple[str, str, int | None]] = []

    def _wake(self) -> None:
        self.wakes += 1

    def session(
        self,
        *,
        remote: str | None = THEIRS,
        attach: bool = True,
        max_size: int = 1 << 21,
        session_id: str | None = None,
        accept_types: tuple[str, ...] | None = None,
        remote_max_size: int | None = None,
    ) -> MsrpSession:
        """Return a new session, open and attached unless told otherwise."""
        local = self.local
        if session_id is not None:
            local = MsrpUri(local.scheme, local.host, local.port, session_id)
        session = MsrpSession(local, max_size=max_size)
        self.table.add(session)
        if attach:
            self.connection.attach(session)
        if remote is not None:
            path = tuple(MsrpUri.parse(uri) for uri in remote.split())
            session.open(path, accept_types=accept_types, max_size=remote_max_size)
        return session

    def on_done(self, message: OutgoingMessage) -> None:
        """Note what became of a message."""
        self.done.append((message.message_id, message.state.value, message.status))

    def receive(self, data: bytes) -> list[Event]:
        """Feed bytes and return the events."""
        self.connection.receive_data(data, self.clock())
        return self.events()

    def events(self) -> list[Event]:
        """Return the events, calling what wants to be called."""
        found: list[Event] = []
        while (event := self.connection.next_event()) is not None:
            if isinstance(event, OutgoingMessage) and event.on_done is not None:
                event.on_done(event)
            elif isinstance(event, ChunkConfirmed) and event.message.on_progress is not None:
                event.message.on_progress(event.message)
            elif isinstance(event, StreamEnded) and event.stream.on_end is not None:
                event.stream.on_end(event.error)
            found.append(event)
        return found

    def output(self) -> bytes:
        """Return everything that is to be sent."""
        parts = []
        while data := self.connection.data_to_send(self.clock()):
            parts.append(data)
        return b"".join(parts)

    def output_frames(self) -> list[Frame]:
        """Return what is to be sent as frames."""
        return frames_of(self.output())

    def advance(self, seconds: float) -> list[Event]:
        """Let time pass, run the timer if it is due, and return the events."""
        now = self.clock.advance(seconds)
        due = self.connection.get_timer()
        if due is not None and due <= now:
            self.connection.handle_timer(now)
        return self.events()


def acknowledge(end: End, frames: Sequence[Frame]) -> None:
    """Answer each SEND with 200."""
    for one in frames:
        if isinstance(one, Chunk) and one.flag:
            end.receive(answer(one.transaction_id))


def statuses_of(end: End) -> list[int]:
    """Return the codes of the responses that are to be sent."""
    return [one.status for one in end.output_frames() if isinstance(one, MsrpResponse)]


def messages(events: list[Event]) -> list[IncomingMessage]:
    """Return the messages among events."""
    return [event for event in events if isinstance(event, IncomingMessage)]


def failures(events: list[Event]) -> list[SessionFailed]:
    """Return the failed sessions among events."""
    return [event for event in events if isinstance(event, SessionFailed)]


def pair() -> tuple[End, MsrpSession, End, MsrpSession]:
    """Return two ends with one session between them, both bound."""
    clock = Clock()
    left, right = End(clock), End(clock, local=THEIRS)
    return left, left.session(), right, right.session(remote=OURS)


def transfer(left: End, right: End) -> tuple[list[Event], list[Event]]:
    """Carry bytes to and fro until both are silent, accepting every message; return the events of both."""
    seen: tuple[list[Event], list[Event]] = ([], [])
    while True:
        there, back = left.connection.data_to_send(left.clock()), right.connection.data_to_send(right.clock())
        for end, data, events in ((right, there, seen[1]), (left, back, seen[0])):
            fresh = end.receive(data) if data else end.events()
            events += fresh
            for message in messages(fresh):
                message.accept()
        if not there and not back:
            return seen
