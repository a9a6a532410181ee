"""One id for what one HTTP call sets off: W3C trace-id over HTTP, Session-ID over SIP (RFC 7989).

It travels in the context: a task that a call starts, such as the one that opens a chat, has the call's id.
"""

from __future__ import annotations

import re
from contextvars import ContextVar

from sipstack import ids

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
"""W3C Trace Context §3.2.2: version, trace-id, parent-id, flags; what a later version adds is passed over."""


class _Call:
    """What a call came with, and its id once somebody has asked for it."""

    __slots__ = ("id", "traceparent")

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent
        self.id = ""


_current: ContextVar[_Call | None] = ContextVar("correlation", default=None)


def begin(traceparent: str | None) -> None:
    """Note that a call begins, with the ``traceparent`` header that it came with."""
    _current.set(_Call(traceparent))


def current() -> str:
    """Return the id of the call that this belongs to: the client's trace-id where it sent one, else one made up.

    Outside of calls each has its own.
    """
    call = _current.get()
    if call is None:
        return ids.trace_id()
    if not call.id:
        match = _TRACEPARENT.fullmatch(call.traceparent.strip()) if call.traceparent is not None else None
        call.id = match[1] if match is not None else ids.trace_id()
    return call.id
