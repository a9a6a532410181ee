"""SIP over UDP and TCP on one port (RFC 3261 §18): flows and bytes, no transactions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from sipstack.errors import ConnectionClosed, ParseError
from sipstack.flow import Flow, HostPort
from sipstack.net.tcp import TcpConnection
from sipstack.net.timers import Timer, TimerHeap
from sipstack.net.udp import UdpSocket
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import parse_message
from sipstack.trace import Trace

logger = logging.getLogger(__name__)

PORT_ATTEMPTS = 64
"""Tries to find a port that is free for UDP and TCP alike."""

CONNECT_TIMEOUT = 5.0
"""Seconds for a TCP connection to come up; a SYN that got lost twice still makes it."""

IDLE_TIMEOUT = 300.0
"""Seconds after which a silent connection is closed. More than two keep-alive intervals (A-OUT-03: up to 120 s) and
far more than the 32 s after the last transaction that A-TRN-08 asks for."""

CONNECTION_LIMIT = 4096
"""Connections that peers may have opened at once; more are closed as they come. Ours always get through."""

CONNECTIONS_PER_HOST = 1024
"""The same from one address: a stranger leaves room for the core, which needs a handful."""

BACKLOG = 512
"""Connections that the kernel may hold until we accept them."""

MessageCallback = Callable[[Request | Response | ParseError, Flow], None]
FailureCallback = Callable[[Flow, Exception], None]


def bind_sockets(host: str, port: int, *, udp: bool, tcp: bool) -> tuple[socket.socket | None, socket.socket | None]:
    """Return a bound UDP and a bound TCP socket (None where not wanted) on the same port; port 0 means any.

    Raise OSError when the address or the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for attempt in range(PORT_ATTEMPTS):
        stream = datagram = None
        try:
            chosen = port
            if tcp:
                stream = socket.socket(family, socket.SOCK_STREAM)
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                stream.bind((host, chosen))
                chosen = stream.getsockname()[1]
            if udp:
                datagram = socket.socket(family, socket.SOCK_DGRAM)
                datagram.bind((host, chosen))
            return datagram, stream
        except OSError as error:
            for sock in (stream, datagram):
                if sock is not None:
                    sock.close()
            if port or attempt == PORT_ATTEMPTS - 1:
                raise OSError(error.errno, f"SIP cannot listen on {host}:{port}: {error.strerror}") from error
    raise AssertionError("unreachable")


