"""The chats beneath a conversation: closed when idle, opened by either side or both, moved and mended as they run."""

from __future__ import annotations

import asyncio
import re

import pytest

from gateway import idle
from gateway.lab.pages import SentPage
from sipstack.msrp.message import OutgoingMessage
from tests.e2e.client import kind
from tests.e2e.conftest import Start
from tests.e2e.trouble import phone_behind_cutter
from tests.e2e.world import World, eventually

IDLE = '[chat]\nidle = "300ms"\n'
BIG = "0123456789abcdef" * 60_000
EMBEDDED = pytest.mark.parametrize("core", ["embedded"])


def headers(messages: list[str], name: str) -> list[str]:
    """Return the values of a header in SIP messages."""
    return [found[1] for text in messages if (found := re.search(rf"(?mi)^{name}: *(.*?)\r?$", text))]


def first_invites(world: World) -> list[str]:
    """Return the gateway's INVITEs that begin dialogs, each once."""
    first = [text for text in world.sent("INVITE") if ";tag=" not in headers([text], "To")[0]]
    return list({headers([text], "Call-ID")[0]: text for text in first}.values())


async def test_an_idle_chat_is_opened_again_and_nobody_notices(start: Start) -> None:
    """B-CHT-13, B-CHT-01: BYE after inactivity; the next text opens a new session of the same conversation."""
    world = await start(IDLE)
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    await guest.say("one")
    await phone.wait_for("closed")
    [bye] = world.sent("BYE")
    assert headers([bye], "Reason") == ['SIP;cause=200;text="idle"']
    await guest.say("two")
    assert [event.text for event in phone.events if event.kind == "message"] == ["one", "two"]
    invites = first_invites(world)
    assert len(invites) == 2
    conversations, contributions = headers(invites, "Conversation-ID"), headers(invites, "Contribution-ID")
    assert conversations[0] == conversations[1] and contributions[0] != contributions[1]
    events = await guest.http.events()
    assert [event["kind"] for event in events] == ["message", "message"], "the guest hears of messages only"
    # A's turn: the chat that A's phone opens next is one of the same conversation for us.
    await eventually(lambda: not phone.chats)
    assert (await phone.say("sip:b@cc.com", "three")).state.value == "sent"
    await guest.wait_for_text("three")


