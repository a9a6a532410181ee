"""Chats through Kamailio as MSRP relay, over TCP, TLS and WebSocket.

Of the rules: C-RLY-01, C-RLY-02, C-RLY-06, C-RLY-07, C-WS-01, C-WS-02.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.lab import kamailio
from gateway.lab.kamailio import Kamailio
from sipstack.errors import RemoteProtocolError
from sipstack.msrp.message import MessageState
from sipstack.msrp.uri import MsrpUri
from sipstack.net.tls import Tls
from sipstack.net.useragent import UserAgent
from sipstack.trace import Record, Trace, WireRecord
from tests.sipstack.net.certificates import make_tls, write_certificate
from tests.sipstack.net.helpers import REALM, B, Chats, Phone, pair, until, world

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not kamailio.is_available(), reason="kamailio is not installed"),
]


TRANSPORT_NAMES = {"tcp": "TCP", "tls": "TLS", "ws": "WSS"}

by_each_transport = pytest.mark.parametrize(
    "transport",
    [
        "tcp",
        "tls",
        pytest.param(
            "ws",
            marks=pytest.mark.skipif(
                not kamailio.has_module("websocket"), reason="Kamailio's websocket module is not installed"
            ),
        ),
    ],
)


@asynccontextmanager
async def relays(
    folder: Path, transport: str, *, count: int = 1
) -> AsyncIterator[tuple[dict[str, Any], list[Kamailio]]]:
    """Start a chain of relays that know a and b; yield what an endpoint has to be told to use it, and the relays.

    ``transport``: how to reach the first.
    """
    certificate, key = write_certificate(folder, "relay")
    cores, uris = [], []
    async with AsyncExitStack() as stack:
        for number in range(count):
            place = folder / f"core{number}"
            core = Kamailio(place, domain=REALM, msrp=True, certificate=certificate, key=key)
            await stack.enter_async_context(core)
            for name in ("a", "b"):
                core.add_subscriber(name, f"secret of {name}")
            if transport == "tcp":
                uri = f"msrp://127.0.0.1:{core.msrp_port};tcp"
            elif transport == "ws" and not number:
                uri = f"msrps://127.0.0.1:{core.msrpws_port};ws"
            else:
                uri = f"msrps://127.0.0.1:{core.msrps_port};tcp"
            cores.append(core)
            uris.append(MsrpUri.parse(uri))
        options = {
            "msrp_relays": tuple(uris),
            "msrp_tls": None if transport == "tcp" else Tls(authorities=certificate),
            # what SDP chooses: nothing but the relay is reached from here
            "msrp_allowed": lambda host, port: False,
        }
        yield options, cores


@asynccontextmanager
async def relay(folder: Path, transport: str, *, count: int = 1) -> AsyncIterator[dict[str, Any]]:
    """:func:`relays`, where the relays are left alone."""
    async with relays(folder, transport, count=count) as (options, _):
        yield options


async def talk(a: UserAgent, phone: Phone) -> None:
    """Have a invite ``phone``, and a text go each way."""
    chats = Chats()
    chat = await a.invite(B, chats)
    assert (await chat.deliver("hello")).state is MessageState.SENT
    assert (await phone.open[0].deliver("answer")).state is MessageState.SENT
    assert phone.chats.texts == ["hello"] and chats.texts == ["answer"]


@by_each_transport
async def test_text_both_ways(tmp_path: Path, transport: str) -> None:
    # C-RLY-01, C-RLY-02, C-WS-01, C-WS-02: what Use-Path says, and text by it.
    async with relay(tmp_path, transport) as options, pair(a=options, b=options) as (around, a, b, phone):
        records: list[Record] = []
        chats = Chats()
        around.a.hub.trace = Trace("a", records.append, lambda: 0.0)
        chat = await a.invite(B, chats)
        other = phone.open[0]
        assert len(chat.msrp.local_path) == 2 and chat.msrp.local_path[0].secure is (transport != "tcp")
        done = await chat.deliver("hello")
        assert done.state is MessageState.SENT and done.reported
        assert (await other.deliver("answer")).state is MessageState.SENT
        assert phone.chats.texts == ["hello"] and chats.texts == ["answer"]
        # in chunks that the relay does not lose
        big = "0123456789abcdef" * 8192
        assert (await chat.deliver(big)).state is MessageState.SENT
        assert (await other.deliver(big)).state is MessageState.SENT
        assert phone.chats.texts[1] == big and chats.texts[1] == big
        many = [chat.send(f"message {number}") for number in range(50)]
        await until(lambda: all(message.state is MessageState.SENT for message in many))
        # A second chat shares connection and path.
        second = await a.invite(B, chats)
        assert second.msrp.local_path[0] == chat.msrp.local_path[0] and len(around.a.hub) == 1
        assert (await second.deliver("second")).state is MessageState.SENT
        await chat.close()
        assert (await second.deliver("still")).state is MessageState.SENT
        sent = [record for record in records if isinstance(record, WireRecord)]
        assert {record.transport for record in sent} == {TRANSPORT_NAMES[transport]}
        assert sum(record.data.count(b" AUTH\r\n") for record in sent) == 2


@pytest.mark.skipif(not kamailio.has_module("websocket"), reason="Kamailio's websocket module is not installed")
async def test_one_side_by_websocket(tmp_path: Path) -> None:
    # C-WS-01: to the other side it is a session by TLS, whose last URI is of a transport that it need not know.
    phones = make_tls(tmp_path, "phone", believe=True)
    async with relay(tmp_path, "ws") as options, pair(a=options, b={"msrp_tls": phones}) as (around, a, _, phone):
        chats = Chats()
        chat = await a.invite(B, chats)
        outer, own = chat.msrp.local_path
        assert (outer.scheme, outer.transport) == ("msrps", "tcp") and own.transport == "ws"
        assert own.scheme == "msrps" and own.host.endswith(".invalid")
        offer = next(request for request in around.core.requests if request.method == "INVITE").body.decode()
        assert f"m=message {outer.port} TCP/TLS/MSRP *" in offer and f"a=path:{outer} {own}" in offer
        assert (await chat.deliver("hello")).state is MessageState.SENT
        assert (await phone.open[0].deliver("answer" * 5000)).state is MessageState.SENT
        assert phone.chats.texts == ["hello"] and chats.texts == ["answer" * 5000]


async def test_one_side_behind_the_relay(tmp_path: Path) -> None:
    async with relay(tmp_path, "tcp") as options, pair(a=options) as (_, a, _, phone):
        await talk(a, phone)


@by_each_transport
async def test_callee_behind_the_relay(tmp_path: Path, transport: str) -> None:
    # The caller connects to the relay, and is reached by that connection.
    certificate, key = write_certificate(tmp_path, "caller")
    async with relay(tmp_path, transport) as options:
        secure = transport != "tcp"
        caller = {
            "msrp_tls": Tls(certificate, key, tmp_path / "relay.crt") if secure else None,
            "msrp_security": "offer" if secure else "answer",
        }
        async with pair(a=caller, b=options) as (_, a, _, phone):
            await talk(a, phone)


async def test_wrong_password(tmp_path: Path) -> None:
    async with relay(tmp_path, "tcp") as options, world(a=options, b=options) as around:
        stranger = around.agent(around.a, "c")
        with pytest.raises(RemoteProtocolError) as refusal:
            await stranger.invite(B, Chats())
        assert refusal.value.status == 401
        await stranger.close()


@by_each_transport
async def test_chain_of_two_relays(tmp_path: Path, transport: str) -> None:
    # C-RLY-07, C-RLY-02: Use-Path is B C, so our path is C B A, and To-Path begins with B C.
    async with relay(tmp_path, transport, count=2) as options, pair(a=options, b=options) as (_, a, _, phone):
        chats = Chats()
        chat = await a.invite(B, chats)
        other = phone.open[0]
        outer, nearest = chat.msrp.local_path[:2]
        assert outer.port == options["msrp_relays"][1].port and nearest.port != outer.port
        assert len(chat.msrp.local_path) == len(other.msrp.local_path) == 3
        # four relays between the two, and REPORTs by all of them (C-RLY-06)
        done = await chat.deliver("hello")
        assert done.state is MessageState.SENT and done.reported
        assert (await other.deliver("answer")).state is MessageState.SENT
        big = "0123456789abcdef" * 4096
        assert (await chat.deliver(big)).state is MessageState.SENT
        assert phone.chats.texts == ["hello", big] and chats.texts == ["answer"]
        await chat.close()
        # The chain is there for the next chat too.
        assert (await (await a.invite(B, chats)).deliver("again")).state is MessageState.SENT


@by_each_transport
async def test_relay_that_hands_out_another_path(tmp_path: Path, transport: str) -> None:
    # C-RLY-05: the relay has forgotten the path; the refresh brings another one, and the chat goes on by it.
    async with relays(tmp_path, transport) as (options, cores), pair(a=options, b=options) as (_, a, b, phone):
        chats = Chats()
        chat = await a.invite(B, chats)
        assert (await chat.deliver("hello")).state is MessageState.SENT
        former = chat.msrp.use_path
        await cores[0].rpc("htable.flush", "msrp")
        for agent in (a, b):
            assert agent.relay is not None
            agent.relay.refresh()
        await until(lambda: chat.msrp.use_path != former and chat.msrp.is_bound)
        other = phone.open[0]
        assert (await chat.deliver("by the new one")).state is MessageState.SENT
        assert (await other.deliver("answer")).state is MessageState.SENT
        assert phone.chats.texts == ["hello", "by the new one"] and chats.texts == ["answer"]
        assert not chats.closed and not phone.chats.closed


@by_each_transport
async def test_relay_that_is_started_again(tmp_path: Path, transport: str) -> None:
    # C-RLY-05: new connection, new AUTH, and what was not delivered goes by the new path (C-SET-05).
    async with relays(tmp_path, transport) as (options, (core,)), pair(a=options, b=options) as (_, a, _, phone):
        chats = Chats()
        chat = await a.invite(B, chats)
        assert (await chat.deliver("hello")).state is MessageState.SENT
        big = "0123456789abcdef" * 100_000
        message = chat.send(big)
        await until(lambda: message.written > 50_000)
        await core.stop()
        await core.start()
        await until(lambda: message.state is not MessageState.PENDING, 30)
        assert message.state is MessageState.SENT and phone.chats.texts == ["hello", big]
