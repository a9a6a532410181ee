"""What an endpoint does for its flows: RFC 6223 (A-OUT-06), keep-alives by configuration, A-TRN-07."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sipstack import ids
from sipstack.errors import SipstackError
from sipstack.flow import Flow
from sipstack.net import flowcare, flowkeeper
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.tls import SipTls
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.digest import Credentials
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri
from sipstack.trace import Record, Trace, WireRecord

from .certificates import write_certificate
from .helpers import REALM, Core
from .test_transport import until


class Server(Endpoint):
    """Answers everything with 200, INVITE with 180 only."""

    def __init__(self, **options: Any) -> None:
        self.requests: list[Request] = []
        self.records: list[Record] = []
        trace = Trace("server", self.records.append, lambda: 0.0)
        super().__init__(EndpointConfig(msrp=False, **options), trace=trace)
        self.on_request = self._answer

    def _answer(self, transaction: ServerTransaction, request: Request) -> bool:
        self.requests.append(request)
        self.reply(transaction, 180 if request.method == "INVITE" else 200)
        return True

    def copies(self, method: str) -> list[bytes]:
        """Return all that came with this method, repetitions included."""
        return [
            record.data
            for record in self.records
            if isinstance(record, WireRecord) and record.direction == "in" and record.data.startswith(method.encode())
        ]


@asynccontextmanager
async def joined(server: Server, **options: Any) -> AsyncIterator[Endpoint]:
    """Run ``server`` and a client with these options."""
    async with server, Endpoint(EndpointConfig(msrp=False, **options)) as client:
        yield client


def request_to(server: Server, method: str = "REGISTER", *, transport: str = "UDP") -> Request:
    uri = server.uri(transport=transport)
    headers = [("From", "<sip:a@x>;tag=1"), ("To", "<sip:a@x>"), ("Call-ID", ids.call_id()), ("CSeq", f"1 {method}")]
    return Request(method, uri, [*headers, ("Contact", "<sip:a@127.0.0.1>")])


async def test_registrations_ask_for_keep_alives() -> None:
    server = Server()
    async with joined(server) as client:
        response = await client.request(request_to(server))
        assert b";keep\r\n" in server.copies("REGISTER")[0] and response.via.param("keep") == "30"
        assert (await client.request(request_to(server, "OPTIONS"))).via.param("keep") is None


async def test_no_keep_alives() -> None:
    server = Server()
    async with joined(server, keep_alive="off") as client:
        response = await client.request(request_to(server))
        assert response.via.param("keep") is None
        client.keep_alive(Flow("UDP", server.local), 1.0)
        assert client._transport is not None and not client._transport.is_kept(server.local)


@pytest.mark.parametrize("transport", ["UDP", "TCP", "TLS"])
async def test_keep_alives_without_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str) -> None:
    monkeypatch.setattr(flowkeeper, "STREAM_INTERVAL", (0.01, 0.02))
    monkeypatch.setattr(flowkeeper, "UDP_INTERVAL", (0.01, 0.02))
    certificate, key = write_certificate(tmp_path)
    server = Server(tls=SipTls(certificate, key), tls_port=0)
    async with joined(server, keep_alive="always", tls=SipTls(authorities=certificate)) as client:
        response = await client.request(request_to(server, transport=transport))
        assert response.via.transport == transport and response.via.param("keep") is None
        # RFC 5923: nobody can connect to this client by TLS.
        assert (response.via.param("alias") is not None) is (transport == "TLS")
        if transport == "UDP":
            assert client._transport is not None and client._transport.is_kept(server.local)
        else:
            await until(lambda: server.copies("\r\n\r\n"))
        assert (await client.request(request_to(server, transport=transport))).is_success


@pytest.mark.parametrize("kept", [False, True])
async def test_pending_invite_is_repeated(monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    # A-TRN-07: every 20 s even after a provisional response, unless keep-alives run.
    assert flowcare.INVITE_INTERVAL == 20.0
    monkeypatch.setattr(flowcare, "INVITE_INTERVAL", 0.02)
    server = Server()
    async with joined(server, behind_nat=True) as client:
        provisional: list[Response] = []
        failures: list[SipstackError] = []
        request = request_to(server, "INVITE")
        call = client.send(request, request.uri, provisional.append, failures.append)
        if kept:
            assert call.transaction is not None
            client.keep_alive(call.transaction.flow)
        await until(lambda: provisional)
        if kept:
            await asyncio.sleep(0.1)
            assert len(server.copies("INVITE")) == 1
        else:
            await until(lambda: len(server.copies("INVITE")) >= 4)
            assert len(set(server.copies("INVITE"))) == 1 and len(server.requests) == 1
        call.forget()


@pytest.mark.parametrize(("transport", "again"), [("TLS", True), ("TCP", False)])
async def test_only_way_back(tmp_path: Path, transport: str, again: bool) -> None:
    # Who cannot be connected to has to register again when the connection is gone, and at once.
    certificate, key = write_certificate(tmp_path)
    core = Core(Endpoint(EndpointConfig(msrp=False, tls=SipTls(certificate, key), tls_port=0)))
    client = Endpoint(EndpointConfig(msrp=False, tls=SipTls(authorities=certificate)))
    async with core.endpoint, client:
        proxy = core.endpoint.uri(transport=transport).with_param("lr")
        identity = Identity(Uri.parse(f"sip:b@{REALM}"), Credentials.from_password("b", "secret of b"))
        agent = UserAgent(client, identity, domain=Uri.parse(f"sip:{REALM}"), outbound_proxy=proxy)
        await agent.register()
        assert client._transport is not None and core.endpoint._transport is not None
        before = core.methods().count("REGISTER")
        for connection in list(core.endpoint._transport._connections._open.values()):
            connection.abort()
        await until(lambda: not client._transport or not client._transport._connections._open or again)
        if again:
            await until(lambda: core.methods().count("REGISTER") > before)
            await until(lambda: agent.registered)
        else:
            assert core.methods().count("REGISTER") == before and agent.registered
        await agent.close()


async def test_tls_between_endpoints(tmp_path: Path) -> None:
    """With certificates on both sides; the Contact of each leads to its port for TLS."""
    names = {name: write_certificate(tmp_path, name) for name in ("left", "right")}
    authorities = tmp_path / "all.crt"
    authorities.write_bytes(b"".join(certificate.read_bytes() for certificate, _ in names.values()))
    left, right = (
        Server(tls=SipTls(*files, authorities, clients="require"), tls_port=0, udp=False) for files in names.values()
    )
    async with left, right:
        for one, other in ((left, right), (right, left)):
            request = request_to(other, "OPTIONS", transport="TLS")
            assert request.uri.port == other.addresses.uri(transport="TLS").port != other.local[1]
            response = await one.request(request)
            assert response.is_success and response.via.transport == "TLS"
            assert response.via.port == one.uri(transport="TLS").port and response.via.param("alias") is None
        secure = right.uri(transport="TLS", secure=True)
        assert str(secure).startswith("sips:") and right.is_local(secure)
        request = request_to(right, "OPTIONS", transport="TLS")
        request.uri = secure
        assert (await left.request(request)).is_success


async def test_wrong_certificate_is_a_certain_failure(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, host="other.example")
    server = Server(tls=SipTls(certificate, key), tls_port=0)
    async with joined(server, tls=SipTls(authorities=certificate)) as client:
        with pytest.raises(SipstackError):
            await client.request(request_to(server, transport="TLS"))
        assert not server.requests


async def test_both_families_on_one_socket() -> None:
    # Bound to "::", an endpoint speaks IPv4, too, and calls its addresses by their own names.
    server = Server(bind_host="::", advertise_host="::1")
    assert server.config.families == ("AAAA", "A") and EndpointConfig(bind_host="::1").families == ("AAAA",)
    async with server:
        for host in ("127.0.0.1", "::1"):
            async with Endpoint(EndpointConfig(bind_host=host, msrp=False)) as client:
                for transport in ("udp", "tcp"):
                    request = request_to(server, "OPTIONS")
                    at = f"[{host}]" if ":" in host else host
                    hop = Uri.parse(f"sip:{at}:{server.local[1]};transport={transport};lr")
                    response = await client.request(request, route=hop)
                    assert response.via.received == host
                # and back
                request = request_to(server, "OPTIONS")
                request.uri = client.uri(transport="UDP")
                assert (await server.request(request)).status == 404
