"""Who is refused when there is too much to do."""

from __future__ import annotations

import pytest

from sipstack.sip.message import Request
from sipstack.sip.overload import LONGEST_PAUSE, SHORTEST_PAUSE, Overload


def request(method: str = "INVITE", *, in_dialog: bool = False) -> Request:
    return Request(method, "sip:b@x", [("To", "<sip:b@x>" + (";tag=1" if in_dialog else ""))])


def test_without_limits_everything_passes() -> None:
    overload = Overload()
    assert not overload.noticed_lag(60.0)
    assert all(overload.refuse(request(), 0.0) is None for _ in range(100))


def test_who_is_late_takes_nothing_new_until_it_has_caught_up() -> None:
    overload = Overload(max_lag=2.0)
    assert not overload.noticed_lag(2.0)
    assert overload.refuse(request(), 0.0) is None
    assert overload.noticed_lag(2.1) and overload.is_late
    pause = overload.refuse(request(), 0.0)
    assert pause is not None and SHORTEST_PAUSE <= pause <= LONGEST_PAUSE
    assert not overload.noticed_lag(1.5) and overload.is_late
    assert overload.noticed_lag(0.9) and not overload.is_late
    assert overload.refuse(request(), 0.0) is None


@pytest.mark.parametrize(("method", "in_dialog"), [("BYE", True), ("INVITE", True), ("CANCEL", False), ("ACK", False)])
def test_what_belongs_to_something_passes(method: str, in_dialog: bool) -> None:
    overload = Overload(max_lag=1.0)
    overload.noticed_lag(5.0)
    assert overload.refuse(request(method, in_dialog=in_dialog), 0.0) is None


def test_so_many_a_second() -> None:
    overload = Overload(max_rate=10.0)
    assert [overload.refuse(request("MESSAGE"), 0.0) is None for _ in range(12)] == [True] * 10 + [False] * 2
    # a second later a tenth of them for each tenth of it
    assert [overload.refuse(request("MESSAGE"), 0.25) is None for _ in range(4)] == [True] * 2 + [False] * 2
    assert [overload.refuse(request("MESSAGE"), 60.0) is None for _ in range(11)] == [True] * 10 + [False]


def test_less_than_one_a_second() -> None:
    overload = Overload(max_rate=0.5)
    assert overload.refuse(request(), 0.0) is None
    assert overload.refuse(request(), 1.0) is not None
    assert overload.refuse(request(), 3.0) is None
