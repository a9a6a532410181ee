"""The events of one guest: counted, stored, then offered to the open streams; and what their clients were shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gateway.outgoing import FOLLOWING
from gateway.refusals import refusals
from gateway.relations import Relations
from gateway.services import TooManyRequests
from gateway.storage.entrystore import Entry
from gateway.storage.store import Store
from gateway.views import event_of
from translators.model import Event

Listener = Callable[[Event | None], None]


class GuestFeed:
    """:class:`gateway.services.EventFeed` of one guest.

    Every event is stored first and offered after its commit, in the order of its cursor.
    """

    __slots__ = (
        "_account",
        "_account_id",
        "_changed",
        "_changing",
        "_committed",
        "_listeners",
        "_max_streams",
        "_reads",
        "_relations",
        "_shown",
        "_store",
        "began_at",
        "cursor",
        "fetched",
        "last_seen",
        "unread_bytes",
        "unread_count",
    )

    def __init__(
        self, store: Store, account_id: int, account: str, cursor: int, relations: Relations, max_streams: int
    ) -> None:
        self._store = store
        self._account_id = account_id
        self._account = account
        self._relations = relations
        self._max_streams = max_streams
        self.cursor = cursor
        """Cursor of the newest event, stored or about to be."""
        self.began_at = cursor
        """Cursor of the newest event of earlier sessions."""
        self._committed = cursor
        self.fetched = cursor
        """Cursor of the newest event that a client was handed; of earlier processes nothing is known."""
        self.last_seen = time.monotonic()
        """When the guest's client was last heard of, monotonic seconds."""
        self._listeners: tuple[Listener, ...] = ()
        # what waits to be read since somebody looked
        self.unread_count = 0
        self.unread_bytes = 0
        # states by cursor: shown and not final, and on their way into the store
        self._shown: set[int] | None = None
        self._changing: dict[int, str] | None = None
        self._changed: set[int] | None = None
        self._reads = 0

    # new events

    def entry(self, kind: str, uid: str, body: str, content_type: str = "") -> Entry:
        """Return a row for the next event."""
        self.cursor += 1
        return Entry(self._account_id, self.cursor, kind, uid, "", "", "", time.time(), content_type, body)

    def outgoing(self, uid: str, message_id: str, body: str) -> Entry:
        """Return a row for a message of the guest."""
        entry = self.entry("message", uid, body, "text/plain")
        entry.id, entry.direction, entry.state = message_id, "out", "pending"
        return entry

    def incoming(self, uid: str, message_id: str, body: str, content_type: str) -> Entry:
        """Return a row for a message of an inviter."""
        entry = self.entry("message", uid, body, content_type)
        entry.id, entry.direction, entry.state = message_id, "in", "delivered"
        return entry

    def announce(self, kind: str, uid: str, body: str) -> None:
        """Store an event that is no message and offer it after its commit."""

        def stored(entry: Entry, error: Exception | None) -> None:
            if error is None:
                self.offer(entry)

        self._store.append(self.entry(kind, uid, body), stored)

    def store_incoming(self, entry: Entry, size: int, done: Callable[[Entry, Exception | None], None]) -> None:
        """Store a message of an inviter of ``size`` octets; it is unread until somebody looks."""
        self.unread_count += 1
        self.unread_bytes += size

        def stored(entry: Entry, error: Exception | None) -> None:
            if error is not None:
                self.unread_count = max(self.unread_count - 1, 0)
                self.unread_bytes = max(self.unread_bytes - size, 0)
            done(entry, error)

        self._store.append(entry, stored)

    def publish(self, entry: Entry) -> None:
        """Offer a stored message; somebody who listens has read it."""
        if self._listeners:
            self.unread_count = self.unread_bytes = 0
        self.offer(entry)

    def offer(self, entry: Entry) -> None:
        """Hand a committed entry to the open streams, made once for all of them."""
        self._committed = entry.cursor
        if self._listeners:
            self.fetched = entry.cursor
            event = self._event(entry)
            for listener in self._listeners:
                listener(event)

    def end(self) -> None:
        """Close the open streams."""
        for listener in self._listeners:
            listener(None)

    def _event(self, entry: Entry) -> Event:
        relation = self._relations.get(entry.uid)
        return event_of(entry, self._account, relation.sip if relation is not None else entry.uid)

    # gateway.services.EventFeed

    def latest(self) -> int:
        """Return the cursor of the newest event that was committed and offered."""
        return self._committed

    async def read(self, after: int, limit: int = 100) -> Sequence[Event] | None:
        """Return stored events behind ``after``; None when some of them are gone."""
        self.last_seen = time.monotonic()
        with self.reading(), refusals():
            entries = await self._store.events_after(self._account_id, after, limit)
            if entries is None:
                return None
            self.showing(entries)
        self.fetched = max(self.fetched, entries[-1].cursor if entries else after)
        if len(entries) < limit:
            self.unread_count = self.unread_bytes = 0
        return [self._event(entry) for entry in entries]

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Offer every further event to ``listener``."""
        if len(self._listeners) >= self._max_streams:
            raise TooManyRequests("This guest has too many event streams open.", retry_after=5)
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            self._listeners = tuple(known for known in self._listeners if known is not listener)
            self.last_seen = time.monotonic()

        return unsubscribe

    @property
    def watched(self) -> bool:
        """Tell whether a stream or a poll of the guest is open."""
        return bool(self._listeners)

    # states of the guest's own messages

    def write_state(self, cursor: int, state: str) -> None:
        """Change a row; until that is committed, whoever reads the row is told what it will be."""
        if self._changing is None:
            self._changing = {}
        self._changing[cursor] = state

        def done(error: Exception | None) -> None:
            # what could not be written still counts while we live; after that it is sent again
            if error is None and self._changing is not None and self._changing.get(cursor) == state:
                if self._reads:
                    self._changed = {*(self._changed or ()), cursor}
                else:
                    del self._changing[cursor]

        self._store.set_state(self._account_id, cursor, state, done)

    def changed_past(self, cursor: int, state: str) -> None:
        """Take that a row was changed by a call of its own: what reads the store just now may not have seen it."""
        if self._reads:
            if self._changing is None:
                self._changing = {}
            self._changing[cursor] = state
            self._changed = {*(self._changed or ()), cursor}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the changes that are committed while the store is read: the read may have begun before them."""
        self._reads += 1
        try:
            yield
        finally:
            self._reads -= 1
            if not self._reads and self._changed is not None:
                for cursor in self._changed:
                    if self._changing is not None:
                        self._changing.pop(cursor, None)
                self._changed = None

    def showing(self, entries: Sequence[Entry]) -> None:
        """Bring what a client is about to be shown up to date, and note what of it is not final."""
        for entry in entries:
            if entry.direction == "out":
                changed = self._changing.get(entry.cursor) if self._changing is not None else None
                if changed is not None and changed in FOLLOWING[entry.state]:
                    entry.state = changed
                if entry.state == "pending":
                    self.show(entry)

    def show(self, entry: Entry) -> None:
        """Note that the guest was shown a state that is not final: its change will be an event."""
        if self._shown is None:
            self._shown = set()
        self._shown.add(entry.cursor)

    def was_shown(self, entry: Entry) -> bool:
        """Tell whether the guest was shown a state of this message that is not final; asked once."""
        if not self._shown or entry.cursor not in self._shown:
            return False
        self._shown.discard(entry.cursor)
        return True
