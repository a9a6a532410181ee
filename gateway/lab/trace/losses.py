"""What could not be read: a damaged trace gives what is left of it, and says what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

Lose = Callable[[str], None]
"""Is told each loss, in words that are the same for losses of the same kind."""


class Losses:
    """Counts losses by kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __call__(self, what: str) -> None:
        self._counts[what] += 1

    def __bool__(self) -> bool:
        return bool(self._counts)

    def __str__(self) -> str:
        return "; ".join(what if count == 1 else f"{what} ({count} times)" for what, count in self._counts.items())

    def counts(self) -> dict[str, int]:
        """Return how often each kind occurred."""
        return dict(self._counts)


class Damaged(ValueError):
    """Nothing of a file can be read; the text says why."""
