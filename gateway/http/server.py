"""aiohttp's connection, with three things added: problems for what is no HTTP, streams without its machinery, a record
of the bytes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from gateway.http.problems import BadRequest, HeadersTooLarge, UriTooLong
from gateway.http.routes import without_token
from gateway.services import ServiceError
from sipstack.flow import HostPort
from sipstack.trace import Trace

log = logging.getLogger("rcsgw.http")
access_log = logging.getLogger("rcsgw.access")

MAX_REQUEST_LINE = 8192
"""Octets of method, path and query, as nginx and Apache have it; more is 414."""

MAX_FIELD = 16384
"""Octets of one header field; more is 431."""

MAX_FIELDS = 64
"""Header fields of one request; more is 431."""

KEEP_ALIVE = 75.0
"""Seconds that an idle connection, or one that has not finished its first request's headers, is kept."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
ErrorAnswer = Callable[[web.BaseRequest, Exception], web.Response]


class Detached(web.StreamResponse):
    """Returned by a handler that has taken the connection away from aiohttp: nothing more is to be written."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """End aiohttp's part as if the client had gone."""
        raise ConnectionResetError


class Ready(web.StreamResponse):
    """A short 200 or 202 whose head is made already: one write, none of aiohttp's work on headers.

    For connections that stay open with HTTP/1.1; see :func:`gateway.http.negotiation.Format.quick`.
    """

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        # Deliberately without super().__init__(): aiohttp reads status and keep_alive of a response and calls the two
        # methods below, and the rest would cost more than everything else here.
        self._status = status
        self._keep_alive = True
        self._data = b"%b%d\r\n\r\n%b" % (head, len(body), body)

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write it all; wait only for a client that does not read its answers."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError
        transport.write(self._data)
        if request.protocol.writing_paused:
            await request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: all is written."""


class Connection(web.RequestHandler):
    """One HTTP connection."""

    __slots__ = ("_error_answer",)

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(server, loop=loop, **kwargs)
        self._error_answer = server.error_answer

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or what a handler did not catch, with problem details; then close."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer is on its way already")
        response = self._error_answer(request, _parse_error(exc) if status != 500 else ServiceError())
        response.force_close()
        return response

    def detach(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Give the transport to ``protocol`` and let everything of aiohttp that belongs to this connection go.

        The handler must return :class:`Detached` next.
        """
        transport = self.transport
        if transport is None:
            raise ConnectionResetError
        transport.set_protocol(protocol)
        if not transport.is_reading():
            transport.resume_reading()
        self.transport = None  # or else aiohttp closes it now
        self.connection_lost(None)
        return transport


class TracedConnection(Connection):
    """A connection whose bytes are recorded."""

    __slots__ = ("_trace",)

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, trace: Trace, **kwargs: Any) -> None:
        super().__init__(server, loop, **kwargs)
        self._trace = trace

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Put the recorder between us and the socket."""
        # No isinstance: transports of uvloop do not derive from asyncio's.
        super().connection_made(RecordingTransport(cast(asyncio.Transport, transport), self._trace))

    def data_received(self, data: bytes) -> None:
        """Record what came in; aiohttp also calls this with nothing, to go on parsing."""
        if data and isinstance(self.transport, RecordingTransport):
            self.transport.record("in", data)
        super().data_received(data)


def _parse_error(error: BaseException | None) -> ServiceError:
    """Return the refusal for a request that aiohttp's parser did not take."""
    if isinstance(error, LineTooLong):
        limit = error.args[1] if len(error.args) > 1 else None
        return UriTooLong() if limit == MAX_REQUEST_LINE else HeadersTooLarge()
    if isinstance(error, BadHttpMessage) and "Too many headers" in str(error):
        return HeadersTooLarge()
    return BadRequest("This is no HTTP request.")


class Server(web.Server):
    """Makes a :class:`Connection` for every client; ``error_answer`` turns an exception into a response."""

    def __init__(
        self,
        handler: Handler,
        *,
        error_answer: ErrorAnswer,
        max_body: int,
        trace: Trace | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()

        def make_request(
            message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]
        ) -> web.BaseRequest:
            return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=max_body)

        super().__init__(handler, request_factory=make_request)
        self.error_answer = error_answer
        self._trace = trace
        self._options: dict[str, Any] = {
            "keepalive_timeout": KEEP_ALIVE,
            "max_line_size": MAX_REQUEST_LINE,
            "max_field_size": MAX_FIELD,
            "max_headers": MAX_FIELDS,
            "logger": log,
            "access_log": access_log if access_log.isEnabledFor(logging.DEBUG) else None,
            "access_log_class": AccessLogger,
        }

    def __call__(self) -> web.RequestHandler:
        """Return the protocol for a new connection."""
        loop = asyncio.get_running_loop()
        if self._trace is not None:
            return TracedConnection(self, loop, self._trace, **self._options)
        return Connection(self, loop, **self._options)


class AccessLogger(AbstractAccessLogger):
    """Writes method, path and status; never the query, which may hold a login secret, nor a token in the path."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write one line, at DEBUG."""
        path = without_token(request.path)
        self.logger.debug("%s %s %s %d %.1f ms", request.remote, request.method, path, response.status, time * 1000)


class RecordingTransport(asyncio.Transport):
    """A transport that reports what is written to it, and is otherwise the one inside."""

    def __init__(self, inner: asyncio.Transport, trace: Trace) -> None:
        super().__init__()
        self._inner = inner
        self._trace = trace
        self._transport = "TLS" if inner.get_extra_info("sslcontext") is not None else "TCP"
        self._local = _host_port(inner.get_extra_info("sockname"))
        self._remote = _host_port(inner.get_extra_info("peername"))

    def record(self, direction: str, data: bytes) -> None:
        """Report bytes that went ``in`` or ``out``."""
        self._trace.wire("HTTP", self._transport, direction, self._local, self._remote, data)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write and record."""
        self.record("out", bytes(data))
        self._inner.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Write and record as one."""
        self.write(b"".join(list_of_data))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport inside knows."""
        return self._inner.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Tell whether the transport inside is closing."""
        return self._inner.is_closing()

    def close(self) -> None:
        """Close after what was written is sent."""
        self._inner.close()

    def abort(self) -> None:
        """Close at once."""
        self._inner.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol have the transport inside."""
        self._inner.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol of the transport inside."""
        return self._inner.get_protocol()

    def is_reading(self) -> bool:
        """Tell whether the transport inside reads."""
        return self._inner.is_reading()

    def pause_reading(self) -> None:
        """Stop reading."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._inner.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Return how many octets wait to be sent."""
        return self._inner.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when writing pauses."""
        self._inner.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        """Tell whether the connection can be closed half."""
        return self._inner.can_write_eof()

    def write_eof(self) -> None:
        """Close our half."""
        self._inner.write_eof()


def _host_port(name: Any) -> HostPort | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None
