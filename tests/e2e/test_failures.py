"""When something is broken: the client is told what and in time, the ladder shows why, and the next try works."""

from __future__ import annotations

import asyncio

import pytest

from sipstack.msrp import outbox
from tests.e2e.client import INVITER_EVENTS
from tests.e2e.conftest import Start
from tests.e2e.cores import EmbeddedCore
from tests.e2e.trouble import (
    LOAD,
    QUICK,
    WITHIN,
    core_down,
    final,
    ladder,
    phone_behind_cutter,
    refused,
    ring_for,
    shows,
    wrong_password,
)
from tests.e2e.world import World, eventually

USER = "/rcsgw/invitee/user"
EMBEDDED = pytest.mark.parametrize("core", ["embedded"])
MSRP_TEXT = "x" * 300_000


# the core is down


@EMBEDDED
async def test_core_down_at_the_invitation(start: Start) -> None:
    """Nobody can tell whether the name is free: A is told at once, and nothing is allocated."""
    world = await start()
    async with core_down(world):
        answer = await world.inviter().post(USER, {"email": "b@cc.com"})
        refused(answer, 503, "unavailable")
        assert answer.json["retryable"] and answer.headers["Retry-After"]
        assert world.rows("account") == world.rows("invitation") == []
        assert world.mailbox.mails == []
    assert (await (await world.invite("a")).login()).status == 200


async def test_core_down_while_a_proves_who_they_are(start: Start) -> None:
    world = await start(users='[users]\ndriver = "register"\nregister = { domains = ["cc.com"] }\n')
    async with core_down(world):
        answer = await world.inviter().post(USER, {"email": "b@cc.com"})
        assert answer.status in (502, 503) and answer.json["retryable"], answer
        assert answer.took < WITHIN + LOAD
        assert world.rows("account") == []
    answer = await world.http("a@cc.com", "alice-pw").post(USER, {"email": "b@cc.com"})
    assert answer.status == 201, answer


async def test_core_down_at_login(start: Start) -> None:
    world = await start()
    guest = await world.invite("a")
    async with core_down(world):
        for answer in await asyncio.gather(guest.login(), guest.status(), guest.login()):
            refused(answer, 502, "core-unreachable", code=503)
        assert world.gateway is not None and len(world.gateway.guests) == 0, "nothing is left of it"
    assert (await guest.login()).status == 200
    assert await world.core.is_registered("b")


async def test_core_down_at_a_message(start: Start) -> None:
    world = await start()
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    async with core_down(world):
        status = await guest.status()
        assert (status.status, status.json["status"]) == (200, "not-reachable"), status
        assert status.took < WITHIN + LOAD
        lost = await guest.send("lost", headers={"Idempotency-Key": "k"})
        refused(lost, 502, "core-unreachable", code=503)
        assert [line["state"] for line in await guest.messages()] == ["failed"]
    await phone.go_online()
    again = await guest.send("lost", headers={"Idempotency-Key": "k"})
    assert (again.status, again.json["id"]) == (200, lost.json["message_id"]), again
    assert [line["state"] for line in await guest.messages()] == ["sent"], "the same message, not another one"
    assert [event.text for event in phone.events if event.kind == "message"] == ["lost"]
    assert (await guest.status()).json["status"] == "online"


async def test_a_chat_outlives_the_core(start: Start) -> None:
    """MSRP goes straight from end to end: only what needs SIP has to wait."""
    world = await start()
    phone = await world.phone("a")
    guest = await world.guest("a")
    await guest.say("before")
    async with core_down(world):
        await guest.say("meanwhile")
        await guest.wait_for_text("You said: meanwhile")
    assert len([event for event in phone.events if event.kind == "message"]) == 2
    assert len(world.sent("INVITE")) == 1


@EMBEDDED
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_silent_core(start: Start, transport: str) -> None:
    """Nothing is refused, nothing is answered: every wait has an end."""
    world = await start(QUICK)
    host, port = world.core.address
    proxy = f"sip:{host}:{port};transport="
    world.config_text = world.config_text.replace(f"{proxy}tcp", f"{proxy}{transport}")
    await world.stop_gateway()
    await world.start_gateway()
    ring_for(world, 0.7)
    phone = await world.phone("a", on_message="accept")
    guest, waiting = await world.guest("a"), await world.invite("a", "d@cc.com")
    assert isinstance(world.core, EmbeddedCore)
    faults = world.core.core.faults
    faults.set({"silent": True})
    login, second, status, sent = await asyncio.gather(
        waiting.login(), waiting.login(), guest.status(), guest.send("lost")
    )
    refused(login, 503, "unavailable")
    refused(second, 503, "unavailable")
    assert (status.status, status.json["status"]) == (200, "not-reachable")
    assert status.took < WITHIN + LOAD
    await final(guest, sent, "failed", code=408)
    assert not await world.core.is_registered("d")
    faults.set({})
    assert (await waiting.login()).status == 200
    await guest.say("arrives")
    assert (await phone.wait_for("message")).text == "arrives"
    assert len([line for line in ladder(world) if line.startswith("gateway > core: INVITE")]) >= 2


