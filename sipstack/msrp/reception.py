"""The receiving half of a session: unfinished messages, and those that were done lately (:rfc:`4975#section-7.3.1`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sipstack.errors import MessageTooLarge, SipstackError, TransactionTimeout

from .chunk import Chunk, FailureReport
from .message import IncomingMessage
from .reassembly import Assembly
from .stream import IncomingStream

if TYPE_CHECKING:
    from .connection import MsrpConnection
    from .session import MsrpSession

MAX_PARTIALS = 8
"""Messages of which only some chunks are there, a session: nobody mixes more, and each holds memory."""
PARTIAL_TIMEOUT = 60.0
"""Seconds without a chunk after which an unfinished message is dropped (C-BR-11, C-BAD-13)."""
RECENT = 8
"""Messages, each way, whose ids are remembered after they are done: repetitions and late reports refer to them."""

_EXPIRED = 0
"""Outcome of a message whose sender had stopped for too long: it may only begin again."""


class Reception:
    """What has come in on a session; made with its first chunk, as most sessions are idle."""

    __slots__ = ("_partials", "_recent", "session")

    def __init__(self, session: MsrpSession) -> None:
        self.session = session
        self._partials: dict[str, Assembly] = {}
        self._recent: dict[str, IncomingMessage | int] = {}

    def receive(self, chunk: Chunk, connection: MsrpConnection, now: float) -> IncomingMessage | int:
        """Take a chunk or a piece of one; return the message that it completes, else the code to answer with.

        0 means that there is nothing to answer yet.
        """
        message_id, flag = chunk.message_id, chunk.flag
        known = self._recent.get(message_id)
        if known is not None:
            if not isinstance(known, int):
                if flag:
                    known.repeated(chunk, self.session, connection)
                return 0
            if flag == "#":
                return 200
            if known != _EXPIRED:
                if flag == "$" and known < 300 and chunk.success_report:
                    # A success has to be acknowledged for duplicates too (:rfc:`4975#section-5.4`).
                    size = chunk.start - 1 + len(chunk.body)
                    connection.send_report(self.session, chunk.from_path, message_id, size)
                return known if flag or known >= 300 else 0
            if chunk.start > 1:
                # What came before is gone: the sender has to learn that it sends in vain (C-BR-11).
                return 413
            del self._recent[message_id]
        limit = self.session.max_size
        if chunk.start - 1 + len(chunk.body) > limit or (chunk.total or 0) > limit:
            return self._refuse(chunk, connection, MessageTooLarge("MSRP message", f"exceeds {limit} octets"))
        partial = self._partials.get(message_id)
        if partial is None and chunk.start == 1 and flag == "$":
            if chunk.content_type is None:
                return 400 if chunk.body else 200
            if self.session.on_stream is None:
                return self._complete(chunk, chunk, chunk.body, connection)
        return self._reassemble(chunk, partial, connection, now)

    def _reassemble(
        self, chunk: Chunk, partial: Assembly | None, connection: MsrpConnection, now: float
    ) -> IncomingMessage | int:
        message_id, flag = chunk.message_id, chunk.flag
        if flag == "#":
            # The sender has given up: so do we, and the transaction is a success nevertheless (C-BR-08).
            self._drop(message_id, connection, None)
            return 200
        if partial is not None and now - partial.touched > PARTIAL_TIMEOUT:
            self.expire(message_id, connection)
            return self.receive(chunk, connection, now)
        if partial is None:
            begun = self._begin(chunk, connection, now)
            if isinstance(begun, int):
                return begun
            partial = begun
        try:
            partial.add(chunk, now)
        except (SipstackError, OSError) as error:
            return self._refuse(chunk, connection, error)
        if chunk.total is not None and chunk.total != partial.announced:
            if partial.announced is not None:
                connection.note(f"message {message_id} has {chunk.total} octets now, {partial.announced} before")
            partial.announced = chunk.total
        if self._partials.get(message_id) is not partial:
            # Its owner has just stopped it.
            return self.receive(chunk, connection, now)
        if sum(other.held for other in self._partials.values()) > 2 * self.session.max_size:
            # Two of the largest messages may be under way at a time, not eight.
            return self._refuse(chunk, connection, MessageTooLarge("MSRP messages", "fill the memory"))
        if not flag or not partial.is_complete:
            if partial.success_report and self.session.relayed and (size := partial.due_report()):
                # So that it knows how much the relays between us have to keep (:rfc:`4975#section-7.1.3`).
                connection.send_report(self.session, chunk.from_path, message_id, size, total=partial.announced)
            return 200 if flag else 0
        del self._partials[message_id]
        if partial.content_type is None:
            return 400
        # The message may wait long for its answer, which needs the chunk's headers only.
        chunk.body = b""
        stream = partial if isinstance(partial, IncomingStream) else None
        return self._complete(chunk, partial, partial.take(), connection, stream)

    def _begin(self, chunk: Chunk, connection: MsrpConnection, now: float) -> Assembly | int:
        """Return where the octets of a new message go, or the code that refuses it."""
        if len(self._partials) >= MAX_PARTIALS:
            return self._turn_down(chunk, 413)
        partial: Assembly
        if self.session.on_stream is None:
            partial = Assembly(chunk, now)
        elif chunk.content_type is None:
            # Nobody can tell what it is, and it begins (:rfc:`4975#section-7.1`: a body has its Content-Type).
            return 400
        else:
            partial = stream = IncomingStream(self, chunk, now)
            sink = self.session.on_stream(stream)
            if isinstance(sink, int):
                return self._turn_down(chunk, sink)
            stream.sink = sink
        self._partials[chunk.message_id] = partial
        connection.partials.add(self, chunk.message_id, now)
        return partial

    def _complete(
        self,
        last: Chunk,
        source: Chunk | Assembly,
        body: bytes,
        connection: MsrpConnection,
        stream: IncomingStream | None = None,
    ) -> IncomingMessage:
        message = IncomingMessage(self, last, source, body, connection, stream)
        self._remember(last.message_id, message)
        return message

    def answered(self, message: IncomingMessage, code: int) -> None:
        """Remember an accepted message by its id only; a refused one may be tried again."""
        if self._recent.get(message.message_id) is message:
            if code < 300:
                self._recent[message.message_id] = code
            else:
                del self._recent[message.message_id]

    def failed(self, message: IncomingMessage) -> None:
        """Forget that a message was accepted: it may be tried again."""
        self._recent.pop(message.message_id, None)

    def stop(self, stream: IncomingStream, code: int) -> None:
        """Take no more of ``stream``: the answer to what comes of it is ``code``."""
        if self._partials.get(stream.message_id) is stream:
            del self._partials[stream.message_id]
            self._remember(stream.message_id, code)
            self.report(stream.message_id, stream.failure_report, stream.received, code)

    def report(self, message_id: str, failure_report: FailureReport, size: int, code: int) -> None:
        """Tell the sender behind relays of an error: responses go to the previous hop only, and Kamailio's relay, for
        one, makes no report of them (:rfc:`4975#section-7.1.4`)."""
        session = self.session
        if session.relayed and session.connection is not None and session.remote and failure_report != "no":
            session.connection.send_report(session, session.remote, message_id, size, code)

    def _refuse(self, chunk: Chunk, connection: MsrpConnection, error: Exception) -> int:
        self._drop(chunk.message_id, connection, error)
        return self._turn_down(chunk, 413)

    def _turn_down(self, chunk: Chunk, code: int) -> int:
        """Remember what all further chunks of a message are answered with, and return it."""
        self._remember(chunk.message_id, code)
        self.report(chunk.message_id, chunk.failure_report, chunk.start - 1 + len(chunk.body), code)
        return code

    def _remember(self, message_id: str, outcome: IncomingMessage | int) -> None:
        self._recent[message_id] = outcome
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    # Unfinished messages

    def touched(self, message_id: str) -> float | None:
        """Return when a chunk of an unfinished message came last, None when there is no such message."""
        partial = self._partials.get(message_id)
        return None if partial is None else partial.touched

    def __iter__(self) -> Iterator[str]:
        """Yield the Message-IDs of unfinished messages."""
        return iter(tuple(self._partials))

    def progress(self) -> list[tuple[str, int]]:
        """Return how many octets there are of each unfinished message."""
        return [(message_id, partial.ranges.size) for message_id, partial in self._partials.items()]

    def expire(self, message_id: str, connection: MsrpConnection) -> None:
        """Forget an unfinished message of which nothing came for too long."""
        self._drop(message_id, connection, TransactionTimeout("the peer has stopped in the middle of a message"))
        self._remember(message_id, _EXPIRED)

    def _drop(self, message_id: str, connection: MsrpConnection, error: Exception | None) -> None:
        partial = self._partials.pop(message_id, None)
        if isinstance(partial, IncomingStream):
            connection.tell_end(partial, error)

    def clear(self, error: Exception) -> None:
        """Forget all unfinished messages: the session is over, and nobody goes on with it."""
        partials, self._partials = self._partials, {}
        for partial in partials.values():
            if isinstance(partial, IncomingStream) and partial.on_end is not None:
                partial.on_end(error)


class PartialTimers:
    """When the unfinished messages on one connection have waited too long for their next chunk."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        # All wait equally long; a chunk that comes in time is noticed when its message is due.
        self._due: deque[tuple[float, Reception, str]] = deque()

    def add(self, reception: Reception, message_id: str, touched: float) -> None:
        """Watch a message of which a chunk came at ``touched``."""
        self._due.append((touched + PARTIAL_TIMEOUT, reception, message_id))

    def add_all(self, reception: Reception) -> None:
        """Watch the messages that a session has of a former one."""
        for message_id in reception:
            self.add(reception, message_id, reception.touched(message_id) or 0.0)

    def get_timer(self) -> float | None:
        """Return when to look next."""
        return self._due[0][0] if self._due else None

    def expired(self, now: float) -> Iterator[tuple[Reception, str]]:
        """Yield the messages of which nothing came for too long."""
        due = self._due
        while due and due[0][0] <= now:
            _, reception, message_id = due.popleft()
            touched = reception.touched(message_id)
            if touched is not None and touched + PARTIAL_TIMEOUT > now:
                self.add(reception, message_id, touched)
            elif touched is not None:
                yield reception, message_id
