"""What happens on an MSRP connection, as its owner is told of it. Whole messages are events themselves."""

from __future__ import annotations

from dataclasses import dataclass

from sipstack.errors import SipstackError

from .message import IncomingMessage, OutgoingMessage
from .session import MsrpSession
from .stream import IncomingStream


@dataclass(slots=True)
class SessionBound:
    """The first request of a session came in: this connection is its connection from now on."""

    session: MsrpSession


@dataclass(slots=True)
class SessionFailed:
    """A session lost its connection, or the peer does not know it any more. It is closed."""

    session: MsrpSession
    error: SipstackError


@dataclass(slots=True)
class FaultNoted:
    """The peer broke a rule and was answered, if at all, by an error: something for logs (C-BAD-11)."""

    reason: str


@dataclass(slots=True)
class ChunkConfirmed:
    """A chunk of a message got its 200: its ``on_progress`` is to be called."""

    message: OutgoingMessage


@dataclass(slots=True)
class StreamEnded:
    """A message that was going to a sink will never be complete: its ``on_end`` is to be called."""

    stream: IncomingStream
    error: Exception | None
    """None when its sender gave it up."""


SessionEvent = IncomingMessage | OutgoingMessage | SessionBound | SessionFailed | ChunkConfirmed | StreamEnded
"""An :class:`OutgoingMessage` is an event when its state has changed: its ``on_done`` is to be called."""

Event = SessionEvent | FaultNoted
