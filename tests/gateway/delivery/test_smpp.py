"""What the driver makes of a centre's words without one: receipts, senders."""

from __future__ import annotations

import struct

import pytest

from gateway.config.channels import DeliverySmppSection
from gateway.delivery.base import DeliveryReceipt
from gateway.delivery.smpp import SmppDelivery, source_address
from gateway.delivery.smpppdu import MESSAGE_PAYLOAD, MESSAGE_STATE, RECEIPTED_MESSAGE_ID, Pdu, read, write
from gateway.delivery.smppreceipt import normal_id, read_receipt

TEXT = "id:{} sub:001 dlvrd:001 submit date:2611221200 done date:2611221201 stat:{} err:{} text:Hello"


def deliver(text: str = "", *, esm_class: int = 4, **options: bytes | int) -> Pdu:
    tlvs = b""
    for name, value in options.items():
        tag = {"id": RECEIPTED_MESSAGE_ID, "state": MESSAGE_STATE, "payload": MESSAGE_PAYLOAD}[name]
        octets = bytes([value]) if isinstance(value, int) else value
        tlvs += struct.pack(">HH", tag, len(octets)) + octets
    octets = write("deliver_sm", 1, esm_class=esm_class, short_message=text.encode()) + tlvs
    return read(struct.pack(">L", len(octets)) + octets[4:])


@pytest.mark.parametrize(
    "pdu, expected",
    [
        (deliver(TEXT.format("77", "DELIVRD", "000")), DeliveryReceipt("77", "delivered")),
        (deliver(TEXT.format("77", "EXPIRED", "000")), DeliveryReceipt("77", "failed", "EXPIRED")),
        (deliver(TEXT.format("77", "REJECTD", "0A1")), DeliveryReceipt("77", "failed", "REJECTD, error 0A1")),
        (deliver("ID: 77 STAT: delivrd"), DeliveryReceipt("77", "delivered")),
        (deliver(TEXT.format("77", "ACCEPTD", "000")), None),
        (deliver(TEXT.format("77", "ENROUTE", "000")), None),
        (deliver(TEXT.format("77", "SOMETHING", "000")), None),
        (deliver("stat:DELIVRD"), None),
        (deliver(id=b"77\0", state=2), DeliveryReceipt("77", "delivered")),
        (deliver(id=b"77", state=5), DeliveryReceipt("77", "failed", "UNDELIV")),
        (deliver(id=b"77\0", state=1), None),
        (deliver(id=b"77\0", state=99), None),
        (deliver(TEXT.format("78", "DELIVRD", "000"), id=b"77\0"), DeliveryReceipt("77", "delivered")),
        (
            deliver(payload=TEXT.format("77", "DELETED", "001").encode()),
            DeliveryReceipt("77", "failed", "DELETED, error 001"),
        ),
    ],
)
def test_receipts(pdu: Pdu, expected: DeliveryReceipt | None) -> None:
    assert read_receipt(pdu) == expected


def test_ids() -> None:
    assert normal_id(" 00Ab ", "text") == "00Ab"
    assert normal_id("00Ab", "hex") == normal_id("0171", "decimal") == "171"
    assert normal_id("no-number", "decimal") == "no-number"


@pytest.mark.parametrize(
    "source, expected",
    [
        ("+4915112345678", (1, 1, "4915112345678")),
        ("4915112345678", (1, 1, "4915112345678")),
        ("12345", (3, 0, "12345")),
        ("Alice Ltd", (5, 0, "Alice Ltd")),
        ("", (0, 0, "")),
    ],
)
def test_senders(source: str, expected: tuple[int, int, str]) -> None:
    assert source_address(source) == expected
    assert source_address(source, 0, 9)[:2] == (0, 9)


async def test_nothing_of_the_password_is_to_be_seen() -> None:
    driver = SmppDelivery(DeliverySmppSection(host="127.0.0.1", system_id="gw"), password="geheim")
    assert "geheim" not in repr(vars(driver))