class SipTransport:
    """Sends bytes by flow and hands on the messages that come in.

    ``on_message(message, flow)`` gets each message, or the ParseError that stands for one. ``on_failed(flow, error)``
    says that what was sent by ``flow`` cannot arrive: the flow as it was given to :meth:`send`, or that of a
    connection that went down. Both are called from the loop.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        on_message: MessageCallback,
        on_failed: FailureCallback,
        timers: TimerHeap,
        udp: bool = True,
        tcp: bool = True,
        idle_timeout: float = IDLE_TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        trace: Trace | None = None,
    ) -> None:
        # configuration
        self.host = host
        self.port = port
        self.udp = udp
        self.tcp = tcp
        self.idle_timeout = idle_timeout
        self.connect_timeout = connect_timeout
        self._on_message = on_message
        self._on_failed = on_failed
        self._timers = timers
        self._trace = trace
        # sockets
        self._datagrams: UdpSocket | None = None
        self._server: asyncio.Server | None = None
        self._connections: dict[int, TcpConnection] = {}
        self._by_remote: dict[HostPort, TcpConnection] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._serial = 0
        self._sweep: Timer | None = None
        self._closed = False

    async def start(self) -> None:
        """Bind and listen. ``port`` is the real one afterwards. Raise OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        datagram, stream = bind_sockets(self.host, self.port, udp=self.udp, tcp=self.tcp)
        if datagram is not None:
            self._datagrams = UdpSocket(datagram, loop, self._datagram_received, self._datagram_failed)
            self.port = self._datagrams.local[1]
        if stream is not None:
            self.port = stream.getsockname()[1]
            self._server = await loop.create_server(self._accepted, sock=stream, backlog=BACKLOG)

    async def close(self) -> None:
        """Close listener and connections after what is buffered has been sent, without waiting for slow peers."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self._server is not None:
            self._server.close()
        for task in list(self._connecting):
            task.cancel()
        if self._connecting:
            await asyncio.wait(self._connecting)
        for connection in list(self._connections.values()):
            connection.close()
        for _ in range(10):
            if not self._connections:
                break
            await asyncio.sleep(0.01)
        for connection in list(self._connections.values()):
            connection.abort()
        while self._connections:
            await asyncio.sleep(0)
        if self._server is not None:
            await self._server.wait_closed()
        if self._datagrams is not None:
            self._datagrams.close()
            self._datagrams = None

    def is_open(self, flow: Flow) -> bool:
        """Tell whether bytes can go by ``flow`` without a new connection."""
        return flow.connection is None or flow.connection in self._connections

    def send(self, flow: Flow, data: bytes) -> None:
        """Send ``data`` by ``flow``; failures come to ``on_failed`` later, never from here.

        A TCP flow without connection number uses a connection to ``flow.remote`` that is up, else opens one.
        """
        if self._closed:
            return
        if flow.transport == "UDP":
            self._send_datagram(flow, data)
            return
        connection = self._connection_for(flow)
        if connection is None:
            self._fail(flow, ConnectionClosed(f"no connection to {flow.remote[0]}:{flow.remote[1]}", certain=True))
        elif not connection.send(data):
            connection.abort()
            self._fail(flow, ConnectionClosed("the connection is closing, or its peer does not read"))

    # UDP

    def _send_datagram(self, flow: Flow, data: bytes) -> None:
        datagrams = self._datagrams
        if datagrams is None:
            self._fail(flow, ConnectionClosed("UDP is switched off", certain=True))
            return
        if self._trace is not None:
            self._trace.wire("SIP", "UDP", "out", datagrams.local, flow.remote, data)
        if not datagrams.send(data, flow.remote):
            self._fail(flow, ConnectionClosed(f"{flow.remote[0]}:{flow.remote[1]} cannot be reached", certain=True))

    def _datagram_received(self, data: bytes, remote: HostPort) -> None:
        datagrams = self._datagrams
        if datagrams is None or not data.strip(b"\r\n\x00 "):
            return  # a keep-alive (RFC 5626 §3.5.1 and what older devices send)
        if self._trace is not None:
            self._trace.wire("SIP", "UDP", "in", datagrams.local, remote, data)
        message: Request | Response | ParseError
        try:
            message = parse_message(data)
        except ParseError as error:
            message = error
        self._on_message(message, Flow("UDP", remote, datagrams.local))

    def _datagram_failed(self, remote: HostPort) -> None:
        if not self._closed:
            error = ConnectionClosed(f"{remote[0]}:{remote[1]} is not reachable by UDP")
            self._on_failed(Flow("UDP", remote), error)

    # TCP

    def _connection_for(self, flow: Flow) -> TcpConnection | None:
        if flow.connection is not None:
            return self._connections.get(flow.connection)
        connection = self._by_remote.get(flow.remote)
        if connection is not None and connection.is_closing:
            connection = None
        if connection is None and self.tcp:
            connection = self._new_connection(flow.remote)
            self._by_remote[flow.remote] = connection
            task = asyncio.ensure_future(self._connect(connection, flow))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        return connection

    async def _connect(self, connection: TcpConnection, flow: Flow) -> None:
        host, port = flow.remote
        loop = asyncio.get_running_loop()
        error: ConnectionClosed | None = None
        try:
            async with asyncio.timeout(self.connect_timeout):
                await loop.create_connection(lambda: connection, host, port)
        except OSError as failure:  # TimeoutError is one
            error = ConnectionClosed(f"{host}:{port} refuses TCP: {failure}", certain=True)
        finally:
            if connection.transport is None and self._by_remote.get(flow.remote) is connection:
                del self._by_remote[flow.remote]
        if error is not None:
            self._fail(flow, error)

    def _new_connection(self, remote: HostPort | None = None) -> TcpConnection:
        self._serial += 1
        wire = None if self._trace is None else self._record
        return TcpConnection(self, self._serial, self._timers.time, remote, wire)

    def _accepted(self) -> TcpConnection:
        return self._new_connection()

    def _record(self, direction: str, flow: Flow, data: bytes) -> None:
        assert self._trace is not None
        self._trace.wire("SIP", "TCP", direction, flow.local, flow.remote, data)

    def connection_opened(self, connection: TcpConnection) -> None:
        """Keep ``connection`` (:class:`~sipstack.net.tcp.ConnectionOwner`)."""
        if self._closed or (connection.is_incoming and not self._has_room(connection.flow.remote[0])):
            connection.abort()
            return
        self._connections[connection.number] = connection
        # What the peer opened serves requests to that address too (RFC 5923 wants a reason to trust it; a
        # request to an ephemeral port can have no other meaning).
        self._by_remote.setdefault(connection.flow.remote, connection)
        if self._sweep is None:
            self._sweep = self._timers.schedule(self._timers.time() + self.idle_timeout / 2, self._close_idle)
        logger.debug("TCP connection %d with %s:%d is up", connection.number, *connection.flow.remote)

    def _has_room(self, host: str) -> bool:
        incoming = [known.flow.remote[0] for known in self._connections.values() if known.is_incoming]
        return len(incoming) < CONNECTION_LIMIT and incoming.count(host) < CONNECTIONS_PER_HOST

    def message_received(self, message: Request | Response | ParseError, connection: TcpConnection) -> None:
        """Hand on what came by ``connection``."""
        self._on_message(message, connection.flow)

    def connection_lost(self, connection: TcpConnection, error: Exception | None) -> None:
        """Forget ``connection`` and fail what was on its way."""
        if self._connections.pop(connection.number, None) is None:
            return
        remote = connection.flow.remote
        if self._by_remote.get(remote) is connection:
            del self._by_remote[remote]
        logger.debug("TCP connection %d with %s:%d is down", connection.number, *remote)
        if not self._closed:
            self._on_failed(connection.flow, ConnectionClosed(f"{remote[0]}:{remote[1]} closed the connection"))

    def _close_idle(self) -> None:
        self._sweep = None
        now = self._timers.time()
        for connection in list(self._connections.values()):
            if now - connection.last_used >= self.idle_timeout:
                connection.close()
        if self._connections:
            self._sweep = self._timers.schedule(now + self.idle_timeout / 2, self._close_idle)

    def _fail(self, flow: Flow, error: Exception) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closing
            asyncio.get_running_loop().call_soon(self._on_failed, flow, error)
