"""Guests who go away, gateways that stop and start: what goes on, and what stays."""

from __future__ import annotations

import asyncio

from tests.e2e.client import SESSION, kind, text_in
from tests.e2e.conftest import Start, one_core
from tests.e2e.world import World, eventually

IDLE = 0.6
"""Seconds without a word after which a guest is gone in these tests."""


async def until_registered(world: World, user: str, registered: bool = True) -> None:
    """Wait until the core has a binding for an account, or none."""
    async with asyncio.timeout(20):
        while await world.core.is_registered(user) is not registered:
            await asyncio.sleep(0.02)


async def test_a_guest_who_is_gone_is_deregistered(start: Start) -> None:
    """Row 12: the relation stays, and the next call logs in again. Who holds a stream open is not gone."""
    world = await start(f"[policy]\nguest_idle = {IDLE}\n")
    phone = await world.phone("a")
    watching, gone = await world.guest("a", "d@cc.com"), await world.guest("a", "b@cc.com")
    async with watching.http.stream():
        await gone.say("hello")
        await gone.wait_for_text("You said: hello")
        await until_registered(world, "b", False)
        assert len(world.sent("BYE")) == 1, "their chat has ended"
        assert await world.core.is_registered("d")
        # all is as it was for whoever comes back
        assert world.core.accounts() == {"a", "b", "c", "d"}
        assert len(world.rows("invitation")) == 2
        assert len(await gone.messages()) == 2
        await until_registered(world, "b")
        await gone.say("I am back")
        assert [event.text for event in phone.events if event.kind == "message"] == ["hello", "I am back"]


@one_core
async def test_guests_may_stay_for_ever(start: Start) -> None:
    world = await start("[policy]\nguest_idle = 0\n")
    await world.phone("a")
    guest = await world.guest("a")
    await guest.say("hello")
    await guest.wait_for_text("You said: hello")
    assert await world.core.is_registered("b")
    assert world.sent("BYE") == []


async def test_messages_for_a_guest_who_was_away(start: Start) -> None:
    """What came while nobody looked is there afterwards."""
    world = await start()
    phone = await world.phone("a")
    guest = await world.guest("a")
    for number in range(3):
        assert (await phone.say("sip:b@cc.com", f"text {number}")).state.value == "sent"
    assert [event["message"]["message"] for event in await guest.http.events()] == ["text 0", "text 1", "text 2"]


async def test_a_restart_registers_guests_again(world: World) -> None:
    """Logged-in guests are back without doing anything; relations, conversations and cursors stay."""
    phone = await world.phone("a")
    alone = await world.invite("a", "d@cc.com")
    guest = await world.guest("a")
    await guest.say("before")
    cursor = (await guest.wait_for_text("You said: before"))["cursor"]
    token = world.sent("REGISTER sip:cc.com")[-1].partition("\r\nContact: <sip:")[2].partition("@")[0]
    await world.stop_gateway()
    # the drain: dialogs end, registrations end, relations stay
    await phone.wait_for("closed")
    assert len(world.sent("BYE")) == 1
    assert "\r\nExpires: 0\r\n" in world.sent("REGISTER sip:cc.com")[-1]
    assert not await world.core.is_registered("b")
    assert world.core.accounts() == {"a", "b", "c", "d"}
    assert len(world.rows("invitation")) == 2
    await world.start_gateway()
    await until_registered(world, "b")
    assert not await world.core.is_registered("d"), "who was not logged in is not logged in"
    again = [text for text in world.sent("REGISTER sip:cc.com") if "\r\nExpires: 0\r\n" not in text][-1]
    assert f"\r\nContact: <sip:{token}@" in again, "the Contact token is kept over restarts"
    # A speaks first, B listens where the stream broke off
    async with guest.http.stream(Last_Event_ID=str(cursor)) as stream:
        assert (await phone.say("sip:b@cc.com", "after")).state.value == "sent"
        event = await stream.wait_for(text_in("after"))
        assert event["cursor"] > cursor
    await guest.say("me too")
    assert [line["message"] for line in await guest.messages()][:4] == [
        "before",
        "You said: before",
        "after",
        "me too",
    ]
    assert (await alone.login()).status == 200
    assert (await guest.logout()).status == 204
    assert (await guest.login()).status == 410


async def test_what_ended_before_a_restart_stays_ended(world: World) -> None:
    guest = await world.guest("a")
    assert (await guest.logout()).status == 204
    await world.stop_gateway()
    await world.start_gateway()
    assert (await guest.login()).status == 410
    assert (await world.http(guest.user, "wrong").post(guest.session)).status == 401
    assert world.core.accounts() == {"a", "c"}


async def test_invitations_expire_while_the_gateway_is_down(world: World) -> None:
    guest = await world.guest("a", valid_for=1.5)
    await world.stop_gateway()
    await asyncio.sleep(1.5)
    await world.start_gateway()
    await eventually(lambda: world.rows("account") == [])
    assert world.core.accounts() == {"a", "c"}
    assert world.im_server.accounts.all() == []
    assert not await world.core.is_registered("b")
    answer = await guest.login()
    assert (answer.status, "expired" in answer.text) == (410, True)


async def test_a_drain_lets_messages_finish(world: World) -> None:
    """SIGTERM: no new work, what is on its way arrives and is answered, streams end, nobody is cut off."""
    phone = await world.phone("a", on_message="accept", delay=0.3)
    guest = await world.guest("a")
    async with guest.http.stream() as stream:
        sending = asyncio.ensure_future(guest.send("on its way"))
        await phone.wait_for("invited")
        url = world.url
        await world.stop_gateway()
        answer = await sending
        assert answer.status in (200, 202), answer
        seen = list(stream.seen)
        while (event := await stream.next()) is not None:
            seen.append(event)
    assert (await phone.wait_for("message")).text == "on its way"
    assert len(world.sent("BYE")) == 1
    assert not await world.core.is_registered("b")
    assert all(event["kind"] != "session" for event in seen), "their session is not over"
    with_state = [row[6] for row in world.rows("entry") if "on its way" in row]
    assert with_state == ["sent"]
    await world.start_gateway()
    assert world.url != url
    await until_registered(world, "b")
    assert [event.text for event in phone.events if event.kind == "message"] == ["on its way"], "and not twice"


async def test_a_restart_sends_what_was_not_answered(start: Start) -> None:
    """A message that waited for A to pick up is sent again, with the same ids, once."""
    world = await start(policy="message_wait = 0.5")
    phone = await world.phone("a", on_invite="ask", on_message="accept")
    guest = await world.guest("a")
    sending = asyncio.ensure_future(guest.send("patience"))
    await phone.wait_for("invited")
    answer = await sending
    assert (answer.status, answer.json["state"]) == (202, "pending")
    await world.stop_gateway()
    await phone.wait_for("cancelled")
    phone.behave(on_invite="accept")
    await world.start_gateway()
    arrived = await phone.wait_for("message", timeout=20)
    assert (arrived.text, arrived.id) == ("patience", answer.json["id"])
    await guest.wait_for_event(kind("receipt", id=answer.json["id"], state="sent"))


@one_core
async def test_health(world: World) -> None:
    http = world.http()
    assert (await http.get("/healthz")).json["status"] == "ok"
    ready = await http.get("/readyz")
    assert (ready.status, ready.json["checks"]) == (200, {"store": "ok", "core": "ok"})
    assert (await http.get(f"{SESSION}sip:b@cc.com", headers={"Accept": "text/html"})).status == 200
