"""SQL databases of others: the tables of a Kamailio core, in SQLite, MySQL or MariaDB, or PostgreSQL.

One statement serves all three: parameters are written ``:name``, so no literal in a statement may hold a colon with a
letter behind it. Libraries block, so each transaction runs in a thread; what takes too long is cut off there as well,
not only forgotten. The library of a server is imported when the first database of its kind is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway.dialects import DIALECTS, PARAMETER, Dialect
from gateway.drivers import DriverError

CONNECTIONS = 4
"""Transactions at once, each with a connection of its own: more would only wait for the same rows in the server."""

MASK = "***"
"""What stands for a password in texts."""

SCHEMES = {
    "sqlite": "sqlite",
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgresql": "postgresql",
    "postgres": "postgresql",
}
OPTIONS = frozenset({"socket", "ca"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where a database is."""

    kind: str
    """``sqlite``, ``mysql`` or ``postgresql``."""
    name: str
    """Path of the file, or name of the database in its server."""
    host: str = ""
    port: int | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    socket: str = ""
    """Local socket instead of host and port: its path (MySQL) or the folder it is in (PostgreSQL)."""
    ca_file: str = ""
    """Authorities (PEM) to check the server's certificate with; TLS is required then."""

    @classmethod
    def parse(cls, text: str, folder: Path | None = None) -> DatabaseUrl:
        """Read ``mysql://user:password@host:3306/name``, ``postgresql://…/name``, ``sqlite:///path`` or a bare path.

        Options of a server: ``?socket=PATH``, ``?ca=FILE``. Relative paths start at ``folder``. Raises ValueError.
        """
        if "://" not in text:
            return cls("sqlite", _path(text, folder))
        try:
            parts = urlsplit(text)
            port, options = parts.port, dict(parse_qsl(parts.query, strict_parsing=True) if parts.query else ())
        except ValueError:
            raise ValueError("is no URL of a database") from None  # what urlsplit says may hold the password
        kind = SCHEMES.get(parts.scheme)
        if kind is None:
            raise ValueError("begins with none of mysql://, postgresql://, sqlite://")
        if kind == "sqlite":
            if parts.netloc or len(parts.path) < 2:
                raise ValueError("must be sqlite:///absolute/path, or just the path")
            return cls("sqlite", unquote(parts.path))
        name = unquote(parts.path.removeprefix("/"))
        if not name or "/" in name:
            raise ValueError("must end with the name of the database")
        if unknown := set(options) - OPTIONS:
            raise ValueError(f"has the unknown option {', '.join(sorted(unknown))}")
        return cls(
            kind,
            name,
            host=parts.hostname or "",
            port=port,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            socket=options.get("socket", ""),
            ca_file=_path(options["ca"], folder) if "ca" in options else "",
        )

    def __str__(self) -> str:
        """Return the URL as texts may show it."""
        if self.kind == "sqlite":
            return self.name
        host = f"[{self.host}]" if ":" in self.host else self.host
        server = f"{host}:{self.port}" if self.port else host
        return f"{self.kind}://{server}/{self.name}" + (f"?socket={self.socket}" if self.socket else "")


def _path(text: str, folder: Path | None) -> str:
    return str((folder or Path()) / Path(text).expanduser())


