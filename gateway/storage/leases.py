"""SQL of accounts that others name: which of a pool are out or resting, and what is being asked for just now."""

from __future__ import annotations

from dataclasses import astuple
from sqlite3 import Connection

from gateway.storage.leasestore import Lease


def everything(connection: Connection, origin: str) -> list[Lease]:
    """Return the leases of an origin, those first that were written first."""
    rows = connection.execute(
        "SELECT key, origin, identifier_kind, identifier, request, free_at FROM lease WHERE origin = ? ORDER BY rowid",
        (origin,),
    )
    return [Lease(*row) for row in rows]


def put(connection: Connection, lease: Lease) -> None:
    """Write a lease in the place of one with the same key."""
    connection.execute(
        "INSERT OR REPLACE INTO lease (key, origin, identifier_kind, identifier, request, free_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        astuple(lease),
    )


def drop(connection: Connection, key: str, origin: str) -> None:
    """Forget a lease."""
    connection.execute("DELETE FROM lease WHERE key = ? AND origin = ?", (key, origin))
