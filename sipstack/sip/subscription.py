"""Subscribing to events, :rfc:`6665#section-4.1`: SUBSCRIBE out, NOTIFY in, refreshed until we want no more.

A :class:`Subscription` makes SUBSCRIBE requests (without Via, Max-Forwards and Contact, the first one also without
Route: who sends them adds these) and takes what comes; it asks to be woken when something is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from sipstack import ids
from sipstack.errors import LocalProtocolError, UnexpectedMessage
from sipstack.sip.dialog import Dialog, DialogState
from sipstack.sip.grammar import find_parameter, parse_parameters, parse_seconds
from sipstack.sip.headers import Headers
from sipstack.sip.message import Request, Response
from sipstack.sip.subscription_states import SUBSCRIPTION, SubscriptionEffect, SubscriptionInput, SubscriptionState
from sipstack.sip.uri import Parameters, Uri

DEFAULT_EXPIRES = 3600
"""Seconds to ask for."""
REFRESH_SHARE = 0.5
"""Part of the granted time after which a subscription is refreshed."""
REFRESH_JITTER = 0.1
"""Part of the time until a refresh by which it may come earlier, so that many don't come at once."""
SHORTEST_PAUSE = 1.0
"""Seconds between two SUBSCRIBEs at least, whatever a notifier grants."""
BACK_OFF_BASE = 30.0
BACK_OFF_LIMIT = 1800.0
"""Seconds until the next try after failures."""
MAX_DOUBLINGS = 6
"""30 s doubled so often is above the limit."""

GONE = frozenset({404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604})
"""Responses to a refresh that say the subscription is no more (:rfc:`6665#section-4.1.2.2`)."""
TEMPORARY = frozenset({408, 430, 480, 481, 491, 500, 502, 503, 504})
"""Responses to a first SUBSCRIBE after which the same one may succeed later."""

AT_ONCE = frozenset({"deactivated", "timeout"})
"""Reasons of an end after which to subscribe again at once (:rfc:`6665#section-4.1.3`)."""
FOR_GOOD = frozenset({"rejected", "noresource", "invariant"})
"""Reasons after which not to."""


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    """There is no subscription any more, or there never was."""

    reason: str
    """Of Subscription-State, the status of a refusal, or ``timeout``."""
    retry_at: float | None
    """Monotonic seconds of the next try by ourselves; None: nothing more is tried."""
    status: int | None = None
    """Of the refusal, where there was one."""


