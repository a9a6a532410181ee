"""MSRP over WebSocket as the client of a relay: C-WS-01, C-WS-02."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from sipstack.errors import ConnectionClosed, RemoteProtocolError, SipstackError
from sipstack.msrp.chunk import Chunk, MsrpResponse, OtherRequest
from sipstack.msrp.uri import MsrpUri, parse_path
from sipstack.net import websocket
from sipstack.net.config import EndpointConfig
from sipstack.net.dial import Hop, dial
from sipstack.net.hub import MsrpHub
from sipstack.net.relay import RelayAccess
from sipstack.net.tls import Tls

from .test_hub import WAIT, MakeHub, Owner, Settled, make_hub, until
from .wsrelay import WebSocketRelay

__all__ = ["make_hub"]

PEER = parse_path("msrps://relay.example:2855/a;tcp msrps://df7jal23ls0d.invalid:2855/98cjs;ws")


class NoDigest:
    """For relays that ask for no password."""

    def authorize(self, uri: str) -> str | None:
        return None

    def receive_challenge(self, uri: str, challenges: Sequence[str]) -> bool:
        return False

    def receive_success(self, uri: str, info: str) -> bool:
        return True


class Nobody:
    """Has no sessions of its own."""

    has_sessions = False

    def path_changed(self, error: SipstackError | None) -> None:
        raise AssertionError("nobody is to be told")


def access(hub: MsrpHub, relay: WebSocketRelay) -> RelayAccess:
    """Return the way of somebody through the relay."""
    return RelayAccess(hub, [relay.uri], NoDigest(), Nobody())


async def test_one_chunk_in_each_message(make_hub: MakeHub, tmp_path: Path) -> None:
    # C-WS-01, RFC 7977 section 5.1
    async with WebSocketRelay(tmp_path) as relay:
        hub = await make_hub(tls=relay.tls)
        way = access(hub, relay)
        await way.ready()
        owner, settled = Owner(), Settled()
        session = hub.create_session(owner, max_size=1 << 20, relay=way)
        hub.open(session, PEER, active=True)
        for _ in range(3):
            session.send(b"0123456789" * 3000, "text/plain", on_done=settled)
        await owner.until(lambda: owner.opened == 1)
        async with asyncio.timeout(WAIT):
            while sum(isinstance(frame, Chunk) and frame.flag == "$" for frame in relay.frames) < 3:
                await asyncio.sleep(0.002)
        # The relay has looked into each message alone. Who we are on a WebSocket nobody can connect to.
        assert isinstance(relay.frames[0], OtherRequest) and relay.frames[0].to_path == str(relay.uri)
        own = MsrpUri.parse(relay.frames[0].from_path)
        assert own.secure and own.transport == "ws" and own.host.endswith(".invalid")
        chunks = [frame for frame in relay.frames if isinstance(frame, Chunk)]
        assert len(chunks) > 3
        assert {chunk.to_path for chunk in chunks} == {f"{way.use_path[0]} {PEER[0]} {PEER[1]}"}
        assert all(isinstance(message, bytes) for message in relay.messages)
        request = relay.connections[0].request
        assert request is not None and request.headers["Sec-WebSocket-Protocol"] == "msrp" and request.path == "/"
        hub.release(session)


@pytest.mark.parametrize("as_text", [False, True])
async def test_text_and_binary_frames_are_octets(make_hub: MakeHub, tmp_path: Path, as_text: bool) -> None:
    # RFC 7977 section 4.2
    async with WebSocketRelay(tmp_path) as relay:
        relay.as_text = as_text
        hub = await make_hub(tls=relay.tls)
        way = access(hub, relay)
        await way.ready()
        owner = Owner()
        session = hub.create_session(owner, max_size=1 << 20, relay=way)
        hub.open(session, PEER, active=False)
        from_path = f"{way.use_path[0]} {PEER[1]}"
        chunk = Chunk("xght6a", session.local, from_path, "87652", 1, None, None, False, "yes", "text/plain")
        chunk.body = "Grüße".encode()
        await relay.send(bytes(chunk))
        await owner.until(lambda: bool(owner.received))
        assert owner.received[0].body.decode() == "Grüße"
        await until(lambda: isinstance(relay.frames[-1], MsrpResponse))
        hub.release(session)


async def test_no_path_without_use_path(make_hub: MakeHub, tmp_path: Path) -> None:
    # C-WS-02: there is no other way to be reached.
    async with WebSocketRelay(tmp_path) as relay:
        relay.use_path = False
        hub = await make_hub(tls=relay.tls)
        way = access(hub, relay)
        with pytest.raises(RemoteProtocolError, match="Use-Path") as failure:
            await way.ready()
        assert failure.value.status == 400
        with pytest.raises(ConnectionClosed):
            hub.create_session(Owner(), max_size=1, relay=way)


async def test_server_of_something_else(make_hub: MakeHub, tmp_path: Path) -> None:
    async with WebSocketRelay(tmp_path, subprotocol="sip") as relay:
        hub = await make_hub(tls=relay.tls)
        with pytest.raises(ConnectionClosed, match="127.0.0.1") as failure:
            await access(hub, relay).ready()
        assert failure.value.certain


async def test_no_websocket_at_all(make_hub: MakeHub, tmp_path: Path) -> None:
    async with WebSocketRelay(tmp_path) as relay:
        stop = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            await reader.read()
            writer.close()
            stop.set()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=relay._context)
        hub = await make_hub(tls=relay.tls)
        port = server.sockets[0].getsockname()[1]
        uri = MsrpUri("msrps", "127.0.0.1", port, None, "ws")
        with pytest.raises(ConnectionClosed, match="404"):
            await RelayAccess(hub, [uri], NoDigest(), Nobody()).ready()
        await stop.wait()
        server.close()
        await server.wait_closed()


async def test_certificate_is_checked(make_hub: MakeHub, tmp_path: Path) -> None:
    async with WebSocketRelay(tmp_path) as relay:
        hub = await make_hub(tls=Tls())
        with pytest.raises(ConnectionClosed, match="certificate"):
            await access(hub, relay).ready()


async def test_no_websocket_without_tls() -> None:
    # C-WS-01
    with pytest.raises(OSError, match="not supported"):
        await dial(asyncio.Protocol, Hop.of(MsrpUri.parse("msrp://127.0.0.1:80;ws")), None, None)
    with pytest.raises(ValueError, match="has to be msrps"):
        EndpointConfig(msrp_relays=(MsrpUri.parse("msrp://127.0.0.1:80;ws"),))


async def test_relay_that_closes_takes_its_sessions_along(make_hub: MakeHub, tmp_path: Path) -> None:
    async with WebSocketRelay(tmp_path) as relay:
        hub = await make_hub(tls=relay.tls)
        way = access(hub, relay)
        await way.ready()
        owner = Owner()
        session = hub.create_session(owner, max_size=1, relay=way)
        hub.open(session, PEER, active=True)
        await owner.until(lambda: owner.opened == 1)
        await relay.connections[0].close(1001, "maintenance")
        await owner.until(lambda: bool(owner.closed))
        assert "maintenance" in str(owner.closed[0])
        assert not way.use_path
        await way.ready()
        assert len(relay.connections) == 2


async def test_silent_connection_is_given_up(
    make_hub: MakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # RFC 7977 section 6: Ping keeps the connection open, and what answers nothing is lost.
    monkeypatch.setattr(websocket, "PING_INTERVAL", 0.05)
    async with WebSocketRelay(tmp_path) as relay:
        hub = await make_hub(tls=relay.tls)
        way = access(hub, relay)
        await way.ready()
        await asyncio.sleep(0.3)
        assert way.use_path and way.link is not None and way.link.is_usable
        relay.connections[0].transport.pause_reading()
        await until(lambda: not way.use_path)


async def test_a_caller_that_gives_up_while_hands_are_shaken(make_hub: MakeHub, tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()
        writer.close()

    async with WebSocketRelay(tmp_path) as relay:
        server = await asyncio.start_server(say_nothing, "127.0.0.1", 0, ssl=relay._context)
        hub = await make_hub(tls=relay.tls, connect_timeout=0.2)
        uri = MsrpUri("msrps", "127.0.0.1", server.sockets[0].getsockname()[1], None, "ws")
        with pytest.raises(ConnectionClosed):
            await RelayAccess(hub, [uri], NoDigest(), Nobody()).ready()
        async with asyncio.timeout(WAIT):
            await closed.wait()
        server.close()
        await server.wait_closed()
