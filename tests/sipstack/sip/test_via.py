"""sipstack.sip.via: A-MSG-23, RFC 3581, RFC 5118."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from sipstack.errors import ParseError
from sipstack.sip.via import Via
from tests.strategies import vias


def test_parts() -> None:
    via = Via.parse("SIP/2.0/udp pc33.lab.example:5061;branch=z9hG4bK776;rport;received=192.0.2.1;ttl=4")
    assert (via.transport, via.host, via.port, via.branch) == ("UDP", "pc33.lab.example", 5061, "z9hG4bK776")
    assert (via.received, via.rport, via.param("rport"), via.param("maddr")) == ("192.0.2.1", None, "", None)
    assert via.host_port == ("pc33.lab.example", 5061)
    assert str(via) == "SIP/2.0/UDP pc33.lab.example:5061;branch=z9hG4bK776;rport;received=192.0.2.1;ttl=4"


def test_leading_zeros_of_a_port() -> None:
    # RFC 3261 section 25.1: port = 1*DIGIT
    assert Via.parse("SIP/2.0/UDP pc33.lab.example:00045061").port == 45061


def test_white_space_around_slashes_colon_and_semicolon() -> None:
    via = Via.parse("sip / 2.0\t/TCP   192.0.2.1 : 5060 ; branch = z9hG4bKa ; x")
    assert str(via) == "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKa;x"


@pytest.mark.parametrize("transport", ["UDP", "TCP", "TLS", "SCTP", "WS", "WSS", "UNKNOWN"])
def test_any_transport(transport: str) -> None:
    assert Via.parse(f"SIP/2.0/{transport} h").transport == transport


@pytest.mark.parametrize("received", ["[2001:db8::9:255]", "2001:db8::9:255"])
def test_ipv6(received: str) -> None:
    via = Via.parse(f"SIP/2.0/UDP [::ffff:192.0.2.2]:19823;received={received}")
    assert via.host_port == ("::ffff:192.0.2.2", 19823)
    assert via.received == "2001:db8::9:255"


def test_other_versions_are_kept_for_the_answer() -> None:
    assert str(Via.parse("SIP/7.0/UDP h")) == "SIP/7.0/UDP h"


@pytest.mark.parametrize(
    ("value", "rport"), [("5060", 5060), ("0", 0), ("65536", None), ("123456", None), ("x", None), ("-1", None)]
)
def test_rport(value: str, rport: int | None) -> None:
    assert Via.parse(f"SIP/2.0/UDP h;rport={value}").rport == rport


def test_absent_parameters() -> None:
    via = Via.parse("SIP/2.0/UDP h")
    assert (via.branch, via.received, via.rport, via.parameters) == (None, None, None, ())


def test_parameters_can_be_set_and_removed() -> None:
    via = Via.parse("SIP/2.0/UDP h;rport;branch=a")
    changed = via.with_param("rport", "4711").with_param("received", "2001:db8::1")
    assert str(changed) == "SIP/2.0/UDP h;rport=4711;branch=a;received=2001:db8::1"
    assert changed.rport == 4711
    assert str(changed.without_params("RPORT", "received")) == "SIP/2.0/UDP h;branch=a"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 UDP h",
        "SIP/2.0/UDP h:x",
        "SIP/2.0/UDP h:70000",
        "SIP/2.0/UDP h:123456",
        "SIP/2.0/UDP h x",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP h;;branch=a",
        "SIP/2.0/UDP h;branch=a;branch=b",  # A-MSG-10
        "SIP/2.0/UDP h;branch=a,",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ParseError, match="Via"):
        Via.parse(text)


def test_parse_many() -> None:
    assert [via.host for via in Via.parse_many("SIP/2.0/UDP a;x, SIP/2.0/TCP b")] == ["a", "b"]
    with pytest.raises(ParseError):
        Via.parse_many("SIP/2.0/UDP a,")


@given(vias())
@settings(max_examples=60)
def test_round_trip(via: Via) -> None:
    assert Via.parse(str(via)) == via