class Connection:
    """One transaction in one database; made by :class:`Database`, used in its thread only."""

    def __init__(self, dialect: Dialect, raw: Any) -> None:
        self._dialect = dialect
        self._raw = raw

    def rows(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Return the rows that a SELECT finds."""
        cursor = self._execute(statement, values)
        rows: list[tuple[Any, ...]] = [tuple(row) for row in cursor.fetchall()]
        cursor.close()
        return rows

    def execute(self, statement: str, **values: object) -> int:
        """Run a statement that changes something; return how many rows it found to change."""
        cursor = self._execute(statement, values)
        count: int = cursor.rowcount
        cursor.close()
        return count

    def columns(self, table: str) -> frozenset[str]:
        """Return the columns of a table; none when there is no such table."""
        return frozenset(name for (name,) in self.rows(self._dialect.columns, table=table))

    def rehearsal(self) -> Rehearsal:
        """Return the same transaction without the power to change anything."""
        return Rehearsal(self._dialect, self._raw)

    def _execute(self, statement: str, values: dict[str, object]) -> Any:
        cursor = self._raw.cursor()
        cursor.execute(self._dialect.statement(statement), values)
        return cursor


class Rehearsal(Connection):
    """A transaction that looks for real and changes nothing: what it would have run is in ``statements``."""

    def __init__(self, dialect: Dialect, raw: Any) -> None:
        super().__init__(dialect, raw)
        self.statements: list[str] = []

    def execute(self, statement: str, **values: object) -> int:
        """Note a statement with its values filled in; say that it found a row."""
        self.statements.append(PARAMETER.sub(lambda match: _literal(values[match[1]]), statement) + ";")
        return 1


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


class Database:
    """A database and a few connections to it, opened when needed and again when they break."""

    def __init__(self, url: DatabaseUrl | str, *, password: str = "", timeout: float = 5.0) -> None:
        """``password`` is used instead of the URL's where given; a transaction takes at most ``timeout`` seconds.

        Raises ValueError for a URL that is none, :class:`DriverError` when the library for it is not installed.
        """
        self.url = DatabaseUrl.parse(url) if isinstance(url, str) else url
        self._password = password or self.url.password
        self._timeout = timeout
        self._late = f"{self.url}: no answer within {timeout:g} s"
        self._dialect = DIALECTS[self.url.kind](self.url, self._password, timeout)
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="database")
        self._idle: deque[Any] = deque()
        self._closed = False

    @property
    def kind(self) -> str:
        """``sqlite``, ``mysql`` or ``postgresql``."""
        return self.url.kind

    async def run(self, work: Callable[[Connection], T], *, reading: bool = False) -> T:
        """Run ``work`` as one transaction in a thread and return what it returns; ``reading``: it changes nothing.

        What it raises undoes the transaction and comes out here, errors of the database as :class:`DriverError` that
        tells what is temporary: no connection, no answer in time, locks, conflicts. When the answer to the commit is
        lost it has perhaps been done, so ``work`` should be repeatable.
        """
        transaction = _Transaction()
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._threads, self._transact, work, reading, transaction)
        try:
            async with asyncio.timeout(self._timeout):
                return await future
        except TimeoutError:
            raise DriverError(self._late, temporary=True) from None
        finally:
            transaction.wanted = False
            if not transaction.done and transaction.raw is not None:
                self._dialect.interrupt(transaction.raw)

    async def rehearse(self, work: Callable[[Connection], object]) -> list[str]:
        """Return the statements by which ``work`` would change something; it looks at the database as it is."""

        def run(connection: Connection) -> list[str]:
            rehearsal = connection.rehearsal()
            work(rehearsal)
            return rehearsal.statements

        return await self.run(run, reading=True)

    async def close(self) -> None:
        """Close the connections that nobody uses; those in use are closed by who uses them."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        while self._idle:
            await asyncio.to_thread(self._idle.pop().close)

    # in the threads

    def _transact(self, work: Callable[[Connection], T], reading: bool, transaction: _Transaction) -> T:
        raw = None
        try:
            raw = transaction.raw = self._begin(reading)
            result = work(Connection(self._dialect, raw))
            if not transaction.wanted:
                raise DriverError(self._late, temporary=True)
            raw.cursor().execute("COMMIT")
        except self._dialect.errors as error:
            failure = self._failure(error)
        except BaseException:
            self._drop(raw)
            raise
        else:
            self._keep(raw)
            return result
        finally:
            transaction.done = True
        self._drop(raw)
        raise failure  # out here it has no context: what the library raised may hold what is masked

    def _failure(self, error: Exception) -> DriverError:
        text = self._dialect.text(error)
        shown = text.replace(self._password, MASK) if self._password else text
        return DriverError(f"{self.url}: {shown}", temporary=self._dialect.is_temporary(error))

    def _begin(self, reading: bool) -> Any:
        """Return a connection with a transaction begun; one that has died while it was idle is noticed here."""
        while True:
            try:
                raw = self._idle.pop()
            except IndexError:
                break
            try:
                self._dialect.begin(raw, reading)
                return raw
            except self._dialect.errors:
                self._drop(raw)
        raw = self._dialect.connect()
        try:
            self._dialect.begin(raw, reading)
        except BaseException:
            self._drop(raw)
            raise
        return raw

    def _keep(self, raw: Any) -> None:
        if self._dialect.keep and not self._closed:
            self._idle.append(raw)
        else:
            raw.close()

    def _drop(self, raw: Any) -> None:
        """Close a connection in the midst of a transaction, which undoes it."""
        if raw is not None:
            with contextlib.suppress(*self._dialect.errors):
                self._dialect.abandon(raw)


class _Transaction:
    """What the event loop knows of a transaction in a thread, so that it can end one that nobody waits for."""

    __slots__ = ("done", "raw", "wanted")

    def __init__(self) -> None:
        self.raw: Any = None
        self.done = False
        self.wanted = True
