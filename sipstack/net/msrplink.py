"""One MSRP socket: bytes in and out of a :class:`~sipstack.msrp.connection.MsrpConnection`, nothing else."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Protocol, cast

from sipstack.errors import ConnectionClosed, SipstackError
from sipstack.flow import HostPort
from sipstack.msrp.chunk import MsrpResponse
from sipstack.msrp.connection import MsrpConnection
from sipstack.msrp.events import FaultNoted, SessionEvent
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.table import SessionTable
from sipstack.trace import Trace

from .dial import Hop
from .keepalive import keep_alive
from .tls import is_expected

logger = logging.getLogger(__name__)

WRITE_BUFFER = 131_072
"""Octets that may wait in memory for the kernel: then nothing more is taken out of messages and their sources."""
JOINED = 65_536
"""Octets up to which pieces are copied together, which costs less than to hand the kernel many small ones."""
WRITE_PER_TICK = 262_144
"""Octets that one connection may hand to the kernel in one turn of the loop; then the others are served."""
FRAMES_PER_WRITE = 16
"""Frames of one read after which what they brought about is written before the next ones are handled. Then the peer can
work on the first answers meanwhile: waiting for each other cost two busy processes nearly half of their messages."""


class Cancellable(Protocol):
    """A timer that can be called off."""

    def cancel(self) -> None: ...


Schedule = Callable[[float, Callable[[], None]], Cancellable]
"""Calls back once at a deadline in the loop's own time, in seconds."""


class LinkOwner(Protocol):
    """What a link needs of the hub."""

    trace: Trace | None

    def dispatch(self, event: SessionEvent) -> None:
        """Hand an event to the owner of its session."""

    def link_up(self, link: MsrpLink) -> None:
        """The transport is there."""

    def link_down(self, link: MsrpLink) -> None:
        """The transport is gone, or never came."""


