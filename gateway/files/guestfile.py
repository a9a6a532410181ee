"""One file of a guest who is logged in: what is known of it, and how its guest is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from gateway.storage.filestore import FileRecord
from gateway.views import file_body
from translators.model import FileState, FileView, SipCause, format_time

if TYPE_CHECKING:
    from gateway.files.shelf import Shelf

STEPS = 20
"""Progress is told so many times in a file's course: every 5 %."""

TELL_INTERVAL = 0.25
"""Seconds between two progress events."""

UNKNOWN_STEP = 1 << 20
"""Octets between two progress events where the size is not known."""

CHECKPOINT = 8 << 20
"""Octets after which the number of those that came is written down: what a restart goes on from."""

OVER = frozenset({"sent", "delivered", "displayed", "failed", "declined", "cancelled", "expired"})
"""States in which nothing moves any more."""

LOST = frozenset({"failed", "declined", "cancelled", "expired"})
"""States of a file that did not get there; its octets are deleted."""

ORDER = ("uploading", "offered", "sending", "receiving", "ready", "sent", "delivered", "displayed")
"""States that a file goes through, in this order only."""


class Mover(Protocol):
    """What moves a file's octets now: an upload, a transfer, a download."""

    async def stop(self, *, cancelled: bool) -> None:
        """Let go. ``cancelled``: the file is not wanted any more, and the other side is told so."""


class GuestFile:
    """A record, the mover that changes it, and the events about it."""

    __slots__ = ("_checked", "_told_at", "_told_octets", "cause", "guest", "mover", "record")

    def __init__(self, guest: Shelf, record: FileRecord) -> None:
        self.guest = guest
        self.record = record
        self.mover: Mover | None = None
        self.cause: SipCause | None = None
        """What the network answered, with ``failed`` and ``declined``; not kept over a restart."""
        self._told_octets = 0
        self._told_at = float("-inf")
        self._checked = record.octets

    def __repr__(self) -> str:
        record = self.record
        return f"<GuestFile {record.id} {record.direction} {record.state} {record.octets}/{record.size}>"

    @property
    def is_over(self) -> bool:
        """Tell whether nothing moves any more; a file of an inviter that is ``ready`` does not."""
        return self.record.state in OVER or self.record.state == "ready"

    def view(self) -> FileView:
        """Return what the guest's client is shown."""
        record, account = self.record, self.guest.account
        peer = self.guest.address_of(record.uid)
        sender, receiver = (account, peer) if record.direction == "out" else (peer, account)
        return FileView(
            id=record.id,
            from_=sender,
            to=receiver,
            direction="out" if record.direction == "out" else "in",
            name=record.name,
            content_type=record.content_type,
            octets=record.octets,
            state=cast(FileState, record.state),
            at=format_time(record.created),
            until=format_time(record.until),
            size=record.size,
            uid=record.uid,
            hash=record.sha256 or None,
            thumbnail=record.thumbnail or None,
            reason=record.reason or None,
            cause=self.cause,
        )

    def tell(self) -> None:
        """Make an event of the file as it is now."""
        self._told_octets = self.record.octets
        self._told_at = asyncio.get_running_loop().time()
        self.guest.announce(self.record.uid, file_body(self.view()))

    def set(self, state: FileState, reason: str = "", cause: SipCause | None = None) -> None:
        """Bring the file to another state: stored and told. A state that it has left behind is passed over.

        The octets of what did not get there are deleted.
        """
        if not self._follows(state):
            return
        self.note(state, reason, cause)
        self.save()
        self.tell()
        if state in LOST:
            self.guest.room.discard(self.record.id)

    def note(self, state: FileState, reason: str = "", cause: SipCause | None = None) -> None:
        """Change the state alone; the caller stores and tells it."""
        self.record.state = state
        self.record.reason = reason
        self.cause = cause

    def _follows(self, state: FileState) -> bool:
        old = self.record.state
        if old in LOST or old == state:
            return False
        if state in LOST:
            return not (old in ("sent", "delivered", "displayed") and state in ("cancelled", "declined"))
        return ORDER.index(state) >= ORDER.index(old)

    def progressed(self, octets: int) -> bool:
        """Note how far it has come; told every few percent. Return True when it is time for a checkpoint."""
        record = self.record
        record.octets = octets
        step = record.size // STEPS if record.size else UNKNOWN_STEP
        if octets - self._told_octets >= step or octets < self._told_octets:
            now = asyncio.get_running_loop().time()
            if now - self._told_at >= TELL_INTERVAL and octets != record.size:
                self.tell()
        if abs(octets - self._checked) < CHECKPOINT:
            return False
        self._checked = octets
        return True

    def save(self) -> None:
        """Store what has changed, beside the caller."""
        self.guest.room.save(self.record)
