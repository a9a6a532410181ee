"""The whole flow with the core by TLS, by WebSocket and on IPv6: invite, log in, ask, write, answer, log out."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipstack.trace import WireRecord
from tests.e2e.client import text_in
from tests.e2e.world import WORLDS, Transport, World, embedded_world, eventually, kamailio_world
from tests.interop.conftest import needs_kamailio


async def converse(world: World) -> None:
    """Do what guests and inviters do."""
    phone = await world.phone("a", on_message="script", script=("Nice to meet you",))
    guest = await world.guest()
    status = (await guest.status()).json
    assert (status["status"], status["services"]) == ("online", ["im"])
    await guest.say("hello")
    assert (await phone.wait_for("message")).text == "hello"
    await guest.wait_for_event(text_in("Nice to meet you"))
    await phone.say("sip:b@cc.com", "and again")
    await guest.wait_for_text("and again")
    assert (await guest.logout()).status == 204
    # Requests inside dialogs find their way, too.
    await eventually(lambda: world.received("ACK", actor="phone a"))
    await eventually(lambda: world.sent("REGISTER") and "Expires: 0" in world.sent("REGISTER")[-1])


def transports(world: World) -> set[str]:
    """Return how the gateway has spoken SIP with the core."""
    port = world.core.port(world.transport)
    return {
        record.transport
        for record in world.records
        if isinstance(record, WireRecord)
        and record.protocol == "SIP"
        and record.actor == "gateway"
        and record.remote is not None
        and record.remote[1] == port
    }


@pytest.mark.parametrize("transport", ["tls", "wss", "ws"])
async def test_transport(tmp_path: Path, transport: Transport) -> None:
    needs_kamailio("tls", "websocket")
    async with kamailio_world(tmp_path, transport=transport) as world:
        await converse(world)
        assert transports(world) == {transport.upper()}
        invite = world.sent("INVITE")[0]
        via, contact = (
            next(line for line in invite.split("\r\n") if line.startswith(name)) for name in ("Via", "Cont")
        )
        assert via.startswith(f"Via: SIP/2.0/{transport.upper()} ")
        if transport == "tls":
            assert ";transport=tls>" in contact
        else:  # RFC 7118, sections 5.1 and 5.2
            assert ".invalid;branch=" in via and ".invalid;transport=ws>" in contact


async def test_tls_with_the_embedded_core(tmp_path: Path) -> None:
    async with embedded_world(tmp_path, transport="tls") as world:
        await converse(world)
        assert transports(world) == {"TLS"}


@pytest.mark.parametrize(("core", "transport"), [("kamailio", "tcp"), ("kamailio", "udp"), ("embedded", "tcp")])
async def test_ipv6(tmp_path: Path, core: str, transport: Transport) -> None:
    if core == "kamailio":
        needs_kamailio()
    async with WORLDS[core](tmp_path, transport=transport, host="::1") as world:
        await converse(world)
        texts = "".join(world.wire(direction="out") + world.wire("MSRP", direction="out"))
        assert f"SIP/2.0/{transport.upper()} [::1]:" in texts and "c=IN IP6 ::1" in texts
        assert "a=path:msrp://[::1]:" in texts and "From-Path: msrp://[::1]:" in texts
        assert "127.0.0.1" not in texts


async def test_lost_websocket(tmp_path: Path) -> None:
    """Nobody can connect to a guest behind a WebSocket: a lost one is made anew at once, and A reaches them again."""
    needs_kamailio("tls", "websocket")
    async with kamailio_world(tmp_path, transport="wss") as world:
        phone = await world.phone("a")
        guest = await world.guest()
        assert world.gateway is not None and world.gateway.endpoint._transport is not None

        def registrations() -> int:
            return sum(" REGISTER\r\n" in text for text in world.received("SIP/2.0 200"))

        before = registrations()
        for connection in list(world.gateway.endpoint._transport._connections._open.values()):
            connection.abort()
        await eventually(lambda: registrations() > before)
        await phone.say("sip:b@cc.com", "still there?")
        await guest.wait_for_text("still there?")
