from __future__ import annotations

from collections import Counter

from sipstack.sip.spread import Server, spread

A = Server(("a1", "a2"), "a:5060", (1,), 30)
B = Server(("b",), "b:5060", (1,), 10)
LAST = Server(("last",), "last:5060", (2,), 100)
KEYS = [f"sip:guest{number}@ims.example" for number in range(1000)]


def test_priorities_come_before_weights() -> None:
    assert spread([LAST]) == ["last"]
    for key in (None, "sip:a@ims.example"):
        order = spread([LAST, A, B], key)
        assert order[-1] == "last" and sorted(order) == ["a1", "a2", "b", "last"]
        assert order.index("a2") == order.index("a1") + 1


def test_weights_are_shares() -> None:
    """:rfc:`2782`: larger weights have a proportionately higher probability of being selected (A-RES-04)."""
    drawn = Counter(spread([A, B])[0] for _ in range(10_000))
    assert 7300 < drawn["a1"] < 7700
    chosen = Counter(spread([A, B], key)[0] for key in KEYS)
    assert 690 < chosen["a1"] < 810


def test_weight_nought() -> None:
    one, two = Server(("one",), "one"), Server(("two",), "two")
    assert 400 < Counter(spread([one, two], key)[0] for key in KEYS)["one"] < 600
    assert {spread([one, two])[0] for _ in range(200)} <= {"one", "two"}
    heavy = Server(("heavy",), "heavy", (), 10)
    assert Counter(spread([one, heavy], key)[0] for key in KEYS)["one"] < 10


def test_who_loses_the_first_goes_to_the_second_and_nobody_else_moves() -> None:
    three = [Server((name,), name, (), 1) for name in ("x", "y", "z")]
    before = {key: spread(three, key) for key in KEYS}
    without = {key: spread([server for server in three if server.name != "x"], key) for key in KEYS}
    for key in KEYS:
        assert without[key] == [name for name in before[key] if name != "x"]
    assert {key: spread(reversed(three), key) for key in KEYS} == before
