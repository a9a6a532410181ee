"""Registrations of flows and GRUUs: A-OUT-01, A-OUT-03, A-OUT-04, A-OUT-05, A-REG-09."""

from __future__ import annotations

from typing import Any

import pytest

from sipstack import ids
from sipstack.sip.address import Address
from sipstack.sip.message import Request, Response
from sipstack.sip.outbound import Recovery, flow_contact, flow_timer, plain_contact
from sipstack.sip.registration import Registered, Registration, RegistrationFailed, granted_expires
from sipstack.sip.uri import Uri

CONTACT = '<sip:k7@192.0.2.10:5060;transport=tcp>;+sip.instance="<urn:uuid:1>"'
PUB = "sip:b@ims.example;gr=urn:uuid:1"
TEMP = "sip:tgruu.7hs==jd7vnzga5w7fajsc7-ajd6fabz0f8g5@ims.example;gr"


def make(**options: Any) -> Registration:
    return Registration(
        aor=Uri.parse("sip:b@ims.example"),
        registrar=Uri.parse("sip:ims.example"),
        contact=Address.parse(CONTACT),
        call_id="boot-1",
        **options,
    )


def begun(**options: Any) -> tuple[Registration, Request]:
    registration = make(**options)
    registration.register(0.0)
    [request] = registration.data_to_send()
    return registration, request


def answer(registration: Registration, status: int, *headers: tuple[str, str]) -> object:
    number = registration._cseq
    registration.receive_response(Response(status, None, [("CSeq", f"{number} REGISTER"), *headers]), 0.0)
    return registration.next_event()


def test_a_flow_says_so() -> None:
    """A-OUT-01."""
    _, request = begun(reg_id=2, gruu=True)
    contact = request.contacts[0]
    assert str(contact.uri) == "sip:k7@192.0.2.10:5060;transport=tcp;ob"
    assert (contact.param("reg-id"), contact.param("+sip.instance")) == ("2", "<urn:uuid:1>")
    assert request.supported == ["path", "outbound", "gruu"]


def test_other_features_are_those_of_the_same_flow() -> None:
    registration, _ = begun(reg_id=2)
    registration.change_contact(Address.parse(f"{CONTACT};+g.new"))
    assert registration.contact == flow_contact(Address.parse(f"{CONTACT};+g.new"), 2)
    plain = make()
    plain.change_contact(Address.parse(f"{CONTACT};+g.new"))
    assert str(plain.contact) == f"{CONTACT};+g.new"


def test_what_is_no_flow_says_nothing_of_it() -> None:
    _, request = begun()
    assert request.supported == ["path"]
    assert "reg-id" not in str(request.contacts[0]) and ";ob" not in str(request.contacts[0])


def test_contacts_of_flows_and_back() -> None:
    contact = Address.parse(CONTACT)
    assert plain_contact(flow_contact(contact, 1)) == contact


@pytest.mark.parametrize(
    ("headers", "outbound", "timer"),
    [
        ([("Require", "outbound"), ("Flow-Timer", "120")], True, 120),
        ([("Require", "Outbound")], True, None),
        ([("Supported", "outbound")], False, None),
        ([("Flow-Timer", " 25 ")], False, 25),
        ([("Flow-Timer", "0")], False, None),
        ([("Flow-Timer", "soon")], False, None),
        ([("Flow-Timer", "9" * 40)], False, 86_400),
    ],
)
def test_what_the_registrar_grants(headers: list[tuple[str, str]], outbound: bool, timer: int | None) -> None:
    """A-OUT-03, :rfc:`5626#section-4.2.1`: Require with the option tag in the 2xx."""
    registration, _ = begun(reg_id=1)
    event = answer(registration, 200, ("Contact", f"{CONTACT};expires=600"), *headers)
    assert isinstance(event, Registered)
    assert (event.outbound, event.flow_timer) == (outbound, timer)


