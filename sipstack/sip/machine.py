"""What client and server transactions have in common: a state, two timers, and the step through their table."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from sipstack.errors import LocalProtocolError
from sipstack.flow import Flow
from sipstack.sip.events import TransactionEvent
from sipstack.sip.message import Message, Request
from sipstack.sip.states import Effect, Input, State, Table
from sipstack.sip.timers import TimerQueue, TimerValues


class Wires:
    """What all transactions of a layer share: where they write, report, and keep their timers."""

    __slots__ = ("values", "patience", "trying_delay", "timers", "outgoing", "events")

    def __init__(self, values: TimerValues) -> None:
        self.values = values
        self.patience = values.patience
        self.trying_delay = values.trying_delay
        self.timers: TimerQueue[tuple[Transaction, Input]] = TimerQueue()
        self.outgoing: deque[tuple[Flow, bytes]] = deque()
        self.events: deque[TransactionEvent] = deque()


class Transaction:
    """Base of the transactions. :meth:`step` looks up the table and runs the effects.

    No machine needs more than two timers at a time: one that repeats something and one that ends something.
    """

    __slots__ = (
        "request",
        "flow",
        "state",
        "owner",
        "forgotten",
        "_wires",
        "_table",
        "_wire",
        "_repeat_timer",
        "_end_timer",
        "_interval",
        "_due",
    )

    EFFECTS: ClassVar[Mapping[Effect, Callable[[Any, float, Message | None], None]]] = {}

    def __init__(self, request: Request, flow: Flow, wires: Wires, table: Table, state: State) -> None:
        self.request = request
        self.flow = flow
        self.state = state
        self.owner: Any = None
        """For the user of the transaction; the layer doesn't look at it."""
        self.forgotten = False
        self._wires = wires
        self._table = table
        self._wire = b""
        self._repeat_timer = 0
        self._end_timer = 0
        self._interval = 0.0
        self._due: Input | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.request.method} {self.state.value}>"

    @property
    def is_invite(self) -> bool:
        """Tell whether this is one of the two INVITE machines."""
        return self.request.method == "INVITE"

    @property
    def is_final(self) -> bool:
        """Tell whether a final response was received (client) or sent (server), or the transaction is over."""
        return self.state in (State.COMPLETED, State.CONFIRMED, State.ACCEPTED, State.TERMINATED)

    def step(self, event: Input, now: float, message: Message | None = None) -> None:
        """Feed one input. :class:`LocalProtocolError` if the machine has no such transition."""
        due: Input | None = event
        while due is not None:
            transition = self._table.get((self.state, due))
            if transition is None:
                raise LocalProtocolError(f"{due.value} is not possible in {self!r}")
            effects, self.state = transition
            self._due = None
            for effect in effects:
                self.EFFECTS[effect](self, now, message)
            due = self._due
        if self.state is State.TERMINATED:
            self.stop_timers(now)
            self._wire = b""

    # effects common to both sides

    def stop_timers(self, now: float, message: Message | None = None) -> None:
        """Stop both timers."""
        timers = self._wires.timers
        if self._repeat_timer:
            timers.stop(self._repeat_timer)
        if self._end_timer:
            timers.stop(self._end_timer)
        self._repeat_timer = self._end_timer = 0

    def stop_repeating(self, now: float, message: Message | None = None) -> None:
        """Stop the timer that repeats."""
        self._wires.timers.stop(self._repeat_timer)
        self._repeat_timer = 0

    # for the subclasses

    def emit(self, event: TransactionEvent) -> None:
        """Hand an event to the user unless it lost interest."""
        if not self.forgotten:
            self._wires.events.append(event)

    def start_repeating(self, timer: Input, now: float, *, limit: float | None) -> None:
        """Start the repeating timer: T1 at first, then double each time up to ``limit`` seconds."""
        interval = self._interval * 2 if self._interval else self._wires.values.t1
        self._interval = interval if limit is None else min(interval, limit)
        self._repeat_timer = self._wires.timers.start(now + self._interval, (self, timer))

    def start_ending(self, timer: Input, now: float, delay: float) -> None:
        """Start the ending timer. With no delay it counts as fired right after the effects of this step."""
        self._wires.timers.stop(self._end_timer)
        if delay:
            self._end_timer = self._wires.timers.start(now + delay, (self, timer))
        else:
            self._due = timer
