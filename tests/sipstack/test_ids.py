"""Identifiers: long enough, lower case, never the same twice, not even after a fork."""

from __future__ import annotations

import os

import pytest

from sipstack import ids

MAKERS = [
    ids.token,
    ids.branch,
    ids.tag,
    ids.call_id,
    ids.cnonce,
    ids.contact_token,
    ids.contribution_id,
    ids.instance_id,
    ids.msrp_session_id,
    ids.msrp_transaction_id,
    ids.message_id,
    ids.trace_id,
]


@pytest.mark.parametrize("make", MAKERS)
def test_identifiers_differ_and_are_lower_case(make: object) -> None:
    assert callable(make)
    made = {make() for _ in range(2000)}
    assert len(made) == 2000
    assert all(text.removeprefix("z9hG4bK") == text.removeprefix("z9hG4bK").lower() for text in made)


@pytest.mark.parametrize(("bits", "digits"), [(1, 2), (64, 16), (96, 24), (8 * ids.POOL_OCTETS + 8, 8194)])
def test_a_token_has_the_bits_asked_for(bits: int, digits: int) -> None:
    assert len(ids.token(bits)) == digits


def test_branches_carry_the_cookie() -> None:
    assert ids.branch().startswith("z9hG4bK")


def test_a_forked_child_draws_its_own() -> None:
    ids.token()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - runs in the child, which must not go on with pytest
        os.write(writer, ids.token().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100).decode() != ids.token()
    os.close(reader)
    os.close(writer)


def test_uniform_stays_in_bounds() -> None:
    assert all(2.1 <= ids.uniform(2.1, 4.0) <= 4.0 for _ in range(1000))
