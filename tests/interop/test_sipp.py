"""SIPp as A: registered at Kamailio, called by the gateway's guest and calling them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from gateway.lab.ports import free_port
from tests.e2e.client import kind
from tests.e2e.world import DOMAIN, PASSWORDS, Guest, World, eventually
from tests.interop.msrppeer import MsrpPeer
from tests.interop.sipp import Sipp, Transport, run

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("needs_sipp")]

PASSIVE = "setup:passive"
NO_SETUP = "sendrecv"
"""In the place of ``a=setup``: an answer of somebody who knows RFC 4975 only."""


async def register(world: World, transport: Transport, user: str = "a") -> int:
    """Register a subscriber by SIPp; return the port where they are to be reached."""
    port = free_port()
    await run(
        world.folder,
        "register",
        world.core.address,
        transport=transport,
        credentials=(user, PASSWORDS[user]),
        user=user,
        domain=DOMAIN,
        contact_port=port,
    )
    assert await world.core.is_registered(user)
    return port


@asynccontextmanager
async def called(world: World, transport: Transport, scenario: str, **keys: Any) -> AsyncIterator[tuple[Sipp, Guest]]:
    """Have A registered and waiting for calls by a scenario, and B logged in; A must have been called as it says."""
    port = await register(world, transport)
    guest = await world.guest("a")
    async with Sipp(world.folder, scenario, world.core.address, transport=transport, port=port, **keys) as sipp:
        yield sipp, guest
        await sipp.finish()


async def call(world: World, transport: Transport, scenario: str, user: str = "a", **keys: Any) -> Sipp:
    """Register and run a scenario that calls the guest, from the registered port."""
    port = await register(world, transport, user)
    keys = {"user": user, "domain": DOMAIN, "guest": "b", **keys}
    return await run(world.folder, scenario, world.core.address, transport=transport, port=port, **keys)


def arrived(world: World, start: str) -> int:
    """Return how many messages that begin so came to the gateway; a segment of TCP may hold several."""
    return len(re.findall(f"(?m)^{re.escape(start)}", "".join(world.wire(direction="in"))))


# the gateway calls


@pytest.mark.parametrize("setup", [PASSIVE, NO_SETUP])
async def test_guest_talks_to_sipp(kamailio_net: World, transport: Transport, setup: str) -> None:
    world = kamailio_net
    async with MsrpPeer() as msrp:
        async with called(world, transport, "uas_accept", msrp_port=msrp.port, setup=setup) as (_, guest):
            await guest.say("hello SIPp")
            await msrp.wait_for_body("hello SIPp")
            await msrp.send("hello gateway")
            await guest.wait_for_text("hello gateway")
            await msrp.wait_for_answer("200")
            assert (await guest.logout()).status == 204
    assert len(world.sent("INVITE")) == len(world.sent("BYE")) == 1


async def test_long_message_in_chunks(kamailio_net: World) -> None:
    async with MsrpPeer() as msrp:
        keys: dict[str, Any] = {"msrp_port": msrp.port, "setup": PASSIVE}
        async with called(kamailio_net, "TCP", "uas_accept", **keys) as (_, guest):
            text = "0123456789" * 20_000
            await guest.say(text)
            await msrp.wait_for_body(text)
            await guest.logout()


async def test_msrp_port_is_closed(kamailio_net: World) -> None:
    """The call succeeds, the MSRP connection cannot: BYE, and the guest is told."""
    keys: dict[str, Any] = {"msrp_port": free_port(), "setup": PASSIVE}
    async with called(kamailio_net, "UDP", "uas_accept", **keys) as (_, guest):
        answer = await guest.send("lost")
        assert answer.status >= 500, answer
        assert (await guest.messages())[-1]["state"] == "failed"
    [bye] = kamailio_net.sent("BYE")
    assert "\r\nReason: SIP;cause=408" in bye


@pytest.mark.parametrize(
    ("status", "http", "problem"),
    [("486 Busy Here", 409, "peer-busy"), ("603 Decline", 403, "peer-declined")],
)
async def test_sipp_refuses(kamailio_net: World, transport: Transport, status: str, http: int, problem: str) -> None:
    async with called(kamailio_net, transport, "uas_refuse", status=status) as (_, guest):
        answer = await guest.send("hello")
        assert (answer.status, answer.json["type"].rpartition("/")[2]) == (http, problem)
        assert answer.json["sip"]["code"] == int(status[:3])


async def test_sipp_rings_until_the_gateway_gives_up(kamailio_net: World, transport: Transport) -> None:
    gateway = kamailio_net.gateway
    assert gateway is not None
    gateway.guests.settings = replace(gateway.guests.settings, ring_timeout=2.5)
    async with called(kamailio_net, transport, "uas_ring") as (_, guest):
        answer = await guest.send("anybody there?")
        assert (answer.status, answer.json["state"]) == (202, "pending")
        await guest.wait_for_event(kind("receipt", id=answer.json["id"], state="failed"))
    assert len(kamailio_net.sent("CANCEL")) == 1
    await eventually(lambda: arrived(kamailio_net, "SIP/2.0 487"))


async def test_guest_leaves_while_it_rings(kamailio_net: World, transport: Transport) -> None:
    async with called(kamailio_net, transport, "uas_ring") as (_, guest):
        sending = asyncio.create_task(guest.send("anybody there?"))
        await eventually(lambda: arrived(kamailio_net, "SIP/2.0 180"))
        assert (await guest.logout()).status == 204
        assert (await sending).status == 409
    assert len(kamailio_net.sent("CANCEL")) == 1
    await eventually(lambda: arrived(kamailio_net, "SIP/2.0 487"))


async def test_sipp_asks_and_refreshes_inside_the_dialog(kamailio_net: World, transport: Transport) -> None:
    async with MsrpPeer() as msrp:
        keys: dict[str, Any] = {"msrp_port": msrp.port, "setup": PASSIVE, "linger": 500}
        async with called(kamailio_net, transport, "uas_refresh", **keys) as (sipp, guest):
            await guest.say("before")
            await eventually(lambda: "CSeq: 13 ACK" in sipp.messages)
            await guest.say("behind the re-INVITE")
            await msrp.wait_for_body("behind the re-INVITE")
    assert len(kamailio_net.sent("INVITE")) == 1
    assert kamailio_net.sent("BYE") == []


# SIPp calls


@pytest.mark.parametrize(
    ("setup", "answer_setup"),
    [
        ("setup:active", "a=setup:passive"),
        ("setup:actpass", "a=setup:(active|passive)"),
        (NO_SETUP, "a=path:msrp"),
    ],
)
async def test_sipp_calls_the_guest(kamailio_net: World, transport: Transport, setup: str, answer_setup: str) -> None:
    """The offerer may leave before any MSRP."""
    await kamailio_net.guest("a")
    keys: dict[str, Any] = {"msrp_port": free_port(), "setup": setup, "answer_setup": answer_setup, "linger": 200}
    sipp = await call(kamailio_net, transport, "uac_chat", **keys)
    assert setup != NO_SETUP or "a=setup" not in sipp.messages
    [answered] = [text for text in kamailio_net.sent("SIP/2.0 200") if "\r\nCSeq: 1 INVITE" in text]
    assert "\r\nContact: <sip:" in answered and "cpm.session" in answered
    assert arrived(kamailio_net, "BYE sip:") == 1


async def test_sipp_calls_and_talks(kamailio_net: World, transport: Transport) -> None:
    guest = await kamailio_net.guest("a")
    async with MsrpPeer() as msrp:
        keys: dict[str, Any] = {
            "msrp_port": msrp.port,
            "setup": PASSIVE,
            "answer_setup": "a=setup:active",
            "linger": 1500,
        }
        calling = asyncio.create_task(call(kamailio_net, transport, "uac_chat", **keys))
        await msrp.send("hello B")
        await guest.wait_for_text("hello B")
        await guest.say("hello A")
        await msrp.wait_for_body("hello A")
        await calling
    assert kamailio_net.sent("INVITE") == [], "the guest's answer uses the session that A opened"


@pytest.mark.parametrize(
    ("media", "answer"),
    [("message 9 TCP/MSRP *", 403), ("audio 4000 RTP/AVP 8", 403)],
)
async def test_stranger_is_refused(kamailio_net: World, media: str, answer: int) -> None:
    """Carol is a subscriber, but has not invited this guest."""
    await kamailio_net.guest("a")
    await call(kamailio_net, "UDP", "uac_refused", user="c", media=media, answer=answer)


async def test_media_that_are_no_chat(kamailio_net: World, transport: Transport) -> None:
    await kamailio_net.guest("a")
    sipp = await call(kamailio_net, transport, "uac_refused", media="audio 4000 RTP/AVP 8", answer=488)
    assert "\nWarning: 304 " in sipp.messages


async def test_options(kamailio_net: World, transport: Transport) -> None:
    await kamailio_net.guest("a")
    tags = r"Contact:[^\n]*\+g.oma.sip-im[^\n]*cpm.session|Contact:[^\n]*cpm.session[^\n]*\+g.oma.sip-im"
    await call(kamailio_net, transport, "uac_request", method="OPTIONS", text="", answer=200, shows=tags)


async def test_options_of_a_stranger(kamailio_net: World) -> None:
    await kamailio_net.guest("a")
    await call(kamailio_net, "UDP", "uac_request", user="c", method="OPTIONS", text="", answer=403, shows="403")


async def test_message_is_stored(kamailio_net: World, transport: Transport) -> None:
    guest = await kamailio_net.guest("a")
    await call(kamailio_net, transport, "uac_request", method="MESSAGE", text="one page", answer=200, shows="200")
    assert [line["message"].strip() for line in await guest.messages()] == ["one page"]


@pytest.mark.parametrize(("method", "answer"), [("INFO", 405), ("PUBLISH", 405), ("FROB", 501)])
async def test_other_methods(kamailio_net: World, method: str, answer: int) -> None:
    await kamailio_net.guest("a")
    await call(
        kamailio_net, "UDP", "uac_request", method=method, text="x", answer=answer, shows="Allow: INVITE, ACK, BYE"
    )


async def test_no_such_guest(kamailio_net: World) -> None:
    await call(kamailio_net, "UDP", "uac_request", method="OPTIONS", text="", answer=404, shows="404")
