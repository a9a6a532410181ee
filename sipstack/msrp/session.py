"""One MSRP conversation: what it sends in order, what it has received of it (:rfc:`4975#section-5`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sipstack import ids
from sipstack.errors import LocalProtocolError, MessageTooLarge

from .chunk import IDENT, Chunk, FailureReport, route_headers
from .mediatype import accepts, bare_type
from .message import IncomingMessage, MessageState, OutgoingMessage
from .reassembly import Assembly
from .relay import sdp_path
from .uri import MsrpUri

if TYPE_CHECKING:
    from .connection import MsrpConnection

MAX_PARTIALS = 8
"""Messages of which only some chunks are there, a session: nobody mixes more, and each holds memory."""
PARTIAL_TIMEOUT = 60.0
"""Seconds without a chunk after which an unfinished message is dropped (C-BR-11, C-BAD-13)."""
RECENT = 8
"""Messages, each way, whose ids are remembered after they are done: repetitions and late reports refer to them."""


class MsrpSession:
    """A session, by its own URI. Made by the hub, which connects it; the owner sends and is told what comes.

    Sending before the session is open queues. ``owner`` is whoever is to be told; this class never looks at it.
    """

    __slots__ = (
        "_messages",
        "_partials",
        "_recent",
        "_refused_types",
        "_welcome",
        "closed",
        "connection",
        "is_ready",
        "known_from_path",
        "local",
        "local_uri",
        "max_size",
        "opened",
        "outstanding",
        "owner",
        "queue",
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
        # learnt from the peer's SDP
        self.remote: str | None = None
        self.route = ""
        self.relayed = False
        self.remote_max_size: int | None = None
        self.remote_types: tuple[str, ...] | None = None
        # state
        self.opened = False
        self.closed = False
        self.connection: MsrpConnection | None = None
        self.known_from_path = ""
        # things to send; made when first needed, as most sessions are idle
        self.queue: deque[OutgoingMessage] | None = None
        self.is_ready = False
        self.outstanding = 0
        self._messages: dict[str, OutgoingMessage] | None = None
        self._refused_types: set[str] | None = None
        self._welcome = ""
        """Content type that the peer takes, as the last message showed."""
        # things received
        self._partials: dict[str, Assembly] | None = None
        self._recent: dict[str, IncomingMessage | int] | None = None

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
        for message in tuple(self.queue or ()):
            message.success_report |= self._needs_report(message)
            status = self._refusal(message)
            if status is not None and self.queue is not None:
                self.queue.remove(message)
                self.settle(message, MessageState.FAILED, status)
        self._offer_output()

    def adopt(self, former: MsrpSession) -> None:
        """Go on where a lost session stopped: its partial messages may be resumed here (C-BAD-13, C-BR-11)."""
        self._partials, former._partials = former._partials, None
        self._recent, former._recent = former._recent, None

    def close(self) -> list[OutgoingMessage]:
        """End the session and return the messages that it leaves undecided, now failed or unknown (C-RSP-11)."""
        self.closed = True
        messages = self._messages or {}
        self.queue = self._messages = None
        undecided = [message for message in messages.values() if message.state is MessageState.PENDING]
        for message in undecided:
            message.state = MessageState.UNKNOWN if message.written else MessageState.FAILED
            message.body = b""
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
        on_done: Callable[[OutgoingMessage], None] | None = None,
        tag: Any = None,
    ) -> OutgoingMessage:
        """Queue a message and return it; ``on_done`` is called when its state is decided, and again if that changes.

        ``content_type`` may have parameters. A message that the peer said it would not take (``max-size``,
        ``accept-types``, an earlier 415) fails at once with 413 or 415: then ``on_done`` is called in here.
        Behind relays a report of success is asked for in any case.
        Raise :exc:`LocalProtocolError` when the session is closed or an argument can't be written.
        """
        if self.closed:
            raise LocalProtocolError("the MSRP session is closed")
        if message_id is None:
            message_id = ids.message_id()
        elif IDENT.fullmatch(message_id) is None:
            raise LocalProtocolError(f"not a Message-ID: {message_id!r}")
        if "/" not in content_type or not content_type.isprintable():
            raise LocalProtocolError(f"not a content type: {content_type!r}")
        message = OutgoingMessage(
            self,
            message_id,
            content_type,
            body,
            success_report=success_report,
            failure_report=failure_report,
            on_done=on_done,
            tag=tag,
        )
        message.success_report |= self._needs_report(message)
        status = self._refusal(message)
        if status is not None:
            message.state, message.status, message.body = MessageState.FAILED, status, b""
            if on_done is not None:
                on_done(message)
            return message
        self._enqueue(message)
        return message

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
        if self._messages is None:
            self._messages = {}
        self._messages[message.message_id] = message
        self._offer_output()

    def cancel(self, message: OutgoingMessage) -> None:
        """Stop sending ``message`` (see :meth:`OutgoingMessage.cancel`)."""
        queue = self.queue
        if queue is None or message not in queue:
            return
        if self.connection is None:
            queue.remove(message)
        else:
            self.connection.stop(message)
        self.settle(message, MessageState.FAILED, None)

    def _refusal(self, message: OutgoingMessage) -> int | None:
        """Return the code with which the peer would answer, as far as it told us (C-BR-13, C-SES-04, C-RSP-09)."""
        if message.content_type is None:
            return None
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

    def _offer_output(self) -> None:
        if self.connection is not None and self.opened and self.queue:
            self.connection.add_ready(self)

    def settle(self, message: OutgoingMessage, state: MessageState, status: int | None) -> None:
        """Note what became of ``message`` and have its owner told."""
        message.state = state
        message.status = status
        message.body = b""
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
        messages = self._messages
        while messages is not None and len(messages) > RECENT:
            oldest = next(iter(messages))
            if messages[oldest].state is MessageState.PENDING:
                break
            del messages[oldest]

    def find_message(self, message_id: str) -> OutgoingMessage | None:
        """Return a message of ours that is on its way or was done lately."""
        return None if self._messages is None else self._messages.get(message_id)

    # Receiving

    def receive_chunk(self, chunk: Chunk, connection: MsrpConnection, now: float) -> IncomingMessage | int:
        """Take a chunk or a piece of one; return the message that it completes, else the code to answer with.

        0 means that there is nothing to answer yet.
        """
        message_id, flag = chunk.message_id, chunk.flag
        if self._recent is not None and message_id in self._recent:
            known = self._recent[message_id]
            if isinstance(known, int):
                return known if flag or known >= 300 else 0
            if flag:
                known.repeated(chunk.transaction_id)
            return 0
        size = chunk.start - 1 + len(chunk.body)
        if size > self.max_size or (chunk.total or 0) > self.max_size:
            return self._refuse(message_id)
        partial = None if self._partials is None else self._partials.get(message_id)
        if partial is None and chunk.start == 1 and flag == "$":
            if chunk.content_type is None:
                return 400 if chunk.body else 200
            return self._complete(chunk, chunk, chunk.content_type, chunk.body, connection)
        return self._reassemble(chunk, partial, connection, now)

    def _reassemble(
        self, chunk: Chunk, partial: Assembly | None, connection: MsrpConnection, now: float
    ) -> IncomingMessage | int:
        message_id, flag = chunk.message_id, chunk.flag
        if flag == "#":
            # The sender has given up: so do we, and the transaction is a success nevertheless (C-BR-08).
            self.drop_partial(message_id)
            return 200
        if partial is not None and now - partial.touched > PARTIAL_TIMEOUT:
            self.drop_partial(message_id)
            partial = None
        partials = self._partials
        if partials is None:
            partials = self._partials = {}
        if partial is None:
            if len(partials) >= MAX_PARTIALS:
                return self._refuse(message_id)
            partial = partials[message_id] = Assembly(chunk, now)
            connection.watch_partial(self, message_id, now)
        try:
            partial.add(chunk, now)
        except MessageTooLarge:
            return self._refuse(message_id)
        if sum(other.size for other in partials.values()) > 2 * self.max_size:
            # Two of the largest messages may be under way at a time, not eight.
            return self._refuse(message_id)
        if not flag or not partial.is_complete:
            return 200 if flag else 0
        self.drop_partial(message_id)
        if partial.content_type is None:
            return 400
        return self._complete(chunk, partial, partial.content_type, partial.take(), connection)

    def _complete(
        self, chunk: Chunk, source: Chunk | Assembly, content_type: str, body: bytes, connection: MsrpConnection
    ) -> IncomingMessage:
        message = IncomingMessage(
            self,
            chunk.message_id,
            content_type,
            body,
            success_report=source.success_report,
            failure_report=source.failure_report,
            headers=source.headers,
            transaction_id=chunk.transaction_id,
            from_path=chunk.from_path,
            connection=connection,
        )
        self._remember(chunk.message_id, message)
        return message

    def answered(self, message: IncomingMessage, code: int) -> None:
        """Remember an accepted message by its id only; a refused one may be tried again."""
        if self._recent is not None and self._recent.get(message.message_id) is message:
            if code < 300:
                self._recent[message.message_id] = code
            else:
                del self._recent[message.message_id]

    def _refuse(self, message_id: str) -> int:
        self.drop_partial(message_id)
        self._remember(message_id, 413)
        return 413

    def _remember(self, message_id: str, outcome: IncomingMessage | int) -> None:
        if self._recent is None:
            self._recent = {}
        self._recent[message_id] = outcome
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    def drop_partial(self, message_id: str) -> None:
        """Forget what came of an unfinished message."""
        if self._partials is not None:
            self._partials.pop(message_id, None)
            self._partials = self._partials or None

    def partial_touched(self, message_id: str) -> float | None:
        """Return when a chunk of an unfinished message came last, None when there is no such message."""
        partial = None if self._partials is None else self._partials.get(message_id)
        return None if partial is None else partial.touched
