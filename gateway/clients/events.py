"""All events of a guest in order, whatever happens to the connection in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from gateway.clients.calls import GuestCalls
from gateway.clients.errors import Over, Refused, Unreachable, WrongSecret
from gateway.clients.sse import ServerEvent, StreamParser
from translators.model import Event

FIRST_PAUSE = 1.0
LAST_PAUSE = 30.0
"""Seconds between attempts to connect; they double in between."""

POLL_WAIT = 25.0
"""Seconds that a long poll may take."""

FAILED_STREAMS = 3
"""Streams in a row that brought nothing at all: something on the way holds them back, so the client polls."""


class EventReader:
    """Yields each event once: it resumes behind the last one, and changes to long polls where streams don't pass."""

    def __init__(
        self,
        calls: GuestCalls,
        *,
        polls: bool = False,
        on_connection: Callable[[bool], None] | None = None,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self.cursor: int | None = None
        """Of the newest event that was given; None before the first connection."""
        self._calls = calls
        self._polls = polls
        self._on_connection = on_connection
        self._is_connected: bool | None = None
        self._first_pause = first_pause
        self._pause = first_pause
        self._empty_streams = 0
        self._ready = asyncio.Event()

    async def ready(self) -> None:
        """Wait until the gateway has told where the events begin: what is fetched now, and they, leave no gap."""
        await self._ready.wait()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield events until the account or its secret is refused: then raise WrongSecret or Over."""
        while True:
            retry_after = None
            try:
                async with aclosing(self._polled() if self._polls else self._streamed()) as events:
                    async for event in events:
                        yield event
            except (WrongSecret, Over):
                self._tell(False)
                raise
            except Refused as error:
                retry_after = error.retry_after
            except Unreachable:
                pass
            self._tell(False)
            await asyncio.sleep(max(self._pause, retry_after or 0.0))
            self._pause = min(2 * self._pause, LAST_PAUSE)

    async def _streamed(self) -> AsyncGenerator[Event]:
        parser = StreamParser()
        brought = False
        try:
            async with self._calls.stream(self.cursor) as pieces:
                async for piece in pieces:
                    brought = True
                    for item in parser.feed(piece):
                        self._connected()
                        for event in self._read(item):
                            yield event
        finally:
            self._empty_streams = 0 if brought else self._empty_streams + 1
            self._polls = self._empty_streams >= FAILED_STREAMS
            if parser.retry is not None:
                self._first_pause = min(parser.retry, LAST_PAUSE)

    def _read(self, item: ServerEvent) -> list[Event]:
        if not item.data:
            if self.cursor is None and item.last_id.isdigit():
                self.cursor = int(item.last_id)
            self._ready.set()
            return []
        try:
            event = self._calls.codec.decode(item.data, Event)
        except ValueError as error:
            raise Unreachable(f"an event can't be read: {error}") from error
        return self._new([event])

    def _new(self, events: list[Event]) -> list[Event]:
        """Return those that were not given yet, and go on behind them."""
        fresh = [
            event for event in events if self.cursor is None or event.cursor > self.cursor or event.kind == "reset"
        ]
        if fresh:
            self.cursor = fresh[-1].cursor
        return fresh

    async def _polled(self) -> AsyncGenerator[Event]:
        if self.cursor is None:
            self.cursor = (await self._calls.poll(None, 0)).cursor
            self._connected()
        self._ready.set()
        while True:
            page = await self._calls.poll(self.cursor, POLL_WAIT)
            self._connected()
            if page.reset:
                yield Event(cursor=page.cursor, kind="reset", at="")
            for event in self._new(page.events):
                yield event
            self.cursor = page.cursor

    def _connected(self) -> None:
        self._pause = self._first_pause
        self._tell(True)

    def _tell(self, is_connected: bool) -> None:
        if is_connected is not self._is_connected:
            self._is_connected = is_connected
            if self._on_connection is not None:
                self._on_connection(is_connected)
