"""Receipts and typing of a guest: D-IMD-06, D-IMD-10, D-IMD-11, D-IMD-14, D-ISC-02 to D-ISC-04."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from gateway.asked import Asked
from gateway.composing import Composing
from gateway.guest import GuestSession
from gateway.receipts import way_back
from gateway.services import NotFound
from gateway.storage.store import Store
from sipstack.im.cpim import IMDN, CpimMessage, CpimTemplate
from sipstack.im.imdn import CONTENT_TYPE, RCS_REQUEST, Disposition, Imdn, ImdnRequest
from sipstack.im.iscomposing import CONTENT_TYPE as COMPOSING
from sipstack.im.iscomposing import ComposingState, IsComposing
from sipstack.msrp.message import IncomingMessage, MessageState
from sipstack.net.chatmessage import ChatMessage
from sipstack.sip.uri import Uri
from tests.gateway.guest_helpers import (
    FakeAgent,
    FakeIncoming,
    House,
    SentPage,
    deliver,
    listen,
    relation,
    send,
    send_in_haste,
    states,
    turns,
)
from translators.model import ComposingRequest, Event, ReceiptRequest

ACTIVE, IDLE = ComposingState.ACTIVE, ComposingState.IDLE


@pytest.fixture
async def house() -> House:
    return House()


@pytest.fixture
async def guest(house: House) -> GuestSession:
    return await house.login()


def told(id: str, state: str) -> FakeIncoming:
    """Return a notification about a message of the guest."""
    about = {"delivered": ("delivery", Disposition.DELIVERED), "displayed": ("display", Disposition.DISPLAYED)}
    kind, disposition = about.get(state, ("delivery", Disposition(state)))
    body = bytes(Imdn(id, kind, disposition))  # type: ignore[arg-type]  # a Literal out of a table
    return FakeIncoming(body.decode(), "n1", CONTENT_TYPE)


def asking(*headers: tuple[str, str], id: str = "m1") -> FakeIncoming:
    """Return a message of an inviter who wants to know what becomes of it."""
    template = CpimTemplate("sip:a@cc.com", "sip:b@cc.com", headers=headers or [RCS_REQUEST])
    octets = template.render("text/plain", b"hello", datetime="2026-11-22T10:15:30Z", message_id=id)
    return FakeIncoming(octets.decode(), "msrp1", "message/cpim")


def stored(house: House) -> list[tuple[str, str]]:
    """Return text and state of all messages in the store."""
    return [(entry.body, entry.state) for entry in house.store.sorted() if entry.kind == "message"]


def reported(heard: Sequence[Event | None]) -> list[tuple[str, str]]:
    """Return id and state of all receipts but those of the answer to the message itself."""
    return [receipt for receipt in states(heard) if receipt[1] != "sent"]


class Paging:
    """Takes the SIP MESSAGEs of a guest's user agent."""

    def __init__(self, guest: GuestSession) -> None:
        self._agent = cast(FakeAgent, guest.agent)
        self._agent.answer_page = self._answer
        self.status = 200

    def _answer(self, page: SentPage) -> int:
        assert page.content_type == "message/cpim"
        return self.status

    @property
    def sent(self) -> list[CpimMessage]:
        """What was sent, out of its SIP."""
        return [CpimMessage.parse(page.body) for page in self._agent.pages]

    @property
    def pages(self) -> list[SentPage]:
        """What was sent, as it was."""
        return self._agent.pages

    def said(self) -> list[tuple[str, str]]:
        """Return id and disposition of each notification."""
        return [(imdn.message_id, imdn.disposition.value) for imdn in (Imdn.parse(item.content) for item in self.sent)]


# about the guest's messages


async def test_states_go_up_only(house: House, guest: GuestSession) -> None:
    # D-IMD-14
    heard = listen(guest)
    id = (await send(guest, "hello")).id
    assert house.agent.chats[0].sent[0].notify
    for state in ("forbidden", "delivered", "displayed", "delivered", "failed", "error", "forbidden"):
        assert deliver(guest, told(id, state)).answer == 200
        await turns()
    assert reported(heard) == [(id, "delivered"), (id, "displayed")]
    assert stored(house) == [("hello", "displayed")]
    assert (await guest.messages(None, None, 9)).messages[0].state == "displayed"


