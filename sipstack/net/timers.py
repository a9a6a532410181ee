"""All timers of an endpoint in one heap, armed by a single ``loop.call_at``."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)

COMPACT_ABOVE = 64
"""Dead entries below this number are not worth a rebuild of the heap."""


class Timer:
    """A callback that is due at ``deadline`` (monotonic seconds of the loop)."""

    __slots__ = ("_heap", "callback", "deadline")

    def __init__(self, heap: TimerHeap, deadline: float, callback: Callable[[], None]) -> None:
        self._heap = heap
        self.deadline = deadline
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never call back. The entry stays in the heap until its time or the next rebuild; the callback goes now."""
        if self.callback is not None:
            self.callback = None
            self._heap.entry_died()


class TimerHeap:
    """Timers ordered by deadline. ``loop`` gives the clock; nothing here polls."""

    __slots__ = ("_closed", "_dead", "_entries", "_handle", "_loop", "_serial", "_wakeup")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._entries: list[tuple[float, int, Timer]] = []
        self._serial = 0
        self._dead = 0
        self._handle: asyncio.TimerHandle | None = None
        self._wakeup = float("inf")
        self._closed = False

    def __len__(self) -> int:
        return len(self._entries) - self._dead

    def time(self) -> float:
        """Return the clock of all deadlines: monotonic seconds."""
        return self._loop.time()

    def schedule(self, deadline: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` once at ``deadline``; one that lies in the past is called on the next turn of the loop."""
        timer = Timer(self, deadline, callback)
        if self._closed:
            return timer
        self._serial += 1
        heapq.heappush(self._entries, (deadline, self._serial, timer))
        if deadline < self._wakeup:
            self._arm(deadline)
        return timer

    def move(self, timer: Timer | None, deadline: float | None, callback: Callable[[], None]) -> Timer | None:
        """Have ``callback`` called at ``deadline`` instead of ``timer``, which is not due yet; None: no timer.

        Return the timer that there is now: the same where nothing changes.
        """
        if timer is not None:
            if timer.deadline == deadline:
                return timer
            timer.cancel()
        return None if deadline is None else self.schedule(deadline, callback)

    def close(self) -> None:
        """Forget all timers, also those that are scheduled later."""
        self._closed = True
        self._entries.clear()
        self._dead = 0
        self._disarm()

    def entry_died(self) -> None:
        """Count a cancelled entry; rebuild when most of the heap is dead (amortised O(1))."""
        self._dead += 1
        if self._dead > COMPACT_ABOVE and self._dead * 2 > len(self._entries):
            self._entries = [entry for entry in self._entries if entry[2].callback is not None]
            heapq.heapify(self._entries)
            self._dead = 0

    def _arm(self, deadline: float) -> None:
        self._disarm()
        self._wakeup = deadline
        self._handle = self._loop.call_at(deadline, self._expire)

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._wakeup = float("inf")

    def _expire(self) -> None:
        self._handle = None
        self._wakeup = float("inf")
        now = self._loop.time()
        while self._entries and self._entries[0][0] <= now:
            timer = heapq.heappop(self._entries)[2]
            callback, timer.callback = timer.callback, None
            if callback is None:
                self._dead -= 1
                continue
            try:
                callback()
            except Exception:
                # One failing owner must not silence the timers of all others.
                logger.exception("timer callback failed")
        while self._entries and self._entries[0][2].callback is None:
            heapq.heappop(self._entries)
            self._dead -= 1
        if self._entries and self._entries[0][0] < self._wakeup:
            self._arm(self._entries[0][0])
