"""TCP put together: order, repetition, overlap, gaps."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.lab.trace.frames import Frame
from gateway.lab.trace.internet import read_internet
from gateway.lab.trace.losses import Losses
from gateway.lab.trace.segments import WAITING_OCTETS, Sent, read_segments
from tests.gateway.lab.trace import captures

A, B = ("192.0.2.1", 40000), ("192.0.2.2", 5060)
PIECES = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=12)


def read(packets: Iterable[bytes]) -> tuple[list[Sent], Losses]:
    losses = Losses()
    frames = (Frame(float(number), captures.RAW, packet) for number, packet in enumerate(packets))
    return list(read_segments(read_internet(frames, losses), losses)), losses


def text(found: Iterable[Sent]) -> bytes:
    return b"".join(sent.data for sent in found)


@given(PIECES, st.integers(0, 2**32 - 1))
def test_in_order(pieces: list[bytes], first: int) -> None:
    found, losses = read(captures.stream(A, B, pieces, first))
    assert text(found) == b"".join(pieces) and not losses
    assert [sent.opens for sent in found] == [True] + [False] * (len(found) - 1)


@given(PIECES, st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_out_of_order_and_repeated(pieces: list[bytes], first: int, random: Random) -> None:
    opening, *rest = captures.stream(A, B, pieces, first)
    again = [packet for packet in rest if random.random() < 0.5]
    packets = rest + again
    random.shuffle(packets)
    found, losses = read([opening, *packets])
    assert text(found) == b"".join(pieces) and not losses


@given(st.binary(min_size=1, max_size=100), st.lists(st.tuples(st.integers(0, 100), st.integers(1, 50)), max_size=20))
def test_cut_differently_when_repeated(whole: bytes, cuts: list[tuple[int, int]]) -> None:
    pieces = [(start, whole[start : start + size]) for start, size in cuts if start < len(whole)]
    packets = [captures.tcp(A, B, 1000, flags=captures.SYN)]
    packets += [captures.tcp(A, B, 1001 + start, piece) for start, piece in pieces]
    packets.append(captures.tcp(A, B, 1001, whole))
    found, losses = read(packets)
    assert text(found) == whole and not losses


def test_both_directions_and_several_connections() -> None:
    other = ("192.0.2.1", 40001)
    packets = [
        *captures.stream(A, B, [b"one"]),
        *captures.stream(B, A, [b"two"]),
        *captures.stream(other, B, [b"three"]),
    ]
    found, _ = read(packets)
    assert [(sent.source, sent.target, sent.data) for sent in found] == [
        (A, B, b"one"),
        (B, A, b"two"),
        (other, B, b"three"),
    ]


def test_capture_that_begins_in_the_middle() -> None:
    found, losses = read([captures.tcp(A, B, 500, b"middle"), captures.tcp(A, B, 506, b" end")])
    assert text(found) == b"middle end" and not losses


def test_keep_alive_of_one_octet() -> None:
    packets = [*captures.stream(A, B, [b"one"]), captures.tcp(A, B, 1003, b"e"), captures.tcp(A, B, 1004, b"two")]
    found, _ = read(packets)
    assert text(found) == b"onetwo"


def test_gap_at_the_end_is_told() -> None:
    found, losses = read([*captures.stream(A, B, [b"one"]), captures.tcp(A, B, 1010, b"later")])
    assert [(sent.data, sent.gap) for sent in found] == [(b"one", False), (b"later", True)]
    assert "not captured" in str(losses)


def test_gap_before_the_end_of_a_connection() -> None:
    packets = [*captures.stream(A, B, [b"one"]), captures.tcp(A, B, 1010, b"later", captures.FIN | captures.ACK)]
    found, losses = read(packets)
    assert text(found) == b"onelater" and losses


def test_large_gap_does_not_hold_everything_back() -> None:
    size = 1 << 15
    packets = captures.stream(A, B, [b"one"])
    count = WAITING_OCTETS // size + 2
    packets += [captures.tcp(A, B, 2000 + number * size, bytes(size)) for number in range(count)]
    found, losses = read(packets)
    assert len(text(found)) == 3 + count * size and losses.counts() == {
        "octets of a TCP connection that were not captured": 1
    }


def test_ports_are_used_again() -> None:
    found, losses = read([*captures.stream(A, B, [b"one"]), *captures.stream(A, B, [b"two"], first=77)])
    assert [(sent.data, sent.opens) for sent in found] == [(b"one", True), (b"two", True)] and not losses


@given(st.binary(max_size=60), st.sampled_from([6, 17]))
def test_any_octets(data: bytes, protocol: int) -> None:
    read([captures.ip(A[0], B[0], protocol, data)])
