"""Messages that are never whole in memory: files (:rfc:`4975#section-5.1`, :rfc:`5547`).

An outgoing one reads its octets from a :class:`Source` when there is room on the wire; an incoming one, an
:class:`IncomingStream`, writes them to a :class:`Sink` as they come, in whatever chunks and order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from sipstack.errors import LocalProtocolError

from .chunk import Chunk
from .reassembly import Assembly

if TYPE_CHECKING:
    from .reception import Reception
    from .session import MsrpSession


class Source(Protocol):
    """Where the octets of an outgoing message come from."""

    @property
    def size(self) -> int:
        """Octets of the whole message."""

    def read(self, start: int, limit: int) -> bytes | memoryview | None:
        """Return octets from position ``start`` (counted from 0): one at least, ``limit`` at most.

        None when they are not there yet; :meth:`MsrpSession.source_ready` is to be called when they are. A source
        that is being filled should rather wait than give fewer than 2048 octets, unless they are the last: each time
        it has nothing, the chunk under way ends. It must not block. An exception of the stack or an
        :exc:`OSError` ends the message: the peer is told to drop it (C-BR-08).
        """


class Sink(Protocol):
    """Where the octets of an incoming message go."""

    def write(self, start: int, data: bytes) -> None:
        """Put ``data`` at position ``start`` (counted from 0), over what may be there: the last wins (C-BR-06).

        It must not block. An exception of the stack or an :exc:`OSError` stops the message with 413.
        """


class IncomingStream(Assembly):
    """A message on its way in, whose octets go to a sink.

    When all are there, the session's owner gets an :class:`~sipstack.msrp.message.IncomingMessage` with this as its
    ``stream``; its ``size`` says how many octets count, should the sink have got more. Else ``on_end`` is called.
    """

    __slots__ = ("_reception", "message_id", "on_end", "sink")

    def __init__(self, reception: Reception, first: Chunk, now: float) -> None:
        super().__init__(first, now)
        self.message_id = first.message_id
        self.sink: Sink | None = None
        """Set when the owner of the session has taken the message."""
        self.on_end: Callable[[Exception | None], None] | None = None
        """Called when the message will never be complete: with None if its sender gave it up (``#``), else with the
        reason. Not after :meth:`stop`."""
        self._reception = reception

    def __repr__(self) -> str:
        return f"<IncomingStream {self.message_id} {self.content_type} {self.received}/{self.total or '*'}>"

    @property
    def session(self) -> MsrpSession:
        """By which it comes in now: another one when it was resumed (C-BAD-13)."""
        return self._reception.session

    @property
    def total(self) -> int | None:
        """Octets of the whole message: as it ended, before as the sender announced it. None: not known."""
        return self.announced if self.length is None else self.length

    @property
    def received(self) -> int:
        """Octets that have come; twice the same count once."""
        return self.ranges.size

    def stop(self, code: int = 413) -> None:
        """Want no more of it: what follows is answered with the error ``code`` and ignored (C-RSP-07).

        Without effect when the message is complete or over.
        """
        if code < 300:
            raise LocalProtocolError(f"{code} is not an error code")
        self._reception.stop(self, code)

    def _store(self, start: int, body: bytes) -> None:
        if body and self.sink is not None:
            self.sink.write(start, body)


class Octets:
    """A source in memory."""

    __slots__ = ("_octets", "size")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.size = len(octets)

    def read(self, start: int, limit: int) -> bytes | None:
        """Return the next octets (:class:`Source`)."""
        return self._octets[start : start + limit]
