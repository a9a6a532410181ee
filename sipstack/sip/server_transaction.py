"""The two server transactions of :rfc:`3261#section-17.2`."""

from __future__ import annotations

from sipstack import ids
from sipstack.errors import LocalProtocolError
from sipstack.flow import Flow
from sipstack.sip.events import AckMissing, AckReceived, TransportFailed
from sipstack.sip.machine import Transaction, Wires
from sipstack.sip.message import Message, Request, Response
from sipstack.sip.routing import response_flow
from sipstack.sip.states import INVITE_SERVER, NON_INVITE_SERVER, Effect, Input, State
from sipstack.sip.timers import INVITE_TRYING_DELAY

ServerKey = tuple[str, ...]
"""What tells server transactions apart (:rfc:`3261#section-17.2.3`)."""


class ServerTransaction(Transaction):
    """One request of a peer and our responses to it. Made by ``TransactionLayer.receive_message``.

    ``flow`` is the one the request came by; responses leave by ``reply_flow`` (:rfc:`3261#section-18.2.2`).
    """

    __slots__ = (
        "key",
        "merge_key",
        "ack_key",
        "reply_flow",
        "merged",
        "acknowledged",
        "_repeats_success",
        "_local_tag",
        "_arrived",
    )

    def __init__(self, request: Request, flow: Flow, key: ServerKey, wires: Wires, now: float) -> None:
        invite = request.method == "INVITE"
        super().__init__(
            request,
            flow,
            wires,
            INVITE_SERVER if invite else NON_INVITE_SERVER,
            State.PROCEEDING if invite else State.TRYING,
        )
        self.key = key
        self.merge_key: ServerKey | None = None
        self.ack_key: ServerKey | None = None
        self.reply_flow = response_flow(request, flow)
        self.merged = False
        """The same request is here already by another way: the user answers 482 (:rfc:`3261#section-8.2.2.2`)."""
        self.acknowledged = False
        """An ACK came for the final response to INVITE."""
        self._repeats_success = True
        self._local_tag: str | None = None
        self._arrived = now
        delay = INVITE_TRYING_DELAY if invite else wires.trying_delay
        self._repeat_timer = wires.timers.start(now + delay, (self, Input.TIMER_TRYING))
        if not invite:
            self.start_ending(Input.TIMER_LATE, now, wires.patience)

    @property
    def local_tag(self) -> str:
        """The To tag of all our responses: that of the request, else one made up once (:rfc:`3261#section-8.2.6.2`)."""
        if self._local_tag is None:
            self._local_tag = self.request.to.tag or ids.tag()
        return self._local_tag

    @local_tag.setter
    def local_tag(self, tag: str) -> None:
        self._local_tag = tag

    def respond(self, response: Response, now: float, *, repeat: bool) -> None:
        """Answer. ``repeat`` False leaves the repeating of a 2xx to INVITE to whoever made it, as a proxy wants.

        :class:`LocalProtocolError` for what must not be sent: a 1xx or 408 to non-INVITE (:rfc:`4320#section-4`), a
        second final response to INVITE other than 2xx. A final to non-INVITE that comes too late is dropped (A-NIT-03).
        """
        if not self.is_invite:
            if response.status == 408:
                raise LocalProtocolError("408 is no answer to a non-INVITE request")
            if self.state is State.TERMINATED:
                return
        if response.status < 200:
            event = Input.PROVISIONAL
        else:
            event = Input.SUCCESS if response.status < 300 else Input.FAILURE
        self._repeats_success = repeat
        self.step(event, now, response)

    def fall_back(self) -> bool:
        """Leave the connection that the responses used; send what may be lost by another (:rfc:`3261#section-18.2.2`).

        False if there is no other way.
        """
        flow = response_flow(self.request, self.flow, connected=False)
        if flow == self.reply_flow:
            return False
        self.reply_flow = flow
        if not self.acknowledged:
            self._repeat(0.0, None)
        return True

    def end(self, now: float) -> None:
        """End at once without an answer: the user has lost interest before it answered."""
        self.stop_timers(now)
        self.state = State.TERMINATED

    # effects

    def _send_response(self, now: float, message: Message | None) -> None:
        assert isinstance(message, Response)
        self._wire = bytes(message)
        self._repeat(now, message)

    def _send_trying(self, now: float, message: Message | None) -> None:
        response = Response.for_request(self.request, 100)
        timestamp = response.headers.get("Timestamp", "").split()
        if timestamp:
            # "the server MUST add" the time that passed (:rfc:`3261#section-8.2.6.1`, A-IST-01)
            response.headers.set("Timestamp", f"{timestamp[0]} {now - self._arrived:.3f}")
        self._send_response(now, response)

    def _repeat(self, now: float, message: Message | None) -> None:
        if self._wire:
            self._wires.outgoing.append((self.reply_flow, self._wire))

    def _report_ack(self, now: float, message: Message | None) -> None:
        assert isinstance(message, Request)
        self.emit(AckReceived(message, self, repeated=self.acknowledged))
        self.acknowledged = True

    def _report_ack_missing(self, now: float, message: Message | None) -> None:
        if self._repeats_success and not self.acknowledged:
            self.emit(AckMissing(self))

    def _report_failure_unheard(self, now: float, message: Message | None) -> None:
        # "the server transaction [...] MUST indicate to the TU that a transaction failure has occurred" (A-IST-03)
        self.emit(AckMissing(self, success=False))

    def _report_transport_error(self, now: float, message: Message | None) -> None:
        self.emit(TransportFailed(self))

    def _start_g(self, now: float, message: Message | None) -> None:
        if not self.flow.reliable:
            self.start_repeating(Input.TIMER_G, now, limit=self._wires.values.t2)

    def _start_h(self, now: float, message: Message | None) -> None:
        self.start_ending(Input.TIMER_H, now, self._wires.patience)

    def _start_i(self, now: float, message: Message | None) -> None:
        self.acknowledged = True
        self._wire = b""
        self.start_ending(Input.TIMER_I, now, 0.0 if self.flow.reliable else self._wires.values.t4)

    def _start_j(self, now: float, message: Message | None) -> None:
        self.start_ending(Input.TIMER_J, now, 0.0 if self.flow.reliable else self._wires.patience)

    def _start_l(self, now: float, message: Message | None) -> None:
        self.start_ending(Input.TIMER_L, now, self._wires.patience)

    def _start_repeat(self, now: float, message: Message | None) -> None:
        if self._repeats_success:
            self.start_repeating(Input.TIMER_REPEAT, now, limit=self._wires.values.t2)

    EFFECTS = {
        Effect.STOP_TIMERS: Transaction.stop_timers,
        Effect.STOP_REPEATING: Transaction.stop_repeating,
        Effect.SEND_RESPONSE: _send_response,
        Effect.SEND_TRYING: _send_trying,
        Effect.REPEAT: _repeat,
        Effect.REPORT_ACK: _report_ack,
        Effect.REPORT_ACK_MISSING: _report_ack_missing,
        Effect.REPORT_FAILURE_UNHEARD: _report_failure_unheard,
        Effect.REPORT_TRANSPORT_ERROR: _report_transport_error,
        Effect.START_G: _start_g,
        Effect.START_H: _start_h,
        Effect.START_I: _start_i,
        Effect.START_J: _start_j,
        Effect.START_L: _start_l,
        Effect.START_REPEAT: _start_repeat,
    }
