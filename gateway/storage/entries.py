"""SQL of what grows: the entries of guests, the events of inviters, and their pruning."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

from gateway.storage.entrystore import Entry, InviterEvent, Notice
from gateway.storage.schema import ENTRY_COLUMNS

_ENTRY = f"SELECT {', '.join(ENTRY_COLUMNS)} FROM entry WHERE account_id = ?"

PRUNE_LIMIT = 2000
"""Rows that one call of :func:`prune` deletes of a kind, so that it never holds up the writer for long."""


def _entry(row: Sequence[Any]) -> Entry:
    entry = Entry(*row)
    entry.taken = True
    return entry


def events_after(connection: Connection, account_id: int, after: int, limit: int) -> list[Entry] | None:
    """Return entries behind a cursor, None where some of them are gone."""
    floor = connection.execute("SELECT floor FROM account WHERE id = ?", (account_id,)).fetchone()
    if floor is None or after < floor[0]:
        return None
    rows = connection.execute(f"{_ENTRY} AND cursor > ? ORDER BY cursor LIMIT ?", (account_id, after, limit))
    return [_entry(row) for row in rows]


def conversation(
    connection: Connection, account_id: int, uid: str | None, before: int | None, limit: int
) -> list[Entry]:
    """Return the page of messages in front of a cursor, oldest first."""
    query = f"{_ENTRY} AND kind = 'message'"
    values: list[object] = [account_id]
    if uid is not None:
        query += " AND uid = ?"
        values.append(uid)
    if before is not None:
        query += " AND cursor < ?"
        values.append(before)
    rows = connection.execute(f"{query} ORDER BY cursor DESC LIMIT ?", (*values, limit)).fetchall()
    return [_entry(row) for row in reversed(rows)]


def find_message(connection: Connection, account_id: int, id: str) -> Entry | None:
    """Return the guest's own message with this id."""
    row = connection.execute(
        f"{_ENTRY} AND kind = 'message' AND direction = 'out' AND id = ? ORDER BY cursor DESC LIMIT 1", (account_id, id)
    ).fetchone()
    return _entry(row) if row else None


def advance(
    connection: Connection,
    account_id: int,
    direction: str,
    uid: str | None,
    id: str,
    state: str,
    before: Sequence[str],
) -> tuple[Entry, bool] | None:
    """Change the state of a message if it is in one of ``before``; return it, and whether it was changed."""
    row = connection.execute(
        f"{_ENTRY} AND kind = 'message' AND direction = ? AND id = ? AND uid = coalesce(?, uid) "
        "ORDER BY cursor DESC LIMIT 1",
        (account_id, direction, id, uid),
    ).fetchone()
    if row is None:
        return None
    entry = _entry(row)
    if entry.state not in before:
        return entry, False
    entry.state = state
    connection.execute(
        "UPDATE entry SET state = ? WHERE account_id = ? AND cursor = ?", (state, account_id, entry.cursor)
    )
    return entry, True


def unresolved(connection: Connection, account_id: int) -> list[Entry]:
    """Return the guest's own messages in state ``pending``."""
    rows = connection.execute(
        f"{_ENTRY} AND kind = 'message' AND direction = 'out' AND state = 'pending' ORDER BY cursor", (account_id,)
    )
    return [_entry(row) for row in rows]


def received(connection: Connection, account_id: int, limit: int) -> list[tuple[str, str]]:
    """Return UID and message id of the newest messages of inviters, oldest first."""
    rows = connection.execute(
        "SELECT uid, id FROM entry WHERE account_id = ? AND kind = 'message' AND direction = 'in' "
        "ORDER BY cursor DESC LIMIT ?",
        (account_id, limit),
    ).fetchall()
    return rows[::-1]


def append_notices(connection: Connection, notices: Sequence[Notice]) -> list[InviterEvent]:
    """Write events of inviters and give them their cursors."""
    events = []
    for notice in notices:
        (cursor,) = connection.execute(
            "INSERT INTO inviter VALUES (?, 1, 0) ON CONFLICT (uid) DO UPDATE SET cursor = cursor + 1 RETURNING cursor",
            (notice.uid,),
        ).fetchone()
        event = InviterEvent(notice.uid, cursor, notice.kind, notice.at, notice.body)
        connection.execute(
            "INSERT INTO inviter_event VALUES (?, ?, ?, ?, ?)",
            (event.uid, event.cursor, event.kind, event.at, event.body),
        )
        events.append(event)
    return events


def inviter_events_after(connection: Connection, uid: str, after: int, limit: int) -> list[InviterEvent] | None:
    """Return events behind a cursor, None where some of them are gone."""
    floor = connection.execute("SELECT floor FROM inviter WHERE uid = ?", (uid,)).fetchone()
    if floor is not None and after < floor[0]:
        return None
    rows = connection.execute(
        "SELECT uid, cursor, kind, at, body FROM inviter_event WHERE uid = ? AND cursor > ? ORDER BY cursor LIMIT ?",
        (uid, after, limit),
    )
    return [InviterEvent(*row) for row in rows]


def inviter_cursors(connection: Connection) -> dict[str, int]:
    """Return UID → cursor of the newest event."""
    return dict(connection.execute("SELECT uid, cursor FROM inviter").fetchall())


def prune(connection: Connection, events_before: float, events_count: int, tombstones_before: float) -> int:
    """Delete what is too old or too much, a bounded number of rows; return how many went."""
    pruned = _prune_entries(
        connection,
        "SELECT account_id, cursor FROM entry WHERE kind <> 'message' AND at < ? LIMIT ?",
        (events_before, PRUNE_LIMIT),
    )
    crowded = connection.execute(
        "SELECT account_id, count(*) - ? FROM entry WHERE kind <> 'message' GROUP BY account_id HAVING count(*) > ?",
        (events_count, events_count),
    ).fetchall()
    for account_id, surplus in crowded:
        pruned += _prune_entries(
            connection,
            "SELECT account_id, cursor FROM entry WHERE account_id = ? AND kind <> 'message' ORDER BY cursor LIMIT ?",
            (account_id, min(surplus, PRUNE_LIMIT)),
        )
    pruned += _prune_inviter_events(connection, events_before, events_count)
    pruned += connection.execute("DELETE FROM tombstone WHERE ended_at < ?", (tombstones_before,)).rowcount
    # entries of an account that was deleted while they waited for the writer
    pruned += connection.execute("DELETE FROM entry WHERE account_id NOT IN (SELECT id FROM account)").rowcount
    return pruned


def _prune_entries(connection: Connection, query: str, values: tuple[float, ...]) -> int:
    rows = connection.execute(query, values).fetchall()
    floors: dict[int, int] = {}
    for account_id, cursor in rows:
        connection.execute("DELETE FROM entry WHERE account_id = ? AND cursor = ?", (account_id, cursor))
        floors[account_id] = max(cursor, floors.get(account_id, 0))
    for account_id, cursor in floors.items():
        connection.execute(
            "UPDATE account SET floor = max(floor, ?), cursor = max(cursor, ?) WHERE id = ?",
            (cursor, cursor, account_id),
        )
    return len(rows)


def _prune_inviter_events(connection: Connection, before: float, count: int) -> int:
    rows = connection.execute(
        "DELETE FROM inviter_event WHERE at < ? OR cursor <= "
        "(SELECT inviter.cursor - ? FROM inviter WHERE inviter.uid = inviter_event.uid) RETURNING uid, cursor",
        (before, count),
    ).fetchall()
    for uid, cursor in rows:
        connection.execute("UPDATE inviter SET floor = max(floor, ?) WHERE uid = ?", (cursor, uid))
    return len(rows)
