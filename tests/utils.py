"""What tests of several packages share."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TypeVar

Outcome = TypeVar("Outcome")


class Clock:
    """Monotonic seconds that only move when told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        """Move on and return the new time."""
        self.now += seconds
        return self.now


def lf2crlf(text: str) -> bytes:
    """Return text written with plain line breaks as it goes over the wire."""
    return text.replace("\n", "\r\n").encode()


def chunkings(data: bytes, *, rounds: int = 5, seed: int = 4711) -> Iterator[list[bytes]]:
    """Yield ways to cut ``data``: whole, octet by octet, then ``rounds`` random ones (the same in every run)."""
    yield [data]
    yield [data[index : index + 1] for index in range(len(data))]
    cutter = random.Random(seed)
    for _ in range(rounds):
        cuts = sorted(cutter.randrange(len(data) + 1) for _ in range(cutter.randrange(1, 9)))
        edges = [0, *cuts, len(data)]
        yield [data[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def every_chunking(data: bytes, feed: Callable[[list[bytes]], Outcome]) -> Outcome:
    """Feed ``data`` in all ways of :func:`chunkings`; the outcome must always be the same, and is returned."""
    outcomes = [feed(chunks) for chunks in chunkings(data)]
    for outcome in outcomes[1:]:
        assert outcome == outcomes[0]
    return outcomes[0]