async def test_displayed_without_delivered(house: House, guest: GuestSession) -> None:
    # D-IMD-14
    heard = listen(guest)
    id = (await send(guest, "hello")).id
    for state in ("displayed", "delivered"):
        deliver(guest, told(id, state))
        await turns()
    assert reported(heard) == [(id, "displayed")]


async def test_a_notification_quicker_than_the_answer(house: House, guest: GuestSession) -> None:
    house.agent.chat_answer = None
    heard = listen(guest)
    sending = asyncio.ensure_future(send(guest, "hello"))
    await turns()
    message = house.agent.chats[0].sent[0]
    deliver(guest, told(message.message_id, "delivered"))
    assert (await sending).state == "sent"
    message.settle(MessageState.SENT, 200)
    await turns()
    assert stored(house) == [("hello", "delivered")], "never back to sent"
    assert states(heard) == [(message.message_id, "delivered")]


async def test_a_notification_resolves_unknown(house: House, guest: GuestSession) -> None:
    house.agent.chat_answer = None
    heard = listen(guest)
    id = (await send_in_haste(house, guest, "hello")).id
    house.agent.chats[0].sent[0].settle(MessageState.UNKNOWN, 408)
    deliver(guest, told(id, "delivered"))
    await turns()
    assert reported(heard) == [(id, "unknown"), (id, "delivered")]


async def test_a_failure_told_later_counts_until_it_is_delivered(house: House, guest: GuestSession) -> None:
    heard = listen(guest)
    one, two = (await send(guest, "one")).id, (await send(guest, "two")).id
    deliver(guest, told(two, "delivered"))
    for id in (one, two):
        deliver(guest, told(id, "failed"))
    await turns()
    assert reported(heard) == [(two, "delivered"), (one, "failed")]


async def test_what_only_the_store_remembers(house: House, guest: GuestSession) -> None:
    # D-IMD-10: late, and of another chat
    heard = listen(guest)
    id = (await send(guest, "hello")).id
    house.agent.chats[0].sent.clear()
    for about in ((id, "delivered"), ("nobody", "delivered"), (id, "displayed"), (id, "delivered")):
        assert deliver(guest, told(*about)).answer == 200
        await turns()
    assert reported(heard) == [(id, "delivered"), (id, "displayed")]
    assert stored(house) == [("hello", "displayed")]
    house.store.broken = True
    assert deliver(guest, told(id, "displayed")).answer == 200
    await turns()


async def test_a_notification_before_the_message_is_repeated(house: House, guest: GuestSession) -> None:
    """What was sent by the process before this one may be reported while it waits for a new chat."""
    await send(guest, "first")
    house.agent.gate.clear()
    conversation = guest.conversation(guest.relations["a"])
    conversation.chat = None
    sending = asyncio.ensure_future(send(guest, "again", "k"))
    await turns()
    id = house.store.sorted()[-1].id
    deliver(guest, told(id, "delivered"))
    assert (await sending).state == "sent"
    house.agent.gate.set()
    await turns()
    assert house.agent.chats[-1].sent == [], "nobody needs it any more"


async def test_somebody_elses_notification_does_not_count(house: House, guest: GuestSession) -> None:
    guest.relate(relation("c", id=2))
    id = (await send(guest, "hello")).id
    house.agent.chats[0].sent.clear()
    deliver(guest, told(id, "displayed"), uid="c")
    await turns()
    assert stored(house) == [("hello", "sent")]


async def test_nonsense_is_refused(guest: GuestSession) -> None:
    assert deliver(guest, FakeIncoming("<x/>", "m", CONTENT_TYPE)).answer == 400
    assert deliver(guest, FakeIncoming("no", "m", COMPOSING)).answer == 400
    assert deliver(guest, FakeIncoming("x", "m", "image/png")).answer == 415


# about the inviter's messages


