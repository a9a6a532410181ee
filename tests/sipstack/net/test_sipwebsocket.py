"""SIP over WebSocket as a client: RFC 7118, A-EXT-07."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipstack.errors import ParseError
from sipstack.flow import Flow
from sipstack.net import websocket
from sipstack.net.addresses import OwnAddresses
from sipstack.net.connections import Dialling
from sipstack.net.tls import SipTls
from sipstack.sip.message import Request
from sipstack.trace import WireRecord

from .certificates import write_certificate
from .test_siptls import ALL, running, tls_end
from .test_transport import OPTIONS, End, until
from .wscore import WebSocketCore


async def test_one_message_each_way() -> None:
    # Section 5: each message whole in one of the WebSocket's, text or binary, in any number of frames.
    client = End(dialling=Dialling(ALL, websocket_path="/sip"))
    async with WebSocketCore() as core, running(client):
        flow = Flow("WS", ("127.0.0.1", core.port), name="core.example")
        client.transport.send(flow, OPTIONS)
        client.transport.send(flow, OPTIONS.replace(b"a@x", b"\xff@x"))
        await until(lambda: len(core.messages) == 2)
        # Section 4.2: what is no UTF-8 goes as binary.
        assert [type(message) for message in core.messages] == [str, bytes]
        connection = core.connections[0]
        assert connection.request is not None and connection.request.path == "/sip"
        assert connection.request.headers["Host"] == f"core.example:{core.port}"
        assert connection.request.headers["Sec-WebSocket-Protocol"] == "sip"
        # Content-Length is not needed there.
        bare = OPTIONS.replace(b"Content-Length: 0\r\n", b"").decode()
        await connection.send(bare)
        await connection.send([bare[:100].encode(), bare[100:].encode()])
        await connection.send(b"nonsense")
        await connection.send(b"\r\n\r\n")  # section 6: a keep-alive, which wants its pong
        await until(lambda: len(client.messages) == 3 and len(core.messages) == 3)
        assert [type(message) for message, _ in client.messages] == [Request, Request, ParseError]
        assert client.messages[0][1].transport == "WS" and core.messages[2] == "\r\n"
        assert {record.transport for record in client.records if isinstance(record, WireRecord)} == {"WS"}
        # One connection for all; when it ends, what was sent by it has failed.
        assert len(core.connections) == 1
        await connection.close()
        await until(lambda: client.failures)
        assert client.failures[0].connection is not None


async def test_secure(tmp_path: Path) -> None:
    # Section 7: the rules of HTTPS count, so that a wildcard is good.
    certificate, key = write_certificate(tmp_path, host="*.ims.example")
    client = tls_end(SipTls(authorities=certificate))
    async with WebSocketCore(certificate, key) as core, running(client):
        address = ("127.0.0.1", core.port)
        client.transport.send(Flow("WSS", address, name="core.ims.example"), OPTIONS)
        await until(lambda: core.messages)
        await core.connections[0].send(OPTIONS.decode())
        await until(lambda: client.messages)
        assert client.messages[0][1].transport == "WSS" and client.messages[0][1].name == "core.ims.example"
        # transport=ws of a Record-Route with the address means the connection that there is.
        client.transport.send(Flow("WS", address, name="127.0.0.1"), OPTIONS)
        await until(lambda: len(core.messages) == 2)
        assert len(core.connections) == 1
        client.transport.send(Flow("WSS", address, name="127.0.0.2"), OPTIONS)
        await until(lambda: client.failures)
        assert client.failures[0].name == "127.0.0.2"


@pytest.mark.parametrize("subprotocol", ["msrp", "sip"])
async def test_not_our_protocol(subprotocol: str) -> None:
    client = End(dialling=Dialling(ALL if subprotocol == "msrp" else frozenset({"TCP"})))
    async with WebSocketCore(subprotocol=subprotocol) as core, running(client):
        client.transport.send(Flow("WS", ("127.0.0.1", core.port)), OPTIONS)
        await until(lambda: client.failures)
        assert not core.messages and client.failures[0].connection is None


async def test_ping_shows_that_a_core_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Section 6: Ping frames keep the connection, and nothing else is needed for it.
    monkeypatch.setattr(websocket, "PING_INTERVAL", 0.05)
    client = End(dialling=Dialling(ALL))
    async with WebSocketCore() as core, running(client):
        flow = Flow("WS", ("127.0.0.1", core.port))
        client.transport.send(flow, OPTIONS)
        await until(lambda: core.messages)
        client.transport.keep_alive(flow, 0.01)
        connection = core.connections[0]
        connection.transport.pause_reading()
        await until(lambda: client.failures)
        assert core.messages == [OPTIONS.decode()]
        connection.transport.resume_reading()


def test_via_and_contact() -> None:
    # Sections 5.1 and 5.2: hosts that nobody can connect to, another one for each client.
    addresses = OwnAddresses(("192.0.2.1", 5060), "192.0.2.1", 5061)
    via = addresses.via("WSS")
    host = via.removeprefix("SIP/2.0/WSS ").partition(";")[0]
    assert host.endswith(".invalid") and addresses.via("WS").startswith(f"SIP/2.0/WS {host};branch=z9hG4bK")
    assert str(addresses.uri("b", "WSS")) == f"sip:b@{host};transport=ws"
    assert str(addresses.uri("b", "WSS", secure=True)) == f"sips:b@{host};transport=ws"
    assert OwnAddresses(("192.0.2.1", 5060), "192.0.2.1", None).via("WS").partition(";")[0] != f"SIP/2.0/WS {host}"
