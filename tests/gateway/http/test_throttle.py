"""Token buckets, on a clock of ours."""

from __future__ import annotations

import pytest

from gateway.http.throttle import Buckets, Lookups, Throttle, key_of, network_of
from gateway.services import AlreadySubscriber, NotAuthenticated, TooManyLookups, TooManyRequests, Unavailable


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(throttle: Throttle, account: str, address: str) -> None:
    with pytest.raises(NotAuthenticated), throttle.attempt(account, address):
        raise NotAuthenticated


def test_account_waits_after_wrong_credentials() -> None:
    clock = Clock()
    throttle = Throttle(3, 100, 30.0, clock)
    for number in range(3):
        fail(throttle, "Sip:B@cc.com" if number else "sip:b@cc.com", f"192.0.2.{number}")
    with pytest.raises(TooManyRequests) as caught, throttle.attempt("sip:b@cc.com", "192.0.2.9"):
        pass
    assert caught.value.retry_after == 10
    clock.now += 10
    with throttle.attempt("sip:b@cc.com", "192.0.2.9"):
        pass
    fail(throttle, "sip:b@cc.com", "192.0.2.9")
    with pytest.raises(TooManyRequests), throttle.attempt("sip:b@cc.com", "192.0.2.9"):
        pass


def test_address_waits_too() -> None:
    throttle = Throttle(100, 2, 30.0, Clock())
    fail(throttle, "a", "2001:db8::1")
    fail(throttle, "b", "2001:db8::2")
    with pytest.raises(TooManyRequests), throttle.attempt("c", "2001:db8::ffff"):
        pass
    with throttle.attempt("c", "2001:db8:0:1::1"):
        pass


def test_right_credentials_and_our_own_failures_cost_nothing() -> None:
    throttle = Throttle(1, 1, 30.0, Clock())
    for _ in range(10):
        with throttle.attempt("a", "192.0.2.1"):
            pass
        with pytest.raises(Unavailable), throttle.attempt("a", "192.0.2.1"):
            raise Unavailable


def test_guesses_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.throttle.MAX_RUNNING_ACCOUNT", 2)
    throttle = Throttle(10, 100, 20.0, Clock())
    with throttle.attempt("a", "192.0.2.1"), throttle.attempt("a", "192.0.2.1"):
        with pytest.raises(TooManyRequests), throttle.attempt("a", "192.0.2.1"):
            pass
        with throttle.attempt("b", "192.0.2.1"):
            pass
    with throttle.attempt("a", "192.0.2.1"):
        pass


def test_debt_of_parallel_guesses() -> None:
    clock = Clock()
    throttle = Throttle(2, 100, 20.0, clock)
    attempts = [throttle.attempt("a", "192.0.2.1") for _ in range(5)]
    for attempt in attempts:
        attempt.__enter__()
    for attempt in attempts:
        assert not attempt.__exit__(NotAuthenticated, NotAuthenticated(), None)
    with pytest.raises(TooManyRequests) as caught, throttle.attempt("a", "192.0.2.1"):
        pass
    assert caught.value.retry_after == 40
    clock.now += 40
    with throttle.attempt("a", "192.0.2.1"):
        pass


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.throttle.MAX_BUCKETS", 10)
    buckets = Buckets(2, 60.0, 1)
    for number in range(100):
        buckets.begin(str(number))
        buckets.end(str(number), wrong=True, now=0.0)
    assert len(buckets) == 10
    assert buckets.wait("99", 0.0) == 0.0
    assert buckets.wait("99", 30.0) == 0.0
    assert len(buckets) == 9


@pytest.mark.parametrize(
    "account",
    ["sip:a@cc.com", "sip:a@cc.com;x=1", "sip:a@CC.com:5060", "sip:%61@cc.com", "sips:A@cc.com", "sip:a@cc.com?h=1"],
)
def test_one_account_however_it_is_written(account: str) -> None:
    assert key_of(account) == "a@cc.com"
    throttle = Throttle(1, 100, 20.0, Clock())
    with pytest.raises(NotAuthenticated), throttle.attempt("sip:a@cc.com", "192.0.2.1"):
        raise NotAuthenticated
    with pytest.raises(TooManyRequests), throttle.attempt(account, "192.0.2.1"):
        pass


def test_other_accounts() -> None:
    assert key_of("tel:+1-555-010-0000") == key_of("tel:+15550100000;ext=1") == "+15550100000"
    assert key_of("A") == "a" and key_of("sip:") == "sip:"


def test_networks() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8::1") == network_of("2001:db8::2") == "2001:db8::/64"
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1", "IPv4 behind IPv6 is no network of its own"
    assert network_of("unix") == "unix"


def test_lookups_are_counted_by_subscriber() -> None:
    clock = Clock()
    lookups = Lookups(3, 300.0, clock)
    for _ in range(3):
        with lookups.asking("a"):
            pass
    with pytest.raises(TooManyLookups) as caught, lookups.asking("a"):
        pass
    assert (caught.value.type, caught.value.status, caught.value.retry_after) == ("too-many-lookups", 429, 100)
    with lookups.asking("c"):
        pass
    clock.now += 100
    with lookups.asking("a"):
        pass


def test_an_invitation_counts_where_it_reveals_a_subscriber() -> None:
    lookups = Lookups(2, 300.0, Clock())
    for _ in range(5):
        with lookups.asking("a", reveals=AlreadySubscriber):
            pass
        with pytest.raises(Unavailable), lookups.asking("a", reveals=AlreadySubscriber):
            raise Unavailable
    for _ in range(2):
        with pytest.raises(AlreadySubscriber), lookups.asking("a", reveals=AlreadySubscriber):
            raise AlreadySubscriber("b is one.", "sip:b@cc.com")
    # refused before anything is asked: the refusal itself tells nothing
    with pytest.raises(TooManyLookups), lookups.asking("a", reveals=AlreadySubscriber):
        raise AssertionError


def test_lookups_at_the_same_time() -> None:
    lookups = Lookups(2, 300.0, Clock())
    with lookups.asking("a"), lookups.asking("a"), pytest.raises(TooManyLookups), lookups.asking("a"):
        pass
