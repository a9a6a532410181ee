"""Server transactions on a virtual clock: (inputs with times) → (outputs with times)."""

from __future__ import annotations

import gc

import pytest

from sipstack import ids
from sipstack.errors import LocalProtocolError, ParseError
from sipstack.flow import Flow
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import (
    AckReceived,
    CancelReceived,
    RequestReceived,
    ServerTransaction,
    State,
    TimerValues,
    TransactionLayer,
    TransactionTerminated,
    TransportFailed,
)
from tests.sipstack.sip.helpers import TCP, UDP, Step, make_request, play_server, sent, wire

END = "TransactionTerminated"


def copies(status: int, *times: float) -> list[Step]:
    return [(time, f"> {status}") for time in times]


CASES: dict[str, tuple[str, Flow, list[Step], list[Step]]] = {
    "A-IST-01 slow user: 100 after 200 ms": (
        "INVITE",
        UDP,
        [(0.1, "again"), (0.25, "again"), (1, "180"), (2, "again")],
        [(0.2, "> 100"), (0.25, "> 100"), (1, "> 180"), (2, "> 180")],
    ),
    "A-IST-01 quick user: no 100": ("INVITE", TCP, [(0.05, "180")], [(0.05, "> 180")]),
    "A-IST-02, A-IST-03 486 without ACK": (
        "INVITE",
        UDP,
        [(0.1, "486"), (3, "again"), (5, "broken")],
        [
            *copies(486, 0.1, 0.6, 1.6, 3, 3.6),
            (5, "TransportFailed"),
            *copies(486, 7.6, 11.6, 15.6, 19.6, 23.6, 27.6, 31.6),
            (32.1, "AckMissing"),
            (32.1, END),
        ],
    ),
    "A-IST-03 486 without ACK over TCP: no repeats": (
        "INVITE",
        TCP,
        [(0.1, "486"), (1, "again")],
        [*copies(486, 0.1, 1), (32.1, "AckMissing"), (32.1, END)],
    ),
    "A-IST-03 ACK ends the repeating, Timer I absorbs more": (
        "INVITE",
        UDP,
        [(0.1, "486"), (1, "ack"), (2, "ack"), (3, "again"), (4, "broken")],
        [*copies(486, 0.1, 0.6), (6, END)],
    ),
    "A-IST-03 ACK over TCP ends at once": ("INVITE", TCP, [(0.1, "486"), (1, "ack")], [(0.1, "> 486"), (1, END)]),
    "A-IST-04, A-IST-05 2xx without ACK over UDP": (
        "INVITE",
        UDP,
        [(0.1, "200"), (1, "again"), (33, "again")],
        [
            *copies(200, 0.1, 0.6, 1.6, 3.6, 7.6, 11.6, 15.6, 19.6, 23.6, 27.6, 31.6),
            (32.1, "AckMissing"),
            (32.1, END),
            (33, "Request INVITE"),
            (33.2, "> 100"),
        ],
    ),
    "A-IST-05 2xx without ACK over TCP": (
        "INVITE",
        TCP,
        [(0.1, "180"), (0.3, "200")],
        [
            (0.1, "> 180"),
            *copies(200, 0.3, 0.8, 1.8, 3.8, 7.8, 11.8, 15.8, 19.8, 23.8, 27.8, 31.8),
            (32.3, "AckMissing"),
            (32.3, END),
        ],
    ),
    "A-IST-04 ACK of a 2xx goes to the user, repeats too": (
        "INVITE",
        UDP,
        [(0.1, "200"), (0.8, "ACK"), (0.9, "ACK"), (1, "again")],
        [*copies(200, 0.1, 0.6), (0.8, "Ack ACK"), (0.9, "Ack ACK"), (32.1, END)],
    ),
    "A-IST-04 ACK with the branch of the INVITE is understood": (
        "INVITE",
        UDP,
        [(0.1, "200"), (0.3, "ack")],
        [(0.1, "> 200"), (0.3, "Ack ACK"), (32.1, END)],
    ),
    "A-IST-04 proxies pass each 2xx on and repeat none": (
        "INVITE",
        UDP,
        [(0.1, "200 once"), (0.6, "200 once"), (1, "ACK")],
        [*copies(200, 0.1, 0.6), (1, "Ack ACK"), (32.1, END)],
    ),
    "A-IST-04 no AckMissing for a 2xx that was passed on": (
        "INVITE",
        UDP,
        [(0.1, "200 once")],
        [(0.1, "> 200"), (32.1, END)],
    ),
    "A-IST-06 transport error while ringing and after 2xx": (
        "INVITE",
        UDP,
        [(0.1, "180"), (0.2, "broken"), (0.3, "again"), (0.4, "200"), (0.5, "broken"), (0.6, "ACK")],
        [
            (0.1, "> 180"),
            (0.2, "TransportFailed"),
            (0.3, "> 180"),
            (0.4, "> 200"),
            (0.5, "TransportFailed"),
            (0.6, "Ack ACK"),
            (32.4, END),
        ],
    ),
    "early ACK is ignored": ("INVITE", UDP, [(0.1, "ack"), (0.15, "180")], [(0.15, "> 180")]),
    "A-NIST-01 three copies, one event, three answers": (
        "MESSAGE",
        UDP,
        [(0.1, "again"), (0.2, "200"), (0.5, "again"), (1.5, "again"), (2, "404"), (2.1, "200"), (2.5, "again")],
        [*copies(200, 0.2, 0.5, 1.5, 2.5), (32.2, END)],
    ),
    "A-NIST-01 over TCP it ends with the answer": ("MESSAGE", TCP, [(0.2, "404")], [(0.2, "> 404"), (0.2, END)]),
    "A-NIT-02 one 100 after 3.5 s": (
        "MESSAGE",
        UDP,
        [(3.4, "again"), (4, "again"), (5, "200"), (7.5, "again")],
        [*copies(100, 3.5, 4), *copies(200, 5, 7.5), (37, END)],
    ),
    "A-NIT-02 failure after 100": ("MESSAGE", TCP, [(4, "403")], [(3.5, "> 100"), (4, "> 403"), (4, END)]),
    "A-NIT-03 no answer after 32 s": ("MESSAGE", UDP, [(40, "200")], [(3.5, "> 100"), (32, END)]),
    "A-IST-06 transport error, non-INVITE": (
        "OPTIONS",
        UDP,
        [(1, "broken"), (4, "broken"), (5, "200"), (6, "broken"), (6.5, "again")],
        [
            (1, "TransportFailed"),
            (3.5, "> 100"),
            (4, "TransportFailed"),
            (5, "> 200"),
            (6, "TransportFailed"),
            (6.5, "> 200"),
            (37, END),
        ],
    ),
    "A-TRN-04 the answer takes a new connection when the old one broke": (
        "INVITE",
        TCP,
        [(0.1, "486"), (1, "broken"), (2, "broken"), (3, "ack")],
        [*copies(486, 0.1, 1), (2, "TransportFailed"), (3, END)],
    ),
    "A-TRN-04 nothing is lost after the ACK": (
        "INVITE",
        TCP,
        [(0.1, "200"), (0.2, "ACK"), (1, "broken")],
        [(0.1, "> 200"), (0.2, "Ack ACK"), (32.1, END)],
    ),
    "A-TRN-04 nothing was sent yet": (
        "INVITE",
        TCP,
        [(0.1, "broken"), (0.15, "180")],
        [(0.15, "> 180")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_script(case: str) -> None:
    method, flow, script, expected = CASES[case]
    record, _ = play_server(method, flow, script, until=40)
    assert record == expected


def receive(layer: TransactionLayer, request: Request, flow: Flow = UDP, now: float = 0.0) -> ServerTransaction:
    layer.receive_message(wire(request), flow, now)
    event = layer.next_event()
    assert isinstance(event, RequestReceived | CancelReceived)
    return event.transaction


def respond(layer: TransactionLayer, transaction: ServerTransaction, status: int, now: float = 0.1) -> None:
    response = Response.for_request(transaction.request, status, to_tag=transaction.local_tag)
    layer.respond(transaction, response, now)


def test_trying_has_the_timestamp_and_no_tag() -> None:
    """A-IST-01."""
    layer = TransactionLayer()
    receive(layer, make_request("INVITE", headers=[("Timestamp", "54.0 0.1")]))
    layer.handle_timer(0.25)
    [trying] = sent(layer)
    assert trying.to.tag is None
    assert trying.headers.get("Timestamp") == "54.0 0.250"


@pytest.mark.parametrize(
    ("via", "same"),
    [
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=Z9hG4bKA1", True),
        ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa1", False),
        ("SIP/2.0/UDP 192.0.2.3:5060;branch=z9hG4bKa1", False),
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa2", False),
    ],
)
def test_matching_of_requests(via: str, same: bool) -> None:
    """A-MAT-02."""
    layer = TransactionLayer()
    receive(layer, make_request("OPTIONS", to_tag="b1"))
    other = make_request("OPTIONS", to_tag="b1")
    other.headers.set("Via", via)
    layer.receive_message(other, UDP, 0.1)
    assert (layer.next_event() is None) is same


def test_other_method_is_another_transaction() -> None:
    """A-MAT-02."""
    layer = TransactionLayer()
    receive(layer, make_request("OPTIONS"))
    receive(layer, make_request("MESSAGE"))
    assert len(layer) == 2


class TestOldPeers:
    """A-MAT-03: RFC 2543 peers have no cookie."""

    def test_repeat_matches_and_other_requests_do_not(self) -> None:
        layer = TransactionLayer()
        receive(layer, make_request("INVITE", branch="1"))
        layer.receive_message(make_request("INVITE", branch="1"), UDP, 0.0)
        assert layer.next_event() is None
        receive(layer, make_request("INVITE", branch="1", to_tag="b1"))
        receive(layer, make_request("INVITE", branch="", number=2))

    def test_ack_finds_the_failure_by_its_to_tag(self) -> None:
        layer = TransactionLayer()
        transaction = receive(layer, make_request("INVITE", branch=""))
        respond(layer, transaction, 180)
        respond(layer, transaction, 486)
        layer.receive_message(make_request("ACK", branch="", to_tag="wrong"), UDP, 0.2)
        event = layer.next_event()
        assert isinstance(event, AckReceived) and event.transaction is None
        layer.receive_message(make_request("ACK", branch="", to_tag=transaction.local_tag), UDP, 0.2)
        assert transaction.state is State.CONFIRMED
        layer.handle_timer(10.0)
        assert len(layer) == 0

    def test_ack_finds_the_success(self) -> None:
        layer = TransactionLayer()
        transaction = receive(layer, make_request("INVITE", branch=""))
        respond(layer, transaction, 200)
        layer.receive_message(make_request("ACK", branch="", to_tag=transaction.local_tag), UDP, 0.2)
        event = layer.next_event()
        assert isinstance(event, AckReceived) and event.transaction is transaction and not event.repeated

    def test_cancel(self) -> None:
        layer = TransactionLayer()
        transaction = receive(layer, make_request("INVITE", branch=""))
        layer.receive_message(make_request("CANCEL", branch=""), UDP, 0.2)
        event = layer.next_event()
        assert isinstance(event, CancelReceived) and event.invite is transaction


def test_bad_branch_is_refused_without_a_transaction() -> None:
    """A-MAT-03, A-UAS-07: the same answer with the same tag each time, none to ACK."""
    layer = TransactionLayer()
    for method in ("OPTIONS", "OPTIONS", "ACK"):
        layer.receive_message(make_request(method, branch="z9hG4bK"), UDP, 0.0)
    first, second = sent(layer)
    assert isinstance(first, Response) and first.status == 400
    assert first.to.tag and bytes(first) == bytes(second)
    assert len(layer) == 0 and layer.next_event() is None


def test_a_flood_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes on top of the limit gets 503 without a transaction; what is known goes on."""
    monkeypatch.setattr("sipstack.sip.transaction.SERVER_LIMIT", 1)
    layer = TransactionLayer()
    invite = receive(layer, make_request("INVITE"))
    layer.receive_message(make_request("OPTIONS", branch="z9hG4bKother"), UDP, 0.0)
    (refusal,) = sent(layer)
    assert isinstance(refusal, Response) and (refusal.status, refusal.headers.get("Retry-After")) == (503, "10")
    layer.receive_message(make_request("CANCEL"), UDP, 0.0)
    event = layer.next_event()
    assert isinstance(event, CancelReceived) and event.invite is invite


def test_merged_request() -> None:
    """A-UAS-04: the same request by another way, while the first is pending."""
    layer = TransactionLayer()
    first = receive(layer, make_request("INVITE"))
    second = receive(layer, make_request("INVITE", branch="z9hG4bKother"))
    assert (first.merged, second.merged) == (False, True)
    in_dialog = receive(layer, make_request("INVITE", branch="z9hG4bK3", to_tag="b1"))
    assert not in_dialog.merged
    for transaction in (second, first, in_dialog):
        layer.forget(transaction, 0.1)
    assert not receive(layer, make_request("INVITE", branch="z9hG4bK4")).merged


class TestCancel:
    """A-CAN-04."""

    def test_pending(self) -> None:
        layer = TransactionLayer()
        invite = receive(layer, make_request("INVITE"))
        layer.receive_message(make_request("CANCEL"), UDP, 0.1)
        event = layer.next_event()
        assert isinstance(event, CancelReceived) and event.invite is invite and not invite.is_final
        respond(layer, event.transaction, 200)
        respond(layer, invite, 487)
        to_cancel, to_invite = sent(layer)
        assert str(to_cancel.cseq) == "1 CANCEL" and str(to_invite.cseq) == "1 INVITE"
        assert to_cancel.to.tag == to_invite.to.tag == invite.local_tag

    def test_final_already(self) -> None:
        layer = TransactionLayer()
        invite = receive(layer, make_request("INVITE"))
        respond(layer, invite, 200)
        layer.receive_message(make_request("CANCEL"), UDP, 0.1)
        event = layer.next_event()
        assert isinstance(event, CancelReceived) and event.invite is invite and invite.is_final

    def test_no_such_invite(self) -> None:
        layer = TransactionLayer()
        layer.receive_message(make_request("CANCEL"), UDP, 0.1)
        event = layer.next_event()
        assert isinstance(event, CancelReceived) and event.invite is None


def test_local_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """A-UAS-07: one tag for all responses; that of the request where it has one."""
    monkeypatch.setattr(ids, "tag", iter(["t1", "t2"]).__next__)
    layer = TransactionLayer()
    transaction = receive(layer, make_request("OPTIONS"))
    assert (transaction.local_tag, transaction.local_tag) == ("t1", "t1")
    assert receive(layer, make_request("OPTIONS", branch="z9hG4bK2", to_tag="B")).local_tag == "B"


def test_what_must_not_be_answered() -> None:
    """A-NIT-01, A-NIT-03: no 1xx and no 408 to non-INVITE; one final response other than 2xx to INVITE."""
    layer = TransactionLayer()
    message = receive(layer, make_request("MESSAGE"))
    for status in (100, 180, 408):
        with pytest.raises(LocalProtocolError):
            respond(layer, message, status)
    invite = receive(layer, make_request("INVITE"))
    respond(layer, invite, 486)
    for status in (180, 200, 486):
        with pytest.raises(LocalProtocolError, match="Completed"):
            respond(layer, invite, status)
    layer.handle_timer(40.0)
    with pytest.raises(LocalProtocolError, match="Terminated"):
        respond(layer, invite, 486)


def test_ack_of_unknown_dialog_is_handed_on() -> None:
    """A proxy forwards it."""
    layer = TransactionLayer()
    layer.receive_message(make_request("ACK", to_tag="b1"), UDP, 0.0)
    event = layer.next_event()
    assert isinstance(event, AckReceived) and event.transaction is None


def test_repeated_ack_is_marked() -> None:
    layer = TransactionLayer()
    transaction = receive(layer, make_request("INVITE"))
    respond(layer, transaction, 200)
    repeated = []
    for _ in range(3):
        layer.receive_message(make_request("ACK", branch="z9hG4bKb", to_tag=transaction.local_tag), UDP, 0.2)
        event = layer.next_event()
        assert isinstance(event, AckReceived)
        repeated.append(event.repeated)
    assert repeated == [False, True, True] and transaction.acknowledged


def test_malformed_request_is_the_callers_business() -> None:
    layer = TransactionLayer()
    request = make_request("OPTIONS")
    request.headers.set("CSeq", "x")
    request.headers.set("Via", "SIP/2.0/UDP h;branch=1")
    with pytest.raises(ParseError, match="CSeq"):
        layer.receive_message(request, UDP, 0.0)
    for name in ("To", "From", "CSeq"):
        request = make_request("INVITE")
        request.headers.set(name, "<<")
        with pytest.raises(ParseError, match=name):
            layer.receive_message(request, UDP, 0.0)
    assert len(layer) == 0 and layer.get_timer() is None


def test_late_answer_does_not_hurt_the_next_transaction() -> None:
    """The client repeats its request after all, with the branch of the one that is over."""
    layer = TransactionLayer()
    old = receive(layer, make_request("OPTIONS"))
    layer.handle_timer(3.5)
    layer.handle_timer(32.0)
    assert layer.next_event() == TransactionTerminated(old)
    new = receive(layer, make_request("OPTIONS"), now=33.0)
    respond(layer, old, 200, 34.0)
    assert len(layer) == 1
    respond(layer, new, 200, 35.0)
    assert len(layer) == 1 and new.state is State.COMPLETED


def test_forget_ends_what_was_never_answered() -> None:
    layer = TransactionLayer()
    pending = receive(layer, make_request("INVITE"))
    answered = receive(layer, make_request("OPTIONS"))
    respond(layer, answered, 200)
    for transaction in (pending, answered):
        layer.forget(transaction, 1.0)
    assert (pending.state, answered.state) == (State.TERMINATED, State.COMPLETED)
    layer.handle_timer(100.0)
    assert layer.next_event() is None and len(layer) == 0 and layer.get_timer() is None


def test_small_t1_ends_before_a_100_is_allowed() -> None:
    layer = TransactionLayer(TimerValues(t1=0.01))
    transaction = receive(layer, make_request("MESSAGE"))
    layer.handle_timer(0.64)
    assert layer.next_event() == TransactionTerminated(transaction)
    assert layer.data_to_send() == []


def test_nothing_is_kept_after_the_end() -> None:
    layer = TransactionLayer()
    transaction = receive(layer, make_request("INVITE"))
    respond(layer, transaction, 200)
    layer.receive_message(make_request("ACK", branch="z9hG4bKb", to_tag=transaction.local_tag), UDP, 0.2)
    layer.handle_timer(40.0)
    layer.data_to_send()
    while layer.next_event() is not None:
        pass
    assert len(layer) == 0
    gc.collect()
    assert [type(holder) for holder in gc.get_referrers(transaction) if not hasattr(holder, "f_code")] == []


def test_transport_failure_of_other_flows_is_nothing() -> None:
    layer = TransactionLayer()
    transaction = receive(layer, make_request("OPTIONS"))
    layer.transport_failed(TCP, 0.1)
    assert layer.next_event() is None
    layer.transport_failed(transaction.reply_flow, 0.1)
    assert layer.next_event() == TransportFailed(transaction)
