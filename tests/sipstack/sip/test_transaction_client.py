"""Client transactions on a virtual clock: (inputs with times) → (outputs with times)."""

from __future__ import annotations

import gc

import pytest

from sipstack.errors import LocalProtocolError
from sipstack.flow import Flow
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import RequestTimedOut, ResponseReceived, State, TransactionLayer, TransportFailed
from tests.sipstack.sip.helpers import TCP, UDP, Step, make_request, play_client, sent, wire

END = "TransactionTerminated"


def copies(method: str, *times: float) -> list[Step]:
    return [(time, f"> {method}") for time in times]


CASES: dict[str, tuple[str, Flow, list[Step], list[Step]]] = {
    "A-ICT-02 no answer over UDP: 7 copies": (
        "INVITE",
        UDP,
        [],
        [*copies("INVITE", 0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5), (32, "RequestTimedOut"), (32, END)],
    ),
    "A-ICT-02 no answer over TCP: one copy": (
        "INVITE",
        TCP,
        [],
        [*copies("INVITE", 0), (32, "RequestTimedOut"), (32, END)],
    ),
    "A-ICT-01 after a 1xx no copies and no timeout": (
        "INVITE",
        UDP,
        [(0.1, "100"), (5, "180")],
        [*copies("INVITE", 0), (0.1, "Response 100"), (5, "Response 180")],
    ),
    "A-ICT-03 failure is acknowledged each time and reported once": (
        "INVITE",
        UDP,
        [(1, "486"), (1.5, "486"), (2.5, "180"), (3, "200"), (32.9, "486")],
        [
            *copies("INVITE", 0, 0.5),
            (1, "> ACK"),
            (1, "Response 486"),
            (1.5, "> ACK"),
            (32.9, "> ACK"),
            (33, END),
        ],
    ),
    "A-ICT-03 failure over TCP ends at once": (
        "INVITE",
        TCP,
        [(1, "180"), (2, "603")],
        [*copies("INVITE", 0), (1, "Response 180"), (2, "> ACK"), (2, "Response 603"), (2, END)],
    ),
    "A-ICT-06 each 2xx of 32 s is reported": (
        "INVITE",
        UDP,
        [(1, "200"), (2, "200"), (3, "200 other"), (4, "180"), (5, "486"), (6, "broken"), (32, "200"), (40, "200")],
        [
            *copies("INVITE", 0, 0.5),
            (1, "Response 200"),
            (2, "Response 200"),
            (3, "Response 200"),
            (32, "Response 200"),
            (33, END),
        ],
    ),
    "A-ICT-06 2xx in Proceeding, over TCP too": (
        "INVITE",
        TCP,
        [(1, "180"), (2, "200"), (33, "200 other")],
        [*copies("INVITE", 0), (1, "Response 180"), (2, "Response 200"), (33, "Response 200"), (34, END)],
    ),
    "A-NICT-01 no answer over UDP: 11 copies": (
        "OPTIONS",
        UDP,
        [],
        [
            *copies("OPTIONS", 0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5),
            (32, "RequestTimedOut"),
            (32, END),
        ],
    ),
    "A-NICT-01 no answer over TCP": ("OPTIONS", TCP, [], [*copies("OPTIONS", 0), (32, "RequestTimedOut"), (32, END)]),
    "A-NICT-02 after a 1xx a copy every T2, and the timeout stays": (
        "REGISTER",
        UDP,
        [(0.2, "100"), (9, "100")],
        [
            (0, "> REGISTER"),
            (0.2, "Response 100"),
            *copies("REGISTER", 0.5, 4.5, 8.5),
            (9, "Response 100"),
            *copies("REGISTER", 12.5, 16.5, 20.5, 24.5, 28.5),
            (32, "RequestTimedOut"),
            (32, END),
        ],
    ),
    "A-NICT-01 final over UDP: repeats absorbed for T4": (
        "MESSAGE",
        UDP,
        [(0.2, "200"), (0.4, "200"), (0.6, "404"), (0.8, "100"), (6, "200")],
        [(0, "> MESSAGE"), (0.2, "Response 200"), (5.2, END)],
    ),
    "A-NICT-01 failure after 1xx": (
        "MESSAGE",
        UDP,
        [(0.1, "100"), (0.2, "404")],
        [(0, "> MESSAGE"), (0.1, "Response 100"), (0.2, "Response 404"), (5.2, END)],
    ),
    "A-NICT-01 failure at once, success after 1xx over TCP": (
        "MESSAGE",
        TCP,
        [(0.1, "100"), (0.2, "200")],
        [(0, "> MESSAGE"), (0.1, "Response 100"), (0.2, "Response 200"), (0.2, END)],
    ),
    "A-NICT-01 401 over TCP ends at once": (
        "REGISTER",
        TCP,
        [(0.1, "401")],
        [(0, "> REGISTER"), (0.1, "Response 401"), (0.1, END)],
    ),
    "A-UAC-05 broken transport: INVITE calling": (
        "INVITE",
        TCP,
        [(1, "broken")],
        [(0, "> INVITE"), (1, "TransportFailed"), (1, END)],
    ),
    "A-UAC-05 broken transport: INVITE proceeding": (
        "INVITE",
        TCP,
        [(1, "180"), (2, "broken")],
        [(0, "> INVITE"), (1, "Response 180"), (2, "TransportFailed"), (2, END)],
    ),
    "A-UAC-05 broken transport: INVITE completed": (
        "INVITE",
        UDP,
        [(0.1, "486"), (0.2, "broken")],
        [(0, "> INVITE"), (0.1, "> ACK"), (0.1, "Response 486"), (0.2, END)],
    ),
    "A-UAC-05 broken transport: non-INVITE trying": (
        "OPTIONS",
        UDP,
        [(0.1, "broken")],
        [(0, "> OPTIONS"), (0.1, "TransportFailed"), (0.1, END)],
    ),
    "A-UAC-05 broken transport: non-INVITE proceeding": (
        "OPTIONS",
        UDP,
        [(0.1, "100"), (0.2, "broken")],
        [(0, "> OPTIONS"), (0.1, "Response 100"), (0.2, "TransportFailed"), (0.2, END)],
    ),
    "A-UAC-05 broken transport: non-INVITE completed": (
        "OPTIONS",
        UDP,
        [(0.1, "200"), (0.2, "broken")],
        [(0, "> OPTIONS"), (0.1, "Response 200"), (0.2, END)],
    ),
    "A-CAN-01 CANCEL waits for the 1xx, A-CAN-03 and 487 ends it": (
        "INVITE",
        UDP,
        [(0.1, "cancel"), (0.2, "cancel"), (0.3, "100"), (0.9, "487")],
        [
            (0, "> INVITE"),
            (0.3, "> CANCEL"),
            (0.3, "Response 100"),
            (0.8, "> CANCEL"),
            (0.9, "> ACK"),
            (0.9, "Response 487"),
            *copies("CANCEL", 1.8, 3.8, 7.8, 11.8, 15.8, 19.8, 23.8, 27.8, 31.8),
            (32.9, END),
        ],
    ),
    "A-CAN-03 no final within 64*T1 of the CANCEL": (
        "INVITE",
        TCP,
        [(1, "180"), (50, "cancel"), (60, "180")],
        [
            (0, "> INVITE"),
            (1, "Response 180"),
            (50, "> CANCEL"),
            (60, "Response 180"),
            (82, "RequestTimedOut"),
            (82, END),
        ],
    ),
    "A-CAN-01 no CANCEL after a final": (
        "INVITE",
        TCP,
        [(1, "200"), (2, "cancel")],
        [(0, "> INVITE"), (1, "Response 200"), (33, END)],
    ),
    "A-CAN-03 the 200 wins the race": (
        "INVITE",
        UDP,
        [(0.1, "cancel"), (0.2, "200")],
        [(0, "> INVITE"), (0.2, "Response 200"), (32.2, END)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_script(case: str) -> None:
    method, flow, script, expected = CASES[case]
    record, transaction = play_client(method, flow, script, until=100)
    assert record == expected
    assert transaction.is_final is (expected[-1][1] == END)


def invite(*headers: tuple[str, str]) -> Request:
    return make_request("INVITE", headers=headers, body=b"v=0\r\n")


def answer(layer: TransactionLayer, request: Request, status: int, to_tag: str = "B7") -> None:
    layer.receive_message(wire(Response.for_request(request, status, to_tag=to_tag)), UDP, 0.1)


def test_ack_for_failure_field_by_field() -> None:
    """A-ICT-04."""
    layer = TransactionLayer()
    request = invite(
        ("Route", "<sip:p1.example;lr>, <sip:p2.example;lr>"), ("Route", "<sip:p3.example;lr>"), ("Proxy-Require", "x")
    )
    request.headers.insert("Via", "SIP/2.0/UDP proxy.example;branch=z9hG4bKtop")
    layer.send_request(request, UDP, 0.0)
    layer.data_to_send()
    answer(layer, request, 486)
    [(flow, data)] = layer.data_to_send()
    assert flow == UDP
    assert data.decode().split("\r\n") == [
        "ACK sip:bob@ims.lab.example SIP/2.0",
        "Via: SIP/2.0/UDP proxy.example;branch=z9hG4bKtop",
        "Max-Forwards: 70",
        "Route: <sip:p1.example;lr>, <sip:p2.example;lr>",
        "Route: <sip:p3.example;lr>",
        "From: <sip:alice@ims.lab.example>;tag=a1",
        "To: <sip:bob@ims.lab.example>;tag=B7",
        "Call-ID: call-1",
        "CSeq: 1 ACK",
        "Content-Length: 0",
        "",
        "",
    ]


def test_cancel_byte_by_byte() -> None:
    """A-CAN-02; A-EXT-01 for the Reason; no credentials (A-DIG-11)."""
    layer = TransactionLayer()
    request = invite(("Route", "<sip:p1.example;lr>"), ("Require", "x"), ("Proxy-Authorization", 'Digest realm="r"'))
    transaction = layer.send_request(request, UDP, 0.0)
    answer(layer, request, 180)
    layer.data_to_send()
    layer.cancel(transaction, 1.0, 'SIP;cause=200;text="Call completed elsewhere"')
    assert layer.data_to_send() == [
        (
            UDP,
            b"CANCEL sip:bob@ims.lab.example SIP/2.0\r\n"
            b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1\r\n"
            b"Max-Forwards: 70\r\n"
            b"Route: <sip:p1.example;lr>\r\n"
            b"From: <sip:alice@ims.lab.example>;tag=a1\r\n"
            b"To: <sip:bob@ims.lab.example>\r\n"
            b"Call-ID: call-1\r\n"
            b"CSeq: 1 CANCEL\r\n"
            b'Reason: SIP;cause=200;text="Call completed elsewhere"\r\n'
            b"Content-Length: 0\r\n\r\n",
        )
    ]


def test_answer_to_cancel_is_no_answer_to_invite() -> None:
    """A-MAT-01: CANCEL has the branch of the INVITE, but another method."""
    layer = TransactionLayer()
    request = invite()
    transaction = layer.send_request(request, UDP, 0.0)
    answer(layer, request, 180)
    layer.cancel(transaction, 0.2)
    event = layer.next_event()
    assert isinstance(event, ResponseReceived) and event.response.status == 180
    cancel = sent(layer)[-1]
    assert isinstance(cancel, Request)
    answer(layer, cancel, 200)
    assert layer.next_event() is None
    assert transaction.state is State.PROCEEDING


def test_only_invite_can_be_cancelled() -> None:
    layer = TransactionLayer()
    transaction = layer.send_request(make_request("OPTIONS"), UDP, 0.0)
    with pytest.raises(LocalProtocolError, match="INVITE"):
        layer.cancel(transaction, 0.0)


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=Z9hG4bKA1;received=192.0.2.1", 1),
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1, SIP/2.0/UDP h;branch=z9hG4bKb", 0),
        ("SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKa1", 0),
        ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa1", 0),
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKother", 0),
        ("SIP/2.0/UDP 192.0.2.1:5060", 0),
        ("nonsense", 0),
    ],
)
def test_matching_of_responses(via: str, expected: int) -> None:
    """A-MAT-01, A-UAC-07, A-ICT-07, A-MSG-13: what does not match or parse is dropped without a trace."""
    layer = TransactionLayer()
    request = make_request("OPTIONS")
    layer.send_request(request, UDP, 0.0)
    response = Response.for_request(request, 200, to_tag="b1")
    response.headers.set("Via", via)
    layer.receive_message(response, UDP, 0.1)
    assert isinstance(layer.next_event(), ResponseReceived) is bool(expected)


def test_response_of_another_method_is_dropped() -> None:
    """A-MAT-01."""
    layer = TransactionLayer()
    request = make_request("OPTIONS")
    layer.send_request(request, UDP, 0.0)
    answer(layer, make_request("MESSAGE"), 200)
    assert layer.next_event() is None


def test_stray_200_for_invite_produces_nothing() -> None:
    """A-ICT-07."""
    layer = TransactionLayer()
    answer(layer, make_request("INVITE"), 200)
    assert layer.next_event() is None and layer.data_to_send() == [] and layer.get_timer() is None


def test_what_cannot_be_sent() -> None:
    """A-UAC-03: no branch twice; ACK and CANCEL have ways of their own."""
    layer = TransactionLayer()
    layer.send_request(make_request("OPTIONS"), UDP, 0.0)
    with pytest.raises(LocalProtocolError, match="in use"):
        layer.send_request(make_request("OPTIONS"), UDP, 0.0)
    for method in ("ACK", "CANCEL"):
        with pytest.raises(LocalProtocolError, match=method):
            layer.send_request(make_request(method), UDP, 0.0)
    with pytest.raises(LocalProtocolError, match="branch"):
        layer.send_request(make_request("OPTIONS", branch=""), UDP, 0.0)
    with pytest.raises(LocalProtocolError, match="branch"):
        layer.send_request(Request("OPTIONS", "sip:h"), UDP, 0.0)


def test_ack_for_2xx_passes_straight_through() -> None:
    """A-ICT-05: no transaction, no timer."""
    layer = TransactionLayer()
    ack = make_request("ACK")
    layer.send_ack(ack, TCP)
    assert layer.data_to_send() == [(TCP, bytes(ack))]
    assert layer.get_timer() is None and len(layer) == 0


PLACE = ("192.0.2.1", 5061)


def test_wrong_certificate_meets_only_who_asked_for_it() -> None:
    layer = TransactionLayer()
    names = {name: Flow("TLS", PLACE, name=name) for name in ("core.example", "other.example")}
    sent = {
        name: layer.send_request(make_request("OPTIONS", branch=f"z9hG4bK{name}"), flow, 0.0)
        for name, flow in names.items()
    }
    layer.transport_failed(names["other.example"], 0.0)
    assert layer.next_event() == TransportFailed(sent["other.example"])
    layer.next_event()
    assert layer.next_event() is None
    # Without certificates the name by which a hop was found says nothing.
    plain = layer.send_request(make_request("OPTIONS", branch="z9hG4bK3"), Flow("UDP", PLACE, name="core.example"), 0.0)
    layer.transport_failed(Flow("UDP", PLACE), 0.0)
    assert layer.next_event() == TransportFailed(plain)


def test_transport_failure_meets_only_its_flow() -> None:
    """A flow that was yet to be opened has no connection number; any failure toward that remote is its own."""
    layer = TransactionLayer()
    to_open = Flow("TCP", ("192.0.2.1", 5060))
    first = layer.send_request(make_request("OPTIONS", branch="z9hG4bK1"), TCP, 0.0)
    second = layer.send_request(make_request("OPTIONS", branch="z9hG4bK2"), to_open, 0.0)
    for other in (UDP, Flow("TCP", ("192.0.2.2", 5060), None, 1)):
        layer.transport_failed(other, 0.0)
    assert layer.next_event() is None
    layer.transport_failed(Flow("TCP", ("192.0.2.1", 5060), None, 2), 0.0)
    assert layer.next_event() == TransportFailed(second)
    layer.next_event()
    assert layer.next_event() is None
    layer.transport_failed(to_open, 0.0)
    assert layer.next_event() == TransportFailed(first)


def test_forgotten_transactions_say_nothing_and_still_end() -> None:
    layer = TransactionLayer()
    transaction = layer.send_request(make_request("OPTIONS"), UDP, 0.0)
    layer.forget(transaction, 0.0)
    layer.handle_timer(33.0)
    assert layer.next_event() is None
    assert len(layer) == 0 and layer.get_timer() is None


def test_nothing_is_kept_after_the_end() -> None:
    """Not in the layer, its dictionaries, its timers or its queues."""
    layer = TransactionLayer()
    transaction = layer.send_request(make_request("OPTIONS"), UDP, 0.0)
    answer(layer, transaction.request, 200)
    layer.handle_timer(6.0)
    layer.data_to_send()
    while layer.next_event() is not None:
        pass
    gc.collect()
    assert [type(holder) for holder in gc.get_referrers(transaction) if not hasattr(holder, "f_code")] == []


def test_late_wake_up_does_not_cause_a_burst() -> None:
    layer = TransactionLayer()
    layer.send_request(make_request("OPTIONS"), UDP, 0.0)
    layer.handle_timer(20.0)
    assert len(layer.data_to_send()) == 2
    layer.handle_timer(40.0)
    assert isinstance(layer.next_event(), RequestTimedOut)


def test_repr_names_method_and_state() -> None:
    transaction = TransactionLayer().send_request(make_request("OPTIONS"), UDP, 0.0)
    assert repr(transaction) == "<ClientTransaction OPTIONS Trying>"
