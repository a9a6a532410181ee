"""The paths of user agents through relays: asked for once, kept while needed, lost with the connection (C-RLY-05)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipstack.errors import ConnectionClosed, RemoteProtocolError, RequestFailed, TransactionTimeout
from sipstack.msrp.chunk import MsrpResponse, OtherRequest
from sipstack.msrp.parser import ChunkParser
from sipstack.msrp.uri import MsrpUri
from sipstack.net import relay as relay_module
from sipstack.net.relay import RelayAccess
from sipstack.net.useragent import UserAgent

from .helpers import B, Chats, Phone, until, world
from .test_hub import Owner


class Relay:
    """Answers AUTH as told and nothing else."""

    def __init__(self) -> None:
        self.status = 200
        self.expires = 1000
        self.requests: list[str] = []
        self.silent = False
        self.writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    @property
    def uri(self) -> MsrpUri:
        assert self._server is not None
        return MsrpUri("msrp", "127.0.0.1", self._server.sockets[0].getsockname()[1], None)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Close all connections."""
        for writer in self.writers:
            writer.close()
        self.writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        parser = ChunkParser()
        while data := await reader.read(65536):
            parser.receive_data(data)
            while (frame := parser.next_frame()) is not None:
                if isinstance(frame, OtherRequest):
                    self.requests.append(frame.method)
                    if not self.silent:
                        writer.write(bytes(self._answer(frame)))
        writer.close()

    def _answer(self, frame: OtherRequest) -> MsrpResponse:
        path = f"msrp://127.0.0.1:{self.uri.port}/s{len(self.requests)};tcp"
        headers = (("Use-Path", path), ("Expires", str(self.expires)))
        return MsrpResponse(frame.transaction_id, self.status, "", frame.from_path, frame.to_path, headers)


@asynccontextmanager
async def behind_relay() -> AsyncIterator[tuple[Relay, UserAgent, UserAgent, Phone]]:
    """Start a world in which b is behind a relay, and a is not."""
    relay = Relay()
    await relay.start()
    b: dict[str, Any] = {"msrp_relays": (relay.uri,)}
    try:
        async with world(b=b) as around:
            phone = Phone()
            a, b_agent = around.agent(around.a, "a"), around.agent(around.b, "b", phone)
            await a.register()
            await b_agent.register()
            yield relay, a, b_agent, phone
            await a.close()
            await b_agent.close()
    finally:
        await relay.close()


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
    relay = Relay()
    await relay.start()
    uri = relay.uri
    await relay.close()
    async with world(a={"msrp_relays": (uri,)}) as around:
        agent = around.agent(around.a, "a")
        with pytest.raises(ConnectionClosed) as failure:
            await agent.invite(B, Chats())
        assert failure.value.certain
        await agent.close()
