"""What inviters are told about their invitations: events in the store, and calls to those who listen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import msgspec

from gateway.refusals import refusals
from gateway.services import TooManyRequests
from gateway.storage.deliverystore import STOPPED
from gateway.storage.entrystore import InviterEvent, Notice
from gateway.storage.invitationstore import DeliveryRecord, Invited
from gateway.storage.store import Store
from translators.model import (
    DeliveryState,
    DeliveryView,
    Event,
    InvitationState,
    InvitationView,
    TriedView,
    format_time,
)

Listener = Callable[[Event | None], None]

OVER: tuple[InvitationState | None, ...] = ("ended", "failed")
"""States of which an inviter is told while the store still has the delivery as it was."""

_decoder = msgspec.json.Decoder(InvitationView)
_encoder = msgspec.json.Encoder()


def invitation_view(
    invited: Invited, *, state: InvitationState | None = None, reason: str | None = None
) -> InvitationView:
    """Return what an inviter is shown of an invitation; ``state`` and ``reason`` overrule what the row says."""
    account, invitation, delivery = invited.account, invited.invitation, invited.delivery
    return InvitationView(
        account=account.uri,
        identifier=account.identifier,
        state=state or cast(InvitationState, invitation.state),
        types=list(invitation.types),
        created_at=format_time(invitation.created_at),
        valid_until=format_time(invitation.expires_at),
        delivery=None if delivery is None else _delivery_view(delivery, over=state in OVER),
        reason=reason or invitation.reason or None,
        note=invitation.note or None,
    )


def _delivery_view(delivery: DeliveryRecord, *, over: bool) -> DeliveryView:
    """Return the delivery; a link that is held until the account is ready is queued in the eyes of its inviter."""
    state, error = delivery.state, delivery.error
    if state == "held":
        state = "queued"
    if over and state == "queued":
        state, error = "failed", STOPPED
    tried = [TriedView(channel=item.channel, attempts=item.attempts, error=item.error) for item in delivery.tried]
    return DeliveryView(
        channel=delivery.channel,
        state=cast(DeliveryState, state),
        attempts=delivery.attempts,
        error=error or None,
        tried=tried or None,
    )


def notice(invited: Invited, at: float, *, state: InvitationState | None = None, reason: str | None = None) -> Notice:
    """Return the event that tells the inviter how an invitation stands."""
    body = _encoder.encode(invitation_view(invited, state=state, reason=reason)).decode()
    return Notice(invited.invitation.uid, at, body)


def _event(row: InviterEvent) -> Event:
    return Event(cursor=row.cursor, kind="invitation", at=format_time(row.at), invitation=_decoder.decode(row.body))


class InviterFeeds:
    """The feeds of all inviters."""

    def __init__(self, store: Store, max_streams: int) -> None:
        self.store = store
        self.max_streams = max_streams
        self.cursors: dict[str, int] = {}
        self.listeners: dict[str, list[Listener]] = {}

    async def start(self) -> None:
        """Learn the cursors that the last process reached."""
        self.cursors = await self.store.inviter_cursors()

    def feed(self, uid: str) -> InviterFeed:
        """Return the feed of one inviter."""
        return InviterFeed(self, uid)

    def publish(self, rows: Iterable[InviterEvent]) -> None:
        """Offer events that have been committed."""
        for row in rows:
            self.cursors[row.uid] = max(row.cursor, self.cursors.get(row.uid, 0))
            for listener in tuple(self.listeners.get(row.uid, ())):
                listener(_event(row))

    def close(self) -> None:
        """End all streams."""
        for listeners in list(self.listeners.values()):
            for listener in tuple(listeners):
                listener(None)
        self.listeners.clear()


class InviterFeed:
    """:class:`gateway.services.EventFeed` of one inviter."""

    __slots__ = ("_feeds", "_uid")

    def __init__(self, feeds: InviterFeeds, uid: str) -> None:
        self._feeds = feeds
        self._uid = uid

    def latest(self) -> int:
        """Return the cursor of the newest event."""
        return self._feeds.cursors.get(self._uid, 0)

    async def read(self, after: int, limit: int = 100) -> Sequence[Event] | None:
        """Return events behind a cursor, None when some of them are gone."""
        with refusals():
            rows = await self._feeds.store.inviter_events_after(self._uid, after, limit)
        return None if rows is None else [_event(row) for row in rows]

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Add a listener; raises TooManyRequests when there are enough."""
        listeners = self._feeds.listeners.setdefault(self._uid, [])
        if len(listeners) >= self._feeds.max_streams:
            raise TooManyRequests("Too many event streams are open.", retry_after=5)
        listeners.append(listener)

        def stop() -> None:
            known = self._feeds.listeners.get(self._uid, [])
            if listener in known:
                known.remove(listener)
            if not known:
                self._feeds.listeners.pop(self._uid, None)

        return stop
