"""Third-party REGISTER: what the server gets, and what its answers mean."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.drivers import DriverError
from gateway.interaction.none import NoInteraction
from gateway.interaction.sip import SipInteraction
from sipstack.errors import RequestFailed
from tests.gateway.sip_helpers import Peer, pair

B = "sip:b@cc.com"

World = tuple[SipInteraction, Peer]


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    async with pair() as (ours, peer):
        servers = {"im": f"{peer.endpoint.uri()};transport=tcp", "file": ""}
        driver = SipInteraction(ours, servers=servers, identity="sip:rcsgw@cc.com", expires=600, timeout=1.0)
        yield driver, peer
        await driver.close()


async def test_register_and_deregister(world: World) -> None:
    driver, peer = world
    await driver.register(B, "im")
    await driver.deregister(B, "im")
    first, second = peer.requests
    for request, expires in ((first, 600), (second, 0)):
        assert request.method == "REGISTER" and request.uri.host_port == peer.endpoint.local
        assert str(request.to.uri) == B and request.to.tag is None
        assert str(request.from_.uri) == "sip:rcsgw@cc.com" and request.from_.tag
        assert request.expires == expires and len(request.contacts) == 1


async def test_too_brief(world: World) -> None:
    driver, peer = world
    peer.answer = lambda request: (200, ()) if request.expires == 7200 else (423, (("Min-Expires", "7200"),))
    await driver.register(B, "im")
    assert [request.expires for request in peer.requests] == [600, 7200]
    peer.answer = lambda request: (423, ())
    with pytest.raises(DriverError):
        await driver.register(B, "im")


@pytest.mark.parametrize(
    "status, temporary", [(403, False), (404, False), (480, True), (408, True), (500, True), (503, True), (603, False)]
)
async def test_refusals(world: World, status: int, temporary: bool) -> None:
    driver, peer = world
    peer.answer = lambda request: (status, ())
    with pytest.raises(DriverError) as caught:
        await driver.register(B, "im")
    assert caught.value.temporary is temporary
    assert isinstance(caught.value.__cause__, RequestFailed)
    if status == 404:
        await driver.deregister(B, "im")
    else:
        with pytest.raises(DriverError):
            await driver.deregister(B, "im")


async def test_a_server_that_does_not_answer(world: World) -> None:
    driver, peer = world
    driver._timeout = 0.05
    peer.answer = lambda request: (0, ())
    with pytest.raises(DriverError) as caught:
        await driver.register(B, "im")
    assert caught.value.temporary
    with pytest.raises(DriverError) as caught:
        await driver.register(B, "file")
    assert not caught.value.temporary


async def test_none() -> None:
    driver = NoInteraction()
    await driver.register(B, "im")
    await driver.deregister(B, "im")
    await driver.close()
