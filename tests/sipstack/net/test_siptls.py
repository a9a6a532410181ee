"""SIP over TLS: RFC 5922 names, client certificates, connections that are shared, and those that must not be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sipstack.flow import Flow
from sipstack.net.connections import Dialling
from sipstack.net.tls import Clients, SipTls
from sipstack.net.unclaimed import HubLimits
from sipstack.trace import WireRecord

from .certificates import write_certificate
from .test_transport import OPTIONS, End, until

ALL = frozenset({"TCP", "TLS", "WS", "WSS"})


def tls_end(tls: SipTls | None, *, listens: bool = False, **options: Any) -> End:
    """Return an end that has TLS, and where ``listens`` a port for it."""
    return End(dialling=Dialling(ALL, tls, connect_timeout=5.0), tls_port=0 if listens else None, **options)


@asynccontextmanager
async def running(*ends: End) -> AsyncIterator[None]:
    for end in ends:
        await end.transport.start()
    try:
        yield
    finally:
        for end in ends:
            await end.transport.close()


def secure_flow(end: End, name: str = "") -> Flow:
    """Return the flow to the TLS port of an end, whose certificate has to be for ``name``."""
    assert end.transport.tls_port
    return Flow("TLS", (end.transport.host, end.transport.tls_port), name=name)


@pytest.mark.parametrize(
    ("shown", "name", "good"),
    [
        ("core.example", "core.example", True),
        ("sip:core.example", "core.example", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "", True),  # nobody said who it is: then it is the address itself
        # RFC 5922 section 7.2: neither subdomains nor wildcards.
        ("*.example", "core.example", False),
        ("other.example", "core.example", False),
        ("other.example", "", False),
    ],
)
async def test_name_of_the_server(tmp_path: Path, shown: str, name: str, good: bool) -> None:
    certificate, key = write_certificate(tmp_path, host=shown)
    server = tls_end(SipTls(certificate, key), listens=True)
    client = tls_end(SipTls(authorities=certificate))
    async with running(server, client):
        flow = secure_flow(server, name)
        client.transport.send(flow, OPTIONS)
        await until(lambda: server.messages or client.failures)
        if good:
            _, seen = server.messages[0]
            assert seen.transport == "TLS" and seen.name == ""  # the client has shown nothing
            server.transport.send(seen, OPTIONS)
            await until(lambda: client.messages)
            assert client.messages[0][1].name == (name or "127.0.0.1")
            assert {record.transport for record in client.records if isinstance(record, WireRecord)} == {"TLS"}
        else:
            assert client.failures == [flow] and not server.messages
            assert not server.transport._connections._open or not server.records


async def test_unknown_authority(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    server, client = tls_end(SipTls(certificate, key), listens=True), tls_end(SipTls())
    async with running(server, client):
        client.transport.send(secure_flow(server), OPTIONS)
        await until(lambda: client.failures)
        assert not server.messages


@pytest.mark.parametrize(
    ("clients", "shows", "served", "name"),
    [
        ("any", True, True, ""),
        ("ask", True, True, "gateway.example"),
        ("ask", False, True, ""),
        ("require", True, True, "gateway.example"),
        ("require", False, False, ""),
    ],
)
async def test_certificate_of_the_client(
    tmp_path: Path, clients: Clients, shows: bool, served: bool, name: str
) -> None:
    certificate, key = write_certificate(tmp_path)
    ours, our_key = write_certificate(tmp_path, "client", host="gateway.example")
    server = tls_end(SipTls(certificate, key, ours, clients=clients), listens=True)
    client = tls_end(SipTls(ours if shows else None, our_key, certificate))
    async with running(server, client):
        client.transport.send(secure_flow(server), OPTIONS)
        await until(lambda: server.messages or client.failures)
        assert bool(server.messages) is served
        if served:
            assert server.messages[0][1].name == name


def test_listening_needs_a_certificate_and_clients(tmp_path: Path) -> None:
    assert SipTls().server is None
    assert SipTls(*write_certificate(tmp_path), clients="none").server is None


async def test_taken_port(tmp_path: Path) -> None:
    tls = SipTls(*write_certificate(tmp_path))
    one = tls_end(tls, listens=True)
    async with running(one):
        other = tls_end(tls)
        other.transport.tls_port = one.transport.tls_port
        with pytest.raises(OSError):
            await other.transport.start()
        # Without a certificate nobody can connect, whatever the port.
        client = tls_end(SipTls(), listens=True)
        async with running(client):
            assert client.transport.tls_port is None


async def test_connections_are_shared_by_name(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, host="core.example", others=("b.example",))
    server = tls_end(SipTls(certificate, key), listens=True)
    client = tls_end(SipTls(authorities=certificate))
    async with running(server, client):
        named, address = secure_flow(server, "core.example"), secure_flow(server, "127.0.0.1")
        for flow in (named, named):
            client.transport.send(flow, OPTIONS)
        await until(lambda: len(server.messages) == 2)
        # A Record-Route with the address means the core that has proven its name, though the certificate lacks it.
        client.transport.send(address, OPTIONS)
        await until(lambda: len(server.messages) == 3)
        assert len({flow for _, flow in server.messages}) == 1
        # Another domain at the same address proves itself by a connection of its own.
        client.transport.send(secure_flow(server, "b.example"), OPTIONS)
        await until(lambda: len(server.messages) == 4)
        assert len({flow for _, flow in server.messages}) == 2
        client.transport.send(secure_flow(server, "c.example"), OPTIONS)
        await until(lambda: client.failures)
        assert client.failures == [secure_flow(server, "c.example")]


async def test_plain_is_never_secure(tmp_path: Path) -> None:
    # A connection without TLS to the same address serves no flow with it, and the other way round.
    certificate, key = write_certificate(tmp_path)
    server = tls_end(SipTls(certificate, key), listens=True)
    client = tls_end(None)
    async with running(server, client):
        client.transport.send(secure_flow(server), OPTIONS)
        await until(lambda: client.failures)  # TLS is not configured
        client.transport.send(Flow("TCP", secure_flow(server).remote), OPTIONS)
        await until(lambda: len(client.failures) == 2)
        assert not server.messages


async def test_silent_handshakes_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipstack.net.transport.HubLimits", lambda: HubLimits(unclaimed_per_host=2))
    server = tls_end(SipTls(*write_certificate(tmp_path)), listens=True)
    async with running(server):
        assert server.transport.tls_port
        silent = [await asyncio.open_connection("127.0.0.1", server.transport.tls_port) for _ in range(3)]
        assert await asyncio.wait_for(silent[2][0].read(), 5) == b""
        for _, writer in silent:
            writer.close()
