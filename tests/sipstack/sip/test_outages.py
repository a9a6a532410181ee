from __future__ import annotations

from dataclasses import dataclass

from sipstack.sip.outages import PLACES_LIMIT, Outage, Outages, Place

ONE, TWO, THREE = ("UDP", "192.0.2.1", 5060), ("UDP", "192.0.2.2", 5060), ("UDP", "192.0.2.3", 5060)


@dataclass
class Node:
    place: Place


def arranged(outages: Outages, places: list[Place], now: float) -> list[Place]:
    return [node.place for node in outages.arrange(map(Node, places), now)]


def test_the_dead_come_last_until_their_time_is_over() -> None:
    outages = Outages()
    assert not outages
    assert outages.died(ONE, 0.0, 30.0)
    assert not outages.died(ONE, 10.0, 40.0)
    assert arranged(outages, [ONE, TWO, THREE], 39.9) == [TWO, THREE, ONE]
    assert arranged(outages, [ONE, TWO, THREE], 40.0) == [ONE, TWO, THREE]
    assert not outages


def test_the_busy_are_left_alone() -> None:
    """:rfc:`3261#section-21.5.4`: no other requests to that server for the time of its Retry-After."""
    outages = Outages()
    assert outages.refused(ONE, 0.0, 60.0)
    assert outages.of(ONE, 1.0) == Outage(60.0, is_busy=True)
    assert arranged(outages, [ONE, TWO], 1.0) == [TWO]
    assert arranged(outages, [ONE], 1.0) == []
    outages.refused(TWO, 0.0, 31.0)
    assert outages.pause(map(Node, [ONE, TWO]), 1.0) == 30.0
    assert outages.pause([], 1.0) == 0.0
    assert arranged(outages, [ONE], 60.0) == [ONE]


def test_an_answer_ends_it() -> None:
    outages = Outages()
    outages.died(ONE, 0.0, 30.0)
    assert outages.answered(ONE)
    assert not outages.answered(ONE)
    assert outages.of(ONE, 1.0) is None


def test_they_are_bounded() -> None:
    outages = Outages()
    for port in range(PLACES_LIMIT + 1):
        outages.died(("UDP", "192.0.2.1", port), 0.0, 100.0 + port)
    assert outages.of(("UDP", "192.0.2.1", 0), 1.0) is None
    assert outages.of(("UDP", "192.0.2.1", 1), 1.0) is not None