# the mail server


@EMBEDDED
@pytest.mark.parametrize("how", ["down", "busy"])
async def test_mail_server_down(start: Start, how: str) -> None:
    """The inviter sees that the link has not gone out yet, and why; it goes when the server is back."""
    world = await start("[delivery.retry]\nfirst = 0.1\nlongest = 0.2\n")
    a = world.inviter()
    if how == "down":
        await world.mailbox.stop_smtp()
    else:
        world.mailbox.set_faults({"data": "451 4.3.0 Try again later"})
    answer = await a.post(USER, {"email": "b@cc.com"})
    assert (answer.status, answer.json["state"], answer.json["delivery"]["state"]) == (201, "active", "queued"), answer
    assert answer.took < WITHIN + LOAD
    told = await a.wait_for_event(lambda event: "error" in event["invitation"]["delivery"], path=INVITER_EVENTS)
    delivery = told["invitation"]["delivery"]
    assert delivery["state"] == "queued"
    assert ("451" in delivery["error"]) == (how == "busy")
    assert world.mailbox.mails == []
    if how == "down":
        await world.mailbox.start_smtp()
    else:
        world.mailbox.set_faults({})
    guest = await world.guest_from_mail()
    await a.wait_for_event(lambda event: event["invitation"]["delivery"]["state"] == "sent", path=INVITER_EVENTS)
    assert len(world.mailbox.mails) == 1
    assert (await guest.login()).status == 200
    if how == "busy":
        assert shows(world, "451", "SMTP")


@EMBEDDED
async def test_mail_refused_for_good(start: Start) -> None:
    """A final refusal is told to the inviter; a resend tries again."""
    world = await start()
    a = world.inviter()
    world.mailbox.set_faults({"rcpt": "550 5.1.1 No such user"})
    assert (await a.post(USER, {"email": "b@cc.com"})).status == 201
    told = await a.wait_for_event(
        lambda event: event["invitation"]["delivery"]["state"] == "failed", path=INVITER_EVENTS
    )
    assert "550" in told["invitation"]["delivery"]["error"]
    assert shows(world, "550", "SMTP")
    world.mailbox.set_faults({})
    assert (await a.post(f"{USER}/sip:b@cc.com/resend")).status == 200
    assert (await (await world.guest_from_mail()).login()).status == 200


# A


async def test_a_offline(world: World) -> None:
    guest = await world.guest("a")
    assert (await guest.status()).json["status"] == "offline"
    answer = await guest.send("hello")
    refused(answer, 409, "peer-offline", code=480)
    assert answer.json["retryable"] and answer.json["message_id"]
    assert shows(world, "480")
    phone = await world.phone("a", on_message="accept")
    await guest.say("hello again")
    assert (await phone.wait_for("message")).text == "hello again"
    assert [line["state"] for line in await guest.messages()] == ["failed", "sent"]


@pytest.mark.parametrize(("code", "status", "type"), [(486, 409, "peer-busy"), (603, 403, "peer-declined")])
async def test_a_declines(world: World, code: int, status: int, type: str) -> None:
    phone = await world.phone("a", on_invite=code, on_message="accept")
    guest = await world.guest("a")
    refused(await guest.send("hello"), status, type, code=code)
    assert shows(world, f": {code} ")
    assert len(world.received("INVITE", actor="phone a")) == 1, "one message, one call"
    assert world.sent("ACK")
    phone.behave(on_invite="accept")
    await guest.say("hello again")
    assert (await phone.wait_for("message")).text == "hello again"


@pytest.mark.parametrize("how", ["ring", "ignore"])
async def test_a_never_answers(start: Start, how: str) -> None:
    """202 first; in the end the message has failed, and A's phone rings no more."""
    world = await start(QUICK)
    ring_for(world, 1.0)
    phone = await world.phone("a", on_invite=how, on_message="accept")
    guest = await world.guest("a")
    answer = await guest.send("hello")
    await final(guest, answer, "failed", code=408)
    await phone.wait_for("cancelled")
    assert shows(world, ": CANCEL")
    await eventually(lambda: world.received("SIP/2.0 487"))
    phone.behave(on_invite="accept")
    await guest.say("hello again")
    assert (await phone.wait_for("message")).text == "hello again"