async def test_delivered_follows_the_commit_and_displayed_the_guest(house: House, guest: GuestSession) -> None:
    # D-IMD-06, D-IMD-11: no chat is open, so by SIP MESSAGE
    heard = listen(guest)
    paging = Paging(guest)
    house.store.holds = True
    deliver(guest, asking())
    await turns()
    assert paging.sent == []
    house.store.holds = False
    house.store.commit()
    await turns()
    assert paging.said() == [("m1", "delivered")]
    assert paging.sent[0].from_.uri == "sip:b@cc.com" and paging.sent[0].imdn_message_id != "m1"
    deliver(guest, asking())
    await turns()
    assert len(paging.sent) == 1, "a repeat is not reported again"
    for _ in range(2):
        await guest.receipt(ReceiptRequest(id="m1"))
    await turns()
    assert paging.said() == [("m1", "delivered"), ("m1", "displayed")]
    assert reported(heard) == [("m1", "displayed")], "for the guest's other tabs"
    assert stored(house) == [("hello", "displayed")]
    assert guest.feed.unread_count == 0


async def test_who_does_not_ask_is_not_told(house: House, guest: GuestSession) -> None:
    paging = Paging(guest)
    deliver(guest, FakeIncoming("hello"))
    await turns()
    await guest.receipt(ReceiptRequest(id="m1"))
    await turns()
    assert paging.sent == [] and stored(house) == [("hello", "displayed")]
    with pytest.raises(NotFound):
        await guest.receipt(ReceiptRequest(id="m2"))


async def test_a_notification_that_is_refused_is_no_error(house: House, guest: GuestSession) -> None:
    paging = Paging(guest)
    paging.status = 404
    assert deliver(guest, asking()).answer is None
    await turns()
    assert len(paging.sent) == 1


async def test_displayed_is_told_after_a_restart(house: House, guest: GuestSession) -> None:
    """What senders asked for is kept beside their messages; the process that stored them told of the delivery."""
    deliver(guest, asking())
    await turns()
    await house.guests.close(1)
    again = House()
    again.store, again.guests.store = house.store, cast(Store, house.store)
    again.lifecycle.cursor = max(house.store.rows)
    guest = await again.login()
    paging = Paging(guest)
    for _ in range(2):
        await guest.receipt(ReceiptRequest(id="m1"))
    await turns()
    assert paging.said() == [("m1", "displayed")]
    assert paging.sent[0].datetime == "2026-11-22T10:15:31Z"
    assert Imdn.parse(paging.sent[0].content).datetime == "2026-11-22T10:15:30Z"


NEGATIVE = ("imdn.Disposition-Notification", "negative-delivery")


async def test_what_is_never_fetched_has_failed(house: House, guest: GuestSession) -> None:
    # D-IMD-07: a 2xx was given earlier, and the delivery failed later
    paging = Paging(guest)
    for number in range(3):
        deliver(guest, asking(NEGATIVE, id=f"m{number}"))
        if number == 0:
            await turns()
            assert len(await guest.feed.read(0) or ()) == 1
    deliver(guest, asking(id="m3"))
    await turns()
    assert paging.said() == [("m3", "delivered")], "success was not asked for"
    await guest.receipt(ReceiptRequest(id="m1"))
    await guest.end_relation("a", "expired")
    await turns()
    # D-IMD-06: nothing more about m3, which was delivered; m0 was fetched
    assert paging.said() == [("m3", "delivered"), ("m1", "failed"), ("m2", "failed")]


async def test_what_somebody_listens_to_is_fetched(house: House, guest: GuestSession) -> None:
    paging = Paging(guest)
    listen(guest)
    deliver(guest, asking(NEGATIVE))
    await turns()
    await guest.close("logout", final=True)
    assert paging.sent == []


async def test_a_page_gives_its_conversation_back(house: House, guest: GuestSession) -> None:
    # B-PGR-04, D-IMD-09: the same Conversation-ID, by the top of the recorded route
    paging = Paging(guest)
    routes = [("imdn.IMDN-Record-Route", "<sip:store@cc.com>"), ("imdn.IMDN-Record-Route", "<im:far@x>")]
    message = asking(RCS_REQUEST, *routes, ("imdn.Original-To", "<tel:+15550101>"))
    arrival = ChatMessage(cast(IncomingMessage, message))
    guest.conversation(guest.relations["a"]).take(arrival, "conversation-1")
    await turns()
    (page,) = paging.pages
    assert (page.target, page.headers) == ("sip:store@cc.com", {"Conversation-ID": "conversation-1"})
    (sent,) = paging.sent
    assert [header.value for header in sent.headers if header.name == "IMDN-Route"] == [
        "<sip:store@cc.com>",
        "<im:far@x>",
    ]
    assert sent.get("IMDN-Record-Route", IMDN) is None and sent.get("Disposition-Notification", IMDN) is None
    assert Imdn.parse(sent.content).original_recipient_uri == "tel:+15550101"
    await guest.receipt(ReceiptRequest(id="m1"))
    await turns()
    assert paging.pages[1].headers == {"Conversation-ID": "conversation-1"} and len(paging.sent[1].headers) == 7


