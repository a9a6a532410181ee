"""Offers and answers of chats that run, on real connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sipstack.errors import RequestFailed, SipstackError, TransactionTimeout
from sipstack.msrp.message import MessageState
from sipstack.net import reinvite, renegotiation
from sipstack.net.chat import ChatSession
from sipstack.net.endpoint import Endpoint
from sipstack.sdp import SessionDescription
from sipstack.sip import dialog
from sipstack.sip.message import Request
from sipstack.sip.transaction import ServerTransaction

from .helpers import B, Chats, World, pair, until

SLOW_RECOVERY = {"msrp_recovery": 30.0}
BIG = "0123456789abcdef" * 200_000


def cut(endpoint: Endpoint, chat: ChatSession) -> None:
    """Break the MSRP connection of a chat."""
    connection = chat.msrp.connection
    assert connection is not None
    endpoint.hub._links[connection].abort()


def invites(around: World) -> list[SessionDescription]:
    """Return what the INVITEs so far have offered."""
    return [SessionDescription.parse(request.body) for request in around.core.requests if request.method == "INVITE"]


def answer_with(around: World, status: int, times: int = 99) -> list[Request]:
    """Have the core refuse the next re-INVITEs, and return where they are noted."""
    refused: list[Request] = []
    usual = around.core.endpoint.on_request
    assert usual is not None

    def request(transaction: ServerTransaction, request: Request) -> bool:
        if request.method == "INVITE" and request.to.tag is not None and len(refused) < times:
            refused.append(request)
            if status:
                around.core.endpoint.reply(transaction, status)
            return True
        return usual(transaction, request)

    around.core.endpoint.on_request = request
    return refused


async def re_invite(
    around: World, chat: ChatSession, body: bytes, answer: Callable[[SessionDescription], bytes] | None = None
) -> bytes:
    """Send a re-INVITE by hand and return what the peer describes in its 200, which ``answer`` is an answer to."""
    inside = chat.dialog
    assert inside is not None
    sdp = [("Content-Type", "application/sdp")]
    headers = [("Contact", chat.agent.contact()), *(sdp if body else [])]
    request = inside.create_request("INVITE", headers=headers, body=body)
    response = await around.a.request(request)
    inside.receive_response(request, response)
    assert response.status == 200
    ack = inside.create_ack(request.cseq.number)
    if answer is not None:
        ack.body = answer(SessionDescription.parse(response.body))
        ack.headers.add("Content-Type", "application/sdp")
    around.a.send_stateless(ack, inside.next_hop)
    return response.body


@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_recovery_in_the_middle_of_a_message(who: str) -> None:
    """C-SET-05, C-BR-12, C-BAD-13: a new path on both sides, the rest of the octets with the same Message-ID."""
    async with pair() as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        paths = chat.msrp.local, phone.open[0].msrp.local
        pending = chat.send(BIG)
        await until(lambda: pending.written > 500_000)
        if who == "caller":
            cut(around.a, chat)
        else:
            cut(around.b, phone.open[0])
        await until(lambda: pending.state is not MessageState.PENDING)
        assert pending.state is MessageState.SENT
        assert phone.chats.texts == ["hello", BIG]
        assert phone.chats.messages[1].message_id == pending.message_id
        assert chat.msrp.local != paths[0] and phone.open[0].msrp.local != paths[1]
        assert not chats.closed and not phone.chats.closed
        assert len(around.a.hub.sessions) == len(around.b.hub.sessions) == 1
        assert (await phone.open[0].deliver("well received")).state is MessageState.SENT
        assert around.core.methods().count("INVITE") == 2


async def test_many_losses_in_one_message() -> None:
    """C-SET-05: each time it goes on where it stopped."""
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        pending = chat.send(BIG)
        for part in range(1, 8):
            await until(lambda: pending.confirmed > part * 300_000)  # noqa: B023  # it is awaited in the same turn
            if chat.msrp.is_bound:
                cut(around.a, chat)
        await until(lambda: pending.state is not MessageState.PENDING)
        assert pending.state is MessageState.SENT and phone.chats.texts == [BIG]


@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_new_path_in_the_middle_of_a_message(who: str) -> None:
    """C-SET-05, C-BR-12: nothing was lost, so nothing is resent but a chunk that was under way."""
    async with pair() as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        former = chat.msrp, phone.open[0].msrp
        pending = [chat.send(BIG), chat.send("after it")]
        answer = phone.open[0].send("the other way " * 10_000)
        await until(lambda: pending[0].written > 500_000)
        (chat if who == "caller" else phone.open[0]).renegotiate()
        await until(lambda: pending[1].state is answer.state is MessageState.SENT)
        assert pending[0].state is MessageState.SENT
        assert phone.chats.texts == ["hello", BIG, "after it"]
        assert [len(text) for text in chats.texts] == [140_000]
        await until(lambda: former[0].closed and former[1].closed)
        assert chat.msrp is not former[0] and phone.open[0].msrp is not former[1]
        assert len(around.a.hub.sessions) == len(around.b.hub.sessions) == 1
        offers = [description.origin for description in invites(around)]
        if who == "caller":
            assert offers[1].session_id == offers[0].session_id and offers[1].version == offers[0].version + 1
        (await chat.close())
        await until(lambda: phone.chats.closed)


async def test_refresh_leaves_the_connection() -> None:
    """C-SES-01, A-OA-02, B-CHT-18: nothing changed, the o= line is the same, and so is the connection."""
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        other = phone.open[0]
        connections = chat.msrp.connection, other.msrp.connection
        pending = chat.send(BIG)
        await until(lambda: pending.written)
        offer = invites(around)[0]
        first = await re_invite(around, chat, bytes(offer))
        second = await re_invite(around, chat, bytes(offer))
        assert first == second and SessionDescription.parse(first).media[0].attribute("path") == other.msrp.local
        await until(lambda: pending.state is MessageState.SENT)
        assert (chat.msrp.connection, other.msrp.connection) == connections
        # An offer of theirs is the same session too (A-OA-03).
        theirs = await re_invite(around, chat, b"", lambda offer: bytes(chat.make_answer(offer, "active")))
        assert SessionDescription.parse(theirs).media[0].attribute("path") == other.msrp.local
        assert (await chat.deliver("still here")).state is MessageState.SENT
        assert (chat.msrp.connection, other.msrp.connection) == connections


async def test_changed_types_and_direction_leave_the_connection() -> None:
    """C-SES-01, C-SES-05: what changes beside the path is taken over; hold is answered by its mirror."""
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        other = phone.open[0]
        connection = other.msrp.connection
        assert other.wraps
        offer = invites(around)[0]
        medium = offer.media[0]
        medium.lines = [
            (name, "accept-types:text/plain" if value.startswith("accept-types") else value)
            for name, value in medium.lines
            if not value.startswith("accept-wrapped")
        ]
        await re_invite(around, chat, bytes(offer))
        await until(lambda: not other.wraps)
        assert other.msrp.remote_types == ("text/plain",)
        for theirs, ours in (("inactive", "inactive"), ("sendonly", "recvonly"), ("sendrecv", "sendrecv")):
            medium.lines[-1] = ("a", theirs)
            answer = SessionDescription.parse(await re_invite(around, chat, bytes(offer)))
            assert answer.media[0].attribute(ours) is not None
        assert (await other.deliver("plain")).state is MessageState.SENT
        assert other.msrp.connection is connection


async def test_both_offer_at_the_same_time() -> None:
    """A-INV-04, A-INV-05, A-INV-06: each refuses the other's with 491, one comes back earlier: one new session."""
    async with pair() as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        other = phone.open[0]
        former = chat.msrp.local, other.msrp.local
        sent = [chat.send(BIG), other.send(BIG)]
        await until(lambda: sent[0].written and sent[1].written)
        chat.renegotiate()
        other.renegotiate()
        await until(lambda: all(message.state is MessageState.SENT for message in sent))
        await until(lambda: chat.msrp.local != former[0] and other.msrp.local != former[1])
        assert phone.chats.texts == ["hello", BIG] and chats.texts == [BIG]
        assert (await chat.deliver("one")).state is (await other.deliver("two")).state is MessageState.SENT
        assert not chats.closed and not phone.chats.closed
        assert len(around.a.hub.sessions) == len(around.b.hub.sessions) == 1


