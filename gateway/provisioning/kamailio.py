"""Accounts of a Kamailio core: rows of ``auth_db``'s subscriber table, inserted while Kamailio runs.

Works with the table that comes with Kamailio (version 7) and with two additions that labs make: a column ``impus``
and a table ``impu`` with the public identities. The next REGISTER finds the row; nothing has to be restarted.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from gateway.drivers import DriverError
from gateway.provisioning.base import CoreAccount

ALGORITHMS = ("MD5", "SHA-256")
"""What ``auth_db`` can have in ha1; a table holds the hashes of one of them."""

T = TypeVar("T")


class KamailioProvisioning:
    """:class:`gateway.provisioning.base.ProvisioningDriver` for a SQLite subscriber table."""

    def __init__(self, database: Path, *, algorithm: str = "MD5", busy_timeout: float = 2.0) -> None:
        """``algorithm`` is that of Kamailio's challenges; ``busy_timeout`` the seconds to wait for other writers."""
        self._database = database
        self._algorithm = algorithm
        self._busy_timeout = busy_timeout

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        """Tell whether there is a row of this name, or one with this public identity."""
        user, domain = _row_key(impi, realm)
        public_user, _, public_domain = uri.partition(":")[2].rpartition("@")

        def look(connection: sqlite3.Connection) -> bool:
            keys = {(user, domain), (public_user, public_domain)}
            found = [_row(connection, *key, ("username",)) for key in keys]
            return any(found) or _impu_taken(connection, uri)

        return await self._run(look)

    async def provision(self, account: CoreAccount) -> None:
        """Insert the row, or bring ours up to date."""
        await self._run(lambda connection: self._insert(connection, account))

    async def deprovision(self, account: CoreAccount) -> None:
        """Delete the row if it is ours."""
        await self._run(lambda connection: self._delete(connection, account))

    async def close(self) -> None:
        """Hold nothing: each call opens the file."""

    def _insert(self, connection: sqlite3.Connection, account: CoreAccount) -> None:
        user, domain = _row_key(account.impi, account.realm)
        columns = _columns(connection, "subscriber")
        values = {
            "password": "",
            "ha1": account.ha1(user, account.realm, self._algorithm),
            "ha1b": account.ha1(f"{user}@{domain}", account.realm, self._algorithm),
            "impus": account.uri,
        }
        values = {name: value for name, value in values.items() if name in columns}
        row = _row(connection, user, domain, ("ha1",))
        if row is None:
            values = {"username": user, "domain": domain} | values
            names = ", ".join(values)
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO subscriber ({names}) VALUES ({marks})", tuple(values.values()))
        elif row[0] not in self._own_hashes(account):
            raise DriverError(f"Kamailio has an account {user}@{domain} that is not ours.", temporary=False)
        else:
            changes = ", ".join(f"{name} = ?" for name in values)
            connection.execute(
                f"UPDATE subscriber SET {changes} WHERE username = ? AND domain = ?", (*values.values(), user, domain)
            )
        if {"uri", "impi", "domain"} <= _columns(connection, "impu"):
            connection.execute(
                "INSERT OR REPLACE INTO impu (uri, impi, domain) VALUES (?, ?, ?)", (account.uri, user, domain)
            )

    def _delete(self, connection: sqlite3.Connection, account: CoreAccount) -> None:
        user, domain = _row_key(account.impi, account.realm)
        row = _row(connection, user, domain, ("ha1",))
        if row is not None and row[0] not in self._own_hashes(account):
            return
        connection.execute("DELETE FROM subscriber WHERE username = ? AND domain = ?", (user, domain))
        if {"uri", "impi", "domain"} <= _columns(connection, "impu"):
            connection.execute("DELETE FROM impu WHERE impi = ? AND domain = ?", (user, domain))

    def _own_hashes(self, account: CoreAccount) -> set[str]:
        """Return the hashes by which a row is known to be ours, whatever algorithm was configured at its time."""
        user, _ = _row_key(account.impi, account.realm)
        return {account.ha1(user, account.realm, algorithm) for algorithm in ALGORITHMS}

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` as one transaction in a thread of its own."""
        return await asyncio.to_thread(self._transact, work)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        uri = f"{self._database.absolute().as_uri()}?mode=rw"
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=self._busy_timeout, isolation_level=None)
            with closing(connection):
                connection.execute("BEGIN IMMEDIATE")
                result = work(connection)
                connection.execute("COMMIT")
                return result
        except sqlite3.OperationalError as error:
            # locked, busy, not there yet: an operator may be at it; no such table: will not heal by itself
            raise DriverError(f"{self._database}: {error}", temporary="no such" not in str(error)) from error
        except sqlite3.Error as error:
            raise DriverError(f"{self._database}: {error}", temporary=False) from error


def _row_key(impi: str, realm: str) -> tuple[str, str]:
    """Return username and domain of the row: auth_db splits ``user@domain``, and takes the realm where none is."""
    user, _, domain = impi.rpartition("@")
    return (user, domain) if user else (impi, realm)


def _row(connection: sqlite3.Connection, user: str, domain: str, columns: tuple[str, ...]) -> tuple[str, ...] | None:
    query = f"SELECT {', '.join(columns)} FROM subscriber WHERE username = ? AND domain = ?"
    row: tuple[str, ...] | None = connection.execute(query, (user, domain)).fetchone()
    return row


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the columns of a table, none when there is no such table."""
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def _impu_taken(connection: sqlite3.Connection, uri: str) -> bool:
    if "uri" not in _columns(connection, "impu"):
        return False
    return connection.execute("SELECT 1 FROM impu WHERE uri = ?", (uri,)).fetchone() is not None
