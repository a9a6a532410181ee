"""All MSRP of an endpoint: one listener, the connections to peers, the sessions on them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, assert_never

from sipstack import ids
from sipstack.errors import ConnectionClosed, LocalProtocolError, SipstackError
from sipstack.flow import HostPort
from sipstack.msrp.connection import FOREIGN_RELAY_LINGER, LINGER
from sipstack.msrp.events import ChunkConfirmed, SessionBound, SessionEvent, SessionFailed, StreamEnded
from sipstack.msrp.message import IncomingMessage, OutgoingMessage
from sipstack.msrp.reception import PARTIAL_TIMEOUT
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.table import SessionTable
from sipstack.msrp.uri import MsrpUri
from sipstack.trace import Trace

from .dial import Hop
from .links import MsrpLinks
from .listener import MsrpListener
from .msrplink import Cancellable, MsrpLink, Schedule
from .relay import RelayAccess
from .tls import Tls
from .unclaimed import HubLimits

logger = logging.getLogger(__name__)

BIND_TIMEOUT = 30.0
"""Seconds that a passive session waits for the peer's first request (C-SET-07)."""


class SessionHandler(Protocol):
    """Who owns a session. Called from the loop; must not block."""

    def session_opened(self, session: MsrpSession) -> None:
        """The session has its connection. What was sent before goes out now."""

    def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
        """A whole message came; ``accept()`` or ``reject()`` it, now or later."""

    def session_closed(self, session: MsrpSession, error: Exception | None) -> None:
        """The session is over and not by :meth:`MsrpHub.release`. Its undecided messages were told of before."""


