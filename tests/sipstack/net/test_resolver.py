from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from dns.rdata import from_text
from dns.rdataclass import IN
from dns.rdatatype import from_text as rdatatype

from sipstack.errors import ConnectionClosed
from sipstack.net.lookup import Answer
from sipstack.net.resolver import Resolver, Target, numeric_host, read_hosts
from sipstack.sip.uri import Uri


class Zone:
    """A DNS of a few records that remembers the questions."""

    def __init__(self, *records: tuple[str, str, str]) -> None:
        self.records = records
        self.asked: list[tuple[str, str]] = []
        self.ttl = 0.0
        self.is_down = False

    async def __call__(self, name: str, kind: str) -> Answer:
        self.asked.append((name, kind))
        if self.is_down:
            raise ConnectionClosed("no DNS", certain=True)
        found = [
            from_text(IN, rdatatype(kind), text)
            for owner, type_, text in self.records
            if (owner, type_) == (name, kind)
        ]
        return Answer(found, self.ttl)


def resolver(zone: Zone, **options: Any) -> Resolver:
    return Resolver(query=zone, hosts={"core": ["192.0.2.9", "2001:db8::9"]}, **options)


FULL = (
    ("ims.example", "NAPTR", '20 0 "s" "SIP+D2U" "" _sip._udp.ims.example.'),
    ("ims.example", "NAPTR", '10 0 "s" "SIP+D2T" "" _sip._tcp.ims.example.'),
    ("ims.example", "NAPTR", '5 0 "s" "SIPS+D2T" "" _sips._tcp.ims.example.'),
    ("_sip._udp.ims.example", "SRV", "1 0 5070 p1.ims.example."),
    ("_sip._tcp.ims.example", "SRV", "2 0 5080 p1.ims.example."),
    ("_sip._tcp.ims.example", "SRV", "1 0 5081 p2.ims.example."),
    ("p1.ims.example", "A", "192.0.2.1"),
    ("p2.ims.example", "A", "192.0.2.2"),
    ("plain.example", "A", "192.0.2.3"),
    ("srv.example", "A", "192.0.2.5"),
    ("_sip._tcp.srv.example", "SRV", "1 0 5090 p1.ims.example."),
    ("p6.example", "AAAA", "2001:db8::1"),
    ("d.example", "A", "192.0.2.6"),
    ("d.example", "AAAA", "2001:db8::6"),
    ("gone.example", "A", "192.0.2.4"),
    ("_sip._udp.gone.example", "SRV", "0 0 0 ."),
    ("_sips._tcp.srv.example", "SRV", "1 0 5091 p2.ims.example."),
    ("sctp.example", "A", "192.0.2.4"),
    ("sctp.example", "NAPTR", '10 0 "s" "SIP+D2S" "" _sip._sctp.sctp.example.'),
    ("enum.example", "A", "192.0.2.4"),
    ("enum.example", "NAPTR", '10 0 "u" "E2U+sip" "!^.*$!sip:a@b!" .'),
    ("equal.example", "NAPTR", '10 2 "s" "SIP+D2T" "" _sip._tcp.ims.example.'),
    ("equal.example", "NAPTR", '10 1 "S" "sip+d2u" "" _sip._udp.ims.example.'),
    ("ws.example", "A", "192.0.2.8"),
)


@pytest.mark.parametrize(
    ("uri", "targets", "questions"),
    [
        ("sip:192.0.2.7", [("UDP", "192.0.2.7", 5060)], 0),
        ("sip:a@192.0.2.7:5070;transport=tcp", [("TCP", "192.0.2.7", 5070)], 0),
        ("sip:[2001:db8::7]:5070", [("UDP", "2001:db8::7", 5070)], 0),
        ("sip:x.example;maddr=192.0.2.8", [("UDP", "192.0.2.8", 5060)], 0),
        ("sip:CORE;lr", [("UDP", "192.0.2.9", 5060)], 0),
        ("sip:plain.example:5070", [("UDP", "192.0.2.3", 5070)], 1),
        ("sip:plain.example", [("UDP", "192.0.2.3", 5060)], 4),
        ("sip:srv.example;transport=tcp", [("TCP", "192.0.2.1", 5090)], 2),
        # the order of NAPTR: what stands behind the first that fits is not considered (RFC 3403 §4.1)
        ("sip:ims.example", [("TCP", "192.0.2.2", 5081), ("TCP", "192.0.2.1", 5080)], 4),
        (
            "sip:equal.example",
            [("UDP", "192.0.2.1", 5070), ("TCP", "192.0.2.2", 5081), ("TCP", "192.0.2.1", 5080)],
            6,
        ),
        ("sip:enum.example", [("UDP", "192.0.2.4", 5060)], 4),
    ],
)
async def test_targets(uri: str, targets: list[tuple[str, str, int]], questions: int) -> None:
    zone = Zone(*FULL)
    assert await resolver(zone).resolve(Uri.parse(uri)) == [Target(*target) for target in targets]
    assert len(zone.asked) == questions


