"""Accounts of a Kamailio core: rows of ``auth_db``'s subscriber table, written while Kamailio runs.

Works with the table that comes with Kamailio (version 7), in SQLite, MySQL or MariaDB, or PostgreSQL, and with two
additions that labs make: a column ``impus`` and a table ``impu`` with the public identities. The next REGISTER finds
the row; nothing has to be restarted. The column ``password``, which Kamailio does not read where there are hashes, gets
a mark that tells our rows from those of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gateway.database import Connection, Database
from gateway.drivers import Checked, DriverError
from gateway.provisioning.base import Audit, CoreAccount

ALGORITHMS = ("MD5", "SHA-256")
"""What ``auth_db`` can have in ha1; a table holds the hashes of one of them."""

COLUMNS = frozenset({"username", "domain", "ha1", "password"})
"""What a subscriber table must have for :class:`KamailioProvisioning`; ``ha1b`` and ``impus`` may be there."""

IMPU_COLUMNS = {"uri", "impi", "domain"}
_KEY = "username = :username AND domain = :domain"


class KamailioProvisioning:
    """:class:`gateway.provisioning.base.ProvisioningDriver` for a subscriber table."""

    def __init__(self, database: Database, *, mark: Callable[[str], str], algorithm: str = "MD5") -> None:
        """``algorithm`` is that of Kamailio's challenges; ``mark`` makes the mark of a row from its
        ``username@domain``. The driver closes the database."""
        self._database = database
        self._mark = mark
        self._algorithm = algorithm

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        """Tell whether somebody else's row has this name or this public identity."""
        return await self._database.run(lambda connection: self._taken(connection, uri, impi, realm), reading=True)

    async def provision(self, account: CoreAccount) -> None:
        """Insert the row, or bring ours up to date."""
        await self._database.run(lambda connection: self._put(connection, account))

    async def deprovision(self, account: CoreAccount) -> None:
        """Delete the row if it is ours."""
        await self._database.run(lambda connection: self._delete(connection, account))

    async def close(self) -> None:
        """Close the database."""
        await self._database.close()

    async def check(self) -> Checked:
        """Look whether the subscriber table is there and has our columns (:class:`gateway.drivers.Checkable`)."""
        columns = await self._database.run(lambda connection: connection.columns("subscriber"), reading=True)
        if not columns:
            raise DriverError(f"{self._database.url} has no table subscriber.", temporary=False)
        if missing := sorted(COLUMNS - columns):
            text = f"{self._database.url}: table subscriber has no column {', '.join(missing)}."
            raise DriverError(text, temporary=False)
        return Checked(f"{self._database.url} has a subscriber table")

    # gateway.provisioning.base.DryRun

    async def rehearse(self, account: CoreAccount) -> list[str]:
        """Return the statements."""
        lines = await self._database.rehearse(lambda connection: self._put(connection, account))
        user, domain = _row_key(account.impi, account.realm)
        lines += await self._database.rehearse(lambda connection: _delete_row(connection, user, domain))
        return [f"SQL in {self._database.url}: {line}" for line in lines]

    # gateway.provisioning.base.Auditable

    async def audit(self, accounts: Sequence[CoreAccount]) -> Audit:
        """Compare by the marks in the table, and by the hashes where an older version has left none."""
        return await self._database.run(lambda connection: self._audit(connection, accounts), reading=True)

    async def remove(self, name: str) -> None:
        """Delete a row with our mark."""
        user, _, domain = name.rpartition("@")

        def remove(connection: Connection) -> None:
            row = _row(connection, user, domain)
            if row is not None and row[1] == self._mark(name):
                _delete_row(connection, user, domain)

        await self._database.run(remove)

    # transactions

    def _audit(self, connection: Connection, accounts: Sequence[CoreAccount]) -> Audit:
        rows = connection.rows("SELECT username, domain, password FROM subscriber WHERE password LIKE 'rcsgw-%'")
        ours = {name for user, domain, mark in rows if mark == self._mark(name := f"{user}@{domain}")}
        wanted = {"@".join(_row_key(account.impi, account.realm)): account for account in accounts}
        missing = []
        for account in (wanted[name] for name in wanted.keys() - ours):
            row = _row(connection, *_row_key(account.impi, account.realm))
            if row is None or not self._is_ours(row, account):
                missing.append(account.uri)
        return Audit(tuple(sorted(missing)), tuple(sorted(ours - wanted.keys())))

    def _taken(self, connection: Connection, uri: str, impi: str, realm: str) -> bool:
        public_user, _, public_domain = uri.partition(":")[2].rpartition("@")
        for user, domain in {_row_key(impi, realm), (public_user, public_domain)}:
            row = _row(connection, user, domain)
            if row is not None and row[1] != self._mark(f"{user}@{domain}"):
                return True  # one with our mark was left behind by an account that is no more
        return _identity_taken(connection, uri, self._mark)

    def _put(self, connection: Connection, account: CoreAccount) -> None:
        user, domain = _row_key(account.impi, account.realm)
        values = {
            "password": self._mark(f"{user}@{domain}"),
            "ha1": account.ha1(user, account.realm, self._algorithm),
            "ha1b": account.ha1(f"{user}@{domain}", account.realm, self._algorithm),
            "impus": account.uri,
        }
        columns = connection.columns("subscriber")
        values = {name: value for name, value in values.items() if name in columns}
        row = _row(connection, user, domain)
        if row is None:
            values = {"username": user, "domain": domain} | values
            names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
            connection.execute(f"INSERT INTO subscriber ({names}) VALUES ({marks})", **values)
        elif self._is_ours(row, account):
            changes = ", ".join(f"{name} = :{name}" for name in values)
            connection.execute(f"UPDATE subscriber SET {changes} WHERE {_KEY}", username=user, domain=domain, **values)
        else:
            raise DriverError(f"Kamailio has an account {user}@{domain} that is not ours.", temporary=False)
        if connection.columns("impu") >= IMPU_COLUMNS:
            connection.execute("DELETE FROM impu WHERE uri = :uri", uri=account.uri)
            connection.execute(
                "INSERT INTO impu (uri, impi, domain) VALUES (:uri, :impi, :domain)",
                uri=account.uri,
                impi=user,
                domain=domain,
            )

    def _delete(self, connection: Connection, account: CoreAccount) -> None:
        user, domain = _row_key(account.impi, account.realm)
        row = _row(connection, user, domain)
        if row is None or self._is_ours(row, account):
            _delete_row(connection, user, domain)

    def _is_ours(self, row: tuple[Any, ...], account: CoreAccount) -> bool:
        ha1, password = row
        name = "@".join(_row_key(account.impi, account.realm))
        return password == self._mark(name) or ha1 in self._own_hashes(account)

    def _own_hashes(self, account: CoreAccount) -> set[str]:
        """Return the hashes by which an unmarked row is known to be ours, whatever algorithm there was at its time."""
        user, _ = _row_key(account.impi, account.realm)
        return {account.ha1(user, account.realm, algorithm) for algorithm in ALGORITHMS}


