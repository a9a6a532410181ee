"""Events to clients: server-sent events and long polls.

A stream is a cursor into the store with a write deadline. While the client keeps up, an event is written to its socket
by the call that publishes it, encoded once for all streams; when it does not, nothing is kept for it, and once its
socket drains the stream reads on from the store. A caught-up stream is a transport and one slotted object: no task, no
timer of its own, nothing of aiohttp.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from itertools import chain

from aiohttp import web

from gateway.http.negotiation import JSON, Format
from gateway.http.server import Connection, Detached
from gateway.services import EventFeed, Unavailable
from translators.model import Event, EventPage, format_time

log = logging.getLogger("rcsgw.http")

PAGE = 100
"""Events that are read from the store at once."""

MAX_OPEN = 50_000
"""Streams of the whole process; file descriptors end about there."""

RETRY_MS = 2000
"""Milliseconds after which a browser connects again."""

USER_TIMEOUT = 45_000
"""Milliseconds without acknowledgement after which the kernel gives a connection up: three pings."""

_PING = b": ping\n\n"

_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-store\r\n"
    b"X-Accel-Buffering: no\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Server: rcsgw\r\n"
    b"Connection: close\r\n"
    b"\r\n"
)
"""No length and no chunks: the stream ends with the connection (RFC 9112 §6.3), so all streams share their bytes."""


class Stream(asyncio.Protocol):
    """One open event stream."""

    __slots__ = ("_catching", "_cursor", "_feed", "_format", "_missed", "_stop", "_streams", "paused_at", "transport")

    def __init__(self, streams: Streams, feed: EventFeed, format: Format, cursor: int) -> None:
        self.transport: asyncio.Transport | None = None
        self.paused_at: float | None = None
        """Since when the client takes nothing, monotonic."""
        self._streams = streams
        self._feed = feed
        self._format = format
        self._cursor = cursor
        """Cursor of the last event that was written."""
        self._stop: Callable[[], None] | None = None
        self._catching: asyncio.Task[None] | None = None
        self._missed = False
        """An event came that was not written."""

    def open(self, stop: Callable[[], None], connection: Connection) -> None:
        """Take the connection over and start with what happened since the cursor."""
        self._stop = stop
        self.transport = connection.detach(self)
        self._streams.add(self)
        _limit_silence(self.transport)
        self.transport.write(b"%bretry: %d\nid: %d\n\n" % (_HEAD, RETRY_MS, self._cursor))
        if self._cursor != self._feed.latest():
            self._catch_up()

    def offer(self, event: Event | None) -> None:
        """Write an event if the client is up to date, else remember that there is one; None ends the stream."""
        if self.transport is None:
            return
        if event is None:
            self.close()
        elif self._catching is not None or self.paused_at is not None:
            self._missed = True
        else:
            self._write(event)

    def ping(self) -> None:
        """Write a comment, so that proxies and we notice a dead client."""
        if self.transport is not None and self.paused_at is None:
            self.transport.write(_PING)

    def close(self) -> None:
        """End the stream after what was written is sent, but do not wait for a client that takes nothing."""
        if self.paused_at is not None:
            self.abort()
        elif self.transport is not None:
            self.transport.close()
            self._let_go()

    def abort(self) -> None:
        """End the stream at once: the client takes nothing."""
        if self.transport is not None:
            self.transport.abort()
            self._let_go()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Skip what a client says into a stream."""

    def pause_writing(self) -> None:
        """Stop: the socket's buffer is full."""
        self.paused_at = self._streams.now()
        self._streams.slow.add(self)

    def resume_writing(self) -> None:
        """Go on where the client left off."""
        self.paused_at = None
        self._streams.slow.discard(self)
        if self._missed and self._catching is None:
            self._catch_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the stream."""
        self._let_go()

    def _write(self, event: Event) -> None:
        assert self.transport is not None
        if event.cursor > self._cursor:
            self._cursor = event.cursor
            self.transport.write(self._streams.block(event, self._format))

    def _catch_up(self) -> None:
        self._catching = asyncio.get_running_loop().create_task(self._read_on())
        self._catching.add_done_callback(self._caught_up)

    async def _read_on(self) -> None:
        if self._cursor > self._feed.latest():
            self._reset()
        while self.transport is not None:
            self._missed = False
            events = await self._feed.read(self._cursor, PAGE)
            if self.transport is None:
                return
            if events is None:
                self._reset()
                continue
            for event in events:
                self._write(event)
                if self.paused_at is not None:
                    self._missed = True
                    return
            if not events and not self._missed:
                return

    def _reset(self) -> None:
        """Tell the client that what was behind its cursor is gone, and go on from now."""
        assert self.transport is not None
        self._cursor = self._feed.latest()
        self.transport.write(_block(reset_event(self._cursor), self._format))

    def _caught_up(self, task: asyncio.Task[None]) -> None:
        self._catching = None
        if task.cancelled() or self.transport is None:
            return
        error = task.exception()
        if error is not None:
            log.warning("event stream closed, the store could not be read: %s", error)
            self.close()
        elif self._missed and self.paused_at is None:
            self._catch_up()

    def _let_go(self) -> None:
        if self.transport is None:
            return
        self.transport = None
        if self._stop is not None:
            self._stop()
            self._stop = None
        if self._catching is not None:
            self._catching.cancel()
        self._streams.remove(self)


class Streams:
    """All open streams and polls: one timer pings the streams by turns and ends those whose client takes nothing.

    ``ping_interval`` and ``write_timeout`` are seconds.
    """

    def __init__(self, ping_interval: float, write_timeout: float) -> None:
        self.slow: set[Stream] = set()
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._write_timeout = write_timeout
        self._turns: list[set[Stream]] = [set() for _ in range(max(1, round(ping_interval)))]
        """Each second of the interval pings one of these, so that not all are written to at once."""
        self._turn = 0
        self._tick_seconds = ping_interval / len(self._turns)
        self._polls: set[_Poll] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._encoded: tuple[Event, Format, bytes] | None = None

    def __len__(self) -> int:
        return sum(map(len, self._turns))

    def add(self, stream: Stream) -> None:
        """Keep a stream until it is removed."""
        self._turns[hash(stream) % len(self._turns)].add(stream)
        self._start_timer()

    def remove(self, stream: Stream) -> None:
        """Let go of a stream."""
        self._turns[hash(stream) % len(self._turns)].discard(stream)
        self.slow.discard(stream)

    def close(self) -> None:
        """End all streams and polls."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for stream in [*chain.from_iterable(self._turns)]:
            stream.close()
        for poll in [*self._polls]:
            poll.wake(None)

    def block(self, event: Event, format: Format) -> bytes:
        """Return an event as it stands in a stream; encoded once when several streams get it one after the other."""
        known = self._encoded
        if known is not None and known[0] is event and known[1] is format:
            return known[2]
        block = _block(event, format)
        self._encoded = event, format, block
        return block

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick_seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._encoded = None
        now = self.now()
        for stream in [*self.slow]:
            if stream.paused_at is not None and now - stream.paused_at > self._write_timeout:
                stream.abort()
        for poll in [*self._polls]:
            poll.check()
        self._turn = (self._turn + 1) % len(self._turns)
        for stream in self._turns[self._turn]:
            stream.ping()
        if self._polls or any(self._turns):
            self._start_timer()

    def open_stream(self, request: web.BaseRequest, feed: EventFeed, format: Format, after: int | None) -> Detached:
        """Turn a request into an event stream that begins behind ``after``, or now if that is None.

        Raises :class:`gateway.services.TooManyRequests` when the feed has as many listeners as it may have.
        """
        if len(self) >= MAX_OPEN:
            raise Unavailable("Too many event streams are open.", retry_after=30)
        stream = Stream(self, feed, format, feed.latest() if after is None else after)
        stop = feed.subscribe(stream.offer)
        connection = request.protocol
        assert isinstance(connection, Connection)
        try:
            stream.open(stop, connection)
        except BaseException:
            stop()
            raise
        return Detached()

    async def poll(self, request: web.BaseRequest, feed: EventFeed, after: int | None, wait: float) -> EventPage:
        """Return what happened behind ``after``; when nothing did, wait up to ``wait`` seconds for it."""
        if after is None:
            return EventPage(events=[], cursor=feed.latest())
        if wait <= 0:
            return await _read(feed, after)
        poll = _Poll(request.transport, self._loop.create_future())
        stop = feed.subscribe(poll.wake)
        self._polls.add(poll)
        self._start_timer()
        try:
            page = await _read(feed, after)
            if page.events or page.reset:
                return page
            await asyncio.wait([poll.future], timeout=wait)
        finally:
            self._polls.discard(poll)
            stop()
        return await _read(feed, after)


