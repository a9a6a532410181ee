"""What happens to a phone: events that are kept, waited for and told."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

EVENTS_KEPT = 1000
"""Events that :attr:`PhoneLog.events` holds; older ones are forgotten."""


@dataclass(frozen=True, slots=True)
class PhoneEvent:
    """Something that happened to the phone."""

    serial: int
    kind: str
    """``registered``, ``unregistered``, ``registration-failed``, ``invited``, ``cancelled``, ``chat``, ``message``,
    ``sending`` (a message: its text), ``sent`` (its state), ``closed``, ``page``, ``receipt``, ``composing``, ``lost``
    (what the phone wanted to send by itself); ``file-offered`` and ``file-sending`` (its name), ``file`` (has come: its
    SHA-256), ``file-sent`` (its name), ``file-ended`` (why)."""
    peer: str = ""
    text: str = ""
    """The message; or why, or in which state."""
    id: str = ""

    def view(self) -> dict[str, Any]:
        """Return it for JSON, without what is empty."""
        return {name: value for name, value in asdict(self).items() if value != ""}


class PhoneLog:
    """The events of a phone; ``on_event`` is told each one."""

    def __init__(self, on_event: Callable[[PhoneEvent], None] | None = None) -> None:
        self.events: deque[PhoneEvent] = deque(maxlen=EVENTS_KEPT)
        self.on_event = on_event
        self.serial = 0
        """Of the last event."""
        self._happened = asyncio.Event()

    async def wait_for(self, kind: str, *, peer: str = "", after: int = 0, timeout: float = 10.0) -> PhoneEvent:
        """Return the first event of a kind (and peer) with a serial above ``after``; TimeoutError when none comes."""
        async with asyncio.timeout(timeout):
            while True:
                for event in self.events:
                    if event.serial > after and event.kind == kind and peer in ("", event.peer):
                        return event
                await self._happened.wait()

    async def wait_for_events(self, after: int, timeout: float) -> list[PhoneEvent]:
        """Return the events with a serial above ``after``; waits for one up to ``timeout`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.serial <= after:
                    await self._happened.wait()
        return [event for event in self.events if event.serial > after]

    def emit(self, kind: str, peer: str = "", text: str = "", id: str = "") -> None:
        """Tell of something that has happened."""
        self.serial += 1
        event = PhoneEvent(self.serial, kind, peer, text, id)
        self.events.append(event)
        self._happened.set()
        self._happened.clear()  # whoever waits has been woken
        if self.on_event is not None:
            self.on_event(event)
