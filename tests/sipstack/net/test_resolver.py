from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dns.rdata import from_text
from dns.rdataclass import IN
from dns.rdatatype import from_text as rdatatype

from sipstack.errors import ConnectionClosed
from sipstack.net.resolver import Resolver, Target, numeric_host, read_hosts
from sipstack.sip.uri import Uri


class Zone:
    """A DNS of a few records that remembers the questions."""

    def __init__(self, *records: tuple[str, str, str]) -> None:
        self.records = records
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, name: str, kind: str) -> Sequence[Any]:
        self.asked.append((name, kind))
        return [
            from_text(IN, rdatatype(kind), text)
            for owner, type_, text in self.records
            if (owner, type_) == (name, kind)
        ]


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
        (
            "sip:ims.example",
            [("TCP", "192.0.2.2", 5081), ("TCP", "192.0.2.1", 5080), ("UDP", "192.0.2.1", 5070)],
            6,
        ),
    ],
)
async def test_targets(uri: str, targets: list[tuple[str, str, int]], questions: int) -> None:
    zone = Zone(*FULL)
    assert await resolver(zone).resolve(Uri.parse(uri)) == [Target(*target) for target in targets]
    assert len(zone.asked) == questions


async def test_ipv6_asks_for_its_own_records() -> None:
    zone = Zone(*FULL)
    assert await resolver(zone, ipv6=True).resolve(Uri.parse("sip:p6.example:5060")) == [
        Target("UDP", "2001:db8::1", 5060)
    ]
    assert resolver(zone, ipv6=True).resolve_now(Uri.parse("sip:core")) == [Target("UDP", "2001:db8::9", 5060)]


@pytest.mark.parametrize("uri", ["sip:nowhere.example", "tel:+49151", "sip:192.0.2.1;transport=tls", "sips:a@b"])
async def test_no_way(uri: str) -> None:
    with pytest.raises(ConnectionClosed) as caught:
        await resolver(Zone()).resolve(Uri.parse(uri))
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
