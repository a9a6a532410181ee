"""Which servers cannot be reached, or asked to be left alone, and until when (:rfc:`3263#section-4.3`, A-RES-03)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

Place = tuple[str, str, int]
"""A transport, a numeric address, a port."""

PLACES_LIMIT = 256
"""Places that are remembered; a core has a few, and what a peer wrote into a Contact must not fill our memory."""


class Placed(Protocol):
    """What is at a place."""

    @property
    def place(self) -> Place:
        """Where it is."""


T = TypeVar("T", bound=Placed)


@dataclass(frozen=True, slots=True)
class Outage:
    """Why a place is not asked, until when (monotonic)."""

    until: float
    is_busy: bool
    """It answered 503 with Retry-After, so it must be left alone; otherwise it is dead, and may be tried for want of
    a better one."""


class Outages:
    """Remembers places that failed. An entry that has run out counts no more: the place is tried as any other."""

    __slots__ = ("_outages",)

    def __init__(self) -> None:
        self._outages: dict[Place, Outage] = {}

    def __bool__(self) -> bool:
        return bool(self._outages)

    def died(self, place: Place, now: float, until: float) -> bool:
        """Note that nothing comes through to ``place``. Return whether that is news."""
        return self._note(place, Outage(until, is_busy=False), now)

    def refused(self, place: Place, now: float, until: float) -> bool:
        """Note that ``place`` wants no requests until then (:rfc:`3261#section-21.5.4`). Return as :meth:`died`."""
        return self._note(place, Outage(until, is_busy=True), now)

    def answered(self, place: Place) -> bool:
        """Note that ``place`` is there and takes requests. Return whether that is news."""
        return self._outages.pop(place, None) is not None

    def of(self, place: Place, now: float) -> Outage | None:
        """Return what is wrong with ``place``; None when nothing is, as far as we know."""
        outage = self._outages.get(place)
        if outage is not None and outage.until <= now:
            del self._outages[place]
            return None
        return outage

    def arrange(self, targets: Iterable[T], now: float) -> list[T]:
        """Return ``targets`` with the dead ones last, in the same order otherwise; the busy ones are left out."""
        alive, dead = [], []
        for target in targets:
            outage = self.of(target.place, now)
            if outage is None:
                alive.append(target)
            elif not outage.is_busy:
                dead.append(target)
        return alive + dead

    def pause(self, targets: Iterable[Placed], now: float) -> float:
        """Return the seconds until the first of ``targets``, of which all are busy, may be asked again."""
        outages = [self.of(target.place, now) for target in targets]
        return min((outage.until - now for outage in outages if outage is not None), default=0.0)

    def _note(self, place: Place, outage: Outage, now: float) -> bool:
        known = self.of(place, now)
        self._outages[place] = outage
        if len(self._outages) > PLACES_LIMIT:
            del self._outages[min(self._outages, key=lambda other: self._outages[other].until)]
        return known is None
