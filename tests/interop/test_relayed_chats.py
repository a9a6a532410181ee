"""The gateway and A's phone behind Kamailio's MSRP relay, over TCP, TLS and WebSocket: text, receipts, typing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest

from gateway.lab import kamailio
from sipstack.msrp.message import OutgoingMessage
from sipstack.trace import WireRecord
from tests.e2e.client import kind
from tests.e2e.test_receipts import COMPOSING, RECEIPT
from tests.e2e.world import World, eventually, kamailio_world
from tests.interop.conftest import needs_kamailio

pytestmark = pytest.mark.interop

A, B = "sip:a@cc.com", "sip:b@cc.com"

LONG = 100_000
"""Characters of the message that needs several chunks."""


Relay = Literal["msrp", "msrps", "ws"]
TRANSPORTS: dict[Relay, set[str]] = {"msrp": {"TCP"}, "msrps": {"TLS"}, "ws": {"WSS", "TLS"}}
"""What the gateway and the phone speak."""


@pytest.fixture(params=["msrp", "msrps", "ws"])
async def relayed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A network in which all MSRP goes by the relay."""
    needs_kamailio()
    scheme: Relay = request.param
    if scheme == "ws" and not kamailio.has_module("websocket"):
        pytest.skip("Kamailio's websocket module is not installed")
    async with kamailio_world(tmp_path, relay=scheme) as world:
        yield world
        assert_relayed(world, scheme)


def assert_relayed(world: World, scheme: Relay) -> None:
    """Check that nothing went another way."""
    sent = [record for record in world.records if isinstance(record, WireRecord) and record.protocol == "MSRP"]
    port = int(world.relays[0].removesuffix(";tcp").rpartition(":")[2])
    assert {record.remote for record in sent if record.transport != "WSS"} == {("127.0.0.1", port)}
    assert {record.transport for record in sent} == TRANSPORTS[scheme]
    assert {record.actor for record in sent} == {"gateway", "phone a"}


async def test_text(relayed: World) -> None:
    phone = await relayed.phone("a")
    guest = await relayed.guest("a")
    await guest.say("hello")
    await guest.wait_for_text("You said: hello")
    await guest.say("x" * LONG)
    await eventually(lambda: [event for event in phone.events if event.text == "x" * LONG])
    message = await phone.say(B, "y" * LONG)
    assert isinstance(message, OutgoingMessage) and message.state.value == "sent" and message.reported
    await guest.wait_for_text("y" * LONG)
    states = [line["state"] for line in await guest.messages() if line["direction"] == "out"]
    assert states == ["sent", "sent"]


async def test_receipts_both_ways(relayed: World) -> None:
    phone = await relayed.phone("a", receipts="display", on_message="accept")
    guest = await relayed.guest("a")
    id = await guest.say("hello")
    await guest.wait_for_event(kind("receipt", id=id, state="displayed"))
    told = [event["receipt"]["state"] for event in await guest.http.events() if event["kind"] == "receipt"]
    assert [state for state in told if state != "sent"] in (["delivered", "displayed"], ["displayed"])
    # the other way
    id = (await phone.say(B, "answer")).message_id
    delivered = await phone.wait_for("receipt")
    assert (delivered.text, delivered.id) == ("delivered", id)
    assert (await guest.http.post(RECEIPT, {"id": id}, root="receipt")).status == 204
    seen = await phone.wait_for("receipt", after=delivered.serial)
    assert (seen.text, seen.id) == ("displayed", id)
    assert not relayed.sent("MESSAGE"), "all went by MSRP"


async def test_typing_both_ways(relayed: World) -> None:
    phone = await relayed.phone("a", on_message="accept")
    guest = await relayed.guest("a")
    await guest.say("hello")
    for state in ("active", "idle"):
        after = phone.events[-1].serial
        assert (await guest.http.post(COMPOSING, {"to": A, "state": state}, root="composing")).status == 204
        assert (await phone.wait_for("composing", after=after)).text == state
    await phone.type(B)
    await guest.wait_for_event(kind("composing", state="active"))
    await phone.say(B, "there")
    await guest.wait_for_event(kind("composing", state="idle"))
    assert [line["message"] for line in await guest.messages()] == ["hello", "there"]
