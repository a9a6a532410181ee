"""A guest's message on its way, and the order of its states."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.services import Conflict, ServiceError, Unavailable
from gateway.storage.entrystore import Entry
from gateway.upstream import from_msrp_status
from sipstack.msrp.message import MessageState, OutgoingMessage

if TYPE_CHECKING:
    from gateway.guest import GuestSession

FOLLOWING: dict[str, frozenset[str]] = {
    "pending": frozenset({"sent", "delivered", "displayed", "failed", "unknown"}),
    "sent": frozenset({"delivered", "displayed", "failed"}),
    "delivered": frozenset({"displayed"}),
    "displayed": frozenset(),
    "failed": frozenset(),
    "unknown": frozenset({"sent", "delivered", "displayed", "failed"}),
}
"""State of a message → states that come after it: never back (D-IMD-14). Only the guest can begin anew, by sending
again what has failed or is not known."""


def states_before(state: str) -> tuple[str, ...]:
    """Return the states from which a message may come to this one."""
    return tuple(before for before, after in FOLLOWING.items() if state in after)


class Outgoing:
    """A guest's message on its way: done when its row is committed and the peer's answer is in (design: states)."""

    __slots__ = (
        "committed",
        "entry",
        "error",
        "guest",
        "hurried",
        "maybe_there",
        "next_attempt",
        "on_done",
        "resent",
        "settled",
        "shown_as",
    )

    def __init__(self, guest: GuestSession, entry: Entry, on_done: Callable[[Outgoing], None] | None) -> None:
        self.guest = guest
        self.entry = entry
        self.on_done = on_done
        """Who waits for the outcome; None once they were told ``pending``."""
        self.committed = False
        self.settled = False
        self.hurried = False
        """``message_wait`` has passed: whoever waits is told as soon as the row is committed."""
        self.maybe_there = False
        """A chat ended before the peer's answer, so that the message may have arrived by it."""
        self.resent = False
        """A chat ended before the peer's answer, and the message waits for another one, or goes by it."""
        self.error: ServiceError | None = None
        self.shown_as: str | None = None
        """State before the first change that became an event ahead of the message's own, which waits for the commit."""
        self.next_attempt: Outgoing | None = None
        """The same message, sent again by the guest: what is told of this one then counts for that one."""

    def hurry(self) -> None:
        """Wait no longer than for the commit."""
        self.hurried = True
        self._finish()

    def stored(self, entry: Entry, error: Exception | None) -> None:
        """Take the store's answer."""
        if error is not None:
            self.error = Unavailable("The message could not be stored.", message_id=entry.id)
            self.settled = self.committed = True
            self.entry.state = "failed"  # whatever its fate, there is nothing left to tell it of
        else:
            self.committed = True
            self.guest.outbox.committed(self)
        self._finish()

    def answered(self, message: OutgoingMessage) -> None:
        """Take the peer's answer to the SEND, the news that there will be none, or a report that comes later."""
        if message.state is MessageState.PENDING:
            return
        error = None
        if message.state is not MessageState.SENT:
            error = from_msrp_status(message.status, maybe_sent=message.state is MessageState.UNKNOWN)
        if self.next_attempt is not None:
            # That this one was lost was known when the guest sent it again; that it arrived is news.
            if error is None:
                self.next_attempt.reported("sent")
        elif self.settled:
            self._correct(message.state.value, error)
        else:
            self.settle(message.state.value, error)

    def left_by(self, message: OutgoingMessage) -> bool:
        """Tell whether to send the message once more, with the same id, because its chat has ended (design: §6)."""
        if self.settled or self.resent or message.status is not None:
            return False
        self.resent = True
        self.maybe_there = message.state is MessageState.UNKNOWN
        return True

    def not_sent(self, error: ServiceError) -> None:
        """Take that there is no way to send it now."""
        self.settle("unknown" if self.maybe_there else "failed", error)

    def settle(self, state: str, error: ServiceError | None) -> None:
        """Fix the outcome: ``sent`` or better, ``failed`` or ``unknown``."""
        if self.settled:
            return
        self.settled = True
        self._note(state, error)
        self._finish()

    def reported(self, state: str) -> None:
        """Take what a notification says; it may be quicker than the answer to the message itself."""
        if self.next_attempt is not None:
            self.next_attempt.reported(state)
            return
        error = Conflict("The network could not deliver the message.") if state == "failed" else None
        if self.settled:
            self._correct(state, error)
        else:
            self.guest.feed.show(self.entry)
            self.settle(state, error)

    def _correct(self, state: str, error: ServiceError | None) -> None:
        """Take a report: it resolves ``unknown``, and a failure after ``sent`` counts (design: message states)."""
        if state in FOLLOWING[self.entry.state]:
            self.guest.feed.show(self.entry)
            self._note(state, error)

    def _note(self, state: str, error: ServiceError | None) -> None:
        self.error = None if error is None else error.about(self.entry.id)
        self.guest.outbox.settled(self, state)

    def _finish(self) -> None:
        if self.committed and (self.settled or self.hurried) and self.on_done is not None:
            on_done, self.on_done = self.on_done, None
            on_done(self)
