"""One MSRP byte stream and the sessions that share it (:rfc:`4975#section-5.4`).

:class:`MsrpConnection` is driven by three things: bytes from the peer (:meth:`~MsrpConnection.receive_data`), its
sessions' owners (:meth:`MsrpSession.send`, :meth:`IncomingMessage.accept`), and time
(:meth:`~MsrpConnection.handle_timer`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from sipstack import ids
from sipstack.errors import (
    ConnectionClosed,
    MessageTooLarge,
    ParseError,
    RemoteProtocolError,
    SipstackError,
    UnexpectedMessage,
)

from .chunk import REASONS, BadRequest, Chunk, FailureReport, Frame, MsrpResponse, OtherRequest, Report, back_to
from .events import ChunkConfirmed, Event, FaultNoted, SessionBound, SessionFailed, StreamEnded
from .message import FAILED, PENDING, SENT, UNKNOWN, IncomingMessage, OutgoingMessage
from .outbox import Outbox
from .parser import ChunkParser
from .reception import PartialTimers
from .session import MsrpSession
from .stream import IncomingStream
from .table import SessionTable
from .uri import parse_path

UNCLAIMED_TIMEOUT = 10.0
"""Seconds that a connection may live before a session claims it (C-SET-07)."""
LINGER = 5.0
"""Seconds that a connection outlives its last session (C-SET-06): the next to the same peer often follows at once."""
FOREIGN_RELAY_LINGER = 300.0
"""The same for one to a relay of a peer, where the next session may be with somebody else (:rfc:`4976#section-5.4`)."""
OWN_RELAY_LINGER = 3600.0
"""The same for one to a relay of ours, by which every session goes (:rfc:`4976#section-5.4`)."""
MAX_UNREAD = 16_384
"""Responses and reports that may wait because the peer doesn't read: some MiB; one read brings two thousand at most."""
MAX_FAULTS = 5
"""Malformed requests in a row after which the peer is beyond hope (C-BAD-10)."""

_SESSION_GONE = {481, 506}
"""Answers after which the session can't go on (C-RSP-09)."""
_REFUSALS = {403, 413, 415}
"""Reports that refuse one message; any other failure report ends the session (C-RSP-05)."""


