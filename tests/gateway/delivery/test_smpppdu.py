"""PDUs against the octets of the rules, and against what servers send that they should not."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.smpppdu import (
    MAX_LENGTH,
    MESSAGE_STATE,
    RECEIPTED_MESSAGE_ID,
    Pdu,
    PduError,
    body_length,
    read,
    status_name,
    write,
)


def pdu(command: int, body: bytes = b"", *, status: int = 0, sequence: int = 1) -> bytes:
    return struct.pack(">LLLL", 16 + len(body), command, status, sequence) + body


def test_octets_of_the_rules() -> None:
    """F-SMP-01, F-SMP-04 and the ping of F.1."""
    assert write("bind_transceiver", 1, system_id="gw01", password="pw").hex() == (
        "0000001d00000009000000000000000167773031007077000034000000"
    )
    submit = write(
        "submit_sm",
        1,
        source_addr_ton=1,
        source_addr_npi=1,
        source_addr="4915112345678",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="4915187654321",
        esm_class=0x40,
        registered_delivery=1,
        data_coding=8,
        short_message=bytes.fromhex("0500032a0201004800e9"),
    )
    assert submit.hex() == (
        "000000450000000400000000000000010001013439313531313233343536373800010134393135313837363534333231"
        "004000000000010008000a0500032a0201004800e9"
    )
    assert write("enquire_link", 2).hex() == "00000010000000150000000000000002"
    back = read(submit)
    assert (back.command, back.sequence, back.text("destination_addr")) == ("submit_sm", 1, "4915187654321")
    assert back.number("data_coding") == 8 and back.fields["short_message"][6:] == "Hé".encode("utf-16-be")


def test_parameters_that_nobody_asked_for() -> None:
    body = b"\0" * 17
    unknown = struct.pack(">HH", 0x1400, 3) + b"abc"
    subunit = struct.pack(">HHB", 0x0005, 1, 7)
    unterminated = struct.pack(">HH", RECEIPTED_MESSAGE_ID, 4) + b"12ab"
    state = struct.pack(">HHB", MESSAGE_STATE, 1, 2)
    cut = struct.pack(">HH", 0x0424, 90) + b"short"
    got = read(pdu(5, body + unknown + subunit + unterminated + state + cut))
    assert got.option_text(RECEIPTED_MESSAGE_ID) == "12ab" and got.options[MESSAGE_STATE] == b"\x02"
    assert 0x0424 not in got.options
    reply = read(pdu(0x8000_0004, b"id-1\0" + struct.pack(">HH", 0x001D, 3) + b"no\0"))
    assert reply.text("message_id") == "id-1" and reply.is_response and not got.is_response


def test_an_error_has_no_body() -> None:
    got = read(pdu(0x8000_0004, status=0x58))
    assert (got.status, got.text("message_id")) == (0x58, "")
    assert status_name(0x58) == "ESME_RTHROTTLED (0x58)" and status_name(0x400) == "command_status (0x400)"


@pytest.mark.parametrize("length", [0, 15, MAX_LENGTH + 1, 0xFFFF_FFFF])
def test_lengths_that_no_pdu_has(length: int) -> None:
    with pytest.raises(PduError) as caught:
        body_length(struct.pack(">LLLL", length, 4, 0, 1))
    assert caught.value.status == 2


def test_commands_that_are_none() -> None:
    for command in (0x99, 0x0B, 0x8000_0099):
        with pytest.raises(PduError) as caught:
            read(pdu(command))
        assert caught.value.status == 3


@given(st.sampled_from([4, 5, 0x103, 0x8000_0004, 0x8000_0009, 0x15, 0x8000_0000]), st.binary(max_size=200))
def test_any_octets_are_a_pdu_or_an_error(command: int, body: bytes) -> None:
    try:
        got = read(pdu(command, body))
    except PduError as error:
        assert error.status == 2
    else:
        assert isinstance(got, Pdu) and isinstance(got.text("message_id"), str)
        got.option_text(RECEIPTED_MESSAGE_ID)
