"""STUN as far as RFC 5626 needs it: A-OUT-02 on UDP."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipstack.stun import BindingRequest, BindingResponse, parse_stun

TRANSACTION = bytes(range(12))

# RFC 5769 section 2.2 and 2.3: answers of a server in the wild, from 192.0.2.1:32853 and [2001:db8:1234:…]:32853.
SAMPLE_ID = bytes.fromhex("b7e7a701bc34d686fa87dfae")
SAMPLE_V4 = bytes.fromhex("0020 0008 0001a147e112a643".replace(" ", ""))
SAMPLE_V6 = bytes.fromhex("0020 0014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9".replace(" ", ""))


def message(kind: int, attributes: bytes, *, cookie: int = 0x2112A442, length: int | None = None) -> bytes:
    size = len(attributes) if length is None else length
    return struct.pack("!HHI", kind, size, cookie) + SAMPLE_ID + attributes


def test_request() -> None:
    request = BindingRequest(TRANSACTION)
    assert bytes(request) == bytes.fromhex("000100002112a442") + TRANSACTION
    assert parse_stun(bytes(request)) == request


@pytest.mark.parametrize(
    ("attribute", "mapped"),
    [
        (SAMPLE_V4, ("192.0.2.1", 32853)),
        (SAMPLE_V6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
        (bytes.fromhex("00010008000113c4c0000201"), ("192.0.2.1", 5060)),  # MAPPED-ADDRESS, of older servers
        (bytes.fromhex("8022000361626300") + SAMPLE_V4, ("192.0.2.1", 32853)),  # behind SOFTWARE, padded
        (SAMPLE_V4 + bytes.fromhex("00200008000113c4c0000201"), ("192.0.2.1", 32853)),  # of two, the first counts
        (bytes.fromhex("002000080003a147e112a643"), None),  # a family that there is not
        (b"", None),
    ],
)
def test_response(attribute: bytes, mapped: tuple[str, int] | None) -> None:
    assert parse_stun(message(0x0101, attribute)) == BindingResponse(SAMPLE_ID, mapped)


@pytest.mark.parametrize("source", [("192.0.2.1", 32853), ("2001:db8:1234:5678:11:2233:4455:6677", 32853)])
def test_answer(source: tuple[str, int]) -> None:
    data = BindingRequest(SAMPLE_ID).answer(source)
    assert data == message(0x0101, SAMPLE_V4 if ":" not in source[0] else SAMPLE_V6)
    assert parse_stun(data) == BindingResponse(SAMPLE_ID, source)


def test_link_local_source() -> None:
    assert parse_stun(BindingRequest(SAMPLE_ID).answer(("fe80::1%eth0", 1))) == BindingResponse(
        SAMPLE_ID, ("fe80::1", 1)
    )


def test_attributes_that_must_be_understood() -> None:
    # RFC 5389 section 7.3.1: 420 with what is not understood; what may be passed over is.
    request = parse_stun(message(0x0001, bytes.fromhex("0024000400000001 80220000".replace(" ", ""))))
    assert request == BindingRequest(SAMPLE_ID, (0x0024,))
    answer = request.answer(("192.0.2.1", 1))
    assert answer[:2] == b"\x01\x11" and b"\x00\x00\x04\x14Unknown Attribute" in answer
    assert answer.endswith(bytes.fromhex("000a000200240000"))
    assert parse_stun(answer) == BindingResponse(SAMPLE_ID, None)
    assert parse_stun(bytes(BindingResponse(SAMPLE_ID, None))) == BindingResponse(SAMPLE_ID, None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"OPTIONS sip:a@b SIP/2.0\r\n",
        message(0x0001, b"", cookie=1),
        message(0x0001, b"", length=4),
        message(0x0001, b"abc"),
        message(0x0001, bytes.fromhex("00240008")),
        message(0x0011, b""),  # an indication
        message(0x0003, b""),  # TURN
    ],
)
def test_something_else(data: bytes) -> None:
    assert parse_stun(data) is None


@given(st.binary(max_size=64))
def test_any_octets(data: bytes) -> None:
    parse_stun(data)
    parse_stun(message(0x0101, data))
