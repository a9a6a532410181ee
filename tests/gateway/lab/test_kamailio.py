"""Debian's Kamailio with our configuration: what it answers to clients that are not our own stack."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from gateway.lab.imserver import ImServer
from gateway.lab.interaction import InteractionOptions
from gateway.lab.kamailio import Kamailio, KamailioError
from gateway.lab.phone import Phone, PhoneOptions
from gateway.lab.ports import free_port
from sipstack.errors import RequestFailed, TransactionTimeout
from tests.gateway.lab.wire import RawClient, RawMessage

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("needs_kamailio")]


async def test_starts_stops_and_answers_json_rpc(tmp_path: Path) -> None:
    core = Kamailio(tmp_path, domain="cc.com")
    async with core:
        assert await core.is_healthy()
        uptime = await core.rpc("core.uptime")
        assert isinstance(uptime, dict) and uptime["uptime"] >= 0
        with pytest.raises(KamailioError, match="no.such"):
            await core.rpc("no.such")
    assert not await core.is_healthy()


async def test_a_broken_configuration_is_told_with_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "kamailio.cfg").write_text("#!KAMAILIO\nnonsense\n")
    (folder / "schema.sql").write_text("CREATE TABLE version (table_name TEXT);")
    with pytest.raises(KamailioError, match="ended with"):
        await Kamailio(tmp_path / "run", config_folder=folder).start()


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_registers_with_the_right_password_only(tmp_path: Path, transport: str, algorithm: str) -> None:
    async with Kamailio(tmp_path, domain="cc.com", algorithm=algorithm) as core:
        client = await RawClient.connect(transport, core.host, core.sip_port, user="b", domain="cc.com")
        assert (await client.register("secret")).status == 401
        core.add_subscriber("b", "secret")
        answer = await client.register("secret")
        assert answer.status == 200
        assert answer.header("P-Associated-URI") == "<sip:b@cc.com>"
        by_tcp = ";transport=tcp" if transport == "TCP" else ""
        assert answer.header("Service-Route") == f"<sip:orig@{core.host}:{core.sip_port}{by_tcp};lr>"
        assert (await client.register("wrong")).status == 401
        core.remove_subscriber("b")
        assert (await client.register("secret")).status == 401
        client.close()


async def test_several_identities_of_one_account(tmp_path: Path) -> None:
    async with Kamailio(tmp_path, domain="cc.com") as core:
        core.add_subscriber("a", "secret", ["sip:a@cc.com", "sip:alice@cc.com"])
        client = await RawClient.connect("UDP", core.host, core.sip_port, user="alice", domain="cc.com", private="a")
        answer = await client.register("secret")
        assert answer.status == 200
        assert answer.header("P-Associated-URI") == "<sip:a@cc.com>, <sip:alice@cc.com>"
        client.user = "somebody"
        assert (await client.register("secret")).status == 403
        client.close()


async def test_private_identity_with_its_domain(tmp_path: Path) -> None:
    async with Kamailio(tmp_path, domain="cc.com") as core:
        core.add_subscriber("b", "secret")
        client = await RawClient.connect("UDP", core.host, core.sip_port, user="b", domain="cc.com", private="b@cc.com")
        answer = await client.register("secret")
        assert (answer.status, answer.header("P-Associated-URI")) == (200, "<sip:b@cc.com>")
        client.close()


async def test_register_without_contact_proves_the_password_and_changes_nothing(tmp_path: Path) -> None:
    async with Kamailio(tmp_path, domain="cc.com") as core:
        core.add_subscriber("a", "secret", ["sip:a@cc.com", "tel:+491511"])
        client = await RawClient.connect("TCP", core.host, core.sip_port, user="a", domain="cc.com")
        uri = "sip:cc.com"
        await client.send(client.build("REGISTER", uri, "<sip:a@cc.com>"))
        challenge = await client.final()
        assert challenge.status == 401

        async def prove(password: str) -> RawMessage:
            value = client.authorize(challenge.header("WWW-Authenticate"), "REGISTER", uri, password)
            await client.send(client.build("REGISTER", uri, "<sip:a@cc.com>", f"Authorization: {value}"))
            return await client.final()

        assert (await prove("wrong")).status == 401
        answer = await prove("secret")
        assert answer.status == 200
        assert answer.header("P-Associated-URI") == "<sip:a@cc.com>, <tel:+491511>"
        assert answer.headers("Contact") == []
        client.close()


async def test_options_by_registration_state(tmp_path: Path) -> None:
    async with Kamailio(tmp_path, domain="cc.com") as core:
        for user in ("a", "b"):
            core.add_subscriber(user, "secret")
        a = await RawClient.connect("UDP", core.host, core.sip_port, user="a", domain="cc.com")
        b = await RawClient.connect("UDP", core.host, core.sip_port, user="b", domain="cc.com")
        assert (await b.options("sip:a@cc.com")).status == 407
        assert (await b.register("secret")).status == 200
        assert (await b.options("sip:nobody@cc.com")).status == 404
        assert (await b.options("sip:a@cc.com")).status == 480
        assert (await b.options("sip:a@elsewhere.example")).status == 404
        assert (await a.register("secret")).status == 200
        answering = asyncio.create_task(a.answer("OPTIONS"))
        assert (await b.options("sip:a@cc.com")).status == 200
        request = await answering
        assert request.header("P-Asserted-Identity") == "<sip:b@cc.com>"
        a.close()
        b.close()


async def test_asserted_identity_of_the_caller_is_replaced(tmp_path: Path) -> None:
    async with Kamailio(tmp_path, domain="cc.com") as core:
        for user in ("a", "b"):
            core.add_subscriber(user, "secret")
        a = await RawClient.connect("UDP", core.host, core.sip_port, user="a", domain="cc.com")
        b = await RawClient.connect("TCP", core.host, core.sip_port, user="b", domain="cc.com")
        await a.register("secret")
        await b.register("secret")
        answering = asyncio.create_task(a.answer("OPTIONS"))
        await b.options("sip:a@cc.com", "P-Asserted-Identity: <sip:boss@cc.com>")
        assert (await answering).headers("P-Asserted-Identity") == ["<sip:b@cc.com>"]
        a.close()
        b.close()


async def test_third_party_register_tells_the_im_server(tmp_path: Path) -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen.put_nowait(head)
                lines = head.split(b"\r\n")
                copied = [
                    line for line in lines if line.split(b":")[0] in (b"Via", b"From", b"To", b"Call-ID", b"CSeq")
                ]
                writer.write(b"\r\n".join([b"SIP/2.0 200 OK", *copied, b"Content-Length: 0", b"", b""]))
        writer.close()
        closed.set()

    port = free_port()
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with Kamailio(tmp_path, domain="cc.com", im_server=("127.0.0.1", port)) as core:
        core.add_subscriber("b", "secret")
        client = await RawClient.connect("UDP", core.host, core.sip_port, user="b", domain="cc.com")
        await client.register("secret", expires=600)
        online = await asyncio.wait_for(seen.get(), 5)
        assert online.startswith(f"REGISTER sip:127.0.0.1:{port};transport=tcp SIP/2.0".encode())
        assert b"\r\nFrom: <sip:scscf@cc.com>" in online
        assert b"\r\nTo: <sip:b@cc.com>\r\n" in online
        assert b"\r\nExpires: 600\r\n" in online
        await client.register("secret", expires=0)
        assert b"\r\nExpires: 0\r\n" in await asyncio.wait_for(seen.get(), 5)
        client.close()
    await asyncio.wait_for(closed.wait(), 5)
    server.close()
    await server.wait_closed()


def make_phone(core: Kamailio, user: str, transport: str) -> Phone:
    core.add_subscriber(user, "secret")
    proxy = f"sip:{core.host}:{core.sip_port};transport={transport};lr"
    return Phone(PhoneOptions(aor=f"sip:{user}@cc.com", password="secret", proxy=proxy))


@pytest.mark.parametrize(("caller", "callee"), [("tcp", "tcp"), ("udp", "udp"), ("tcp", "udp"), ("udp", "tcp")])
async def test_two_phones_chat_through_the_im_server(tmp_path: Path, caller: str, callee: str) -> None:
    async with (
        ImServer(InteractionOptions(members=("sip:a@cc.com",))) as im_server,
        Kamailio(tmp_path, domain="cc.com", im_server=im_server.address) as core,
        make_phone(core, "a", callee) as a,
        make_phone(core, "b", caller) as b,
    ):
        b.behave(on_message="accept")
        async with asyncio.timeout(5):
            while not (im_server.is_online("sip:a@cc.com") and im_server.is_online("sip:b@cc.com")):
                await asyncio.sleep(0.01)
        assert await b.ask("sip:a@cc.com") == 200
        assert await b.ask("sip:nobody@cc.com") == 404
        with pytest.raises(RequestFailed, match="403"):
            await b.call("sip:a@cc.com")
        im_server.accounts.add("sip:b@cc.com")
        assert (await b.say("sip:a@cc.com", "hello")).state.value == "sent"
        assert (await b.wait_for("message")).text == "You said: hello"
        invited = await a.wait_for("invited")
        assert invited.peer == "sip:b@cc.com"
        long = "x" * 100_000
        assert (await b.say("sip:a@cc.com", long)).state.value == "sent"
        await a.hang_up("sip:b@cc.com")
        await b.wait_for("closed")
        a.behave(on_invite=486)
        with pytest.raises(RequestFailed, match="486"):
            await b.call("sip:a@cc.com")
        assert (await a.agent.message(b.agent.identity.aor, b"page")).status == 200
        await a.go_offline()
        assert await b.ask("sip:a@cc.com") == 480
        async with asyncio.timeout(5):
            while im_server.is_online("sip:a@cc.com"):
                await asyncio.sleep(0.01)


async def test_a_call_that_is_given_up(tmp_path: Path) -> None:
    async with Kamailio(tmp_path, domain="cc.com") as core:
        async with make_phone(core, "a", "tcp") as a, make_phone(core, "b", "tcp") as b:
            a.behave(on_invite="ring")
            with pytest.raises(TransactionTimeout):
                await b.call("sip:a@cc.com", timeout=0.5)
            await a.wait_for("cancelled")