class _Poll:
    """A poll that waits."""

    __slots__ = ("_transport", "future")

    def __init__(self, transport: asyncio.Transport | None, future: asyncio.Future[None]) -> None:
        self._transport = transport
        self.future = future

    def wake(self, event: Event | None) -> None:
        """End the wait: something happened, or the feed has ended."""
        if not self.future.done():
            self.future.set_result(None)

    def check(self) -> None:
        """End the wait of a client that has gone, so that it does not count against its account."""
        if self._transport is None or self._transport.is_closing():
            self.wake(None)


async def _read(feed: EventFeed, after: int) -> EventPage:
    latest = feed.latest()
    if after > latest:
        return EventPage(events=[], cursor=latest, reset=True)
    events = await feed.read(after, PAGE)
    if events is None:
        return EventPage(events=[], cursor=feed.latest(), reset=True)
    return EventPage(events=list(events), cursor=events[-1].cursor if events else after)


def reset_event(cursor: int) -> Event:
    """Return the event that tells a client to fetch the conversation anew."""
    return Event(cursor=cursor, kind="reset", at=format_time(time.time()))


def _block(event: Event, format: Format) -> bytes:
    """Return an event in the text/event-stream format: each line of the data is a line of its own."""
    data = format.encode_event(event)
    if format is not JSON:
        data = data.replace(b"\n", b"\ndata: ")
    return b"event: %b\nid: %d\ndata: %b\n\n" % (event.kind.encode(), event.cursor, data)


def _limit_silence(transport: asyncio.Transport) -> None:
    """Let the kernel end the connection of a client that vanished; where it cannot, TCP's own limits do."""
    sock = transport.get_extra_info("socket")
    if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT") and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
