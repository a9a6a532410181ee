"""A guest's messages and events, where a test has to decide what is committed and what is answered when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.guest import GuestSession
from gateway.services import (
    Ended,
    Forbidden,
    NoRelation,
    PeerOffline,
    ServiceError,
    TooManyRequests,
    Unavailable,
    Unprocessable,
    UpstreamRefused,
)
from sipstack.errors import ConnectionClosed, TransactionTimeout
from sipstack.msrp.message import MessageState
from sipstack.net.body import Part
from sipstack.net.chat import ChatHandler
from sipstack.net.invitation import IncomingInvitation, IncomingPage
from sipstack.net.useragent import UserAgent
from sipstack.sip.registration import Registered, RegistrationFailed
from sipstack.sip.uri import Uri
from tests.gateway.guest_helpers import (
    ACCOUNT,
    FakeChat,
    FakeIncoming,
    House,
    deliver,
    listen,
    refusal,
    relation,
    send,
    send_in_haste,
    states,
    turns,
)

SENT, FAILED, UNKNOWN = MessageState.SENT, MessageState.FAILED, MessageState.UNKNOWN


@pytest.fixture
async def house() -> House:
    return House()


@pytest.fixture
async def guest(house: House) -> GuestSession:
    return await house.login()


def rows(house: House) -> list[tuple[str, str]]:
    """Return text and state of all messages in the store."""
    return [(entry.body, entry.state) for entry in house.store.sorted() if entry.kind == "message"]


# outgoing: commit and answer, in any order


async def test_sent_awaits_commit_and_answer(house: House, guest: GuestSession) -> None:
    house.store.holds = True
    sending = asyncio.ensure_future(send(guest, "hello"))
    await turns()
    assert house.agent.chats[0].sent[0].state is SENT and not sending.done(), "answered, not committed"
    house.store.commit()
    assert (await sending).state == "sent"
    await turns()
    house.store.commit()
    assert rows(house) == [("hello", "sent")]


async def test_no_answer_in_time_is_pending(house: House, guest: GuestSession) -> None:
    house.agent.chat_answer = None
    heard = listen(guest)
    answer = await send_in_haste(house, guest, "hello")
    assert answer.state == "pending"
    house.agent.chats[0].sent[0].settle(SENT, 200)
    await turns()
    assert states(heard) == [(answer.id, "sent")]
    assert rows(house) == [("hello", "sent")]


async def test_no_commit_in_time_is_no_success(house: House, guest: GuestSession) -> None:
    house.store.holds = True
    with pytest.raises(Unavailable) as caught:
        await send_in_haste(house, guest, "hello", "k")
    assert caught.value.message_id and caught.value.retryable
    house.store.holds = False
    house.store.commit()
    assert (await send(guest, "hello", "k")).state == "sent"
    assert len(house.agent.chats[0].sent) == 1, "it was sent and stored after all"


async def test_what_is_not_stored_is_not_shown(house: House, guest: GuestSession) -> None:
    heard = listen(guest)
    house.store.broken = True
    with pytest.raises(Unavailable):
        await send(guest, "hello")
    assert heard == [] and guest.feed.latest() == 0
    house.store.broken = False
    await send(guest, "again")
    await turns()
    assert [event.message.message for event in heard if event and event.message] == ["again"]


async def test_what_is_not_stored_does_not_wait_for_a_chat(house: House, guest: GuestSession) -> None:
    house.agent.gate.clear()
    house.store.broken = True
    with pytest.raises(Unavailable):
        await send(guest, "hello")
    house.agent.gate.set()
    await turns()
    assert house.agent.chats[0].sent == [], "its sender was told that it failed"


async def test_a_state_that_cannot_be_written_is_told_all_the_same(house: House, guest: GuestSession) -> None:
    house.agent.chat_answer = None
    await send_in_haste(house, guest, "hello")
    house.store.broken = True
    house.agent.chats[0].sent[0].settle(SENT, 200)
    await turns()
    house.store.broken = False
    assert rows(house) == [("hello", "pending")], "after a restart it would be sent again, with its id"
    [line] = (await guest.messages("a", None, 10)).messages
    assert line.state == "sent"


async def test_a_read_that_began_before_the_change(house: House, guest: GuestSession) -> None:
    """It finds the old state and must not tell it: no event would ever correct it."""
    house.agent.chat_answer = None
    await send_in_haste(house, guest, "hello")
    house.store.reading = asyncio.Event()
    reading = asyncio.ensure_future(guest.messages("a", None, 10))
    await turns()
    house.agent.chats[0].sent[0].settle(SENT, 200)
    await turns()
    assert rows(house) == [("hello", "sent")]
    house.store.reading.set()
    assert [line.state for line in (await reading).messages] == ["sent"]


# states


@pytest.mark.parametrize(
    ("code", "state", "status", "type"),
    [
        (403, FAILED, 403, "upstream-forbidden"),
        (413, FAILED, 413, "too-large"),
        (415, FAILED, 415, "media-refused"),
        (481, FAILED, 410, "session-gone"),
        (408, UNKNOWN, 504, "upstream-timeout"),
        (None, UNKNOWN, 504, "upstream-timeout"),
        (None, FAILED, 502, "core-unreachable"),
    ],
)
async def test_refusals_of_a_message(
    house: House, guest: GuestSession, code: int | None, state: MessageState, status: int, type: str
) -> None:
    # C-BR-13 for 413, C-RSP-01 for 408
    house.agent.chat_answer = state, code
    with pytest.raises(UpstreamRefused) as caught:
        await send(guest, "hello")
    await turns()
    [(_, stored)] = rows(house)
    assert (caught.value.status, caught.value.type, stored) == (status, type, state.value)
    assert caught.value.message_id == house.agent.chats[0].sent[0].message_id
    assert caught.value.sip is not None, "every failure has a cause"


async def test_a_report_resolves_unknown(house: House, guest: GuestSession) -> None:
    house.agent.chat_answer = UNKNOWN, 408
    with pytest.raises(UpstreamRefused):
        await send(guest, "hello")
    heard = listen(guest)
    [message] = house.agent.chats[0].sent
    message.settle(SENT, 200)
    await turns()
    assert states(heard) == [(message.message_id, "sent")]
    assert rows(house) == [("hello", "sent")]
    message.settle(UNKNOWN, 408)
    await turns()
    assert len(states(heard)) == 1, "what is known stays known"


async def test_failed_after_sent(house: House, guest: GuestSession) -> None:
    answer = await send(guest, "hello")
    heard = listen(guest)
    house.agent.chats[0].sent[0].settle(FAILED, 403)
    await turns()
    assert states(heard) == [(answer.id, "failed")]
    [event] = [event for event in heard if event and event.receipt]
    assert event.receipt and event.receipt.cause and event.receipt.cause.code == 403
    assert rows(house) == [("hello", "failed")]


async def test_receipts_only_for_what_was_shown_pending(house: House, guest: GuestSession) -> None:
    await send(guest, "quick")
    assert [entry.kind for entry in house.store.sorted()] == ["message"], "200 says it all"
    house.agent.chats[0].answer = None
    await send_in_haste(house, guest, "answered 202")
    house.agent.chats[0].sent[-1].settle(SENT, 200)
    await turns()
    assert [entry.kind for entry in house.store.sorted()] == ["message", "message", "receipt"]


async def test_a_reader_who_was_shown_pending_gets_a_receipt(house: House, guest: GuestSession) -> None:
    """A second tab reads the conversation while the first one waits for its answer."""
    house.agent.chat_answer = None
    sending = asyncio.ensure_future(send(guest, "hello"))
    await turns()
    [line] = (await guest.messages("a", None, 10)).messages
    assert line.state == "pending"
    house.agent.chats[0].sent[0].settle(SENT, 200)
    assert (await sending).state == "sent"
    await turns()
    assert [entry.kind for entry in house.store.sorted()] == ["message", "receipt"]


async def test_a_second_tab_sees_the_message_and_its_fate(house: House, guest: GuestSession) -> None:
    house.agent.chat_answer = None
    heard = listen(guest)
    sending = asyncio.ensure_future(send(guest, "hello"))
    await turns()
    house.agent.chats[0].sent[0].settle(FAILED, 403)
    with pytest.raises(UpstreamRefused):
        await sending
    await turns()
    assert [(event.kind, event.cursor) for event in heard if event] == [("message", 1), ("receipt", 2)]
    [shown] = [event.message for event in heard if event and event.message]
    assert shown.state == "pending" and states(heard) == [(shown.id, "failed")]


# retries


async def test_the_same_key_in_flight_is_sent_once(house: House, guest: GuestSession) -> None:
    house.agent.chat_answer = None
    answers = [asyncio.ensure_future(send(guest, "hello", "k")) for _ in range(3)]
    await turns(20)
    [message] = house.agent.chats[0].sent
    message.settle(SENT, 200)
    assert {(answer.id, answer.state) for answer in await asyncio.gather(*answers)} == {(message.message_id, "sent")}
    with pytest.raises(Unprocessable):
        await send(guest, "something else", "k")


async def test_another_message_under_the_same_key_in_flight(house: House, guest: GuestSession) -> None:
    house.agent.chat_answer = None
    first = asyncio.ensure_future(send_in_haste(house, guest, "hello", "k"))
    await turns()
    with pytest.raises(Unprocessable):
        await send(guest, "something else", "k")
    assert (await first).state == "pending"


async def test_the_first_of_one_key_is_given_up(house: House, guest: GuestSession) -> None:
    house.agent.gate.clear()
    first = asyncio.ensure_future(send(guest, "hello", "k"))
    await turns()
    second = asyncio.ensure_future(send(guest, "hello", "k"))
    await turns()
    first.cancel()
    with pytest.raises(Unavailable):
        await second


@pytest.mark.parametrize(("state", "code"), [(FAILED, 403), (UNKNOWN, 408)])
async def test_a_retry_has_the_same_id_and_row(
    house: House, guest: GuestSession, state: MessageState, code: int
) -> None:
    house.agent.chat_answer = state, code
    with pytest.raises(UpstreamRefused):
        await send(guest, "hello", "k")
    [chat] = house.agent.chats
    chat.answer = SENT, 200
    answer = await send(guest, "hello", "k")
    assert answer.state == "sent"
    assert [message.message_id for message in chat.sent] == [answer.id, answer.id]
    await turns()
    assert rows(house) == [("hello", "sent")]
    assert (await send(guest, "hello", "k")) == answer
    assert len(chat.sent) == 2, "a message that arrived is not sent again"


async def test_a_retry_while_it_is_pending(house: House, guest: GuestSession) -> None:
    house.agent.chat_answer = None
    first = await send_in_haste(house, guest, "hello", "k")
    assert await send(guest, "hello", "k") == first
    assert first.state == "pending" and len(house.agent.chats[0].sent) == 1


async def test_a_broken_store_at_a_retry(house: House, guest: GuestSession) -> None:
    await send(guest, "hello", "k")
    house.store.broken = True
    for call in (send(guest, "hello", "k"), guest.messages("a", None, 10), guest.feed.read(0)):
        with pytest.raises(Unavailable):
            await call


# who may be spoken to


async def test_relations(house: House) -> None:
    house.lifecycle.relations = (relation("a"), relation("f", types=("file",), id=2), relation("o", ends_in=-1, id=3))
    guest = await house.login()
    assert (await send(guest, "by telephone", to="tel:+15550101")).state == "sent"
    assert (await send(guest, "by URI", to="sip:A@cc.com".replace("A@", "a@"))).state == "sent"
    refused: list[tuple[str, type[ServiceError]]] = [
        ("sip:x@cc.com", NoRelation),
        ("x", NoRelation),
        ("f", Forbidden),
        ("o", Ended),
    ]
    for to, error in refused:
        with pytest.raises(error):
            await send(guest, "hello", to=to)
    assert house.agent.invites == 1


async def test_require_online(house: House) -> None:
    house = House(require_online=True)
    guest = await house.login()
    house.agent.options_status = 480
    with pytest.raises(PeerOffline):
        await send(guest, "hello")
    assert house.agent.invites == 0
    house.presence.close()


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (refusal(486), 409, 486),
        (refusal(603), 403, 603),
        (TransactionTimeout("no answer"), 504, 408),
        (ConnectionClosed("no connection"), 502, 503),
    ],
)
async def test_a_chat_that_does_not_open(
    house: House, guest: GuestSession, error: Exception, status: int, code: int
) -> None:
    """Every waiting message fails, each under its own name."""
    house.agent.failure = error  # type: ignore[assignment]  # all are SipstackErrors
    outcomes = await asyncio.gather(send(guest, "one", "1"), send(guest, "two", "2"), return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, UpstreamRefused)]
    assert [failure.status for failure in failures] == [status, status]
    assert [failure.sip.code for failure in failures if failure.sip] == [code, code]
    assert len({failure.message_id for failure in failures}) == 2
    assert house.agent.invites == 1
    house.agent.failure = None
    assert (await send(guest, "three")).state == "sent"


# incoming


async def test_the_answer_follows_the_commit(house: House, guest: GuestSession) -> None:
    heard = listen(guest)
    house.store.holds = True
    message = deliver(guest, FakeIncoming())
    await turns()
    assert message.answer is None and heard == []
    house.store.commit()
    assert message.answer == 200
    assert [event.message.message for event in heard if event and event.message] == ["hello"]


async def test_a_message_that_cannot_be_stored(house: House, guest: GuestSession) -> None:
    house.store.broken = True
    message = deliver(guest, FakeIncoming())
    await turns()
    assert message.answer == 408
    house.store.broken = False
    again = deliver(guest, FakeIncoming())
    await turns()
    assert again.answer == 200
    assert rows(house) == [("hello", "delivered")]


async def test_a_repeat_is_stored_once(house: House, guest: GuestSession) -> None:
    deliver(guest, FakeIncoming())
    await turns()
    repeat = deliver(guest, FakeIncoming())
    assert repeat.answer == 200
    assert rows(house) == [("hello", "delivered")]


@pytest.mark.parametrize("broken", [False, True])
async def test_a_repeat_before_the_commit(house: House, guest: GuestSession, broken: bool) -> None:
    """Over a new connection, say: it is acknowledged when the first one is, and not before."""
    house.store.holds, house.store.broken = True, broken
    messages = [deliver(guest, FakeIncoming()) for _ in range(3)]
    await turns()
    assert [message.answer for message in messages] == [None] * 3
    house.store.commit()
    assert [message.answer for message in messages] == [408 if broken else 200] * 3
    assert len(rows(house)) == (0 if broken else 1)


async def test_inbox_limits(house: House) -> None:
    house = House(inbox_count=2, inbox_bytes=100)
    guest = await house.login()
    answers = []
    for number, size in enumerate((10, 101, 10, 10)):
        message = deliver(guest, FakeIncoming("x" * size, f"m{number}"))
        await turns()
        answers.append(message.answer)
    assert answers == [200, 413, 200, 413]
    assert len(await guest.feed.read(0) or ()) == 2
    message = deliver(guest, FakeIncoming("x", "m9"))
    await turns()
    assert message.answer == 200, "the guest has read"


async def test_what_failed_does_not_fill_the_inbox(house: House) -> None:
    house = House(inbox_count=1)
    guest = await house.login()
    house.store.broken = True
    for number in range(3):
        deliver(guest, FakeIncoming("x", f"m{number}"))
        await turns()
    house.store.broken = False
    assert deliver(guest, FakeIncoming("x", "m9")).answer is None
    await turns()
    assert len(rows(house)) == 1


async def test_messages_that_are_not_welcome(house: House) -> None:
    house.lifecycle.relations = (relation("a"), relation("o", ends_in=-1, id=2))
    guest = await house.login()
    assert deliver(guest, FakeIncoming(content_type="image/png")).answer == 415
    assert deliver(guest, FakeIncoming(), "o").answer == 403
    former = guest.conversation(guest.relations["a"])
    await guest.end_relation("a", "revoked")
    late = FakeIncoming()
    guest.relate(relation("c", id=3))
    refused = guest.refuse_incoming(former.relation, late.content_type, 5)
    assert refused is not None and refused[0] == 403


class FakePage:
    """A SIP MESSAGE."""

    content_type = "text/plain"
    body = b"hello"
    conversation_id = ""
    is_anonymous = False
    services: tuple[str, ...] = ()

    def __init__(self, *asserted: str) -> None:
        self.asserted = tuple(map(Uri.parse, asserted))
        self.answer: int | None = None

    def accept(self, status: int = 200) -> None:
        self.answer = status

    def reject(self, status: int, *_: object, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.answer = status
        self.headers = dict(headers)


async def page(
    house: House, guest: GuestSession, *asserted: str, content_type: str = "text/plain", body: bytes = b"hello"
) -> int | None:
    """Let a MESSAGE arrive and return its answer."""
    made = FakePage(*asserted)
    made.content_type, made.body = content_type, body
    guest.message_received(cast(UserAgent, house.agent), cast(IncomingPage, made))
    await turns()
    if made.answer == 415:  # B-PGR-03
        assert {"message/cpim", "text/plain", "message/imdn+xml"} <= set(made.headers["Accept"].split(", "))
    return made.answer


async def test_pages(house: House) -> None:
    # B-PGR-03: 200 when it is stored; 403, 480 and 500 where it cannot be
    house = House(relation("a"), relation("f", types=("file",), id=2), inbox_count=1)
    guest = await house.login()
    assert await page(house, guest) == 403, "nobody vouches for the sender"
    assert await page(house, guest, "sip:x@cc.com") == 403
    assert await page(house, guest, "sip:f@cc.com") == 403, "invited for files"
    house.store.broken = True
    assert await page(house, guest, "sip:a@cc.com") == 500
    house.store.broken = False
    assert await page(house, guest, "sip:x@cc.com", "tel:+15550101") == 200
    assert await page(house, guest, "sip:a@cc.com") == 480, "the inbox is full"


async def test_chats_of_strangers(house: House) -> None:
    house.lifecycle.relations = (relation("a", types=("file",)),)
    guest = await house.login()
    for asserted in ((), ("sip:x@cc.com",), ("sip:a@cc.com",)):
        invitation = FakePage(*asserted)  # an INVITE is refused in the same way
        guest.chat_invited(cast(UserAgent, house.agent), cast(IncomingInvitation, invitation))
        assert invitation.answer == 403


async def test_inviters_who_hide(house: House, guest: GuestSession) -> None:
    """B-CHT-05, RFC 5079: the guest would see who it is; an operator may decide otherwise."""
    hidden = FakePage("sip:a@cc.com")
    hidden.is_anonymous = True
    agent = cast(UserAgent, house.agent)
    guest.message_received(agent, cast(IncomingPage, hidden))
    assert hidden.answer == 433
    guest.chat_invited(agent, cast(IncomingInvitation, hidden))
    assert hidden.answer == 433
    stranger = FakePage("sip:x@cc.com")
    stranger.is_anonymous = True
    guest.message_received(agent, cast(IncomingPage, stranger))
    assert stranger.answer == 403, "whoever has not invited learns nothing"
    house.guests.settings = replace(house.guests.settings, show_anonymous=True)
    guest.message_received(agent, cast(IncomingPage, hidden))
    await turns()
    assert hidden.answer == 200


async def test_group_chats_that_the_network_names(house: House, guest: GuestSession) -> None:
    """B-CHT-04, B-CHT-17."""
    group = FakePage("sip:a@cc.com")
    group.services = ("urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session.group",)
    guest.chat_invited(cast(UserAgent, house.agent), cast(IncomingInvitation, group))
    assert group.answer == 488


CPIM = b"From: <sip:x@y>\r\nTo: <sip:x@y>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: m7\r\n\r\n%b"


PARTS = (
    b"--b\r\nContent-Type: text/plain;charset=utf-8\r\n\r\nhi\r\n--b\r\nContent-Type: image/png\r\n\r\nxx\r\n--b--\r\n"
)


async def test_pages_of_several_parts(house: House, guest: GuestSession) -> None:
    """A-MSG-27, C-RSP-10: their text is taken, bare and in CPIM; without any they are refused."""
    several = "multipart/mixed;boundary=b"
    assert await page(house, guest, "sip:a@cc.com", content_type=several, body=PARTS) == 200
    wrapped = CPIM % b"Content-Type: multipart/alternative;boundary=b\r\n\r\n%b" % PARTS
    assert await page(house, guest, "sip:a@cc.com", content_type="message/cpim", body=wrapped) == 200
    assert [entry.body for entry in house.store.sorted()] == ["hi", "hi"]
    picture = PARTS.replace(b"text/plain", b"image/png")
    assert await page(house, guest, "sip:a@cc.com", content_type=several, body=picture) == 415


async def test_pages_in_cpim(house: House, guest: GuestSession) -> None:
    for said, answer in ((b"Content-Type: text/plain\r\n\r\nhi", 200), (b"Content-Type: x/y\r\n\r\nz", 200)):
        # what repeats a stored message is confirmed, whatever is in it
        assert await page(house, guest, "sip:a@cc.com", content_type="message/cpim", body=CPIM % said) == answer
    assert [(entry.id, entry.body) for entry in house.store.sorted()] == [("m7", "hi")]
    assert await page(house, guest, "sip:a@cc.com", content_type="message/cpim", body=b"nonsense") == 400
    assert await page(house, guest, "sip:a@cc.com", content_type="image/png") == 415
    # D-CPM-07
    required = (CPIM % b"Content-Type: text/plain\r\n\r\nhi").replace(b"NS:", b"Require: foo.Bar\r\nNS:")
    assert await page(house, guest, "sip:a@cc.com", content_type="message/cpim", body=required) == 415
    # D-CPM-14: the sender is whom the network vouches for, whoever the wrapper names
    (event,) = await guest.feed.read(0) or ()
    assert event.message is not None and (event.message.from_, event.message.uid) == ("sip:a@cc.com", "a")


def invite(guest: GuestSession, house: House, first: bytes | None = None) -> Callable[[], int | None]:
    """Let an inviter open a chat, with a first message or without; return what tells the answer."""
    invitation = FakePage("sip:a@cc.com")

    def answer(handler: ChatHandler) -> FakeChat:
        invitation.answer = 200
        return FakeChat(handler)

    part = None if first is None else Part("message/cpim", first)
    offered = SimpleNamespace(
        asserted=invitation.asserted,
        answer=answer,
        reject=invitation.reject,
        first_message=part,
        conversation_id="",
        is_anonymous=False,
        services=(),
    )
    guest.chat_invited(cast(UserAgent, house.agent), cast(IncomingInvitation, offered))
    return lambda: invitation.answer


async def test_a_first_message_in_the_invitation_is_stored_before_the_chat_begins(
    house: House, guest: GuestSession
) -> None:
    house.store.holds = True
    answer = invite(guest, house, CPIM % b"Content-Type: text/plain\r\n\r\nhello")
    await turns()
    assert answer() is None, "the 200 says that it is stored"
    house.store.commit()
    assert answer() == 200
    assert [(entry.id, entry.body) for entry in house.store.sorted()] == [("m7", "hello")]
    assert deliver(guest, FakeIncoming("hello", "m7")).answer == 200 and len(house.store.rows) == 1
    assert invite(guest, house, b"nonsense")() == 400
    assert invite(guest, house, CPIM.replace(b"m7", b"m8") % b"Content-Type: x/y\r\n\r\nz")() == 415


async def test_a_first_message_that_cannot_be_stored_or_comes_too_late(house: House, guest: GuestSession) -> None:
    house.store.holds = True
    broken = invite(guest, house, CPIM % b"Content-Type: text/plain\r\n\r\nhello")
    house.store.broken = True
    house.store.commit()
    assert broken() == 500
    house.store.broken = False
    late = invite(guest, house, CPIM % b"Content-Type: text/plain\r\n\r\nhello")
    ending = asyncio.ensure_future(guest.end_relation("a", "revoked"))
    await turns()
    house.store.commit()
    await ending
    assert late() == 480


async def test_chats_of_a_guest_are_capped(house: House) -> None:
    house = House(max_chats=2)
    guest = await house.login()
    assert [invite(guest, house)() for _ in range(3)] == [200, 200, 486]


async def test_no_chat_begins_while_the_session_ends(house: House, guest: GuestSession) -> None:
    house.agent.leaving = asyncio.Event()
    ending = asyncio.ensure_future(house.guests.account_ended(ACCOUNT, "logout"))
    await turns()
    assert invite(guest, house)() == 480
    house.agent.leaving.set()
    await ending


@pytest.mark.parametrize("whole", [True, False])
async def test_nothing_is_sent_when_the_relation_ended_meanwhile(whole: bool) -> None:
    house = House(relation("a"), relation("c", id=2))
    guest = await house.login()
    await send(guest, "hello", "key")
    house.store.reading = asyncio.Event()
    sending = [asyncio.ensure_future(send(guest, text, key)) for text, key in (("hello", "key"), ("again", "other"))]
    await turns()
    if whole:
        await house.guests.account_ended(ACCOUNT, "logout")
    else:
        await house.guests.relation_ended(ACCOUNT, "a", "revoked")
    house.store.reading.set()
    for outcome in await asyncio.gather(*sending, return_exceptions=True):
        assert isinstance(outcome, Ended)
    assert house.agent.invites == 1


# events


async def test_events_are_offered_in_the_order_of_commits(house: House, guest: GuestSession) -> None:
    heard = listen(guest)
    house.store.holds = True
    for number in range(5):
        deliver(guest, FakeIncoming(f"{number}", f"m{number}"))
    assert guest.feed.latest() == 0, "a cursor counts when it is committed"
    house.store.commit(2)
    assert guest.feed.latest() == 2
    house.store.commit()
    assert [event.cursor for event in heard if event] == [1, 2, 3, 4, 5]
    assert guest.feed.latest() == 5


async def test_streams_are_capped(house: House) -> None:
    house = House(max_streams=2)
    guest = await house.login()
    stop = guest.feed.subscribe(lambda event: None)
    guest.feed.subscribe(lambda event: None)
    with pytest.raises(TooManyRequests):
        guest.feed.subscribe(lambda event: None)
    stop()
    stop()
    guest.feed.subscribe(lambda event: None)
    assert guest.feed.watched


async def test_the_network_is_lost_and_back(house: House, guest: GuestSession) -> None:
    heard = listen(guest)
    agent = cast(UserAgent, house.agent)
    failed = RegistrationFailed(None, 1.0, False)
    for event in (failed, failed, Registered(60, (), ()), Registered(60, (), ())):
        guest.registration_changed(agent, event)
    await turns()
    assert [event.session.state for event in heard if event and event.session] == ["failed", "restored"]


async def test_the_end_of_the_account_ends_the_streams(house: House, guest: GuestSession) -> None:
    heard = listen(guest)
    await house.guests.account_ended(guest.account, "expired")
    assert heard[-1] is None
    last = heard[-2]
    assert last is not None and last.session is not None and last.session.state == "expired"
    assert len(house.guests) == 0 and house.guests.known("Basic x") is None


async def test_messages_that_wait_fail_when_the_relation_ends(house: House, guest: GuestSession) -> None:
    """Also when the chat had not even begun to open."""
    house.agent.gate.clear()
    early = asyncio.ensure_future(send(guest, "hello"))
    await turns()
    await guest.end_relation("a", "revoked")
    with pytest.raises(ServiceError) as caught:
        await early
    assert caught.value.status == 409 and caught.value.sip is not None
    guest.relate(relation("a"))
    late = asyncio.ensure_future(send(guest, "hello"))
    await asyncio.sleep(0)
    await guest.end_relation("a", "revoked")
    with pytest.raises(ServiceError):
        await late


async def test_what_was_open_at_the_last_end_is_sent_again(house: House, guest: GuestSession) -> None:
    house.agent.chat_answer = None
    answer = await send_in_haste(house, guest, "hello")
    [entry] = house.store.sorted()
    after = House()
    after.store.rows = house.store.rows
    after.lifecycle.cursor = 1
    again = await after.login()
    heard = listen(again)
    await turns(30)
    assert [message.message_id for message in after.agent.chats[0].sent] == [answer.id]
    assert states(heard) == [(answer.id, "sent")] or rows(after) == [("hello", "sent")]
    assert entry.id == answer.id