async def test_both_sides_invite_at_the_same_time(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """B-CHT-12: both INVITEs are accepted, all messages arrive in order, and one chat survives."""
    monkeypatch.setattr(idle, "SPARE_IDLE", 0.5)
    world = await start()
    phone = await world.phone("a", on_message="accept", delay=0.3)
    guest = await world.guest("a")

    async def say_while_invited() -> OutgoingMessage | SentPage:
        await eventually(lambda: first_invites(world))
        return await phone.say("sip:b@cc.com", "from a")

    from_a = asyncio.create_task(say_while_invited())
    from_b = []
    for text in ("from b", "from b again", "and again"):
        from_b.append(asyncio.create_task(guest.send(text)))
        # requests at the same time come in any order
        while len([line for line in await guest.messages() if line["direction"] == "out"]) < len(from_b):
            await asyncio.sleep(0.01)
    answers = await asyncio.gather(*from_b)
    assert len(first_invites(world)) == 1 and len(world.received("INVITE")) == 1, "they crossed"
    assert {answer.status for answer in answers} == {200}, answers
    assert (await from_a).state.value == "sent"
    await guest.wait_for_text("from a")
    assert world.gateway is not None
    [session] = world.gateway.guests._by_account.values()
    conversation = session.relations["a"].conversation
    assert conversation is not None
    await eventually(lambda: conversation.open_chats == 1)
    await eventually(lambda: world.sent("BYE") or world.received("BYE"))
    for number in range(3):
        await guest.say(f"b {number}")
        assert (await phone.say("sip:b@cc.com", f"a {number}")).state.value == "sent"
    assert sorted(event.text for event in phone.events if event.kind == "message") == sorted(
        ["from b", "from b again", "and again", "b 0", "b 1", "b 2"]
    )
    lines = [line["message"] for line in await guest.messages()]
    assert [line for line in lines if line.startswith(("from a", "a "))] == ["from a", "a 0", "a 1", "a 2"]
    assert [line for line in lines if line.startswith("from b") or line == "and again"] == [
        "from b",
        "from b again",
        "and again",
    ]


async def test_messages_wait_in_order_while_it_rings(start: Start) -> None:
    """B-CHT-11: after 180 further texts are queued; the 200 sends them all."""
    world = await start("[policy]\nmessage_wait = 0.2\n")
    phone = await world.phone("a", on_invite="ask", on_message="accept")
    guest = await world.guest("a")
    answers = [await guest.send(text) for text in ("one", "two", "three")]
    assert [answer.status for answer in answers] == [202, 202, 202]
    assert len(first_invites(world)) == 1 and world.received("SIP/2.0 180")
    phone.accept(guest.account)
    for answer in answers:
        event = await guest.wait_for_event(kind("receipt", id=answer.json["id"]))
        assert event["receipt"]["state"] == "sent"
    assert [event.text for event in phone.events if event.kind == "message"] == ["one", "two", "three"]


async def test_a_chat_of_a_rings_until_the_guest_writes(start: Start) -> None:
    """B-CHT-10: 180, then 200 when the guest sends something."""
    world = await start('[chat]\nanswer = "message"\n')
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    saying = asyncio.ensure_future(phone.say("sip:b@cc.com", "are you there?"))
    event = await guest.wait_for_event(kind("session", uid="a"))
    assert event["session"]["state"] == "ringing"
    assert world.sent("SIP/2.0 180") and not saying.done()
    await guest.say("yes")
    assert (await saying).state.value == "sent"
    await guest.wait_for_text("are you there?")
    assert world.sent("INVITE") == [] and (await phone.wait_for("message")).text == "yes"


async def test_a_lost_connection_is_mended_in_the_middle_of_a_message(world: World) -> None:
    """C-SET-05, C-BR-12: a re-INVITE with new paths, the rest under the same Message-ID, one message at the peer."""
    phone = await phone_behind_cutter(world, on_message="accept")
    guest = await world.guest("a")
    await guest.say("first")
    assert phone.cutter is not None
    phone.cutter.cut()
    await guest.say("second")
    await eventually(lambda: len(world.sent("INVITE")) + len(world.received("INVITE")) >= 2)
    assert len(first_invites(world)) == 1, "the same dialog"
    phone.cutter.cuts.append(400_000)
    answer = await guest.send(BIG)
    assert (answer.status, answer.json["state"]) == (200, "sent"), answer
    assert [event.text for event in phone.events if event.kind == "message"] == ["first", "second", BIG]
    big = [text for text in world.sent("MSRP", protocol="MSRP") if answer.json["id"] in text]
    assert big, "the same Message-ID"
    assert not world.sent("BYE") and not world.received("BYE")
    assert [line["state"] for line in await guest.messages()] == ["sent"] * 3


async def test_a_moves_the_chat(world: World) -> None:
    """C-SES-01, C-SET-05: the phone offers a new path while messages go both ways."""
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    await guest.say("first")
    [chat] = phone.chats.values()
    former = chat.msrp
    sending = asyncio.ensure_future(guest.send(BIG))
    saying = asyncio.ensure_future(phone.say(guest.account, BIG))
    await asyncio.sleep(0)
    chat.renegotiate()
    assert (await sending).json["state"] == "sent" and (await saying).state.value == "sent"
    await eventually(lambda: chat.msrp is not former and former.closed)
    await guest.say("last")
    assert [event.text for event in phone.events if event.kind == "message"] == ["first", BIG, "last"]
    assert len(world.received("INVITE")) == 1 and not world.sent("BYE")


@pytest.mark.parametrize("code", [488, 606])
async def test_what_a_cannot_do_is_told_in_words(start: Start, code: int) -> None:
    """A-UAS-11: neither a chat nor a page: the problem says what is missing."""
    world = await start()
    await world.phone("a", on_invite=code, on_message=405, sessions=False)
    guest = await world.guest("a")
    answer = await guest.send("hello")
    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (422, "unsupported-by-peer"), answer
    assert "The other side" in answer.json["detail"], answer.json
