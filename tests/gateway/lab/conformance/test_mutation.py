"""Broken messages: the same for a seed, bounded, and broken."""

from __future__ import annotations

import random

from gateway.lab.conformance.mutation import LINE_MUTATIONS, MAX_GROWN, mutate

SOUND = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"


def test_a_seed_gives_the_same_messages() -> None:
    def some(seed: int) -> list[bytes]:
        chance = random.Random(seed)
        return [mutate(chance, SOUND) for _ in range(200)]

    assert some(1) == some(1) != some(2)
    assert sum(data != SOUND for data in some(1)) > 180
    assert len(set(some(1))) > 150
    assert max(map(len, some(1))) <= MAX_GROWN


def test_even_next_to_nothing_can_be_broken() -> None:
    chance = random.Random(1)
    for data in (b"", b"x", b"\r\n\r\n"):
        for _ in range(200):
            mutate(chance, data)
    for mutation in LINE_MUTATIONS:
        assert mutation(chance, [b"x"]) is not None
