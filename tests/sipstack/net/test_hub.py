"""MSRP over real sockets: C-SET-01 to C-SET-07, C-BR-04, limits and backpressure."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from sipstack.errors import ConnectionClosed, LocalProtocolError, RemoteProtocolError
from sipstack.msrp.chunk import Chunk, Frame, MsrpResponse
from sipstack.msrp.message import IncomingMessage, MessageState, OutgoingMessage
from sipstack.msrp.parser import ChunkParser
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.uri import MsrpUri, parse_path
from sipstack.net import hub as hub_module
from sipstack.net import links
from sipstack.net.hub import MsrpHub
from sipstack.net.timers import TimerHeap
from sipstack.net.unclaimed import HubLimits
from sipstack.trace import Record, Trace, WireRecord

LOOPBACK = ("127.0.0.1", 0)
WAIT = 5.0
"""Seconds after which a test has failed."""


class Owner:
    """Accepts every message and notes everything."""

    def __init__(self, *, accepts: bool = True) -> None:
        self.accepts = accepts
        self.opened = 0
        self.received: list[IncomingMessage] = []
        self.closed: list[Exception | None] = []
        self.log: list[str] = []
        self._news = asyncio.Event()

    def session_opened(self, session: MsrpSession) -> None:
        self.opened += 1
        self._note("opened")

    def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
        self.received.append(message)
        if self.accepts:
            message.accept()
        self._note("message")

    def session_closed(self, session: MsrpSession, error: Exception | None) -> None:
        self.closed.append(error)
        self._note("closed")

    def _note(self, what: str) -> None:
        self.log.append(what)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for news until ``condition`` holds."""
        async with asyncio.timeout(WAIT):
            while not condition():
                self._news.clear()
                await self._news.wait()


class Settled:
    """An ``on_done`` to wait for."""

    def __init__(self) -> None:
        self.states: list[MessageState] = []
        self._event = asyncio.Event()

    def __call__(self, message: OutgoingMessage) -> None:
        self.states.append(message.state)
        self._event.set()

    async def wait(self) -> MessageState:
        """Return the state when there is one."""
        async with asyncio.timeout(WAIT):
            await self._event.wait()
        return self.states[-1]


MakeHub = Callable[..., Awaitable[MsrpHub]]


@pytest.fixture
async def make_hub() -> AsyncIterator[MakeHub]:
    """Return a function that starts hubs, which are closed behind the test."""
    hubs: list[MsrpHub] = []

    async def make(**arguments: object) -> MsrpHub:
        hub = MsrpHub(**({"bind": LOOPBACK} | arguments))  # type: ignore[arg-type]  # any of its arguments
        await hub.start()
        hubs.append(hub)
        return hub

    yield make
    for hub in hubs:
        await hub.close()
        assert len(hub) == 0


