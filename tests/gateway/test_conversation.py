"""The chats of one conversation: closed when idle, opened again, crossing, ringing; with fakes for the network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from gateway import idle, ringing
from gateway.guest import GuestSession
from gateway.services import UpstreamRefused
from sipstack.errors import RequestFailed
from sipstack.msrp.message import IncomingMessage, MessageState
from sipstack.net.chat import ChatHandler, ChatSession
from sipstack.net.chatmessage import ChatMessage
from sipstack.net.invitation import IncomingInvitation
from sipstack.net.useragent import UserAgent
from sipstack.sdp_msrp import MediaRefused
from sipstack.sip.uri import Uri
from tests.gateway.guest_helpers import (
    FakeChat,
    FakeIncoming,
    House,
    listen,
    refusal,
    send,
    send_in_haste,
    states,
    turns,
)
from translators.model import ComposingRequest
from translators.status import WARNINGS


async def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


class Call:
    """An invitation of the inviter to a chat."""

    def __init__(self, uid: str = "a") -> None:
        self.asserted = (Uri.parse(f"sip:{uid}@cc.com"),)
        self.first_message = None
        self.conversation_id = ""
        self.is_anonymous = False
        self.services = ()
        self.on_cancel: Any = None
        self.rings = 0
        self.status: int | None = None
        self.chat: FakeChat | None = None

    def ring(self) -> None:
        self.rings += 1

    def answer(self, handler: ChatHandler) -> FakeChat:
        self.status, self.chat = 200, FakeChat(handler)
        return self.chat

    def reject(self, status: int, reason: str | None = None) -> None:
        self.status = self.status or status


def call(house: House, guest: GuestSession) -> Call:
    """Let the inviter open a chat."""
    made = Call()
    guest.chat_invited(cast(UserAgent, house.agent), cast(IncomingInvitation, made))
    return made


def write(guest: GuestSession, chat: FakeChat, text: str, message_id: str) -> FakeIncoming:
    """Let a message of the inviter come by ``chat``."""
    incoming = FakeIncoming(text, message_id)
    message = ChatMessage(cast(IncomingMessage, incoming))
    guest.conversation(guest.relations["a"]).chat_message(cast(ChatSession, chat), message)
    return incoming


def end(chat: FakeChat, *left: MessageState) -> None:
    """Let a chat end that leaves its last messages undecided, as the stack tells of it."""
    undecided = chat.sent[-len(left) :] if left else []
    for message, state in zip(undecided, left, strict=True):
        message.settle(state)
    chat.handler.chat_closed(cast(ChatSession, chat), "remote", None)


# idle


async def test_an_idle_chat_is_closed_and_opened_again() -> None:
    """B-CHT-13: after some time without messages; the guest notices nothing."""
    house = House(chat_idle=0.05)
    guest = await house.login()
    heard = listen(guest)
    await send(guest, "one")
    (first,) = house.agent.chats
    await until(lambda: first.closed)
    assert first.closed == ["idle"]
    assert guest.relations["a"].conversation is not None and guest.relations["a"].conversation.open_chats == 0
    answer = await send(guest, "two")
    assert answer.state == "sent" and [message.body for message in house.agent.chats[1].sent] == ["two"]
    assert [event for event in heard if event is not None and event.kind == "session"] == []
    await guest.close("logout", final=True)


async def test_what_goes_through_a_chat_keeps_it_open() -> None:
    """B-CHT-13: messages of either side count, and one that is under way is waited for."""
    house = House(chat_idle=0.15)
    guest = await house.login()
    await send(guest, "one")
    (chat,) = house.agent.chats
    for number in range(4):
        await asyncio.sleep(0.06)
        if number % 2:
            write(guest, chat, "hello", f"m{number}")
        else:
            await send(guest, "hello")
        assert not chat.closed
    chat.answer = None
    await send_in_haste(house, guest, "slow")
    await asyncio.sleep(0.3)
    assert not chat.closed
    chat.sent[-1].settle(MessageState.SENT, 200)
    await until(lambda: chat.closed)


async def test_chats_stay_open_where_nobody_closes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "SPARE_IDLE", 0.01)
    house = House(chat_idle=0.0)
    guest = await house.login()
    call(house, guest)
    second = call(house, guest)
    await asyncio.sleep(0.05)
    conversation = guest.conversation(guest.relations["a"])
    assert conversation.open_chats == 2 and cast(object, conversation.chat) is second.chat


# both sides at the same time


async def test_of_two_chats_that_crossed_one_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    """B-CHT-12: all are accepted, the newest is written by, and the one that nobody uses is closed."""
    monkeypatch.setattr(idle, "SPARE_IDLE", 0.5)
    house = House(chat_idle=5.0)
    guest = await house.login()
    house.agent.gate.clear()
    sending = asyncio.ensure_future(send(guest, "from b"))
    await turns()
    theirs = call(house, guest)
    assert theirs.status == 200 and theirs.chat is not None
    await sending
    assert [message.body for message in theirs.chat.sent] == ["from b"], "what waited goes by the chat that is there"
    house.agent.gate.set()
    await until(lambda: house.agent.chats)
    (ours,) = house.agent.chats
    await turns()
    conversation = guest.conversation(guest.relations["a"])
    assert conversation.open_chats == 2 and conversation.chat is cast(object, ours)
    # A writes by theirs: so do we.
    assert write(guest, theirs.chat, "from a", "m1").answer is None
    await send(guest, "answer")
    assert [message.body for message in theirs.chat.sent] == ["from b", "answer"]
    await until(lambda: ours.closed)
    assert ours.closed == ["idle"] and not theirs.chat.closed and conversation.open_chats == 1
    assert [row.body for row in house.store.sorted() if row.kind == "message"] == ["from b", "from a", "answer"]
    await guest.close("logout", final=True)


# chats that end in the middle


@pytest.mark.parametrize("state", [MessageState.UNKNOWN, MessageState.FAILED])
async def test_what_a_chat_leaves_undecided_goes_by_the_next_one(state: MessageState) -> None:
    """C-BR-12: at least once, with the same id; the guest sees it sent."""
    house = House()
    guest = await house.login()
    house.agent.chat_answer = None
    sending = [asyncio.ensure_future(send(guest, text)) for text in ("one", "two")]
    await until(lambda: house.agent.chats and len(house.agent.chats[0].sent) == 2)
    (first,) = house.agent.chats
    house.agent.chat_answer = MessageState.SENT, 200
    end(first, state, state)
    answers = await asyncio.gather(*sending)
    assert [answer.state for answer in answers] == ["sent", "sent"]
    second = house.agent.chats[1]
    assert [(message.body, message.message_id) for message in second.sent] == [
        (message.body, message.message_id) for message in first.sent
    ]
    assert [row.state for row in house.store.sorted() if row.kind == "message"] == ["sent", "sent"]


async def test_it_goes_by_another_chat_that_is_open() -> None:
    house = House()
    guest = await house.login()
    house.agent.chat_answer = None
    sending = asyncio.ensure_future(send(guest, "one"))
    await until(lambda: house.agent.chats and house.agent.chats[0].sent)
    other = call(house, guest)
    end(house.agent.chats[0], MessageState.FAILED)
    assert (await sending).state == "sent"
    assert other.chat is not None and [message.body for message in other.chat.sent] == ["one"]
    assert house.agent.invites == 1


@pytest.mark.parametrize(("state", "outcome"), [(MessageState.UNKNOWN, "unknown"), (MessageState.FAILED, "failed")])
async def test_once_more_and_no_further(state: MessageState, outcome: str) -> None:
    """What may have arrived is unknown and never failed; a message is not sent for ever."""
    house = House()
    guest = await house.login()
    house.agent.chat_answer = None
    sending = asyncio.ensure_future(send(guest, "one"))
    await until(lambda: house.agent.chats and house.agent.chats[0].sent)
    if outcome == "unknown":
        house.agent.failure = refusal(486)
        end(house.agent.chats[0], state)
    else:
        end(house.agent.chats[0], state)
        await until(lambda: len(house.agent.chats) == 2 and house.agent.chats[1].sent)
        end(house.agent.chats[1], state)
    with pytest.raises(UpstreamRefused):
        await sending
    assert [row.state for row in house.store.sorted()] == [outcome]
    assert house.agent.invites == 2


async def test_a_chat_that_never_had_a_connection_is_not_tried_again() -> None:
    house = House()
    guest = await house.login()
    house.agent.chat_answer = None
    sending = asyncio.ensure_future(send(guest, "one"))
    await until(lambda: house.agent.chats and house.agent.chats[0].sent)
    house.agent.chats[0].was_connected = False
    end(house.agent.chats[0], MessageState.FAILED)
    with pytest.raises(UpstreamRefused):
        await sending
    assert house.agent.invites == 1


async def test_nothing_is_opened_for_a_guest_who_has_gone() -> None:
    house = House()
    guest = await house.login()
    house.agent.chat_answer = None
    heard = listen(guest)
    answer = await send_in_haste(house, guest, "one")
    await guest.close("logout", final=True)
    await turns()
    assert house.agent.invites == 1 and (answer.id, "unknown") in states(heard)


# when to accept


@pytest.mark.parametrize(
    ("mode", "works"),
    [
        ("at-once", ""),
        ("open", "open"),
        ("open", "typing"),
        ("typing", "typing"),
        ("typing", "message"),
        ("message", "message"),
    ],
)
async def test_when_a_chat_of_the_inviter_is_accepted(mode: str, works: str) -> None:
    """B-CHT-10: at once, or 180 until the guest opens the conversation, types, or writes."""
    house = House(chat_answer=mode)
    guest = await house.login()
    heard = listen(guest)
    theirs = call(house, guest)
    if mode == "at-once":
        assert (theirs.status, theirs.rings) == (200, 0)
        return
    assert (theirs.status, theirs.rings) == (None, 1)
    await turns()
    (told,) = [event.session for event in heard if event is not None and event.session is not None]
    assert (told.state, told.uid) == ("ringing", "a")
    steps = ("open", "typing", "message")
    if works != "open" and mode != "open":
        await guest.messages("a", None, 10)
        assert theirs.status is None, "to look is not enough"
    assert steps.index(works) >= steps.index(mode)
    if works == "open":
        await guest.messages("a", None, 10)
    elif works == "typing":
        guest.composing(ComposingRequest(to="a", state="active"))
    else:
        await send(guest, "hello")
        assert theirs.chat is not None and [message.body for message in theirs.chat.sent] == ["hello"]
        assert house.agent.invites == 0
    assert theirs.status == 200
    assert call(house, guest).status == 200, "who has one chat open may open another"
    await guest.close("logout", final=True)


async def test_ringing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """B-CHT-10: 480 when the guest does nothing, 486 when too many ring; a caller may give up."""
    monkeypatch.setattr(ringing, "RINGING_LIMIT", 3)
    house = House(chat_answer="message", ring_timeout=0.05)
    guest = await house.login()
    patient, gone, waiting, busy = (call(house, guest) for _ in range(4))
    assert busy.status == 486
    gone.on_cancel(gone)
    await until(lambda: patient.status == waiting.status == 480)
    assert gone.status is None
    house = House(chat_answer="open")
    guest = await house.login()
    last = call(house, guest)
    await guest.close("logout", final=True)
    assert last.status == 480


# what the other side cannot do


def cannot(warning: str) -> RequestFailed:
    """Return a refusal of a chat that says why."""
    failed = refusal(488)
    failed.response.headers.add("Warning", warning)
    return failed


async def test_a_refusal_is_told_in_words() -> None:
    """A-UAS-11: what is missing stands in the problem, and in the event where nobody waits for the answer any more."""
    house = House()
    guest = await house.login()
    heard = listen(guest)
    house.agent.failure = cannot('304 phone "chats are off"')
    house.agent.answer_page = lambda page: 405
    with pytest.raises(UpstreamRefused) as caught:
        await send(guest, "hello")
    assert (caught.value.status, caught.value.type) == (422, "unsupported-by-peer")
    words = f"The network answered 488 Not Acceptable Here. {WARNINGS[304]} It says: “chats are off”."
    assert caught.value.detail == words
    house.agent.gate.clear()
    guest.conversation(guest.relations["a"]).pager._refusal = None
    pending = await send_in_haste(house, guest, "hello again")
    assert pending.state == "pending"
    house.agent.gate.set()
    await until(lambda: (pending.id, "failed") in states(heard))
    (told,) = [
        event.receipt for event in heard if event is not None and event.receipt and event.receipt.id == pending.id
    ]
    assert told.detail == words and told.cause is not None and told.cause.warning is not None
    assert told.cause.warning[0].text == "chats are off"


async def test_an_answer_of_no_use_is_told_in_words() -> None:
    """The peer has accepted, but by a session description that cannot be used."""
    house = House()
    guest = await house.login()
    house.agent.failure = MediaRefused("TCP/TLS/MSRP is not supported", 302)
    with pytest.raises(UpstreamRefused) as caught:
        await send(guest, "hello")
    assert (caught.value.status, caught.value.type) == (422, "unsupported-by-peer")
    assert "TCP/TLS/MSRP is not supported" in caught.value.detail
    assert caught.value.sip is not None and caught.value.sip.warning is not None
    assert caught.value.sip.warning[0].code == 302


async def test_a_chat_of_the_inviter_that_does_not_fit_is_told_in_words() -> None:
    """The inviter gets 488 with a Warning, the guest learns that there was an attempt, and why it failed."""
    house = House()
    guest = await house.login()
    heard = listen(guest)
    made = Call()

    def answer(handler: ChatHandler) -> FakeChat:
        raise MediaRefused("none of our media types is in accept-types image/png")

    made.answer = answer  # type: ignore[method-assign]  # it never gives a chat
    guest.chat_invited(cast(UserAgent, house.agent), cast(IncomingInvitation, made))
    await turns()
    (told,) = [event.session for event in heard if event is not None and event.session is not None]
    assert (told.state, told.uid) == ("refused", "a")
    assert told.reason == "none of our media types is in accept-types image/png"
