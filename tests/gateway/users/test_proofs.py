"""Proofs of the last minute, on a clock of ours."""

from __future__ import annotations

import pytest

from gateway.services import Inviter
from gateway.users.proofs import Proofs

A = Inviter("a", "sip:a@cc.com")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_proof_lasts_and_is_for_one_password() -> None:
    clock = Clock()
    proofs = Proofs(30.0, clock)
    key = proofs.key("a", "p\udcff")
    assert proofs.get(key) is None
    proofs.remember(key, A)
    assert proofs.get(proofs.key("a", "p\udcff")) is A
    assert proofs.get(proofs.key("a", "p")) is None and proofs.get(proofs.key("ap", "")) is None
    clock.now = 30.0
    assert proofs.get(key) is None
    proofs.remember(key, A)
    proofs.forget()
    assert proofs.get(key) is None


def test_keys_tell_nothing_and_differ_between_processes() -> None:
    key = Proofs(30.0).key("a", "password")
    assert len(key) == 32 and b"password" not in key and Proofs(30.0).key("a", "password") != key


def test_nothing_is_kept_for_longer_than_a_minute_or_not_at_all() -> None:
    clock = Clock()
    for lifetime, kept in ((0.0, 0.0), (3600.0, 60.0)):
        proofs = Proofs(lifetime, clock)
        clock.now = 0.0
        key = proofs.key("a", "p")
        proofs.remember(key, A)
        assert (proofs.get(key) is A) is (kept > 0)
        clock.now = kept
        assert proofs.get(key) is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.users.proofs.LIMIT", 3)
    proofs = Proofs(30.0)
    keys = [proofs.key(str(number), "p") for number in range(5)]
    for key in keys:
        proofs.remember(key, A)
    assert len(proofs) == 3 and [proofs.get(key) is A for key in keys] == [False, False, True, True, True]
