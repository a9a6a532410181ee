"""Multimedia messages: what a phone would show, what a centre's answers mean, what it may report."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.channels import DeliveryMm7Section
from gateway.delivery.base import DeliveryReceipt
from gateway.delivery.mm7 import Mm7Delivery
from gateway.delivery.mm7content import MAX_PICTURE, PictureError, read_picture
from gateway.drivers import DriverError
from tests.gateway.delivery.test_texts import order
from tests.interop.mmsc import NAMESPACE, REPORT, Mmsc

SHORT = "https://gw.example/i/SECRET"


@pytest.fixture
async def centre() -> AsyncIterator[Mmsc]:
    async with Mmsc() as centre:
        yield centre


class Drivers:
    def __init__(self, url: str) -> None:
        self.url = url
        self.made: list[Mm7Delivery] = []

    def __call__(self, *, picture: Path | None = None, receipts: bool = True, **keys: Any) -> Mm7Delivery:
        values: dict[str, Any] = {"url": self.url, "sender": "12345", "timeout": 5.0}
        section = DeliveryMm7Section(**values | keys)
        self.made.append(Mm7Delivery(section, password=section.password, picture=picture, receipts=receipts))
        return self.made[-1]


@pytest.fixture
async def driver(centre: Mmsc) -> AsyncIterator[Drivers]:
    drivers = Drivers(centre.url)
    yield drivers
    for made in drivers.made:
        await made.close()


def mms(**changes: Any) -> Any:
    return order(**{"address": "+4915187654321", "short_link": SHORT} | changes)


async def test_what_a_phone_shows(centre: Mmsc, driver: Drivers) -> None:
    made = driver(username="gw", password="geheim", vasp_id="rcsgw", vas_id="invitations", service_code="7")
    assert await made.send(mms(inviter="Alice <&>", note="see you")) == ("mms-1",)
    got = await centre.received.get()
    assert (got.recipient, got.sender, got.wants_report) == ("+4915187654321", "12345", True)
    assert "Alice <&>" in got.subject and SHORT in got.text and "see you" in got.text
    assert got.expires == "2027-01-15T08:00:00Z"
    ((kind, octets),) = got.pictures
    assert kind == "image/png" and octets == read_picture(None).octets
    assert got.headers["Authorization"] == f"Basic {base64.b64encode(b'gw:geheim').decode()}"
    await made.send(mms(language="zh", inviter="王小明"))
    again = await centre.received.get()
    assert "王小明" in again.subject and SHORT in again.text
    assert again.transaction == got.transaction, "the same for each attempt of an order"
    await made.send(mms(message_id="<2@cc.com>"))
    assert (await centre.received.get()).transaction != got.transaction


async def test_nobody_waits_for_a_report_that_cannot_come(centre: Mmsc, driver: Drivers) -> None:
    assert await driver(receipts=False).send(mms()) == ()
    assert not (await centre.received.get()).wants_report


async def test_pictures(centre: Mmsc, driver: Drivers, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(b"\xff\xd8\xff\xe0 jpeg\r\n--mms\r\n")
    await driver(picture=path).send(mms())
    assert (await centre.received.get()).pictures == [("image/jpeg", path.read_bytes())]
    for octets, what in ((b"BM bitmap", "neither PNG"), (b"GIF8" + b" " * MAX_PICTURE, "octets")):
        path.write_bytes(octets)
        with pytest.raises(PictureError, match=what):
            read_picture(path)


@pytest.mark.parametrize(
    "code, status, fault, temporary",
    [
        (3000, 200, "", True),
        (4006, 200, "", True),
        (4006, 500, "Server", True),
        (4001, 200, "", True),
        (2002, 200, "", False),
        (2004, 200, "", False),
        (2007, 500, "Client", False),
        (4002, 200, "", False),
        (0, 500, "Client", False),
        (0, 500, "Server", True),
    ],
)
async def test_refusals(centre: Mmsc, driver: Drivers, code: int, status: int, fault: str, temporary: bool) -> None:
    centre.refuse(code, "not today", status=status, fault=fault)
    with pytest.raises(DriverError) as caught:
        await driver().send(mms())
    assert caught.value.temporary is temporary and caught.value.certain
    assert "not today" in str(caught.value) and (not code or str(code) in str(caught.value))


@pytest.mark.parametrize(
    "status, text, temporary, certain",
    [
        (200, "<html>welcome</html>", True, False),
        (200, '<!DOCTYPE x [<!ENTITY e "x">]><x>&e;</x>', True, False),
        (401, "who?", True, True),
        (503, "later", True, True),
        (504, "no answer from behind", True, False),
        (400, "what?", False, True),
    ],
)
async def test_answers_without_soap(
    centre: Mmsc, driver: Drivers, status: int, text: str, temporary: bool, certain: bool
) -> None:
    centre.answers.append((status, text))
    with pytest.raises(DriverError) as caught:
        await driver().send(mms())
    assert (caught.value.temporary, caught.value.certain) == (temporary, certain)


def envelope(content: str) -> bytes:
    return Mmsc()._answer(content, "report-7").encode()


@pytest.mark.parametrize(
    "status, text, expected",
    [
        ("Retrieved", "", DeliveryReceipt("m-1", "delivered")),
        ("Expired", "", DeliveryReceipt("m-1", "failed", "Expired")),
        (
            "Rejected",
            "<StatusText>by the phone</StatusText>",
            DeliveryReceipt("m-1", "failed", "Rejected by the phone"),
        ),
        ("Deferred", "", None),
        ("Forwarded", "", None),
        ("Whatever", "", None),
    ],
)
async def test_reports(driver: Drivers, status: str, text: str, expected: DeliveryReceipt | None) -> None:
    made, got = driver(), list[DeliveryReceipt]()
    made.on_receipt = got.append
    body = envelope(REPORT.format(namespace=NAMESPACE, id="m-1", status=status, text=text))
    code, media, answer = await made.report({}, "text/xml", body)
    assert (code, media) == (200, "text/xml; charset=utf-8") and got == ([expected] if expected else [])
    assert b"DeliveryReportRsp>" in answer and b"<mm7:StatusCode>1000<" in answer and b">report-7<" in answer


async def test_calls_that_are_no_reports(driver: Drivers) -> None:
    made, got = driver(), list[DeliveryReceipt]()
    made.on_receipt = got.append
    read = f'<ReadReplyReq xmlns="{NAMESPACE}"><MessageID>m-1</MessageID><MMStatus>Read</MMStatus></ReadReplyReq>'
    _, _, answer = await made.report({}, "text/xml", envelope(read))
    assert got == [DeliveryReceipt("m-1", "delivered")] and b"ReadReplyRsp>" in answer
    _, _, answer = await made.report({}, "text/xml", envelope(f'<DeliverReq xmlns="{NAMESPACE}"/>'))
    assert b"RSErrorRsp>" in answer and b"<mm7:StatusCode>4003<" in answer
    _, _, answer = await made.report(
        {}, "text/xml", envelope("<DeliveryReportReq><MMStatus>x</MMStatus></DeliveryReportReq>")
    )
    assert NAMESPACE.encode() in answer, "a call without a namespace is answered in ours"
    for broken in (
        b"",
        b"<a",
        b"<a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + envelope("<x/>"),
        envelope(""),
        b"\xff" * 20_000,
    ):
        status, _, _ = await made.report({}, "text/xml", broken)
        assert status == 400
    assert len(got) == 1
