"""What the gateway keeps of conversations and events: the entries of guests, the events of inviters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Entry:
    """One row of a guest's events; rows of kind ``message`` are the conversation as well."""

    account_id: int
    cursor: int
    """Counter of the account, given by the caller; grows by one an entry and is never used again."""
    kind: str
    """``message``, ``receipt``, ``status``, ``session``, ``composing``."""
    uid: str
    """UID of the inviter, empty when the entry is about the session as a whole."""
    id: str
    """Message id, empty where there is none."""
    direction: str
    """``in`` from an inviter to the guest, ``out`` the other way, empty for other kinds."""
    state: str
    at: float
    content_type: str
    body: str
    asked: str = ""
    """What its sender wants to be told of it (``gateway.asked``); empty: nothing."""
    taken: bool = False
    """The writer has read ``state``. Who changes the state writes it first and then looks here: False means that
    the new state goes into the row by itself, True means that :meth:`EntryStore.set_state` is needed."""


@dataclass(frozen=True, slots=True)
class InviterEvent:
    """Something that happened to an invitation, told to its inviter."""

    uid: str
    cursor: int
    kind: str
    at: float
    body: str


@dataclass(frozen=True, slots=True)
class Notice:
    """An :class:`InviterEvent` to be written along with a change; the store gives it its cursor."""

    uid: str
    at: float
    body: str
    kind: str = "invitation"


Done = Callable[[Entry, Exception | None], None]
StateDone = Callable[[Exception | None], None]


class EntryStore(Protocol):
    """The part of :class:`gateway.storage.store.Store` about entries and events."""

    def append(self, entry: Entry, done: Done) -> None:
        """Add an entry; ``done(entry, error)`` is called on the loop after the commit, or with what prevented it."""

    def set_state(self, account_id: int, cursor: int, state: str, done: StateDone | None = None) -> None:
        """Change the state of an entry of kind ``message``."""

    async def events_after(self, account_id: int, after: int, limit: int) -> list[Entry] | None:
        """Return entries behind a cursor, oldest first; None when something behind it has been pruned."""

    async def conversation(self, account_id: int, uid: str | None, before: int | None, limit: int) -> list[Entry]:
        """Return the newest ``limit`` messages in front of a cursor, oldest first."""

    async def find_message(self, account_id: int, id: str) -> Entry | None:
        """Return the guest's own message with this id."""

    async def advance(
        self, account_id: int, direction: str, uid: str | None, id: str, state: str, before: Sequence[str]
    ) -> tuple[Entry, bool] | None:
        """Bring the newest message of this direction, id and (if given) inviter to ``state`` if it is in one of
        ``before``. Return it as it is then, and whether it was changed; None when there is none."""

    async def unresolved(self, account_id: int) -> list[Entry]:
        """Return the guest's own messages whose outcome is open, oldest first."""

    async def received(self, account_id: int, limit: int) -> list[tuple[str, str]]:
        """Return UID and message id of the newest ``limit`` messages of inviters, oldest first."""

    async def inviter_events_after(self, uid: str, after: int, limit: int) -> list[InviterEvent] | None:
        """Return events behind a cursor, oldest first; None when something behind it has been pruned."""

    async def inviter_cursors(self) -> dict[str, int]:
        """Return UID → cursor of the newest event."""

    async def prune(self, events_before: float, events_count: int, tombstones_before: float) -> int:
        """Delete events that are too old or too many, and old tombstones; messages stay. Return how many rows went."""
