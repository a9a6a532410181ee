"""MSRP and SIP in WebSocket messages, as the client of a relay (:rfc:`7977`) or of a core (:rfc:`7118`).

Imported where such a server is in use only: the library below costs 4 MB.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from sipstack.msrp.framing import FrameSplitter

logger = logging.getLogger(__name__)

MAX_MESSAGE = 1_048_576
"""Octets of one WebSocket message. Each holds one chunk, and relays have to keep chunks small, or one SIP message."""
PING_INTERVAL = 30.0
"""Seconds between two Pings, which keep the connection open (:rfc:`7977#section-6`, :rfc:`7118#section-6`); one
that nothing has answered until the next shows that it is lost."""
NORMAL = 1000
"""What is said when a connection has served its purpose (:rfc:`6455#section-7.4.1`)."""
CLOSE_TIMEOUT = 2.0
"""Seconds that a server has to end a connection that we close."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What the handshake asks a server for."""

    host: str
    port: int
    secure: bool = True
    path: str = "/"


class WebSocket(asyncio.Protocol, asyncio.Transport):
    """A WebSocket connection: what the socket's transport drives, and itself the transport of a connection.

    ``user`` is told of the connection when the handshake has succeeded, and from then on gets each message whole; what
    it writes is cut into messages by ``split``. :meth:`opened` waits for that. :class:`MsrpWebSocket` and
    :class:`SipWebSocket` know how.
    """

    subprotocol: str

    def __init__(self, user: asyncio.Protocol, resource: Resource, split: Callable[[bytes], Iterable[bytes]]) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._user = user
        self._split = split
        self._parts: list[bytes] = []
        self._protocol = ClientProtocol(
            WebSocketURI(resource.secure, resource.host, resource.port, resource.path, ""),
            subprotocols=[Subprotocol(self.subprotocol)],
            max_size=MAX_MESSAGE,
            logger=logger,
        )
        self._transport: asyncio.Transport | None = None
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._is_open = False
        self._is_closing = False
        self._has_heard = False
        self._timer: asyncio.TimerHandle | None = None

    async def opened(self) -> None:
        """Wait for the end of the handshake. Raise :exc:`OSError` when there is no WebSocket for our protocol."""
        try:
            await self._opened
        except BaseException:
            self.abort()
            raise

    # asyncio.Protocol, for the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._has_heard = True
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if not isinstance(event, Frame):
                self._shake_hands()
            elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._frame_received(event)
        self._flush()

    def _frame_received(self, frame: Frame) -> None:
        # Text and binary are octets alike (:rfc:`7977#section-4.2`, :rfc:`7118#section-4.2`), and in how many frames a
        # message comes is all the same. The library limits their sum.
        self._parts.append(bytes(frame.data))
        if frame.fin:
            message, self._parts = b"".join(self._parts), []
            self._user.data_received(message)

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        if self._is_open:
            self._user.connection_lost(exc or self._reason())
        elif not self._opened.done():
            self._opened.set_exception(exc or ConnectionResetError("the connection is closed"))

    def pause_writing(self) -> None:
        self._user.pause_writing()

    def resume_writing(self) -> None:
        self._user.resume_writing()

    def _shake_hands(self) -> None:
        error = self._protocol.handshake_exc
        if error is not None:
            self._opened.set_exception(ConnectionRefusedError(f"no WebSocket: {error}"))
        elif self._protocol.subprotocol != self.subprotocol:
            name = self.subprotocol.upper()
            self._opened.set_exception(ConnectionRefusedError(f"the WebSocket server does not speak {name}"))
        else:
            self._is_open = True
            self._opened.set_result(None)
            self._timer = self._loop.call_later(PING_INTERVAL, self._ping)
            self._user.connection_made(self)
            return
        self._need_transport().abort()

    def _reason(self) -> Exception | None:
        """Return why the server has closed, when it has said so."""
        close = self._protocol.close_rcvd
        return None if close is None or close.code == NORMAL else ConnectionResetError(str(close))

    def _ping(self) -> None:
        if not self._has_heard:
            name = self.subprotocol.upper()
            logger.warning("the WebSocket for %s is silent: %s", name, self.get_extra_info("peername"))
            self.abort()
            return
        self._has_heard = False
        self._protocol.send_ping(b"")
        self._flush()
        self._timer = self._loop.call_later(PING_INTERVAL, self._ping)

    def _flush(self) -> None:
        transport = self._need_transport()
        for data in self._protocol.data_to_send():
            if data and not transport.is_closing():
                transport.write(data)
        if self._protocol.close_expected() and not self._is_closing:
            self._is_closing = True
            self._close_later()

    def _close_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(CLOSE_TIMEOUT, self._need_transport().close)

    def _need_transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def _send(self, message: bytes) -> None:
        self._protocol.send_binary(message)

    # asyncio.Transport, for the user

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._need_transport().get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        try:
            for message in self._split(bytes(data)):
                self._send(message)
        except WebSocketException as error:
            # The server has begun to close: as with a socket, what is written then is lost.
            logger.debug("not written: %s", error)
        self._flush()

    def get_write_buffer_size(self) -> int:
        return self._need_transport().get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._need_transport().set_write_buffer_limits(high, low)

    def is_closing(self) -> bool:
        return self._is_closing or self._need_transport().is_closing()

    def close(self) -> None:
        if not self._is_closing:
            self._protocol.send_close(NORMAL)
            self._flush()

    def abort(self) -> None:
        self._is_closing = True
        self._need_transport().abort()

    def pause_reading(self) -> None:
        self._need_transport().pause_reading()

    def resume_reading(self) -> None:
        self._need_transport().resume_reading()


class MsrpWebSocket(WebSocket):
    """One binary message for each MSRP frame."""

    subprotocol = "msrp"

    def __init__(self, user: asyncio.Protocol, resource: Resource) -> None:
        super().__init__(user, resource, FrameSplitter().receive_data)


class SipWebSocket(WebSocket):
    """One message for each SIP message, which is written at once (:rfc:`7118#section-5`)."""

    subprotocol = "sip"

    def __init__(self, user: asyncio.Protocol, resource: Resource) -> None:
        super().__init__(user, resource, lambda message: (message,))

    def _send(self, message: bytes) -> None:
        # Browsers like text better; what is no UTF-8 must not go as text (:rfc:`7118#section-4.2`).
        try:
            message.decode()
        except UnicodeDecodeError:
            self._protocol.send_binary(message)
        else:
            self._protocol.send_text(message)
