"""The file server beside the IM server: each carries what is its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.lab.core import Core, CoreOptions
from gateway.lab.fileserver import FileServer
from gateway.lab.imserver import ImServer
from gateway.lab.interaction import InteractionOptions, interaction_type
from gateway.lab.kamailio import Kamailio
from sipstack.sip.message import Request
from tests.e2e.cores import EmbeddedCore, KamailioCore
from tests.gateway.lab.test_core import CHAT, eventually
from tests.gateway.lab.wire import RawClient, RawMessage

FILE = f'{CHAT}a=sendonly\r\na=file-selector:name:"x.txt" type:text/plain size:5\r\n'


@dataclass
class Net:
    """A core with both servers, and a and b on it; only a is a member."""

    core: EmbeddedCore | KamailioCore
    im_server: ImServer
    file_server: FileServer

    @property
    def servers(self) -> tuple[ImServer, FileServer]:
        return self.im_server, self.file_server


@pytest_asyncio.fixture(params=["embedded", pytest.param("kamailio", marks=pytest.mark.interop)])
async def net(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Net]:
    if request.param == "kamailio":
        request.getfixturevalue("needs_kamailio")
    options = InteractionOptions(members=("sip:a@cc.com",))
    async with ImServer(options) as im_server, FileServer(options) as file_server, AsyncExitStack() as stack:
        core: EmbeddedCore | KamailioCore
        im, file = im_server.address, file_server.address
        if request.param == "kamailio":
            running = await stack.enter_async_context(Kamailio(tmp_path, im_server=im, file_server=file))
            core = KamailioCore(running)
        else:
            core = EmbeddedCore(await stack.enter_async_context(Core(CoreOptions(im_server=im, file_server=file))))
        for user in ("a", "b"):
            core.put(user, "secret")
        yield Net(core, im_server, file_server)


async def online(core: EmbeddedCore | KamailioCore, user: str) -> RawClient:
    client = await RawClient.connect("UDP", *core.address, user=user, domain="cc.com")
    assert (await client.register("secret")).status == 200
    return client


async def invite(caller: RawClient, body: str) -> None:
    await caller.send(caller.build("INVITE", "sip:a@cc.com", "<sip:a@cc.com>", f"Contact: {caller.contact}", body=body))


async def decline(callee: RawClient, caller: RawClient) -> RawMessage:
    """Decline an INVITE that has come; return it."""
    incoming = await callee.answer("INVITE", "603 Decline")
    assert (await caller.final()).status == 603
    await callee.expect("ACK")
    return incoming


@pytest.mark.parametrize(("body", "number"), [(CHAT, 0), (FILE, 1)], ids=["chat", "file"])
async def test_each_goes_by_its_server(net: Net, body: str, number: int) -> None:
    a, b = await online(net.core, "a"), await online(net.core, "b")
    server = net.servers[number]
    server.accounts.add("sip:b@cc.com")
    await invite(b, body)
    assert f":{server.address[1]};" in ",".join((await decline(a, b)).headers("Record-Route"))
    server.accounts.remove("sip:b@cc.com")
    net.servers[1 - number].accounts.add("sip:b@cc.com")
    await invite(b, body)
    refusal = await b.final()
    assert refusal.status == 403 and f"Not registered with the {server.name}" in refusal.text
    a.close()
    b.close()


async def test_without_a_file_server() -> None:
    async with ImServer(InteractionOptions(open=True)) as server:
        async with Core(CoreOptions(im_server=server.address)) as started:
            core = EmbeddedCore(started)
            for user in ("a", "b"):
                core.put(user, "secret")
            a, b = await online(core, "a"), await online(core, "b")
            await invite(b, FILE)
            assert f":{server.address[1]};" in (await decline(a, b)).headers("Record-Route")[1]
            a.close()
            b.close()


async def test_both_hear_who_is_online(net: Net) -> None:
    a = await online(net.core, "a")
    await eventually(lambda: all(server.is_online("sip:a@cc.com") for server in net.servers))
    await a.register("secret", expires=0)
    await eventually(lambda: not any(server.is_online("sip:a@cc.com") for server in net.servers))
    a.close()


async def test_the_file_server_carries_files_only(net: Net) -> None:
    host, port = net.file_server.address
    net.file_server.open = True
    b = await RawClient.connect("UDP", host, port, user="b", domain="cc.com")
    core = "<sip:{}:{};lr>".format(*net.core.address)
    routes = f"Route: <sip:{host}:{port};lr>, {core}"
    await b.send(b.build("INVITE", "sip:a@cc.com", "<sip:a@cc.com>", routes, f"Contact: {b.contact}", body=CHAT))
    refusal = await b.final()
    assert refusal.status == 403 and "Not for the file server" in refusal.text
    assert (await b.options(f"sip:{host}:{port}")).status == 200
    b.close()


def test_types() -> None:
    def of(method: str, body: str = "") -> str | None:
        return interaction_type(Request(method, "sip:a@cc.com", [], body.encode()))

    assert of("INVITE", CHAT) == "im" and of("INVITE", FILE) == "file"
    assert of("INVITE") is None and of("SUBSCRIBE") is None
    assert of("MESSAGE") == of("OPTIONS") == "im"
