"""SQL of the history: who did what and when. Functions that run inside the transaction of what they tell of."""

from __future__ import annotations

import re
from sqlite3 import Connection

from gateway.storage.historystore import Actor, Happened, Hide, Order, OrderKind

CLOCK = "wall_time"
"""SQL function of the writing connection: Unix seconds."""

FORGET_LIMIT = 5000
"""Rows that one call of :func:`forget` deletes, so that it never holds up the writer for long."""

ENDS: dict[str, tuple[str, Actor]] = {
    "revoked": ("revoked", "inviter"),
    "inviter-logout": ("ended", "inviter"),
    "logout": ("ended", "guest"),
    "expired": ("expired", "gateway"),
    "never-came": ("expired", "gateway"),
    "failed": ("failed", "gateway"),
    "operator": ("revoked", "operator"),
    "purged": ("revoked", "operator"),
}
"""Reason of an end → step and actor; any other is an end by the gateway."""

_COLUMNS = "id, at, account_id, account, identifier, uid, step, actor, why, detail"

_NAMES = re.compile(r"[^\s<>\"'(),;]+@[^\s<>\"'(),;]+|\+?\d[\d .()-]{4,}\d")
"""Addresses and numbers of six digits and more."""


def note(
    connection: Connection,
    account_id: int,
    step: str,
    actor: Actor = "gateway",
    *,
    uid: str = "",
    why: str = "",
    detail: str = "",
) -> None:
    """Note a step in the life of an account; nothing happens when there is no such account."""
    connection.execute(
        "INSERT INTO history (at, account_id, account, identifier, uid, step, actor, why, detail) "
        f"SELECT {CLOCK}(), id, uri, identifier, ?, ?, ?, ?, ? FROM account WHERE id = ?",
        (uid, step, actor, why, detail, account_id),
    )


def note_invitation(
    connection: Connection,
    invitation_id: int,
    step: str,
    actor: Actor = "gateway",
    *,
    why: str = "",
    detail: str = "",
) -> None:
    """Note a step in the life of an invitation."""
    found = connection.execute("SELECT account_id, uid FROM invitation WHERE id = ?", (invitation_id,)).fetchone()
    if found is not None:
        note(connection, found[0], step, actor, uid=found[1], why=why, detail=detail)


def note_end(connection: Connection, invitation_id: int, reason: str, detail: str) -> None:
    """Note that an invitation is over."""
    step, actor = ENDS.get(reason, ("ended", "gateway"))
    note_invitation(connection, invitation_id, step, actor, why=reason, detail=detail)


def hide(connection: Connection, account_id: int, hash: Hide) -> None:
    """Keep of the persons in the history of an account nothing but keyed hashes."""
    rows = connection.execute(
        "SELECT id, account, identifier, uid, detail FROM history WHERE account_id = ?", (account_id,)
    ).fetchall()
    connection.executemany(
        "UPDATE history SET account = ?, identifier = ?, uid = ?, detail = ? WHERE id = ?",
        [
            (hash(account), hash(identifier), hash(uid) if uid else "", _NAMES.sub("…", detail), id)
            for id, account, identifier, uid, detail in rows
        ],
    )


def find(connection: Connection, names: tuple[str, ...], limit: int) -> list[Happened]:
    """Return the newest steps about one of ``names``, oldest first."""
    query, values = f"SELECT {_COLUMNS} FROM history", list[object]()
    if names:
        marks = ", ".join("?" * len(names))
        query += f" WHERE account IN ({marks}) OR identifier IN ({marks}) OR uid IN ({marks})"
        values += names * 3
    rows = connection.execute(f"{query} ORDER BY id DESC LIMIT ?", (*values, limit)).fetchall()
    return [Happened(*row) for row in reversed(rows)]


def forget(connection: Connection, before: float) -> int:
    """Delete what is older."""
    statement = "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE at < ? LIMIT ?)"
    return connection.execute(statement, (before, FORGET_LIMIT)).rowcount


# orders of operators


def place(connection: Connection, kind: OrderKind, account: str, uid: str) -> int:
    """Write an order."""
    cursor = connection.execute(
        "INSERT INTO operator_order (kind, account, uid) VALUES (?, ?, ?)", (kind, account, uid)
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def orders(connection: Connection) -> list[Order]:
    """Return orders that are not done."""
    rows = connection.execute(
        "SELECT id, kind, account, uid, result FROM operator_order WHERE result IS NULL ORDER BY id"
    )
    return [Order(*row) for row in rows]


def take_result(connection: Connection, id: int, withdraw: bool) -> str | None:
    """Return the result of an order, and forget the order if there is one or nobody wants it any more."""
    row = connection.execute("SELECT result FROM operator_order WHERE id = ?", (id,)).fetchone()
    result: str | None = row[0] if row is not None else None
    if result is not None or withdraw:
        connection.execute("DELETE FROM operator_order WHERE id = ?", (id,))
    return result
