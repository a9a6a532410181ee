"""Keep-alives that we send: A-OUT-02, A-OUT-03, and what A-TRN-07 has instead."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sipstack.flow import Flow, HostPort
from sipstack.net import flowkeeper
from sipstack.net.flowkeeper import FlowKeeper
from sipstack.net.timers import TimerHeap
from sipstack.stun import BindingRequest, BindingResponse, parse_stun

from .test_transport import OPTIONS, ends, until

PEER = ("192.0.2.1", 5060)


class Clock:
    """A loop whose time is what a test says; timers are all that it has."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        entry = (when, callback)
        self._due.append(entry)
        clock = self

        class Handle:
            def cancel(self) -> None:
                if entry in clock._due:
                    clock._due.remove(entry)

        return Handle()

    def until(self, end: float) -> None:
        """Let time pass."""
        while self._due and min(when for when, _ in self._due) <= end:
            entry = min(self._due, key=lambda one: one[0])
            self._due.remove(entry)
            self.now = max(self.now, entry[0])
            entry[1]()
        self.now = end


class Peer:
    """A keeper with one peer by UDP, on a clock of its own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sent: list[tuple[float, BindingRequest]] = []
        self.dead: list[HostPort] = []
        self.keeper = FlowKeeper(TimerHeap(self.clock), self._send, self.dead.append)  # type: ignore[arg-type]  # all that it needs of a loop

    def _send(self, data: bytes, remote: HostPort) -> None:
        request = parse_stun(data)
        assert remote == PEER and isinstance(request, BindingRequest)
        self.sent.append((self.clock.now, request))

    def answer(self, mapped: HostPort | None = ("198.51.100.1", 4711)) -> None:
        self.keeper.answered(BindingResponse(self.sent[-1][1].transaction, mapped), PEER)


@pytest.fixture
def earliest(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let chance choose the earliest time."""
    monkeypatch.setattr("sipstack.ids.uniform", lambda low, high: low)
    yield


@pytest.mark.parametrize(("interval", "low", "high"), [(None, 24.0, 29.0), (30.0, 24.0, 30.0)])
def test_interval_by_udp(monkeypatch: pytest.MonkeyPatch, interval: float | None, low: float, high: float) -> None:
    # A-OUT-03: 24-29 s, or 80-100 % of Flow-Timer.
    asked: list[tuple[float, float]] = []

    def choose(*bounds: float) -> float:
        asked.append((bounds[0], bounds[1]))
        return bounds[0]

    monkeypatch.setattr("sipstack.ids.uniform", choose)
    peer = Peer()
    peer.keeper.keep_peer(PEER, interval)
    peer.clock.until(low - 0.1)
    assert not peer.sent and asked == [(low, high)]
    peer.clock.until(low)
    assert len(peer.sent) == 1
    peer.answer()
    peer.clock.until(2 * low)
    assert len(peer.sent) == 2 and not peer.dead and peer.keeper.keeps_peer(PEER)
    assert peer.sent[0][1] != peer.sent[1][1]


def test_unanswered_stun(earliest: None) -> None:
    # RFC 5389 section 7.2.1: seven requests, the last unanswered for 16 times the first timeout.
    peer = Peer()
    peer.keeper.keep_peer(PEER, 10.0)
    peer.clock.until(8.0 + 39.4)
    times = [at - 8.0 for at, _ in peer.sent]
    assert times == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5] and len({request for _, request in peer.sent}) == 1
    assert not peer.dead
    peer.clock.until(8.0 + 39.5)
    assert peer.dead == [PEER] and not peer.keeper.keeps_peer(PEER)
    peer.clock.until(1000.0)
    assert len(peer.sent) == 7


@pytest.mark.parametrize("mapped", [("198.51.100.1", 4712), None])
def test_changed_address_and_refusal(earliest: None, mapped: HostPort | None) -> None:
    # RFC 5626 section 4.4.2: with another mapped address the flow has failed.
    peer = Peer()
    peer.keeper.keep_peer(PEER, 10.0)
    peer.clock.until(8.0)
    peer.answer()
    peer.answer(("203.0.113.1", 1))  # a copy, or somebody's guess: nothing was asked
    peer.keeper.answered(BindingResponse(bytes(12), None), ("192.0.2.2", 1))
    peer.clock.until(16.0)
    peer.keeper.answered(BindingResponse(bytes(12), None), PEER)  # not what was asked
    assert not peer.dead
    peer.answer(mapped)
    assert peer.dead == [PEER]