def _row_key(impi: str, realm: str) -> tuple[str, str]:
    """Return username and domain of the row: auth_db splits ``user@domain``, and takes the realm where none is."""
    user, _, domain = impi.rpartition("@")
    return (user, domain) if user else (impi, realm)


def _row(connection: Connection, user: str, domain: str) -> tuple[Any, ...] | None:
    """Return ha1 and password of a row."""
    query = f"SELECT ha1, password FROM subscriber WHERE {_KEY}"
    return next(iter(connection.rows(query, username=user, domain=domain)), None)


def _delete_row(connection: Connection, user: str, domain: str) -> None:
    connection.execute(f"DELETE FROM subscriber WHERE {_KEY}", username=user, domain=domain)
    if connection.columns("impu") >= IMPU_COLUMNS:
        connection.execute("DELETE FROM impu WHERE impi = :impi AND domain = :domain", impi=user, domain=domain)


def _identity_taken(connection: Connection, uri: str, mark: Callable[[str], str]) -> bool:
    """Tell whether a public identity is that of an account of others."""
    if "impus" in connection.columns("subscriber"):
        # LIKE narrows it down; "_" and "%" of the URI may find too much
        rows = connection.rows(
            "SELECT username, domain, password, impus FROM subscriber WHERE impus LIKE :pattern", pattern=f"%{uri}%"
        )
        for user, domain, password, impus in rows:
            if uri in impus.split(",") and password != mark(f"{user}@{domain}"):
                return True
    if "uri" not in connection.columns("impu"):
        return False
    query = (
        "SELECT impu.impi, impu.domain, subscriber.password FROM impu LEFT JOIN subscriber "
        "ON subscriber.username = impu.impi AND subscriber.domain = impu.domain WHERE impu.uri = :uri"
    )
    return any(password != mark(f"{impi}@{domain}") for impi, domain, password in connection.rows(query, uri=uri))
