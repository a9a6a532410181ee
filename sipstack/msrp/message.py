"""Messages as the two ends of a session see them: whole, whatever chunks they travel in."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from sipstack.errors import LocalProtocolError

from .chunk import FailureReport
from .reassembly import Ranges

if TYPE_CHECKING:
    from .connection import MsrpConnection
    from .session import MsrpSession


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


class OutgoingMessage:
    """A message on its way out. Made by :meth:`MsrpSession.send`."""

    __slots__ = (
        "body",
        "content_type",
        "failure_report",
        "message_id",
        "on_done",
        "outstanding",
        "ranges",
        "reported",
        "session",
        "size",
        "state",
        "status",
        "success_report",
        "tag",
        "written",
    )

    def __init__(
        self,
        session: MsrpSession,
        message_id: str,
        content_type: str | None,
        body: bytes,
        *,
        success_report: bool = False,
        failure_report: FailureReport = "yes",
        on_done: Callable[[OutgoingMessage], None] | None = None,
        tag: Any = None,
    ) -> None:
        self.session = session
        self.message_id = message_id
        self.content_type = content_type
        """None for a SEND without content, which only shows that we are there."""
        self.body = body
        """Given up as soon as the last octet is written."""
        self.size = len(body)
        self.success_report = success_report
        self.failure_report: FailureReport = failure_report
        self.state = MessageState.PENDING
        self.status: int | None = None
        """MSRP code that decided the state; None while pending and where no peer decided anything."""
        self.reported = False
        """A success report that covers every octet has come."""
        self.on_done = on_done
        """Called at each change of ``state``, and when ``reported`` becomes true."""
        self.tag = tag
        """For the owner's own use."""
        # how far the connection got
        self.written = 0
        self.outstanding = 0
        self.ranges: Ranges | None = None

    def __repr__(self) -> str:
        return f"<OutgoingMessage {self.message_id} {self.state.value} {self.written}/{self.size}>"

    def cancel(self) -> None:
        """Stop sending (C-BR-08). Without effect when the last octet is written already."""
        self.session.cancel(self)


class IncomingMessage:
    """A whole message from the peer. Exactly one of :meth:`accept` and :meth:`reject` must be called, now or later."""

    __slots__ = (
        "_answered",
        "_connection",
        "_transactions",
        "body",
        "content_type",
        "failure_report",
        "from_path",
        "headers",
        "message_id",
        "session",
        "success_report",
    )

    def __init__(
        self,
        session: MsrpSession,
        message_id: str,
        content_type: str,
        body: bytes,
        *,
        success_report: bool,
        failure_report: FailureReport,
        headers: tuple[tuple[str, str], ...],
        transaction_id: str,
        from_path: str,
        connection: MsrpConnection,
    ) -> None:
        self.session = session
        self.message_id = message_id
        self.content_type = content_type
        """As on the wire, with its parameters."""
        self.body = body
        self.success_report = success_report
        self.failure_report: FailureReport = failure_report
        self.headers = headers
        """Headers of the first chunk that this stack doesn't interpret."""
        self.from_path = from_path
        self._answered = False
        self._connection = connection
        # Of the chunk that completed the message, and of repetitions that came before our answer.
        self._transactions = [transaction_id]

    def __repr__(self) -> str:
        return f"<IncomingMessage {self.message_id} {self.content_type} {len(self.body)} octets>"

    def accept(self) -> None:
        """Answer 200 and send the success report, each if it is wanted (:rfc:`4975#section-7.1.3`)."""
        self._answer(200, "")
        if self.success_report:
            self._connection.send_report(self.session, self.from_path, self.message_id, len(self.body))

    def reject(self, code: int, comment: str = "") -> None:
        """Answer with the error ``code`` unless the sender wants to hear nothing (H-12)."""
        if code < 300:
            raise LocalProtocolError(f"{code} is not an error code")
        self._answer(code, comment)

    def repeated(self, transaction_id: str) -> None:
        """Note that the same message came again; its answer is to be the same."""
        self._transactions.append(transaction_id)

    def _answer(self, code: int, comment: str) -> None:
        if self._answered:
            raise LocalProtocolError(f"message {self.message_id} is answered already")
        self._answered = True
        self.session.answered(self, code)
        for transaction_id in self._transactions:
            self._connection.answer(
                transaction_id, self.from_path, self.session.local, self.failure_report, code, comment
            )
