"""Receipts and typing between B's client and A's phone, over the whole chain."""

from __future__ import annotations

from sipstack.im.cpim import CpimTemplate
from sipstack.im.imdn import Disposition, Imdn, request
from sipstack.net import notices
from sipstack.sip.uri import Uri
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
    assert f"imdn.Message-ID: {id}\r\n" in sent, "D-IMD-02"


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
    typed_frames = [frame for frame in world.sent("MSRP", protocol="MSRP") if "im-iscomposing+xml" in frame]
    assert len(typed_frames) == 2 and not any("Success-Report: yes" in frame for frame in typed_frames), "D-ISC-06"
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


async def test_seen_after_a_restart(start: Start, format: Format) -> None:
    """D-IMD-06, D-IMD-11: what A wants to be told is kept with the message; the process that took it is gone."""
    world = await start(format=format)
    phone = await world.phone("a", receipts="display")
    guest = await world.guest("a")
    id = (await phone.say("sip:b@cc.com", "hello")).message_id
    delivered = await phone.wait_for("receipt")
    await world.stop_gateway()
    await world.start_gateway()
    await guest.login()
    for _ in range(2):
        assert (await guest.http.post(RECEIPT, {"id": id}, root="receipt")).status == 204
    seen = await phone.wait_for("receipt", after=delivered.serial)
    assert (seen.text, seen.id) == ("displayed", id)
    await phone.say("sip:b@cc.com", "last")
    await eventually(lambda: len([event for event in phone.events if event.kind == "receipt"]) >= 3)
    assert [event.text for event in phone.events if event.kind == "receipt"] == ["delivered", "displayed", "delivered"]


async def test_told_late_and_out_of_order(world: World) -> None:
    """D-IMD-10, D-IMD-14: after a restart, by SIP MESSAGE, twice, backwards, and about what nobody knows."""
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    id = await guest.say("hello")
    await world.stop_gateway()
    await world.start_gateway()
    await guest.login()
    reports = (("nobody", "displayed"), (id, "displayed"), (id, "delivered"), (id, "failed"), (id, "displayed"))
    async with guest.http.stream() as stream:
        for about, state in reports:
            notification = Imdn(about, "display" if state == "displayed" else "delivery", Disposition(state))
            body = notices.wrap_notification(notices.ANONYMOUS, notification, "2026-11-22T10:15:30Z")
            assert (await phone.agent.message(Uri.parse("sip:b@cc.com"), body, notices.CPIM)).status == 200
        await stream.wait_for(kind("receipt", id=id, state="displayed"))
        await phone.say("sip:b@cc.com", "last")
        await stream.wait_for(text_in("last"))
        receipts = [event["receipt"] for event in stream.seen if event["kind"] == "receipt"]
    assert [(receipt["id"], receipt["state"]) for receipt in receipts] == [(id, "displayed")]
    assert (await guest.messages())[0]["state"] == "displayed"


async def test_what_a_guest_never_fetched_has_failed(world: World) -> None:
    """D-IMD-07: it was acknowledged, and then the relation ended before B's client had it."""
    phone = await world.phone("a", receipts="none")
    guest = await world.guest("a")
    body = CpimTemplate(notices.ANONYMOUS_URI, notices.ANONYMOUS_URI, headers=[request(["negative-delivery"])]).render(
        "text/plain", b"hello", datetime="2026-11-22T10:15:30Z", message_id="m1"
    )
    assert (await phone.agent.message(Uri.parse("sip:b@cc.com"), body, notices.CPIM)).status == 200
    answer = await world.inviter().delete(f"/rcsgw/invitee/user/{guest.account}")
    assert answer.status == 204
    receipt = await phone.wait_for("receipt")
    assert (receipt.text, receipt.id) == ("failed", "m1")
    assert [event.kind for event in phone.events].count("receipt") == 1


async def test_states_are_told_in_their_order(start: Start, format: Format) -> None:
    """D-IMD-14, over a stream: never displayed before delivered, never sent after either, whatever is quicker."""
    world = await start(format=format)
    await world.phone("a", receipts="display", on_message="accept")
    guest = await world.guest("a")
    async with guest.http.stream() as stream:
        ids = [await guest.say(f"text {number}") for number in range(20)]
        seen: dict[str, list[str]] = {id: [] for id in ids}
        while not all(states[-1:] == ["displayed"] for states in seen.values()):
            event = await stream.next()
            assert event is not None
            told = event[event["kind"]]
            seen[told["id"]].append(told["state"])
    order = ["pending", "sent", "delivered", "displayed"]
    for states in seen.values():
        assert states == sorted(states, key=order.index) and len(set(states)) >= len(states) - 1, states