@dataclass(frozen=True, slots=True)
class Notified:
    """How to answer a NOTIFY, and whether its body counts."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def is_taken(self) -> bool:
        """Tell whether the body is news."""
        return self.status == 200


class Subscription:
    """One subscription to one event package of one resource."""

    __slots__ = (
        "_cseq",
        "_dialog",
        "_ended",
        "_expires_at",
        "_failures",
        "_granted",
        "_outgoing",
        "_status",
        "_tag",
        "_timer",
        "_timer_n",
        "_why",
        "accept",
        "call_id",
        "event",
        "expires",
        "local_uri",
        "state",
        "target",
    )

    def __init__(
        self, *, target: Uri, local_uri: Uri, event: str, accept: str, expires: int = DEFAULT_EXPIRES, timer_n: float
    ) -> None:
        """``target`` is the resource, ``event`` the package (``reg``), ``accept`` the type of its bodies.

        ``timer_n`` is how many seconds the first NOTIFY may take: 64·T1.
        """
        self.target = target
        self.local_uri = local_uri
        self.event = event
        self.accept = accept
        self.expires = expires
        """Seconds that we ask for; a 423 raises it."""
        self.state = SubscriptionState.INIT
        self.call_id = ids.call_id()
        self._tag = ids.tag()
        self._cseq = 0
        self._timer_n = timer_n
        self._dialog: Dialog | None = None
        self._granted = expires
        self._expires_at = 0.0
        self._failures = 0
        self._timer: float | None = None
        self._outgoing: Request | None = None
        self._ended: SubscriptionEnded | None = None
        self._why = ""
        self._status: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Call-ID and our tag, by which a NOTIFY is ours whatever the tag of its sender."""
        return self.call_id, self._tag

    @property
    def dialog(self) -> Dialog | None:
        """The dialog, from the first NOTIFY on."""
        return self._dialog

    # what the user wants

    def subscribe(self, now: float) -> None:
        """Begin, or begin again after an end."""
        self._step(SubscriptionInput.SUBSCRIBE, now)

    def refresh(self, now: float) -> None:
        """Ask for the whole state again; nothing happens where there is no subscription."""
        if (self.state, SubscriptionInput.REFRESH) in SUBSCRIPTION:
            self._step(SubscriptionInput.REFRESH, now)

    def unsubscribe(self, now: float) -> None:
        """End it; what comes later is only answered."""
        self._step(SubscriptionInput.UNSUBSCRIBE, now)

    # what happens

    def receive_response(self, request: Request, response: Response, now: float) -> None:
        """Take the final response to a SUBSCRIBE, ``request`` as it was sent last."""
        number = request.cseq.number
        if not response.is_final or request.call_id != self.call_id or number < self._cseq:
            return
        self._cseq = number
        if self._dialog is not None:
            self._dialog.local_cseq = max(self._dialog.local_cseq, number)
        if response.is_success:
            self._granted = min(response.expires if response.expires is not None else self.expires, self.expires)
            self._possible(SubscriptionInput.ACCEPTED, now)
            return
        self._why, self._status = str(response.status), response.status
        if response.status == 423 and (response.min_expires or 0) > self.expires:
            self.expires = self._granted = response.min_expires or self.expires
            self._possible(SubscriptionInput.AGAIN, now)
            return
        final = response.status not in TEMPORARY and response.retry_after is None
        if self._dialog is not None:
            final = response.status in GONE
        after = response.retry_after
        wait = None if after is None else float(after.seconds)
        self._possible(SubscriptionInput.REFUSED if final else SubscriptionInput.POSTPONED, now, wait)

    def request_failed(self, now: float) -> None:
        """Take the news that a SUBSCRIBE got no answer."""
        self._why, self._status = "timeout", None
        self._possible(SubscriptionInput.POSTPONED, now)

    def receive_notify(self, request: Request, now: float) -> Notified:
        """Take a NOTIFY with our :attr:`key` and return the answer (:rfc:`6665#section-4.1.3`)."""
        event, _ = _value(request, "Event")
        if event.lower() != self.event:
            return Notified(489, (("Allow-Events", self.event),))
        state, parameters = _value(request, "Subscription-State")
        if not state or not request.contacts:
            return Notified(400)
        if self.state in _DEAF:
            return Notified(481)
        try:
            self._take(request)
        except UnexpectedMessage as error:
            return Notified(error.status)
        self._notified(state.lower(), parameters, now)
        return Notified(200)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self._timer is not None and self._timer <= now:
            self._timer = None
            self._why, self._status = "timeout", None
            self._step(SubscriptionInput.TIMER, now)

    # what comes out

    def data_to_send(self) -> Request | None:
        """Return the SUBSCRIBE that waits for transmission, if there is one."""
        request, self._outgoing = self._outgoing, None
        return request

    def next_event(self) -> SubscriptionEnded | None:
        """Return that it has ended, once."""
        event, self._ended = self._ended, None
        return event

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is to be called, None for never."""
        return self._timer

    # NOTIFY

    def _take(self, request: Request) -> None:
        dialog = self._dialog
        if dialog is None:
            # Section 4.4.1: the dialog begins with the first NOTIFY, whether the 2xx has come or not.
            self._dialog = Dialog(
                call_id=self.call_id,
                local_tag=self._tag,
                remote_tag=request.from_.tag or "",
                local_uri=self.local_uri,
                remote_uri=request.from_.uri,
                remote_target=request.contacts[0].uri,
                route_set=tuple(address.uri for address in request.record_routes),
                local_cseq=self._cseq,
                remote_cseq=request.cseq.number,
                owner=True,
                state=DialogState.CONFIRMED,
            )
            return
        if (request.from_.tag or "").lower() != dialog.remote_tag.lower():
            raise UnexpectedMessage("a fork of the SUBSCRIBE", status=481)  # RFC 3680 section 4.9: one dialog only
        dialog.receive_request(request)
        dialog.remote_target = request.contacts[0].uri  # section 3.2: NOTIFY is a target refresh request

    def _notified(self, state: str, parameters: Parameters, now: float) -> None:
        self._failures = 0
        seconds = _seconds(parameters, "expires")
        if state != "terminated":
            if seconds is not None:
                self._granted = seconds
            self._step(SubscriptionInput.NOTIFIED, now)
            return
        reason = (find_parameter(parameters, "reason") or "").lower()
        self._why, self._status = reason or "terminated", None
        if reason in FOR_GOOD:
            self._step(SubscriptionInput.OVER_FOR_GOOD, now)
            return
        after = _seconds(parameters, "retry-after")
        wait = float(after) if after is not None else SHORTEST_PAUSE if reason in AT_ONCE else None
        self._step(SubscriptionInput.OVER, now, wait)

    # the machine

    def _possible(self, event: SubscriptionInput, now: float, wait: float | None = None) -> None:
        """Do what an answer means; one that comes too late means nothing."""
        if (self.state, event) in SUBSCRIPTION:
            self._step(event, now, wait)

    def _step(self, event: SubscriptionInput, now: float, wait: float | None = None) -> None:
        transition = SUBSCRIPTION.get((self.state, event))
        if transition is None:
            raise LocalProtocolError(f"{event.value} is not possible for a subscription in {self.state.value}")
        effects, self.state = transition
        for effect in effects:
            self._EFFECTS[effect](self, now, wait)

    def _send_first(self, now: float, wait: float | None) -> None:
        self._dialog = None
        if self._cseq:
            self._tag, self.call_id, self._cseq = ids.tag(), ids.call_id(), 0
        self._cseq += 1
        headers = Headers()
        headers.add("From", f"<{self.local_uri}>;tag={self._tag}")
        headers.add("To", f"<{self.target}>")
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", f"{self._cseq} SUBSCRIBE")
        for name, value in self._fields(self.expires):
            headers.add(name, value)
        self._outgoing = Request("SUBSCRIBE", self.target, headers)

    def _send_refresh(self, now: float, wait: float | None) -> None:
        self._send_in_dialog(self.expires)

    def _send_last(self, now: float, wait: float | None) -> None:
        self._send_in_dialog(0)

    def _send_in_dialog(self, expires: int) -> None:
        assert self._dialog is not None
        self._outgoing = self._dialog.create_request("SUBSCRIBE", headers=self._fields(expires))
        self._cseq = self._dialog.local_cseq

    def _fields(self, expires: int) -> Iterable[tuple[str, str]]:
        return (("Event", self.event), ("Accept", self.accept), ("Expires", str(expires)))

    def _start_n(self, now: float, wait: float | None) -> None:
        self._timer = now + self._timer_n

    def _start_refresh(self, now: float, wait: float | None) -> None:
        self._expires_at = now + self._granted
        pause = self._granted * REFRESH_SHARE * ids.uniform(1 - REFRESH_JITTER, 1)
        self._timer = now + max(pause, SHORTEST_PAUSE)

    def _start_expiry(self, now: float, wait: float | None) -> None:
        self._timer = max(self._expires_at, now + self._timer_n)

    def _start_waiting(self, now: float, wait: float | None) -> None:
        if wait is None:
            self._failures += 1
            longest = min(BACK_OFF_LIMIT, BACK_OFF_BASE * 2 ** min(self._failures, MAX_DOUBLINGS))
            wait = ids.uniform(longest / 2, longest)
        self._timer = now + max(wait, SHORTEST_PAUSE)

    def _stop_timer(self, now: float, wait: float | None) -> None:
        self._timer = None

    def _forget_dialog(self, now: float, wait: float | None) -> None:
        self._dialog = None

    def _report_ended(self, now: float, wait: float | None) -> None:
        self._ended = SubscriptionEnded(self._why, self._timer, self._status)

    _EFFECTS: ClassVar[Mapping[SubscriptionEffect, Callable[[Subscription, float, float | None], None]]] = {
        SubscriptionEffect.SEND_FIRST: _send_first,
        SubscriptionEffect.SEND_REFRESH: _send_refresh,
        SubscriptionEffect.SEND_LAST: _send_last,
        SubscriptionEffect.START_N: _start_n,
        SubscriptionEffect.START_REFRESH: _start_refresh,
        SubscriptionEffect.START_EXPIRY: _start_expiry,
        SubscriptionEffect.START_WAITING: _start_waiting,
        SubscriptionEffect.STOP_TIMER: _stop_timer,
        SubscriptionEffect.FORGET_DIALOG: _forget_dialog,
        SubscriptionEffect.REPORT_ENDED: _report_ended,
    }


_DEAF = frozenset(
    {SubscriptionState.INIT, SubscriptionState.WAITING, SubscriptionState.REFUSED, SubscriptionState.ENDED}
)
"""States in which there is no subscription that a NOTIFY could be about."""


def _value(request: Request, name: str) -> tuple[str, Parameters]:
    """Split a header that is a token with parameters; empty where there is none."""
    text = request.headers.get(name, "")
    token, _, _ = text.partition(";")
    return token.strip(), parse_parameters(text, len(token), name)


def _seconds(parameters: Parameters, name: str) -> int | None:
    return parse_seconds(find_parameter(parameters, name))
