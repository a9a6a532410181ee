"""What the calls of inviters and guests share: reading bodies and parameters, checking credentials, events."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from aiohttp import web

from gateway.http.auth import Origins
from gateway.http.events import Streams
from gateway.http.negotiation import JSON, XML, Format, Headers, sent_in, stream_format, wanted, wants_stream
from gateway.http.problems import BodyTooLarge, ExpectationFailed, RequestTimeout
from gateway.http.routes import Parameter
from gateway.http.throttle import Lookups, Throttle
from gateway.services import EventFeed
from translators.from_http import FieldError, line
from translators.model import MAX_SECRET, Body

T = TypeVar("T", bound=Body)

BODY_TIMEOUT = 30.0
"""Seconds for a body to arrive; 8 MiB take that long at 2 Mbit/s."""

DEFAULT_WAIT = 25.0
"""Seconds that a long poll waits when it does not say; proxies tend to give up after 30 or 60."""

MAX_CURSOR = 2**53 - 1
"""What JavaScript can count to."""

EVENT_PARAMETERS = (
    Parameter("after", "Cursor of the last event that the client has; without it, events from now on", "integer"),
    Parameter("wait", "Seconds that a long poll waits when there is nothing", "number"),
    Parameter("format", "json or xml, for the data of an event stream"),
    Parameter("Last-Event-ID", "As after, sent by EventSource", "integer", "header"),
)


class Face:
    """What all calls are given."""

    __slots__ = ("lookups", "max_body", "max_wait", "origins", "streams", "throttle")

    def __init__(
        self,
        origins: Origins,
        throttle: Throttle,
        lookups: Lookups,
        streams: Streams,
        max_body: int,
        max_wait: float,
    ) -> None:
        self.origins = origins
        self.throttle = throttle
        self.lookups = lookups
        self.streams = streams
        self.max_body = max_body
        self.max_wait = max_wait

    async def read(self, request: web.BaseRequest) -> bytes:
        """Return the body; quick where it came together with the headers, as small ones do."""
        if request.content.is_eof():
            return self._read_at_once(request)
        if (request.content_length or 0) > self.max_body:
            raise self._too_large()
        await proceed(request)
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                return await request.read()
        except TimeoutError:
            raise RequestTimeout("The body did not arrive in time.") from None

    def _read_at_once(self, request: web.BaseRequest) -> bytes:
        """Return a body that is all there, past the coroutines that would wait for more of it."""
        data = request.content.read_nowait(-1) if request.body_exists else b""
        if len(data) > self.max_body:
            raise self._too_large()
        return data

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The body exceeds {self.max_body} octets.")

    async def decode(self, request: web.BaseRequest, model: type[T]) -> T:
        """Return the body as a struct."""
        format = sent_in(request.headers.get("Content-Type"))
        return format.decode(await self.read(request), model)

    async def events(self, request: web.BaseRequest, feed: EventFeed) -> web.StreamResponse:
        """Answer by an event stream or a long poll, as Accept says."""
        accept = request.headers.get("Accept")
        after = number(request, "after", MAX_CURSOR)
        if wants_stream(accept):
            last = request.headers.get("Last-Event-ID")
            if last:
                after = _number("Last-Event-ID", last, MAX_CURSOR)
            return self.streams.open_stream(request, feed, _stream_format(request, accept or ""), after)
        format = wanted(accept)
        wait = _seconds(request, min(DEFAULT_WAIT, self.max_wait))
        return format.answer(await self.streams.poll(request, feed, after, min(wait, self.max_wait)))


async def proceed(request: web.BaseRequest) -> None:
    """Ask a client that waits for it to send its body (RFC 9110 §10.1.1)."""
    expect = request.headers.get("Expect")
    if expect is None:
        return
    if expect.lower() != "100-continue":
        raise ExpectationFailed("Only 100-continue can be expected.")
    transport = request.transport
    if transport is not None:
        transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _stream_format(request: web.BaseRequest, accept: str) -> Format:
    named = request.query.get("format")
    if named is None:
        return stream_format(accept)
    if named not in ("json", "xml"):
        raise FieldError("format", "is neither json nor xml")
    return XML if named == "xml" else JSON


def number(request: web.BaseRequest, name: str, maximum: int, minimum: int = 0) -> int | None:
    """Return a query parameter that counts; None when it is not there, :class:`FieldError` when it is no number."""
    value = request.query.get(name)
    return None if value is None else _number(name, value, maximum, minimum)


def _number(name: str, value: str, maximum: int, minimum: int = 0) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 16 and minimum <= int(value) <= maximum):
        raise FieldError(name, f"is not a number from {minimum} to {maximum}")
    return int(value)


def _seconds(request: web.BaseRequest, default: float) -> float:
    value = request.query.get("wait")
    if value is None:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise FieldError("wait", "is not a number of seconds")
    return seconds


def secret(field: str, value: str) -> str:
    """Return a login secret or password if it is one line and not too long."""
    if not value or len(value) > MAX_SECRET:
        raise FieldError(field, "is empty or too long")
    return line(field, value)


_EMPTY: Headers = Headers({"Cache-Control": "no-store", "Server": "rcsgw"})


def nothing() -> web.Response:
    """Return 204."""
    return web.Response(status=204, headers=_EMPTY.copy())