async def test_refused_offer_leaves_the_chat_as_it_was() -> None:
    """A-INV-07: 488 to a re-INVITE."""
    async with pair() as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        refused = answer_with(around, 488)
        former = chat.msrp
        pending = chat.send(BIG)
        chat.renegotiate()
        later = chat.send("while it is asked")
        await until(lambda: refused and chat.msrp is former)
        await until(lambda: pending.state is later.state is MessageState.SENT)
        assert phone.chats.texts[1:] == [BIG, "while it is asked"]
        assert not chats.closed and len(around.a.hub.sessions) == 1


@pytest.mark.parametrize(
    ("status", "error"), [(481, RequestFailed), (408, RequestFailed), (488, RequestFailed), (0, TransactionTimeout)]
)
async def test_recovery_that_fails(status: int, error: type[SipstackError], monkeypatch: pytest.MonkeyPatch) -> None:
    """A-DLG-09: 481, 408 and no answer end the dialog; without a connection any other refusal does too."""
    monkeypatch.setattr(reinvite, "ANSWER_TIMEOUT", 0.3)
    async with pair(b=SLOW_RECOVERY) as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        answer_with(around, status)
        around.core.endpoint.on_cancel = lambda transaction, request: None
        pending = chat.send(BIG)
        await until(lambda: pending.written)
        cut(around.a, chat)
        await until(lambda: chats.closed)
        assert chats.closed[0][1] == "connection-lost" and isinstance(chats.closed[0][2], error)
        assert pending.state is MessageState.UNKNOWN
        assert not around.a.dialogs and not len(around.a.hub.sessions)
        if status in (0, 488):
            await until(lambda: "BYE" in around.core.methods())


