"""The embedded core and the IM server on the wire, by clients that are not our own stack."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from gateway.lab.core import Core, CoreOptions
from gateway.lab.imserver import ImServer
from gateway.lab.interaction import InteractionOptions
from gateway.lab.subscribers import Subscriber
from tests.gateway.lab.wire import RawClient, RawMessage

CHAT = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=message 9 TCP/MSRP *\r\n"


@pytest_asyncio.fixture
async def core() -> AsyncIterator[Core]:
    """A core without IM server and with a and b."""
    async with Core() as core:
        add(core, "a", "b")
        yield core


@pytest_asyncio.fixture
async def im_server() -> AsyncIterator[ImServer]:
    async with ImServer(InteractionOptions(members=("sip:a@cc.com",))) as server:
        yield server


@pytest_asyncio.fixture
async def im_core(im_server: ImServer) -> AsyncIterator[Core]:
    """A core in front of the IM server, with a and b."""
    async with Core(CoreOptions(im_server=im_server.address)) as core:
        add(core, "a", "b")
        yield core


def add(core: Core, *users: str) -> None:
    for user in users:
        core.subscribers.put(Subscriber.from_password(user, "secret", "cc.com"))


async def connect(core: Core, user: str, transport: str = "UDP") -> RawClient:
    host, port = core.address
    return await RawClient.connect(transport, host, port, user=user, domain="cc.com")


async def online(core: Core, user: str, transport: str = "UDP") -> RawClient:
    client = await connect(core, user, transport)
    assert (await client.register("secret")).status == 200
    return client


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until ``condition()`` is true."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_registers_with_the_right_password_only(core: Core, transport: str) -> None:
    client = await connect(core, "a", transport)
    answer = await client.register("secret")
    assert answer.status == 200
    assert answer.header("P-Associated-URI") == "<sip:a@cc.com>"
    by_tcp = ";transport=tcp" if transport == "TCP" else ""
    assert answer.header("Service-Route") == f"<sip:orig@127.0.0.1:{core.address[1]}{by_tcp};lr>"
    assert (await client.register("wrong")).status == 401
    core.remove_subscriber("a")
    assert (await client.register("secret")).status == 401
    client.close()


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_options_by_registration_state(core: Core, transport: str) -> None:
    b = await connect(core, "b", transport)
    assert (await b.options("sip:cc.com")).status == 200
    assert (await b.options("sip:a@cc.com")).status == 407
    assert (await b.register("secret")).status == 200
    assert (await b.options("sip:nobody@cc.com")).status == 404
    assert (await b.options("sip:a@elsewhere.example")).status == 404
    assert (await b.options("sip:a@cc.com")).status == 480
    a = await online(core, "a", transport)
    answering = asyncio.create_task(a.answer("OPTIONS"))
    assert (await b.options("sip:a@cc.com", "P-Asserted-Identity: <sip:boss@cc.com>")).status == 200
    request = await answering
    assert request.headers("P-Asserted-Identity") == ["<sip:b@cc.com>"]
    assert request.header("P-Called-Party-ID") == "<sip:a@cc.com>"
    assert request.header("Max-Forwards") == "69"
    a.close()
    b.close()


async def test_unregistered_caller_proves_itself(core: Core) -> None:
    a, b = await online(core, "a"), await connect(core, "b")
    challenge = await b.options("sip:a@cc.com")
    values = challenge.headers("Proxy-Authenticate")
    assert len(values) == 2
    answering = asyncio.create_task(a.answer("OPTIONS"))
    value = b.authorize(values[0], "OPTIONS", "sip:a@cc.com", "secret")
    assert (await b.options("sip:a@cc.com", f"Proxy-Authorization: {value}")).status == 200
    request = await answering
    assert request.header("P-Asserted-Identity") == "<sip:b@cc.com>"
    assert request.headers("Proxy-Authorization") == []
    b.user = "a"  # proves b, says a
    value = b.authorize(
        (await b.options("sip:a@cc.com")).header("Proxy-Authenticate"), "OPTIONS", "sip:a@cc.com", "secret"
    )
    assert (await b.options("sip:a@cc.com", f"Proxy-Authorization: {value}")).status == 403
    a.close()
    b.close()


async def test_no_open_relay_and_no_loops(core: Core) -> None:
    b = await online(core, "b")
    assert (await b.options("sip:a@cc.com", "Route: <sip:192.0.2.1;lr>")).status == 403
    text = b.build("OPTIONS", "sip:a@cc.com", "<sip:a@cc.com>").replace("Max-Forwards: 70", "Max-Forwards: 0")
    await b.send(text)
    assert (await b.final()).status == 483
    await b.send(b.build("BYE", "sip:a@192.0.2.1", "<sip:a@cc.com>;tag=1"))
    assert (await b.final()).status == 481
    b.close()


async def call(caller: RawClient, callee: RawClient, *, hops: int) -> None:
    """INVITE, 180, 200, ACK, BYE; ``hops``: how many proxies record their route."""
    invite = caller.build(
        "INVITE",
        "sip:a@cc.com",
        "<sip:a@cc.com>",
        f"Contact: {caller.contact}",
        body=CHAT,
    )
    tag = re.findall(r"From: .*;tag=(\w+)", invite)[0]
    await caller.send(invite)
    incoming = await callee.expect("INVITE")
    assert len(incoming.headers("Record-Route")) == hops
    assert incoming.header("P-Asserted-Identity") == "<sip:b@cc.com>"
    await callee.reply(incoming, "180 Ringing", f"Contact: {callee.contact}")
    while (ringing := await caller.receive()).status == 100:
        pass
    assert ringing.status == 180
    await callee.reply(incoming, "200 OK", f"Contact: {callee.contact}")
    answer = await caller.final()
    assert (answer.status, len(answer.headers("Via"))) == (200, 1)
    await caller.send(caller.build_in_dialog("ACK", answer, caller.cseq, tag))
    assert (await callee.expect("ACK")).headers("Route") == []
    await caller.send(caller.build_in_dialog("BYE", answer, caller.cseq + 1, tag))
    bye = await callee.answer("BYE")
    assert bye.headers("Route") == []
    assert (await caller.final()).status == 200


@pytest.mark.parametrize("caller", ["UDP", "TCP"])
@pytest.mark.parametrize("callee", ["UDP", "TCP"])
async def test_call(core: Core, caller: str, callee: str) -> None:
    a, b = await online(core, "a", callee), await online(core, "b", caller)
    await call(b, a, hops=1)
    a.close()
    b.close()


async def test_a_tcp_contact_that_is_gone_is_offline(core: Core) -> None:
    a, b = await online(core, "a", "TCP"), await online(core, "b")
    a.close()
    assert (await b.options("sip:a@cc.com")).status == 480
    assert [entry["username"] for entry in core.registrar.dump(0.0)] == ["b"]
    b.close()


async def test_silent_contacts(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.lab.proxy.SILENCE", 0.05)
    a, b = await online(core, "a"), await online(core, "b")
    assert (await b.options("sip:a@cc.com")).status == 504
    await b.send(b.build("INVITE", "sip:a@cc.com", "<sip:a@cc.com>", f"Contact: {b.contact}", body=CHAT))
    assert (await b.final()).status == 408
    incoming = await a.expect("INVITE")
    await a.reply(incoming, "180 Ringing", f"Contact: {a.contact}")
    await a.expect("CANCEL")
    a.close()
    b.close()


async def test_call_through_the_im_server(im_core: Core, im_server: ImServer) -> None:
    a, b = await online(im_core, "a"), await online(im_core, "b")
    im_server.accounts.add("sip:b@cc.com")
    await call(b, a, hops=3)
    a.close()
    b.close()


async def test_cancel_reaches_the_callee(im_core: Core, im_server: ImServer) -> None:
    im_server.accounts.add("sip:b@cc.com")
    a, b = await online(im_core, "a"), await online(im_core, "b")
    invite = b.build("INVITE", "sip:a@cc.com", "<sip:a@cc.com>", f"Contact: {b.contact}", body=CHAT)
    await b.send(invite)
    incoming = await a.expect("INVITE")
    await a.reply(incoming, "180 Ringing", f"Contact: {a.contact}")
    while (await b.receive()).status == 100:
        pass
    head = [line for line in invite.split("\r\n\r\n")[0].split("\r\n") if not line.startswith(("Contact", "Content"))]
    await b.send("\r\n".join(head).replace("INVITE", "CANCEL") + "\r\nContent-Length: 0\r\n\r\n")
    await a.answer("CANCEL")
    await a.reply(incoming, "487 Request Terminated")
    await a.expect("ACK")
    assert sorted([(await b.final()).status, (await b.final()).status]) == [200, 487]
    a.close()
    b.close()


async def test_refusals_pass_back(core: Core) -> None:
    a, b = await online(core, "a"), await online(core, "b")
    for status in ("486 Busy Here", "603 Decline"):
        answering = asyncio.create_task(a.answer("INVITE", status))
        await b.send(b.build("INVITE", "sip:a@cc.com", "<sip:a@cc.com>", f"Contact: {b.contact}", body=CHAT))
        assert (await b.final()).status == int(status[:3])
        await answering
        await a.expect("ACK")
    a.close()
    b.close()


async def test_a_busy_phone_is_no_busy_core(core: Core) -> None:
    """:rfc:`3261#section-16.7`: a 503 that was received should not be forwarded; it says nothing of the proxy."""
    a, b = await online(core, "a"), await online(core, "b")
    answering = asyncio.create_task(a.answer("OPTIONS", "503 Service Unavailable", "Retry-After: 60"))
    answer = await b.options("sip:a@cc.com")
    assert (answer.status, answer.headers("Retry-After")) == (500, [])
    await answering
    a.close()
    b.close()


async def test_im_server_refuses_who_was_never_registered_there(im_core: Core, im_server: ImServer) -> None:
    a, b = await online(im_core, "a"), await online(im_core, "b")
    for method, status in (("INVITE", 403), ("MESSAGE", 403)):
        await b.send(b.build(method, "sip:a@cc.com", "<sip:a@cc.com>", f"Contact: {b.contact}", body=CHAT))
        assert (await b.final()).status == status
    await a.send(a.build("INVITE", "sip:b@cc.com", "<sip:b@cc.com>", f"Contact: {a.contact}", body=CHAT))
    assert (await a.final()).status == 403
    answering = asyncio.create_task(a.answer("OPTIONS"))
    assert (await b.options("sip:a@cc.com")).status == 200
    assert len((await answering).headers("Via")) == 4
    im_server.open = True
    answering = asyncio.create_task(a.answer("MESSAGE"))
    await b.send(b.build("MESSAGE", "sip:a@cc.com", "<sip:a@cc.com>", body="hello"))
    assert (await b.final()).status == 200
    await answering
    a.close()
    b.close()


async def test_second_registration_and_online_state(im_core: Core, im_server: ImServer) -> None:
    host, port = im_server.address
    gateway = await RawClient.connect("UDP", host, port, user="rcsgw", domain="cc.com")

    async def third_party(expires: int) -> RawMessage:
        await gateway.send(gateway.build("REGISTER", f"sip:{host}:{port}", "<sip:b@cc.com>", f"Expires: {expires}"))
        return await gateway.final()

    answer = await third_party(600)
    assert (answer.status, answer.headers("Contact")) == (200, [])
    async with aiohttp.ClientSession(im_server.admin.url) as http:

        async def entry() -> dict[str, object]:
            accounts: list[dict[str, object]] = (await (await http.get("/accounts")).json())["accounts"]
            return next((account for account in accounts if account["uri"] == "sip:b@cc.com"), {})

        assert await entry() == {"uri": "sip:b@cc.com", "member": False, "registered": True, "online": False}
        b = await online(im_core, "b")
        await eventually(lambda: im_server.is_online("sip:b@cc.com"))
        assert (await entry())["online"] is True
        await b.register("secret", expires=0)
        await eventually(lambda: not im_server.is_online("sip:b@cc.com"))
        assert (await third_party(0)).status == 200
        assert await entry() == {}
        assert (await http.get("/health")).status == 200
    gateway.user = "stranger"
    assert (await third_party(600)).status == 403
    gateway.close()
    b.close()


async def test_second_registrations_survive_a_restart(tmp_path: Path) -> None:
    options = InteractionOptions(database=tmp_path / "im.db")
    async with ImServer(options) as server:
        server.accounts.add("sip:b@cc.com")
    async with ImServer(options) as server:
        assert server.serves("sip:b@cc.com")
        assert not server.serves("sip:c@cc.com")


async def test_an_im_server_that_is_down(im_core: Core, im_server: ImServer) -> None:
    a, b = await online(im_core, "a"), await online(im_core, "b")
    await im_server.endpoint.close()
    await b.send(b.build("INVITE", "sip:a@cc.com", "<sip:a@cc.com>", f"Contact: {b.contact}", body=CHAT))
    assert (await b.final()).status == 503
    assert (await b.register("secret")).status == 200
    a.close()
    b.close()


async def test_admin(core: Core) -> None:
    async with aiohttp.ClientSession(core.admin.url) as http:
        ha1 = {"MD5": "0" * 32, "SHA-256": "1" * 64}
        body = {"realm": "cc.com", "domain": "cc.com", "ha1": ha1, "impus": ["sip:g@cc.com"], "note": "made by a test"}
        assert (await http.put("/subscribers/g@cc.com", json=body)).status == 201
        assert (await http.put("/subscribers/g@cc.com", json=body)).status == 200
        shown = await (await http.get("/subscribers/g@cc.com")).json()
        assert shown["impus"] == ["sip:g@cc.com"]
        assert shown["algorithms"] == ["MD5", "SHA-256"]
        assert "0" * 32 not in str(shown)
        listed = await (await http.get("/subscribers")).json()
        assert listed == {"subscribers": ["a", "b", "g@cc.com"], "notes": {"g@cc.com": "made by a test"}}
        assert (await http.put("/subscribers/c", json={**body, "impus": ["sip:g@cc.com"]})).status == 409
        for bad in (
            {},
            {"ha1": {"MD5": "x"}},
            {"ha1": {"FOO": "0"}},
            {"password": "x", "impus": ["?"]},
            {"what": 1},
            {**body, "note": "x" * 257},
        ):
            assert (await http.put("/subscribers/c", json=bad)).status == 400
        assert (await http.put("/subscribers/c", json={"password": "secret"})).status == 201
        c = await online(core, "c")
        registrations = (await (await http.get("/registrations")).json())["registrations"]
        assert [(entry["aor"], entry["username"]) for entry in registrations] == [("sip:c@cc.com", "c")]
        assert (await (await http.get("/health")).json())["online"] == 1
        assert (await http.delete("/subscribers/c")).status == 204
        assert (await http.delete("/subscribers/c")).status == 404
        assert (await http.get("/subscribers/c")).status == 404
        assert (await (await http.get("/registrations")).json()) == {"registrations": []}
        c.close()


async def test_faults(core: Core) -> None:
    async with aiohttp.ClientSession(core.admin.url) as http:
        a = await online(core, "a")
        assert (await http.put("/faults", json={"answers": {"options": 500}, "silent": ["register"]})).status == 200
        assert (await a.options("sip:b@cc.com")).status == 500
        core.faults.set({"silent": True})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(a.options("sip:b@cc.com"), 0.3)
        assert (await http.put("/faults", json={"answers": {"options": 200}})).status == 400
        assert (await http.put("/faults", json={"nonsense": 1})).status == 400
        assert (await (await http.get("/faults")).json()) == {"answers": {}, "silent": ["*"]}
        assert (await http.delete("/faults")).status == 200
        assert (await a.options("sip:b@cc.com")).status == 480
        a.close()


async def test_expiry_is_told_to_the_im_server(im_core: Core, im_server: ImServer) -> None:
    b = await online(im_core, "b")
    await eventually(lambda: im_server.is_online("sip:b@cc.com"))
    for binding in im_core.registrar._bindings["b"]:
        binding.expires_at = 0.0
    im_core.registrar._deadlines = [(0.0, 0, "b")]
    await eventually(lambda: not im_server.is_online("sip:b@cc.com"))
    b.close()
