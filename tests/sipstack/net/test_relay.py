"""The paths of user agents through relays: asked for once, kept while needed, lost with the connection.

Of the rules: C-RLY-02, C-RLY-03, C-RLY-05, C-RLY-06.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipstack.errors import ConnectionClosed, RemoteProtocolError, RequestFailed, TransactionTimeout
from sipstack.msrp import connection as connection_module
from sipstack.msrp.message import MessageState, OutgoingMessage
from sipstack.msrp.uri import MsrpUri, parse_path
from sipstack.net import relay as relay_module
from sipstack.net.config import EndpointConfig
from sipstack.net.relay import RelayAccess
from sipstack.net.useragent import UserAgent

from .helpers import B, Chats, Phone, pair, until, world
from .tcprelay import TcpRelay
from .test_hub import MakeHub, Owner, make_hub

__all__ = ["make_hub"]


@asynccontextmanager
async def behind_relay(**options: Any) -> AsyncIterator[tuple[TcpRelay, UserAgent, UserAgent, Phone]]:
    """Start a world in which b is behind a relay, and a is not; ``options`` are for both endpoints."""
    async with TcpRelay() as relay:
        async with pair(a=options, b={"msrp_relays": (relay.uri,), **options}) as (_, a, b, phone):
            yield relay, a, b, phone


def access(agent: UserAgent) -> RelayAccess:
    """Return the access of an agent that is behind a relay."""
    assert agent.relay is not None
    return agent.relay


async def test_one_path_for_all_chats() -> None:
    async with behind_relay() as (relay, a, b, phone):
        await asyncio.gather(access(b).ready(), access(b).ready())
        await access(b).ready()
        assert relay.requests == ["AUTH"]
        await a.invite(B, Chats())
        assert phone.open[0].msrp.local_path[0] == access(b).use_path[0]
        assert len(b.endpoint.hub) == 1 and relay.requests == ["AUTH"]


async def test_another_path_when_the_connection_is_lost() -> None:
    async with behind_relay() as (relay, _, b, _):
        await access(b).ready()
        relay.cut()
        await until(lambda: not access(b).use_path)
        with pytest.raises(ConnectionClosed):
            b.endpoint.hub.create_session(Owner(), max_size=1, relay=access(b))
        await access(b).ready()
        assert relay.requests == ["AUTH", "AUTH"]


async def test_refused_invitation() -> None:
    async with behind_relay() as (relay, a, b, phone):
        relay.status = 403
        with pytest.raises(RequestFailed) as refusal:
            await a.invite(B, Chats())
        assert refusal.value.response.status == 480 and not phone.invitations
        with pytest.raises(RemoteProtocolError) as own:
            await b.invite(a.identity.aor, Chats())
        assert own.value.status == 403


async def test_path_lost_before_the_answer() -> None:
    async with behind_relay() as (relay, a, b, phone):
        phone.react = lambda invitation: None
        call = asyncio.ensure_future(a.invite(B, Chats()))
        await until(lambda: phone.invitations)
        relay.cut()
        await until(lambda: not access(b).use_path)
        with pytest.raises(ConnectionClosed):
            phone.invitations[0].answer(phone.chats)
        with pytest.raises(RequestFailed) as refusal:
            await call
        assert refusal.value.response.status == 480


async def test_refreshed_only_while_there_are_chats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MARGIN", 0.0)
    async with behind_relay() as (relay, a, b, phone):
        relay.expires = 1
        await access(b).ready()
        await until(lambda: not access(b).use_path)
        assert relay.requests == ["AUTH"]
        await asyncio.sleep(0.1)
        assert relay.requests == ["AUTH"]
        relay.expires = 2
        await a.invite(B, Chats())
        assert relay.requests == ["AUTH", "AUTH"] and phone.open
        await until(lambda: len(relay.requests) == 3)


async def test_closed_while_the_relay_says_nothing() -> None:
    async with behind_relay() as (relay, _, b, _):
        relay.silent = True
        with pytest.raises(TransactionTimeout):
            await b.invite(B, Chats(), timeout=0.05)
        waiting = asyncio.ensure_future(access(b).ready())
        await asyncio.sleep(0)
        # it waits for the answer that the invitation has given up
        assert relay.requests == ["AUTH"]
        access(b).close()
        with pytest.raises(ConnectionClosed):
            await waiting


async def test_no_relay_there() -> None:
    async with TcpRelay() as relay:
        uri = relay.uri
    async with world(a={"msrp_relays": (uri,)}) as around:
        agent = around.agent(around.a, "a")
        with pytest.raises(ConnectionClosed) as failure:
            await agent.invite(B, Chats())
        assert failure.value.certain
        await agent.close()


BIG = "0123456789abcdef" * 20_000


async def test_new_path_at_a_refresh_moves_the_chats() -> None:
    """C-RLY-05, C-RLY-03: re-AUTH before expiry; Use-Path changes, and the chats go on by the new one."""
    async with behind_relay() as (relay, a, b, phone):
        relay.expires = 2
        chats = Chats()
        chat = await a.invite(B, chats)
        other = phone.open[0]
        assert (await chat.deliver("hello")).state is MessageState.SENT
        former = other.msrp.use_path
        relay.expires = 1000
        many: list[OutgoingMessage] = []
        while len(relay.requests) == 1:
            many += [chat.send(f"in {len(many)}"), other.send(f"out {len(many)}")]
            await asyncio.sleep(0.01)
        await until(lambda: other.msrp.use_path != former and other.msrp.is_bound)
        assert [str(uri) for uri in other.msrp.use_path] == relay.paths[1:]
        await until(lambda: all(message.state is not MessageState.PENDING for message in many))
        assert {message.state for message in many} == {MessageState.SENT}
        assert (await chat.deliver(BIG)).state is MessageState.SENT
        assert (await other.deliver("answer")).state is MessageState.SENT
        assert phone.chats.texts[0] == "hello" and phone.chats.texts[-1] == BIG
        assert sorted(phone.chats.texts[1:-1]) == sorted(f"in {number}" for number in range(0, len(many), 2))
        assert not chats.closed and not phone.chats.closed
        assert chat.msrp.remote == " ".join([relay.paths[1], other.msrp.local])


async def test_same_path_at_a_refresh_moves_nothing() -> None:
    async with behind_relay() as (relay, a, _, phone):
        relay.expires = 2
        relay.is_sticky = True
        chat = await a.invite(B, Chats())
        former = phone.open[0].msrp
        await until(lambda: len(relay.requests) == 2)
        assert (await chat.deliver("hello")).state is MessageState.SENT
        assert phone.open[0].msrp is former


async def test_relay_that_is_lost_in_the_middle_of_a_message() -> None:
    """C-RLY-05: reconnect, new AUTH; C-SET-05: the message goes on by the new path."""
    async with behind_relay() as (relay, a, b, phone):
        chats = Chats()
        chat = await a.invite(B, chats)
        other = phone.open[0]
        assert (await chat.deliver("hello")).state is MessageState.SENT
        forwarded = relay.forwarded
        message = other.send(BIG)
        await until(lambda: relay.forwarded > forwarded + 5)
        relay.cut()
        await until(lambda: message.state is not MessageState.PENDING)
        assert message.state is MessageState.SENT and chats.texts == [BIG]
        assert relay.requests == ["AUTH", "AUTH"]
        assert (await chat.deliver("and back")).state is MessageState.SENT
        assert phone.chats.texts == ["hello", "and back"] and not chats.closed


async def test_relay_that_takes_its_time_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """C-RLY-05: who waits for it connects again and again, for a while."""
    monkeypatch.setattr(relay_module, "RECONNECT_DELAYS", (0.01, 0.02))
    async with behind_relay() as (relay, a, b, phone):
        chats = Chats()
        await a.invite(B, chats)
        port = relay.uri.host_port[1]
        await relay.stop()
        await until(lambda: not access(b).use_path)
        waiting = asyncio.ensure_future(access(b).ready())
        await until(lambda: access(b)._failures == 1)
        await relay.start(port)
        await waiting
        assert relay.requests == ["AUTH", "AUTH"]
        await relay.stop()
        await until(lambda: not access(b).use_path)
        with pytest.raises(ConnectionClosed):
            await access(b).ready()
        assert access(b)._failures == 2
        await until(lambda: phone.chats.closed)
        access(b).refresh()  # there is nothing to refresh
        assert relay.requests == ["AUTH", "AUTH"]


async def test_peer_that_waits_for_an_offer_waits_for_the_relay_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """C-SET-05, C-RLY-05: who has lost its path may have something to send, and offers as soon as it has another."""
    monkeypatch.setattr(relay_module, "RECONNECT_DELAYS", (0.2, 10.0))
    async with behind_relay(msrp_recovery=0.05) as (relay, a, b, phone):
        chats = Chats()
        chat = await a.invite(B, chats)
        assert (await chat.deliver("hello")).state is MessageState.SENT
        port = relay.uri.host_port[1]
        await relay.stop()
        message = phone.open[0].send("from behind the relay")
        await until(lambda: access(b)._failures == 1)
        await relay.start(port)
        await until(lambda: message.state is not MessageState.PENDING)
        assert message.state is MessageState.SENT and chats.texts == ["from behind the relay"]


async def test_path_that_cannot_be_refreshed_ends_its_chats() -> None:
    """C-RLY-05: a Use-Path URI dies at Expires."""
    async with behind_relay() as (relay, a, b, phone):
        relay.expires = 2
        await a.invite(B, Chats())
        relay.status = 503
        await until(lambda: phone.chats.closed)
        _, reason, error = phone.chats.closed[0]
        assert reason == "connection-lost" and isinstance(error, RemoteProtocolError) and error.status == 503
        # the refresh, and the last attempt when the path was dead
        assert relay.requests == ["AUTH"] * 3 and not access(b).use_path


async def test_path_that_is_had_anew_after_its_end() -> None:
    """C-RLY-05: chats go on by it."""
    async with behind_relay() as (relay, a, _, phone):
        relay.expires = 2
        chats = Chats()
        chat = await a.invite(B, chats)
        relay.status = 503
        await until(lambda: len(relay.requests) == 2)
        relay.status = 200
        await until(lambda: len(relay.requests) == 3)
        assert (await chat.deliver("hello")).state is MessageState.SENT
        assert phone.chats.texts == ["hello"] and not chats.closed


async def test_path_that_nobody_used_when_it_was_due_is_refreshed_for_the_next_chat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C-RLY-03"""
    monkeypatch.setattr(relay_module, "MARGIN", 0.0)
    async with behind_relay() as (relay, a, b, phone):
        relay.expires = 2
        await access(b).ready()
        await until(lambda: access(b)._is_overdue)
        assert access(b).use_path and relay.requests == ["AUTH"]
        relay.expires = 1000
        chat = await a.invite(B, Chats())
        await until(lambda: len(relay.requests) == 2)
        await until(lambda: str(phone.open[0].msrp.use_path[0]) == relay.paths[1])
        assert (await chat.deliver("hello")).state is MessageState.SENT