async def test_peer_that_is_never_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A-INV-05: 491 again and again: some day the chat goes on as it was."""
    monkeypatch.setattr(dialog, "OWNER_GLARE", (0.01, 0.02))
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        former = chat.msrp
        refused = answer_with(around, 491)
        chat.renegotiate()
        await until(lambda: len(refused) == renegotiation.MAX_GLARES + 1)
        await until(lambda: chat.msrp is former)
        assert (await chat.deliver("still here")).state is MessageState.SENT
        assert len(refused) == renegotiation.MAX_GLARES + 1 and phone.chats.texts == ["hello", "still here"]


async def test_idle_chat_ends_some_time_after_its_connection() -> None:
    """C-SET-05: nobody needs a new one."""
    options = {"msrp_recovery": 0.2}
    async with pair(a=options, b=options) as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        cut(around.a, chat)
        assert chat.is_open
        await until(lambda: chats.closed and phone.chats.closed)
        assert {chats.closed[0][1], phone.chats.closed[0][1]} <= {"connection-lost", "remote"}
        assert around.core.methods().count("INVITE") == 1
        assert not around.a.dialogs and not around.b.dialogs


async def test_message_of_an_idle_chat_that_has_lost_its_connection() -> None:
    async with pair(a=SLOW_RECOVERY, b=SLOW_RECOVERY) as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        cut(around.a, chat)
        await until(lambda: not chat.msrp.is_bound and not phone.open[0].msrp.is_bound)
        assert (await phone.open[0].deliver("are you there?")).state is MessageState.SENT
        assert (await chat.deliver("yes")).state is MessageState.SENT
        assert chats.texts == ["are you there?"] and phone.chats.texts == ["hello", "yes"]
        assert around.core.methods().count("INVITE") == 2


async def test_notification_of_an_idle_chat_that_has_lost_its_connection() -> None:
    """What is not worth a new connection at once is worth it in the end."""
    async with pair(a={"msrp_recovery": 0.2}, b=SLOW_RECOVERY) as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        cut(around.a, chat)
        await until(lambda: not chat.msrp.is_bound)
        quiet = chat.msrp.send(b"seen", "text/plain")
        await until(lambda: quiet.state is MessageState.SENT)
        assert around.core.methods().count("INVITE") == 2


async def test_unfinished_message_of_a_peer_that_does_not_notice() -> None:
    """C-BAD-13: who has the beginning of a message offers the peer a way to go on."""
    async with pair(a={"msrp_recovery": 0.2}) as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        other = phone.open[0]
        pending = other.send(BIG)
        await until(lambda: chat.msrp.has_partials)
        # The connection breaks on one side only.
        connection = chat.msrp.connection
        assert connection is not None
        around.a.hub._links[connection].transport.pause_reading()  # type: ignore[union-attr]  # it is up
        connection.receive_eof()
        around.a.hub._links[connection]._hand_on()
        await until(lambda: pending.state is not MessageState.PENDING)
        assert pending.state is MessageState.SENT and chats.texts == [BIG]


async def test_medium_is_stopped_by_port_zero() -> None:
    """A-OA-01: the answer has port 0 too; a chat without medium is over."""
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        offer = invites(around)[0]
        offer.media[0].port = 0
        answer = SessionDescription.parse(await re_invite(around, chat, bytes(offer)))
        assert answer.media[0].port == 0
        await until(lambda: phone.chats.closed)
        assert phone.chats.closed[0][1] == "remote"
        await until(lambda: not around.b.dialogs)


async def test_another_path_in_the_answer_to_their_offer() -> None:
    """C-SES-01: an answer may come with another path than before; then ours is renewed too."""
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        await chat.deliver("hello")
        other = phone.open[0]
        former = other.msrp.local

        def elsewhere(offer: SessionDescription) -> bytes:
            answer = chat.make_answer(offer, "active")
            answer.media[0].lines = [
                (name, value.replace(chat.msrp.local, "msrp://127.0.0.1:9/elsewhere;tcp"))
                for name, value in answer.media[0].lines
            ]
            return bytes(answer)

        await re_invite(around, chat, b"", elsewhere)
        await until(lambda: other.msrp.local != former and other.msrp.is_bound)
        assert (await other.deliver("by the new path")).state is MessageState.SENT


@pytest.mark.parametrize("end", [lambda chat: chat.hang_up(), lambda chat: chat.agent.endpoint.hub])
async def test_end_of_a_chat_whose_offer_is_out(end: Callable[[ChatSession], object]) -> None:
    async with pair() as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        await chat.deliver("hello")
        chat.renegotiate()
        if end(chat) is None:
            await until(lambda: phone.chats.closed)
            await until(lambda: "ACK" in around.core.methods()[-3:])
            assert [reason for _, reason, _ in chats.closed] == ["local"]
        else:
            await phone.open[0].close()
            await until(lambda: chats.closed)
        chat.renegotiate()
        await asyncio.sleep(0)
        await until(lambda: not len(around.a.hub.sessions) and not len(around.b.hub.sessions))
