"""Putting chunks together again, whatever their order and overlap (:rfc:`4975#section-7.3.1`)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from sipstack.errors import MessageTooLarge

from .chunk import Chunk

MAX_RANGES = 64
"""Separate stretches of one message. A relay that reorders leaves a handful of holes; more is an attack on memory."""
FIRST_REPORT = 16_384
"""Octets after which a sender behind relays learns that we report before the end; most messages are smaller."""
REPORT_EVERY = 65_536
"""Octets after which it hears again: several times while as many are on their way as :data:`.outbox.UNREPORTED`."""


class Ranges:
    """A set of octet positions, kept as sorted, disjoint half-open stretches."""

    __slots__ = ("_bounds",)

    def __init__(self) -> None:
        # start, end, start, end, …: an odd index is an end.
        self._bounds: list[int] = []

    def __len__(self) -> int:
        return len(self._bounds) // 2

    @property
    def size(self) -> int:
        """How many positions are in."""
        return sum(self._bounds[1::2]) - sum(self._bounds[::2])

    @property
    def prefix(self) -> int:
        """How many positions are in before the first that is not."""
        return self._bounds[1] if self._bounds[:1] == [0] else 0

    def add(self, start: int, end: int) -> None:
        """Add the positions from ``start`` up to but without ``end``."""
        if end <= start:
            return
        bounds = self._bounds
        first, last = bisect_left(bounds, start), bisect_right(bounds, end)
        # A bound that falls into a stretch, or touches it, melts into it.
        bounds[first:last] = [bound for bound, index in ((start, first), (end, last)) if index % 2 == 0]

    def cover(self, end: int) -> bool:
        """Tell whether all positions from 0 up to but without ``end`` are in."""
        return self.prefix >= end


class Assembly:
    """A message of which some chunks have come, kept in memory."""

    __slots__ = (
        "_buffer",
        "announced",
        "content_type",
        "failure_report",
        "headers",
        "length",
        "ranges",
        "report_at",
        "success_report",
        "touched",
    )

    def __init__(self, first: Chunk, now: float) -> None:
        self.content_type = first.content_type
        self.success_report = first.success_report
        self.failure_report = first.failure_report
        self.headers = first.headers
        self.announced = first.total
        """Octets of the message as the sender said last; None when it did not."""
        self.length: int | None = None
        """Octets of the message, told by the chunk that ends in ``$`` (C-BR-06)."""
        self.touched = now
        """When octets came last: a sender that stops for too long has given up."""
        self.ranges = Ranges()
        """Which octets are there."""
        self.report_at = FIRST_REPORT
        """How many octets from the first on are worth the next report of success."""
        self._buffer = bytearray()

    @property
    def held(self) -> int:
        """Octets of memory held."""
        return len(self._buffer)

    def add(self, chunk: Chunk, now: float) -> None:
        """Put the octets of ``chunk`` in their place, over what may be there already.

        Raise :exc:`MessageTooLarge` when the message is in more pieces than a sane peer makes.
        """
        start, body = chunk.start - 1, chunk.body
        end = start + len(body)
        self._store(start, body)
        self.ranges.add(start, end)
        if len(self.ranges) > MAX_RANGES:
            raise MessageTooLarge("MSRP message", f"is in more than {MAX_RANGES} pieces", status=413)
        if chunk.flag == "$":
            self.length = end
        if self.content_type is None:
            self.content_type = chunk.content_type
        self.touched = now

    def _store(self, start: int, body: bytes) -> None:
        buffer = self._buffer
        if start == len(buffer):
            buffer += body
            return
        if start > len(buffer):
            buffer.extend(bytes(start - len(buffer)))
        buffer[start : start + len(body)] = body

    def due_report(self) -> int:
        """Return how many octets from the first on are to be reported now, before the end; mostly 0.

        Never all: only who takes the whole message may say that. So nothing is said of one whose length is not known.
        """
        prefix = self.ranges.prefix
        if prefix < self.report_at or self.announced is None or prefix >= self.announced:
            return 0
        self.report_at = prefix + REPORT_EVERY
        return prefix

    @property
    def is_complete(self) -> bool:
        """Tell whether every octet up to the length is there, in whatever order they came."""
        return self.length is not None and self.ranges.cover(self.length)

    def take(self) -> bytes:
        """Return the whole message; the assembly is of no use afterwards."""
        buffer, self._buffer = self._buffer, bytearray()
        del buffer[self.length :]
        return bytes(buffer)
