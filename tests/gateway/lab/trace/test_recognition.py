"""Protocols by what they say, and WebSocket taken off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lab.trace.hep import HepPacket
from gateway.lab.trace.losses import Losses
from gateway.lab.trace.recognition import UNDECIDED_OCTETS, WebSocketReader, protocol_of, recognize, unmask
from gateway.lab.trace.segments import Sent
from sipstack.flow import HostPort
from sipstack.trace import WireRecord

A, B = ("192.0.2.1", 40000), ("192.0.2.2", 80)
OPTIONS = b"OPTIONS sip:b@example.com SIP/2.0\r\nCall-ID: c\r\n\r\n"
SEND = b"MSRP d93kswow SEND\r\nTo-Path: msrp://a:1/x;tcp\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def sent(data: bytes, source: HostPort = A, target: HostPort = B, transport: str = "TCP", gap: bool = False) -> Sent:
    return Sent(1.0, transport, source, target, data, gap=gap)


def read(*pieces: Sent) -> tuple[list[WireRecord], Losses]:
    losses = Losses()
    return list(recognize(pieces, losses)), losses


def frame(payload: bytes, *, code: int = 2, last: bool = True, mask: bytes = b"") -> bytes:
    """Return a WebSocket frame."""
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    length = length if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    length = bytes([length[0] | (0x80 if mask else 0)]) + length[1:]
    return bytes([code | (0x80 if last else 0)]) + length + mask + (unmask(payload, mask) if mask else payload)


@pytest.mark.parametrize(
    ("data", "protocol"),
    [
        (OPTIONS, "SIP"),
        (b"\r\n\r\n" + OPTIONS, "SIP"),
        (b"SIP/2.0 200 OK\r\n", "SIP"),
        (b"INVITE sip:b@example.com SIP/7.0\r\n", "SIP"),
        (SEND, "MSRP"),
        (b"MSRP d93kswow 200 OK\r\n", "MSRP"),
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "HTTP"),
        (b"220 mail.example.com ESMTP\r\n", "SMTP"),
        (b"", None),
        (b"\x16\x03\x01", None),
        (b"MSRP x SEND\r\n", None),
        (b"220 welcome", None),
    ],
)
def test_protocols(data: bytes, protocol: str | None) -> None:
    assert protocol_of(data) == protocol


def test_datagrams() -> None:
    found, losses = read(sent(OPTIONS, transport="UDP"), sent(b"\0\0", transport="UDP"), sent(SEND, transport="UDP"))
    assert [(item.protocol, item.data) for item in found] == [("SIP", OPTIONS)] and not losses


def test_hep_inside_a_capture() -> None:
    inner = HepPacket(7.0, "TCP", ("10.0.0.1", 1), ("10.0.0.2", 2), OPTIONS)
    [found], losses = read(sent(bytes(inner), transport="UDP"))
    assert (found.at, found.transport, found.local, found.remote, found.direction) == (
        7.0,
        "TCP",
        ("10.0.0.1", 1),
        ("10.0.0.2", 2),
        "out",
    )
    _, losses = read(sent(b"HEP3", transport="UDP"))
    assert "damaged" in str(losses)


def test_both_directions_are_one_side() -> None:
    found, _ = read(sent(b"GET / HTTP/1.1\r\n\r\n"), sent(b"HTTP/1.1 200 OK\r\n\r\n", B, A))
    assert [(item.actor, item.direction) for item in found] == [("192.0.2.1:40000", "out"), ("192.0.2.1:40000", "in")]


def test_protocol_that_shows_late() -> None:
    found, _ = read(sent(b"\r\n\r\n"), sent(OPTIONS, B, A), sent(b"more"))
    assert [item.data for item in found] == [b"\r\n\r\n", OPTIONS, b"more"]


def test_what_is_none_of_ours_is_left_out() -> None:
    found, losses = read(sent(b"\x16\x03\x01"), sent(bytes(UNDECIDED_OCTETS)), sent(OPTIONS))
    assert found == [] and not losses


def test_websocket() -> None:
    pieces = [sent(UPGRADE), sent(UPGRADED + frame(SEND), B, A)]
    pieces += [sent(frame(OPTIONS[:20], last=False, mask=b"abcd") + frame(b"", code=9))]
    pieces += [sent(frame(OPTIONS[20:], code=0, mask=b"xyz!"))]
    found, losses = read(*pieces)
    assert [(item.protocol, item.transport, item.data) for item in found] == [
        ("HTTP", "TCP", UPGRADE),
        ("HTTP", "TCP", UPGRADED),
        ("MSRP", "WS", SEND),
        ("SIP", "WS", OPTIONS),
    ]
    assert not losses


def test_websocket_behind_a_gap() -> None:
    _, losses = read(sent(UPGRADE), sent(UPGRADED, B, A), sent(b"x", gap=True), sent(frame(OPTIONS)))
    assert losses.counts() == {"octets of a WebSocket behind a gap": 2}


@given(st.binary(max_size=70_000), st.binary(min_size=4, max_size=4), st.data())
def test_frames_cut_anywhere(payload: bytes, mask: bytes, data: st.DataObject) -> None:
    whole = frame(payload, mask=mask) + frame(b"second")
    place = data.draw(st.integers(0, len(whole)))
    reader = WebSocketReader()
    assert [*reader.read(whole[:place]), *reader.read(whole[place:])] == [payload, b"second"]


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_octets(pieces: list[bytes]) -> None:
    read(sent(UPGRADE), sent(UPGRADED, B, A), *map(sent, pieces))
    read(*map(sent, pieces))
