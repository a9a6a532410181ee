"""Short messages by HTTP: what a service gets, what its answers mean, and what it may report."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from gateway.config.channels import DeliverySmsHttpSection
from gateway.delivery.base import DeliveryReceipt
from gateway.delivery.smshttp import HttpSmsDelivery
from gateway.drivers import DriverError
from tests.gateway.delivery.test_texts import order

RECEIPTS = "https://gw.example/rcsgw/delivery/sms/token"
SHORT = "https://gw.example/i/SECRET"
KANNEL = {
    "to": "{to}",
    "from": "{from}",
    "text": "{text}",
    "coding": "{coding}",
    "dlr-mask": "3",
    "dlr-url": "{receipt_url}?id={id}&state=%d",
}


@dataclass
class Service:
    """Answers with ``status`` and ``answer``, and keeps what it got."""

    status: int = 202
    answer: str = "0: Accepted for delivery"
    calls: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    patience: asyncio.Event | None = None
    """What to wait for before answering."""

    async def handle(self, request: web.BaseRequest) -> web.Response:
        call: dict[str, Any] = {"method": request.method, "query": dict(request.query), "headers": request.headers}
        if request.content_type == "application/json":
            call["json"] = await request.json()
        else:
            call["form"] = dict(await request.post())
        self.calls.append(call)
        if self.patience is not None:
            await self.patience.wait()
        return web.Response(status=self.status, text=self.answer, headers={"Location": "/elsewhere"})


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    runner = web.ServerRunner(web.Server(service.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.port = runner.addresses[0][1]
    yield service
    await runner.cleanup()


class Driver:
    """A driver that talks to the service; closed by the fixture."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.made: list[HttpSmsDelivery] = []

    def __call__(self, *, password: str = "", receipt_url: str = RECEIPTS, **keys: Any) -> HttpSmsDelivery:
        section = {"url": f"http://127.0.0.1:{self.service.port}/cgi-bin/sendsms", "sender": "12345", "query": KANNEL}
        made = HttpSmsDelivery(DeliverySmsHttpSection(**section | keys), password=password, receipt_url=receipt_url)
        self.made.append(made)
        return made


@pytest.fixture
async def driver(service: Service) -> AsyncIterator[Driver]:
    driver = Driver(service)
    yield driver
    for made in driver.made:
        await made.close()


def sms(**changes: Any) -> Any:
    return order(**{"address": "+4915187654321", "short_link": SHORT} | changes)


async def test_a_request_for_kannel(service: Service, driver: Driver) -> None:
    (reference,) = await driver(username="gw", password="gehe\u00edm").send(sms(inviter="A&B"))
    (call,) = service.calls
    query = call["query"]
    credentials = base64.b64encode("gw:gehe\u00edm".encode()).decode()
    assert call["method"] == "GET" and call["headers"]["Authorization"] == f"Basic {credentials}"
    assert (query["to"], query["from"], query["coding"]) == ("+4915187654321", "12345", "0")
    assert "A&B" in query["text"] and SHORT in query["text"]
    assert query["dlr-url"] == f"{RECEIPTS}?id={reference}&state=%d"
    assert await driver().send(sms(language="zh")) == (reference,), "the same for each attempt"
    assert service.calls[1]["query"]["coding"] == "2" and SHORT in service.calls[1]["query"]["text"]


async def test_forms_and_json(service: Service, driver: Driver) -> None:
    form = driver(method="POST", query={}, form={"recipient": "{to_digits}", "u": "{unicode}"})
    await form.send(sms())
    assert service.calls[-1]["form"] == {"recipient": "4915187654321", "u": "false"}
    tree = {"messages": [{"to": "{to}", "parts": 1, "text": "{text}", "lang": "{language}"}]}
    await driver(method="POST", query={}, json=tree, headers={"X-Id": "{id}"}).send(sms(inviter='Ann "x"'))
    (message,) = service.calls[-1]["json"]["messages"]
    assert 'Ann "x"' in message["text"] and (message["parts"], message["lang"]) == (1, "en")
    assert len(service.calls[-1]["headers"]["X-Id"]) == 32


