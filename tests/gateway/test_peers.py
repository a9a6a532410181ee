"""Which peers are trusted and which may be connected to."""

from __future__ import annotations

import pytest

from gateway.peers import reachable_peers, reachable_servers, trusted_flows
from sipstack.flow import Flow


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("192.0.2.1", True),
        ("10.1.2.3", True),
        ("2001:db8::1", True),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("::ffff:192.0.2.1", True),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("a.example", False),
    ],
)
def test_without_networks_only_routable_addresses(host: str, allowed: bool) -> None:
    assert reachable_peers((), ("1024-65535",))(host, 2855) is allowed


def test_networks_and_ports_are_exhaustive_once_listed() -> None:
    allowed = reachable_peers(("127.0.0.0/8", "2001:db8::/32"), ("2855", "5000-5010"))
    assert allowed("127.0.0.1", 2855)
    assert allowed("::ffff:127.0.0.1", 5010)
    assert allowed("2001:db8::7", 5000)
    assert not allowed("127.0.0.1", 2856)
    assert not allowed("192.0.2.1", 2855)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("8.8.8.8", True),
        ("2a00:1450::1", True),
        ("10.1.2.3", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fd00::1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
    ],
)
def test_files_come_from_public_addresses_unless_others_are_listed(host: str, allowed: bool) -> None:
    """D-FTH-05."""
    assert reachable_servers((), ("443",))(host, 443) is allowed
    assert not reachable_servers((), ("443",))(host, 22)
    assert reachable_servers(("0.0.0.0/0", "::/0"), ("443",))(host, 443)


def test_identity_is_believed_from_private_interfaces_and_certificates_only() -> None:
    trusted = trusted_flows(("10.0.0.0/8",), ("Core.example", "2001:db8::1"))
    assert trusted(Flow("UDP", ("10.2.3.4", 5060)))
    assert not trusted(Flow("UDP", ("192.0.2.4", 5060)))
    assert trusted(Flow("TLS", ("192.0.2.4", 5061), name="core.Example"))
    assert trusted(Flow("WSS", ("192.0.2.4", 443), name="2001:db8::1"))
    assert not trusted(Flow("TLS", ("192.0.2.4", 5061)))
    assert not trusted(Flow("TLS", ("192.0.2.4", 5061), name="stranger.example"))
    assert not trusted(Flow("TCP", ("not an address", 5060)))
