"""The lab core's administration, as a server that answers what it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.drivers import DriverError
from gateway.provisioning.base import Audit, CoreAccount
from gateway.provisioning.lab import LabProvisioning
from gateway.provisioning.none import NoProvisioning
from tests.gateway.provisioning.test_kamailio import MARK, account


class Admin:
    """Keeps what is put; ``status`` overrules every answer."""

    def __init__(self) -> None:
        self.subscribers: dict[str, Any] = {}
        self.status = 0

    async def handle(self, request: web.Request) -> web.Response:
        user = request.match_info["user"]
        if self.status:
            return web.Response(status=self.status, text="as told")
        if request.method == "PUT":
            known = user in self.subscribers
            self.subscribers[user] = await request.json()
            return web.json_response({}, status=200 if known else 201)
        if user not in self.subscribers:
            return web.Response(status=404)
        if request.method == "DELETE":
            del self.subscribers[user]
            return web.Response(status=204)
        return web.json_response(self.subscribers[user])

    async def list(self, request: web.Request) -> web.Response:
        return web.json_response({"notes": {user: body["note"] for user, body in self.subscribers.items()}})


@pytest_asyncio.fixture
async def admin() -> AsyncIterator[tuple[Admin, LabProvisioning, TestServer]]:
    admin = Admin()
    app = web.Application()
    app.router.add_route("*", "/subscribers/{user}", admin.handle)
    app.router.add_get("/subscribers", admin.list)
    server = TestServer(app)
    await server.start_server()
    driver = LabProvisioning(str(server.make_url("/")), mark=MARK, timeout=1.0)
    yield admin, driver, server
    await driver.close()
    await server.close()


async def test_put_and_delete(admin: tuple[Admin, LabProvisioning, TestServer]) -> None:
    core, driver, server = admin
    assert not await driver.taken("sip:b@cc.com", "b", "cc.com")
    await driver.provision(account(impi="b/1@cc.com"))
    await driver.provision(account(impi="b/1@cc.com"))
    assert not await driver.taken("sip:b@cc.com", "b/1@cc.com", "cc.com")  # ours
    others = LabProvisioning(str(server.make_url("/")), mark=str)
    assert await others.taken("sip:b@cc.com", "b/1@cc.com", "cc.com")
    await others.close()
    body = core.subscribers["b/1@cc.com"]
    assert (body["realm"], body["domain"], body["impus"]) == ("cc.com", "cc.com", ["sip:b@cc.com"])
    assert body["note"] == MARK("b/1@cc.com")
    assert {name: len(value) for name, value in body["ha1"].items()} == {"MD5": 32, "SHA-256": 64}
    await driver.deprovision(account(impi="b/1@cc.com"))
    await driver.deprovision(account(impi="b/1@cc.com"))
    assert core.subscribers == {}


@pytest.mark.parametrize("status, temporary", [(500, True), (503, True), (409, False), (400, False), (404, False)])
async def test_refusals(admin: tuple[Admin, LabProvisioning, TestServer], status: int, temporary: bool) -> None:
    core, driver, _ = admin
    core.status = status
    with pytest.raises(DriverError) as caught:
        await driver.provision(account())
    assert caught.value.temporary is temporary


async def test_a_core_that_is_down_is_temporary(admin: tuple[Admin, LabProvisioning, TestServer]) -> None:
    _, driver, server = admin
    await server.close()
    with pytest.raises(DriverError) as caught:
        await driver.provision(account())
    assert caught.value.temporary


async def test_none_does_nothing() -> None:
    driver = NoProvisioning()
    assert not await driver.taken("sip:b@cc.com", "b", "cc.com")
    await driver.provision(account())
    await driver.deprovision(account())
    await driver.close()


async def test_a_dry_run_asks_nothing(admin: tuple[Admin, LabProvisioning, TestServer]) -> None:
    core, driver, _ = admin
    hidden = CoreAccount("sip:b@cc.com", "b@ims", "cc.com", lambda *_: "***", lambda: "***")
    put, delete = await driver.rehearse(hidden)
    assert "/subscribers/b%40ims " in put and '"ha1": {"MD5": "***", "SHA-256": "***"}' in put
    assert delete.endswith("/subscribers/b%40ims") and core.subscribers == {}


async def test_audit_goes_by_the_marks(admin: tuple[Admin, LabProvisioning, TestServer]) -> None:
    core, driver, _ = admin
    for user in ("here", "orphan", "theirs"):
        await driver.provision(account(user))
    core.subscribers["theirs"]["note"] = ""
    wanted = [account("here"), account("missing")]
    assert await driver.audit(wanted) == Audit(("sip:missing@cc.com",), ("orphan",))
    for name in ("orphan", "theirs", "nobody"):
        await driver.remove(name)
    assert sorted(core.subscribers) == ["here", "theirs"]
