"""Chunks in any order and overlap: C-BR-03, C-BR-06."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import MessageTooLarge
from sipstack.msrp.chunk import Chunk, Flag
from sipstack.msrp.reassembly import MAX_RANGES, Assembly, Ranges
from tests.sipstack.msrp.helpers import OURS, THEIRS


def chunk(start: int, body: bytes, flag: Flag = "+", content_type: str | None = "text/plain") -> Chunk:
    """Return a chunk whose body begins at position ``start``, counted from 1."""
    return Chunk("tid12345", OURS, THEIRS, "message1", start, None, None, False, "yes", content_type, body, flag)


def assemble(*chunks: Chunk) -> Assembly:
    """Return an assembly that has seen ``chunks``."""
    assembly = Assembly(chunks[0], 0.0)
    for one in chunks:
        assembly.add(one, 1.0)
    return assembly


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=12), st.integers(0, 30))
def test_ranges_are_a_set(stretches: list[tuple[int, int]], end: int) -> None:
    ranges, positions = Ranges(), set()
    for start, length in stretches:
        ranges.add(start, start + length)
        positions |= set(range(start, start + length))
    assert ranges.cover(end) == (positions >= set(range(end)))
    assert len(ranges) == sum(position - 1 not in positions for position in positions)


@settings(max_examples=50)
@given(st.binary(min_size=1, max_size=50), st.lists(st.integers(1, 49), max_size=6), st.randoms())
def test_any_order(body: bytes, cuts: list[int], order: random.Random) -> None:
    # C-BR-03: also when the last chunk comes first.
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    chunks = [
        chunk(start + 1, body[start:end], "$" if end == len(body) else "+")
        for start, end in zip(edges, edges[1:], strict=False)
    ]
    order.shuffle(chunks)
    assembly = Assembly(chunks[0], 0.0)
    for number, one in enumerate(chunks, 1):
        assembly.add(one, 0.0)
        assert assembly.is_complete == (number == len(chunks))
    assert assembly.take() == body
    assert assembly.held == 0


def test_last_received_wins() -> None:
    # C-BR-06, with the numbers of RFC 4975 section 7.3.1
    assembly = assemble(chunk(1, b"a" * 100), chunk(50, b"b" * 101, "$"))
    assert assembly.is_complete
    assert assembly.take() == b"a" * 49 + b"b" * 101


def test_last_chunk_decides_the_length() -> None:
    # C-BAD-05: the last "$" wins over what other chunks said or brought.
    assembly = assemble(chunk(1, b"abcdef"), chunk(4, b"X", "$"))
    assert assembly.is_complete and assembly.take() == b"abcX"


def test_hole() -> None:
    assembly = assemble(chunk(1, b"ab"), chunk(5, b"ef", "$"))
    assert not assembly.is_complete and assembly.held == 6
    assembly.add(chunk(3, b"cd"), 2.0)
    assert assembly.is_complete and assembly.touched == 2.0
    assert assembly.take() == b"abcdef"


def test_content_type_of_a_later_chunk_counts_when_the_first_has_none() -> None:
    assembly = assemble(chunk(1, b"a", content_type=None), chunk(2, b"b", "$"))
    assert assembly.content_type == "text/plain"


def test_too_many_holes() -> None:
    with pytest.raises(MessageTooLarge) as caught:
        assemble(*(chunk(2 * index + 1, b"x") for index in range(MAX_RANGES + 1)))
    assert caught.value.status == 413
