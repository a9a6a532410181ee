"""Messages as the two ends of a session see them: whole, whatever chunks they travel in."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from sipstack.errors import LocalProtocolError

from .chunk import Chunk, FailureReport
from .reassembly import MAX_RANGES, Assembly, Ranges

if TYPE_CHECKING:
    from .connection import MsrpConnection
    from .reception import Reception
    from .session import MsrpSession
    from .stream import IncomingStream, Source


class MessageState(Enum):
    """What is known of a message that we send."""

    PENDING = "pending"
    """Not all of it is answered for."""
    SENT = "sent"
    """The peer has it: every chunk got its 200; behind relays, if asked for, the success report came too."""
    FAILED = "failed"
    """It surely did not arrive: refused by the peer, or never written."""
    UNKNOWN = "unknown"
    """Written, but the answer did not come in time or the connection broke. A later report may tell."""


# By short names, as they are compared several times a message: before Python 3.12 looking up a member takes long.
PENDING, SENT, FAILED, UNKNOWN = MessageState.PENDING, MessageState.SENT, MessageState.FAILED, MessageState.UNKNOWN


class OutgoingMessage:
    """A message on its way out. Made by :meth:`MsrpSession.send` and :meth:`MsrpSession.send_stream`."""

    __slots__ = (
        "ahead",
        "body",
        "content_type",
        "error",
        "failure_report",
        "is_control",
        "is_stalled",
        "message_id",
        "on_done",
        "on_progress",
        "outstanding",
        "ranges",
        "reported",
        "session",
        "size",
        "source",
        "state",
        "status",
        "success_report",
        "tag",
        "unanswered",
        "was_written",
        "written",
    )

    def __init__(
        self,
        session: MsrpSession,
        message_id: str,
        content_type: str | None,
        body: bytes,
        *,
        source: Source | None = None,
        start: int = 1,
        success_report: bool = False,
        failure_report: FailureReport = "yes",
        is_control: bool = False,
        on_done: Callable[[OutgoingMessage], None] | None = None,
        on_progress: Callable[[OutgoingMessage], None] | None = None,
        tag: Any = None,
    ) -> None:
        self.session = session
        self.message_id = message_id
        self.content_type = content_type
        """None for a SEND without content, which only shows that we are there."""
        self.body = body
        """Given up as soon as the message is decided."""
        self.source = source
        """Where the octets come from when they are not in ``body``."""
        self.size = len(body) if source is None else source.size
        self.success_report = success_report
        self.failure_report: FailureReport = failure_report
        self.is_control = is_control
        """It is no payload: the direction of the medium does not concern it (C-SES-05)."""
        self.state = PENDING
        self.status: int | None = None
        """MSRP code that decided the state; None while pending and where no peer decided anything."""
        self.error: Exception | None = None
        """Why the source had no more octets, if it hadn't."""
        self.reported = False
        """A success report that covers every octet has come."""
        self.on_done = on_done
        """Called at each change of ``state``, and when ``reported`` becomes true."""
        self.on_progress = on_progress
        """Called when a chunk is answered with success; see ``confirmed``."""
        self.tag = tag
        """For the owner's own use."""
        # how far the connection got
        self.written = start - 1
        """Octets that are written, counted from the first of the message."""
        self.was_written = start > 1
        """Some octet was written, so that the peer may have the message."""
        self.outstanding = 0
        self.unanswered: dict[str, int] | None = None
        """Transaction id → position of its first octet, for chunks of large messages that are not confirmed."""
        self.is_stalled = False
        """The source has nothing now."""
        self.ranges: Ranges | None = None
        """Octets that the peer has reported on."""
        self.ahead: int | None = None
        """How many octets may be written beyond those that are reported on; None while the peer has not shown that it
        reports before the end."""

    def __repr__(self) -> str:
        return f"<OutgoingMessage {self.message_id} {self.state.value} {self.written}/{self.size}>"

    @property
    def confirmed(self) -> int:
        """Octets, from the first on, that were answered for: where to go on after a lost connection (C-SET-05)."""
        return next(iter(self.unanswered.values())) if self.unanswered else self.written

    @property
    def reach(self) -> int:
        """Octets, from the first on, that may be written now."""
        if self.ahead is None or self.ranges is None:
            return self.size
        return min(self.size, self.ranges.prefix + self.ahead)

    def confirm(self, start: int | None, end: int | None) -> bool:
        """Take a success report about octets from ``start`` to ``end``, counted from 1; None: the first and the last.

        Return whether every octet is reported on now. Reports in more pieces than a sane peer makes are forgotten.
        """
        if self.ranges is None or len(self.ranges) > MAX_RANGES:
            self.ranges = Ranges()
        self.ranges.add((start or 1) - 1, self.size if end is None else min(end, self.size))
        return self.written == self.size and self.ranges.cover(self.size)

    def cancel(self) -> None:
        """Stop sending (C-BR-08). Without effect when the last octet is written already."""
        self.session.cancel(self)

    def read(self, limit: int) -> bytes | None:
        """Return the octets to be written next, ``limit`` at most; None when the source has none yet.

        Raise what the source raises, and :exc:`LocalProtocolError` when it breaks its contract.
        """
        if self.source is None:
            return self.body[self.written : self.written + limit]
        octets = self.source.read(self.written, limit)
        if octets is None:
            return None
        if not 0 < len(octets) <= limit:
            raise LocalProtocolError(f"the source gave {len(octets)} octets where 1 to {limit} were asked for")
        return octets if isinstance(octets, bytes) else bytes(octets)

    def resume_at(self, *, relayed: bool) -> int:
        """Return behind how many octets another session goes on; a relay confirms nothing but by reports."""
        confirmed = 0 if self.unanswered is None else self.confirmed
        if relayed:
            confirmed = 0 if self.ranges is None else self.ranges.prefix
        return confirmed if confirmed < self.size else 0

    def rewind(self, *, relayed: bool) -> None:
        """Begin again behind what is confirmed."""
        self.written = self.resume_at(relayed=relayed)
        self.unanswered = None
        self.outstanding = 0
        self.is_stalled = False

    def release(self) -> None:
        """Let go of the octets: none of them will be written any more."""
        self.body = b""
        self.source = None


