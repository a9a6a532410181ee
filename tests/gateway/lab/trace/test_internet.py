"""Link layers, IP of both versions, and fragments."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lab.trace.frames import Frame
from gateway.lab.trace.internet import MAX_FRAGMENTED, Carried, read_internet
from gateway.lab.trace.losses import Losses
from tests.gateway.lab.trace import captures

A, B = ("192.0.2.1", 5060), ("192.0.2.2", 5061)
SIX_A, SIX_B = ("2001:db8::1", 5060), ("2001:db8::2", 5061)


def read(*frames: Frame) -> tuple[list[Carried], Losses]:
    losses = Losses()
    return list(read_internet(iter(frames), losses)), losses


@pytest.mark.parametrize("ends", [(A, B), (SIX_A, SIX_B)])
@pytest.mark.parametrize(
    ("link", "head"),
    [
        (captures.ETHERNET, bytes(12)),
        (captures.ETHERNET, bytes(12) + b"\x81\x00\x00\x05"),
        (captures.ETHERNET, bytes(12) + b"\x88\xa8\x00\x05\x81\x00\x00\x06"),
        (captures.COOKED, bytes(14)),
        (captures.COOKED_2, b""),
        (captures.RAW, None),
        (captures.NULL, None),
    ],
)
def test_link_layers(link: int, head: bytes | None, ends: tuple[tuple[str, int], tuple[str, int]]) -> None:
    packet = captures.udp(*ends, b"hello")
    kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
    if link == captures.COOKED_2:
        data = kind + bytes(18) + packet
    elif head is None:
        data = bytes(4 if link == captures.NULL else 0) + packet
    else:
        data = head + kind + packet
    [carried], losses = read(Frame(1.0, link, data))
    assert (carried.source, carried.target, carried.data[8:]) == (ends[0][0], ends[1][0], b"hello") and not losses


@pytest.mark.parametrize("frame", [b"", bytes(14), bytes(12) + b"\x08\x06" + bytes(28), bytes(12) + b"\x08\x00"])
def test_frames_without_ip(frame: bytes) -> None:
    assert read(Frame(1.0, captures.ETHERNET, frame))[0] == []


def test_links_that_are_not_known() -> None:
    assert read(Frame(1.0, 9999, captures.udp(A, B, b"x")))[0] == []


def test_padding_of_ethernet_is_cut_off() -> None:
    [carried], _ = read(Frame(1.0, captures.ETHERNET, captures.ethernet(captures.udp(A, B, b"x")) + bytes(20)))
    assert carried.data[8:] == b"x"


def test_packet_that_was_not_captured_whole() -> None:
    [carried], losses = read(Frame(1.0, captures.RAW, captures.udp(A, B, b"hello")[:-2]))
    assert carried.data[8:] == b"hel" and "not captured whole" in str(losses)


def fragments(data: bytes, size: int) -> list[Frame]:
    """Cut a datagram."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return [
        Frame(
            float(number),
            captures.RAW,
            captures.ip(A[0], B[0], 17, piece, number=7, place=number * size // 8 | (0x2000 if rest else 0)),
        )
        for number, (piece, rest) in enumerate(zip(pieces, [*pieces[1:], b""], strict=True))
    ]


@given(st.binary(min_size=30, max_size=200), st.randoms())
def test_fragments_in_any_order(data: bytes, random: object) -> None:
    found = fragments(data, 16)
    random.shuffle(found)  # type: ignore[attr-defined]  # a random.Random
    carried, losses = read(*found)
    assert [item.data for item in carried] == [data] and not losses


def test_fragments_of_ipv6() -> None:
    whole = captures.udp(SIX_A, SIX_B, b"0123456789abcdef")[40:]
    first = struct.pack("!BBHI", 17, 0, 1, 9) + whole[:16]
    last = struct.pack("!BBHI", 17, 0, 16, 9) + whole[16:]
    frames = [Frame(1.0, captures.RAW, captures.ip(SIX_A[0], SIX_B[0], 44, part)) for part in (first, last)]
    [carried], losses = read(*frames)
    assert carried.data == whole and not losses


def test_extension_headers_of_ipv6() -> None:
    inner = captures.udp(SIX_A, SIX_B, b"x")[40:]
    hops = bytes([60, 0]) + bytes(6) + bytes([17, 0]) + bytes(6)
    [carried], _ = read(Frame(1.0, captures.RAW, captures.ip(SIX_A[0], SIX_B[0], 0, hops + inner)))
    assert carried.data[8:] == b"x"


def test_missing_fragments_are_told() -> None:
    _, losses = read(fragments(bytes(64), 16)[0])
    assert "fragments are missing" in str(losses)


def test_fragments_do_not_pile_up() -> None:
    first = (
        Frame(1.0, captures.RAW, captures.ip(A[0], B[0], 17, bytes(8), number=number, place=0x2000))
        for number in itertools.count()
    )
    _, losses = read(*itertools.islice(first, MAX_FRAGMENTED + 5))
    assert losses.counts() == {"a datagram of which fragments are missing": MAX_FRAGMENTED + 5}


@given(st.binary(max_size=120), st.sampled_from([0, 1, 101, 113, 276]))
def test_any_octets(data: bytes, link: int) -> None:
    read(Frame(1.0, link, data))
