"""SQL of files: functions that run inside a transaction of the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields
from sqlite3 import Connection

from gateway.storage.filestore import FileRecord

COLUMNS = tuple(field.name for field in fields(FileRecord))

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM file"
_INSERT = f"INSERT INTO file ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_UPDATE = f"UPDATE file SET {', '.join(f'{name} = ?' for name in COLUMNS[1:])} WHERE id = ?"


def add(connection: Connection, record: FileRecord) -> None:
    """Insert a file."""
    connection.execute(_INSERT, astuple(record))


def update(connection: Connection, record: FileRecord) -> bool:
    """Write every column of a file that is still there."""
    id, *values = astuple(record)
    return connection.execute(_UPDATE, (*values, id)).rowcount == 1


def find(connection: Connection, id: str) -> FileRecord | None:
    """Return one file."""
    row = connection.execute(f"{_SELECT} WHERE id = ?", (id,)).fetchone()
    return FileRecord(*row) if row else None


def of_account(connection: Connection, account_id: int, uid: str | None) -> list[FileRecord]:
    """Return files of an account, oldest first."""
    rows = connection.execute(
        f"{_SELECT} WHERE account_id = ? AND uid = coalesce(?, uid) ORDER BY created, id", (account_id, uid)
    )
    return [FileRecord(*row) for row in rows]


def everything(connection: Connection) -> list[FileRecord]:
    """Return every file, oldest first."""
    return [FileRecord(*row) for row in connection.execute(f"{_SELECT} ORDER BY created, id")]


def over(connection: Connection, now: float) -> list[FileRecord]:
    """Return files whose time is over."""
    rows = connection.execute(f"{_SELECT} WHERE until <= ? AND state <> 'expired' ORDER BY until", (now,))
    return [FileRecord(*row) for row in rows]


def delete(connection: Connection, ids: Sequence[str]) -> None:
    """Delete files."""
    connection.executemany("DELETE FROM file WHERE id = ?", [(id,) for id in ids])