async def test_path_that_changes_while_the_peer_is_rung_up() -> None:
    """C-RLY-05: a chat that is accepted after that goes by the new path too."""
    async with behind_relay() as (relay, a, b, _):
        ringing = Phone()
        ringing.react = lambda invitation: None
        a.handler = ringing
        relay.expires = 2
        call = asyncio.ensure_future(b.invite(a.identity.aor, Chats()))
        await until(lambda: ringing.invitations)
        relay.expires = 1000
        access(b).refresh()
        await until(lambda: len(relay.paths) == 2)
        other = ringing.invitations[0].answer(ringing.chats)
        chat = await call
        await until(lambda: str(chat.msrp.use_path[0]) == relay.paths[1])
        assert (await other.deliver("hello")).state is MessageState.SENT


async def test_both_behind_the_same_relay() -> None:
    """C-RLY-02, C-RLY-06: REPORTs by all hops, responses to the next one."""
    async with TcpRelay() as relay:
        options: dict[str, Any] = {"msrp_relays": (relay.uri,)}
        async with pair(a=options, b=options) as (_, a, _, phone):
            chat = await a.invite(B, Chats())
            message = await chat.deliver(BIG)
            assert message.state is MessageState.SENT and message.reported
            assert (await phone.open[0].deliver("answer")).state is MessageState.SENT


