"""Alphabets and the cutting of long texts, by the tables of 3GPP TS 23.038 and TS 23.040."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.smsparts import (
    MAX_PARTS,
    Alphabet,
    Joining,
    ShortMessages,
    TooLong,
    short_messages,
)


@pytest.mark.parametrize(
    "text, alphabet, coding, sizes",
    [
        ("x" * 160, "gsm", 0, [160]),
        ("x" * 161, "gsm", 0, [153, 8]),
        ("x" * 159 + "€", "gsm", 0, [153, 8]),
        ("x" * 152 + "€" + "x" * 10, "gsm", 0, [152, 12]),
        ("é" * 140, "latin1", 3, [140]),
        ("é" * 141, "latin1", 3, [134, 7]),
        ("你" * 70, "gsm", 8, [140]),
        ("你" * 71, "gsm", 8, [134, 8]),
        ("x", "ucs2", 8, [2]),
        ("你" + "😀" * 35, "latin1", 8, [134, 8]),
        ("", "gsm", 0, [0]),
    ],
)
def test_lengths(text: str, alphabet: Alphabet, coding: int, sizes: list[int]) -> None:
    messages = short_messages(text, alphabet=alphabet)
    assert (messages.coding, [len(part) for part in messages.parts]) == (coding, sizes)
    assert messages.is_long == (len(sizes) > 1)


@pytest.mark.parametrize(
    "joining, first, last",
    [
        ("udh8", bytes.fromhex("050003cd0201"), bytes.fromhex("050003cd0202")),
        ("udh16", bytes.fromhex("060804abcd0201"), bytes.fromhex("060804abcd0202")),
        ("sar", b"", b""),
    ],
)
def test_what_ties_parts_together(joining: Joining, first: bytes, last: bytes) -> None:
    messages = short_messages("a" * 200, joining=joining, reference=0xABCD)
    (class_1, one), (class_2, two) = messages.numbered()
    assert class_1 == class_2 == (0x40 if first else 0)
    assert one.startswith(first + b"aaa") and two.startswith(last + b"aaa")
    assert len(one) <= 160


def test_the_octets_of_the_rule() -> None:
    """F-SMP-08: reference 0x2a, part 1 of 2, UCS-2 of "Hé"."""
    messages = ShortMessages("ucs2", ("Hé".encode("utf-16-be"), b""), 0x2A, "udh8")
    assert next(messages.numbered()) == (0x40, bytes.fromhex("0500032a0201004800e9"))


def test_a_payload_is_not_cut() -> None:
    messages = short_messages("你" * 200, joining="payload")
    assert [len(part) for part in messages.parts] == [400] and messages.is_long and list(messages.numbered())[0][0] == 0


def test_one_text_cannot_cost_a_fortune() -> None:
    short_messages("x" * 153 * MAX_PARTS)
    with pytest.raises(TooLong, match="11 short messages"):
        short_messages("x" * (153 * MAX_PARTS + 1))


@given(st.text(max_size=400), st.sampled_from(["gsm", "latin1", "ucs2"]), st.sampled_from(["udh8", "udh16", "sar"]))
def test_no_character_is_torn_and_none_is_lost(text: str, alphabet: Alphabet, joining: Joining) -> None:
    messages = short_messages(text, alphabet=alphabet, joining=joining)
    together = b"".join(messages.parts)
    whole = short_messages(text, alphabet=alphabet, joining="payload")
    assert together == whole.parts[0] and whole.coding == messages.coding
    assert all(len(octets) <= (160 if messages.coding == 0 else 140) for _, octets in messages.numbered())
    for part in messages.parts:
        if messages.coding == 8:
            part.decode("utf-16-be")
        elif messages.coding == 0:
            assert not part.endswith(b"\x1b")
