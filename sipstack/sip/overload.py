"""When new requests are too many: who is told to come back later, and when (:rfc:`3261#section-21.5.4`)."""

from __future__ import annotations

import math

from sipstack import ids
from sipstack.sip.message import Request

SHORTEST_PAUSE = 5
LONGEST_PAUSE = 15
"""Seconds of Retry-After, at random between the two: whoever is sent away must not come back all at once."""

RELIEF = 0.5
"""Part of the limit of lag below which an overload is over: no flapping at the limit."""


class Overload:
    """The rule: what begins something new is refused while we are late, or when it comes too often.

    What belongs to a dialog always passes: it is little, and most of it ends something. So do ACK and CANCEL.
    """

    __slots__ = ("_drawn_at", "_tokens", "is_late", "max_lag", "max_rate")

    def __init__(self, max_rate: float = 0.0, max_lag: float = 0.0) -> None:
        """``max_rate``: new requests a second, in bursts of one second's; ``max_lag``: seconds that we may be behind
        our own timers. 0: no such limit."""
        self.max_rate = max_rate
        self.max_lag = max_lag
        self.is_late = False
        """Whether we are behind."""
        self._tokens = max(max_rate, 1.0)
        self._drawn_at = -math.inf

    def noticed_lag(self, seconds: float) -> bool:
        """Take how late a timer was. Return whether an overload begins or ends by that."""
        was_late = self.is_late
        if self.max_lag:
            self.is_late = seconds > self.max_lag * (RELIEF if was_late else 1.0)
        return self.is_late is not was_late

    def refuse(self, request: Request, now: float) -> int | None:
        """Return the Retry-After for a request that is one too many, None for one that is welcome."""
        if not self.is_late and not self.max_rate:
            return None
        if request.method in ("ACK", "CANCEL") or request.to.tag is not None:
            return None
        if not self.is_late and self._draw(now):
            return None
        return round(ids.uniform(SHORTEST_PAUSE, LONGEST_PAUSE))

    def _draw(self, now: float) -> bool:
        """Take a turn; there are ``max_rate`` in each second, and one at least."""
        full = max(self.max_rate, 1.0)
        self._tokens = min(full, self._tokens + (now - self._drawn_at) * self.max_rate)
        self._drawn_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
