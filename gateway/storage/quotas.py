"""SQL of quotas: how many invitations an inviter has, and has made lately. Functions inside a transaction of the store.

Rows of ``invited`` outlive their invitations by up to a day: whoever invites and revokes has invited all the same.
"""

from __future__ import annotations

from sqlite3 import Connection

from gateway.storage.errors import OverQuota
from gateway.storage.invitationstore import Quota

MINUTE = 60.0
DAY = 86400.0

TAKE_DOWN = 2.0
"""Seconds after which an invitation that is being taken down will have made room."""


def check(connection: Connection, uid: str, quota: Quota, now: float) -> None:
    """Raise :class:`OverQuota` where one more invitation would be too many."""
    if quota.open and (room_at := _open_full(connection, uid, quota.open, now)):
        raise OverQuota("open", room_at)
    if quota.per_day and (heals_at := _full(connection, uid, quota.per_day, now, DAY)):
        raise OverQuota("day", heals_at)
    if quota.per_minute and (heals_at := _full(connection, uid, quota.per_minute, now, MINUTE)):
        raise OverQuota("minute", heals_at)


def _open_full(connection: Connection, uid: str, limit: int, now: float) -> float | None:
    """Return when one of ``limit`` open invitations or more will be over; None when there are fewer."""
    # By the index alone, and no further than the limit: most inviters are below it, and some have thousands.
    few = "SELECT count(*) FROM (SELECT 1 FROM invitation WHERE uid = ? LIMIT ?)"
    if connection.execute(few, (uid, limit)).fetchone()[0] < limit:
        return None
    row = connection.execute(
        "SELECT min(CASE state WHEN 'ending' THEN ? ELSE expires_at END) FROM invitation WHERE uid = ?",
        (now + TAKE_DOWN, uid),
    ).fetchone()
    return float(row[0])


def _full(connection: Connection, uid: str, limit: int, now: float, window: float) -> float | None:
    """Return when ``limit`` invitations within ``window`` seconds are fewer again; None when they are fewer now."""
    # the limit-th newest is the one that has to leave the window first
    row = connection.execute(
        "SELECT at FROM invited WHERE uid = ? AND at > ? ORDER BY at DESC LIMIT 1 OFFSET ?",
        (uid, now - window, limit - 1),
    ).fetchone()
    return None if row is None else float(row[0]) + window


def count(connection: Connection, uid: str, now: float) -> None:
    """Note an invitation, and forget those of more than a day ago."""
    connection.execute("DELETE FROM invited WHERE at <= ?", (now - DAY,))
    connection.execute("INSERT INTO invited (uid, at) VALUES (?, ?)", (uid, now))


def inviters(connection: Connection) -> list[str]:
    """Return the UIDs of all who have invitations that are not ending."""
    rows = connection.execute("SELECT DISTINCT uid FROM invitation WHERE state <> 'ending' ORDER BY uid")
    return [uid for (uid,) in rows]
