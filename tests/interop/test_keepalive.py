"""Keep-alives that Kamailio answers: CRLF by TCP and TLS (RFC 5626 §3.5.1), STUN by UDP (§3.5.2)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.lab.kamailio import Kamailio
from sipstack.flow import Flow
from sipstack.net import flowkeeper
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.tls import SipTls
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.digest import Credentials
from sipstack.sip.uri import Uri
from sipstack.trace import Record, Trace, WireRecord
from tests.interop.conftest import needs_kamailio
from tests.sipstack.net.certificates import write_certificate
from tests.sipstack.net.test_transport import until

pytestmark = pytest.mark.interop

INTERVAL = 0.05


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_keep_alives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    needs_kamailio("tls")
    for name in ("UDP_INTERVAL", "STREAM_INTERVAL"):
        monkeypatch.setattr(flowkeeper, name, (INTERVAL, INTERVAL))
    monkeypatch.setattr(flowkeeper, "PONG_TIMEOUT", 0.2)
    certificate, key = write_certificate(tmp_path, host=host)
    async with Kamailio(tmp_path / "core", host=host, tls=True, certificate=certificate, key=key) as core:
        core.add_subscriber("a", "secret")
        for transport, port in (("udp", core.sip_port), ("tcp", core.sip_port), ("tls", core.sips_port)):
            await keep_alive(core, Uri.parse(f"sip:{'[::1]' if ':' in host else host}:{port};transport={transport};lr"))


async def keep_alive(core: Kamailio, proxy: Uri) -> None:
    """Register by ``proxy``, and see several keep-alives answered."""
    records: list[Record] = []
    failed: list[Flow] = []

    def pongs() -> int:
        return sum(isinstance(record, WireRecord) and record.data == b"\r\n" for record in records)

    config = EndpointConfig(
        bind_host=core.host, msrp=False, keep_alive="always", tls=SipTls(authorities=core.folder.parent / "peer.crt")
    )
    async with Endpoint(config, trace=Trace("end", records.append, lambda: 0.0)) as endpoint:
        identity = Identity(Uri.parse(f"sip:a@{core.domain}"), Credentials.from_password("a", "secret"))
        agent = UserAgent(endpoint, identity, domain=Uri.parse(f"sip:{core.domain}"), outbound_proxy=proxy)
        transport = endpoint._transport
        assert transport is not None and transport._datagrams is not None
        transport._on_failed = transport._connections._on_failed = lambda flow, error: failed.append(flow)
        await agent.register()
        if proxy.param("transport") == "udp":
            kept, local = transport._keeper._peers[core.host, core.sip_port], transport._datagrams.local
            await until(lambda: kept._mapped == local)
        else:
            await until(lambda: pongs() >= 3)
        await asyncio.sleep(3 * INTERVAL)
        assert not failed
        await agent.close()
