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
from sipstack.msrp.connection import (
    ChunkConfirmed,
    MsrpConnection,
    SessionBound,
    SessionEvent,
    SessionFailed,
    StreamEnded,
)
from sipstack.msrp.message import IncomingMessage, OutgoingMessage
from sipstack.msrp.reception import PARTIAL_TIMEOUT
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.table import SessionTable
from sipstack.msrp.uri import DEFAULT_PORT, MsrpUri
from sipstack.sdp_msrp import DISCARD_PORT
from sipstack.trace import Trace

from .dial import Hop, dial
from .msrplink import Cancellable, MsrpLink, Schedule
from .relay import RelayAccess
from .tls import HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT, Tls
from .unclaimed import HubLimits, Unclaimed

logger = logging.getLogger(__name__)

BIND_TIMEOUT = 30.0
"""Seconds that a passive session waits for the peer's first request (C-SET-07)."""
CLOSE_TIMEOUT = 2.0
"""Seconds that closing waits for peers to take what is still to be written."""


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
        self._bind = bind
        self._advertise = advertise
        self._allowed = allowed
        self._limits = limits or HubLimits()
        self._connect_timeout = connect_timeout
        self._given_schedule = schedule
        self.tls = tls
        self._tls_port = tls_port
        self._tls_advertise_port = tls_advertise_port
        # state
        self.sessions = SessionTable()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._tls_server: asyncio.Server | None = None
        self._local: HostPort = bind
        self._links: dict[MsrpConnection, MsrpLink] = {}
        self._outgoing: dict[Hop, MsrpLink] = {}
        self._unclaimed = Unclaimed(self._limits)
        self._is_paused = False
        # of sessions that are being set up
        self._bind_timers: dict[MsrpSession, Cancellable] = {}
        # Messages that came before their session was announced to its handler.
        self._held: dict[MsrpSession, list[IncomingMessage]] = {}
        self._relayed: dict[MsrpSession, MsrpLink] = {}
        self._dials: dict[asyncio.Task[None], MsrpLink] = {}
        self._nowhere = f"{ids.token(80)}.invalid"  # host of our URIs on WebSockets (:rfc:`7977#appendix-A`)

    # Life

    async def start(self) -> None:
        """Listen. Raise :exc:`OSError` when the address is taken or not ours."""
        self._loop = asyncio.get_running_loop()
        host, port = self._bind
        self._server = await self._loop.create_server(self._accept, host, port)
        self._local = self._server.sockets[0].getsockname()[:2]
        if self.tls is not None and self.tls.server is not None:
            try:
                self._tls_server = await self._loop.create_server(
                    partial(self._accept, secure=True),
                    host,
                    self._tls_port,
                    ssl=self.tls.server,
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                    ssl_shutdown_timeout=SHUTDOWN_TIMEOUT,
                )
            except OSError:
                self._server.close()
                raise
            self._tls_port = self._tls_server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, write what is due, close every connection. Handlers of remaining sessions are told."""
        if self._server is None:
            return
        servers = [self._server] if self._tls_server is None else [self._server, self._tls_server]
        for server in servers:
            server.close()
        for task, link in tuple(self._dials.items()):
            if link.transport is None:
                task.cancel()
        if self._dials:
            await asyncio.wait(self._dials)
        for link in tuple(self._links.values()):
            link.close()
        await self._wait_for_links(CLOSE_TIMEOUT)
        for link in tuple(self._links.values()):
            link.abort()
        await self._wait_for_links(CLOSE_TIMEOUT)
        for session in self.sessions:
            self._end(session, ConnectionClosed("the MSRP endpoint is closed"))
        for server in servers:
            await server.wait_closed()

    async def _wait_for_links(self, timeout: float) -> None:
        deadline = self._clock() + timeout
        while self._links and self._clock() < deadline:
            await asyncio.sleep(0.001)

    @property
    def port(self) -> int:
        """The port that we listen at."""
        return self._local[1]

    @property
    def local(self) -> HostPort:
        """The address that peers are told."""
        if self._advertise is None:
            return self._local
        return self._advertise[0], self._advertise[1] or self._local[1]

    @property
    def tls_port(self) -> int:
        """The port that we listen at for TLS; 0 when we don't."""
        return self._tls_port if self._tls_server is not None else 0

    def _local_uri(self, secure: bool, session_id: str | None = None, *, discard_port: bool = False) -> MsrpUri:
        host, port = self.local
        if secure:
            port = self._tls_advertise_port or self._tls_port or port
        port = DISCARD_PORT if discard_port else port
        return MsrpUri("msrps" if secure else "msrp", f"[{host}]" if ":" in host else host, port, session_id)

    def __len__(self) -> int:
        return len(self._links)

    def pause(self) -> None:
        """Read no socket until :meth:`resume`: whoever stores the messages can't keep up."""
        self._is_paused = True
        for link in self._links.values():
            if link.transport is not None and not link.transport.is_closing():
                link.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._is_paused = False
        for link in self._links.values():
            if link.transport is not None and not link.transport.is_closing():
                link.transport.resume_reading()

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
            session = MsrpSession(
                self.relay_uri(relay.nearest),
                max_size=max_size,
                owner=handler,
                use_path=relay.use_path,
            )
            self._relayed[session] = relay.link
            self.sessions.add(session)
            self._held[session] = []
            return session
        uri = self._local_uri(secure, ids.msrp_session_id(), discard_port=discard_port)
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
    ) -> None:
        """Take over what the peer's SDP says and get the session its connection.

        ``active``: connect to the first URI of the path, or reuse a connection to it (C-SET-04). Else wait for the peer
        (C-SET-07). ``fingerprints``: SHA-256 hashes, one of which the certificate of the peer that we connect to must
        have (C-SET-08); a relay's has to be signed for its name instead. ``session_opened`` or ``session_closed``
        follows, never from within this call.
        """
        session.open(remote_path, max_size=remote_max_size, accept_types=remote_accept_types)
        if session.is_bound:
            self._need_loop().call_soon(self._announce, session)
        elif active and session.use_path:
            self._connect_by_relay(session)
        elif active:
            self._connect(session, remote_path[0], tuple(sorted(fingerprints)) if len(remote_path) == 1 else ())
        else:
            due = self._clock() + BIND_TIMEOUT
            self._bind_timers[session] = self.schedule(due, partial(self._bind_timed_out, session))

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
        timer = self._bind_timers.pop(session, None)
        if timer is not None:
            timer.cancel()

    def _end(self, session: MsrpSession, error: SipstackError) -> None:
        """Close a session that has no connection, and tell its handler."""
        self._forget(session)
        for message in session.close():
            if message.on_done is not None:
                message.on_done(message)
        session.owner.session_closed(session, error)

    def _bind_timed_out(self, session: MsrpSession) -> None:
        if self._bind_timers.pop(session, None) is not None:
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

    # Relays

    def relay_link(self, relay: MsrpUri) -> MsrpLink:
        """Return the connection to a relay, made when there is none; whoever configured it may name any address."""
        key = Hop.of(relay)
        link = self._outgoing.get(key)
        if link is None or not link.is_usable:
            link = self._new_link(key, None)
        link.hold()
        return link

    def relay_uri(self, relay: MsrpUri) -> MsrpUri:
        """Return a new URI of our own to speak to ``relay`` with. Nobody connects to what we are on a WebSocket."""
        if relay.transport.lower() == "ws":
            return MsrpUri("msrps", self._nowhere, DEFAULT_PORT, ids.msrp_session_id(), "ws")
        return self._local_uri(relay.secure, ids.msrp_session_id())

    def _connect(self, session: MsrpSession, uri: MsrpUri, fingerprints: tuple[str, ...]) -> None:
        key = Hop.of(uri, fingerprints)
        link = self._outgoing.get(key)
        if link is not None and link.is_usable:
            link.connection.attach(session)
            if link.transport is not None:
                link.begin(session)
                self._need_loop().call_soon(self._announce, session)
            return
        self._new_link(key, self._allowed).connection.attach(session)

    def _new_link(self, key: Hop, allowed: Callable[[str, int], bool] | None) -> MsrpLink:
        link = self._make_link(key, key.scheme == "msrps")
        self._links[link.connection] = self._outgoing[key] = link
        task = self._need_loop().create_task(self._dial(link, key, allowed))
        self._dials[task] = link
        task.add_done_callback(self._dials.pop)
        return link

    async def _dial(self, link: MsrpLink, hop: Hop, allowed: Callable[[str, int], bool] | None) -> None:
        """Connect ``link``; on failure its sessions surely have sent nothing."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                await dial(lambda: link, hop, self.tls, allowed)
        except (OSError, asyncio.CancelledError) as error:
            reason = str(error) or type(error).__name__
            link.fail(ConnectionClosed(f"no MSRP connection to {hop.host}:{hop.port}: {reason}", certain=True))

    def _accept(self, *, secure: bool = False) -> MsrpLink:
        return self._make_link(None, secure)

    def _make_link(self, key: Hop | None, secure: bool) -> MsrpLink:
        local_uri = str(self._local_uri(secure))
        return MsrpLink(self, self._need_loop(), self.schedule, self.sessions, local_uri, key, secure=secure)

    # What links call

    def dispatch(self, event: SessionEvent) -> None:
        """Hand an event on; what a handler raises is logged and harms no other session."""
        try:
            self._dispatch(event)
        except Exception:
            logger.exception("MSRP handler failed on %r", event)

    def _dispatch(self, event: SessionEvent) -> None:
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
            self._unclaimed.discard(self._links[session.connection])
        timer = self._bind_timers.pop(session, None)
        if timer is not None:
            timer.cancel()
            self._announce(session)

    def link_up(self, link: MsrpLink) -> None:
        """Note a new transport: count it while nobody claims it, or start the sessions that wait for it."""
        if self._is_paused and link.transport is not None:
            link.transport.pause_reading()
        if link.key is None:
            # Not before: of a TLS handshake that fails nobody is told.
            self._links[link.connection] = link
            if not self._unclaimed.add(link):
                logger.warning("too many unclaimed MSRP connections, the last from %s", link.remote)
                link.abort()
            return
        for session in tuple(link.connection.bound.values()):
            link.begin(session)
            self._announce(session)

    def link_down(self, link: MsrpLink) -> None:
        """Forget a connection."""
        self._links.pop(link.connection, None)
        self._unclaimed.discard(link)
        if link.key is not None and self._outgoing.get(link.key) is link:
            del self._outgoing[link.key]

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
