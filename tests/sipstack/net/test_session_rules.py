"""Rules on sessions that SIP and MSRP keep together: C-RSP-10, C-SES-*, C-SET-01, C-SET-07, C-URI-04, C-BAD-10."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipstack.errors import RequestFailed
from sipstack.im.imdn import Disposition, Imdn
from sipstack.im.iscomposing import ComposingState, IsComposing
from sipstack.msrp.chunk import Chunk, MsrpResponse
from sipstack.msrp.connection import MAX_FAULTS
from sipstack.msrp.message import MessageState, OutgoingMessage
from sipstack.msrp.uri import parse_path
from sipstack.net import hub as hub_module
from sipstack.net import notices
from sipstack.net.chat import ChatSession
from sipstack.sdp import SessionDescription
from sipstack.sdp_msrp import Direction
from sipstack.sip.message import Request

from .helpers import B, Chats, pair, until
from .test_hub import MakeHub, Owner, RawPeer, Settled, chunk, make_hub

__all__ = ["make_hub"]

RCS: dict[str, Any] = {
    "accept_types": notices.ACCEPT_TYPES,
    "accept_wrapped_types": notices.ACCEPT_WRAPPED_TYPES,
}
SEEN = Imdn("m1", "display", Disposition.DISPLAYED)
TYPES = IsComposing(ComposingState.ACTIVE, "text/plain", 60)


# C-SES


async def test_peer_that_lists_plain_text_only() -> None:
    # C-SES-04: no CPIM, no typing and no notification to it.
    async with pair(a=RCS, b={"accept_types": ("text/plain",), "accept_wrapped_types": ()}) as (_, agent, _, phone):
        chat = await agent.invite(B, Chats())
        assert not chat.wraps and notices.send_composing(chat, TYPES) is None
        assert notices.send_notification(chat, SEEN) is None
        assert (await chat.deliver("bare")).state is MessageState.SENT
        assert phone.chats.messages[0].cpim is None
        assert (await chat.deliver(b"x", "image/png")).status == 415
        assert len(phone.chats.messages) == 1


def directed(description: SessionDescription, direction: Direction) -> SessionDescription:
    """Return ``description`` with this direction in its first medium."""
    medium = description.media[0]
    medium.lines = [line for line in medium.lines if line != ("a", "sendrecv")]
    medium.lines.append(("a", direction))
    return description


@pytest.mark.parametrize(
    ("direction", "they_may", "we_may"),
    [("sendrecv", True, True), ("sendonly", True, False), ("recvonly", False, True), ("inactive", False, False)],
)
async def test_directions(monkeypatch: pytest.MonkeyPatch, direction: Direction, they_may: bool, we_may: bool) -> None:
    # C-SES-05: they stop payload only; typing, notifications and reports flow in any case.
    offer = ChatSession.make_offer
    monkeypatch.setattr(
        ChatSession, "make_offer", lambda self, *, active=False: directed(offer(self, active=active), direction)
    )
    async with pair(a=RCS, b=RCS) as (_, agent, _, phone):
        chats = Chats()
        theirs = await agent.invite(B, chats)
        ours = phone.open[0]
        for chat, may in ((theirs, they_may), (ours, we_may)):
            message = await chat.deliver("payload")
            assert (message.state, message.status) == ((MessageState.SENT, 200) if may else (MessageState.FAILED, 403))
        for chat, other in ((theirs, phone.chats), (ours, chats)):
            other.messages.clear()
            notification, typing = notices.send_notification(chat, SEEN), notices.send_composing(chat, TYPES)
            assert notification is not None and typing is not None
            await until(lambda other=other: len(other.messages) == 2)  # type: ignore[misc]  # binds the loop variable


async def test_hold_and_go_on() -> None:
    # C-SES-05, C-SES-01: a re-INVITE changes the direction, the connection stays.
    async with pair(a=RCS, b=RCS) as (_, agent, _, phone):
        chat = await agent.invite(B, Chats())
        ours = phone.open[0]
        assert (await ours.deliver("before")).state is MessageState.SENT
        connection = ours.msrp.connection
        for direction, status in (("inactive", 403), ("sendrecv", 200)):
            offer = directed(chat.make_offer(active=True), direction)  # type: ignore[arg-type]  # both are directions
            remote = ours.medium(offer)
            ours.refresh(offer, remote)
            assert (await ours.deliver("now")).status == status
        assert ours.msrp.connection is connection


# C-RSP-10

ALTERNATIVES = (
    b"--x\r\nContent-Type: text/plain;charset=utf-8\r\n\r\nplain\r\n"
    b"--x\r\nContent-Type: text/html\r\n\r\n<b>rich</b>\r\n--x--"
)
WRAPPER = b"From: <sip:a@b>\r\nTo: <sip:a@b>\r\nNS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: i1234\r\n\r\n"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/alternative;boundary=x", ALTERNATIVES, 200),
        ("multipart/mixed;boundary=x", ALTERNATIVES, 200),
        ("message/cpim", WRAPPER + b"Content-Type: Multipart/Alternative; boundary=x\r\n\r\n" + ALTERNATIVES, 200),
        ("multipart/mixed;boundary=x", b"--x\r\nContent-Type: image/png\r\n\r\nPNG\r\n--x--", 415),
        ("multipart/mixed;boundary=x", b"--x\r\nwithout end", 400),
    ],
    ids=["alternative", "mixed", "inside CPIM", "nothing for us", "malformed"],
)
async def test_bodies_of_several_parts(content_type: str, body: bytes, status: int) -> None:
    # C-RSP-10: announced like any other type (RFC 4975 section 8.6), taken if anything in them can be.
    async with pair() as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        offer = next(request for request in around.core.requests if request.method == "INVITE").body
        assert b"a=accept-types:message/cpim text/plain multipart/mixed multipart/alternative\r\n" in offer
        answered: asyncio.Future[OutgoingMessage] = asyncio.get_running_loop().create_future()
        chat.msrp.send(body, content_type, on_done=answered.set_result)
        assert (await asyncio.wait_for(answered, 5)).status == status
        assert phone.chats.texts == (["plain"] if status == 200 else [])


async def test_containers_are_nothing_in_common() -> None:
    # C-SES-04: both take bodies of several parts, but nothing that could be in them.
    types = ("image/png", "multipart/mixed")
    async with pair(a={"accept_types": types, "accept_wrapped_types": ()}) as (_, agent, _, _):
        with pytest.raises(RequestFailed) as caught:
            await agent.invite(B, Chats())
        assert caught.value.response.status == 488


# C-SET-07


@pytest.mark.parametrize("late", [False, True], ids=["ACK in time", "late ACK"])
async def test_peer_never_connects(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    # C-SET-07: its time begins with the ACK; then BYE says why.
    monkeypatch.setattr(hub_module, "BIND_TIMEOUT", 0.1)
    async with pair(a={"msrp_setup": "active"}) as (around, agent, _, phone):
        around.a.hub._connect = lambda *_: None  # type: ignore[method-assign]  # who should connect does not
        held: list[Request] = []
        deliver = ChatSession.confirmed
        if late:
            monkeypatch.setattr(ChatSession, "confirmed", lambda self, ack: held.append(ack))
        await agent.invite(B, Chats())
        if late:
            await until(lambda: held)
            await asyncio.sleep(0.2)
            assert phone.chats.closed == []
            deliver(phone.open[0], held[0])
        await until(lambda: phone.chats.closed and around.core.methods().count("BYE"))
        assert phone.chats.closed[0][1] == "connection-lost"
        bye = next(request for request in around.core.requests if request.method == "BYE")
        assert str(bye.headers.get("Reason")).startswith("SIP;cause=408")


async def test_offer_in_the_200_and_nobody_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    # C-SET-07, for the caller: the 200 is there, its time has begun.
    monkeypatch.setattr(hub_module, "BIND_TIMEOUT", 0.1)
    async with pair(b={"msrp_setup": "active"}) as (around, agent, _, _):
        around.b.hub._connect = lambda *_: None  # type: ignore[method-assign]  # who should connect does not
        chats = Chats()
        await agent.invite(B, chats)
        await until(lambda: chats.closed and around.core.methods().count("BYE"))
        bye = next(request for request in around.core.requests if request.method == "BYE")
        assert str(bye.headers.get("Reason")).startswith("SIP;cause=408")


# MSRP over sockets


async def test_passive_side_waits_for_the_first_request(make_hub: MakeHub) -> None:
    # C-SET-01: not one octet before the peer has shown which session is its.
    hub = await make_hub()
    owner, done = Owner(), Settled()
    session = hub.create_session(owner, max_size=1000)
    hub.open(session, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    session.send(b"early", "text/plain", on_done=done)
    peer = await RawPeer.connect(hub)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(peer.reader.read(1), 0.05)
    peer.writer.write(chunk(session))
    frames = [await peer.frame(), await peer.frame()]
    assert {type(frame) for frame in frames} == {MsrpResponse, Chunk}
    await peer.close()
    await owner.until(lambda: len(owner.closed) == 1)


async def test_path_of_three(make_hub: MakeHub) -> None:
    # C-URI-04: connect to the leftmost, ask for all of them in order.
    hub = await make_hub()
    first: asyncio.Future[RawPeer] = asyncio.get_running_loop().create_future()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.set_result(RawPeer(reader, writer))

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = f"msrp://127.0.0.1:{port}/r1;tcp msrps://r2.invalid:2855/r2;tcp msrp://192.0.2.99:9/peer;tcp"
    session = hub.create_session(Owner(), max_size=1000)
    hub.open(session, parse_path(path), active=True)
    peer = await asyncio.wait_for(first, 5)
    frame = await peer.frame()
    assert isinstance(frame, Chunk) and (frame.to_path, frame.from_path) == (path, session.local)
    await peer.close()
    server.close()
    await server.wait_closed()


async def test_sixth_fault_finds_the_socket_closed(make_hub: MakeHub) -> None:
    # C-BAD-10
    hub = await make_hub()
    owner = Owner()
    session = hub.create_session(owner, max_size=1000)
    hub.open(session, parse_path("msrp://127.0.0.1:9/peer;tcp"), active=False)
    peer = await RawPeer.connect(hub)
    peer.writer.write(chunk(session, tid="tid00000"))
    assert isinstance(await peer.frame(), MsrpResponse)
    for number in range(MAX_FAULTS):
        peer.writer.write(chunk(session, tid=f"bad{number:05}").replace(b"Byte-Range: 1-", b"Byte-Range: x-"))
        frame = await peer.frame()
        assert isinstance(frame, MsrpResponse) and frame.status == 400
    assert await peer.closed()
    await peer.close()
    await owner.until(lambda: len(owner.closed) == 1)