class MsrpHub:
    """Creates sessions, connects them or waits for their peers, and tells their handlers what happens.

    ``bind`` is the address to listen at (port 0: any), ``advertise`` what peers are told instead. ``allowed`` is asked
    about each numeric address and port before we connect. ``schedule`` is the endpoint's heap of timers, by default
    the loop's own. With ``tls`` there are ``msrps`` URIs too; when it has a certificate, they are listened for at
    ``tls_port``, and peers are told ``tls_advertise_port``, 0 for the same.
    """

    def __init__(
        self,
        *,
        bind: HostPort,
        advertise: HostPort | None = None,
        trace: Trace | None = None,
        allowed: Callable[[str, int], bool] | None = None,
        limits: HubLimits | None = None,
        connect_timeout: float = 10.0,
        schedule: Schedule | None = None,
        tls: Tls | None = None,
        tls_port: int = 0,
        tls_advertise_port: int = 0,
    ) -> None:
        # configuration
        self.trace = trace
        self.tls = tls
        self._allowed = allowed
        self._limits = limits or HubLimits()
        self._given_schedule = schedule
        # state
        self.sessions = SessionTable()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener = MsrpListener(bind, advertise, tls, tls_port, tls_advertise_port)
        self._links = MsrpLinks(
            self._make_link, self.schedule, tls=tls, limits=self._limits, connect_timeout=connect_timeout
        )
        # of sessions that are being set up
        self._expected: dict[MsrpSession, Cancellable | None] = {}
        # Messages that came before their session was announced to its handler.
        self._held: dict[MsrpSession, list[IncomingMessage]] = {}
        self._relayed: dict[MsrpSession, MsrpLink] = {}

    # Life

    async def start(self) -> None:
        """Listen. Raise :exc:`OSError` when the address is taken or not ours."""
        self._loop = asyncio.get_running_loop()
        await self._listener.start(partial(self._make_link, None), self._links.unclaimed)

    async def close(self) -> None:
        """Stop listening, write what is due, close every connection. Handlers of remaining sessions are told."""
        if self._loop is None:
            return
        self._listener.close()
        await self._links.close()
        for session in self.sessions:
            self._end(session, ConnectionClosed("the MSRP endpoint is closed"))
        await self._listener.wait_closed()

    @property
    def port(self) -> int:
        """The port that we listen at."""
        return self._listener.port

    @property
    def local(self) -> HostPort:
        """The address that peers are told."""
        return self._listener.local

    @property
    def tls_port(self) -> int:
        """The port that we listen at for TLS; 0 when we don't."""
        return self._listener.tls_port

    def __len__(self) -> int:
        return len(self._links)

    # Backpressure

    def pause(self, session: MsrpSession | None = None, *, is_urgent: bool = False) -> bool:
        """Stop reading, because whoever stores what comes can't keep up; return whether reading has stopped.

        Without ``session`` from all connections: the queue of commits is full. With it, from the connection of that
        session: the spool of its file is. Where others use that connection too, behind a relay or a border element,
        only if it ``is_urgent``, and for :data:`~sipstack.net.links.SHARED_PAUSE` seconds at most: chats must not
        wait long for a disk. To be called for nothing else: a slow guest's messages are refused with 413.
        """
        if session is None:
            self._links.pause_all()
            return True
        return self._links.pause(session, is_urgent=is_urgent)

    def resume(self, session: MsrpSession | None = None) -> None:
        """Read again; the opposite of :meth:`pause`. Without effect when reading has not stopped."""
        if session is None:
            self._links.resume_all()
        else:
            self._links.resume(session)

    # Sessions

    def create_session(
        self,
        handler: SessionHandler,
        *,
        max_size: int,
        discard_port: bool = False,
        secure: bool = False,
        relay: RelayAccess | None = None,
    ) -> MsrpSession:
        """Return a new session with an unguessable URI (C-URI-03); ``max_size`` in octets is what our SDP says.

        The peer may bind it from now on; messages are held back until :meth:`open`. ``discard_port``: put port 9 into
        the URI, for an offer of ``a=setup:active`` from where nobody can connect to (C-SET-02). ``secure``: by TLS.
        ``relay``: by the path that this one has now; raise ConnectionClosed when it has none.
        """
        if relay is not None:
            if relay.link is None or not relay.link.is_usable or not relay.use_path:
                raise ConnectionClosed("there is no path by the MSRP relay", certain=True)
            uri = self._listener.relay_uri(relay.nearest)
            session = MsrpSession(uri, max_size=max_size, owner=handler, use_path=relay.use_path)
            self._relayed[session] = relay.link
        else:
            uri = self._listener.uri(secure, ids.msrp_session_id(), discard_port=discard_port)
            session = MsrpSession(uri, max_size=max_size, owner=handler)
        self.sessions.add(session)
        self._held[session] = []
        return session

    def open(
        self,
        session: MsrpSession,
        remote_path: Sequence[MsrpUri],
        *,
        active: bool,
        remote_max_size: int | None = None,
        remote_accept_types: Sequence[str] | None = None,
        fingerprints: Sequence[str] = (),
        at: HostPort | None = None,
        is_acknowledged: bool = True,
    ) -> None:
        """Take over what the peer's SDP says and get the session its connection.

        ``active``: connect to the first URI of the path, or reuse a connection to it (C-SET-04). Else wait for the peer
        (C-SET-07), whose time runs from :meth:`expect` on unless ``is_acknowledged``. ``fingerprints``: SHA-256 hashes,
        one of which the certificate of the peer that we connect to must have (C-SET-08); a relay's has to be signed for
        its name instead. ``at``: where to connect instead of the path's first URI (C-CEM-01). ``session_opened`` or
        ``session_closed`` follows, never from within this call.
        """
        session.open(remote_path, max_size=remote_max_size, accept_types=remote_accept_types)
        if session.is_bound:
            self._need_loop().call_soon(self._announce, session)
        elif active and session.use_path:
            self._connect_by_relay(session)
        elif active:
            expected = tuple(sorted(fingerprints)) if len(remote_path) == 1 else ()
            linger = FOREIGN_RELAY_LINGER if len(remote_path) > 1 else LINGER
            self._connect(session, Hop.of(remote_path[0], expected, at=at), linger)
        else:
            self._expected[session] = None
            if is_acknowledged:
                self.expect(session)

    def expect(self, session: MsrpSession) -> None:
        """Give the peer its time to connect from now on: it has our answer. Without effect when it is not waited for.

        No timer runs before, as no BYE may be sent before the ACK (:rfc:`3261#section-15`).
        """
        if session in self._expected and self._expected[session] is None:
            due = self._clock() + BIND_TIMEOUT
            self._expected[session] = self.schedule(due, partial(self._bind_timed_out, session))

    def release(self, session: MsrpSession) -> None:
        """End a session whose dialog is over (C-SET-06). Its handler is not told, but its undecided messages are."""
        connection = session.connection
        self._forget(session)
        if connection is not None:
            connection.detach(session, self._clock())
            self._links[connection].arm()
        for message in session.close():
            if message.on_done is not None:
                message.on_done(message)
        session.drop_partials(ConnectionClosed("the MSRP session is closed"))

    def _forget(self, session: MsrpSession) -> None:
        self.sessions.discard(session)
        self._held.pop(session, None)
        self._relayed.pop(session, None)
        self._links.resume(session)
        self._stop_expecting(session)

    def _end(self, session: MsrpSession, error: SipstackError) -> None:
        """Close a session that has no connection, and tell its handler."""
        self._forget(session)
        for message in session.close():
            if message.on_done is not None:
                message.on_done(message)
        session.owner.session_closed(session, error)

    def _stop_expecting(self, session: MsrpSession) -> None:
        timer = self._expected.pop(session, None)
        if timer is not None:
            timer.cancel()

    def _bind_timed_out(self, session: MsrpSession) -> None:
        if session in self._expected:
            self._end(session, ConnectionClosed("the MSRP peer did not connect", certain=True))

    def _announce(self, session: MsrpSession) -> None:
        """Tell that the session is open, and what came before it was."""
        if session.closed:
            return
        session.owner.session_opened(session)
        for message in self._held.pop(session, ()):
            session.owner.message_received(session, message)

    # Connections

    def _connect_by_relay(self, session: MsrpSession) -> None:
        link = self._relayed[session]
        if not link.is_usable or link.transport is None:
            error = ConnectionClosed("the connection to the MSRP relay is lost", certain=True)
            self._need_loop().call_soon(self._lost, session, error)
            return
        link.connection.attach(session)
        link.begin(session)
        self._need_loop().call_soon(self._announce, session)

    def _lost(self, session: MsrpSession, error: SipstackError) -> None:
        if not session.closed:
            self._end(session, error)

    def _connect(self, session: MsrpSession, hop: Hop, linger: float) -> None:
        link = self._links.to(hop, self._allowed)
        link.connection.linger = max(linger, link.connection.linger)
        link.connection.attach(session)
        if link.transport is not None:
            link.begin(session)
            self._need_loop().call_soon(self._announce, session)

    def _make_link(self, hop: Hop | None, secure: bool) -> MsrpLink:
        local_uri = str(self._listener.uri(secure))
        return MsrpLink(self, self._need_loop(), self.schedule, self.sessions, local_uri, hop, secure=secure)

    # Relays

    def relay_link(self, relay: MsrpUri) -> MsrpLink:
        """Return the connection to a relay, made when there is none; whoever configured it may name any address."""
        link = self._links.to(Hop.of(relay), None)
        link.hold()
        return link

    def relay_uri(self, relay: MsrpUri) -> MsrpUri:
        """Return a new URI of our own to speak to ``relay`` with."""
        return self._listener.relay_uri(relay)

    # What links call

    def dispatch(self, event: SessionEvent) -> None:
        """Hand an event on; what a handler raises is logged and harms no other session."""
        try:
            match event:
                case IncomingMessage():
                    if event.session in self._held:
                        self._hold(event)
                    else:
                        event.session.owner.message_received(event.session, event)
                case OutgoingMessage():
                    if event.on_done is not None:
                        event.on_done(event)
                case ChunkConfirmed():
                    if event.message.on_progress is not None:
                        event.message.on_progress(event.message)
                case StreamEnded():
                    if event.stream.on_end is not None:
                        event.stream.on_end(event.error)
                case SessionBound():
                    self._bound(event.session)
                case SessionFailed():
                    self._failed(event.session, event.error)
                case _:
                    assert_never(event)
        except Exception:
            logger.exception("MSRP handler failed on %r", event)

    def _failed(self, session: MsrpSession, error: SipstackError) -> None:
        self._forget(session)
        session.owner.session_closed(session, error)
        if session.has_partials:
            # Another session may adopt what came of unfinished messages (C-BAD-13).
            self.schedule(self._clock() + PARTIAL_TIMEOUT, partial(session.drop_partials, error))

    def _hold(self, message: IncomingMessage) -> None:
        held = self._held[message.session]
        if len(held) < self._limits.held_messages:
            held.append(message)
        else:
            message.reject(413)

    def _bound(self, session: MsrpSession) -> None:
        if session.connection is not None:
            self._links.claim(session.connection)
        if session in self._expected:
            self._stop_expecting(session)
            self._announce(session)

    def link_up(self, link: MsrpLink) -> None:
        """Note a new transport; start the sessions that wait for it."""
        if not self._links.add(link):
            logger.warning("too many unclaimed MSRP connections, the last from %s", link.remote)
            link.abort()
            return
        for session in tuple(link.connection.bound.values()):
            link.begin(session)
            self._announce(session)

    def link_down(self, link: MsrpLink) -> None:
        """Forget a connection."""
        self._links.remove(link)

    def schedule(self, due: float, callback: Callable[[], None]) -> Cancellable:
        """Call back at a time of the loop."""
        if self._given_schedule is not None:
            return self._given_schedule(due, callback)
        return self._need_loop().call_at(due, callback)

    def _clock(self) -> float:
        return self._need_loop().time()

    def _need_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise LocalProtocolError("the MSRP hub is not started")
        return self._loop
