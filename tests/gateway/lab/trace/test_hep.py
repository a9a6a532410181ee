"""HEP version 3: written and read back, cut off, damaged."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lab.trace.hep import HepPacket, parse_hep, read_hep
from gateway.lab.trace.losses import Losses

PORTS = st.integers(0, 65535)
V4 = st.tuples(st.ip_addresses(v=4).map(str), PORTS)
V6 = st.tuples(st.ip_addresses(v=6).map(str), PORTS)
PACKETS = st.builds(
    lambda ends, **fields: HepPacket(source=ends[0], target=ends[1], **fields),
    ends=st.tuples(V4, V4) | st.tuples(V6, V6),
    at=st.integers(0, 2**31).map(float),
    transport=st.sampled_from(["UDP", "TCP", "SCTP"]),
    data=st.binary(max_size=300),
    kind=st.integers(0, 255),
    agent=st.integers(0, 2**32 - 1),
    correlation=st.text(max_size=20),
)
A, B = ("192.0.2.1", 5060), ("192.0.2.2", 5060)


def read(data: bytes) -> tuple[list[HepPacket], Losses]:
    losses = Losses()
    return list(read_hep(io.BytesIO(data), losses)), losses


@given(PACKETS)
def test_round_trip(packet: HepPacket) -> None:
    assert parse_hep(bytes(packet)) == packet


@given(st.lists(PACKETS, max_size=5), st.data())
def test_stream_cut_off(packets: list[HepPacket], data: st.DataObject) -> None:
    whole = b"".join(map(bytes, packets))
    found, losses = read(whole)
    assert found == packets and not losses
    found, _ = read(whole[: data.draw(st.integers(0, len(whole)))])
    assert found == packets[: len(found)]


@given(st.binary(max_size=200))
def test_any_octets(data: bytes) -> None:
    parse_hep(data)
    parse_hep(b"HEP3" + data)
    read(b"HEP3" + data)


def test_microseconds() -> None:
    packet = parse_hep(bytes(HepPacket(1.25, "UDP", A, B, b"x")))
    assert packet is not None and packet.at == 1.25


def test_too_long() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        bytes(HepPacket(0.0, "UDP", A, B, bytes(65_535)))


def test_losses() -> None:
    packet = bytes(HepPacket(0.0, "UDP", A, B, b"x"))
    assert "that are none" in str(read(packet + b"rubbish")[1])
    assert "damaged" in str(read(packet[:-1])[1])
    assert parse_hep(b"HEP3\x00\x0c\x00\x00\x00\x01\x00\x03") is None
