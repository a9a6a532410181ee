"""The timer values of :rfc:`3261#section-17`, and the queue of the deadlines of all transactions of a layer."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

INVITE_TRYING_DELAY = 0.2
"""Seconds that the user has to answer an INVITE before the layer sends 100 (:rfc:`3261#section-17.2.1`)."""
TIMER_D_MINIMUM = 32.0
"""Seconds; Timer D is at least this over unreliable transports, however small T1 is (:rfc:`3261#section-17.1.1.2`)."""
COMPACT_ABOVE = 64
"""A heap with fewer entries isn't worth cleaning of stopped timers."""


@dataclass(frozen=True, slots=True)
class TimerValues:
    """T1, T2 and T4 of :rfc:`3261#section-17.1.1.1` in seconds; all other times follow from them."""

    t1: float = 0.5
    """Estimate of the round-trip time."""
    t2: float = 4.0
    """Longest pause between two copies of a non-INVITE request or of a response to INVITE."""
    t4: float = 5.0
    """Longest life of a message in the network."""

    @property
    def patience(self) -> float:
        """64*T1: timers B, F, H, J, L and M."""
        return 64 * self.t1

    @property
    def d(self) -> float:
        """Timer D over an unreliable transport."""
        return max(TIMER_D_MINIMUM, self.patience)

    @property
    def trying_delay(self) -> float:
        """When Timer E of the client reaches T2: no 100 to a non-INVITE request earlier (:rfc:`4320#section-4.1`)."""
        total, interval = 0.0, self.t1
        while interval < self.t2:
            total += interval
            interval *= 2
        return total


class TimerQueue(Generic[T]):
    """Deadlines in a heap. A stopped timer leaves its entry there, but not what it was for: that is let go at once."""

    __slots__ = ("_heap", "_running", "_count")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._running: dict[int, T] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._running)

    def start(self, deadline: float, payload: T) -> int:
        """Add a timer that is due at ``deadline``; return its number (never 0)."""
        self._count += 1
        self._running[self._count] = payload
        heapq.heappush(self._heap, (deadline, self._count))
        return self._count

    def stop(self, number: int) -> None:
        """Forget timer ``number``; nothing happens if it has fired or was stopped already."""
        if self._running.pop(number, None) is None:
            return
        if len(self._heap) > COMPACT_ABOVE and len(self._heap) > 4 * len(self._running):
            self._heap = [entry for entry in self._heap if entry[1] in self._running]
            heapq.heapify(self._heap)

    def deadline(self) -> float | None:
        """Return when the next timer is due, None when none runs."""
        heap = self._heap
        while heap and heap[0][1] not in self._running:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> T | None:
        """Take out the payload of the earliest timer that is due, None when none is."""
        deadline = self.deadline()
        if deadline is None or deadline > now:
            return None
        return self._running.pop(heapq.heappop(self._heap)[1])
