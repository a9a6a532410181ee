"""Who is typing (:rfc:`3994`): the document, and the two ends' state machines."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sipstack.errors import ParseError
from sipstack.im import xmltree

CONTENT_TYPE = "application/im-iscomposing+xml"
NAMESPACE = "urn:ietf:params:xml:ns:im-iscomposing"

IDLE_AFTER = 15.0
"""Seconds without a key after which a sender is idle (:rfc:`3994#section-3.2`)."""

DEFAULT_REFRESH = 120
"""Seconds that an active state lasts where the sender does not say (:rfc:`3994#section-3.3`)."""

MIN_REFRESH = 60
"""Seconds between two refreshes at least (:rfc:`3994#section-3.4`)."""

FLAPPING = 5.0
"""Seconds after an ``active`` in which a user who stops and begins again is not told of again (D-ISC-03)."""

MAX_REFRESH = 3600
"""Seconds that we believe; nobody types for longer without a word."""


class ComposingState(Enum):
    """The two states of a sender."""

    IDLE = "idle"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class IsComposing:
    """One status message."""

    state: ComposingState
    content_type: str | None = None
    """Media type of what is being composed."""
    refresh: int | None = None
    """Seconds after which the sender repeats ``active`` at the latest."""
    last_active: str | None = None
    """RFC 3339, with ``idle``."""

    @classmethod
    def parse(cls, data: bytes) -> IsComposing:
        """Return the status in ``data``. Raise :exc:`ParseError`, with status 413 beyond the limits.

        A state that the RFC does not know is idle, and a refresh that is no number does not count (D-ISC-01).
        """
        root = xmltree.parse("isComposing", data)
        if (root.namespace, root.name) != (NAMESPACE, "isComposing"):
            raise ParseError("isComposing", f"has the root element {root.name[:40]!r} of {root.namespace[:80]!r}")
        state = root.value("state")
        if state is None:
            raise ParseError("isComposing state", "is missing")
        refresh = root.value("refresh")
        is_number = refresh is not None and refresh.isascii() and refresh.isdigit()
        return cls(
            ComposingState.ACTIVE if state == "active" else ComposingState.IDLE,
            root.value("contenttype"),
            min(int(refresh[:9]), MAX_REFRESH) if refresh is not None and is_number else None,
            root.value("lastactive"),
        )

    def __bytes__(self) -> bytes:
        members = [
            ("state", self.state.value),
            ("lastactive", self.last_active),
            ("contenttype", self.content_type),
            ("refresh", None if self.refresh is None else str(self.refresh)),
        ]
        lines = [f'{xmltree.DECLARATION}<isComposing xmlns="{NAMESPACE}">\n']
        lines += [f"  <{name}>{xmltree.write(value)}</{name}>\n" for name, value in members if value is not None]
        lines.append("</isComposing>")
        return "".join(lines).replace("\n", "\r\n").encode()


def is_composing_type(content_type: str) -> bool:
    """Tell whether a media type, with or without parameters, is that of a status message."""
    return content_type.partition(";")[0].strip().lower() == CONTENT_TYPE


class ComposingSender:
    """Decides when to tell the peer that our user types. ``now`` is monotonic seconds.

    After every call, send what :meth:`data_to_send` gives.
    """

    __slots__ = ("_due", "_idle_at", "_quiet_until", "_refresh_at", "content_type", "refresh", "state")

    def __init__(self, refresh: int = MIN_REFRESH, content_type: str = "text/plain") -> None:
        self.refresh = max(refresh, MIN_REFRESH)
        self.content_type = content_type
        self.state = ComposingState.IDLE
        self._due: IsComposing | None = None
        self._idle_at = 0.0
        self._refresh_at = 0.0
        self._quiet_until = 0.0

    def composing(self, now: float) -> None:
        """Take a key press: the first one is told, further ones only when a refresh is due (D-ISC-03)."""
        self._idle_at = now + IDLE_AFTER
        if self.state is ComposingState.IDLE:
            tell = now >= self._quiet_until
        else:
            tell = now >= self._refresh_at
        if tell:
            self.state = ComposingState.ACTIVE
            self._refresh_at = now + self.refresh
            self._quiet_until = now + FLAPPING
            self._due = IsComposing(ComposingState.ACTIVE, self.content_type, self.refresh)

    def stopped(self) -> None:
        """Take that the user has stopped: told if the peer thinks that they type."""
        if self.state is ComposingState.ACTIVE:
            self.state = ComposingState.IDLE
            self._due = IsComposing(ComposingState.IDLE, self.content_type)

    def content_sent(self) -> None:
        """Take that the message was sent, which tells the peer enough (:rfc:`3994#section-3.2`)."""
        self.state = ComposingState.IDLE
        self._due = None
        self._quiet_until = 0.0

    def data_to_send(self) -> IsComposing | None:
        """Return the status to send now, once."""
        due, self._due = self._due, None
        return due

    def get_timer(self) -> float | None:
        """Return when to call :meth:`handle_timer`, None when there is nothing to wait for."""
        return self._idle_at if self.state is ComposingState.ACTIVE else None

    def handle_timer(self, now: float) -> None:
        """Become idle when no key was pressed for a while."""
        if self.state is ComposingState.ACTIVE and now >= self._idle_at:
            self.stopped()


class ComposingReceiver:
    """Knows whether the peer's user types. ``now`` is monotonic seconds. Every method tells whether that changed."""

    __slots__ = ("expires_at", "state")

    def __init__(self) -> None:
        self.state = ComposingState.IDLE
        self.expires_at = 0.0
        """When an active state is over by itself."""

    def receive(self, status: IsComposing, now: float) -> bool:
        """Take a status message; ``refresh`` of an active one says how long it lasts (D-ISC-04)."""
        if status.state is ComposingState.ACTIVE:
            self.expires_at = now + (status.refresh or DEFAULT_REFRESH)
        return self._become(status.state)

    def content_received(self) -> bool:
        """Take a message: whoever sent it has typed it."""
        return self._become(ComposingState.IDLE)

    def get_timer(self) -> float | None:
        """Return when to call :meth:`handle_timer`, None when there is nothing to wait for."""
        return self.expires_at if self.state is ComposingState.ACTIVE else None

    def handle_timer(self, now: float) -> bool:
        """Become idle when the sender does not refresh."""
        return now >= self.expires_at and self._become(ComposingState.IDLE)

    def _become(self, state: ComposingState) -> bool:
        changed = state is not self.state
        self.state = state
        return changed
