"""SIP over UDP and TCP on one port, TLS on another, and WebSockets (RFC 3261 §18): flows and bytes, no transactions."""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import partial

from sipstack.errors import ConnectionClosed, ParseError
from sipstack.flow import Flow, HostPort
from sipstack.net.connections import (
    IDLE_TIMEOUT,
    Connections,
    Dialling,
    FailureCallback,
    MessageCallback,
)
from sipstack.net.flowkeeper import FlowKeeper
from sipstack.net.handshake import TlsListener
from sipstack.net.timers import TimerHeap
from sipstack.net.udp import UdpSocket
from sipstack.net.unclaimed import HubLimits, Unclaimed
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import parse_message
from sipstack.stun import BindingRequest, parse_stun
from sipstack.trace import Trace

PORT_ATTEMPTS = 64
"""Tries to find a port that is free for UDP and TCP alike."""

FIRST_OF_SIP = 2
"""First octet from which on a datagram may be SIP: the STUN that we know begins with 0 or 1."""

PADDING = b"\r\n\x00 "
"""What keep-alives of older devices are made of."""

BACKLOG = 512
"""Connections that the kernel may hold until we accept them."""


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
    says that what was sent by ``flow`` cannot arrive: the flow as it was given to :meth:`send`, that of a connection
    that went down, or that of a UDP peer. Both are called from the loop. ``dialling`` says how connections are opened;
    without it that is TCP. ``tls_port`` is where its certificate is for peers to connect to, 0 for any, None for
    nowhere.
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
        tls_port: int | None = None,
        dialling: Dialling | None = None,
        idle_timeout: float = IDLE_TIMEOUT,
        trace: Trace | None = None,
    ) -> None:
        # configuration
        self.host = host
        self.port = port
        self.tls_port = tls_port
        self.udp = udp
        self.tcp = tcp
        self._dialling = dialling or Dialling(transports=frozenset({"TCP"} if tcp else ()))
        self._on_message = on_message
        self._on_failed = on_failed
        self._trace = trace
        # sockets
        self._datagrams: UdpSocket | None = None
        self._server: asyncio.Server | None = None
        self._secure: TlsListener | None = None
        self._connections = Connections(
            self._dialling, timers, on_message, on_failed, idle_timeout=idle_timeout, trace=trace
        )
        self._keeper = FlowKeeper(timers, self._send_stun, self._peer_died)
        self._closed = False

    async def start(self) -> None:
        """Bind and listen. ``port`` and ``tls_port`` are the real ones afterwards, None where nobody can connect. Raise
        OSError when one is taken."""
        loop = asyncio.get_running_loop()
        datagram, stream = bind_sockets(self.host, self.port, udp=self.udp, tcp=self.tcp)
        if datagram is not None:
            self._datagrams = UdpSocket(datagram, loop, self._datagram_received, self._datagram_failed)
            self.port = self._datagrams.local[1]
        if stream is not None:
            self.port = stream.getsockname()[1]
            accept = partial(self._connections.accept, "TCP")
            self._server = await loop.create_server(accept, sock=stream, backlog=BACKLOG)
        tls, tls_port = self._dialling.tls, self.tls_port
        self.tls_port = None
        if tls_port is not None and tls is not None and tls.server is not None:
            try:
                self._secure = self._listen_by_tls(tls.server, tls_port)
            except OSError:
                await self.close()
                raise
            self.tls_port = self._secure.port

    def _listen_by_tls(self, context: ssl.SSLContext, port: int) -> TlsListener:
        accept = partial(self._connections.accept, "TLS")
        return TlsListener(accept, context, Unclaimed(HubLimits()), (self.host, port), protocol="SIP")

    async def close(self) -> None:
        """Close listeners and connections after what is buffered has been sent, without waiting for slow peers."""
        self._closed = True
        self._keeper.close()
        for server in (self._server, self._secure):
            if server is not None:
                server.close()
        await self._connections.close()
        for server in (self._server, self._secure):
            if server is not None:
                await server.wait_closed()
        if self._datagrams is not None:
            self._datagrams.close()
            self._datagrams = None

    def is_open(self, flow: Flow) -> bool:
        """Tell whether bytes can go by ``flow`` without a new connection."""
        return flow.connection is None or flow.connection in self._connections

    def send(self, flow: Flow, data: bytes) -> None:
        """Send ``data`` by ``flow``; failures come to ``on_failed`` later, never from here.

        A flow by connection, but without its number, uses one that is up and leads there, else opens one.
        """
        if self._closed:
            return
        if flow.transport == "UDP":
            self._send_datagram(flow, data)
            return
        connection = self._connections.find_or_open(flow)
        if connection is None:
            self._fail(flow, ConnectionClosed(f"no connection to {flow.remote[0]}:{flow.remote[1]}", certain=True))
        elif not connection.send(data):
            connection.abort()
            self._fail(flow, ConnectionClosed("the connection is closing, or its peer does not read"))

    def keep_alive(self, flow: Flow, interval: float | None = None) -> None:
        """Keep ``flow`` open with keep-alives, ``interval`` seconds apart at most, until it is closed or dead; None:
        as A-OUT-03 has it. Of several intervals the shortest counts. WebSockets do that by themselves."""
        if flow.transport == "UDP":
            self._keeper.keep_peer(flow.remote, interval)
        elif flow.transport in ("TCP", "TLS"):
            connection = self._connections.find(flow)
            if connection is not None:
                self._keeper.keep_connection(connection, interval)

    def is_kept(self, remote: HostPort) -> bool:
        """Tell whether the flow to ``remote`` by UDP has keep-alives."""
        return self._keeper.keeps_peer(remote)

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
        if datagrams is None or (data[:1] in PADDING and not data.strip(PADDING)):
            return  # a keep-alive (what older devices send)
        if data[0] < FIRST_OF_SIP:
            self._stun_received(data, remote)
            return
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

    def _stun_received(self, data: bytes, remote: HostPort) -> None:
        message = parse_stun(data)
        if isinstance(message, BindingRequest):
            self._send_stun(message.answer(remote), remote)
        elif message is not None:
            self._keeper.answered(message, remote)

    def _send_stun(self, data: bytes, remote: HostPort) -> None:
        if self._datagrams is not None:
            self._datagrams.send(data, remote)

    def _peer_died(self, remote: HostPort) -> None:
        self._on_failed(Flow("UDP", remote), ConnectionClosed(f"{remote[0]}:{remote[1]} answers no keep-alive"))

    def _fail(self, flow: Flow, error: Exception) -> None:
        self._connections.fail(flow, error)