class IncomingMessage:
    """A whole message from the peer. Exactly one of :meth:`accept` and :meth:`reject` must be called, now or later."""

    __slots__ = (
        "_answered",
        "_reception",
        "_transactions",
        "body",
        "content_type",
        "failure_report",
        "headers",
        "message_id",
        "session",
        "size",
        "stream",
        "success_report",
    )

    def __init__(
        self,
        reception: Reception,
        last: Chunk,
        source: Chunk | Assembly,
        body: bytes,
        connection: MsrpConnection,
        stream: IncomingStream | None = None,
    ) -> None:
        self.session = reception.session
        self.message_id = last.message_id
        self.content_type = source.content_type or ""
        """As on the wire, with its parameters."""
        self.body = body
        """Empty when the octets went to a sink."""
        self.stream = stream
        """By which the octets came if they went to a sink."""
        self.size = len(body) if stream is None else stream.total or 0
        """Octets of the message."""
        self.success_report = source.success_report
        self.failure_report: FailureReport = source.failure_report
        self.headers = source.headers
        """Headers of the first chunk that this stack doesn't interpret."""
        self._answered = False
        self._reception = reception
        # The chunk that completed the message, and repetitions that came before our answer, maybe by another session.
        self._transactions = [(last, self.session, connection)]

    def __repr__(self) -> str:
        return f"<IncomingMessage {self.message_id} {self.content_type} {self.size} octets>"

    def accept(self) -> None:
        """Answer 200 and send the success report, each if it is wanted (:rfc:`4975#section-7.1.3`)."""
        self._answer(200, "")
        if self.success_report:
            chunk, session, connection = self._transactions[-1]
            connection.send_report(session, chunk.from_path, self.message_id, self.size)

    def reject(self, code: int, comment: str = "") -> None:
        """Answer with the error ``code`` unless the sender wants to hear nothing (H-12)."""
        if code < 300:
            raise LocalProtocolError(f"{code} is not an error code")
        self._answer(code, comment)
        self._reception.report(self.message_id, self.failure_report, self.size, code)

    def report_failure(self, code: int) -> None:
        """Take back an :meth:`accept`: what came behind it failed. The sender may try the message again.

        Report the error ``code`` unless the sender wants no reports of failure (:rfc:`4975#section-7.1.4`).
        """
        if code < 300:
            raise LocalProtocolError(f"{code} is not an error code")
        self._reception.failed(self)
        if self.failure_report != "no":
            chunk, session, connection = self._transactions[-1]
            connection.send_report(session, chunk.from_path, self.message_id, self.size, code)

    def repeated(self, chunk: Chunk, session: MsrpSession, connection: MsrpConnection) -> None:
        """Note that the same message came again; its answer is to be the same."""
        self._transactions.append((chunk, session, connection))

    def _answer(self, code: int, comment: str) -> None:
        if self._answered:
            raise LocalProtocolError(f"message {self.message_id} is answered already")
        self._answered = True
        self._reception.answered(self, code)
        for chunk, session, connection in self._transactions:
            connection.answer(chunk.transaction_id, chunk.from_path, session.local, self.failure_report, code, comment)