def join(left: MsrpHub, right: MsrpHub) -> tuple[Owner, MsrpSession, Owner, MsrpSession]:
    """Return a session between two hubs, opened from the left."""
    ours, theirs = Owner(), Owner()
    active, passive = left.create_session(ours, max_size=1 << 22), right.create_session(theirs, max_size=1 << 22)
    right.open(passive, active.local_path, active=False)
    left.open(active, passive.local_path, active=True)
    return ours, active, theirs, passive


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until ``condition`` holds."""
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.002)


class RawPeer:
    """A socket that speaks MSRP by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._parser = ChunkParser()

    @classmethod
    async def connect(cls, hub: MsrpHub) -> RawPeer:
        """Connect to ``hub``."""
        return cls(*await asyncio.open_connection("127.0.0.1", hub.port))

    async def frame(self) -> Frame:
        """Return the next frame."""
        async with asyncio.timeout(WAIT):
            while (frame := self._parser.next_frame()) is None:
                data = await self.reader.read(65536)
                assert data, "the connection is closed"
                self._parser.receive_data(data)
        return frame

    async def closed(self) -> bool:
        """Wait for the end of the stream."""
        async with asyncio.timeout(WAIT):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionResetError:
                pass
        return True

    async def close(self) -> None:
        """Close the socket."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionResetError:
            pass


def chunk(session: MsrpSession, body: bytes = b"hello", tid: str = "tid00001") -> bytes:
    """Return a SEND to ``session`` from a peer by hand."""
    return bytes(
        Chunk(
            tid, session.local, "msrp://127.0.0.1:9/peer;tcp", "m" + tid, 1, None, None, content_type="a/b", body=body
        )
    )


async def test_conversation(make_hub: MakeHub) -> None:
    # C-SET-01, C-SET-09: the active side shows itself; that is no message.
    left, right = await make_hub(), await make_hub()
    ours, active, theirs, passive = join(left, right)
    assert ours.opened == theirs.opened == 0, "never from within open()"
    await ours.until(lambda: ours.opened == 1)
    await theirs.until(lambda: theirs.opened == 1)
    there, back = Settled(), Settled()
    active.send(b"ping", "text/plain", on_done=there)
    passive.send(b"pong", "text/plain", on_done=back)
    assert await there.wait() is MessageState.SENT and await back.wait() is MessageState.SENT
    assert [message.body for message in theirs.received] == [b"ping"]
    assert [message.body for message in ours.received] == [b"pong"]
    assert len(left) == len(right) == 1
    # C-SET-06
    left.release(active)
    right.release(passive)
    assert ours.closed == theirs.closed == []
    assert len(left.sessions) == len(right.sessions) == 0


async def test_first_message_needs_no_empty_send(make_hub: MakeHub) -> None:
    left, right = await make_hub(), await make_hub()
    ours, active, theirs, _ = join(left, right)
    done = Settled()
    active.send(b"first", "text/plain", on_done=done)
    assert await done.wait() is MessageState.SENT
    assert theirs.log == ["opened", "message"] and ours.log == ["opened"]


async def test_large_messages_both_ways(make_hub: MakeHub) -> None:
    left, right = await make_hub(), await make_hub()
    ours, active, theirs, passive = join(left, right)
    bodies = [bytes([number]) * 1_048_576 for number in range(3)]
    for body in bodies:
        active.send(body, "application/octet-stream")
        passive.send(body, "application/octet-stream")
    await theirs.until(lambda: len(theirs.received) == 3)
    await ours.until(lambda: len(ours.received) == 3)
    assert [message.body for message in theirs.received] == [message.body for message in ours.received] == bodies


async def test_sessions_share_a_connection(make_hub: MakeHub) -> None:
    # C-SET-04, C-SET-06
    left, right = await make_hub(), await make_hub()
    pairs = [join(left, right) for _ in range(20)]
    for ours, active, _, _ in pairs:
        await ours.until(lambda ours=ours: ours.opened == 1)  # type: ignore[misc]  # binds the loop variable
        done = Settled()
        active.send(b"x", "text/plain", on_done=done)
        assert await done.wait() is MessageState.SENT
    late = join(left, right)
    await late[0].until(lambda: late[0].opened == 1)
    assert len(left) == len(right) == 1
    for _, active, _, passive in pairs:
        left.release(active)
        right.release(passive)
    done = Settled()
    late[1].send(b"still here", "text/plain", on_done=done)
    assert await done.wait() is MessageState.SENT


async def test_released_in_the_middle_of_an_upload(make_hub: MakeHub) -> None:
    left, right = await make_hub(), await make_hub()
    ours, active, theirs, passive = join(left, right)
    done = Settled()
    active.send(b"x" * 4_000_000, "text/plain", on_done=done)
    await ours.until(lambda: ours.opened == 1)
    left.release(active)
    assert done.states == [MessageState.FAILED] or done.states == [MessageState.UNKNOWN]
    with pytest.raises(LocalProtocolError):
        active.send(b"x", "text/plain")
    assert theirs.received == []


async def test_messages_wait_until_the_session_is_announced(make_hub: MakeHub) -> None:
    # The peer's TCP may outrun the 200 that tells us about it.
    hub = await make_hub(limits=HubLimits(held_messages=2))
    owner = Owner()
    session = hub.create_session(owner, max_size=1000)
    peer = await RawPeer.connect(hub)
    peer.writer.write(chunk(session, tid="tid00001") + chunk(session, tid="tid00002") + chunk(session, tid="tid00003"))
    refused = await peer.frame()
    assert isinstance(refused, MsrpResponse) and (refused.status, refused.transaction_id) == (413, "tid00003")
    assert owner.log == []
    hub.open(session, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    await owner.until(lambda: len(owner.received) == 2)
    assert owner.log == ["opened", "message", "message"]
    assert [(await peer.frame()).transaction_id for _ in range(2)] == ["tid00001", "tid00002"]
    await peer.close()
    await owner.until(lambda: len(owner.closed) == 1)


async def test_released_before_it_is_announced(make_hub: MakeHub) -> None:
    hub = await make_hub()
    owner = Owner()
    session = hub.create_session(owner, max_size=1000)
    peer = await RawPeer.connect(hub)
    peer.writer.write(chunk(session))
    await until(lambda: session.is_bound)
    hub.open(session, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=True)
    hub.release(session)
    await asyncio.sleep(0)
    assert owner.log == []
    await peer.close()


async def test_peer_vanishes(make_hub: MakeHub) -> None:
    # C-SET-05
    hub = await make_hub()
    owner = Owner()
    session = hub.create_session(owner, max_size=1000)
    hub.open(session, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    peer = await RawPeer.connect(hub)
    peer.writer.write(chunk(session))
    await owner.until(lambda: owner.opened == 1)
    done = Settled()
    session.send(b"x", "text/plain", on_done=done)
    assert isinstance(await peer.frame(), MsrpResponse | Chunk)
    raw = peer.writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await peer.close()
    await owner.until(lambda: len(owner.closed) == 1)
    assert isinstance(owner.closed[0], ConnectionClosed)
    assert done.states == [MessageState.UNKNOWN]
    assert len(hub.sessions) == 0


async def test_peer_that_talks_nonsense(make_hub: MakeHub) -> None:
    # C-BAD-01
    hub = await make_hub()
    owner = Owner()
    session = hub.create_session(owner, max_size=1000)
    hub.open(session, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    peer = await RawPeer.connect(hub)
    peer.writer.write(chunk(session) + b"GET / HTTP/1.1\r\n\r\n")
    assert await peer.closed()
    await owner.until(lambda: len(owner.closed) == 1)
    assert isinstance(owner.closed[0], RemoteProtocolError)
    await peer.close()


async def test_unknown_session(make_hub: MakeHub) -> None:
    # C-SET-07: 481, then closed.
    hub, other = await make_hub(), await make_hub()
    stranger = other.create_session(Owner(), max_size=1000)
    peer = await RawPeer.connect(hub)
    peer.writer.write(chunk(stranger))
    answer = await peer.frame()
    assert isinstance(answer, MsrpResponse) and answer.status == 481
    assert await peer.closed()
    await peer.close()


async def test_nobody_connects(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    # C-SET-07
    monkeypatch.setattr(hub_module, "BIND_TIMEOUT", 0.01)
    hub = await make_hub()
    owner, done = Owner(), Settled()
    session = hub.create_session(owner, max_size=1000)
    hub.open(session, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    session.send(b"x", "text/plain", on_done=done)
    await owner.until(lambda: len(owner.closed) == 1)
    assert isinstance(owner.closed[0], ConnectionClosed) and owner.closed[0].certain
    assert done.states == [MessageState.FAILED]


async def test_timers_of_the_endpoint(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    # C-SET-07: an unclaimed connection is closed in time; by the heap that the endpoint lends.
    monkeypatch.setattr("sipstack.msrp.connection.UNCLAIMED_TIMEOUT", 0.02)
    heap = TimerHeap(asyncio.get_running_loop())
    hub = await make_hub(schedule=heap.schedule)
    peer = await RawPeer.connect(hub)
    await until(lambda: len(heap) == 1)
    assert await peer.closed()
    await peer.close()
    assert len(heap) == 0


async def test_released_while_waiting_for_the_peer(make_hub: MakeHub) -> None:
    heap = TimerHeap(asyncio.get_running_loop())
    hub = await make_hub(schedule=heap.schedule)
    session = hub.create_session(Owner(), max_size=1000)
    hub.open(session, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    assert len(heap) == 1
    hub.release(session)
    assert len(heap) == 0


async def test_connection_lingers(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    # C-SET-06
    monkeypatch.setattr("sipstack.msrp.connection.LINGER", 0.02)
    left, right = await make_hub(), await make_hub()
    ours, active, _, passive = join(left, right)
    await ours.until(lambda: ours.opened == 1)
    await until(lambda: passive.is_bound)
    left.release(active)
    right.release(passive)
    await until(lambda: len(left) == len(right) == 0)


async def test_too_many_unclaimed_connections(make_hub: MakeHub) -> None:
    hub = await make_hub(limits=HubLimits(unclaimed_per_host=2))
    owner = Owner()
    session = hub.create_session(owner, max_size=1000)
    hub.open(session, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    first, second = await RawPeer.connect(hub), await RawPeer.connect(hub)
    await until(lambda: len(hub) == 2)
    third = await RawPeer.connect(hub)
    assert await third.closed()
    first.writer.write(chunk(session))
    await owner.until(lambda: owner.opened == 1)
    fourth = await RawPeer.connect(hub)
    await until(lambda: len(hub) == 3)
    for peer in (first, second, third, fourth):
        await peer.close()


async def test_nobody_listens(make_hub: MakeHub) -> None:
    hub = await make_hub()
    with socket.socket() as taken:
        taken.bind(LOOPBACK)
        port = taken.getsockname()[1]
        owner, done = Owner(), Settled()
        session = hub.create_session(owner, max_size=1000)
        session.send(b"x", "text/plain", on_done=done)
        hub.open(session, parse_path(f"msrp://127.0.0.1:{port}/peer;tcp"), active=True)
        second = Owner()
        sharing = hub.create_session(second, max_size=1000)
        hub.open(sharing, parse_path(f"msrp://127.0.0.1:{port}/other;tcp"), active=True)
        await second.until(lambda: len(second.closed) == 1)
    assert isinstance(owner.closed[0], ConnectionClosed) and owner.closed[0].certain
    assert done.states == [MessageState.FAILED]
    assert owner.opened == 0 and len(hub) == 0


@pytest.mark.parametrize("uri", ["msrps://127.0.0.1:9/x;tcp", "msrp://127.0.0.1:9/x;ws", "msrp://no.invalid:9/x;tcp"])
async def test_no_way_to_the_peer(make_hub: MakeHub, uri: str) -> None:
    hub = await make_hub()
    owner = Owner()
    hub.open(hub.create_session(owner, max_size=1000), parse_path(uri), active=True)
    await owner.until(lambda: len(owner.closed) == 1)


async def test_forbidden_destination(make_hub: MakeHub) -> None:
    # Addresses in SDP are chosen by peers.
    asked: list[tuple[str, int]] = []

    def allowed(host: str, port: int) -> bool:
        asked.append((host, port))
        return False

    hub, other = await make_hub(allowed=allowed), await make_hub()
    owner = Owner()
    session = hub.create_session(owner, max_size=1000)
    hub.open(session, (MsrpUri("msrp", "localhost", other.port, "x"),), active=True)
    await owner.until(lambda: len(owner.closed) == 1)
    assert ("127.0.0.1", other.port) in asked
    assert "not an allowed destination" in str(owner.closed[0])


async def test_connect_timeout(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = await make_hub(connect_timeout=0.01)

    async def never(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(links, "dial", never)
    owner = Owner()
    hub.open(hub.create_session(owner, max_size=1000), parse_path("msrp://192.0.2.1:9/x;tcp"), active=True)
    await owner.until(lambda: len(owner.closed) == 1)
    assert "TimeoutError" in str(owner.closed[0])


async def test_pause(make_hub: MakeHub) -> None:
    left, right = await make_hub(), await make_hub()
    ours, active, theirs, _ = join(left, right)
    await theirs.until(lambda: theirs.opened == 1)
    right.pause()
    done = Settled()
    active.send(b"x", "text/plain", on_done=done)
    second = join(left, await make_hub())
    await asyncio.sleep(0.02)
    assert theirs.received == []
    right.resume()
    assert await done.wait() is MessageState.SENT
    await second[0].until(lambda: second[0].opened == 1)


async def test_connection_that_comes_while_paused(make_hub: MakeHub) -> None:
    left, right = await make_hub(), await make_hub()
    right.pause()
    ours, active, theirs, _ = join(left, right)
    await ours.until(lambda: ours.opened == 1)
    await until(lambda: len(right) == 1)
    await asyncio.sleep(0.01)
    # uvloop may have read once by now
    active.send(b"x", "text/plain")
    await asyncio.sleep(0.01)
    assert theirs.received == []
    right.resume()
    await theirs.until(lambda: len(theirs.received) == 1)


async def test_slow_reader_holds_the_writer_back(make_hub: MakeHub) -> None:
    # Not more than the transport's mark is taken out of the session; what comes meanwhile is answered nevertheless.
    hub = await make_hub()
    owner = Owner()
    session = hub.create_session(owner, max_size=1000)
    peer = await RawPeer.connect(hub)
    hub.open(session, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    peer.writer.write(chunk(session))
    await owner.until(lambda: owner.opened == 1)
    message = session.send(b"x" * 50_000_000, "text/plain", failure_report="no")
    await asyncio.sleep(0.1)
    before = message.written
    assert 0 < before < message.size
    await asyncio.sleep(0.02)
    assert message.written == before
    received = 0
    while received < message.size:
        frame = await peer.frame()
        received += len(frame.body) if isinstance(frame, Chunk) else 0
    assert message.state is MessageState.SENT
    await peer.close()


async def test_trace(make_hub: MakeHub) -> None:
    records: list[Record] = []
    left = await make_hub(trace=Trace("gateway", records.append, lambda: 1.0))
    ours, active, theirs, _ = join(left, await make_hub())
    done = Settled()
    active.send(b"traced", "text/plain", on_done=done)
    await done.wait()
    out, back = [record for record in records if isinstance(record, WireRecord)]
    assert (out.protocol, out.transport, out.direction, back.direction) == ("MSRP", "TCP", "out", "in")
    assert b"traced" in out.data and b"200 OK" in back.data
    assert out.local == back.local and out.local is not None and out.local[0] == "127.0.0.1"


async def test_one_write_for_all_that_is_sent_at_once(make_hub: MakeHub) -> None:
    records: list[Record] = []
    left = await make_hub(trace=Trace("gateway", records.append, lambda: 1.0))
    ours, active, _, _ = join(left, await make_hub())
    await ours.until(lambda: ours.opened == 1)
    await asyncio.sleep(0.01)
    records.clear()
    done = Settled()
    for _ in range(9):
        active.send(b"x", "text/plain")
    active.send(b"x", "text/plain", on_done=done)
    await done.wait()
    assert sum(isinstance(record, WireRecord) and record.direction == "out" for record in records) == 1


async def test_handler_that_fails_harms_nobody_else(make_hub: MakeHub, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Owner):
        def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
            raise ValueError("a bug")

    left, right = await make_hub(), await make_hub()
    broken = right.create_session(Broken(), max_size=1000)
    right.open(broken, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    bad = left.create_session(Owner(), max_size=1000)
    left.open(bad, broken.local_path, active=True)
    bad.send(b"x", "text/plain")
    _, active, _, _ = join(left, right)
    done = Settled()
    active.send(b"x", "text/plain", on_done=done)
    assert await done.wait() is MessageState.SENT
    assert "a bug" in caplog.text


async def test_addresses(make_hub: MakeHub) -> None:
    # C-URI-03, C-SET-02
    hub = await make_hub(advertise=("2001:db8::1", 0))
    assert hub.local == ("2001:db8::1", hub.port)
    first, second = (hub.create_session(Owner(), max_size=1) for _ in range(2))
    assert str(first.local_uri).startswith(f"msrp://[2001:db8::1]:{hub.port}/")
    assert first.local_uri.session_id != second.local_uri.session_id
    assert len(first.local_uri.session_id or "") * 4 >= 80
    hidden = hub.create_session(Owner(), max_size=1, discard_port=True)
    assert hidden.local_uri.port == 9
    assert (await make_hub(advertise=("gw.example", 2855))).local == ("gw.example", 2855)


async def test_not_started() -> None:
    hub = MsrpHub(bind=LOOPBACK)
    session = hub.create_session(Owner(), max_size=1)
    with pytest.raises(LocalProtocolError):
        hub.open(session, session.local_path, active=True)
    await hub.close()


async def test_close_does_not_wait_for_who_does_not_read(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "CLOSE_TIMEOUT", 0.05)
    hub = await make_hub()
    owner = Owner()
    session = hub.create_session(owner, max_size=1000)
    peer = await RawPeer.connect(hub)
    hub.open(session, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    peer.writer.write(chunk(session))
    await owner.until(lambda: owner.opened == 1)
    session.send(b"x" * 50_000_000, "text/plain")
    await hub.close()
    assert len(owner.closed) == 1 and len(hub) == 0
    await peer.close()


async def test_close_tells_the_sessions(make_hub: MakeHub) -> None:
    left, right = await make_hub(), await make_hub()
    ours, active, _, _ = join(left, right)
    waiting = Owner()
    left.open(left.create_session(waiting, max_size=1), parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    dialling = Owner()
    left.open(left.create_session(dialling, max_size=1), parse_path("msrp://192.0.2.1:9/peer;tcp"), active=True)
    await ours.until(lambda: ours.opened == 1)
    done = Settled()
    active.send(b"last words", "text/plain", on_done=done)
    await left.close()
    assert len(ours.closed) == len(waiting.closed) == len(dialling.closed) == 1
    assert done.states in ([MessageState.UNKNOWN], [MessageState.SENT])
