"""Where responses go: A-TRN-03, A-TRN-04, A-TRN-06."""

from __future__ import annotations

import pytest

from sipstack.flow import Flow
from sipstack.sip.message import Request, Response
from sipstack.sip.routing import agreed_keep_alive, default_port, initial_routes, wanted_transport
from sipstack.sip.transaction import mark_received, response_flow
from sipstack.sip.uri import Uri

LOCAL = ("192.0.2.10", 5060)
SOURCE = ("198.51.100.7", 40123)
UDP = Flow("UDP", SOURCE, LOCAL)
TCP = Flow("TCP", SOURCE, LOCAL, 3)


def request_with(*vias: str) -> Request:
    return Request("OPTIONS", "sip:h", [("Via", via) for via in vias])


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        # A-TRN-03: a name, or another address
        ("SIP/2.0/UDP h.example;branch=b", "SIP/2.0/UDP h.example;branch=b;received=198.51.100.7"),
        ("SIP/2.0/UDP 10.0.0.1;branch=b", "SIP/2.0/UDP 10.0.0.1;branch=b;received=198.51.100.7"),
        ("SIP/2.0/UDP 198.51.100.7;branch=b", "SIP/2.0/UDP 198.51.100.7;branch=b"),
        # A-TRN-06: rport
        (
            "SIP/2.0/UDP 198.51.100.7;rport;branch=b",
            "SIP/2.0/UDP 198.51.100.7;rport=40123;branch=b;received=198.51.100.7",
        ),
        # A-OUT-06: keep-alives are welcome; who has been told keeps what it says
        ("SIP/2.0/UDP 198.51.100.7;keep;branch=b", "SIP/2.0/UDP 198.51.100.7;keep=30;branch=b"),
        ("SIP/2.0/UDP 198.51.100.7;branch=b;Keep=120", "SIP/2.0/UDP 198.51.100.7;branch=b;Keep=120"),
        # what the peer wrote itself doesn't count
        ("SIP/2.0/UDP 198.51.100.7;received=1.2.3.4;branch=b", "SIP/2.0/UDP 198.51.100.7;branch=b"),
        (
            "SIP/2.0/UDP h;received=1.2.3.4;rport=1;branch=b",
            "SIP/2.0/UDP h;rport=40123;branch=b;received=198.51.100.7",
        ),
    ],
)
def test_mark_received(via: str, expected: str) -> None:
    request = request_with(f"{via}, SIP/2.0/UDP second;branch=2", "SIP/2.0/UDP third;branch=3")
    for _ in range(2):
        mark_received(request, UDP)
        assert str(request.via) == expected
        assert [via.host for via in request.vias[1:]] == ["second", "third"]


@pytest.mark.parametrize(
    ("keep", "seconds"),
    [(";keep=30", 30), (";keep=0", 0), (";keep", None), ("", None), (";keep=x", None), (";keep=99999999", 3600)],
)
def test_agreed_keep_alive(keep: str, seconds: int | None) -> None:
    # RFC 6223 section 4.3: only a value says that the other end agrees.
    response = Response(200, headers=[("Via", f"SIP/2.0/UDP h;branch=b{keep}, SIP/2.0/UDP h;branch=c;keep=7")])
    assert agreed_keep_alive(response) == seconds


def test_ipv6_is_compared_as_an_address() -> None:
    flow = Flow("UDP", ("2001:db8::1", 5060), LOCAL)
    request = request_with("SIP/2.0/UDP [2001:DB8:0:0::1];branch=b")
    mark_received(request, flow)
    assert request.via.received is None
    request = request_with("SIP/2.0/UDP [2001:db8::2];branch=b")
    mark_received(request, flow)
    assert request.via.received == "2001:db8::1"
    mark_received(request, Flow("UDP", ("fe80::1%eth0", 5060), LOCAL))
    assert request.via.received == "fe80::1"


@pytest.mark.parametrize(
    ("via", "flow", "connected", "expected"),
    [
        # UDP: rport, else the sent-by port, else 5060
        ("SIP/2.0/UDP h;branch=b;rport", UDP, True, UDP),
        ("SIP/2.0/UDP h:5070;branch=b", UDP, True, Flow("UDP", (SOURCE[0], 5070), LOCAL)),
        ("SIP/2.0/UDP h;branch=b", UDP, True, Flow("UDP", (SOURCE[0], 5060), LOCAL)),
        ("SIP/2.0/UDP h:5070;branch=b;maddr=203.0.113.9", UDP, True, Flow("UDP", ("203.0.113.9", 5070), LOCAL)),
        ("SIP/2.0/UDP h:5070;branch=b;maddr=evil.example", UDP, True, Flow("UDP", (SOURCE[0], 5070), LOCAL)),
        # reliable: the connection, and when it is gone a new one to the sent-by port
        ("SIP/2.0/TCP h:5070;branch=b;rport", TCP, True, TCP),
        ("SIP/2.0/TCP h:5070;branch=b;rport", TCP, False, Flow("TCP", (SOURCE[0], 5070))),
        # RFC 7118: nobody connects to a WebSocket client
        ("SIP/2.0/WS h;branch=b", Flow("WS", SOURCE, LOCAL, 1), False, Flow("WS", SOURCE, LOCAL, 1)),
        ("SIP/2.0/TLS h;branch=b", Flow("TLS", SOURCE, LOCAL, 1), False, Flow("TLS", (SOURCE[0], 5061))),
    ],
)
def test_response_flow(via: str, flow: Flow, connected: bool, expected: Flow) -> None:
    request = request_with(via)
    mark_received(request, flow)
    assert response_flow(request, flow, connected=connected) == expected


def test_default_ports() -> None:
    assert [default_port(name) for name in ("UDP", "TCP", "TLS", "WS", "WSS")] == [5060, 5060, 5061, 80, 443]


def test_routes_of_a_first_request() -> None:
    """The core may be its own edge: then it stands there once."""
    proxy, edge, core = (Uri.parse(f"sip:{host}:5060;lr") for host in ("p.example", "p.example", "s.example"))
    assert initial_routes(None, (core,)) == (core,)
    assert initial_routes(proxy, ()) == (proxy,)
    assert initial_routes(proxy, (edge, core)) == (edge, core)
    assert initial_routes(proxy, (core,)) == (proxy, core)


@pytest.mark.parametrize(
    ("uri", "transport"),
    [
        ("sip:a@b", None),
        ("sips:a@b", None),
        ("sip:a@b;transport=tcp", "TCP"),
        ("sip:a@b;transport=TLS", "TLS"),
        ("sips:a@b;transport=tcp", "TLS"),
        ("sips:a@b;transport=ws", "WSS"),
        ("sip:a@b;transport=sctp", "SCTP"),
        ("sips:a@b;transport=udp", ""),
    ],
)
def test_wanted_transports(uri: str, transport: str | None) -> None:
    assert wanted_transport(Uri.parse(uri)) == transport
