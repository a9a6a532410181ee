"""Short links and the receipts of those who carried them, over real sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from gateway.deliveryservices import MAX_REPORT
from gateway.services import Unavailable
from sipstack.net.tracefile import mask
from tests.gateway.http.delivery_fakes import LINK, TOKEN, MemoryLinks, MemoryReports
from tests.gateway.http.fakes import House, running

REPORT = f"/rcsgw/delivery/sms/{TOKEN}"


@pytest.fixture
def links() -> MemoryLinks:
    return MemoryLinks()


@pytest.fixture
def reports() -> MemoryReports:
    return MemoryReports()


@pytest.fixture
async def house(links: MemoryLinks, reports: MemoryReports) -> AsyncIterator[House]:
    async with running(links=links, reports=reports) as house:
        yield house


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", ["text/html", "*/*", "application/json"])
async def test_a_short_link_redirects(house: House, method: str, accept: str) -> None:
    """As often as it is opened: by a preview, a scanner, and then by the person."""
    for _ in range(2):
        headers = {"Accept": accept}
        async with house.client.request(method, f"/i/{TOKEN}", headers=headers, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, LINK)
            assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Referrer-Policy"] == "no-referrer"
            assert await answer.read() == b""


@pytest.mark.parametrize("token", ["x", "x" * 22, "%2Fx", "é" * 22, "x" * 4000])
async def test_a_link_that_leads_nowhere(house: House, token: str) -> None:
    async with house.client.get(f"/i/{token}", headers={"Accept": "text/html"}) as answer:
        page = await answer.text()
        assert answer.status == 404 and "This link is not valid" in page and "此链接无效" in page
        assert answer.headers["Cache-Control"] == "no-store" and "ETag" not in answer.headers
    async with house.client.get(f"/i/{token}", headers={"Accept": "application/json"}) as answer:
        assert answer.status == 404 and (await answer.json())["type"].endswith("/problems/not-found")


async def test_the_page_finds_its_style(house: House) -> None:
    async with house.client.get("/i/x", headers={"Accept": "text/html"}) as answer:
        page = await answer.text()
    for name in ("style.css", "brand.css", "icon.svg"):
        assert f'href="../rcsgw/web/{name}"' in page
        async with house.client.get(f"/rcsgw/web/{name}") as answer:
            assert answer.status == 200


async def test_only_reading_opens_a_link(house: House) -> None:
    async with house.client.post(f"/i/{TOKEN}") as answer:
        assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD"


async def test_receipts_by_get_and_post(house: House, reports: MemoryReports) -> None:
    async with house.client.get(f"{REPORT}?id=1&state=8&text=a%20b") as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, "text/plain", b"thanks")
    headers = {"Content-Type": "text/xml; charset=utf-8"}
    async with house.client.post(REPORT, data=b"<x/>", headers=headers) as answer:
        assert answer.status == 200
    assert reports.taken == [
        ("sms", {"id": "1", "state": "8", "text": "a b"}, "", b""),
        ("sms", {}, headers["Content-Type"], b"<x/>"),
    ]


@pytest.mark.parametrize(
    "path", [f"/rcsgw/delivery/mms/{TOKEN}", "/rcsgw/delivery/sms/x", f"/rcsgw/delivery/x/{TOKEN}"]
)
async def test_a_wrong_token_is_like_a_path_that_does_not_exist(
    house: House, reports: MemoryReports, path: str
) -> None:
    answers = []
    for place in (path, "/rcsgw/nowhere/x/y"):
        async with house.client.post(place, data=b"<x/>") as answer:
            body = await answer.json()
            del body["instance"], body["trace"]
            headers = {name: value for name, value in answer.headers.items() if name not in ("Date", "Content-Length")}
            answers.append((answer.status, headers, body))
    assert answers[0] == answers[1] and answers[0][0] == 404
    assert reports.taken == []


async def test_receipts_are_small(house: House, reports: MemoryReports) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1024
            await asyncio.sleep(0)

    for data in (b"x" * (MAX_REPORT + 1), endless()):
        async with house.client.post(REPORT, data=data) as answer:
            assert answer.status == 413
    async with house.client.post(REPORT, data=b"x" * MAX_REPORT) as answer:
        assert answer.status == 200
    assert len(reports.taken) == 1


async def test_a_server_is_told_to_come_again(house: House, reports: MemoryReports) -> None:
    reports.error = Unavailable("The receipt cannot be stored now.", retry_after=5)
    async with house.client.get(REPORT) as answer:
        assert answer.status == 503 and answer.headers["Retry-After"] == "5"


async def test_without_channels_that_have_receipts() -> None:
    async with running(links=None, reports=None) as house, house.client.get(REPORT) as answer:
        assert answer.status == 404


async def test_tokens_are_in_no_log_and_no_trace(
    links: MemoryLinks, reports: MemoryReports, caplog: pytest.LogCaptureFixture
) -> None:
    reports.error = RuntimeError("a bug")
    caplog.set_level(logging.DEBUG, "rcsgw")
    async with running(links=links, reports=reports) as house:
        for path in (f"/i/{TOKEN}", REPORT):
            async with house.client.get(path, allow_redirects=False) as answer:
                await answer.read()
    assert "GET /i/***" in caplog.text and "/rcsgw/delivery/sms/*** failed" in caplog.text
    assert TOKEN not in caplog.text
    for line in (f"GET /i/{TOKEN} HTTP/1.1", f"see https://gw.example/i/{TOKEN}.", f"POST {REPORT}?id=1 HTTP/1.1"):
        masked = mask(line.encode())
        assert TOKEN.encode() not in masked and b"***" in masked