class MsrpLink(asyncio.Protocol):
    """Feeds what comes in, hands on events, writes what is to go out once a turn of the loop."""

    def __init__(
        self,
        owner: LinkOwner,
        loop: asyncio.AbstractEventLoop,
        schedule: Schedule,
        sessions: SessionTable,
        local_uri: str,
        key: Hop | None = None,
        *,
        secure: bool = False,
    ) -> None:
        self.key = key
        """What we connected to; None for a connection that a peer made."""
        self.connection = MsrpConnection(sessions, loop.time(), wake=self._wake, local=local_uri, secure=secure)
        self.transport: asyncio.Transport | None = None
        self.local: HostPort | None = None
        self.remote: HostPort | None = None
        self.secure = secure
        self._transport_name = "WSS" if key is not None and key.transport == "ws" else "TLS" if secure else "TCP"
        self._refusal: ConnectionClosed | None = None
        # of user agents that use this connection to a relay
        self._up: dict[Callable[[], None], Callable[[SipstackError], None]] = {}
        self._requests: dict[str, Callable[[MsrpResponse], None]] = {}
        self._owner = owner
        self._loop = loop
        self._schedule = schedule
        self._is_scheduled = False
        self._is_write_paused = False
        # The connection's own time stands still while nothing is read: what is due may have come already.
        self._paused_at: float | None = None
        self._stood_still = 0.0
        self._timer: Cancellable | None = None
        self._timer_due = 0.0

    @property
    def is_usable(self) -> bool:
        """Tell whether another session may join: the link is up, or being made."""
        return not self.connection.is_closing and (self.transport is None or not self.transport.is_closing())

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.local = transport.get_extra_info("sockname")[:2]
        self.remote = (transport.get_extra_info("peername") or ("", 0))[:2]
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(raw)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # What has not left yet waits with us, where it can still be interrupted, and the timers of transactions
            # begin when the octets really go. In fast networks it is faster, too: they stay in the processor's cache.
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, WRITE_BUFFER)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER)
        if self.key is not None and not is_expected(transport, self.key.fingerprints):
            self._refusal = ConnectionClosed("the certificate of the MSRP peer has another fingerprint", certain=True)
            self.abort()
            return
        self._owner.link_up(self)
        for up in tuple(self._up):
            up()
        self._run()

    def data_received(self, data: bytes) -> None:
        trace = self._owner.trace
        if trace is not None:
            trace.wire("MSRP", self._transport_name, "in", self.local, self.remote, data)
        if self._refusal is not None:
            return
        while self.connection.receive_data(data, self._now(), FRAMES_PER_WRITE):
            # The peer can go on with the first answers while we look at the other frames.
            self._hand_on()
            self._flush()
            data = b""
        self._hand_on()
        self.arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(self._refusal or (None if exc is None else ConnectionClosed(f"the MSRP connection broke: {exc}")))

    def pause_writing(self) -> None:
        self._is_write_paused = True

    def resume_writing(self) -> None:
        self._is_write_paused = False
        self._wake()

    # What the hub calls

    def begin(self, session: MsrpSession) -> None:
        """Show that ``session`` is ours: by its first message, else by a SEND without content (C-SET-01)."""
        if not session.queue:
            session.send_empty()

    def hold(self) -> None:
        """Keep the connection, to a relay of ours, for an hour while no session uses it (C-RLY-05)."""
        self.connection.hold(self._now())
        self.connection.on_response = self._answered

    def when_up(self, up: Callable[[], None], down: Callable[[SipstackError], None]) -> None:
        """Call ``up`` when the connection is there, now or later, and ``down`` when it is lost or never came."""
        self._up[up] = down
        if self.transport is not None:
            up()

    def forget(self, up: Callable[[], None]) -> None:
        """Undo :meth:`when_up`."""
        self._up.pop(up, None)

    def send_request(self, transaction_id: str, data: bytes, answered: Callable[[MsrpResponse], None]) -> None:
        """Send a request to a relay; ``answered`` gets the response, if there is one."""
        self._requests[transaction_id] = answered
        self.connection.send_frame(data)

    def _answered(self, response: MsrpResponse) -> None:
        answered = self._requests.pop(response.transaction_id, None)
        if answered is not None:
            answered(response)

    def fail(self, error: SipstackError | None) -> None:
        """End all sessions on this link."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.connection.receive_eof(error)
        self._hand_on()
        self._owner.link_down(self)
        self._requests.clear()
        watchers, self._up = self._up, {}
        for down in watchers.values():
            down(error or ConnectionClosed("the MSRP relay has closed the connection"))

    def close(self) -> None:
        """Write what there is to write and close."""
        self.connection.is_closing = True
        self._run()

    def pause_reading(self) -> None:
        """Take nothing more off the wire, and let no time pass for the connection."""
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.pause_reading()
        if self._paused_at is None:
            self._paused_at = self._loop.time()

    def resume_reading(self) -> None:
        """Read again."""
        if self._paused_at is None or self.transport is None or self.transport.is_closing():
            return
        self._stood_still += self._loop.time() - self._paused_at
        self._paused_at = None
        self.transport.resume_reading()
        self.arm()

    def _now(self) -> float:
        """Return the time of the connection."""
        return (self._loop.time() if self._paused_at is None else self._paused_at) - self._stood_still

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def arm(self) -> None:
        """Have the timer go off when the connection wants it to, or earlier."""
        due = self.connection.get_timer()
        if due is None or self._paused_at is not None:
            return
        due += self._stood_still
        if self._timer is not None and self._timer_due <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._schedule(due, self._time_out)
        self._timer_due = due

    # Turning the crank

    def _wake(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    def _time_out(self) -> None:
        self._timer = None
        self.connection.handle_timer(self._now())
        self._run()

    def _run(self) -> None:
        self._is_scheduled = False
        self._hand_on()
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        is_done = self._flush()
        # Writing decides about messages that want no answer.
        self._hand_on()
        if is_done and self.connection.is_closing:
            transport.close()
        else:
            self.arm()

    def _hand_on(self) -> None:
        while (event := self.connection.next_event()) is not None:
            if isinstance(event, FaultNoted):
                logger.debug("MSRP from %s: %s", self.remote, event.reason)
            else:
                self._owner.dispatch(event)

    def _flush(self) -> bool:
        """Write, and tell whether everything is written."""
        transport, written = self.transport, 0
        while transport is not None and not transport.is_closing() and not self._is_write_paused:
            pieces = self.connection.pieces_to_send(self._now())
            if not pieces:
                return True
            size = sum(map(len, pieces))
            if size < JOINED or self._owner.trace is not None:
                pieces = [b"".join(pieces)]
            trace = self._owner.trace
            if trace is not None:
                trace.wire("MSRP", self._transport_name, "out", self.local, self.remote, pieces[0])
            transport.writelines(pieces)
            written += size
            if written >= WRITE_PER_TICK:
                self._wake()
                return False
        return False
