from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipstack.errors import ParseError
from sipstack.flow import Flow
from sipstack.net.connection import SipConnection
from sipstack.net.connections import Connections, Dialling
from sipstack.net.timers import TimerHeap
from sipstack.net.transport import SipTransport, bind_sockets
from sipstack.sip.message import Request, Response
from sipstack.trace import Record, Trace, WireRecord

OPTIONS = (
    b"OPTIONS sip:b@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
    b"From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


class End:
    """A transport and what it reported."""

    def __init__(self, **options: Any) -> None:
        self.messages: list[tuple[Request | Response | ParseError, Flow]] = []
        self.failures: list[Flow] = []
        self.records: list[Record] = []
        loop = asyncio.get_running_loop()
        self.transport = SipTransport(
            host=options.pop("host", "127.0.0.1"),
            port=options.pop("port", 0),
            on_message=lambda message, flow: self.messages.append((message, flow)),
            on_failed=lambda flow, error: self.failures.append(flow),
            timers=TimerHeap(loop),
            trace=Trace("end", self.records.append, lambda: 0.0),
            **options,
        )

    def flow(self, transport: str) -> Flow:
        return Flow(transport, (self.transport.host, self.transport.port))


@asynccontextmanager
async def ends(**options: Any) -> AsyncIterator[tuple[End, End]]:
    pair = End(**options), End(**options)
    for end in pair:
        await end.transport.start()
    try:
        yield pair
    finally:
        for end in pair:
            await end.transport.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_same_port_for_both() -> None:
    async with ends() as (one, two):
        assert one.transport.port and one.transport.port != two.transport.port
        with pytest.raises(OSError):
            bind_sockets("127.0.0.1", one.transport.port, udp=True, tcp=False)
        with pytest.raises(OSError):
            bind_sockets("127.0.0.1", one.transport.port, udp=False, tcp=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_datagrams(host: str) -> None:
    async with ends(host=host) as (one, two):
        one.transport.send(two.flow("UDP"), OPTIONS)
        one.transport.send(two.flow("UDP"), b"\r\n\r\n")  # keep-alive: no message
        one.transport.send(two.flow("UDP"), b"nonsense")
        await until(lambda: len(two.messages) == 2)
        request, flow = two.messages[0]
        assert isinstance(request, Request) and request.method == "OPTIONS"
        assert flow == Flow("UDP", (host, one.transport.port), (host, two.transport.port))
        assert isinstance(two.messages[1][0], ParseError)
        assert one.records[0] == WireRecord(
            0.0, "end", "SIP", "UDP", "out", (host, one.transport.port), (host, two.transport.port), OPTIONS
        )


async def test_large_datagram() -> None:
    async with ends() as (one, two):
        body = b"x" * 60_000
        one.transport.send(two.flow("UDP"), OPTIONS.replace(b"Length: 0\r\n", b"Length: 60000\r\n") + body)
        await until(lambda: two.messages)
        request = two.messages[0][0]
        assert isinstance(request, Request) and request.body == body


async def test_unreachable_udp_fails_at_once() -> None:
    async with ends() as (one, two):
        gone = two.flow("UDP")
        await two.transport.close()
        one.transport.send(gone, OPTIONS)
        await until(lambda: one.failures)
        assert one.failures == [gone]
        # and the socket is as good as before
        one.transport.send(one.flow("UDP"), OPTIONS)
        await until(lambda: one.messages)


async def test_error_of_one_destination_does_not_hit_the_next() -> None:
    async with ends() as (one, two):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
            unused.bind(("127.0.0.1", 0))
            dead = Flow("UDP", unused.getsockname())
        for _ in range(20):
            one.transport.send(dead, OPTIONS)
            one.transport.send(two.flow("UDP"), OPTIONS)
        await until(lambda: len(two.messages) == 20)
        assert set(one.failures) <= {dead}


async def test_connection_is_shared_and_answered_on() -> None:
    async with ends() as (one, two):
        for _ in range(3):
            one.transport.send(two.flow("TCP"), OPTIONS)
        await until(lambda: len(two.messages) == 3)
        flows = {flow for _, flow in two.messages}
        assert len(flows) == 1
        flow = flows.pop()
        assert flow.connection is not None and two.transport.is_open(flow)
        two.transport.send(flow, OPTIONS)
        await until(lambda: one.messages)
        assert one.messages[0][1].remote == ("127.0.0.1", two.transport.port)
        # a request to the address that the connection came from uses it too
        two.transport.send(Flow("TCP", flow.remote), OPTIONS)
        await until(lambda: len(one.messages) == 2)
        assert one.messages[0][1] == one.messages[1][1]


async def test_no_name_is_proven_without_tls() -> None:
    async with ends() as (one, two):
        there = two.flow("TCP")
        one.transport.send(Flow("TCP", there.remote, name="cc.com"), OPTIONS)
        await until(lambda: two.messages)
        two.transport.send(two.messages[0][1], OPTIONS)
        await until(lambda: one.messages)
        # cc.com is whom we meant, and anybody may have answered
        assert one.messages[0][1].name == two.messages[0][1].name == ""


async def test_pong_and_bad_bytes() -> None:
    async with ends() as (one, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", one.transport.port)
        writer.write(b"\r\n\r\n")
        assert await asyncio.wait_for(reader.readexactly(2), 5) == b"\r\n"
        writer.write(b"\r\n\r\n" + OPTIONS + b"GARBAGE\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 5) == b"\r\n"
        kinds = [type(message) for message, _ in one.messages]
        assert kinds == [Request, ParseError]
        writer.close()
        await writer.wait_closed()


async def test_refused_and_lost_connections_fail() -> None:
    async with ends() as (one, two):
        dead = two.flow("TCP")
        await two.transport.close()
        one.transport.send(dead, OPTIONS)
        await until(lambda: one.failures)
        assert one.failures == [dead]

        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        one.transport.send(Flow("TCP", address), OPTIONS)
        await until(lambda: len(one.failures) == 2)
        assert one.failures[1].remote == address and one.failures[1].connection is not None
        one.transport.send(one.failures[1], OPTIONS)
        await until(lambda: len(one.failures) == 3)
        server.close()
        await server.wait_closed()


async def test_idle_connections_close() -> None:
    async with ends(idle_timeout=0.05) as (one, two):
        one.transport.send(two.flow("TCP"), OPTIONS)
        await until(lambda: two.messages)
        await until(lambda: not two.transport.is_open(two.messages[0][1]))


@pytest.mark.parametrize(("transport", "closes"), [("TCP", True), ("TLS", True), ("WS", False), ("WSS", False)])
async def test_who_may_be_closed_when_silent(transport: str, closes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    timers = TimerHeap(asyncio.get_running_loop())
    connections = Connections(Dialling(), timers, lambda message, flow: None, lambda flow, error: None, idle_timeout=0)
    connection = SipConnection(connections, 1, timers.time, Flow(transport, ("127.0.0.1", 5060)))
    closed: list[SipConnection] = []
    monkeypatch.setattr(SipConnection, "close", lambda connection: closed.append(connection))
    connections.connection_opened(connection)
    connections._close_idle()
    timers.close()
    assert bool(closed) is closes


async def test_without_tcp() -> None:
    async with ends(tcp=False) as (one, two):
        one.transport.send(two.flow("TCP"), OPTIONS)
        await until(lambda: one.failures)
    async with ends(udp=False) as (one, two):
        one.transport.send(two.flow("UDP"), OPTIONS)
        await until(lambda: one.failures)


async def test_close_while_connecting() -> None:
    # The backlog of this listener is full, so that the connection stays half open.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        end = End()
        await end.transport.start()
        listener.listen(0)
        for _ in range(4):
            end.transport.send(Flow("TCP", listener.getsockname()), OPTIONS)
        await end.transport.close()
        end.transport.send(Flow("TCP", listener.getsockname()), OPTIONS)
        assert end.failures == []


async def test_strangers_do_not_take_our_own_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipstack.net.connections.CONNECTION_LIMIT", 3)
    monkeypatch.setattr("sipstack.net.connections.CONNECTIONS_PER_HOST", 2)
    async with ends() as (one, two):
        strangers = [await asyncio.open_connection("127.0.0.1", one.transport.port) for _ in range(3)]
        reader, _ = strangers[-1]
        with pytest.raises(ConnectionError):
            assert not await reader.read()
            raise ConnectionResetError
        one.transport.send(two.flow("TCP"), OPTIONS)
        await until(lambda: two.messages)
        for _, writer in strangers:
            writer.close()
