"""What is done so that the way back to us stays open: keep-alives on flows, and copies of pending INVITEs."""

from __future__ import annotations

from sipstack.flow import Flow
from sipstack.net.config import EndpointConfig
from sipstack.net.timers import TimerHeap
from sipstack.net.transport import SipTransport
from sipstack.sip.message import Request
from sipstack.sip.states import State
from sipstack.sip.transaction import ClientTransaction

INVITE_INTERVAL = 20.0
"""Seconds between two copies of an INVITE that is being answered (:rfc:`3581#section-3`)."""


class FlowCare:
    """Does what the configuration wants for the requests of an endpoint."""

    __slots__ = ("_keep_alive", "_repeats_invites", "_timers", "_transport")

    def __init__(self, config: EndpointConfig, timers: TimerHeap, transport: SipTransport) -> None:
        self._keep_alive = config.keep_alive
        self._repeats_invites = config.behind_nat
        self._timers = timers
        self._transport = transport

    def prepare(self, request: Request, flow: Flow) -> None:
        """Mark our Via of a REGISTER: may we keep the flow open (:rfc:`6223#section-4.3`)? Where nobody can connect to
        us by TLS, we ask for requests to come back by it, too (:rfc:`5923#section-5`)."""
        if request.method != "REGISTER":
            return
        marks = ("keep",) if self._keep_alive == "negotiated" else ()
        if flow.transport == "TLS" and self._transport.tls_port is None:
            marks = (*marks, "alias")
        missing = [f";{mark}" for mark in marks if request.via.param(mark) is None]
        if missing:
            via = request.headers.get("Via", "")
            request.headers.remove_first("Via")
            request.headers.insert("Via", via + "".join(missing))

    def follow(self, transaction: ClientTransaction) -> None:
        """See to the flow of a request that has been sent."""
        method = transaction.request.method
        if method == "REGISTER" and self._keep_alive == "always":
            self._transport.keep_alive(transaction.flow)
        elif method == "INVITE" and self._repeats_invites and transaction.flow.transport == "UDP":
            self._timers.schedule(self._timers.time() + INVITE_INTERVAL, lambda: self._repeat(transaction))

    def keep_alive(self, flow: Flow, interval: float | None) -> None:
        """Keep ``flow`` open, as its other end has agreed to (:meth:`SipTransport.keep_alive`)."""
        if self._keep_alive != "off":
            self._transport.keep_alive(flow, interval)

    def _repeat(self, transaction: ClientTransaction) -> None:
        if transaction.state not in (State.CALLING, State.PROCEEDING):
            return
        # Before the first response timer A repeats it, and where there are keep-alives (A-TRN-07) nobody has to.
        if transaction.state is State.PROCEEDING and not self._transport.is_kept(transaction.flow.remote):
            self._transport.send(transaction.flow, bytes(transaction.request))
        self.follow(transaction)
