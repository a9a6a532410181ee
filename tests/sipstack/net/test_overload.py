"""503 and Retry-After from an endpoint that has too much to do."""

from __future__ import annotations

import logging
import time

import pytest

from sipstack import ids
from sipstack.net.endpoint import Endpoint
from sipstack.sip.message import Request
from sipstack.sip.uri import Uri

from .helpers import endpoint_config, until


def options(uri: Uri) -> Request:
    headers = [
        ("From", f"<sip:a@x.example>;tag={ids.tag()}"),
        ("To", "<sip:b@x.example>"),
        ("Call-ID", ids.call_id()),
        ("CSeq", "1 OPTIONS"),
    ]
    return Request("OPTIONS", uri, headers)


async def statuses(client: Endpoint, server: Endpoint, count: int) -> list[int]:
    found = []
    for _ in range(count):
        response = await client.request(options(server.uri("b")))
        found.append(response.status)
        assert (response.status == 503) is (response.retry_after is not None)
        client.locator.answered(("UDP", *server.local))  # ask again at once, against the rules
    return found


async def test_more_than_it_takes_in_a_second() -> None:
    async with Endpoint(endpoint_config(msrp=False, max_rate=0.001)) as server:
        async with Endpoint(endpoint_config(msrp=False)) as client:
            assert await statuses(client, server, 3) == [404, 503, 503]


async def test_who_is_late_says_so_until_it_has_caught_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with Endpoint(endpoint_config(msrp=False, max_lag=0.2)) as server:
        async with Endpoint(endpoint_config(msrp=False)) as client:
            assert await statuses(client, server, 1) == [404]
            time.sleep(0.8)  # nothing runs meanwhile, as when there is far too much to do
            await until(lambda: server.overload.is_late)
            assert await statuses(client, server, 1) == [503]
            await until(lambda: not server.overload.is_late)
            assert await statuses(client, server, 1) == [404]
    assert "refuses what is new" in caplog.text and "takes everything again" in caplog.text
