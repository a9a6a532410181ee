"""Look-ups at a real name server, on loopback."""

from __future__ import annotations

import pytest

from gateway.lab.ports import free_port
from sipstack.errors import ConnectionClosed
from sipstack.net import lookup
from sipstack.net.lookup import NEGATIVE_TTL, Dns
from sipstack.net.resolver import Resolver, Target
from sipstack.sip.uri import Uri
from tests.interop.nameserver import NameServer

ZONE = """
@ NAPTR 10 0 "s" "SIP+D2T" "" _sip._tcp.cc.com.
@ NAPTR 20 0 "s" "SIP+D2U" "" _sip._udp.cc.com.
_sip._tcp SRV 1 1 5070 node
_sip._tcp SRV 2 1 5080 node
node A 127.0.0.1
node AAAA ::1
"""


async def test_names_of_a_core() -> None:
    async with NameServer("cc.com.", ZONE) as server:
        found = Resolver(name_servers=[server.address], families=("A", "AAAA"), hosts={})
        uri = Uri.parse("sip:cc.com;lr")
        assert await found.resolve(uri) == [
            Target("TCP", "127.0.0.1", 5070),
            Target("TCP", "::1", 5070),
            Target("TCP", "127.0.0.1", 5080),
            Target("TCP", "::1", 5080),
        ]
        asked = len(server.questions)
        assert asked == 4  # NAPTR, SRV, and both kinds of addresses once
        assert found.servers_now(uri) is not None and await found.resolve(uri)
        assert len(server.questions) == asked


async def test_what_is_not_there() -> None:
    async with NameServer("cc.com.", ZONE) as server:
        dns = Dns([server.address])
        for name, kind in (("none.cc.com", "A"), ("node.cc.com", "SRV")):
            answer = await dns(name, kind)
            assert (list(answer.records), answer.ttl) == ([], NEGATIVE_TTL)
        assert 0 < (await dns("node.cc.com", "A")).ttl <= 60


async def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "QUERY_LIFETIME", 0.2)
    with pytest.raises(ConnectionClosed, match="DNS does not tell SRV"):
        await Dns([("127.0.0.1", free_port("127.0.0.1"))])("cc.com", "SRV")
