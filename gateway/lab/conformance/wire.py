"""Sockets of the bench: octets in, octets out, all of it recorded; nothing is understood, repeated or answered here."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Callable

from gateway.lab.conformance.recording import Recording
from gateway.lab.ports import free_port
from sipstack.flow import Flow, HostPort

CONNECT_SECONDS = 5.0
"""How long a target may take to accept a connection, TLS included."""

BIND_ATTEMPTS = 10
"""How often a port that was free a moment ago may turn out to be taken."""

TakeOctets = Callable[[Flow, bytes], None]
TakeLoss = Callable[[Flow], None]


class Wire:
    """One numeric address: a UDP socket (if wanted), a listener for streams on the same port, connections of both ways.

    ``on_octets`` gets every datagram and every piece of a stream, ``on_loss`` the flow of a stream that the other side
    has closed or that broke.
    """

    def __init__(self, protocol: str, recording: Recording, on_octets: TakeOctets, on_loss: TakeLoss) -> None:
        self.address: HostPort = ("", 0)
        self._protocol = protocol
        self._recording = recording
        self._on_octets = on_octets
        self._on_loss = on_loss
        self._numbers = itertools.count(1)
        self._udp: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._streams: dict[int, _Stream] = {}

    async def open(self, host: str, port: int = 0, *, udp: bool = True, tls: ssl.SSLContext | None = None) -> None:
        """Bind. A port 0 means a free one; with ``tls`` streams that come in speak it. Raises OSError."""
        for attempt in range(1, BIND_ATTEMPTS + 1):
            try:
                await self._bind(host, port or free_port(host), udp, tls)
                return
            except OSError:
                await self.close()
                if port or attempt == BIND_ATTEMPTS:
                    raise

    async def _bind(self, host: str, port: int, udp: bool, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        kind = "TCP" if tls is None else "TLS"
        self._server = await loop.create_server(lambda: _Stream(self, kind), host, port, ssl=tls)
        if udp:
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), (host, port))
        self.address = (host, port)

    async def connect(self, remote: HostPort, tls: ssl.SSLContext | None = None, name: str | None = None) -> Flow:
        """Open a stream from a port of its own. Raises OSError, TimeoutError too."""
        kind = "TCP" if tls is None else "TLS"
        async with asyncio.timeout(CONNECT_SECONDS):
            _, stream = await asyncio.get_running_loop().create_connection(
                lambda: _Stream(self, kind),
                *remote,
                ssl=tls,
                server_hostname=name or remote[0] if tls is not None else None,
                local_addr=(self.address[0], 0) if self.address[0] else None,
            )
        return stream.flow

    def send(self, flow: Flow, data: bytes) -> None:
        """Send octets as they are. Raises ConnectionError when the stream of the flow is gone."""
        if flow.transport == "UDP":
            if self._udp is None:
                raise ConnectionError("there is no UDP socket")
            self._recording.wire(self._protocol, "UDP", "out", self.address, flow.remote, data)
            self._udp.sendto(data, flow.remote)
            return
        stream = self._streams.get(flow.connection or 0)
        if stream is None:
            raise ConnectionError(f"the connection with {flow.remote[0]}:{flow.remote[1]} is gone")
        stream.send(data)

    def is_open(self, flow: Flow) -> bool:
        """Tell whether octets can still be sent on a flow."""
        return self._udp is not None if flow.transport == "UDP" else flow.connection in self._streams

    def disconnect(self, flow: Flow) -> None:
        """Close a stream; no error when it is gone."""
        stream = self._streams.pop(flow.connection or 0, None)
        if stream is not None:
            stream.close()

    async def close(self) -> None:
        """Close everything."""
        if self._udp is not None:
            self._udp.close()
            self._udp = None
        if self._server is not None:
            self._server.close()
            self._server = None
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
        await asyncio.sleep(0)  # the transports close on the loop's next turn

    # called by the protocols below

    def opened(self, stream: _Stream) -> int:
        """Take a new stream; returns its number."""
        number = next(self._numbers)
        self._streams[number] = stream
        return number

    def took(self, flow: Flow, local: HostPort, data: bytes) -> None:
        """Record octets that came, and hand them on."""
        self._recording.wire(self._protocol, flow.transport, "in", local, flow.remote, data)
        self._on_octets(flow, data)

    def gave(self, flow: Flow, local: HostPort, data: bytes) -> None:
        """Record octets that go out on a stream."""
        self._recording.wire(self._protocol, flow.transport, "out", local, flow.remote, data)

    def lost(self, flow: Flow) -> None:
        """Forget a stream that has ended without us."""
        if self._streams.pop(flow.connection or 0, None) is not None:
            self._on_loss(flow)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._wire.took(Flow("UDP", (address[0], address[1]), self._wire.address), self._wire.address, data)

    def error_received(self, error: Exception) -> None:
        """Nobody listens there (ICMP); the case sees it as silence."""


class _Stream(asyncio.Protocol):
    flow: Flow

    def __init__(self, wire: Wire, kind: str) -> None:
        self._wire = wire
        self._kind = kind
        self._local: HostPort = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        remote, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._local = (local[0], local[1])
        number = self._wire.opened(self)
        self.flow = Flow(self._kind, (remote[0], remote[1]), self._local, number)

    def data_received(self, data: bytes) -> None:
        self._wire.took(self.flow, self._local, data)

    def connection_lost(self, error: Exception | None) -> None:
        self._wire.lost(self.flow)

    def send(self, data: bytes) -> None:
        self._wire.gave(self.flow, self._local, data)
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()
