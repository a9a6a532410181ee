"""Joins the pure transaction layer with transport and clock: feed, hand on events, transmit, arm the timer."""

from __future__ import annotations

from collections.abc import Callable

from sipstack.flow import Flow
from sipstack.net.timers import Timer, TimerHeap
from sipstack.net.transport import SipTransport
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import TransactionEvent, TransactionLayer


class TransactionPump:
    """Runs a :class:`~sipstack.sip.transaction.TransactionLayer`. ``on_event`` gets its events and must not raise."""

    __slots__ = ("_on_event", "_running", "_timer", "_timers", "_transport", "layer")

    def __init__(
        self,
        layer: TransactionLayer,
        timers: TimerHeap,
        transport: SipTransport,
        on_event: Callable[[TransactionEvent], None],
    ) -> None:
        self.layer = layer
        self._timers = timers
        self._transport = transport
        self._on_event = on_event
        self._timer: Timer | None = None
        self._running = False

    def receive(self, message: Request | Response, flow: Flow) -> None:
        """Feed a message. Raise ParseError when it is too broken for the layer."""
        self.layer.receive_message(message, flow, self._timers.time())
        self.run()

    def flow_failed(self, flow: Flow) -> None:
        """Feed the news that nothing goes by ``flow``."""
        self.layer.transport_failed(flow, self._timers.time())
        self.run()

    def run(self) -> None:
        """Hand on events and transmit until there is nothing left. A call from inside an event does nothing: the
        outer one goes on."""
        if self._running:
            return
        self._running = True
        layer = self.layer
        try:
            while True:
                while (event := layer.next_event()) is not None:
                    self._on_event(event)
                outgoing = layer.data_to_send()
                if not outgoing:
                    break
                for flow, data in outgoing:
                    self._transport.send(flow, data)
        finally:
            self._running = False
        self._arm()

    def _arm(self) -> None:
        deadline = self.layer.get_timer()
        if deadline is None:
            return
        # A timer that comes too early costs one idle call; moving it at each message would cost more.
        if self._timer is not None:
            if self._timer.deadline <= deadline:
                return
            self._timer.cancel()
        self._timer = self._timers.schedule(deadline, self._timer_due)

    def _timer_due(self) -> None:
        self._timer = None
        self.layer.handle_timer(self._timers.time())
        self.run()
