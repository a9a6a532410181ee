"""One TCP connection that carries SIP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol, cast

from sipstack.errors import ParseError
from sipstack.flow import Flow, HostPort
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import StreamParser

WRITE_LIMIT = 8 * 1024 * 1024
"""Octets that a peer may leave unread before its connection is given up: the memory one slow peer can cost."""


class ConnectionOwner(Protocol):
    """What a connection tells its transport."""

    def connection_opened(self, connection: TcpConnection) -> None:
        """The connection is up; ``connection.flow`` is complete now."""

    def message_received(self, message: Request | Response | ParseError, connection: TcpConnection) -> None:
        """A message came, or bytes that are none; after the latter the connection is closed."""

    def connection_lost(self, connection: TcpConnection, error: Exception | None) -> None:
        """Nothing more will come or go."""


class TcpConnection(asyncio.Protocol):
    """Frames one byte stream. ``remote`` is None for a connection that the peer opens; data given before the connection
    is up waits for it."""

    __slots__ = (
        "_clock",
        "_parser",
        "_waiting",
        "_waiting_size",
        "flow",
        "is_incoming",
        "last_used",
        "number",
        "owner",
        "transport",
        "wire",
    )

    def __init__(
        self,
        owner: ConnectionOwner,
        number: int,
        clock: Callable[[], float],
        remote: HostPort | None = None,
        wire: Callable[[str, Flow, bytes], None] | None = None,
    ) -> None:
        self.owner = owner
        self.number = number
        self.flow = Flow("TCP", remote or ("", 0), connection=number)
        self.is_incoming = remote is None
        self.transport: asyncio.Transport | None = None
        self.last_used = clock()
        self.wire = wire
        self._clock = clock
        self._parser = StreamParser()
        self._waiting: list[bytes] = []
        self._waiting_size = 0

    def send(self, data: bytes) -> bool:
        """Write ``data``, or keep it until the connection is up. Return False when the peer reads too slowly."""
        if self.transport is None:
            self._waiting.append(data)
            self._waiting_size += len(data)
            return self._waiting_size <= WRITE_LIMIT
        if self.is_closing or self.transport.get_write_buffer_size() > WRITE_LIMIT:
            return False
        self.last_used = self._clock()
        if self.wire is not None:
            self.wire("out", self.flow, data)
        self.transport.write(data)
        return True

    @property
    def is_closing(self) -> bool:
        """Tell whether nothing more can be sent, though the connection is not gone yet."""
        return self.transport is not None and self.transport.is_closing()

    def close(self) -> None:
        """Send what is buffered and close."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close now, whatever is buffered."""
        if self.transport is not None:
            self.transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: transports of uvloop do not derive from asyncio's.
        transport = cast(asyncio.Transport, transport)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        remote: HostPort = transport.get_extra_info("peername")[:2]
        local: HostPort = transport.get_extra_info("sockname")[:2]
        self.flow = Flow("TCP", remote, local, self.number)
        self.transport = transport
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.send(data)
        self.owner.connection_opened(self)

    def data_received(self, data: bytes) -> None:
        self.last_used = self._clock()
        if self.wire is not None:
            self.wire("in", self.flow, data)
        parser = self._parser
        parser.receive_data(data)
        while not parser.failed:
            try:
                message = parser.next_message()
            except ParseError as error:
                self.owner.message_received(error, self)
                continue
            if message is None:
                break
            self.owner.message_received(message, self)
        if pings := parser.take_pings():
            self.send(b"\r\n" * pings)
        if parser.failed:
            # Framing is lost (A-MSG-18). What the owner answered is still sent.
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.owner.connection_lost(self, exc)
