"""SIPp as A behind Kamailio: PRACK, session timers, UPDATE, glare and two forks that accept, each in both roles."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sipstack.sip import session_timer
from tests.e2e.client import kind
from tests.e2e.world import World, eventually
from tests.interop.msrppeer import MsrpPeer
from tests.interop.test_sipp import call, called

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("needs_sipp")]


async def test_422_prack_and_two_forks(kamailio_net: World) -> None:
    """A-STM-02, A-PRK-03, A-OA-03, A-INV-02: the answer comes in a reliable 183; of two 200 one is kept."""
    async with MsrpPeer() as msrp:
        async with called(kamailio_net, "TCP", "uas_reliable", msrp_port=msrp.port) as (_, guest):
            await guest.say("hello SIPp")
            await msrp.wait_for_body("hello SIPp")
            await eventually(lambda: kamailio_net.sent("BYE"))
            assert (await guest.logout()).status == 204
    first, second = kamailio_net.sent("INVITE")
    assert "\r\nMin-SE: 2000\r\n" in second and "\r\nMin-SE" not in first
    assert len(kamailio_net.sent("PRACK")) == 1 and len(kamailio_net.sent("BYE")) == 2


async def test_gateway_refreshes(kamailio_net: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A-STM-04, A-INV-06: by re-INVITE, during which another one gets 491, and by UPDATE where that is allowed."""
    monkeypatch.setattr(session_timer, "MINIMUM", 1)
    async with MsrpPeer() as msrp:
        keys: dict[str, Any] = {"msrp_port": msrp.port, "interval": 2}
        async with called(kamailio_net, "TCP", "uas_timer", **keys) as (_, guest):
            await guest.say("hello SIPp")
            await msrp.wait_for_body("hello SIPp")
    first, refresh = kamailio_net.sent("INVITE")
    assert first[first.index("\r\no=") :] == refresh[refresh.index("\r\no=") :], "the same description"
    assert len(kamailio_net.sent("UPDATE")) == 1 and kamailio_net.sent("BYE") == []


async def test_sipp_rings_reliably_and_refreshes(kamailio_net: World) -> None:
    """A-STM-02, A-STM-03, A-PRK-01: SIPp asks for too little, then requires 100rel; it refreshes by UPDATE."""
    gateway = kamailio_net.gateway
    assert gateway is not None
    gateway.guests.settings = replace(gateway.guests.settings, chat_answer="message")
    guest = await kamailio_net.guest("a")
    async with MsrpPeer() as msrp:
        calling = asyncio.create_task(call(kamailio_net, "TCP", "uac_reliable", msrp_port=msrp.port))
        await guest.wait_for_event(kind("session", state="ringing"))
        await eventually(lambda: kamailio_net.sent("SIP/2.0 200"))
        await guest.say("I am here")
        await msrp.wait_for_body("I am here")
        await calling
    [ringing] = kamailio_net.sent("SIP/2.0 180")
    assert "\r\nRequire: 100rel\r\nRSeq: " in ringing
