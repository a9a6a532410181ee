"""A-EXT-04: the subscriber of RFC 6665 on a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest

from sipstack import ids
from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip.message import Request, Response
from sipstack.sip.subscription import Notified, Subscription, SubscriptionEnded
from sipstack.sip.subscription_states import SUBSCRIPTION, SubscriptionEffect, SubscriptionInput, SubscriptionState
from sipstack.sip.uri import Uri

ME = Uri.parse("sip:g@cc.com")
TIMER_N = 32.0


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "uniform", lambda low, high: high)


class Notifier:
    """A subscription, and the other side of it."""

    def __init__(self) -> None:
        self.subscription = Subscription(
            target=ME, local_uri=ME, event="reg", accept="application/reginfo+xml", timer_n=TIMER_N
        )
        self.number = 0

    @property
    def state(self) -> SubscriptionState:
        return self.subscription.state

    def sent(self) -> Request:
        request = self.subscription.data_to_send()
        assert request is not None and self.subscription.data_to_send() is None
        return request

    def answer(self, request: Request, status: int, now: float = 0.0, **headers: str) -> None:
        fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.subscription.receive_response(request, Response(status, None, fields), now)

    def notify(
        self,
        state: str = "active;expires=600",
        now: float = 0.0,
        *,
        tag: str = "n1",
        event: str = "reg",
        **headers: str,
    ) -> int:
        self.number += 1
        call_id, ours = self.subscription.key
        fields = [
            ("From", f"<{ME}>;tag={tag}"),
            ("To", f"<{ME}>;tag={ours}"),
            ("Call-ID", call_id),
            ("CSeq", f"{self.number} NOTIFY"),
            ("Event", event),
            *[(name.replace("_", "-"), value) for name, value in headers.items()],
        ]
        if state:
            fields.append(("Subscription-State", state))
        if "Contact" not in headers:
            fields.append(("Contact", "<sip:scscf.cc.com>"))
        return self.subscription.receive_notify(Request("NOTIFY", "sip:g@h", fields), now).status

    def begin(self) -> Request:
        self.subscription.subscribe(0.0)
        return self.sent()

    def active(self) -> Request:
        request = self.begin()
        self.answer(request, 200, Expires="600")
        assert self.notify() == 200
        return request


def test_the_first_subscribe() -> None:
    """RFC 6665 section 4.1.2.1, B-REG-08."""
    request = Notifier().begin()
    assert (request.method, str(request.uri)) == ("SUBSCRIBE", "sip:g@cc.com")
    names = ("Event", "Accept", "Expires", "CSeq", "To")
    assert [request.headers.get(name) for name in names] == [
        "reg",
        "application/reginfo+xml",
        "3600",
        "1 SUBSCRIBE",
        "<sip:g@cc.com>",
    ]


def test_notify_makes_the_dialog_in_which_it_is_refreshed() -> None:
    """RFC 6665 section 4.4.1: with the routes of the NOTIFY; it is a target refresh, too."""
    notifier = Notifier()
    request = notifier.begin()
    assert notifier.notify(Record_Route="<sip:p1;lr>, <sip:p2;lr>") == 200
    assert notifier.state is SubscriptionState.ACTIVE
    notifier.answer(request, 200, Expires="600")
    assert notifier.notify(Contact="<sip:other.cc.com>") == 200
    assert notifier.subscription.get_timer() == 300.0
    notifier.subscription.handle_timer(299.0)
    assert notifier.subscription.data_to_send() is None
    notifier.subscription.handle_timer(300.0)
    again = notifier.sent()
    assert [str(address.uri) for address in again.routes] == ["sip:p1;lr", "sip:p2;lr"]
    assert (str(again.uri), again.to.tag, str(again.cseq)) == ("sip:other.cc.com", "n1", "2 SUBSCRIBE")
    assert notifier.subscription.get_timer() == 600.0
    notifier.answer(again, 200, 300.0, Expires="500")
    assert (notifier.state, notifier.subscription.get_timer()) == (SubscriptionState.ACTIVE, 550.0)


def test_the_time_that_was_granted_counts() -> None:
    """Section 3.1.1: never more than was asked for; what NOTIFY says counts last."""
    notifier = Notifier()
    request = notifier.begin()
    notifier.answer(request, 202, Expires="99999")
    notifier.notify("active")
    assert notifier.subscription.get_timer() == 1800.0
    notifier.notify("pending;expires=100")
    assert notifier.subscription.get_timer() == 50.0
    notifier.notify("active;expires=nonsense")
    assert notifier.subscription.get_timer() == 50.0
    notifier.notify(f"active;expires={'9' * 5000}")
    notifier.notify("active;expires=0")
    assert notifier.subscription.get_timer() == 1.0
    late = Notifier()
    late.answer(late.begin(), 200)
    late.notify("active")
    assert late.subscription.get_timer() == 1800.0


def test_a_challenge_moves_the_number_on() -> None:
    """The request that was answered is the one with credentials: the next one in the dialog is above it."""
    notifier = Notifier()
    request = notifier.begin()
    notifier.notify()
    request.headers.set("CSeq", "2 SUBSCRIBE")
    notifier.answer(request, 200, Expires="600")
    notifier.subscription.refresh(0.0)
    assert notifier.sent().cseq.number == 3


def test_without_notify_there_is_no_subscription() -> None:
    """Section 4.1.2.4: timer N, whether a 2xx came or not; then again, in a new dialog."""
    notifier = Notifier()
    request = notifier.begin()
    notifier.answer(request, 200, Expires="600")
    assert notifier.subscription.get_timer() == TIMER_N
    notifier.subscription.handle_timer(TIMER_N)
    assert notifier.subscription.next_event() == SubscriptionEnded("timeout", TIMER_N + 60.0)
    assert notifier.subscription.next_event() is None
    assert notifier.notify() == 481
    notifier.subscription.handle_timer(TIMER_N + 60.0)
    again = notifier.sent()
    assert again.call_id != request.call_id and again.cseq.number == 1
    assert notifier.subscription.key == (again.call_id, again.from_.tag)


@pytest.mark.parametrize(
    ("status", "headers", "retry"),
    [
        (403, {}, None),
        (404, {}, None),
        (405, {}, None),
        (489, {}, None),
        (423, {}, None),
        (603, {}, None),
        (480, {}, 60.0),
        (503, {"Retry_After": "7"}, 7.0),
        (404, {"Retry_After": "9"}, 9.0),
        (500, {"Retry_After": "0"}, 1.0),
    ],
)
def test_refusals(status: int, headers: dict[str, Any], retry: float | None) -> None:
    notifier = Notifier()
    notifier.answer(notifier.begin(), status, **headers)
    assert notifier.subscription.next_event() == SubscriptionEnded(str(status), retry, status)
    assert notifier.state is (SubscriptionState.REFUSED if retry is None else SubscriptionState.WAITING)
    assert notifier.subscription.get_timer() == retry


def test_longer_where_the_notifier_wants_it() -> None:
    """Section 4.1.2.1: 423 with Min-Expires."""
    notifier = Notifier()
    notifier.answer(notifier.begin(), 423, Min_Expires="7200")
    assert notifier.sent().headers.get("Expires") == "7200"
    notifier.notify("active")
    notifier.subscription.handle_timer(3600.0)
    notifier.answer(notifier.sent(), 423, 3600.0, Min_Expires="9000")
    assert notifier.sent().headers.get("Expires") == "9000"


def test_no_answer_is_tried_again_ever_more_slowly() -> None:
    notifier = Notifier()
    notifier.subscription.subscribe(0.0)
    pauses = []
    for _ in range(8):
        now = notifier.subscription.get_timer() or 0.0
        notifier.subscription.request_failed(now)
        event = notifier.subscription.next_event()
        assert event is not None and event.retry_at is not None and event.reason == "timeout"
        pauses.append(event.retry_at - now)
        notifier.subscription.handle_timer(event.retry_at)
    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0, 1800.0]


@pytest.mark.parametrize(
    ("parameters", "retry"),
    [
        (";reason=deactivated", 1.0),
        (";reason=timeout", 1.0),
        (";reason=probation;retry-after=50", 50.0),
        (";reason=probation", 60.0),
        (";reason=giveup;retry-after=5", 5.0),
        (";reason=unheard-of", 60.0),
        ("", 60.0),
        (";reason=rejected", None),
        (";reason=noresource;retry-after=1", None),
        (";reason=invariant", None),
    ],
)
def test_reasons_of_an_end(parameters: str, retry: float | None) -> None:
    """Section 4.1.3: when to subscribe again."""
    notifier = Notifier()
    notifier.active()
    assert notifier.notify(f"terminated{parameters}", 10.0) == 200
    event = notifier.subscription.next_event()
    assert event is not None and event.retry_at == (None if retry is None else 10.0 + retry)
    assert event.reason == (parameters.removeprefix(";reason=").partition(";")[0] or "terminated")
    assert notifier.subscription.dialog is None and notifier.notify() == 481


def test_notifies_that_are_refused() -> None:
    """Section 4.1.3: another package 489, no state or no Contact 400, an old number 500, a fork 481."""
    notifier = Notifier()
    notifier.begin()
    assert notifier.notify(event="presence") == 489
    assert notifier.notify("") == 400
    assert notifier.notify() == 200
    assert notifier.notify(tag="n2") == 481  # RFC 3680 section 4.9
    notifier.number = 0
    assert notifier.notify() == 500
    assert notifier.notify(event="REG ;id=7", now=1.0) in (200, 500)
    with pytest.raises(ParseError, match="Subscription-State"):
        notifier.notify("active;;")
    without = Request("NOTIFY", "sip:g@h", [("Event", "reg"), ("Subscription-State", "active")])
    assert notifier.subscription.receive_notify(without, 0.0) == Notified(400)
    assert Notified(200).is_taken and not Notified(400).is_taken


def test_the_end_that_we_want() -> None:
    """Section 4.1.2.3: Expires 0 in the dialog, then the last NOTIFY."""
    notifier = Notifier()
    notifier.active()
    notifier.subscription.unsubscribe(5.0)
    last = notifier.sent()
    assert (last.headers.get("Expires"), last.to.tag) == ("0", "n1")
    notifier.answer(last, 200, 5.0, Expires="0")
    assert notifier.notify("active;expires=1", 5.0) == 200
    assert notifier.state.value == "Ending"
    assert notifier.notify("terminated;reason=timeout", 5.0) == 200
    assert (notifier.state, notifier.subscription.get_timer()) == (SubscriptionState.ENDED, None)
    assert notifier.subscription.next_event() is None
    with pytest.raises(LocalProtocolError, match="subscribe is not possible"):
        notifier.subscription.subscribe(6.0)


def test_the_end_while_another_is_under_way() -> None:
    notifier = Notifier()
    notifier.active()
    notifier.subscription.refresh(1.0)
    first = notifier.sent()
    notifier.subscription.refresh(1.0)
    assert notifier.subscription.data_to_send() is None
    notifier.subscription.unsubscribe(2.0)
    last = notifier.sent()
    notifier.answer(first, 200, 2.0, Expires="600")
    assert notifier.state.value == "Ending"
    notifier.answer(last, 481, 2.0)
    assert notifier.state is SubscriptionState.ENDED
    notifier.subscription.refresh(3.0)
    assert notifier.subscription.data_to_send() is None


def test_a_refresh_that_fails() -> None:
    """Section 4.1.2.2: 481 and the like end it at once, other failures when it expires."""
    gone = Notifier()
    gone.active()
    gone.subscription.handle_timer(300.0)
    gone.answer(gone.sent(), 481, 300.0)
    assert gone.subscription.next_event() == SubscriptionEnded("481", 360.0, 481)
    kept = Notifier()
    kept.active()
    kept.subscription.handle_timer(300.0)
    kept.answer(kept.sent(), 503, 300.0)
    assert kept.notify(now=310.0) == 200 and kept.state is SubscriptionState.REFRESHING
    kept.subscription.handle_timer(600.0)
    assert kept.subscription.next_event() == SubscriptionEnded("timeout", 660.0)


def test_answers_that_mean_nothing() -> None:
    notifier = Notifier()
    request = notifier.begin()
    notifier.answer(request, 100)
    other = Request("SUBSCRIBE", "sip:x", [("Call-ID", "other"), ("CSeq", "1 SUBSCRIBE")])
    notifier.answer(other, 403)
    notifier.notify()
    notifier.subscription.refresh(0.0)
    again = notifier.sent()
    notifier.answer(request, 403)  # of the first one, late
    notifier.subscription.unsubscribe(0.0)
    last = notifier.sent()
    notifier.answer(again, 200)
    notifier.subscription.handle_timer(TIMER_N)
    assert notifier.state is SubscriptionState.ENDED
    notifier.answer(last, 403)
    notifier.subscription.unsubscribe(0.0)
    assert notifier.state is SubscriptionState.ENDED and notifier.subscription.next_event() is None


def test_every_row_of_the_table_leads_on() -> None:
    """Effects and states of the table are all in use, and whoever waits for something has a timer."""
    effects = {effect for row, _ in SUBSCRIPTION.values() for effect in row}
    assert effects == set(SubscriptionEffect)
    assert {state for state, _ in SUBSCRIPTION} == set(SubscriptionState)
    assert {event for _, event in SUBSCRIPTION} == set(SubscriptionInput)
    for state in (SubscriptionState.NOTIFY_WAIT, SubscriptionState.ACTIVE, SubscriptionState.REFRESHING):
        assert (state, SubscriptionInput.TIMER) in SUBSCRIPTION and (
            state,
            SubscriptionInput.UNSUBSCRIBE,
        ) in SUBSCRIPTION
