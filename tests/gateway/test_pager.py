"""Messages to an inviter whose device takes no chats: B-PGR-01, B-PGR-02, B-PGR-05, A-EXT-06, A-EXT-08, B-CHT-01."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import pager
from gateway.guest import GuestSession
from gateway.presence import Watch
from gateway.services import Conflict, ServiceError, TooLarge
from sipstack.errors import ConnectionClosed, RequestTooLarge, TransactionTimeout
from sipstack.im.cpim import CpimMessage
from sipstack.im.imdn import CONTENT_TYPE, Disposition, Imdn, ImdnRequest
from tests.gateway.guest_helpers import (
    FakeChat,
    FakeIncoming,
    House,
    SentPage,
    answer,
    deliver,
    listen,
    refusal,
    relation,
    send,
    send_in_haste,
    states,
    turns,
)
from translators.from_sip import PeerStatus


@pytest.fixture
async def house() -> House:
    return House(relation(), relation("c", id=2))


@pytest.fixture
async def guest(house: House) -> GuestSession:
    """A guest whose inviters' devices have no session mode."""
    guest = await house.login()
    house.agent.failure = refusal(488)
    return guest


def learn(house: House, *services: str, status: str = "online") -> None:
    """Let OPTIONS have told of the inviter's device."""
    watch = house.presence._watches.setdefault("sip:a@cc.com", Watch("sip:a@cc.com"))
    watch.status = PeerStatus(status, services)  # type: ignore[arg-type]  # a Literal out of a test


def bodies(house: House) -> list[bytes]:
    """Return the texts that were paged, out of their wrapper."""
    return [
        CpimMessage.parse(page.body).content if page.content_type == "message/cpim" else page.body
        for page in house.agent.pages
    ]


def stored(house: House) -> list[tuple[str, str]]:
    """Return text and state of all messages in the store."""
    return [(entry.body, entry.state) for entry in house.store.sorted() if entry.kind == "message"]


@pytest.mark.parametrize("status", [405, 415, 488, 501, 606])
async def test_a_device_that_refuses_chats_is_paged(house: House, guest: GuestSession, status: int) -> None:
    # B-PGR-05: the message is not lost
    house.agent.failure = refusal(status)
    answered = await send(guest, "grüße")
    assert answered.state == "sent"
    (page,) = house.agent.pages
    assert (page.target, page.content_type) == ("sip:a@cc.com", "message/cpim")
    # B-PGR-01
    assert list(page.headers) == [
        "Accept-Contact",
        "P-Preferred-Service",
        "Request-Disposition",
        "Conversation-ID",
        "Contribution-ID",
    ]
    cpim = CpimMessage.parse(page.body)
    asked = ImdnRequest.of(cpim)
    assert asked is not None and asked.wanted == {"positive-delivery", "display"}
    assert (cpim.imdn_message_id, cpim.content.decode()) == (answered.id, "grüße")
    assert stored(house) == [("grüße", "sent")]
    assert house.lifecycle.prepared, "the interaction server knows the guest before the first message"
    # remembered for a while
    await send(guest, "again")
    assert (house.agent.invites, bodies(house)) == (1, ["grüße".encode(), b"again"])
    # B-CHT-01
    first, second = (page.headers for page in house.agent.pages)
    assert first["Conversation-ID"] == second["Conversation-ID"] != first["Contribution-ID"]
    assert first["Contribution-ID"] != second["Contribution-ID"]


@pytest.mark.parametrize("status", [403, 404, 480, 486, 603])
async def test_other_refusals_are_no_reason_to_page(house: House, guest: GuestSession, status: int) -> None:
    house.agent.failure = refusal(status)
    with pytest.raises(ServiceError):
        await send(guest, "hello")
    assert house.agent.pages == []


async def test_capabilities_save_the_invite(house: House, guest: GuestSession) -> None:
    learn(house, "standalone")
    await send(guest, "hello")
    assert (house.agent.invites, bodies(house)) == (0, [b"hello"])
    learn(house, "im", "standalone")
    await send(guest, "hello")
    assert house.agent.invites == 1, "a chat is the first choice"


@pytest.mark.parametrize(("services", "status"), [(("standalone",), "unknown"), ((), "not-rcs"), (("file",), "online")])
async def test_what_says_nothing_about_pages(
    house: House, guest: GuestSession, services: tuple[str, ...], status: str
) -> None:
    learn(house, *services, status=status)
    house.agent.failure = None
    await send(guest, "hello")
    assert house.agent.invites == 1 and house.agent.pages == []


async def test_a_refusal_is_forgotten(house: House, guest: GuestSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pager, "REFUSED_FOR", 0.0)
    for _ in range(2):
        await send(guest, "hello")
    assert house.agent.invites == 2


async def test_a_chat_of_the_inviter_ends_paging(house: House, guest: GuestSession) -> None:
    await send(guest, "paged")
    conversation = guest.conversation(guest.relations["a"])
    chat: Any = FakeChat(conversation)
    conversation.adopt(chat)
    await send(guest, "chatted")
    conversation.chat_closed(chat, "remote", None)
    house.agent.failure = None
    await send(guest, "invited")
    assert (bodies(house), house.agent.invites) == ([b"paged"], 2)


