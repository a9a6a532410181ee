"""Chats through border elements over sockets: C-CEM-01, C-CEM-02, C-CEM-03, C-CEM-04."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipstack.errors import RequestFailed
from sipstack.msrp.message import MessageState
from sipstack.net.chat import ChatSession
from sipstack.net.tls import Tls
from sipstack.sdp import SessionDescription
from sipstack.sip.message import Request, Response

from .border import HOST, Border
from .certificates import make_tls, write_certificate
from .helpers import B, Chats, World, pair, until
from .tcprelay import TcpRelay
from .test_renegotiation import answer_with, cut, invites


async def talk(chat: ChatSession, other: ChatSession) -> None:
    """Send a message each way."""
    assert (await chat.deliver("hello" * 1000)).state is MessageState.SENT
    assert (await other.deliver("answer")).state is MessageState.SENT


def attributes(description: SessionDescription, name: str) -> str | None:
    """Return an attribute of the only medium."""
    return description.media[0].attribute(name)


@pytest.mark.parametrize("connecting", ["caller", "callee"])
async def test_middlebox_that_changes_addresses_only(connecting: str) -> None:
    """C-CEM-01: connected by c= and m=, spoken of by a=path."""
    border = Border()
    # Nobody reaches anybody but the border.
    options: dict[str, Any] = {"msrp_allowed": lambda host, port: host == HOST}
    callee = options | {"msrp_setup": "active" if connecting == "callee" else "actpass"}
    async with border, pair(a=options, b=callee) as (around, agent, _, phone):
        around.core.rewrite = border.rewrite
        chats = Chats()
        chat = await agent.invite(B, chats)
        other = phone.open[0]
        await talk(chat, other)
        assert phone.chats.texts == ["hello" * 1000] and chats.texts == ["answer"]
        assert border.connections == 1 and border.octets > 5000
        offer, answer = border.descriptions[:2]
        for description, setup in ((offer, "actpass"), (answer, "active" if connecting == "callee" else "passive")):
            assert attributes(description, "msrp-cema") == "" and attributes(description, "setup") == setup
        # Of the sessions, only their own URIs are spoken.
        assert attributes(offer, "path") == chat.msrp.local and attributes(answer, "path") == other.msrp.local
        assert chat.msrp.remote == other.msrp.local and other.msrp.remote == chat.msrp.local
        # A lost connection is replaced by the same way.
        cut(around.a, chat)
        assert (await chat.deliver("again")).state is MessageState.SENT
        assert border.connections == 2 and not chats.closed


async def test_destination_that_is_not_allowed() -> None:
    """C-CEM-01: what c= and m= say is checked like any address that a peer has chosen."""
    border = Border()
    async with border, pair(a={"msrp_allowed": lambda host, port: host != HOST}) as (around, agent, _, phone):
        around.core.rewrite = border.rewrite
        chats = Chats()
        await agent.invite(B, chats)
        await until(lambda: chats.closed)
        _, reason, error = chats.closed[0]
        assert reason == "connection-lost" and "not an allowed destination" in str(error)
        assert border.connections == 0


@pytest.mark.parametrize("by", ["fingerprint", "name"])
async def test_tls_end_to_end_through_a_middlebox(by: str, tmp_path: Path) -> None:
    """C-CEM-01: the certificate is that of the peer in a=path, wherever the connection leads (RFC 6714 section 6.5)."""
    border = Border()
    certificate, key = write_certificate(tmp_path, "b")
    theirs = Tls(certificate, key, certificate)
    ours = make_tls(tmp_path, "a") if by == "fingerprint" else Tls(*write_certificate(tmp_path, "a"), certificate)
    if by == "name":
        theirs.fingerprint = None
    options = {"msrp_tls": ours, "msrp_security": "offer"}
    async with border, pair(a=options, b={"msrp_tls": theirs}) as (around, agent, _, phone):
        around.core.rewrite = border.rewrite
        chat = await agent.invite(B, Chats())
        await talk(chat, phone.open[0])
        assert border.connections == 1 and chat.msrp.local_uri.secure


def without_attribute(message: Any) -> None:
    """Take msrp-cema out of a description, as somebody would who does not know it."""
    message.body = message.body.replace(b"a=msrp-cema\r\n", b"")


@pytest.mark.parametrize("setup", ["active", "passive"])
async def test_fallback_to_a_middlebox_that_translates(setup: str) -> None:
    """C-CEM-02: an answer without msrp-cema that looks changed: a new offer without it, unless we connect ourselves."""
    border = Border("adapt")
    callee = {"msrp_cema": False, "msrp_setup": "active" if setup == "active" else "actpass"}

    seen: set[int] = set()

    def rewrite(message: Any) -> None:
        # The first answer says nothing of CEMA, and is anchored like the offer, however often it comes.
        seen.add(message.cseq.number)
        border.mode = "anchor" if message.cseq.number == min(seen) else "adapt"
        border.rewrite(message)

    async with border, pair(b=callee) as (around, agent, _, phone):
        around.core.rewrite = rewrite
        chats = Chats()
        chat = await agent.invite(B, chats)
        message = chat.send("hello")
        await until(lambda: message.state is not MessageState.PENDING)
        assert message.state is MessageState.SENT and phone.chats.texts == ["hello"]
        await talk(chat, phone.open[0])
        offers = invites(around)
        assert attributes(offers[0], "msrp-cema") == ""
        if setup == "passive":
            # We connect: to c= and m= after all.
            assert len(offers) == 1
        else:
            assert len(offers) == 2 and attributes(offers[1], "msrp-cema") is None
            assert attributes(offers[1], "path") == chat.msrp.local != attributes(offers[0], "path")
            # From then on there is no more of it.
            chat.renegotiate()
            await until(lambda: len(invites(around)) == 3)
            assert attributes(invites(around)[2], "msrp-cema") is None
        assert not chats.closed


@pytest.mark.parametrize("behind", ["caller", "callee"])
async def test_middlebox_between_somebody_and_a_relay(behind: str) -> None:
    """C-CEM-01: whoever has no relay connects, by c= and m=, to the middlebox, and that to the relay."""
    border = Border()
    async with border, TcpRelay() as relay:
        relayed: dict[str, Any] = {"msrp_relays": (relay.uri,)}
        direct: dict[str, Any] = {"msrp_allowed": lambda host, port: host == HOST}
        ours, theirs = (relayed, direct) if behind == "caller" else (direct, relayed)
        async with pair(a=ours, b=theirs) as (around, agent, _, phone):
            around.core.rewrite = border.rewrite
            chat = await agent.invite(B, Chats())
            await talk(chat, phone.open[0])
            assert border.connections == 1 and relay.forwarded > 2
            offer, answer = border.descriptions[:2]
            assert attributes(offer, "setup") == "actpass"
            assert attributes(answer, "setup") == ("active" if behind == "caller" else "passive")
            assert attributes(offer, "msrp-cema") == attributes(answer, "msrp-cema") == ""


@pytest.mark.parametrize("behind", ["caller", "callee"])
async def test_fallback_because_of_a_relay(behind: str) -> None:
    """C-CEM-02: a relay on either side cannot be reached through a middlebox without CEMA on both."""
    border = Border()
    async with border, TcpRelay() as relay:
        relayed: dict[str, Any] = {"msrp_relays": (relay.uri,)}
        ours, theirs = (relayed, {}) if behind == "caller" else ({}, relayed)

        def rewrite(message: Any) -> None:
            # After the first answer the middlebox gets out of the way.
            if len(border.descriptions) < 2:
                border.rewrite(message)

        async with pair(a=ours, b={"msrp_cema": False, **theirs}) as (around, agent, _, phone):
            around.core.rewrite = rewrite
            chats = Chats()
            chat = await agent.invite(B, chats)
            await talk(chat, phone.open[0])
            offers = invites(around)
            assert len(offers) == 2 and border.connections == 0
            assert attributes(offers[0], "msrp-cema") == "" and attributes(offers[1], "msrp-cema") is None
            assert not chats.closed


async def test_fallback_that_is_refused() -> None:
    """C-CEM-02: or the session ends."""
    border = Border()
    async with border, pair(b={"msrp_cema": False, "msrp_setup": "active"}) as (around, agent, _, phone):
        around.core.rewrite = border.rewrite
        refused = answer_with(around, 488)
        chats = Chats()
        chat = await agent.invite(B, chats)
        message = chat.send("hello")
        await until(lambda: chats.closed)
        _, reason, error = chats.closed[0]
        assert reason == "connection-lost" and isinstance(error, RequestFailed)
        assert message.state is MessageState.FAILED
        assert len(refused) == 1 and b"msrp-cema" not in refused[0].body
        await until(lambda: phone.chats.closed)


async def test_answer_by_name_is_compared_after_dns() -> None:
    """C-CEM-02: c= of the answer is a name of what stands in the path, so there is no middlebox."""

    def rewrite(message: Any) -> None:
        without_attribute(message)
        if isinstance(message, Response):
            message.body = message.body.replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 localhost")

    async with pair(b={"msrp_setup": "active"}) as (around, agent, _, phone):
        around.core.rewrite = rewrite
        (await agent.invite(B, Chats())).hang_up()  # before DNS has answered
        chat = await agent.invite(B, Chats())
        await talk(chat, phone.open[-1])
        assert len(invites(around)) == 2


def offers_as(around: World, *replacements: tuple[bytes, bytes]) -> None:
    """Have the core change the offers of INVITEs."""

    def rewrite(message: Any) -> None:
        if isinstance(message, Request):
            for old, new in replacements:
                message.body = message.body.replace(old, new)

    around.core.rewrite = rewrite


async def test_offer_that_a_middlebox_changed_without_cema_is_refused() -> None:
    """C-CEM-03: 488, in words."""
    async with pair(a={"msrp_cema": False}) as (around, agent, _, phone):
        offers_as(around, (b"c=IN IP4 127.0.0.1", b"c=IN IP4 127.0.0.9"))
        with pytest.raises(RequestFailed) as refusal:
            await agent.invite(B, Chats())
        response = refusal.value.response
        assert response.status == 488 and "msrp-cema" in response.warnings[0].text
        assert not phone.invitations


async def test_offer_by_names_is_compared_after_dns() -> None:
    """C-CEM-03: a name in the path that resolves to c= is fine; one that does not, or has no address, is not."""
    async with pair(a={"msrp_cema": False}) as (around, agent, _, phone):
        offers_as(around, (b"a=path:msrp://127.0.0.1", b"a=path:msrp://localhost"))
        await agent.invite(B, Chats())
        assert len(phone.invitations) == 1
        name = b"a=path:msrp://nowhere.invalid"
        offers_as(around, (b"a=path:msrp://127.0.0.1", name))
        with pytest.raises(RequestFailed) as refusal:
            await agent.invite(B, Chats())
        assert refusal.value.response.status == 488
        assert len(phone.invitations) == 1


async def test_changed_offer_within_a_chat() -> None:
    """C-CEM-03: refused there too; the chat goes on as it was."""
    async with pair(a={"msrp_cema": False}) as (around, agent, _, phone):
        chats = Chats()
        chat = await agent.invite(B, chats)
        offers_as(around, (b"c=IN IP4 127.0.0.1", b"c=IN IP4 127.0.0.9"))
        chat.renegotiate()
        await until(lambda: len(invites(around)) == 2)
        await until(lambda: chat.renegotiation._reinvite is None)
        await talk(chat, phone.open[0])
        assert not chats.closed


async def test_offer_by_names_within_a_chat() -> None:
    """C-CEM-03: compared after DNS there too; and a chat that ends meanwhile answers 487."""
    async with pair(a={"msrp_cema": False}) as (around, agent, _, phone):
        chat = await agent.invite(B, Chats())
        former = chat.msrp
        offers_as(around, (b"c=IN IP4 127.0.0.1", b"c=IN IP4 localhost"))
        chat.renegotiate()
        await until(lambda: phone.open[0].msrp.remote == chat.msrp.local and chat.msrp is not former)
        await talk(chat, phone.open[0])
        offers_as(around, (b"c=IN IP4 127.0.0.1", b"c=IN IP4 nowhere.invalid"))
        current = chat.msrp
        chat.renegotiate()
        await until(lambda: len(invites(around)) == 3)
        await until(lambda: chat.renegotiation._reinvite is None)
        assert chat.msrp is current
        chat.renegotiate()
        await until(lambda: len(invites(around)) == 4)
        await phone.open[0].close()


async def test_neither_side_knows_cema() -> None:
    """C-CEM-03 is for those who know it: without, a changed c= is harmless (C-URI-06)."""
    async with pair(a={"msrp_cema": False}, b={"msrp_cema": False}) as (around, agent, _, phone):
        offers_as(around, (b"c=IN IP4 127.0.0.1", b"c=IN IP4 127.0.0.9"))
        chat = await agent.invite(B, Chats())
        await talk(chat, phone.open[0])
        assert attributes(invites(around)[0], "msrp-cema") is None


@pytest.mark.parametrize("connecting", ["caller", "callee"])
@pytest.mark.parametrize("cema", [False, True])
async def test_b2bua_with_session_ids_of_its_own(cema: bool, connecting: str) -> None:
    """C-CEM-04: both URIs, addresses and session-ids, are others on each side."""
    border = Border("translate")
    options: dict[str, Any] = {"msrp_cema": cema, "msrp_allowed": lambda host, port: host == HOST}
    callee = options | {"msrp_setup": "active" if connecting == "callee" else "actpass"}
    async with border, pair(a=options, b=callee) as (around, agent, _, phone):
        around.core.rewrite = border.rewrite
        chats = Chats()
        chat = await agent.invite(B, chats)
        other = phone.open[0]
        await talk(chat, other)
        assert phone.chats.texts == ["hello" * 1000] and chats.texts == ["answer"]
        assert chat.msrp.remote != other.msrp.local and other.msrp.remote != chat.msrp.local
        assert border.connections == 1


async def test_offer_without_a_medium_of_ours() -> None:
    """There is nothing to compare: whoever answers finds out."""
    async with pair() as (around, agent, _, phone):
        offers_as(around, (b"TCP/MSRP", b"TCP/FOO"))
        with pytest.raises(RequestFailed) as refusal:
            await agent.invite(B, Chats())
        assert refusal.value.response.status == 488 and phone.invitations