@pytest.mark.parametrize(
    "status, answer, keys, temporary",
    [
        (400, "no such number", {}, False),
        (404, "", {}, False),
        (401, "who?", {}, True),
        (503, "later", {}, True),
        (504, "no answer from behind", {}, True),
        (302, "", {}, True),
        (200, "ERR 7 number is barred", {"final_body": r"^ERR [1-9]\b"}, False),
        (200, "something else", {"success_body": "^OK"}, True),
        (409, "twice", {"final": [409]}, False),
    ],
)
async def test_refusals(
    service: Service, driver: Driver, status: int, answer: str, keys: dict[str, Any], temporary: bool
) -> None:
    service.status, service.answer = status, answer
    with pytest.raises(DriverError) as caught:
        await driver(**keys).send(sms())
    assert caught.value.temporary is temporary and str(status) in str(caught.value) and answer in str(caught.value)
    assert caught.value.certain is (status != 504), "behind a proxy it may have been sent"
    assert len(service.calls) == 1, "no redirect is followed"


async def test_an_answer_that_repeats_the_link_is_shown_to_nobody(service: Service, driver: Driver) -> None:
    service.status, service.answer = 500, f"cannot send 'come to {SHORT}'"
    with pytest.raises(DriverError) as caught:
        await driver().send(sms())
    assert "SECRET" not in str(caught.value) and "500" in str(caught.value)


async def test_a_service_that_is_not_there(driver: Driver) -> None:
    driver.service.port = 1
    with pytest.raises(DriverError) as caught:
        await driver().send(sms())
    assert caught.value.temporary and caught.value.certain and "SECRET" not in str(caught.value)


async def test_a_service_that_says_nothing(service: Service, driver: Driver) -> None:
    service.patience = asyncio.Event()
    with pytest.raises(DriverError, match="no answer in time") as caught:
        await driver(timeout=0.2).send(sms())
    assert caught.value.temporary and not caught.value.certain, "it may have sent the message"
    service.patience.set()


@pytest.mark.parametrize(
    "answer, keys, expected",
    [
        ('{"messageId": "m-1"}', {"reference": r'"messageId":\s*"([^"]+)"'}, ("m-1",)),
        ("nothing", {"reference": r"id=(\w+)"}, ()),
        ("0: Accepted", {"receipts": False}, ()),
        ("0: Accepted", {"receipt_url": ""}, ()),
    ],
)
async def test_references(
    service: Service, driver: Driver, answer: str, keys: dict[str, Any], expected: tuple[str, ...]
) -> None:
    service.answer = answer
    assert await driver(**keys).send(sms()) == expected


@pytest.mark.parametrize(
    "query, content_type, body, keys, expected",
    [
        ({"id": "7", "state": "1"}, "", b"", {}, DeliveryReceipt("7", "delivered")),
        ({"id": "7", "state": "2", "text": "absent\n"}, "", b"", {}, DeliveryReceipt("7", "failed", "absent")),
        ({"id": "7", "state": "16"}, "", b"", {}, DeliveryReceipt("7", "failed", "state 16")),
        ({"id": "7", "state": "8"}, "", b"", {}, None),
        ({"id": "7"}, "application/x-www-form-urlencoded", b"state=1", {}, DeliveryReceipt("7", "delivered")),
        (
            {},
            "application/json; charset=utf-8",
            b'{"results": [{"messageId": 7, "status": {"ok": true}}]}',
            {
                "receipt_id": "results.0.messageId",
                "receipt_state": "results.0.status.ok",
                "receipt_delivered": ["true"],
            },
            DeliveryReceipt("7", "delivered"),
        ),
    ],
)
async def test_receipts(
    driver: Driver,
    query: dict[str, str],
    content_type: str,
    body: bytes,
    keys: dict[str, Any],
    expected: DeliveryReceipt | None,
) -> None:
    made, got = driver(**keys), list[DeliveryReceipt]()
    made.on_receipt = got.append
    status, _, _ = await made.report(query, content_type, body)
    assert status == 200 and got == ([expected] if expected is not None else [])


@pytest.mark.parametrize(
    "query, content_type, body",
    [
        ({}, "", b""),
        ({"id": "7"}, "", b""),
        ({"state": "1"}, "", b""),
        ({}, "application/json", b"{"),
        ({}, "application/json", b"7"),
        ({}, "application/json", b'[{"id": 1}]'),
        ({}, "text/plain", b"\xff\xfe"),
    ],
)
async def test_reports_that_cannot_be_used(
    driver: Driver, query: dict[str, str], content_type: str, body: bytes
) -> None:
    made, got = driver(), list[DeliveryReceipt]()
    made.on_receipt = got.append
    status, _, _ = await made.report(query, content_type, body)
    assert status == 400 and got == []