def test_who_registers_no_flow_gets_none() -> None:
    registration, _ = begun()
    event = answer(registration, 200, ("Contact", f"{CONTACT};expires=600"), ("Require", "outbound"))
    assert isinstance(event, Registered) and not event.outbound


def test_439_is_tried_without_outbound() -> None:
    """A-OUT-05."""
    registration, _ = begun(reg_id=1)
    assert registration.is_flow
    assert answer(registration, 439) is None
    [request] = registration.data_to_send()
    assert request.supported == ["path"] and str(request.contacts[0]).startswith(CONTACT)
    assert request.cseq.number == 2 and not registration.is_flow
    event = answer(registration, 439)
    assert isinstance(event, RegistrationFailed) and event.final


def test_430_is_tried_again_later() -> None:
    """A-OUT-05: the flow has failed, another one may work."""
    registration, _ = begun(reg_id=1)
    event = answer(registration, 430)
    assert isinstance(event, RegistrationFailed) and not event.final
    assert event.retry_at is not None and 30.0 <= event.retry_at <= 60.0


def test_of_several_flows_our_own_counts() -> None:
    contact = flow_contact(Address.parse(CONTACT), 2)
    bindings = [f"{CONTACT};reg-id={number};expires={number}00" for number in (1, 2, 3)]
    response = Response(200, None, [("Contact", ", ".join(bindings))])
    assert granted_expires(response, contact, 3600) == 200
    # a registrar that knows no flows keeps one binding
    assert granted_expires(Response(200, None, [("Contact", f"{CONTACT};expires=77")]), contact, 3600) == 77


def test_recovery_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """:rfc:`5626#section-4.5`: three failures at 30 s give at most 240 s, and never more than half an hour."""
    recovery = Recovery()
    for bound, expected in ((min, [30.0, 120.0, 900.0, 900.0]), (max, [60.0, 240.0, 1800.0, 1800.0])):
        monkeypatch.setattr(ids, "uniform", lambda low, high, bound=bound: bound(low, high))
        assert [recovery.wait(failures) for failures in (1, 3, 6, 100)] == expected
        assert recovery.wait(1, others_work=True) == 3 * expected[0]


def test_other_flows_leave_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A-OUT-04."""
    monkeypatch.setattr(ids, "uniform", lambda low, high: high)
    registration, _ = begun(reg_id=1, recovery=Recovery(1.0, 3.0, 5.0))
    registration.others_work = True
    registration.request_failed(0.0)
    assert registration.get_timer() == 5.0
    registration.others_work = False
    registration.handle_timer(5.0)
    registration.data_to_send()
    registration.request_failed(5.0)
    assert registration.get_timer() == 9.0


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (f';pub-gruu="{PUB}";temp-gruu="{TEMP}"', (PUB, TEMP)),
        (f';pub-gruu="{PUB}"', (PUB, "None")),
        (';pub-gruu="sip:b@ims.example";temp-gruu="tel:+1;gr"', ("None", "None")),
        (';pub-gruu="sip:b@";temp-gruu', ("None", "None")),
        ("", ("None", "None")),
    ],
)
def test_gruus(parameters: str, expected: tuple[str, str]) -> None:
    """A-REG-09."""
    registration, _ = begun(gruu=True)
    event = answer(registration, 200, ("Contact", f"{CONTACT};expires=600{parameters}"))
    assert isinstance(event, Registered)
    assert (str(event.pub_gruu), str(event.temp_gruu)) == expected


def test_no_gruu_where_our_binding_is_not_told() -> None:
    registration, _ = begun(gruu=True)
    event = answer(registration, 200, ("Expires", "600"))
    assert isinstance(event, Registered) and event.pub_gruu is None


def test_gruus_that_nobody_asked_for() -> None:
    registration, _ = begun()
    event = answer(registration, 200, ("Contact", f'{CONTACT};expires=600;pub-gruu="{PUB}"'))
    assert isinstance(event, Registered) and event.pub_gruu is None


def test_timer_of_no_header() -> None:
    assert flow_timer(Response(200)) is None
