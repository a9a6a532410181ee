from __future__ import annotations

import pytest

from sipstack.net.addresses import OwnAddresses
from sipstack.net.features import CHAT_FEATURES, FILE_FEATURES, joined
from sipstack.sdp import SessionDescription
from sipstack.sip.uri import Uri

from .helpers import B, pair

V4 = OwnAddresses(("192.0.2.1", 5070), "0.0.0.0", 5071)
V6 = OwnAddresses(("2001:db8::1", 5070), "::", 5071)


@pytest.mark.parametrize(
    ("addresses", "transport", "sent_by", "uri"),
    [
        (V4, "UDP", "192.0.2.1:5070", "sip:b@192.0.2.1:5070;transport=udp"),
        (V4, "TLS", "192.0.2.1:5071", "sip:b@192.0.2.1:5071;transport=tls"),
        (V6, "TCP", "[2001:db8::1]:5070", "sip:b@[2001:db8::1]:5070;transport=tcp"),
        (V6, "TLS", "[2001:db8::1]:5071", "sip:b@[2001:db8::1]:5071;transport=tls"),
    ],
)
def test_each_transport_has_its_port(addresses: OwnAddresses, transport: str, sent_by: str, uri: str) -> None:
    assert addresses.via(transport).startswith(f"SIP/2.0/{transport} {sent_by};branch=z9hG4bK")
    assert str(addresses.uri("b", transport)) == uri
    assert Uri.parse(uri) == addresses.uri("b", transport)


def test_open_and_secure() -> None:
    assert str(V4.uri()) == "sip:192.0.2.1:5070" and V4.sent_by == "192.0.2.1:5070"
    assert str(V4.uri("b", "TLS", secure=True)) == "sips:b@192.0.2.1:5071"
    # Without a port for TLS there is no better one than that of UDP and TCP: the core has to use our connection.
    assert str(OwnAddresses(("192.0.2.1", 5070), "192.0.2.1", None).uri("b", "TLS")).endswith(":5070;transport=tls")


@pytest.mark.parametrize(
    ("uri", "ours"),
    [
        ("sip:192.0.2.1:5070", True),
        ("sip:192.0.2.1:5071;transport=tls", True),
        ("sip:0.0.0.0:5070", True),
        ("sip:192.0.2.1", False),
        ("sip:192.0.2.2:5070", False),
        ("sip:192.0.2.1:5072", False),
    ],
)
def test_what_is_ours(uri: str, ours: bool) -> None:
    assert V4.is_ours(Uri.parse(uri)) is ours


def test_who_can_connect() -> None:
    assert all(V4.is_reachable_by(transport) for transport in ("UDP", "TCP", "TLS"))
    assert not V4.is_reachable_by("WS") and not V4.is_reachable_by("WSS")
    assert not OwnAddresses(("192.0.2.1", 5070), "192.0.2.1", None).is_reachable_by("TLS")


async def test_session_descriptions_have_no_brackets() -> None:
    async with pair(host="::1") as (_, a, b, _phone):
        b.features = joined(CHAT_FEATURES, FILE_FEATURES)
        response = await a.options(B)
        assert SessionDescription.parse(response.body).origin.address == "::1"
        assert b" IN IP6 ::1\r\n" in response.body and response.contacts[0].uri.host == "[::1]"


def test_default_ports() -> None:
    addresses = OwnAddresses(("2001:db8::1", 5060), "2001:db8::1", 5061)
    assert all(addresses.is_ours(Uri.parse(f"{uri}")) for uri in ("sip:[2001:db8::1]", "sips:[2001:DB8::1]"))
