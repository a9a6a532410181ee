"""Whole frames out of what a connection writes: C-WS-01, one MSRP chunk in each WebSocket message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack.errors import LocalProtocolError
from sipstack.msrp.framing import FrameSplitter
from tests.utils import every_chunking

FRAMES = [
    b"MSRP 9xq2mmm1 SEND\r\nTo-Path: msrp://a:1/b;tcp\r\nFrom-Path: msrp://c:1/d;tcp\r\n-------9xq2mmm1$\r\n",
    b"MSRP d93k SEND\r\nContent-Type: text/plain\r\n\r\n\r\n-------d93k!\r\n-------9xq2mmm1$\r\n\r\n-------d93k+\r\n",
    b"MSRP dkei38sd 200 OK\r\n-------dkei38sd$\r\n",
    b"MSRP a786 SEND\r\nContent-Type: a/b\r\n\r\n" + bytes(range(256)) + b"\r\n-------a78\r\n-------a786#\r\n",
]


def feed(pieces: list[bytes]) -> list[bytes]:
    """Return the frames that come out of one splitter."""
    splitter = FrameSplitter()
    return [frame for piece in pieces for frame in splitter.receive_data(piece)]


def test_any_cuts_give_the_same_frames() -> None:
    assert every_chunking(b"".join(FRAMES), feed) == FRAMES


@given(st.binary(max_size=200))
def test_any_body(body: bytes) -> None:
    # Its end-line does not occur in it: whoever wrote the frame has seen to that (C-FRM-03).
    frame = b"MSRP 4rsxt9nz SEND\r\nContent-Type: a/b\r\n\r\n" + body + b"\r\n-------4rsxt9nz$\r\n"
    assert feed([frame]) == feed([bytes([octet]) for octet in frame]) == [frame]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\r\n", b"msrp abcd SEND"])
def test_no_frame(data: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        FrameSplitter().receive_data(data)
