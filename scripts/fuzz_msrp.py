"""Feed MSRP connections and relay clients with broken input: it is taken, answered or refused by a typed error.

Run it from the top of the repository: ``python -m scripts.fuzz_msrp --count 20000 --seed 7``. The same seed gives the
same octets. What breaks a rule is printed as a Python literal, ready for a regression test; the exit status is 1 then.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from scripts import fuzzing
from sipstack import ids
from sipstack.errors import RemoteProtocolError
from sipstack.msrp.chunk import REASONS, Chunk, MsrpResponse, Report
from sipstack.msrp.connection import MsrpConnection
from sipstack.msrp.events import ChunkConfirmed, StreamEnded
from sipstack.msrp.message import IncomingMessage, OutgoingMessage
from sipstack.msrp.parser import ChunkParser
from sipstack.msrp.relay import RelayClient
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.stream import IncomingStream, Octets, Sink
from sipstack.msrp.table import SessionTable
from sipstack.msrp.uri import MsrpUri
from sipstack.sip.digest import Credentials
from sipstack.sip.digest_relay import RelayCredentials

OURS = MsrpUri.parse("msrp://192.0.2.10:2855/aV7pKe03;tcp")
THEIRS = MsrpUri.parse("msrp://192.0.2.20:7777/s2bQ81xT;tcp")
RELAYS = [MsrpUri.parse("msrps://relay.example:2855;tcp"), MsrpUri.parse("msrps://second.example:2855;tcp")]
MAX_SIZE = 100_000
CREDENTIALS = Credentials("b", lambda realm, algorithm: "ab" * 16)


@dataclass
class Outcome:
    """What came of one input; must not depend on how it was cut."""

    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    """Message-IDs and octets of messages that arrived."""
    sent: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    """Message-ID → state and code of our messages, as they were told last."""
    closing: bool = False


class Spool:
    """A sink for one message."""

    def __init__(self) -> None:
        self.octets = bytearray()

    def write(self, start: int, data: bytes) -> None:
        """Put the octets in their place."""
        end = start + len(data)
        assert data and end <= MAX_SIZE, f"{start} to {end}"
        self.octets.extend(bytes(max(0, start - len(self.octets))))
        self.octets[start:end] = data


class End:
    """Our end of a connection, with one session: it keeps what comes in memory, or has it written to a sink."""

    def __init__(self, *, streams: bool, sends: bool) -> None:
        self.outcome = Outcome()
        self.output: list[bytes] = []
        self._spools: dict[IncomingStream, Spool] = {}
        table = SessionTable()
        session = MsrpSession(OURS, max_size=MAX_SIZE)
        if streams:
            session.on_stream = self._take
        table.add(session)
        self.connection = MsrpConnection(table, 0.0)
        if sends:
            self.connection.attach(session)
            session.open((THEIRS,), accept_types=["text/plain"])
            session.send(b"small", "text/plain", message_id="outgoing1", on_done=self._done)
            session.send(b"x" * 5000, "text/plain", message_id="outgoing2", success_report=True, on_done=self._done)
            session.send_stream(Octets(b"y" * 100_000), "text/plain", message_id="outgoing3", on_done=self._done)
            self.turn()

    def _take(self, stream: IncomingStream) -> Sink | int:
        if stream.content_type == "image/gif":
            return 415
        spool = self._spools[stream] = Spool()
        stream.on_end = lambda error: None
        return spool

    def _done(self, message: OutgoingMessage) -> None:
        self.outcome.sent[message.message_id] = (message.state.value, message.status)

    def turn(self) -> None:
        """Hand on events and write what there is to write."""
        while (event := self.connection.next_event()) is not None:
            if isinstance(event, IncomingMessage):
                body = event.body
                if event.stream is not None:
                    spool = self._spools.pop(event.stream, None)
                    body = bytes(spool.octets[: event.size]) if spool else b""
                assert len(body) == event.size
                self.outcome.bodies.append((event.message_id, body))
                event.accept()
            elif isinstance(event, OutgoingMessage) and event.on_done is not None:
                event.on_done(event)
            elif isinstance(event, StreamEnded) and event.stream.on_end is not None:
                event.stream.on_end(event.error)
            elif isinstance(event, ChunkConfirmed):
                assert 0 <= event.message.confirmed <= event.message.size
        while data := self.connection.data_to_send(0.0):
            self.output.append(data)

    def feed(self, data: bytes, cuts: Sequence[int]) -> Outcome:
        """Take ``data`` in pieces, then let time pass and the connection end."""
        edges = [0, *cuts, len(data)]
        for start, stop in itertools.pairwise(edges):
            self.connection.receive_data(data[start:stop], 0.0)
            self.turn()
        self.outcome.closing = self.connection.is_closing
        self.connection.handle_timer(100.0)
        self.turn()
        self.connection.receive_eof()
        self.turn()
        return self.outcome

    def check_output(self) -> None:
        """See that what we wrote is MSRP, and that we answered by codes that we know."""
        parser = ChunkParser()
        parser.receive_data(b"".join(self.output))
        while (frame := parser.next_frame()) is not None:
            assert isinstance(frame, Chunk | MsrpResponse | Report), f"we wrote {frame}"
            assert not isinstance(frame, MsrpResponse) or frame.status in REASONS
        assert not parser.dropped


def run_end(data: bytes, cuts: Sequence[int], *, streams: bool, sends: bool) -> Outcome:
    """Return what comes of ``data`` when it is cut like this."""
    numbers = itertools.count(1)
    ids.msrp_transaction_id = lambda: f"ours{next(numbers):012}"
    end = End(streams=streams, sends=sends)
    outcome = end.feed(data, cuts)
    end.check_output()
    return outcome


def check_connection(chance: random.Random, data: bytes) -> str:
    """Feed ``data`` whole and cut, into memory or into sinks, with messages of ours under way or without."""
    streams, sends = chance.random() < 0.4, chance.random() < 0.3
    whole = run_end(data, [], streams=streams, sends=sends)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 8)))
    assert run_end(data, cuts, streams=streams, sends=sends) == whole, f"cut at {cuts}, {streams=}, {sends=}"
    kind = "stream" if streams else "memory"
    return f"{kind} {'closed' if whole.closing else 'open'}, {len(whole.bodies)} messages"


def check_relay(chance: random.Random, data: bytes) -> str:
    """Give a relay client the responses in ``data``, and time."""
    numbers = itertools.count(1)
    ids.msrp_transaction_id = lambda: f"auth{next(numbers):012}"
    client = RelayClient(RELAYS[: chance.choice((1, 2))], OURS, RelayCredentials(CREDENTIALS))
    client.start(0.0)
    client.data_to_send()
    parser = ChunkParser()
    parser.receive_data(data)
    events = []
    try:
        while (frame := parser.next_frame()) is not None:
            if isinstance(frame, MsrpResponse):
                # Whatever became of its identifier: it answers what is asked now.
                frame.transaction_id = client.transaction_id
                client.receive_response(frame, 1.0)
            while (event := client.next_event()) is not None:
                events.append(type(event).__name__)
            assert client.data_to_send().count(b"MSRP ") <= 1
    except RemoteProtocolError:
        events.append("stream refused")
    client.handle_timer(1000.0)
    return f"relay {events[-1] if events else 'waits'}"


def response(status: str, *headers: str, number: int = 1) -> bytes:
    """Return a response of a relay."""
    lines = [f"MSRP auth{number:012} {status}", f"To-Path: {OURS}", f"From-Path: {RELAYS[0]}", *headers]
    return "\r\n".join([*lines, f"-------auth{number:012}$", ""]).encode()


def answers() -> list[bytes]:
    """Return what a peer says to our messages."""
    paths = f"To-Path: {OURS}\r\nFrom-Path: {THEIRS}\r\n"
    found = []
    for number, status in ((1, 200), (1, 415), (2, 200), (2, 413), (3, 200), (3, 408), (4, 481), (5, 200)):
        tid = f"ours{number:012}"
        found.append(f"MSRP {tid} {status} said\r\n{paths}-------{tid}$\r\n".encode())
    reports = ((1, "1-5/5", 200), (2, "1-5000/5000", 200), (2, "1-2048/5000", 413), (3, "1-*/*", 408))
    for message, octets, status in reports:
        lines = f"Message-ID: outgoing{message}\r\nByte-Range: {octets}\r\nStatus: 000 {status} x\r\n"
        found.append(f"MSRP report12 REPORT\r\n{paths}{lines}-------report12$\r\n".encode())
    return found


def chunks() -> list[bytes]:
    """Return messages in one chunk and in several, in any order, overlapping, given up, too large."""
    plans = [
        [(1, b"whole", "$")],
        [(1, b"", "$")],
        [(1, b"one", "+"), (4, b"two", "+"), (7, b"three", "$")],
        [(4, b"two", "$"), (1, b"one", "+")],
        [(1, b"overlap", "+"), (3, b"ping", "+"), (7, b"!", "$")],
        [(1, b"given", "+"), (6, b"up", "#"), (1, b"again", "$")],
        [(1, b"z" * 5000, "+"), (5001, b"z" * 5000, "$")],
        [(99_990, b"at the limit", "+"), (99_000, b"below", "+")],
        [(1, b"repeated", "$"), (1, b"repeated", "$")],
    ]
    found = []
    for number, plan in enumerate(plans):
        octets = b""
        for place, (start, body, flag) in enumerate(plan):
            lines = [f"MSRP tid{number:03}x{place:03} SEND", f"To-Path: {OURS}", f"From-Path: {THEIRS}"]
            lines += [f"Message-ID: message{number:03}", f"Byte-Range: {start}-*/*"]
            lines += ["Success-Report: yes"] * (number % 2) + ["Failure-Report: partial"] * (number % 3 == 2)
            head = "\r\n".join([*lines, "Content-Type: text/plain", "", ""]).encode()
            octets += head + body + f"\r\n-------tid{number:03}x{place:03}{flag}\r\n".encode()
        found.append(octets)
    return found


CHALLENGE = 'WWW-Authenticate: Digest realm="relay.example", nonce="abcdef", qop="auth", algorithm=SHA-256'
PATH = "Use-Path: msrps://relay.example:2855/Ax4;tcp"
RESPONSES = [
    response("401 Unauthorized", CHALLENGE) + response("200 OK", PATH, "Expires: 600"),
    response("401", 'WWW-Authenticate: Digest realm="r", nonce="n"', CHALLENGE.replace("SHA-256", "MD5-sess")),
    response("423 Bounds", "Min-Expires: 60", "Max-Expires: 3600") + response("423 Bounds", "Min-Expires: 4000"),
    response("200 OK", f"{PATH} msrps://b.example:1/c;tcp", "Expires: 99999999999"),
    response("200 OK", PATH, 'Authentication-Info: nextnonce="x", qop=auth, rspauth="00", cnonce="c", nc=00000001'),
    response("403 Forbidden") + response("501 Unknown") + response("200 OK"),
]

CHECKS = {"connection": check_connection, "relay": check_relay}
CORPORA = {"connection": fuzzing.vectors("msrp") + answers() + 2 * chunks(), "relay": RESPONSES}


if __name__ == "__main__":
    sys.exit(fuzzing.run(__doc__, CHECKS, CORPORA))