def test_shortest_interval_counts(earliest: None) -> None:
    peer = Peer()
    for interval in (100.0, 10.0, 50.0):
        peer.keeper.keep_peer(PEER, interval)
    peer.clock.until(8.0)
    assert len(peer.sent) == 1
    peer.keeper.keep_peer(PEER, 5.0)  # while an answer is awaited, the question stays the same
    peer.answer()
    peer.clock.until(12.0)
    assert [at for at, _ in peer.sent] == [8.0, 12.0]
    peer.keeper.close()
    peer.clock.until(100.0)
    assert len(peer.sent) == 2


class Wire:
    """A connection that notes when it is pinged."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.number = 1
        self.flow = Flow("TCP", PEER, connection=1)
        self.transport: object = self
        self.is_closing = self.is_unanswered = self.aborted = False
        self.answers = True
        self.pinged: list[float] = []

    def ping(self) -> None:
        self.pinged.append(self.clock.now)
        self.is_unanswered = not self.answers

    def abort(self) -> None:
        self.aborted = self.is_closing = True


def test_interval_on_connections(earliest: None) -> None:
    # A-OUT-03: from one keep-alive to the next, not from its answer; A-OUT-02: dead after 10 s without one.
    peer = Peer()
    wire: Any = Wire(peer.clock)
    peer.keeper.keep_connection(wire, None)
    peer.clock.until(95.0 * 3)
    assert wire.pinged == [95.0, 190.0, 285.0]
    peer.keeper.keep_connection(wire, 50.0)
    wire.answers = False
    peer.clock.until(334.9)
    assert wire.pinged == [95.0, 190.0, 285.0, 325.0] and not wire.aborted
    peer.clock.until(335.0)
    assert wire.aborted
    peer.clock.until(1000.0)
    assert len(wire.pinged) == 4
    other: Any = Wire(peer.clock)
    other.number = 2
    peer.keeper.keep_connection(other, 10.0)
    assert list(peer.keeper._connections) == [2]  # the dead one is forgotten
    other.transport = None  # it went down without us
    peer.clock.until(1100.0)
    assert not other.pinged


async def test_stun_on_the_port_of_sip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flowkeeper, "STUN_TIMEOUT", 0.005)
    async with ends() as (one, two):
        one.transport.keep_alive(two.flow("UDP"), 0.01)
        assert one.transport.is_kept(two.flow("UDP").remote)
        await asyncio.sleep(0.1)
        one.transport.send(two.flow("UDP"), OPTIONS)
        await until(lambda: two.messages)
        assert not one.failures and not one.messages and len(two.records) == 1
        # A peer without STUN lets the flow fail.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind(("127.0.0.1", 0))
            remote = mute.getsockname()
            one.transport.keep_alive(Flow("UDP", remote), 0.01)
            await until(lambda: one.failures)
            assert one.failures == [Flow("UDP", remote)] and not one.transport.is_kept(remote)


async def test_mute_connection_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    # A-OUT-02: no pong in 10 s.
    assert flowkeeper.PONG_TIMEOUT == 10.0
    monkeypatch.setattr(flowkeeper, "PONG_TIMEOUT", 0.05)
    received = bytearray()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            received.extend(data)
        writer.close()

    async with ends() as (one, two):
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        deaf = Flow("TCP", server.sockets[0].getsockname())
        one.transport.keep_alive(deaf)  # there is no connection: nothing to keep
        for flow in (deaf, two.flow("TCP")):
            one.transport.send(flow, OPTIONS)
            one.transport.keep_alive(flow, 0.02)
        await until(lambda: one.failures)
        assert one.failures[0].remote == deaf.remote and one.failures[0].connection is not None
        assert bytes(received) == OPTIONS + b"\r\n\r\n"
        # The other answers its pings, and stays.
        one.transport.send(two.flow("TCP"), OPTIONS)
        await until(lambda: len(two.messages) == 2)
        assert len({flow for _, flow in two.messages}) == 1 and len(one.failures) == 1
        server.close()
        await server.wait_closed()


async def test_first_octets_of_stun_that_is_none() -> None:
    async with ends() as (one, two):
        for data in (b"\x00\x01junk", b"\x01", b"\x00" * 4):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
                raw.sendto(data, ("127.0.0.1", two.transport.port))
        one.transport.send(two.flow("UDP"), OPTIONS)
        await until(lambda: two.messages)
        assert len(two.messages) == 1
