"""One connection that carries SIP: a stream of octets (TCP, TLS), or messages that come whole (WebSocket)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol, cast

from sipstack.errors import ParseError
from sipstack.flow import Flow, host_port
from sipstack.net.tls import proven
from sipstack.sip.message import Request, Response
from sipstack.sip.parser import PING, StreamParser, parse_message

WRITE_LIMIT = 8 * 1024 * 1024
"""Octets that a peer may leave unread before its connection is given up: the memory one slow peer can cost."""


class ConnectionOwner(Protocol):
    """What a connection tells its transport."""

    def connection_opened(self, connection: SipConnection) -> None:
        """The connection is up; ``connection.flow`` is complete now."""

    def message_received(self, message: Request | Response | ParseError, connection: SipConnection) -> None:
        """A message came, or bytes that are none; after the latter the connection is closed."""

    def connection_lost(self, connection: SipConnection, error: Exception | None) -> None:
        """Nothing more will come or go."""


class Framing(Protocol):
    """Finds messages in what a connection brings; see :class:`~sipstack.sip.parser.StreamParser`."""

    failed: bool

    def receive_data(self, data: bytes) -> None:
        """Take what came."""

    def next_message(self) -> Request | Response | None:
        """Return the next message. Raise ParseError for what is none."""

    def take_pings(self) -> int:
        """Return the number of keep-alives seen since the last call."""


class WholeMessages:
    """The framing of messages that come whole (:rfc:`7118#section-5`): no more than one in what is received."""

    __slots__ = ("_data", "_pings", "failed")

    def __init__(self) -> None:
        self._data = b""
        self._pings = 0
        self.failed = False

    def receive_data(self, data: bytes) -> None:
        """Take a message, or a keep-alive (:rfc:`7118#section-6`)."""
        self._data = data

    def next_message(self) -> Request | Response | None:
        """Return the message. Raise ParseError when it is none."""
        data, self._data = self._data, b""
        if data.strip(b"\r\n"):
            return parse_message(data)
        self._pings += data.count(PING)
        return None

    def take_pings(self) -> int:
        """Return the number of keep-alives seen since the last call."""
        pings, self._pings = self._pings, 0
        return pings


class SipConnection(asyncio.Protocol):
    """Frames what one connection carries. ``flow`` says where it leads and how; that of a connection that the peer
    opens has no remote address yet. Data given before the connection is up waits for it."""

    __slots__ = (
        "_clock",
        "_framing",
        "_waiting",
        "_waiting_size",
        "flow",
        "is_incoming",
        "is_refused",
        "is_unanswered",
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
        flow: Flow,
        wire: Callable[[str, Flow, bytes], None] | None = None,
    ) -> None:
        self.owner = owner
        self.number = number
        self.flow = Flow(flow.transport, flow.remote, connection=number, name=flow.name)
        self.is_incoming = flow.remote == ANYWHERE
        self.is_refused = False
        """The peer's certificate is not that of the domain that was meant: nothing was sent."""
        self.is_unanswered = False
        """A ping of ours was sent, and nothing came since."""
        self.transport: asyncio.Transport | None = None
        self.last_used = clock()
        self.wire = wire
        self._clock = clock
        self._framing: Framing = WholeMessages() if flow.transport in ("WS", "WSS") else StreamParser()
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

    def ping(self) -> None:
        """Send the keep-alive of :rfc:`5626#section-3.5.1`, unless the connection is not up yet."""
        if self.transport is not None:
            self.is_unanswered = self.send(PING)

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
        # What is not TLS proves no name; the library has looked at the certificate of a secure WebSocket.
        name: str | None = self.flow.name if self.flow.transport == "WSS" else ""
        if self.flow.transport == "TLS":
            name = proven(transport, None if self.is_incoming else self.flow.name)
        if name is None:
            self.is_refused = True
            transport.abort()
            return
        remote, local = (host_port(transport.get_extra_info(end)) for end in ("peername", "sockname"))
        self.flow = Flow(self.flow.transport, remote, local, self.number, name)
        self.transport = transport
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.send(data)
        self.owner.connection_opened(self)

    def data_received(self, data: bytes) -> None:
        if self.is_refused:
            return
        self.last_used = self._clock()
        self.is_unanswered = False
        if self.wire is not None:
            self.wire("in", self.flow, data)
        framing = self._framing
        framing.receive_data(data)
        while not framing.failed:
            try:
                message = framing.next_message()
            except ParseError as error:
                self.owner.message_received(error, self)
                continue
            if message is None:
                break
            self.owner.message_received(message, self)
        if pings := framing.take_pings():
            self.send(b"\r\n" * pings)
        if framing.failed:
            # Framing is lost (A-MSG-18). What the owner answered is still sent.
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.owner.connection_lost(self, exc)


ANYWHERE = ("", 0)
"""Where the connections that peers open come from, until they are up."""