@EMBEDDED
async def test_a_answers_late(start: Start) -> None:
    """What was pending is sent when A has made up their mind."""
    world = await start(QUICK)
    phone = await world.phone("a", on_invite="ask", on_message="accept")
    guest = await world.guest("a")
    answer = await guest.send("hello")
    assert answer.status == 202, answer
    phone.accept(guest.account)
    event = await guest.wait_for_event(lambda event: event["kind"] == "receipt")
    assert (event["receipt"]["id"], event["receipt"]["state"]) == (answer.json["id"], "sent")
    assert (await phone.wait_for("message")).text == "hello"


async def test_a_hangs_up_in_the_middle(start: Start) -> None:
    """BYE while a message is under way: it goes once more, by a new session (C-BR-12). After that nobody knows whether
    it was read, and we say so."""
    world = await start(QUICK)
    phone = await world.phone("a", on_message="ignore")
    guest = await world.guest("a")
    answer = await guest.send("did you get this?")
    first = await phone.wait_for("message")
    await phone.hang_up(guest.account)
    second = await phone.wait_for("message", after=first.serial)
    assert (second.id, second.text) == (first.id, first.text) == (answer.json["id"], "did you get this?")
    await phone.hang_up(guest.account)
    await final(guest, answer, "unknown", code=408)
    assert world.received("BYE")
    phone.behave(on_message="accept")
    await guest.say("hello again")
    assert len(world.sent("INVITE")) == 3
    phone.behave(on_message="hang-up")
    await guest.say("and goodbye")
    await phone.wait_for("closed", after=phone.events[-1].serial - 1)
    phone.behave(on_message="accept")
    await guest.say("one more")


async def test_connection_cut_in_the_middle_of_a_message(start: Start) -> None:
    """The retry with the same key goes over a new connection, and A gets the message once."""
    world = await start("[policy]\nmessage_wait = 2.5\n")
    phone = await phone_behind_cutter(world, on_message="accept", cut_after=100_000)
    guest = await world.guest("a")
    key = {"Idempotency-Key": "k"}
    cut = await guest.send(MSRP_TEXT, headers=key)
    refused(cut, 504, "upstream-timeout", code=408)
    assert cut.json["sip"]["protocol"] == "MSRP" and cut.json["retryable"]
    assert [line["state"] for line in await guest.messages()] == ["unknown"]
    assert [event for event in phone.events if event.kind == "message"] == []
    assert shows(world, "SEND", "MSRP") and world.sent("BYE"), "the dialog ends with its connection"
    phone.behave(cut_after=None)
    again = await guest.send(MSRP_TEXT, headers=key)
    assert (again.status, again.json) == (200, {"id": cut.json["message_id"], "state": "sent"}), again
    [arrived] = [event for event in phone.events if event.kind == "message"]
    assert arrived.text == MSRP_TEXT
    assert [line["state"] for line in await guest.messages()] == ["sent"]


@EMBEDDED
async def test_connection_cut_between_messages(world: World) -> None:
    phone = await phone_behind_cutter(world, on_message="accept")
    guest = await world.guest("a")
    await guest.say("first")
    assert phone.cutter is not None
    phone.cutter.cut()
    await phone.wait_for("closed")
    await eventually(lambda: world.sent("BYE") or world.received("BYE"))
    await guest.say("second")
    assert [event.text for event in phone.events if event.kind == "message"] == ["first", "second"]


@EMBEDDED
@pytest.mark.parametrize(
    ("code", "status", "type"), [(413, 413, "too-large"), (415, 415, "media-refused"), (403, 403, "upstream-forbidden")]
)
async def test_a_refuses_a_message(world: World, code: int, status: int, type: str) -> None:
    """The chat stays: what was refused is one message."""
    phone = await world.phone("a", on_message=code)
    guest = await world.guest("a")
    answer = await guest.send("hello")
    refused(answer, status, type, code=code)
    assert answer.json["sip"]["protocol"] == "MSRP"
    assert shows(world, f"{code}", "MSRP")
    phone.behave(on_message="accept")
    await guest.say("hello again")
    assert len(world.sent("INVITE")) == 1
    assert [line["state"] for line in await guest.messages()] == ["failed", "sent"]


