"""Messages that are never whole in memory, both ways (C-BR-03 to C-BR-13, C-RSP-07, C-FRM-03, C-BAD-13)."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack import ids
from sipstack.errors import ConnectionClosed, LocalProtocolError, MessageTooLarge, SipstackError, TransactionTimeout
from sipstack.msrp.chunk import FailureReport, MsrpResponse, Report
from sipstack.msrp.connection import MsrpConnection
from sipstack.msrp.message import MessageState, OutgoingMessage
from sipstack.msrp.outbox import MAX_CHUNK, MAX_WRITE, SMALL
from sipstack.msrp.reception import MAX_PARTIALS, PARTIAL_TIMEOUT
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.stream import IncomingStream, Octets, Sink
from sipstack.msrp.succession import adopt
from tests.sipstack.msrp.helpers import (
    OURS,
    THEIRS,
    End,
    acknowledge,
    chunks_of,
    messages,
    pair,
    send,
    statuses_of,
    transfer,
)

BODY = bytes(index * 7 % 251 for index in range(1_200_000))


class Tap:
    """A source that gives what it has so far, then what ``broken`` says."""

    def __init__(self, octets: bytes, ready: int = 0, broken: Exception | None = None) -> None:
        self.octets = octets
        self.ready = ready
        self.broken = broken
        self.size = len(octets)
        self.reads: list[tuple[int, int]] = []

    def read(self, start: int, limit: int) -> memoryview | None:
        """Return octets, None, or raise."""
        self.reads.append((start, limit))
        if start < self.ready:
            return memoryview(self.octets)[start : min(start + limit, self.ready)]
        if self.broken is not None:
            raise self.broken
        return None


class Bowl:
    """A sink in memory; it holds ``room`` octets and then breaks with ``error``."""

    def __init__(self, room: int = 1 << 30, error: Exception | None = None) -> None:
        self.octets = bytearray()
        self.room = room
        self.error = error

    def write(self, start: int, data: bytes) -> None:
        """Keep ``data``."""
        assert data, "no empty writes"
        if self.error is not None and start + len(data) > self.room:
            raise self.error
        self.octets.extend(bytes(max(0, start + len(data) - len(self.octets))))
        self.octets[start : start + len(data)] = data


class Taker:
    """Takes the streams of a session into bowls."""

    def __init__(self, session: MsrpSession, verdict: Sink | int | None = None) -> None:
        self.streams: list[IncomingStream] = []
        self.bowls: dict[str, Bowl] = {}
        self.ends: list[tuple[str, Exception | None]] = []
        self.verdict = verdict
        session.on_stream = self._take

    def _take(self, stream: IncomingStream) -> Sink | int:
        self.streams.append(stream)
        stream.on_end = lambda error: self.ends.append((stream.message_id, error))
        if self.verdict is not None:
            return self.verdict
        return self.bowls.setdefault(stream.message_id, Bowl())


@pytest.fixture
def end() -> End:
    return End()


# Sending


@pytest.mark.parametrize("size", [0, 1, SMALL, SMALL + 1, MAX_WRITE + 1, MAX_CHUNK, 3 * MAX_CHUNK + 5])
def test_stream_on_the_wire(end: End, size: int) -> None:
    # C-BR-01, C-BR-02, C-BR-05: as if it were in memory.
    end.session().send_stream(Octets(BODY[:size]), "image/png", message_id="stream01")
    chunks = chunks_of(end.output())
    assert b"".join(chunk.body for chunk in chunks) == BODY[:size]
    assert {(chunk.end, chunk.total, chunk.content_type) for chunk in chunks} == {
        (None if size else 0, size, "image/png")
    }
    assert [chunk.flag for chunk in chunks if chunk.flag] == ["+"] * ((size - 1) // MAX_CHUNK) + ["$"]


def test_octets_of_files_are_handed_out_as_they_are(end: End) -> None:
    body = BODY[:SMALL]
    end.session().send_stream(Octets(body), "image/png")
    head, octets, end_line = end.connection.pieces_to_send(0.0)
    assert octets is body and chunks_of(head + octets + end_line)[0].body == body


def test_source_is_read_no_faster_than_the_wire_takes_it(end: End) -> None:
    tap = Tap(BODY, len(BODY))
    end.session().send_stream(tap, "image/png")
    assert tap.reads == []
    end.connection.data_to_send(0.0)
    assert sum(limit for _, limit in tap.reads) <= 2 * MAX_WRITE


def test_source_that_has_to_wait(end: End) -> None:
    # The chunk under way ends; another session writes; it goes on where it was.
    session, other = end.session(), end.session(session_id="second01")
    tap = Tap(BODY)
    message = session.send_stream(tap, "image/png", message_id="stream01")
    behind = session.send(b"behind", "text/plain", message_id="behind01")
    assert end.output() == b"" and message.is_stalled
    tap.ready = 10_000
    session.source_ready(message)
    first = chunks_of(end.output())
    assert [(len(chunk.body), chunk.flag) for chunk in first] == [(10_000, "+")]
    other.send(b"other", "text/plain", message_id="other001")
    acknowledge(end, first)
    assert [chunk.message_id for chunk in chunks_of(end.output())] == ["other001"]
    tap.ready = len(BODY)
    session.source_ready(message)
    rest = chunks_of(end.output())
    assert rest[0].start == 10_001 and rest[-1].body == b"behind"
    assert b"".join(chunk.body for chunk in first + rest[:-1]) == BODY
    acknowledge(end, rest)
    assert message.state is behind.state is MessageState.SENT


def test_small_stream_that_comes_in_bits(end: End) -> None:
    session = end.session()
    tap = Tap(b"abcd", 1)
    message = session.send_stream(tap, "image/png")
    data = end.output()
    for ready in (2, 4):
        tap.ready = ready
        session.source_ready(message)
        data += end.output()
    assert [(chunk.start, chunk.body, chunk.flag) for chunk in chunks_of(data)] == [
        (1, b"a", "+"),
        (2, b"b", "+"),
        (3, b"cd", "$"),
    ]


@pytest.mark.parametrize("broken", [OSError("disk"), SipstackError("upload cancelled")])
@pytest.mark.parametrize("ready", [0, 10_000])
def test_source_that_breaks(end: End, broken: Exception, ready: int) -> None:
    # C-BR-08: "#" for what was begun; the next message goes.
    session = end.session()
    message = session.send_stream(Tap(BODY, ready, broken), "image/png", message_id="stream01", on_done=end.on_done)
    session.send(b"next", "text/plain", message_id="next0001")
    chunks = [chunk for chunk in chunks_of(end.output()) if chunk.flag]
    assert [(chunk.message_id, chunk.flag) for chunk in chunks] == [("stream01", "#")][:ready] + [("next0001", "$")]
    end.events()
    assert end.done == [("stream01", "failed", None)] and message.error is broken
    assert session.outstanding == 1


def test_source_that_breaks_between_two_chunks(end: End) -> None:
    session, other = end.session(), end.session(session_id="second01")
    tap = Tap(BODY, 8192)
    message = session.send_stream(tap, "image/png", message_id="stream01", on_done=end.on_done)
    data = end.output()
    tap.broken = OSError("disk")
    other.send_stream(Octets(BODY), "image/png", message_id="other001")
    data += end.connection.data_to_send(0.0)
    session.source_ready(message)
    data += end.output()
    aborts = [chunk for chunk in chunks_of(data) if chunk.flag == "#"]
    assert [(chunk.message_id, chunk.start, chunk.body) for chunk in aborts] == [("stream01", 8193, b"")]
    assert b"".join(chunk.body for chunk in chunks_of(data) if chunk.message_id == "other001") == BODY


@pytest.mark.parametrize("octets", [b"", b"xxx"])
def test_source_that_breaks_its_contract(end: End, octets: bytes) -> None:
    class Liar(Octets):
        def read(self, start: int, limit: int) -> bytes:
            return octets

    message = end.session().send_stream(Liar(b"ab"), "image/png")
    assert end.output() == b""
    assert message.state is MessageState.FAILED and isinstance(message.error, LocalProtocolError)


@pytest.mark.parametrize("at", [1, 5000, MAX_WRITE - 3, MAX_WRITE, MAX_WRITE + 7, MAX_CHUNK - 20, len(BODY) - 10])
def test_end_line_in_octets_not_known_yet(end: End, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    # C-FRM-03: the chunk ends before what would be taken for its end-line, wherever the reads are cut.
    draws: Iterator[str] = iter(["evil1234", *(f"good{number:04}" for number in range(50))])
    monkeypatch.setattr(ids, "msrp_transaction_id", lambda: next(draws))
    body = BODY[:at] + b"\r\n-------evil1234$\r\n" + BODY[at:]
    sender, session, receiver, theirs = pair()
    taker = Taker(theirs)
    session.send_stream(Octets(body), "image/png", message_id="stream01")
    data = sender.output()
    for one in chunks_of(data):
        assert b"-------" + one.transaction_id.encode() not in one.body
    (message,) = messages(receiver.receive(data))
    assert message.size == len(body) and taker.bowls["stream01"].octets == body


def test_end_line_right_behind_a_chunk(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    draws: Iterator[str] = iter(["evil1234", "good1234"])
    monkeypatch.setattr(ids, "msrp_transaction_id", lambda: next(draws))
    tap = Tap(BODY[:3000] + b"-------evil1234", 3000 + 9)
    session = end.session()
    message = session.send_stream(tap, "image/png")
    data = end.connection.data_to_send(0.0)
    # The source had nothing more: the chunk was ended, and the next may hold anything but its own mark.
    tap.ready = tap.size
    session.source_ready(message)
    data += end.output()
    assert b"".join(chunk.body for chunk in chunks_of(data)) == tap.octets
    assert [chunk.transaction_id for chunk in chunks_of(data)] == ["evil1234", "good1234"]


def test_progress_is_what_was_answered(end: End) -> None:
    session = end.session()
    seen: list[tuple[int, int]] = []

    def on_progress(message: OutgoingMessage) -> None:
        seen.append((message.confirmed, message.written))

    message = session.send_stream(Octets(BODY), "image/png", on_progress=on_progress)
    assert message.confirmed == 0
    chunks = [chunk for chunk in chunks_of(end.output()) if chunk.flag]
    assert message.confirmed == 0 and message.written == len(BODY)
    acknowledge(end, chunks[1:2])
    acknowledge(end, chunks[:1])
    acknowledge(end, chunks[2:])
    assert [confirmed for confirmed, _ in seen] == [0, 2 * MAX_CHUNK, 3 * MAX_CHUNK, 4 * MAX_CHUNK, len(BODY)]
    assert message.state is MessageState.SENT and message.source is None


@pytest.mark.parametrize("wish", ["no", "partial"])
def test_streams_without_answers(end: End, wish: FailureReport) -> None:
    message = end.session().send_stream(Octets(BODY), "image/png", failure_report=wish, on_done=end.on_done)
    end.output()
    end.events()
    assert (message.state, message.confirmed) == (MessageState.SENT, len(BODY))


def test_cancelled_while_its_source_waits(end: End) -> None:
    session = end.session()
    message = session.send_stream(Tap(BODY, 5000), "image/png", message_id="stream01", on_done=end.on_done)
    session.send(b"next", "text/plain", message_id="next0001")
    data = end.output()
    message.cancel()
    data += end.output()
    assert [(chunk.message_id, chunk.flag) for chunk in chunks_of(data)] == [
        ("stream01", "+"),
        ("stream01", "#"),
        ("next0001", "$"),
    ]
    # Too late, and nothing to worry about.
    session.source_ready(message)
    assert end.output() == b""


def test_cancelled_before_the_session_is_open(end: End) -> None:
    session = end.session(remote=None)
    message = session.send_stream(Octets(BODY), "image/png")
    session.send(b"next", "text/plain")
    message.cancel()
    assert end.output() == b"" and message.state is MessageState.FAILED


def test_refused_by_what_the_peer_said(end: End) -> None:
    # C-BR-13, C-SES-04
    session = end.session(accept_types=("image/png",), remote_max_size=10)
    too_large = session.send_stream(Octets(b"x" * 11), "image/png", on_done=end.on_done)
    unwanted = session.send_stream(Octets(b"x"), "image/gif")
    assert (too_large.status, unwanted.status) == (413, 415) and too_large.source is None
    assert len(end.done) == 1


@pytest.mark.parametrize("start", [0, 4])
def test_start_outside_of_the_message(end: End, start: int) -> None:
    with pytest.raises(LocalProtocolError):
        end.session().send_stream(Octets(b"abc"), "image/png", start=start)


def test_early_success_report_is_no_success(end: End) -> None:
    # C-RSP-03: a report about octets that were never sent is nonsense.
    session = end.session()
    message = session.send_stream(Octets(BODY), "image/png", message_id="stream01", success_report=True)
    data = end.connection.data_to_send(0.0)
    end.receive(send_report("stream01"))
    assert message.state is MessageState.PENDING
    assert b"".join(chunk.body for chunk in chunks_of(data + end.output())) == BODY


def send_report(message_id: str) -> bytes:
    """Return a success REPORT about a whole message."""
    return (
        f"MSRP k2p0Zq7x REPORT\r\nTo-Path: {OURS}\r\nFrom-Path: {THEIRS}\r\nMessage-ID: {message_id}\r\n"
        "Status: 000 200 OK\r\n-------k2p0Zq7x$\r\n"
    ).encode()


# Receiving


def test_stream_goes_to_the_sink(end: End) -> None:
    # C-BR-06, C-BR-07
    session = end.session()
    taker = Taker(session)
    assert end.receive(send("tid00001", b"abc", byte_range="1-*/6", flag="+", extra="X-Foo: 1\n")) == []
    (stream,) = taker.streams
    assert (stream.message_id, stream.content_type, stream.total) == ("87652491kzp", "text/plain", 6)
    assert (stream.received, stream.headers, stream.session) == (3, (("X-Foo", "1"),), session)
    assert "3/6" in repr(stream)
    (message,) = messages(end.receive(send("tid00002", b"def", byte_range="4-*/6")))
    assert (message.stream, message.body, message.size) == (stream, b"", 6)
    assert taker.bowls["87652491kzp"].octets == b"abcdef"
    assert statuses_of(end) == [200]
    message.accept()
    assert statuses_of(end) == [200] and taker.ends == []
    # Too late to stop.
    stream.stop()
    assert end.receive(send("tid00003", b"def", byte_range="4-*/6")) == [] and statuses_of(end) == [200]


@pytest.mark.parametrize("body", [b"", b"x"])
def test_stream_in_one_chunk(end: End, body: bytes) -> None:
    taker = Taker(end.session())
    octets = send(body=body, extra="Success-Report: yes\n")
    (message,) = messages(end.receive(octets[:-40]) + end.receive(octets[-40:]))
    assert message.size == len(body) and bytes(taker.bowls["87652491kzp"].octets) == body
    message.accept()
    assert f"Byte-Range: 1-{len(body)}/{len(body)}".encode() in end.output()


def test_empty_send_is_no_stream(end: End) -> None:
    # C-SET-09
    taker = Taker(end.session())
    assert end.receive(send(body=None)) == [] and statuses_of(end) == [200]
    assert taker.streams == []


def test_stream_without_a_type(end: End) -> None:
    taker = Taker(end.session())
    end.receive(send("tid00001", content_type=None, flag="+", byte_range="1-*/10"))
    end.receive(send("tid00002", content_type=None, byte_range="6-10/10"))
    assert statuses_of(end) == [400, 400] and taker.streams == []


def test_octets_beyond_the_end_do_not_count(end: End) -> None:
    # C-BAD-05: the last "$" decides.
    taker = Taker(end.session())
    end.receive(send("tid00001", b"abcdef", byte_range="1-*/*", flag="+"))
    assert taker.streams[0].total is None and "6/*" in repr(taker.streams[0])
    (message,) = messages(end.receive(send("tid00002", b"X", byte_range="4-*/*")))
    assert message.size == 4 and taker.bowls["87652491kzp"].octets[: message.size] == b"abcX"


@pytest.mark.parametrize("code", [413, 415])
def test_stream_refused_at_once(end: End, code: int) -> None:
    # C-RSP-09: answered before the chunk is over, and whatever else comes of the message.
    taker = Taker(end.session(), code)
    octets = send("tid00001", b"x" * 5000, byte_range="1-*/9000", flag="+")
    end.receive(octets[:3000])
    assert statuses_of(end) == [code]
    end.receive(octets[3000:] + send("tid00002", b"y" * 4000, byte_range="5001-*/9000"))
    assert statuses_of(end) == [code] and len(taker.streams) == 1 and taker.ends == []


def test_stop_in_the_middle_of_a_chunk(end: End) -> None:
    # C-RSP-07, receiving side: 413 with the next octets, the rest is ignored.
    taker = Taker(end.session())
    octets = send("tid00001", b"x" * 5000, byte_range="1-*/9000", flag="+")
    end.receive(octets[:3000])
    (stream,) = taker.streams
    had = stream.received
    with pytest.raises(LocalProtocolError):
        stream.stop(200)
    stream.stop()
    end.receive(octets[3000:4000])
    assert statuses_of(end) == [413]
    end.receive(octets[4000:])
    assert statuses_of(end) == [] and stream.received == had and taker.ends == []
    # The sender aborts, as it must, and may send something else.
    end.receive(send("tid00002", b"", byte_range="5001-*/9000", flag="#"))
    (other,) = messages(end.receive(send("tid00003", message_id="another1")))
    assert other.size == 5


@pytest.mark.parametrize("error", [OSError("no space left"), SipstackError("the spool is full")])
def test_sink_that_breaks(end: End, error: Exception) -> None:
    taker = Taker(end.session(), Bowl(room=1000, error=error))
    octets = send("tid00001", b"x" * 5000, byte_range="1-*/9000", flag="+")
    end.receive(octets[:800])
    end.receive(octets[800:])
    assert statuses_of(end) == [413] and taker.ends == [("87652491kzp", error)]


@pytest.mark.parametrize("flag", ["+", "$"])
def test_sink_that_stops_the_stream(end: End, flag: str) -> None:
    class Stopper:
        def write(self, start: int, data: bytes) -> None:
            taker.streams[0].stop(415)

    taker = Taker(end.session(), Stopper())
    assert end.receive(send("tid00001", b"x" * 50, byte_range="1-*/50", flag=flag)) == []
    assert statuses_of(end) == [415] and taker.ends == []


def test_sender_that_gives_up(end: End) -> None:
    # C-BR-08
    taker = Taker(end.session())
    end.receive(send("tid00001", b"abc", byte_range="1-*/6", flag="+"))
    end.receive(send("tid00002", b"", byte_range="4-*/6", flag="#"))
    assert statuses_of(end) == [200, 200] and taker.ends == [("87652491kzp", None)]


def test_end_that_nobody_wants_to_know(end: End) -> None:
    session = end.session()
    Taker(session)
    session.on_stream = lambda stream: Bowl()
    end.receive(send("tid00001", b"abc", byte_range="1-*/6", flag="+"))
    assert end.receive(send("tid00002", b"", byte_range="4-*/6", flag="#")) == []
    end.receive(send("tid00003", b"abc", byte_range="1-*/6", flag="+"))
    session.drop_partials(ConnectionClosed("over"))


def test_sender_that_falls_silent(end: End) -> None:
    # C-BR-11
    taker = Taker(end.session())
    end.receive(send("tid00001", b"abc", byte_range="1-*/6", flag="+"))
    end.advance(PARTIAL_TIMEOUT)
    ((message_id, error),) = taker.ends
    assert message_id == "87652491kzp" and isinstance(error, TransactionTimeout)


@pytest.mark.parametrize("total", ["101", "*"])
def test_larger_than_we_said(end: End, total: str) -> None:
    # C-BR-13
    taker = Taker(end.session(max_size=100))
    end.receive(send("tid00001", b"x" * 60, byte_range=f"1-*/{total}", flag="+"))
    end.receive(send("tid00002", b"x" * 60, byte_range=f"61-*/{total}"))
    assert statuses_of(end) == ([413, 413] if total != "*" else [200, 413])
    assert [type(error) for _, error in taker.ends] == ([] if total != "*" else [MessageTooLarge])


def test_streams_hold_no_memory_but_are_few(end: End) -> None:
    taker = Taker(end.session(max_size=1000))
    for number in range(MAX_PARTIALS + 1):
        end.receive(send(f"tid{number:05}", b"x" * 900, message_id=f"part{number:04}", byte_range="1-*/1000", flag="+"))
    assert statuses_of(end) == [200] * MAX_PARTIALS + [413]
    assert len(taker.streams) == MAX_PARTIALS and sum(stream.held for stream in taker.streams) == 0


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=3),
    st.lists(st.integers(1, 39), max_size=4),
    st.integers(0, 5),
    st.randoms(),
    st.integers(1, 500),
)
def test_any_chunking_interleaving_and_cut_gives_the_same_streams(
    bodies: list[bytes], cuts: list[int], overlap: int, order: random.Random, read_size: int
) -> None:
    # C-BR-03, C-BR-06, G-O08
    end = End()
    taker = Taker(end.session())
    chunks: list[bytes] = []
    for number, body in enumerate(bodies):
        edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
        for start, stop in zip(edges, edges[1:], strict=False):
            start = max(0, start - overlap)
            flag = "$" if stop == len(body) else "+"
            ranges = f"{start + 1}-*/{order.choice(['*', str(len(body))])}"
            tid = f"tid-{len(chunks)}"
            chunks.append(send(tid, body[start:stop], message_id=f"message{number}", byte_range=ranges, flag=flag))
    order.shuffle(chunks)
    stream = b"".join(chunks)
    sizes: dict[str, int] = {}
    for at in range(0, len(stream), read_size):
        for message in messages(end.receive(stream[at : at + read_size])):
            sizes[message.message_id] = message.size
            message.accept()
    assert {name: bytes(bowl.octets) for name, bowl in taker.bowls.items()} == {
        f"message{number}": body for number, body in enumerate(bodies)
    }
    assert sizes == {f"message{number}": len(body) for number, body in enumerate(bodies)}
    assert statuses_of(end) == [200] * len(chunks) and taker.ends == []


# Both ends together


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 90_000)), max_size=6), st.integers(1, 60))
def test_whatever_is_sent_arrives(sizes: list[tuple[int, bool, int]], bits: int) -> None:
    # C-BR-04, G-O08: streams and whole messages, sources that come in bits, several sessions on one connection.
    left, right = End(), End(local=THEIRS)
    ours, takers = [], []
    for index in range(3):
        ours.append(left.session(session_id=f"left{index}", remote=f"msrp://192.0.2.20:7777/right{index};tcp"))
        takers.append(Taker(right.session(session_id=f"right{index}", remote=ours[-1].local)))
    sent: list[tuple[int, bytes, OutgoingMessage]] = []
    taps: list[tuple[OutgoingMessage, Tap]] = []
    for index, is_slow, size in sizes:
        body = BODY[index : index + size]
        tap = Tap(body, 0 if is_slow else size)
        message = ours[index].send_stream(tap, "image/png")
        sent.append((index, body, message))
        taps.append((message, tap))
    while True:
        transfer(left, right)
        waiting = [(message, tap) for message, tap in taps if tap.ready < tap.size]
        if not waiting:
            break
        for message, tap in waiting:
            tap.ready = min(tap.size, tap.ready + tap.size // bits + 1)
            message.session.source_ready(message)
    assert all(message.state is MessageState.SENT for *_, message in sent)
    for index, body, message in sent:
        assert bytes(takers[index].bowls[message.message_id].octets) == body


@pytest.mark.parametrize(("pause", "resumed"), [(50, True), (70, False)])
@pytest.mark.parametrize("bound_first", [True, False])
def test_resume_in_another_session(pause: float, resumed: bool, bound_first: bool) -> None:
    # C-BAD-13, C-SET-05, C-BR-12: the sender goes on behind what was confirmed, the sink has the rest.
    sender, session, receiver, theirs = pair()
    taker = Taker(theirs)
    first = session.send_stream(Octets(BODY), "image/png", message_id="stream01")
    receiver.receive(sender.connection.data_to_send(0.0) + sender.connection.data_to_send(0.0) + sender.output()[:5000])
    sender.receive(receiver.output())
    for end in (sender, receiver):
        end.connection.receive_eof()
        end.events()
        end.connection = MsrpConnection(end.table, end.clock.advance(pause / 2))
    assert first.state is MessageState.UNKNOWN and first.confirmed == MAX_CHUNK
    (stream,) = taker.streams
    assert MAX_CHUNK < stream.received < MAX_CHUNK + 5000 and taker.ends == []
    successor = receiver.session(session_id="second01", remote=OURS, attach=bound_first)
    adopt(successor, theirs)
    if not bound_first:
        receiver.connection.attach(successor)
    assert stream.session is successor
    due = receiver.connection.get_timer()
    assert due is not None and due <= receiver.clock() + PARTIAL_TIMEOUT
    again = sender.session(session_id="again001", remote=successor.local)
    again.send_stream(Octets(BODY), "image/png", message_id="stream01", start=first.confirmed + 1)
    _, events = transfer(sender, receiver)
    if resumed:
        (message,) = messages(events)
        assert message.size == len(BODY) and message.stream is stream
        assert taker.bowls["stream01"].octets == BODY and taker.ends == []
    else:
        assert messages(events) == [] and isinstance(taker.ends[0][1], TransactionTimeout)


def test_session_that_nobody_resumes(end: End) -> None:
    session = end.session()
    taker = Taker(session)
    end.receive(send("tid00001", b"abc", byte_range="1-*/6", flag="+"))
    end.connection.receive_eof()
    end.events()
    assert taker.ends == [] and session.has_partials
    error = ConnectionClosed("nobody came")
    session.drop_partials(error)
    session.drop_partials(error)
    assert not session.has_partials
    assert taker.ends == [("87652491kzp", error)]


def test_repetition_by_another_session_gets_its_answer(end: End) -> None:
    # C-BR-11, C-BR-12: the whole message came, the connection broke before our 200; it comes again, and is told once.
    session = end.session()
    (message,) = messages(end.receive(send(extra="Success-Report: yes\n")))
    end.connection.receive_eof()
    end.connection = MsrpConnection(end.table, end.clock())
    successor = end.session(session_id="second01")
    adopt(successor, session)
    assert end.receive(send("tid00002", to=successor.local, extra="Success-Report: yes\n")) == []
    message.accept()
    response, report = end.output_frames()
    assert isinstance(response, MsrpResponse) and (response.transaction_id, response.status) == ("tid00002", 200)
    assert isinstance(report, Report) and report.from_path == successor.local
    assert end.receive(send("tid00003", to=successor.local)) == [] and statuses_of(end) == [200]


def test_nothing_to_adopt(end: End) -> None:
    successor = end.session(session_id="second01")
    adopt(successor, end.session())
    successor.drop_partials(ConnectionClosed("over"))
    assert successor.partial_touched("87652491kzp") is None
