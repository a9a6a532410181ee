"""Wall time as text, formatted once a second: every chat message carries it."""

from __future__ import annotations

import time


class DateTime:
    """The current time as RFC 3339 writes it, in UTC."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def now(self) -> str:
        """Return the time to the second: ``2026-11-22T10:15:30Z``."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
        return self._text
