"""One MSRP conversation: what it sends in order, what it has received of it (:rfc:`4975#section-5`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sipstack import ids
from sipstack.errors import LocalProtocolError

from .chunk import IDENT, Chunk, FailureReport, route_headers
from .mediatype import accepts, bare_type
from .message import FAILED, PENDING, UNKNOWN, IncomingMessage, MessageState, OutgoingMessage
from .reception import RECENT, Reception
from .relay import sdp_path
from .stream import IncomingStream, Sink, Source
from .uri import MsrpUri

if TYPE_CHECKING:
    from .connection import MsrpConnection


class MsrpSession:
    """A session, by its own URI. Made by the hub, which connects it; the owner sends and is told what comes.

    Sending before the session is open queues. ``owner`` is whoever is to be told; this class never looks at it.
    """

    __slots__ = (
        "_refused_types",
        "_welcome",
        "closed",
        "connection",
        "is_ready",
        "keeps_messages",
        "known_from_path",
        "local",
        "local_uri",
        "max_size",
        "messages",
        "may_send",
        "on_stream",
        "opened",
        "outstanding",
        "owner",
        "queue",
        "reception",
        "relayed",
        "remote",
        "remote_max_size",
        "remote_types",
        "route",
        "use_path",
    )

    def __init__(
        self, local_uri: MsrpUri, *, max_size: int, owner: Any = None, use_path: tuple[MsrpUri, ...] = ()
    ) -> None:
        self.owner = owner
        self.use_path = use_path
        """Our relays, nearest first (:rfc:`4976#section-5.1`)."""
        self.local_uri = local_uri
        self.local = str(local_uri)
        self.max_size = max_size
        """Octets of the largest message that we take (C-BR-13)."""
        self.on_stream: Callable[[IncomingStream], Sink | int] | None = None
        """Asked at the first octets of each message: a sink takes it, a code (413, 415) refuses it. None: messages are
        kept in memory until they are whole."""
        self.keeps_messages = False
        """A lost connection leaves messages undecided and the session open: its owner has another one take over what
        is there, or closes it."""
        # learnt from the peer's SDP
        self.remote: str | None = None
        self.route = ""
        self.relayed = False
        self.remote_max_size: int | None = None
        self.remote_types: tuple[str, ...] | None = None
        self.may_send = True
        """The direction of the medium lets us send payload (C-SES-05)."""
        # state
        self.opened = False
        self.closed = False
        self.connection: MsrpConnection | None = None
        self.known_from_path = ""
        # things to send; made when first needed, as most sessions are idle
        self.queue: deque[OutgoingMessage] | None = None
        self.is_ready = False
        self.outstanding = 0
        self.messages: dict[str, OutgoingMessage] | None = None
        """By Message-ID: those that are undecided, and a few that were decided last."""
        self._refused_types: set[str] | None = None
        self._welcome = ""
        """Content type that the peer takes, as the last message showed."""
        # things received
        self.reception: Reception | None = None
        """What has come in, if anything has."""

    def __repr__(self) -> str:
        return f"<MsrpSession {self.local}>"

    @property
    def local_path(self) -> tuple[MsrpUri, ...]:
        """What ``a=path`` of our SDP says."""
        return sdp_path(self.use_path, self.local_uri) if self.use_path else (self.local_uri,)

    @property
    def is_bound(self) -> bool:
        """Tell whether the session has its connection."""
        return self.connection is not None

    # Set-up

    def open(
        self,
        remote_path: Sequence[MsrpUri],
        *,
        max_size: int | None = None,
        accept_types: Sequence[str] | None = None,
    ) -> None:
        """Take over what the peer's SDP says. What was queued goes out as soon as there is a connection."""
        if self.closed:
            raise LocalProtocolError("the MSRP session is closed")
        to_path = (*self.use_path, *remote_path)
        self.remote = " ".join(map(str, to_path))
        self.route = route_headers(self.remote, self.local)
        self.relayed = len(to_path) > 1
        self.remote_max_size = max_size
        self.remote_types = None if accept_types is None else tuple(accept_types)
        self._welcome = ""
        self.opened = True
        self.check_queue()
        self.offer_output()

    def check_queue(self) -> None:
        """Fail what the peer would refuse, as it says now."""
        for message in tuple(self.queue or ()):
            message.success_report |= self._needs_report(message)
            status = self._refusal(message)
            if status is not None and self.queue is not None:
                self.queue.remove(message)
                self.settle(message, FAILED, status)

    def close(self) -> list[OutgoingMessage]:
        """End the session and return the messages that it leaves undecided, now failed or unknown (C-RSP-11)."""
        self.closed = True
        messages = self.messages or {}
        self.queue = self.messages = None
        undecided = [message for message in messages.values() if message.state is PENDING]
        for message in undecided:
            message.state = UNKNOWN if message.was_written else FAILED
            message.release()
        return undecided

    # Sending

    def send(
        self,
        body: bytes,
        content_type: str,
        *,
        message_id: str | None = None,
        success_report: bool = False,
        failure_report: FailureReport = "yes",
        is_control: bool = False,
        on_done: Callable[[OutgoingMessage], None] | None = None,
        tag: Any = None,
    ) -> OutgoingMessage:
        """Queue a message and return it; ``on_done`` is called when its state is decided, and again if that changes.

        ``content_type`` may have parameters. A message that the peer said it would not take (``max-size``,
        ``accept-types``, an earlier 415, a direction of the medium) fails at once with 413, 415 or 403: then
        ``on_done`` is called in here. ``is_control``: it is a notification or typing status, which no direction stops.
        Behind relays a report of success is asked for in any case.
        Raise :exc:`LocalProtocolError` when the session is closed or an argument can't be written.
        """
        message = OutgoingMessage(
            self,
            self._checked_id(content_type, message_id),
            content_type,
            body,
            success_report=success_report,
            failure_report=failure_report,
            is_control=is_control,
            on_done=on_done,
            tag=tag,
        )
        self._submit(message)
        return message

    def send_stream(
        self,
        source: Source,
        content_type: str,
        *,
        message_id: str | None = None,
        start: int = 1,
        success_report: bool = False,
        failure_report: FailureReport = "yes",
        on_done: Callable[[OutgoingMessage], None] | None = None,
        on_progress: Callable[[OutgoingMessage], None] | None = None,
        tag: Any = None,
    ) -> OutgoingMessage:
        """Queue a message whose octets are read from ``source`` when there is room on the wire; else like :meth:`send`.

        ``start``, counted from 1, resumes a message that the session adopted by the peer has the beginning of: give
        its ``message_id`` too, and go on behind its ``confirmed`` octets (C-SET-05).
        ``on_progress`` is called when a chunk has got its 200, if ``failure_report`` asks for them.
        """
        message = OutgoingMessage(
            self,
            self._checked_id(content_type, message_id),
            content_type,
            b"",
            source=source,
            start=start,
            success_report=success_report,
            failure_report=failure_report,
            on_done=on_done,
            on_progress=on_progress,
            tag=tag,
        )
        if not 1 <= start <= max(message.size, 1):
            raise LocalProtocolError(f"a message of {message.size} octets cannot begin at {start}")
        self._submit(message)
        return message

    def source_ready(self, message: OutgoingMessage) -> None:
        """Ask the source of ``message`` again, after it had nothing."""
        message.is_stalled = False
        self.offer_output()

    def _checked_id(self, content_type: str, message_id: str | None) -> str:
        if self.closed:
            raise LocalProtocolError("the MSRP session is closed")
        if "/" not in content_type or not content_type.isprintable():
            raise LocalProtocolError(f"not a content type: {content_type!r}")
        if message_id is None:
            return ids.message_id()
        if IDENT.fullmatch(message_id) is None:
            raise LocalProtocolError(f"not a Message-ID: {message_id!r}")
        return message_id

    def _submit(self, message: OutgoingMessage) -> None:
        """Queue ``message``, or fail it at once when the peer would refuse it."""
        message.success_report |= self._needs_report(message)
        status = self._refusal(message)
        if status is None:
            self._enqueue(message)
            return
        message.state, message.status = FAILED, status
        message.release()
        if message.on_done is not None:
            message.on_done(message)

    def _needs_report(self, message: OutgoingMessage) -> bool:
        """Tell whether nothing but a REPORT shows that the peer has a message: a relay answers for itself only."""
        return self.relayed and message.failure_report == "yes" and message.content_type is not None

    def send_empty(self) -> OutgoingMessage:
        """Queue a SEND without content, which binds the session to its connection (C-SET-01)."""
        message = OutgoingMessage(self, ids.message_id(), None, b"")
        self._enqueue(message)
        return message

    def _enqueue(self, message: OutgoingMessage) -> None:
        if self.queue is None:
            self.queue = deque()
        self.queue.append(message)
        if self.messages is None:
            self.messages = {}
        self.messages[message.message_id] = message
        self.offer_output()

    def cancel(self, message: OutgoingMessage) -> None:
        """Stop sending ``message`` (see :meth:`OutgoingMessage.cancel`)."""
        queue = self.queue
        if queue is None or message not in queue:
            return
        if self.connection is None:
            queue.remove(message)
        else:
            self.connection.stop(message)
        self.settle(message, FAILED, None)

    def _refusal(self, message: OutgoingMessage) -> int | None:
        """Return the code with which the peer would answer, as far as it told us (C-BR-13, C-SES-04, -05, C-RSP-09)."""
        if message.content_type is None:
            return None
        if not self.may_send and not message.is_control:
            return 403
        if self.remote_max_size is not None and message.size > self.remote_max_size:
            return 413
        if message.content_type == self._welcome or (self.remote_types is None and self._refused_types is None):
            return None
        media_type = bare_type(message.content_type)
        if self._refused_types is not None and media_type in self._refused_types:
            return 415
        if self.remote_types is not None and not accepts(self.remote_types, media_type):
            return 415
        self._welcome = message.content_type
        return None

    def offer_output(self) -> None:
        """Have the connection write what is queued, when there is one."""
        if self.connection is not None and self.opened and self.queue:
            self.connection.add_ready(self)

    def settle(self, message: OutgoingMessage, state: MessageState, status: int | None) -> None:
        """Note what became of ``message`` and have its owner told."""
        message.state = state
        message.status = status
        message.release()
        if status == 415 and message.content_type is not None:
            self._bar(bare_type(message.content_type))
        self._forget_oldest()
        if self.connection is not None:
            self.connection.tell(message)
        elif message.on_done is not None:
            message.on_done(message)

    def _bar(self, media_type: str) -> None:
        """Never send that type again (C-RSP-09). A wrapper is refused for what is in it: the next may hold another."""
        if media_type == "message/cpim" or media_type.startswith("multipart/"):
            return
        self._welcome = ""
        if self._refused_types is None:
            self._refused_types = set()
        self._refused_types.add(media_type)

    def _forget_oldest(self) -> None:
        messages = self.messages
        while messages is not None and len(messages) > RECENT:
            oldest = next(iter(messages))
            if messages[oldest].state is PENDING:
                break
            del messages[oldest]

    def find_message(self, message_id: str) -> OutgoingMessage | None:
        """Return a message of ours that is on its way or was done lately."""
        return None if self.messages is None else self.messages.get(message_id)

    # Receiving

    def receive_chunk(self, chunk: Chunk, connection: MsrpConnection, now: float) -> IncomingMessage | int:
        """Take a chunk or a piece of one; return the message that it completes, else the code to answer with, or 0."""
        reception = self.reception
        if reception is None:
            reception = self.reception = Reception(self)
        reception.session = self
        return reception.receive(chunk, connection, now)

    def partial_touched(self, message_id: str) -> float | None:
        """Return when a chunk of an unfinished message came last, None when there is no such message."""
        return None if self.reception is None else self.reception.touched(message_id)

    @property
    def has_partials(self) -> bool:
        """Tell whether there are unfinished messages of the peer."""
        return any(self.reception or ())

    def drop_partials(self, error: Exception) -> None:
        """Forget the unfinished messages of a session that is over and that no other one has adopted."""
        if self.reception is not None:
            self.reception.clear(error)