@pytest.mark.parametrize(
    ("uri", "targets"),
    [
        ("sips:192.0.2.7", [("TLS", "192.0.2.7", 5061)]),
        ("sips:plain.example:5071", [("TLS", "192.0.2.3", 5071)]),
        ("sips:plain.example;transport=tcp", [("TLS", "192.0.2.3", 5061)]),
        ("sip:srv.example;transport=tls", [("TLS", "192.0.2.2", 5091)]),
        ("sips:srv.example", [("TLS", "192.0.2.2", 5091)]),
        # SIPS services are kept for sip URIs too, where there is TLS (RFC 3263 §4.1)
        ("sip:tls.example", [("TLS", "192.0.2.2", 5061)]),
        # but without NAPTR nothing says that TLS is there
        ("sip:srv.example", [("TCP", "192.0.2.1", 5090)]),
        ("sip:ws.example;transport=ws", [("WS", "192.0.2.8", 80)]),
        ("sips:ws.example;transport=ws", [("WSS", "192.0.2.8", 443)]),
    ],
)
async def test_targets_with_tls(uri: str, targets: list[tuple[str, str, int]]) -> None:
    zone = Zone(
        *FULL,
        ("tls.example", "NAPTR", '5 0 "s" "SIPS+D2T" "" _sips._tcp.tls.example.'),
        ("tls.example", "NAPTR", '6 0 "s" "SIP+D2U" "" _sip._udp.tls.example.'),
        ("_sips._tcp.tls.example", "SRV", "1 0 5061 p2.ims.example."),
    )
    found = await resolver(zone, transports=("UDP", "TCP", "TLS", "WS", "WSS")).resolve(Uri.parse(uri))
    assert found == [Target(*target) for target in targets]
    assert {target.name for target in found} == {Uri.parse(uri).host}


async def test_what_was_found_is_kept_for_its_time() -> None:
    zone, uri = Zone(*FULL), Uri.parse("sip:srv.example;transport=tcp")
    zone.ttl = 300.0
    kept = resolver(zone)
    assert kept.servers_now(uri) is None
    first, second = await asyncio.gather(kept.servers(uri), kept.servers(uri))
    assert first is second is kept.servers_now(uri)
    assert len(zone.asked) == 2


async def test_a_dns_that_does_not_answer_changes_nothing() -> None:
    zone, uri = Zone(*FULL), Uri.parse("sip:srv.example;transport=tcp")
    kept = resolver(zone)
    before = await kept.servers(uri)
    zone.is_down = True
    assert await kept.servers(uri) is before
    assert len(zone.asked) == 3
    with pytest.raises(ConnectionClosed, match="no DNS"):
        await kept.servers(Uri.parse("sip:ims.example"))


async def test_no_more_is_kept_than_a_core_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipstack.net.resolver.KEPT_DESTINATIONS", 1)
    zone = Zone(*FULL)
    zone.ttl = 300.0
    kept = resolver(zone)
    for host in ("plain.example", "d.example"):
        await kept.servers(Uri.parse(f"sip:{host}:5060"))
    assert kept.servers_now(Uri.parse("sip:plain.example:5060")) is None


async def test_who_is_served_decides_the_order() -> None:
    zone = Zone(
        ("_sip._udp.w.example", "SRV", "1 1 5060 a.example."),
        ("_sip._udp.w.example", "SRV", "1 1 5060 b.example."),
        ("a.example", "A", "192.0.2.1"),
        ("b.example", "A", "192.0.2.2"),
    )
    uri = Uri.parse("sip:w.example;transport=udp")
    orders = {
        key: {tuple(target.host for target in await resolver(zone).resolve(uri, key)) for _ in range(5)}
        for key in (f"sip:g{number}@w.example" for number in range(20))
    }
    assert all(len(seen) == 1 for seen in orders.values())
    assert len({min(seen) for seen in orders.values()}) == 2


async def test_ipv6_asks_for_its_own_records() -> None:
    zone = Zone(*FULL)
    assert await resolver(zone, families=("AAAA",)).resolve(Uri.parse("sip:p6.example:5060")) == [
        Target("UDP", "2001:db8::1", 5060)
    ]
    both = resolver(zone, families=("A", "AAAA"))
    assert await both.resolve(Uri.parse("sip:core")) == [
        Target("UDP", "192.0.2.9", 5060),
        Target("UDP", "2001:db8::9", 5060),
    ]
    assert await both.resolve(Uri.parse("sip:d.example:5070")) == [
        Target("UDP", "192.0.2.6", 5070),
        Target("UDP", "2001:db8::6", 5070),
    ]


@pytest.mark.parametrize(
    "uri",
    [
        "sip:nowhere.example",
        "tel:+49151",
        "sip:192.0.2.1;transport=tls",
        "sips:a@b",
        "sips:a@b;transport=udp",
        "sip:gone.example;transport=udp",  # RFC 2782: a target of "." means that there is no such service
        "sip:sctp.example",
    ],
)
async def test_no_way(uri: str) -> None:
    with pytest.raises(ConnectionClosed) as caught:
        await resolver(Zone(*FULL)).resolve(Uri.parse(uri))
    assert caught.value.certain


async def test_only_our_transports_are_used() -> None:
    targets = await resolver(Zone(*FULL), transports=("UDP",)).resolve(Uri.parse("sip:ims.example"))
    assert targets == [Target("UDP", "192.0.2.1", 5070)]


async def test_weights_share_the_load() -> None:
    zone = Zone(
        ("_sip._udp.w.example", "SRV", "1 30 5060 a.example."),
        ("_sip._udp.w.example", "SRV", "1 10 5060 b.example."),
        ("a.example", "A", "192.0.2.1"),
        ("b.example", "A", "192.0.2.2"),
    )
    uri = Uri.parse("sip:w.example;transport=udp")
    first = Counter([(await resolver(zone).resolve(uri))[0].host for _ in range(1000)])
    assert 650 < first["192.0.2.1"] < 850


def test_numeric_host() -> None:
    assert numeric_host("[::1]") == "::1"
    assert numeric_host("192.0.2.1") == "192.0.2.1"
    assert numeric_host("example.org") is None


def test_hosts_file(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 Localhost lab # mine\n\n# all\nnonsense x\n::1 localhost\n", encoding="utf-8")
    assert read_hosts(path) == {"localhost": ["127.0.0.1", "::1"], "lab": ["127.0.0.1"]}
    assert read_hosts(tmp_path / "missing") == {}