@pytest.mark.parametrize(
    ("route", "target"), [("<im:far@x>", "sip:a@cc.com"), ("nonsense", "sip:a@cc.com"), ("Proxy <sip:p@x>", "sip:p@x")]
)
def test_the_way_back(route: str, target: str) -> None:
    # D-IMD-09
    request = ImdnRequest("m1", frozenset({"display"}), routes=(route,))
    assert str(way_back(Asked(request), Uri.parse("sip:a@cc.com"))) == target


# typing


def typing(heard: Sequence[Event | None]) -> list[str]:
    """Return the states of all typing events."""
    return [event.composing.state for event in heard if event is not None and event.composing is not None]


def status(state: ComposingState, refresh: int | None = None) -> FakeIncoming:
    """Return a typing status."""
    return FakeIncoming(bytes(IsComposing(state, refresh=refresh)).decode(), "t1", COMPOSING)


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("gateway.composing._now", clock)
    return clock


async def test_an_inviter_types(house: House, guest: GuestSession, clock: Clock) -> None:
    # D-ISC-04
    heard = listen(guest)
    for _ in range(3):
        assert deliver(guest, status(ACTIVE, 60)).answer == 200
    clock.now += 40.0
    deliver(guest, status(ACTIVE, 60))
    await turns()
    assert typing(heard) == ["active", "active"], "told again when half of its time is over"
    deliver(guest, status(IDLE))
    deliver(guest, status(ACTIVE))
    deliver(guest, FakeIncoming("hello"))
    await turns()
    assert typing(heard) == ["active", "active", "idle", "active", "idle"]
    assert stored(house) == [("hello", "delivered")], "typing is no conversation"
    assert all(event is None or event.composing is None or event.composing.uid == "a" for event in heard)


async def test_an_inviter_falls_silent(guest: GuestSession, clock: Clock) -> None:
    # D-ISC-04
    heard = listen(guest)
    deliver(guest, status(ACTIVE, 60))
    clock.now += 61.0
    guest.conversation(guest.relations["a"]).composing._handle_timer()
    await turns()
    assert typing(heard) == ["active", "idle"]
    assert guest.feed.unread_count == 0


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the inviter's phone is told of the guest's typing."""
    shown: list[str] = []
    monkeypatch.setattr("gateway.composing.send_composing", lambda chat, status: shown.append(status.state.value))
    return shown


async def test_a_guest_types(house: House, guest: GuestSession, clock: Clock, shown: list[str]) -> None:
    # D-ISC-02, D-ISC-03
    guest.composing(ComposingRequest(to="a", state="active"))
    await send(guest, "hello")
    chat = cast(Any, house.agent.chats[0])
    chat.takes_composing = False
    guest.composing(ComposingRequest(to="a", state="active"))
    assert shown == [], "nobody to tell, and no chat is opened for it"
    chat.takes_composing = True
    for _ in range(50):
        guest.composing(ComposingRequest(to="a", state="active"))
        clock.now += 0.2
    assert shown == ["active"]
    await send(guest, "hello")
    guest.composing(ComposingRequest(to="a", state="idle"))
    assert shown == ["active"], "the message said it"
    guest.composing(ComposingRequest(to="a", state="active"))
    clock.now += 15.0
    guest.conversation(guest.relations["a"]).composing._handle_timer()
    assert shown == ["active", "active", "idle"]


async def test_the_end_of_a_chat_ends_typing(house: House, guest: GuestSession, clock: Clock) -> None:
    heard = listen(guest)
    await send(guest, "hello")
    deliver(guest, status(ACTIVE))
    conversation = guest.conversation(guest.relations["a"])
    composing: Composing = conversation.composing
    conversation.chat_closed(cast(Any, house.agent.chats[0]), "remote", None)
    await turns()
    assert typing(heard) == ["active", "idle"] and composing._timer is None
