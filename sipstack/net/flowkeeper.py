"""Keeps flows open, and notices when one is dead (:rfc:`5626#section-4.4`): CRLF on connections, STUN on UDP."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sipstack import ids
from sipstack.flow import HostPort
from sipstack.net.connection import SipConnection
from sipstack.net.timers import Timer, TimerHeap
from sipstack.stun import BindingRequest, BindingResponse

logger = logging.getLogger(__name__)

STREAM_INTERVAL = 95.0, 120.0
"""Seconds between two keep-alives on a connection, at least and at most, when nobody says more (A-OUT-03)."""
UDP_INTERVAL = 24.0, 29.0
"""The same by UDP: mappings of NATs go after 30 s."""
SHORTEST_PART = 0.8
"""Part of an interval that somebody asks for, after which the keep-alive goes at the earliest."""
PONG_TIMEOUT = 10.0
"""Seconds without an answer after which a connection is dead (:rfc:`5626#section-4.4.1`)."""
STUN_TIMEOUT = 0.5
"""Seconds until an unanswered STUN request is repeated; twice as long each time (:rfc:`5389#section-7.2.1`)."""
STUN_REQUESTS = 7
"""Times that a STUN request is sent."""
LAST_TIMEOUT = 16
"""STUN timeouts that the last request may stay unanswered before the flow is dead."""


class FlowKeeper:
    """Sends keep-alives for a transport.

    ``send(data, remote)`` sends a datagram; ``on_dead(remote)`` says that nothing comes back from there, or that our
    address has changed for it. A dead connection is closed, which its owner hears of.
    """

    def __init__(
        self, timers: TimerHeap, send: Callable[[bytes, HostPort], object], on_dead: Callable[[HostPort], None]
    ) -> None:
        self._timers = timers
        self._send = send
        self._on_dead = on_dead
        self._connections: dict[int, _KeptConnection] = {}
        self._peers: dict[HostPort, _KeptPeer] = {}

    def keep_connection(self, connection: SipConnection, interval: float | None) -> None:
        """Ping on ``connection`` until it is closed, ``interval`` seconds apart at most."""
        kept = self._connections.get(connection.number)
        if kept is None:
            gone = [number for number, old in self._connections.items() if old.is_over]
            for number in gone:
                del self._connections[number]
            kept = self._connections[connection.number] = _KeptConnection(self._timers, connection)
        kept.start(_bounds(interval, STREAM_INTERVAL))

    def keep_peer(self, remote: HostPort, interval: float | None) -> None:
        """Ask ``remote`` by STUN where we come from, ``interval`` seconds apart at most, until it does not answer."""
        kept = self._peers.get(remote)
        if kept is None:
            kept = self._peers[remote] = _KeptPeer(self._timers, remote, self._send, self._dead)
        kept.start(_bounds(interval, UDP_INTERVAL))

    def keeps_peer(self, remote: HostPort) -> bool:
        """Tell whether the flow to ``remote`` is kept open."""
        return remote in self._peers

    def answered(self, response: BindingResponse, remote: HostPort) -> None:
        """Take what a STUN server says; nothing where nothing was asked."""
        kept = self._peers.get(remote)
        if kept is not None:
            kept.answered(response)

    def close(self) -> None:
        """Send nothing more."""
        for kept in (*self._connections.values(), *self._peers.values()):
            kept.stop()
        self._connections.clear()
        self._peers.clear()

    def _dead(self, remote: HostPort, reason: str) -> None:
        logger.warning("the UDP flow to %s:%d has failed: %s", *remote, reason)
        del self._peers[remote]
        self._on_dead(remote)


def _bounds(interval: float | None, default: tuple[float, float]) -> tuple[float, float]:
    return default if interval is None else (interval * SHORTEST_PART, interval)


class _Kept:
    """A flow and its one timer: until the next keep-alive, or for its answer."""

    def __init__(self, timers: TimerHeap) -> None:
        self._timers = timers
        self._bounds: tuple[float, float] | None = None
        self._timer: Timer | None = None

    def start(self, bounds: tuple[float, float]) -> None:
        """Begin, or go on at the shorter interval."""
        if self._bounds is None or bounds < self._bounds:
            waits = self._bounds is None or self._is_between
            self._bounds = bounds
            if waits:
                self._wait()

    def stop(self) -> None:
        """Do nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _is_between(self) -> bool:
        """Whether no answer is awaited."""
        raise NotImplementedError

    def _begin(self) -> None:
        """Send a keep-alive."""
        raise NotImplementedError

    def _wait(self, waited: float = 0.0) -> None:
        """Wait for the next keep-alive; ``waited`` seconds of that are over."""
        assert self._bounds is not None
        self._schedule(max(0.0, ids.uniform(*self._bounds) - waited), self._begin)

    def _schedule(self, delay: float, callback: Callable[[], None]) -> None:
        self.stop()
        self._timer = self._timers.schedule(self._timers.time() + delay, callback)


class _KeptConnection(_Kept):
    def __init__(self, timers: TimerHeap, connection: SipConnection) -> None:
        super().__init__(timers)
        self._connection = connection
        self._pinged_at = 0.0
        self.is_over = False

    @property
    def _is_between(self) -> bool:
        return not self._connection.is_unanswered

    def _begin(self) -> None:
        connection = self._connection
        if connection.transport is None or connection.is_closing:
            self.is_over = True
            return
        connection.ping()
        self._pinged_at = self._timers.time()
        self._schedule(PONG_TIMEOUT, self._judge)

    def _judge(self) -> None:
        connection = self._connection
        if connection.is_unanswered:
            logger.warning("%s:%d answers no keep-alive: the connection is closed", *connection.flow.remote)
            connection.abort()
            self.is_over = True
        else:
            self._wait(self._timers.time() - self._pinged_at)


class _KeptPeer(_Kept):
    def __init__(
        self,
        timers: TimerHeap,
        remote: HostPort,
        send: Callable[[bytes, HostPort], object],
        on_dead: Callable[[HostPort, str], None],
    ) -> None:
        super().__init__(timers)
        self._remote = remote
        self._send = send
        self._on_dead = on_dead
        self._request: BindingRequest | None = None
        self._sent = 0
        self._mapped: HostPort | None = None

    @property
    def _is_between(self) -> bool:
        return self._request is None

    def answered(self, response: BindingResponse) -> None:
        """Take an answer from the peer."""
        if self._request is None or response.transaction != self._request.transaction:
            return
        self._request = None
        if response.mapped is None or self._mapped not in (None, response.mapped):
            # Section 4.4.2: what the peer knows of us is no longer true, or it does not know STUN.
            self.stop()
            self._on_dead(self._remote, "our address has changed" if response.mapped else "STUN is refused")
            return
        self._mapped = response.mapped
        self._wait()

    def _begin(self) -> None:
        self._request = BindingRequest(bytes.fromhex(ids.token(96)))
        self._sent = 0
        self._repeat()

    def _repeat(self) -> None:
        self._send(bytes(self._request or b""), self._remote)
        self._sent += 1
        if self._sent < STUN_REQUESTS:
            self._schedule(STUN_TIMEOUT * 2 ** (self._sent - 1), self._repeat)
        else:
            self._schedule(STUN_TIMEOUT * LAST_TIMEOUT, self._unanswered)

    def _unanswered(self) -> None:
        self._on_dead(self._remote, "no answer to STUN")
