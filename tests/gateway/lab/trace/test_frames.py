"""Captures read as a stream: whole, cut off, damaged, and of any octets."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lab.trace.frames import MAX_FRAME, Frame, is_capture, read_frames
from gateway.lab.trace.losses import Damaged, Losses
from tests.gateway.lab.trace import captures

FRAMES = st.lists(st.tuples(st.integers(0, 2**31 - 1).map(float), st.binary(max_size=200)), max_size=8)
AT = 1_700_000_000.25


def read(data: bytes) -> tuple[list[Frame], Losses]:
    losses = Losses()
    return list(read_frames(io.BytesIO(data), losses)), losses


@given(FRAMES, st.sampled_from("<>"), st.booleans(), st.sampled_from([0, 1, 101, 113, 276]))
def test_classic(frames: list[tuple[float, bytes]], order: str, nano: bool, link: int) -> None:
    found, losses = read(captures.classic(frames, link, order, nano))
    assert [(frame.at, frame.data) for frame in found] == frames
    assert {frame.link for frame in found} <= {link} and not losses


@given(FRAMES, st.sampled_from("<>"), st.sampled_from([0, 1, 101, 113, 276]))
def test_pcapng(frames: list[tuple[float, bytes]], order: str, link: int) -> None:
    found, losses = read(captures.pcapng(frames, link, order))
    assert [(frame.at, frame.data) for frame in found] == frames
    assert {frame.link for frame in found} <= {link} and not losses


@given(FRAMES, st.data())
def test_what_is_cut_off_gives_what_is_left(frames: list[tuple[float, bytes]], data: st.DataObject) -> None:
    for whole in (captures.classic(frames), captures.pcapng(frames)):
        cut = data.draw(st.integers(4, len(whole)))
        found, _ = read(whole[:cut])
        assert [(frame.at, frame.data) for frame in found] == frames[: len(found)]


@given(st.binary(max_size=400), st.sampled_from([b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a", b""]))
def test_any_octets(data: bytes, magic: bytes) -> None:
    try:
        read(magic + data)
    except Damaged:
        assert not is_capture((magic + data)[:4])


def test_fractions_of_seconds() -> None:
    [micro], _ = read(captures.classic([(AT, b"x")]))
    [nano], _ = read(captures.classic([(AT, b"x")], nano=True))
    assert micro.at == nano.at == AT


@pytest.mark.parametrize(("option", "unit"), [(bytes([9]), 1e-9), (bytes([6]), 1e-6), (bytes([0x80 | 10]), 2**-10)])
def test_resolution_of_an_interface(option: bytes, unit: float) -> None:
    options = struct.pack("<HH", 9, 1) + option.ljust(4, b"\0") + struct.pack("<HHq", 14, 8, 100) + bytes(4)
    data = captures.section() + captures.interface(options=options) + captures.packet(2.5, b"x", unit=unit)
    [frame], losses = read(data)
    assert frame.at == pytest.approx(102.5) and not losses


def test_several_sections_and_interfaces() -> None:
    one = captures.section() + captures.interface(1) + captures.interface(101) + captures.packet(1.0, b"a", number=1)
    other = captures.section(">") + captures.interface(113, ">") + captures.packet(2.0, b"b", ">")
    found, losses = read(one + other)
    assert [(frame.link, frame.data) for frame in found] == [(101, b"a"), (113, b"b")] and not losses


def test_blocks_of_other_kinds_are_passed_over() -> None:
    old = struct.pack("<HHIIII", 0, 0, 0, 3_000_000, 1, 1) + b"o"
    data = (
        captures.section()
        + captures.interface()
        + captures.block(4, b"names")
        + captures.block(3, struct.pack("<I", 1) + b"s")
        + captures.block(2, old)
    )
    found, losses = read(data)
    assert [(frame.at, frame.data) for frame in found] == [(0.0, b"s"), (3.0, b"o")] and not losses


def test_losses_are_told() -> None:
    whole = captures.classic([(1.0, b"abc")])
    assert "in the middle of a frame" in str(read(whole[:-1])[1])
    assert "its own header" in str(read(whole[:10])[1])
    assert "no link carries" in str(read(whole[:24] + struct.pack("<IIII", 0, 0, MAX_FRAME + 1, 1))[1])
    section = captures.section()
    assert "not described" in str(read(section + captures.packet(1.0, b"x"))[1])
    assert "damaged from there" in str(read(section + struct.pack("<II", 6, 13))[1])
    assert "in the middle of a block" in str(read(section + captures.interface()[:-4])[1])
    assert "between two blocks" in str(read(section + b"ab")[1])
    assert "header of a section" in str(read(section[:8])[1])


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n"])
def test_no_capture(data: bytes) -> None:
    with pytest.raises(Damaged, match="beginning of no capture"):
        read(data)
