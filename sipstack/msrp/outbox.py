"""The sending half of a connection: who may write next, what waits for an answer (:rfc:`4975#section-7.1`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from typing import cast

from sipstack import ids
from sipstack.errors import SipstackError

from .chunk import Flag, report_headers, send_head
from .message import FAILED, SENT, OutgoingMessage
from .session import MsrpSession

SMALL = 2048
"""Octets of body that may go out in one chunk that can't be interrupted (C-BR-02)."""
TURN = 8192
"""Octets that a session writes while another one waits for its turn (C-BR-04); never fewer than SMALL."""
MAX_CHUNK = 262_144
"""Octets of body of one chunk: each chunk is answered, which shows that the peer is alive long before the end."""
RELAY_CHUNK = 8192
"""The same where a relay is in the path: Kamailio drops frames of 11 kB and more without a word (C-RLY-05)."""
MAX_WRITE = 131_072
"""Octets after which a call of :meth:`Outbox.data_to_send` ends, so that the transport can push back."""
WINDOW = 32
"""Chunks of a session that may wait for their answers (C-RSP-08)."""
UNREPORTED = 524_288
"""Octets of a message that may be on their way to a peer behind relays, once it has reported on its beginning. A relay
has to keep what the peer is too slow for, and closes the connection when that is too much: Kamailio after 1 MiB in our
lab (``tcp_conn_wq_max``)."""
REPORT_PATIENCE = 30.0
"""Seconds that such a message waits for the next report before twice as many octets may be on their way: who reports
less often than we like must get everything too."""
MARK_SIZE = 7 + 32
"""Octets of a chunk that are remembered in case an end-line begins in them: dashes and the longest transaction id."""
RESPONSE_TIMEOUT = 30.0
"""Seconds from the last octet of a chunk to its answer (C-RSP-01)."""

_DASHES = b"-------"


