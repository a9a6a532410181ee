"""Receipts and typing between B's client and A's phone, over the whole chain."""

from __future__ import annotations

from tests.e2e.client import EVENTS, Format, kind, text_in
from tests.e2e.conftest import Start
from tests.e2e.world import World, eventually

RECEIPT = "/rcsgw/invitee/receipt"
COMPOSING = "/rcsgw/invitee/composing"


async def test_a_message_of_b_is_delivered_and_displayed(start: Start, format: Format) -> None:
    world = await start(format=format)
    await world.phone("a", receipts="display", on_message="accept")
    guest = await world.guest("a")
    id = await guest.say("hello")
    await guest.wait_for_event(kind("receipt", id=id, state="displayed"))
    told = [event["receipt"]["state"] for event in await guest.http.events() if event["kind"] == "receipt"]
    assert [state for state in told if state != "sent"] in (["delivered", "displayed"], ["displayed"])
    assert (await guest.messages())[0]["state"] == "displayed"
    [sent] = [frame for frame in world.sent("MSRP", protocol="MSRP") if "\r\nhello" in frame]
    assert "imdn.Disposition-Notification: positive-delivery, display\r\n" in sent
    assert f"imdn.Message-ID: {id}\r\n" in sent


async def test_a_phone_that_tells_less(world: World) -> None:
    await world.phone("a", receipts="delivery", on_message="accept")
    guest = await world.guest("a")
    id = await guest.say("hello")
    await guest.wait_for_event(kind("receipt", id=id, state="delivered"))
    assert (await guest.messages())[0]["state"] == "delivered"


async def test_a_message_of_a_is_delivered_and_seen(start: Start, format: Format) -> None:
    world = await start(format=format)
    phone = await world.phone("a", receipts="display")
    guest = await world.guest("a")
    id = (await phone.say("sip:b@cc.com", "hello")).message_id
    delivered = await phone.wait_for("receipt")
    assert (delivered.text, delivered.id) == ("delivered", id)
    assert (await guest.http.post(RECEIPT, {"id": id}, root="receipt")).status == 204
    seen = await phone.wait_for("receipt", after=delivered.serial)
    assert (seen.text, seen.id) == ("displayed", id)
    # again changes nothing, and of what was never said nothing can be seen
    assert (await guest.http.post(RECEIPT, {"id": id}, root="receipt")).status == 204
    assert (await guest.http.post(RECEIPT, {"id": "nothing"}, root="receipt")).status == 404
    await phone.say("sip:b@cc.com", "last")
    await eventually(lambda: len([event for event in phone.events if event.kind == "receipt"]) >= 3)
    assert [event.text for event in phone.events if event.kind == "receipt"] == ["delivered", "displayed", "delivered"]
    assert [line["state"] for line in await guest.messages()] == ["displayed", "delivered"]


async def test_seen_after_the_chat_is_over(world: World) -> None:
    """D-IMD-11: BYE before display, so it goes by SIP MESSAGE."""
    phone = await world.phone("a", receipts="display")
    guest = await world.guest("a")
    id = (await phone.say("sip:b@cc.com", "hello")).message_id
    delivered = await phone.wait_for("receipt")
    await phone.hang_up("sip:b@cc.com")
    await eventually(lambda: world.received("BYE"))
    assert (await guest.http.post(RECEIPT, {"id": id}, root="receipt")).status == 204
    seen = await phone.wait_for("receipt", after=delivered.serial)
    assert (seen.text, seen.id) == ("displayed", id)
    *_, message = world.sent("MESSAGE")  # Kamailio challenges the first one
    assert "Content-Type: message/imdn+xml" in message and "Disposition-Notification" not in message


async def test_typing_both_ways(start: Start, format: Format) -> None:
    world = await start(format=format)
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    typing = {"to": "sip:a@cc.com", "state": "active"}
    assert (await guest.http.post(COMPOSING, typing, root="composing")).status == 204, "no chat is opened for it"
    assert not phone.chats
    await guest.say("hello")
    for _ in range(5):
        assert (await guest.http.post(COMPOSING, typing, root="composing")).status == 204
    event = await phone.wait_for("composing")
    assert event.text == "active"
    await guest.http.post(COMPOSING, typing | {"state": "idle"}, root="composing")
    assert (await phone.wait_for("composing", after=event.serial)).text == "idle"
    assert [event.kind for event in phone.events].count("composing") == 2, "D-ISC-03"
    assert (await guest.http.post(COMPOSING, typing | {"to": "sip:c@cc.com"}, root="composing")).status == 403
    # the other way
    async with guest.http.stream() as stream:
        await phone.type("sip:b@cc.com")
        typed = (await stream.wait_for(kind("composing")))["composing"]
        assert (typed["uid"], typed["state"]) == ("a", "active") and typed["until"].endswith("Z")
        await phone.say("sip:b@cc.com", "there")
        await stream.wait_for(text_in("there"))
        ended = [event for event in await guest.http.events(EVENTS) if event["kind"] == "composing"]
        assert [event["composing"]["state"] for event in ended] == ["active", "idle"]
    assert [line["message"] for line in await guest.messages()] == ["hello", "there"]