# one after the other


async def test_one_is_pending_for_each_inviter(house: House, guest: GuestSession) -> None:
    # A-EXT-08: "MESSAGE n+1 leaves only after the final of n"
    learn(house, "standalone")
    house.agent.answer_page = lambda page: None
    sending = [asyncio.ensure_future(send(guest, str(number))) for number in range(5)]
    other = asyncio.ensure_future(send(guest, "other", to="c"))
    for number in range(5):
        await turns(30)
        pages = [page for page in house.agent.pages if page.target == "sip:a@cc.com"]
        assert len(pages) == number + 1
        pages[-1].answer.set_result(answer(202))
    assert [(await item).state for item in sending] == ["sent"] * 5
    assert bodies(house)[:5] == [b"0", b"other", b"1", b"2", b"3"]
    assert [page.target for page in house.agent.pages].count("sip:c@cc.com") == 1
    next(page for page in house.agent.pages if page.target == "sip:c@cc.com").answer.set_result(answer(200))
    assert (await other).state == "sent"


async def test_only_so_many_wait(house: House, guest: GuestSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pager, "WAITING_LIMIT", 1)
    learn(house, "standalone")
    house.agent.answer_page = lambda page: None
    sending = []
    for number in range(3):
        sending.append(asyncio.ensure_future(send(guest, str(number))))
        await turns(30)
    with pytest.raises(Conflict):
        await sending[2]
    for _ in range(2):
        house.agent.pages[-1].answer.set_result(answer(200))
        await turns(30)
    assert [item.done() for item in sending] == [True] * 3


# what comes of it


@pytest.mark.parametrize(
    ("outcome", "state", "http", "code"),
    [
        (404, "failed", 404, 404),
        (480, "failed", 409, 480),
        (403, "failed", 403, 403),
        (513, "failed", 413, 513),
        (603, "failed", 403, 603),
        # it may have arrived all the same
        (408, "unknown", 504, 408),
        (504, "unknown", 504, 504),
        (TransactionTimeout("no answer"), "unknown", 504, 408),
        (ConnectionClosed("gone"), "unknown", 502, 503),
        (ConnectionClosed("closed", certain=True), "failed", 502, 503),
        (OSError("no buffer"), "unknown", 502, 503),
    ],
)
async def test_outcomes(
    house: House, guest: GuestSession, outcome: int | Exception, state: str, http: int, code: int
) -> None:
    learn(house, "standalone")
    house.agent.answer_page = lambda page: outcome
    with pytest.raises(ServiceError) as caught:
        await send(guest, "hello")
    assert caught.value.status == http
    assert caught.value.sip is not None and caught.value.sip.code == code
    await turns()
    assert stored(house) == [("hello", state)]


async def test_the_core_refuses_the_guest(house: House, guest: GuestSession) -> None:
    learn(house, "standalone")
    house.lifecycle.failure = Conflict("not now")
    with pytest.raises(Conflict):
        await send(guest, "hello")
    assert house.agent.pages == [] and stored(house) == [("hello", "failed")]


async def test_a_device_without_cpim_gets_it_bare(house: House, guest: GuestSession) -> None:
    house.agent.answer_page = lambda page: 415 if page.content_type == "message/cpim" else 200
    assert (await send(guest, "grüße")).state == "sent"
    await send(guest, "again")
    assert [page.content_type for page in house.agent.pages] == [
        "message/cpim",
        "text/plain;charset=utf-8",
        "text/plain;charset=utf-8",
    ]
    assert house.agent.pages[1].headers == {} and bodies(house)[1] == "grüße".encode()


async def test_a_device_that_takes_neither(house: House, guest: GuestSession) -> None:
    house.agent.answer_page = lambda page: 405
    for _ in range(2):
        with pytest.raises(ServiceError) as caught:
            await send(guest, "hello")
        assert caught.value.sip is not None and caught.value.sip.code == 488, "why there is no chat"
    assert (house.agent.invites, len(house.agent.pages)) == (2, 1)


async def test_a_device_that_takes_chats_after_all(house: House, guest: GuestSession) -> None:
    """Its answer to OPTIONS said standalone messages only, and now it refuses them."""
    learn(house, "standalone")
    house.agent.failure = None
    house.agent.answer_page = lambda page: 405
    assert (await send(guest, "hello")).state == "sent"
    assert (house.agent.invites, house.agent.chats[0].sent[0].body) == (1, "hello")


# 1300 octets


def room(octets: int, house: House) -> None:
    """Let pages fit whose text in its wrapper, or bare, has at most so many octets."""

    def judge(page: SentPage) -> int | Exception:
        return 200 if len(page.body) <= octets else RequestTooLarge(len(page.body) + 400, octets + 400)

    house.agent.answer_page = judge


async def test_a_text_too_long_for_its_wrapper_goes_bare(house: House, guest: GuestSession) -> None:
    # B-PGR-02
    room(600, house)
    await send(guest, "x" * 500)
    await send(guest, "short")
    assert [page.content_type.partition(";")[0] for page in house.agent.pages] == [
        "message/cpim",
        "text/plain",
        "message/cpim",
    ]


