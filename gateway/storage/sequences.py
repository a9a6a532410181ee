"""SQL of the sequence numbers that networks have used for accounts with a SIM."""

from __future__ import annotations

from sqlite3 import Connection


def everything(connection: Connection) -> dict[str, int]:
    """Return private identity → highest number."""
    return dict(connection.execute("SELECT impi, sqn FROM sim"))


def put(connection: Connection, impi: str, sqn: int) -> None:
    """Write a number, unless a higher one is there."""
    connection.execute(
        "INSERT INTO sim (impi, sqn) VALUES (?, ?) ON CONFLICT (impi) DO UPDATE SET sqn = max(sqn, excluded.sqn)",
        (impi, sqn),
    )