@EMBEDDED
async def test_a_never_answers_a_message(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 seconds by the standard, less here: then the outcome is unknown."""
    monkeypatch.setattr(outbox, "RESPONSE_TIMEOUT", 0.8)
    world = await start(QUICK)
    phone = await world.phone("a", on_message="ignore")
    guest = await world.guest("a")
    await final(guest, await guest.send("hello?"), "unknown", code=408)
    phone.behave(on_message="accept")
    await guest.say("hello again")


@EMBEDDED
@pytest.mark.full
async def test_the_longest_waits(start: Start) -> None:
    """Nothing is shortened: a phone that rings for ever, and one that takes a message without a word."""
    world = await start()
    await world.phone("a", on_invite="ring")
    await world.phone("c", on_message="ignore")
    guest, other = await world.guest("a"), await world.guest("c", "d@cc.com")
    rings, silence = await asyncio.gather(guest.send("hello?"), other.send("hello?", "sip:c@cc.com"))
    assert rings.status == silence.status == 202
    outcomes = await asyncio.gather(
        *(who.http.wait_for_event(lambda event: event["kind"] == "receipt", timeout=35) for who in (guest, other))
    )
    assert [(event["receipt"]["state"], event["receipt"]["cause"]["code"]) for event in outcomes] == [
        ("failed", 408),
        ("unknown", 408),
    ]


# passwords


async def test_the_core_refuses_the_password(world: World) -> None:
    guest = await world.invite("a")
    with wrong_password(world, "b"):
        refused(await guest.login(), 502, "upstream-auth", code=401)
        assert shows(world, "REGISTER") and shows(world, ": 401")
        assert world.gateway is not None and len(world.gateway.guests) == 0
    assert (await guest.login()).status == 200


@EMBEDDED
async def test_wrong_passwords_of_people(world: World) -> None:
    guest = await world.invite("a")
    before = len(world.sent("REGISTER"))
    wrong = world.http(guest.user, "wrong")
    refused(await wrong.post(guest.session), 401, "not-authenticated")
    refused(await wrong.get("/rcsgw/invitee/status/a"), 401, "not-authenticated")
    refused(await world.http("a", "wrong").get(USER), 401, "not-authenticated")
    assert len(world.sent("REGISTER")) == before, "the core is not asked"
    assert (await guest.login()).status == 200
    assert (await world.inviter().get(USER)).status == 200


# the IM server


@EMBEDDED
async def test_im_server_refuses_an_account(world: World) -> None:
    """Second registration refused for good: A is told, and what was done is undone."""
    world.im_server.faults.set({"answers": {"REGISTER": 403}})
    answer = await world.inviter().post(USER, {"email": "b@cc.com"})
    refused(answer, 403, "upstream-forbidden", code=403)
    await eventually(lambda: not world.rows("account"))
    assert "b" not in world.core.accounts() and world.mailbox.mails == []
    assert shows(world, ": 403")
    world.im_server.faults.set({})
    await world.guest("a")


@EMBEDDED
@pytest.mark.parametrize("faults", [{"answers": {"REGISTER": 503}}, {"silent": ["REGISTER"]}], ids=["503", "silent"])
async def test_im_server_cannot_now(start: Start, faults: dict[str, object]) -> None:
    """A gets 202, and the link follows when the server is back."""
    interaction = "[provisioning.retry]\nfirst = 0.1\nlongest = 0.2\n"
    world = await start(interaction, more_interaction__sip="timeout = 1")
    world.im_server.faults.set(faults)
    answer = await world.inviter().post(USER, {"email": "b@cc.com"})
    assert (answer.status, answer.json["state"]) == (202, "preparing"), answer
    assert answer.took < WITHIN + LOAD
    world.im_server.faults.set({})
    assert (await (await world.guest_from_mail()).login()).status == 200


async def test_im_server_refuses_a_chat(world: World) -> None:
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    world.im_server.faults.set({"answers": {"INVITE": 403}})
    refused(await guest.send("hello"), 403, "upstream-forbidden", code=403)
    assert shows(world, "im server > ") and shows(world, ": 403")
    assert phone.events[-1].kind == "registered", "A has heard nothing of it"
    world.im_server.faults.set({"answers": {"INVITE": 500}})
    refused(await guest.send("hello"), 502, "upstream-error", code=500)
    world.im_server.faults.set({})
    await guest.say("hello again")


@EMBEDDED
async def test_im_server_refuses_at_the_first_message(start: Start) -> None:
    world = await start(interaction='driver = "sip"\nregister_at = "first_message"')
    await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    world.im_server.faults.set({"answers": {"REGISTER": 403}})
    refused(await guest.send("hello"), 403, "upstream-forbidden", code=403)
    assert world.sent("INVITE") == []
    world.im_server.faults.set({})
    await guest.say("hello again")
    assert "sip:b@cc.com" in world.im_server.accounts