async def test_own_relay_is_left_when_nobody_used_it_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """C-RLY-05: an hour; then there is a new connection, and a new AUTH."""
    monkeypatch.setattr(connection_module, "OWN_RELAY_LINGER", 0.05)
    async with behind_relay() as (relay, _, b, _):
        await access(b).ready()
        await until(lambda: not access(b).use_path)
        assert len(b.endpoint.hub) == 0
        await access(b).ready()
        assert relay.requests == ["AUTH", "AUTH"]


async def test_foreign_relay_is_kept_for_a_while(make_hub: MakeHub) -> None:
    """C-RLY-05: five minutes."""
    left, right = await make_hub(), await make_hub()
    owner = Owner()
    session = left.create_session(owner, max_size=1)
    host, port = right.local
    path = parse_path(f"msrp://{host}:{port}/relay;tcp msrp://192.0.2.1:1/a;tcp")
    left.open(session, path, active=True)
    connection = session.connection
    assert connection is not None
    assert connection.linger == connection_module.FOREIGN_RELAY_LINGER == 300
    left.release(session)


def test_offers_to_who_is_behind_a_relay() -> None:
    """The outermost relay decides what they may say, whether we have a certificate or not."""
    inner, outer = MsrpUri.parse("msrp://192.0.2.1:2855;tcp"), MsrpUri.parse("msrps://192.0.2.2:2855;tcp")
    assert EndpointConfig(msrp_relays=(inner,)).msrp_protocols == ("TCP/MSRP",)
    assert EndpointConfig(msrp_relays=(inner, outer)).msrp_protocols == ("TCP/TLS/MSRP",)