async def test_a_text_too_long_for_a_page_goes_by_a_chat(house: House, guest: GuestSession) -> None:
    # A-EXT-06: "text that makes a 1301-octet MESSAGE is sent through a chat session instead"
    learn(house, "standalone")
    room(600, house)
    house.agent.failure = None
    assert (await send(guest, "x" * 601)).state == "sent"
    assert (house.agent.invites, len(house.agent.chats[0].sent)) == (1, 1)


@pytest.mark.parametrize("learned", [False, True])
async def test_a_text_too_long_where_there_is_no_chat(house: House, guest: GuestSession, learned: bool) -> None:
    # A-EXT-06, B-PGR-02: there is no large mode, so the guest is told
    if learned:
        learn(house, "standalone")
    room(600, house)
    with pytest.raises(TooLarge, match="1 octets too long") as caught:
        await send(guest, "x" * 601)
    assert caught.value.status == 413 and caught.value.message_id is not None
    assert (house.agent.invites, [state for _, state in stored(house)]) == (1, ["failed"])
    assert (await send(guest, "x" * 600)).state == "sent"


# notifications


def told(id: str, state: str) -> FakeIncoming:
    """Return a notification about a message of the guest."""
    kind = "display" if state == "displayed" else "delivery"
    body = bytes(Imdn(id, kind, Disposition(state)))  # type: ignore[arg-type]  # a Literal out of a test
    return FakeIncoming(body.decode(), "n1", CONTENT_TYPE)


async def test_notifications_count_as_for_chats(house: House, guest: GuestSession) -> None:
    # D-IMD-10, D-IMD-14
    learn(house, "standalone")
    heard = listen(guest)
    id = (await send(guest, "hello")).id
    for state in ("delivered", "displayed", "delivered"):
        deliver(guest, told(id, state))
        await turns()
    assert [state for _, state in states(heard)] == ["sent", "delivered", "displayed"]
    assert stored(house) == [("hello", "displayed")]


async def test_a_notification_quicker_than_the_answer(house: House, guest: GuestSession) -> None:
    learn(house, "standalone")
    house.agent.answer_page = lambda page: None
    heard = listen(guest)
    first = asyncio.ensure_future(send(guest, "first"))
    second = asyncio.ensure_future(send(guest, "second"))
    await turns(30)
    ids = [entry.id for entry in house.store.sorted()]
    for id in ids:  # the second from another process, say: it was sent again
        deliver(guest, told(id, "delivered"))
    assert [(await item).state for item in (first, second)] == ["sent", "sent"]
    house.agent.pages[0].answer.set_result(answer(480))
    await turns(30)
    assert len(house.agent.pages) == 1, "nobody needs the second one any more"
    assert states(heard) == [(id, "delivered") for id in ids]
    assert [state for _, state in stored(house)] == ["delivered", "delivered"]


async def test_a_notification_resolves_unknown(house: House, guest: GuestSession) -> None:
    learn(house, "standalone")
    house.agent.answer_page = lambda page: TransactionTimeout("no answer")
    heard = listen(guest)
    with pytest.raises(ServiceError) as caught:
        await send(guest, "hello")
    assert caught.value.message_id is not None
    deliver(guest, told(caught.value.message_id, "delivered"))
    await turns()
    assert states(heard)[-1] == (caught.value.message_id, "delivered")
    assert stored(house) == [("hello", "delivered")]


# the end


async def test_the_end_of_a_relation(house: House, guest: GuestSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pager, "END_TIMEOUT", 0.0)
    learn(house, "standalone")
    house.agent.answer_page = lambda page: None
    for text in ("first", "second"):
        assert (await send_in_haste(house, guest, text)).state == "pending"
    await guest.end_relation("a", "revoked")
    await turns()
    assert stored(house) == [("first", "unknown"), ("second", "failed")]


async def test_a_page_under_way_is_waited_for(house: House, guest: GuestSession) -> None:
    learn(house, "standalone")
    house.agent.answer_page = lambda page: None
    await send_in_haste(house, guest, "first")
    await send_in_haste(house, guest, "second")
    closing = asyncio.ensure_future(guest.close("shutdown", final=False))
    await turns()
    house.agent.pages[0].answer.set_result(answer(200))
    await closing
    await turns()
    # what waited is sent by the next process, with the same id
    assert stored(house) == [("first", "sent"), ("second", "pending")]
    again = House()
    again.store, again.guests.store = house.store, house.guests.store
    again.lifecycle.cursor = max(house.store.rows)
    again.prepare_agent = lambda agent: setattr(agent, "failure", None)
    await again.login()
    await turns(30)
    assert [message.body for message in again.agent.chats[0].sent] == ["second"]


async def test_a_pager_is_made_when_it_is_needed(house: House, guest: GuestSession) -> None:
    house.agent.failure = None
    await send(guest, "hello")
    assert guest.conversation(guest.relations["a"])._pager is None
    assert len(guest.conversation(guest.relations["a"]).pager) == 0