class MsrpConnection:
    """The protocol on one connection: framing, binding, answers, reports, timers.

    ``sessions`` is shared by all connections of a listener. ``wake`` is called, once until :meth:`data_to_send` has
    handed out everything, when there is something to send. ``local`` is our URI where no session is concerned.
    ``secure`` tells whether the transport is TLS: then only sessions of ``msrps`` URIs are found here, else only those
    of ``msrp`` URIs (C-SET-04).
    """

    def __init__(
        self,
        sessions: SessionTable,
        now: float,
        *,
        wake: Callable[[], None] | None = None,
        local: str = "msrp://unknown.invalid:2855;tcp",
        secure: bool = False,
    ) -> None:
        self.bound: dict[str, MsrpSession] = {}
        """The sessions on this connection by their own URI."""
        self.is_closing = False
        """The transport is to be closed when :meth:`data_to_send` has nothing more."""
        self.error: SipstackError | None = None
        """Why, if the peer is to blame."""
        self.faults = 0
        """Malformed requests so far, answered or not (C-BAD-11)."""
        self.on_response: Callable[[MsrpResponse], None] | None = None
        """Given the responses to what went out by :meth:`send_frame`."""
        self.linger = LINGER
        """Seconds that the connection outlives its last session."""
        self.is_held = False
        """The connection leads to a relay of ours: late messages to past sessions are no reason to close it."""
        self._sessions = sessions
        self._local = local
        self._secure = secure
        self._parser = ChunkParser()
        self._outbox = Outbox(wake)
        self._events: deque[Event] = deque()
        self._faults_in_a_row = 0
        # The chunk that is coming in was answered before its end: nothing more is said about it.
        self._answered: str | None = None
        # timers
        self.partials = PartialTimers()
        self._idle_deadline: float | None = now + UNCLAIMED_TIMEOUT

    # What drives it

    def receive_data(self, data: bytes, now: float, limit: float = inf) -> bool:
        """Take bytes off the wire and what is in them: ``limit`` frames or pieces of them at most.

        Return whether there may be more: then call again, without bytes.
        """
        if self.is_closing:
            return False
        parser = self._parser
        if data:
            parser.receive_data(data)
        count = 0
        try:
            while count < limit and (frame := parser.next_frame()) is not None:
                self._handle(frame, now)
                if self.is_closing:
                    return False
                count += 1
        except ParseError as error:
            if isinstance(error.message, BadRequest):
                self._receive_bad_request(error.message)
            self._give_up(error)
        if self._outbox.unread > MAX_UNREAD:
            self._give_up(ConnectionClosed("the MSRP peer sends, but does not read what it is answered"))
        return count == limit

    @property
    def dropped(self) -> int:
        """Responses and reports so far that were malformed or too large and, as nobody answers those, ignored."""
        return self._parser.dropped

    def receive_eof(self, error: SipstackError | None = None) -> None:
        """Take notice that the transport is gone: every session on it has failed (C-SET-05)."""
        self.is_closing = True
        self._outbox.clear()
        reason = error or self.error or ConnectionClosed("the MSRP connection is closed")
        for session in tuple(self.bound.values()):
            self._fail_session(session, reason)

    def next_event(self) -> Event | None:
        """Return what happened, oldest first; None when all is told."""
        return self._events.popleft() if self._events else None

    def data_to_send(self, now: float) -> bytes:
        """Return the next bytes for the wire, some tens of KiB at most; ``b""`` when there is nothing."""
        return b"".join(self._outbox.data_to_send(now))

    def pieces_to_send(self, now: float) -> list[bytes]:
        """Return what :meth:`data_to_send` does, not joined: for transports that can write the octets of a file so."""
        return self._outbox.data_to_send(now)

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` wants to be called."""
        deadlines = self._outbox.get_timer(), self.partials.get_timer(), self._idle_deadline
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``."""
        for message in self._outbox.expired(now):
            # A 408 from a relay and our own timeout are the same thing (:rfc:`4975#section-10.4`).
            self._fail_message(message, 408)
        self._outbox.go_on(now)
        for reception, message_id in self.partials.expired(now):
            reception.expire(message_id, self)
        if self._idle_deadline is not None and self._idle_deadline <= now:
            self._idle_deadline = None
            self.is_closing = True

    # Sessions

    def attach(self, session: MsrpSession) -> None:
        """Bind ``session`` to this connection."""
        session.connection = self
        self.bound[session.local] = session
        self._idle_deadline = None
        if session.reception is not None:
            self.partials.add_all(session.reception)
        if session.opened and session.queue:
            # What was sent while the peer had not connected yet.
            self.add_ready(session)

    def detach(self, session: MsrpSession, now: float) -> None:
        """Let go of ``session``; a chunk of it under way is aborted."""
        if self.bound.pop(session.local, None) is None:
            return
        session.connection = None
        self._outbox.remove(session)
        if not self.bound:
            self._idle_deadline = now + self.linger

    def interrupt(self, session: MsrpSession) -> None:
        """Send nothing more of ``session``, whose messages another one goes on with; what comes is still its."""
        self._outbox.remove(session, resumed=True)

    def hold(self, now: float) -> None:
        """Take the connection for one to a relay of ours, which lives longer and is asked for a path first."""
        self.is_held = True
        self.linger = OWN_RELAY_LINGER
        if not self.bound:
            self._idle_deadline = now + self.linger

    def send_frame(self, frame: bytes) -> None:
        """Queue a whole request that is no SEND; its answer goes to ``on_response``."""
        self._outbox.add_frame(frame)

    # What sessions and messages call

    def add_ready(self, session: MsrpSession) -> None:
        """Note that ``session`` has something queued."""
        self._outbox.add_ready(session)

    def stop(self, message: OutgoingMessage) -> None:
        """Take ``message`` out of its queue and have the peer drop what it got of it."""
        self._outbox.stop(message, announce=True)

    def tell(self, message: OutgoingMessage) -> None:
        """Make the new state of ``message`` an event."""
        if message.on_done is not None:
            self._events.append(message)
            self._outbox.wake()

    def note(self, reason: str) -> None:
        """Make it an event that the peer broke a rule of which it needs no answer (C-BAD-05)."""
        self._events.append(FaultNoted(reason))

    def tell_end(self, stream: IncomingStream, error: Exception | None) -> None:
        """Make the end of ``stream`` an event."""
        if stream.on_end is not None:
            self._events.append(StreamEnded(stream, error))
            self._outbox.wake()

    def answer(
        self,
        transaction_id: str,
        from_path: str,
        local: str,
        failure_report: FailureReport,
        status: int,
        comment: str = "",
    ) -> None:
        """Send the response to a SEND whose From-Path was ``from_path``, if the sender wants it (C.4, table)."""
        # Responses to SEND go to the previous hop only (:rfc:`4975#section-7.2`, C-RSP-06).
        self._respond(transaction_id, from_path.partition(" ")[0], local, failure_report, status, comment)

    def _respond(
        self, transaction_id: str, to_path: str, local: str, failure_report: FailureReport, status: int, comment: str
    ) -> None:
        if failure_report == "no" or (failure_report == "partial" and status < 300) or self.is_closing:
            return
        comment = comment or REASONS.get(status, "")
        self._outbox.add_frame(
            f"MSRP {transaction_id} {status}{' ' if comment else ''}{comment}\r\n"
            f"To-Path: {to_path}\r\nFrom-Path: {local}\r\n-------{transaction_id}$\r\n".encode()
        )

    def send_report(
        self,
        session: MsrpSession,
        to_path: str,
        message_id: str,
        size: int,
        status: int = 200,
        *,
        total: int | None = None,
    ) -> None:
        """Send one REPORT about the first ``size`` octets of a message to all hops it came by (C-RSP-03).

        ``total``: octets of the whole message, if these are not all.
        """
        if self.is_closing or session.connection is not self:
            return
        transaction_id, comment, total = ids.msrp_transaction_id(), REASONS.get(status, ""), total or size
        report = Report(transaction_id, to_path, session.local, message_id, 1, size, total, "000", status, comment)
        self._outbox.add_frame(bytes(report))

    # Frames

    def _handle(self, frame: Frame, now: float) -> None:
        if isinstance(frame, Chunk):
            self._receive_chunk(frame, now)
        elif isinstance(frame, MsrpResponse):
            self._receive_response(frame)
        elif isinstance(frame, Report):
            self._receive_report(frame)
        elif isinstance(frame, BadRequest):
            self._receive_bad_request(frame)
        else:
            self._receive_other(frame)

    def _receive_chunk(self, chunk: Chunk, now: float) -> None:
        if chunk.transaction_id == self._answered:
            if chunk.flag:
                self._answered = None
            return
        session = self._session_of(chunk)
        if session is None:
            return
        self._faults_in_a_row = 0
        outcome = session.receive_chunk(chunk, self, now)
        if isinstance(outcome, IncomingMessage):
            self._events.append(outcome)
        elif outcome:
            self._refuse_or_confirm(chunk, session.local, outcome)

    def _refuse_or_confirm(self, chunk: Chunk, local: str, status: int) -> None:
        self.answer(chunk.transaction_id, chunk.from_path, local, chunk.failure_report, status)
        if not chunk.flag:
            self._answered = chunk.transaction_id

    def _session_of(self, chunk: Chunk) -> MsrpSession | None:
        """Return the session that ``chunk`` belongs to, bound by it if need be; None when an error was answered."""
        session = self.bound.get(chunk.to_path)
        if session is not None and chunk.from_path == session.known_from_path:
            return session
        try:
            parse_path(chunk.from_path)
            found = session or self._sessions.find(chunk.to_path)
        except ParseError as error:
            self._receive_bad_request(chunk.fault(str(error), isinstance(error, MessageTooLarge)))
            if not chunk.flag:
                self._answered = chunk.transaction_id
            return None
        if found is None or found.local_uri.secure != self._secure:
            self._refuse_or_confirm(chunk, chunk.to_path.partition(" ")[0], 481)
            if not self.bound and not self.is_held:
                # Nobody who was invited comes with a session that doesn't exist (C-SET-07).
                self._give_up(UnexpectedMessage(f"no MSRP session {chunk.to_path}"))
            return None
        if found.connection is None:
            self.attach(found)
            self._events.append(SessionBound(found))
        elif found.connection is not self:
            self._refuse_or_confirm(chunk, found.local, 506)
            return None
        found.known_from_path = chunk.from_path
        return found

    def _receive_response(self, response: MsrpResponse) -> None:
        message = self._outbox.settle(response.transaction_id)
        if message is None and self.on_response is not None:
            self.on_response(response)
        if message is None or response.status < 200 or message.state is FAILED or message.state is UNKNOWN:
            return
        session = message.session
        if session.closed:
            return
        if response.status >= 300:
            self._fail_message(message, response.status)
            if response.status in _SESSION_GONE:
                self._fail_session(session, _refused(response.status, response.comment))
            return
        if message.unanswered is not None:
            message.unanswered.pop(response.transaction_id, None)
            if message.on_progress is not None:
                self._events.append(ChunkConfirmed(message))
        if message.state is PENDING and message.written == message.size and not message.outstanding:
            # Behind relays a 200 is from the next hop only.
            if message.reported or not (session.relayed and message.success_report):
                session.settle(message, SENT, response.status)

    def _receive_report(self, report: Report) -> None:
        session = self.bound.get(report.to_path)
        message = None if session is None else session.find_message(report.message_id)
        if session is None or message is None or report.namespace != "000" or message.state is FAILED:
            return
        if report.status >= 300:
            self._fail_message(message, report.status)
            if report.status not in _REFUSALS:
                self._fail_session(session, _refused(report.status, report.comment))
            return
        if message.reported:
            return
        if not message.confirm(report.start, report.end):
            if session.relayed:
                self._outbox.reported(message)
            return
        message.reported = True
        if message.outstanding and message.state is PENDING:
            self.tell(message)
        else:
            session.settle(message, SENT, report.status)

    def _receive_bad_request(self, request: BadRequest) -> None:
        local = (request.to_path or self._local).partition(" ")[0]
        self._respond(request.transaction_id, back_to(request), local, request.failure_report, 400, "")
        self.faults += 1
        self._faults_in_a_row += 1
        self._events.append(FaultNoted(request.reason))
        if request.over_limit:
            self._give_up(MessageTooLarge("MSRP request", request.reason, status=400))
        elif self._faults_in_a_row >= MAX_FAULTS:
            self._give_up(RemoteProtocolError(f"{MAX_FAULTS} malformed MSRP requests in a row: {request.reason}"))

    def _receive_other(self, request: OtherRequest) -> None:
        local = request.to_path.partition(" ")[0]
        self._respond(request.transaction_id, back_to(request), local, request.failure_report, 501, "")

    # Endings

    def _fail_message(self, message: OutgoingMessage, status: int) -> None:
        """Decide against ``message`` by an error response, a report or a timeout, and stop sending it (C-RSP-07)."""
        session = message.session
        if session.queue is not None and message in session.queue:
            self._outbox.stop(message, announce=False)
        session.settle(message, UNKNOWN if status == 408 else FAILED, status)

    def _fail_session(self, session: MsrpSession, error: SipstackError) -> None:
        del self.bound[session.local]
        self._outbox.remove(session)
        if not session.keeps_messages:
            for message in session.close():
                self.tell(message)
        session.connection = None
        self._events.append(SessionFailed(session, error))
        self._outbox.wake()

    def _give_up(self, error: SipstackError) -> None:
        self.error = error
        self.is_closing = True
        self._outbox.wake()


def _refused(status: int, comment: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"MSRP {status} {comment or REASONS.get(status, '')}".rstrip(), status=status)
