"""What crossed the wire and which state changed, as data.

Components hold a ``Trace | None``; nobody who records costs one ``is not None``. The sink must be quick and must not
raise: what is slow (masking, writing) belongs behind a queue, as in :mod:`sipstack.net.tracefile`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sipstack.flow import HostPort


@dataclass(slots=True)
class WireRecord:
    """Bytes as a transport sent or received them."""

    at: float
    """Wall clock, seconds since 1970."""
    actor: str
    """Who recorded this: a column of the ladder."""
    protocol: str
    """``SIP``, ``MSRP``, ``HTTP`` or ``SMTP``."""
    transport: str
    """``UDP``, ``TCP``, ``TLS``, ``WSS``."""
    direction: str
    """``in`` or ``out``."""
    local: HostPort | None
    remote: HostPort | None
    data: bytes


@dataclass(slots=True)
class StateRecord:
    """A transaction, dialog, session or registration changed its state."""

    at: float
    actor: str
    subject: str
    """What changed, with its identifier: ``registration sip:b@cc.com``."""
    state: str
    note: str = ""


Record = WireRecord | StateRecord


class Trace:
    """Stamps what an actor reports and hands it to a sink.

    ``clock`` returns wall time in seconds; it is passed in because this part of the stack reads no clock.
    """

    __slots__ = ("_clock", "_sink", "actor")

    def __init__(self, actor: str, sink: Callable[[Record], None], clock: Callable[[], float]) -> None:
        self.actor = actor
        self._sink = sink
        self._clock = clock

    def wire(
        self,
        protocol: str,
        transport: str,
        direction: str,
        local: HostPort | None,
        remote: HostPort | None,
        data: bytes,
    ) -> None:
        """Record ``data`` that crossed the wire between ``local`` and ``remote``."""
        self._sink(WireRecord(self._clock(), self.actor, protocol, transport, direction, local, remote, data))

    def state(self, subject: str, state: str, note: str = "") -> None:
        """Record that ``subject`` is now in ``state``."""
        self._sink(StateRecord(self._clock(), self.actor, subject, state, note))

    def of(self, actor: str) -> Trace:
        """Return a recorder for another actor with the same sink and clock."""
        return Trace(actor, self._sink, self._clock)

    def also(self, sink: Callable[[Record], None]) -> Trace:
        """Return a recorder of the same actor that hands each record to ``sink`` too."""

        def both(record: Record) -> None:
            self._sink(record)
            sink(record)

        return Trace(self.actor, both, self._clock)