class Outbox:
    """What a connection has to write, and the transactions that it waits for.

    Responses and reports go before anything else. Sessions take turns; a chunk of more than :data:`SMALL` octets is
    interrupted when somebody else waits.
    """

    def __init__(self, wake: Callable[[], None] | None) -> None:
        self._wake = wake
        self._is_awake = False
        # things to send
        self._frames: list[bytes] = []
        self._ready: deque[MsrpSession] = deque()
        # the chunk that is being written: its message, transaction id, octets so far and the last of them
        self._message: OutgoingMessage | None = None
        self._transaction_id = ""
        self._chunk_size = 0
        self._tail = b""
        # Transactions by their ids, with their deadlines. All wait equally long: they are in order of those. The last
        # one has none yet while its chunk is being written.
        self._waiting: dict[str, tuple[OutgoingMessage, float]] = {}
        # Sessions whose first message waits for a report, and until when, in order of that.
        self._held: dict[MsrpSession, float] = {}

    def wake(self) -> None:
        """Have somebody call for events and :meth:`data_to_send`."""
        if not self._is_awake:
            self._is_awake = True
            if self._wake is not None:
                self._wake()

    @property
    def unread(self) -> int:
        """How many responses and reports wait for the transport."""
        return len(self._frames)

    def add_frame(self, frame: bytes) -> None:
        """Queue a response or a report."""
        self._frames.append(frame)
        if not self._is_awake:
            self.wake()

    def add_ready(self, session: MsrpSession) -> None:
        """Queue a session if it has messages, unless it has too many unanswered or waits for a source."""
        queue = session.queue
        if queue and not session.is_ready and session.outstanding < WINDOW and not queue[0].is_stalled:
            session.is_ready = True
            self._ready.append(session)
            if not self._is_awake:
                self.wake()

    def remove(self, session: MsrpSession, *, resumed: bool = False) -> None:
        """Forget a session: nothing of it is sent any more, its transactions are nobody's.

        ``resumed``: another one goes on with its messages, so that a chunk under way ends without giving up the rest.
        """
        if self._message is not None and self._message.session is session:
            if resumed:
                self._frames.insert(0, _end_line(self._transaction_id, "+"))
                # It has no deadline, and must not stand before those that have one.
                self._waiting.pop(self._transaction_id, None)
                self._message = None
            else:
                self._frames.insert(0, self._abort(self._message))
            self.wake()
        self._leave(session)
        self._held.pop(session, None)
        if session.outstanding:
            for transaction_id in [key for key, (message, _) in self._waiting.items() if message.session is session]:
                del self._waiting[transaction_id]
            session.outstanding = 0

    def clear(self) -> None:
        """Drop what was to be sent: there is no transport."""
        self._frames.clear()
        self._message = None

    def stop(self, message: OutgoingMessage, *, announce: bool) -> None:
        """Send nothing more of ``message``, which is still queued; a chunk under way ends in ``#``.

        ``announce``: tell the peer also when no chunk is under way, so that it drops what it has (C-BR-08). Not to be
        done when it was the peer who refused the message (C-RSP-07).
        """
        session = message.session
        if message is self._message:
            self._frames.insert(0, self._abort(message))
            self.wake()
        elif announce and message.written:
            self.add_frame(self._abort(message))
        queue = cast("deque[OutgoingMessage]", session.queue)
        if message is queue[0]:
            self._held.pop(session, None)
        queue.remove(message)
        if not queue:
            self._leave(session)
        elif session.opened:
            self.add_ready(session)

    def _leave(self, session: MsrpSession) -> None:
        if session.is_ready:
            session.is_ready = False
            self._ready.remove(session)

    # Transactions

    def settle(self, transaction_id: str) -> OutgoingMessage | None:
        """Return the message whose chunk is answered; None for an answer that nobody waits for (C-BAD-06)."""
        waited = self._waiting.pop(transaction_id, None)
        if waited is None:
            return None
        message = waited[0]
        if message.failure_report == "yes":
            self._count_down(message)
        return message

    def get_timer(self) -> float | None:
        """Return when the oldest transaction times out, or a message has waited long enough for a report."""
        due = min(next(iter(self._held.values()), inf), next((due for _, due in self._waiting.values()), inf))
        return None if due == inf else due

    def expired(self, now: float) -> Iterator[OutgoingMessage]:
        """Yield the messages of which a chunk has waited too long for its answer."""
        for transaction_id, (message, deadline) in tuple(self._waiting.items()):
            if deadline > now:
                break
            del self._waiting[transaction_id]
            if message.failure_report == "yes":
                self._count_down(message)
                yield message

    # Waiting for reports

    def reported(self, message: OutgoingMessage) -> None:
        """Note that the peer, behind relays, has reported on a part of ``message``: from now on it is waited for."""
        if message.ahead is None:
            message.ahead = UNREPORTED
        if message.session in self._held:
            self._go_on(message.session)

    def go_on(self, now: float) -> None:
        """Let messages go on for which no report came in time."""
        for session, due in tuple(self._held.items()):
            if due > now:
                break
            for message in session.queue or ():
                message.ahead = message.ahead and 2 * message.ahead
            self._go_on(session)

    def _go_on(self, session: MsrpSession) -> None:
        del self._held[session]
        if session.queue:
            session.queue[0].is_stalled = False
            self.add_ready(session)

    def _count_down(self, message: OutgoingMessage) -> None:
        session = message.session
        message.outstanding -= 1
        session.outstanding -= 1
        if session.queue and session.opened:
            self.add_ready(session)

    def _open_transaction(self, message: OutgoingMessage, octets: bytes, deadline: float) -> str:
        """Begin a transaction that writes ``octets`` first; a message that wants no failure reports has none.

        Its id is none that a live transaction has, or whose end-line is in the octets (C-FRM-03).
        """
        transaction_id = ids.msrp_transaction_id()
        while transaction_id in self._waiting or (octets and _mark(transaction_id) in octets):
            transaction_id = ids.msrp_transaction_id()
        if message.failure_report != "no":
            self._waiting[transaction_id] = message, deadline
        if message.failure_report == "yes":
            message.outstanding += 1
            message.session.outstanding += 1
        return transaction_id

    # Writing

    def data_to_send(self, now: float) -> list[bytes]:
        """Return the next octets for the wire, in pieces; none when there are none. ``now`` starts their timers."""
        out: list[bytes] = []
        if self._message is not None and (self._frames or len(self._ready) > 1):
            # Somebody waits: end the chunk here, go on in another one later (C-BR-04).
            self._close_chunk(self._message, "+", out, now)
        out += self._frames
        self._frames.clear()
        size = 0
        while self._ready and size < MAX_WRITE:
            size += self._write_turn(self._ready[0], out, now)
        if not self._ready:
            self._is_awake = False
        return out

    def _write_turn(self, session: MsrpSession, out: list[bytes], now: float) -> int:
        """Write a small message, or a part of a large one, and return how many octets that took."""
        message = self._message
        if message is None:
            message = cast("deque[OutgoingMessage]", session.queue)[0]
            if message.source is None and message.size <= SMALL:
                return self._write_small(message, out, now)
            self._chunk_size = 0
        reach = message.reach
        if reach <= message.written < message.size:
            self._held.setdefault(session, now + REPORT_PATIENCE)
            self._stall(message, out, now)
            return 0
        limit = RELAY_CHUNK if session.relayed else MAX_CHUNK
        turn = TURN if len(self._ready) > 1 else MAX_WRITE
        wanted = min(turn, limit - self._chunk_size, reach - message.written)
        try:
            octets = message.read(wanted) if wanted else b""
        except (SipstackError, OSError) as error:
            self._fail(message, error, out)
            return 0
        if octets is None:
            self._stall(message, out, now)
            return 0
        octets, is_cut = self._extend_chunk(message, octets, out)
        is_last = message.written == message.size
        if is_last or is_cut or self._chunk_size == limit or len(self._ready) > 1:
            self._close_chunk(message, "$" if is_last else "+", out, now)
        return len(octets)

    def _extend_chunk(self, message: OutgoingMessage, octets: bytes, out: list[bytes]) -> tuple[bytes, bool]:
        """Write ``octets`` into the chunk under way, or into a new one; return what was written, and if that is less.

        Then what follows would be taken for the end-line: the chunk has to end before it (C-FRM-03).
        """
        is_cut = False
        if self._message is None:
            self._message = message
            self._transaction_id = self._open_transaction(message, octets, inf)
            if message.failure_report == "yes":
                if message.unanswered is None:
                    message.unanswered = {}
                message.unanswered[self._transaction_id] = message.written
            out.append(_head(message, self._transaction_id))
            self._tail = b""
        else:
            mark = _mark(self._transaction_id)
            end = 0 if mark in self._tail + octets[: len(mark)] else octets.find(mark)
            if end >= 0:
                octets, is_cut = octets[:end], True
        out.append(octets)
        message.was_written = True
        message.written += len(octets)
        self._chunk_size += len(octets)
        self._tail = (self._tail + octets[-MARK_SIZE:])[-MARK_SIZE:]
        return octets, is_cut

    def _stall(self, message: OutgoingMessage, out: list[bytes], now: float) -> None:
        """Wait for the source of ``message``, or for its receiver: others may write, and the peer may answer."""
        message.is_stalled = True
        if self._message is None:
            self._end_turn(message)
        else:
            self._close_chunk(message, "+", out, now)

    def _fail(self, message: OutgoingMessage, error: Exception, out: list[bytes]) -> None:
        """Give up ``message``, whose source has no more octets; the peer is told."""
        if message.written:
            out.append(self._abort(message))
        message.error = error
        session = message.session
        cast("deque[OutgoingMessage]", session.queue).popleft()
        self._next(session)
        session.settle(message, FAILED, None)

    def _write_small(self, message: OutgoingMessage, out: list[bytes], now: float) -> int:
        session, size = message.session, message.size
        # Dashes are found much faster than a random id, and mostly there are none.
        risky = message.body if _DASHES in message.body else b""
        transaction_id = self._open_transaction(message, risky, now + RESPONSE_TIMEOUT)
        if message.content_type is None:
            tail = ""
            end = f"-------{transaction_id}$\r\n".encode()
        else:
            wishes = report_headers(message.success_report, message.failure_report)
            tail = f"{wishes}Content-Type: {message.content_type}\r\n\r\n"
            end = _end_line(transaction_id, "$")
        byte_range = f"1-{size}/{size}"
        frame = send_head(transaction_id, session.route, message.message_id, byte_range, tail) + message.body + end
        out.append(frame)
        message.was_written = True
        message.written = size
        self._end_turn(message)
        return len(frame)

    def _end_turn(self, message: OutgoingMessage) -> None:
        """Let the next session write; this one stands in line again if it has more and may send it."""
        session = message.session
        if message.written == message.size and not message.is_stalled:
            cast("deque[OutgoingMessage]", session.queue).popleft()
            if message.failure_report != "yes":
                session.settle(message, SENT, None)
        self._next(session)

    def _next(self, session: MsrpSession) -> None:
        self._ready.popleft()
        session.is_ready = False
        self.add_ready(session)

    def _close_chunk(self, message: OutgoingMessage, flag: Flag, out: list[bytes], now: float) -> None:
        out.append(_end_line(self._transaction_id, flag))
        self._message = None
        if self._transaction_id in self._waiting:
            self._waiting[self._transaction_id] = message, now + RESPONSE_TIMEOUT
        self._end_turn(message)

    def _abort(self, message: OutgoingMessage) -> bytes:
        """Return what has the peer drop ``message``: the end of the chunk under way, else a chunk without octets.

        Its answer matters to nobody any more.
        """
        transaction_id = self._transaction_id
        if message is not self._message:
            transaction_id = ids.msrp_transaction_id()
            return _head(message, transaction_id) + _end_line(transaction_id, "#")
        self._message = None
        waited = self._waiting.pop(transaction_id, None)
        if waited is not None and message.failure_report == "yes":
            message.outstanding -= 1
            message.session.outstanding -= 1
        return _end_line(transaction_id, "#")


def _mark(transaction_id: str) -> bytes:
    """Return what must not occur in the octets of a chunk."""
    return _DASHES + transaction_id.encode()


def _head(message: OutgoingMessage, transaction_id: str) -> bytes:
    """Return the head of an interruptible chunk that begins where the last one stopped (C-BR-02)."""
    wishes = report_headers(message.success_report, message.failure_report)
    tail = f"{wishes}Content-Type: {message.content_type}\r\n\r\n"
    byte_range = f"{message.written + 1}-*/{message.size}" if message.size else "1-0/0"
    return send_head(transaction_id, message.session.route, message.message_id, byte_range, tail)


def _end_line(transaction_id: str, flag: str) -> bytes:
    """Return the end-line of a chunk with its CRLF in front, which is not data (C-FRM-06)."""
    return f"\r\n-------{transaction_id}{flag}\r\n".encode()
