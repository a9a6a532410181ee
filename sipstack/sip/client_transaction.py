"""The two client transactions of :rfc:`3261#section-17.1`, and the requests that the layer makes by itself for them."""

from __future__ import annotations

from sipstack.errors import LocalProtocolError
from sipstack.flow import Flow
from sipstack.sip.events import RequestTimedOut, ResponseReceived, TransportFailed
from sipstack.sip.machine import Transaction, Wires
from sipstack.sip.message import Message, Request, Response
from sipstack.sip.states import INVITE_CLIENT, NON_INVITE_CLIENT, Effect, Input, State

MAX_FORWARDS = "70"
"""Of ACK and CANCEL; :rfc:`3261#section-8.1.1.6` wants this value to start with."""

ClientKey = tuple[str, str]
"""Branch (lower case) and method (:rfc:`3261#section-17.1.3`)."""


def client_key(request: Request) -> ClientKey:
    """Return the key that the responses to ``request`` will have. :class:`LocalProtocolError` without a branch."""
    branch = request.via.branch if "Via" in request.headers else None
    if branch is None:
        raise LocalProtocolError("a request needs a Via with a branch before it is sent")
    return branch.lower(), request.method


def input_for(response: Response) -> Input:
    """Return the class of a response as the tables know it."""
    if response.status < 200:
        return Input.PROVISIONAL
    return Input.SUCCESS if response.status < 300 else Input.FAILURE


def _same_hop_request(invite: Request, method: str, to: str) -> Request:
    """Return ``method`` for the hop that got ``invite``, with its Request-URI, top Via, Route, From and Call-ID."""
    headers: list[tuple[str, str]] = [("Via", str(invite.via)), ("Max-Forwards", MAX_FORWARDS)]
    headers += [("Route", value) for value in invite.headers.get_all("Route")]
    headers += [
        ("From", invite.headers.get("From", "")),
        ("To", to),
        ("Call-ID", invite.call_id),
        ("CSeq", f"{invite.cseq.number} {method}"),
    ]
    return Request(method, invite.uri_text, headers)


def ack_for_failure(invite: Request, response: Response) -> Request:
    """Return the ACK for a 300-699 (:rfc:`3261#section-17.1.1.3`, A-ICT-04): the To of ``response``, no body."""
    return _same_hop_request(invite, "ACK", response.headers.get("To", ""))


def cancel_for(invite: Request, reason: str | None = None) -> Request:
    """Return the CANCEL for ``invite`` (:rfc:`3261#section-9.1`, A-CAN-02), ``reason`` as :rfc:`3326` writes it."""
    cancel = _same_hop_request(invite, "CANCEL", invite.headers.get("To", ""))
    if reason is not None:
        cancel.headers.add("Reason", reason)
    return cancel


class ClientTransaction(Transaction):
    """One request of ours and the responses to it. Made by ``TransactionLayer.send_request``."""

    __slots__ = ("key", "via_count", "cancel_wanted", "cancel_due", "cancel_reason")

    def __init__(self, request: Request, flow: Flow, key: ClientKey, wires: Wires, now: float) -> None:
        invite = request.method == "INVITE"
        super().__init__(
            request,
            flow,
            wires,
            INVITE_CLIENT if invite else NON_INVITE_CLIENT,
            State.CALLING if invite else State.TRYING,
        )
        self.key = key
        self.via_count = len(request.vias)
        self.cancel_wanted = False
        """The user asked for a CANCEL."""
        self.cancel_due = False
        """A CANCEL is to leave now; the layer looks here after each step."""
        self.cancel_reason: str | None = None

        data = bytes(request)
        wires.outgoing.append((flow, data))
        if not flow.reliable:
            self._wire = data
            self.start_repeating(Input.TIMER_A if invite else Input.TIMER_E, now, limit=None)
        self.start_ending(Input.TIMER_B if invite else Input.TIMER_F, now, wires.patience)

    def cancel(self, now: float, reason: str | None) -> None:
        """Ask for a CANCEL; it waits for the first 1xx and is dropped when a final response is here (A-CAN-01)."""
        if not self.is_invite:
            raise LocalProtocolError("only INVITE can be cancelled")
        if self.is_final or self.cancel_wanted:
            return
        self.cancel_wanted = True
        self.cancel_reason = reason
        if self.state is State.PROCEEDING:
            self._send_due_cancel(now, None)

    # effects

    def _repeat(self, now: float, message: Message | None) -> None:
        self._wires.outgoing.append((self.flow, self._wire))

    def _send_ack(self, now: float, message: Message | None) -> None:
        assert isinstance(message, Response)
        self._wires.outgoing.append((self.flow, bytes(ack_for_failure(self.request, message))))

    def _send_due_cancel(self, now: float, message: Message | None) -> None:
        if self.cancel_wanted:
            self.cancel_due = True
            self.start_ending(Input.TIMER_CANCELLED, now, self._wires.patience)

    def _report_response(self, now: float, message: Message | None) -> None:
        assert isinstance(message, Response)
        self.emit(ResponseReceived(self, message))

    def _report_timeout(self, now: float, message: Message | None) -> None:
        self.emit(RequestTimedOut(self))

    def _report_transport_error(self, now: float, message: Message | None) -> None:
        self.emit(TransportFailed(self))

    def _start_a(self, now: float, message: Message | None) -> None:
        self.start_repeating(Input.TIMER_A, now, limit=None)

    def _start_e(self, now: float, message: Message | None) -> None:
        self.start_repeating(Input.TIMER_E, now, limit=self._wires.values.t2)

    def _start_slow_e(self, now: float, message: Message | None) -> None:
        self._interval = self._wires.values.t2
        self._start_e(now, message)

    def _start_d(self, now: float, message: Message | None) -> None:
        self._wire = b""
        self.start_ending(Input.TIMER_D, now, 0.0 if self.flow.reliable else self._wires.values.d)

    def _start_k(self, now: float, message: Message | None) -> None:
        self._wire = b""
        self.start_ending(Input.TIMER_K, now, 0.0 if self.flow.reliable else self._wires.values.t4)

    def _start_m(self, now: float, message: Message | None) -> None:
        self._wire = b""
        self.start_ending(Input.TIMER_M, now, self._wires.patience)

    EFFECTS = {
        Effect.STOP_TIMERS: Transaction.stop_timers,
        Effect.REPEAT: _repeat,
        Effect.SEND_ACK: _send_ack,
        Effect.SEND_DUE_CANCEL: _send_due_cancel,
        Effect.REPORT_RESPONSE: _report_response,
        Effect.REPORT_TIMEOUT: _report_timeout,
        Effect.REPORT_TRANSPORT_ERROR: _report_transport_error,
        Effect.START_A: _start_a,
        Effect.START_D: _start_d,
        Effect.START_E: _start_e,
        Effect.START_SLOW_E: _start_slow_e,
        Effect.START_K: _start_k,
        Effect.START_M: _start_m,
    }
