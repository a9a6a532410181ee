"""The connections of a SIP transport: those that we open, those that peers open, and which of them serves a flow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sipstack.errors import ConnectionClosed, ParseError
from sipstack.flow import Flow
from sipstack.net.connection import ANYWHERE, SipConnection
from sipstack.net.timers import Timer, TimerHeap
from sipstack.net.tls import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, SipTls
from sipstack.sip.message import Request, Response
from sipstack.trace import Trace

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
"""Seconds for a connection to come up, with all handshakes; a SYN that got lost twice still makes it."""

IDLE_TIMEOUT = 300.0
"""Seconds after which a silent connection is closed. More than two keep-alive intervals (A-OUT-03: up to 120 s) and
far more than the 32 s after the last transaction that A-TRN-08 asks for."""

CONNECTION_LIMIT = 4096
"""Connections that peers may have opened at once; more are closed as they come. Ours always get through."""

CONNECTIONS_PER_HOST = 1024
"""The same from one address: a stranger leaves room for the core, which needs a handful."""

CLOSING_TURNS = 10
"""Hundredths of a second that closing gives to connections whose peers are slow."""

SECURE = frozenset({"TLS", "WSS"})

P = TypeVar("P", bound=asyncio.Protocol)

MessageCallback = Callable[[Request | Response | ParseError, Flow], None]
FailureCallback = Callable[[Flow, Exception], None]


@dataclass(frozen=True, slots=True)
class Dialling:
    """How we open connections."""

    transports: frozenset[str] = field(default_factory=lambda: frozenset({"TCP"}))
    """Those that we have."""
    tls: SipTls | None = None
    """Whom we believe; needed for ``TLS`` and ``WSS``."""
    websocket_path: str = "/"
    """What WebSocket servers are asked for."""
    connect_timeout: float = CONNECT_TIMEOUT

    async def connect(self, connection: SipConnection) -> None:
        """Connect to where the flow of ``connection`` leads. Raise :exc:`OSError` or :exc:`ValueError`."""
        flow = connection.flow
        async with asyncio.timeout(self.connect_timeout):
            if flow.transport not in ("WS", "WSS"):
                await self._open(lambda: connection, flow)
                return
            from sipstack.net.websocket import Resource, SipWebSocket  # only who needs it pays for the library

            resource = Resource(
                flow.name or flow.remote[0], flow.remote[1], flow.transport == "WSS", self.websocket_path
            )
            web_socket = await self._open(lambda: SipWebSocket(connection, resource), flow)
            await web_socket.opened()

    async def _open(self, make_protocol: Callable[[], P], flow: Flow) -> P:
        loop, (host, port) = asyncio.get_running_loop(), flow.remote
        if flow.transport not in SECURE:
            _, protocol = await loop.create_connection(make_protocol, host, port)
            return protocol
        if self.tls is None:
            raise OSError("TLS is not configured")
        _, protocol = await loop.create_connection(
            make_protocol,
            host,
            port,
            ssl=self.tls.web if flow.transport == "WSS" else self.tls.client,
            server_hostname=flow.name,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
        )
        return protocol


class Connections:
    """Opens, keeps and closes them (:class:`~sipstack.net.connection.ConnectionOwner`).

    ``on_message`` and ``on_failed`` as of :class:`~sipstack.net.transport.SipTransport`.
    """

    def __init__(
        self,
        dialling: Dialling,
        timers: TimerHeap,
        on_message: MessageCallback,
        on_failed: FailureCallback,
        *,
        idle_timeout: float = IDLE_TIMEOUT,
        trace: Trace | None = None,
    ) -> None:
        self._dialling = dialling
        self._timers = timers
        self._on_message = on_message
        self._on_failed = on_failed
        self._idle_timeout = idle_timeout
        self._trace = trace
        self._open: dict[int, SipConnection] = {}
        self._leading_to: dict[tuple[str, tuple[str, int]], list[SipConnection]] = {}
        """Those that may serve a flow yet to be opened, by transport and address; ours from the attempt on."""
        self._connecting: set[asyncio.Task[None]] = set()
        self._serial = 0
        self._sweep: Timer | None = None
        self._closed = False

    def __contains__(self, number: object) -> bool:
        return number in self._open

    def find(self, flow: Flow) -> SipConnection | None:
        """Return the connection that ``flow`` names, or one that leads to its address and proves its name."""
        if flow.connection is not None:
            return self._open.get(flow.connection)
        found = self._leading_to.get((flow.transport, flow.remote), ())
        if flow.transport == "WS":
            # "transport=ws" in a sip URI says nothing of TLS; a core says it of secure connections, too.
            found = [*found, *self._leading_to.get(("WSS", flow.remote), ())]
        return next((connection for connection in found if _serves(connection, flow)), None)

    def find_or_open(self, flow: Flow) -> SipConnection | None:
        """Return as :meth:`find`, or a new connection that is being opened; None when there can be none."""
        connection = self.find(flow)
        if connection is None and flow.connection is None and flow.transport in self._dialling.transports:
            if flow.transport in SECURE and not flow.name:
                flow = Flow(flow.transport, flow.remote, name=flow.remote[0])
            connection = self._new(flow)
            self._leading_to.setdefault((flow.transport, flow.remote), []).append(connection)
            task = asyncio.ensure_future(self._connect(connection, flow))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        return connection

    def accept(self, transport: str) -> SipConnection:
        """Return the protocol of a connection that a peer has made by ``transport``."""
        return self._new(Flow(transport, ANYWHERE))

    async def close(self) -> None:
        """Close them after what is buffered has been sent, without waiting for slow peers."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for task in list(self._connecting):
            task.cancel()
        if self._connecting:
            await asyncio.wait(self._connecting)
        for connection in list(self._open.values()):
            connection.close()
        for _ in range(CLOSING_TURNS):
            if not self._open:
                break
            await asyncio.sleep(0.01)
        for connection in list(self._open.values()):
            connection.abort()
        while self._open:
            await asyncio.sleep(0)

    def fail(self, flow: Flow, error: Exception) -> None:
        """Report later that what was sent by ``flow`` cannot arrive."""
        with contextlib.suppress(RuntimeError):  # the loop is closing
            asyncio.get_running_loop().call_soon(self._on_failed, flow, error)

    def _new(self, flow: Flow) -> SipConnection:
        self._serial += 1
        wire = None if self._trace is None else self._record
        return SipConnection(self, self._serial, self._timers.time, flow, wire)

    async def _connect(self, connection: SipConnection, flow: Flow) -> None:
        host, port = flow.remote
        failure: Exception | None = None
        try:
            await self._dialling.connect(connection)
            if connection.is_refused:
                failure = OSError(f"its certificate is not for {flow.name}")
        except (OSError, ValueError) as error:  # TimeoutError is one; the ssl module has ValueError for odd names
            failure = error
        finally:
            if connection.transport is None:
                self._forget(connection)
        if failure is not None:
            reason = str(failure) or type(failure).__name__
            if flow.transport in SECURE:
                logger.warning("no connection by %s with %s:%d: %s", flow.transport, host, port, reason)
            self.fail(flow, ConnectionClosed(f"{host}:{port} refuses {flow.transport}: {reason}", certain=True))

    def _forget(self, connection: SipConnection) -> None:
        key = connection.flow.transport, connection.flow.remote
        found = self._leading_to.get(key)
        if found is not None and connection in found:
            found.remove(connection)
            if not found:
                del self._leading_to[key]

    def _record(self, direction: str, flow: Flow, data: bytes) -> None:
        assert self._trace is not None
        self._trace.wire("SIP", flow.transport, direction, flow.local, flow.remote, data)

    # ConnectionOwner

    def connection_opened(self, connection: SipConnection) -> None:
        """Keep ``connection``."""
        flow = connection.flow
        if self._closed or (connection.is_incoming and not self._has_room(flow.remote[0])):
            connection.abort()
            return
        self._open[connection.number] = connection
        if connection.is_incoming:
            # What the peer opened serves requests to that address too (RFC 5923 wants a reason to trust it; a
            # request to an ephemeral port can have no other meaning).
            self._leading_to.setdefault((flow.transport, flow.remote), []).append(connection)
        if self._sweep is None:
            self._sweep = self._timers.schedule(self._timers.time() + self._idle_timeout / 2, self._close_idle)
        logger.debug("%s connection %d with %s:%d is up", flow.transport, connection.number, *flow.remote)

    def _has_room(self, host: str) -> bool:
        incoming = [known.flow.remote[0] for known in self._open.values() if known.is_incoming]
        return len(incoming) < CONNECTION_LIMIT and incoming.count(host) < CONNECTIONS_PER_HOST

    def message_received(self, message: Request | Response | ParseError, connection: SipConnection) -> None:
        """Hand on what came by ``connection``."""
        self._on_message(message, connection.flow)

    def connection_lost(self, connection: SipConnection, error: Exception | None) -> None:
        """Forget ``connection`` and fail what was on its way."""
        self._forget(connection)
        if self._open.pop(connection.number, None) is None:
            return
        flow = connection.flow
        logger.debug("%s connection %d with %s:%d is down", flow.transport, connection.number, *flow.remote)
        if not self._closed:
            self._on_failed(flow, ConnectionClosed(f"{flow.remote[0]}:{flow.remote[1]} closed the connection"))

    def _close_idle(self) -> None:
        self._sweep = None
        now = self._timers.time()
        for connection in list(self._open.values()):
            # Nobody could connect to us again by WebSocket, which sees by its own pings whether the peer is there.
            is_kept = connection.flow.transport in ("WS", "WSS")
            if now - connection.last_used >= self._idle_timeout and not is_kept:
                connection.close()
        if self._open:
            self._sweep = self._timers.schedule(now + self._idle_timeout / 2, self._close_idle)


def _serves(connection: SipConnection, flow: Flow) -> bool:
    """Tell whether ``connection``, which leads to the address of ``flow``, may carry what is for it.

    With TLS the certificate must have shown the same name, but for a ``flow`` that means the address itself, such as a
    Record-Route: there any name will do that was proven.
    """
    if connection.is_closing:
        return False
    if connection.flow.transport not in SECURE or not flow.name:
        return True
    proven = connection.flow.name
    return proven == flow.name or (flow.name == flow.remote[0] and bool(proven))
