"""SQL of deliveries: what came of attempts and receipts. Functions that run inside a transaction of the store.

A delivery goes through its channels in their order. References exist as long as it is ``sent``; with every other state
nobody waits for a receipt.
"""

from __future__ import annotations

import json
from sqlite3 import Connection

from gateway.storage import history
from gateway.storage.deliverystore import DeliveryResult
from gateway.storage.entries import append_notices
from gateway.storage.entrystore import InviterEvent
from gateway.storage.invitationstore import Announce, DeliveryRecord, Invited, Tried
from gateway.storage.relations import invited


def due_channels(connection: Connection, now: float) -> list[str]:
    """Return the channels that have something to do."""
    query = "SELECT DISTINCT channel FROM delivery WHERE state = 'queued' AND next_at <= ? ORDER BY channel"
    return [channel for (channel,) in connection.execute(query, (now,))]


def begin(connection: Connection, invitation_id: int, message_id: str, channel: str) -> bool:
    """Count an attempt, and as one that may get through until its result is known."""
    changed = connection.execute(
        "UPDATE delivery SET doubtful = doubtful + 1, attempts = attempts + 1 "
        "WHERE invitation_id = ? AND message_id = ? AND channel = ? AND state = 'queued'",
        (invitation_id, message_id, channel),
    )
    return bool(changed.rowcount)


def result(connection: Connection, result: DeliveryResult, now: float, announce: Announce) -> list[InviterEvent]:
    """Write what came of an attempt, unless something else has taken the place of that delivery."""
    found = _find(connection, result.invitation_id)
    delivery = found.delivery if found is not None else None
    if found is None or delivery is None:
        return []
    if (delivery.message_id, delivery.channel, delivery.state) != (result.message_id, result.channel, "queued"):
        return []
    before = _shown(delivery)
    delivery.doubtful -= 0 if result.doubtful else 1
    if result.state == "failed":
        _fall_back(delivery, result.error, now, give_up=result.give_up)
    else:
        delivery.state, delivery.error, delivery.next_at = result.state, result.error, result.next_at
    if delivery.state == "sent":
        _wait_for(connection, delivery, result.references)
    return _write(connection, found, delivery, before, announce)


def receipt(
    connection: Connection, channel: str, reference: str, error: str | None, now: float, announce: Announce
) -> list[InviterEvent] | None:
    """Write that a part was delivered, or failed with an error. None when there is no such reference."""
    row = connection.execute(
        "SELECT invitation_id FROM delivery_reference WHERE channel = ? AND reference = ?", (channel, reference)
    ).fetchone()
    found = _find(connection, row[0]) if row is not None else None
    if found is None or found.delivery is None:
        return None
    delivery = found.delivery
    before = _shown(delivery)
    if error is not None:
        _fall_back(delivery, error, now)
    else:
        connection.execute(
            "UPDATE delivery_reference SET delivered = 1 WHERE channel = ? AND reference = ?", (channel, reference)
        )
        (missing,) = connection.execute(
            "SELECT count(*) FROM delivery_reference WHERE invitation_id = ? AND NOT delivered", row
        ).fetchone()
        if missing:
            return []
        delivery.state = "delivered"
    connection.execute("DELETE FROM delivery_reference WHERE invitation_id = ?", row)
    return _write(connection, found, delivery, before, announce)


def _find(connection: Connection, invitation_id: int) -> Invited | None:
    found = invited(connection, "invitation.id = ?", invitation_id)
    return found[0] if found else None


def _shown(delivery: DeliveryRecord) -> tuple[str, str, str]:
    """Return what is news to an inviter when it changes."""
    return delivery.channel, delivery.state, delivery.error


def _rest(delivery: DeliveryRecord) -> tuple[str, ...]:
    """Return the channels behind the present one."""
    return delivery.channels[len(delivery.tried) + 1 :]


def _fall_back(delivery: DeliveryRecord, error: str, now: float, *, give_up: bool = False) -> None:
    """Go to the next channel; without one, or without the link, the delivery has failed."""
    rest = _rest(delivery)
    if give_up or not rest or delivery.sealed_link is None:
        delivery.state, delivery.error = "failed", error
        return
    delivery.tried = (*delivery.tried, Tried(delivery.channel, delivery.attempts, error))
    delivery.channel = rest[0]
    delivery.state, delivery.error = "queued", ""
    delivery.attempts, delivery.queued_at, delivery.next_at = 0, now, now


def _wait_for(connection: Connection, delivery: DeliveryRecord, references: tuple[str, ...]) -> None:
    """Keep what receipts will name, and the link as long as a receipt may bring the next channel into play."""
    # a server that counts anew names a later message by an old reference: the later one is meant
    connection.executemany(
        "INSERT OR REPLACE INTO delivery_reference (channel, reference, invitation_id, delivered) VALUES (?, ?, ?, 0)",
        [(delivery.channel, reference, delivery.invitation_id) for reference in references],
    )
    if not references or not _rest(delivery):
        delivery.sealed_link = None


def _write(
    connection: Connection, found: Invited, delivery: DeliveryRecord, before: tuple[str, str, str], announce: Announce
) -> list[InviterEvent]:
    """Write a changed delivery; return the event if it is news to the inviter."""
    if delivery.state in ("delivered", "failed"):
        delivery.sealed_link = None
    if delivery.state != "queued" and delivery.sealed_link is None:
        delivery.next_at = 0.0
    connection.execute(
        "UPDATE delivery SET channel = ?, sealed_link = ?, state = ?, attempts = ?, queued_at = ?, next_at = ?, "
        "error = ?, tried = ?, doubtful = ? WHERE invitation_id = ?",
        (
            delivery.channel,
            delivery.sealed_link,
            delivery.state,
            delivery.attempts,
            delivery.queued_at,
            delivery.next_at,
            delivery.error,
            json.dumps(delivery.tried),
            delivery.doubtful,
            delivery.invitation_id,
        ),
    )
    if _shown(delivery) == before:
        return []
    step = {"failed": "undelivered", "queued": "undelivered"}.get(delivery.state, delivery.state)
    history.note_invitation(
        connection, delivery.invitation_id, step, why=before[0], detail=delivery.error or _last_error(delivery)
    )
    return append_notices(connection, [announce(found)])


def _last_error(delivery: DeliveryRecord) -> str:
    """Return why the link goes by another channel now."""
    return delivery.tried[-1].error if delivery.state == "queued" and delivery.tried else ""
