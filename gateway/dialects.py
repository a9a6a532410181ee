"""In what SQL databases differ: how to connect, parameters, how a transaction begins, and what an error means."""

from __future__ import annotations

import math
import os
import re
import socket
import sqlite3
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gateway.drivers import DriverError

if TYPE_CHECKING:
    from gateway.database import DatabaseUrl

SHARE = 0.9
"""Of the time that a transaction may take, what waiting for a lock may: "database is locked" says more than "no
answer"."""

PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")
"""A parameter in a statement."""

_INFORMATION = "SELECT column_name FROM information_schema.columns WHERE table_schema = {} AND table_name = :table"

MYSQL_TEMPORARY = frozenset(
    {
        # the client: no connection, lost, time-out
        *(2002, 2003, 2005, 2006, 2013, 2014, 2055),
        # the server: too many connections, going down, overloaded
        *(1040, 1053, 1077, 1158, 1159, 1160, 1161, 1203, 1226, 1927, 3024),
        # locks and conflicts: lock wait, deadlock, a row that another transaction has just written
        *(1205, 1213, 1020, 1062),
        # a replica that is about to take over
        *(1290, 1792, 1836),
        # disk full, table being repaired
        *(1021, 1114, 1194),
    }
)
"""Error numbers of MySQL and MariaDB after which trying again may help."""

POSTGRESQL_TEMPORARY = ("08", "40", "53", "57", "58", "23505", "25006", "55P03", "55006")
"""SQLSTATEs, or classes of them, after which trying again may help: connection, conflict, resources, operator at work,
system; a row just written by another, a replica, a lock."""

POSTGRESQL_REFUSALS = re.compile(
    r"password authentication failed|no pg_hba\.conf entry|role \"[^\"]*\" does not exist|database \"[^\"]*\" does not "
    r"exist|no password supplied|permission denied|certificate verify failed|root certificate file|SSL"
)
"""Why a connection is refused for good. libpq gives no SQLSTATE before a connection stands; other languages than
English are taken for temporary."""

SQLITE_FINAL = re.compile(r"no such|syntax error|has no column|readonly|values for|ambiguous|not authorized")


class Dialect(Protocol):
    """One kind of database."""

    errors: tuple[type[Exception], ...]
    """What its library raises."""
    columns: str
    """Statement that finds the columns of ``:table``."""
    keep: bool
    """Whether a connection is worth being kept."""

    def connect(self) -> Any:
        """Return a connection (DB-API 2.0) that begins no transactions by itself."""

    def statement(self, text: str) -> str:
        """Return a statement with its parameters written as the library wants them."""

    def begin(self, raw: Any, reading: bool) -> None:
        """Begin a transaction."""

    def interrupt(self, raw: Any) -> None:
        """Make the thread fail that uses the connection; called from another thread."""

    def abandon(self, raw: Any) -> None:
        """Undo the transaction and close the connection, which may be broken."""

    def text(self, error: Exception) -> str:
        """Return what an error says."""

    def is_temporary(self, error: Exception) -> bool:
        """Tell whether trying again may help."""


class Sqlite:
    """A file. It must exist: an empty one would only hide a wrong path."""

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    columns = "SELECT name FROM pragma_table_info(:table)"
    keep = False  # opening costs nothing, and an operator may put another file in its place

    def __init__(self, url: DatabaseUrl, password: str, timeout: float) -> None:
        self._path = Path(url.name)
        self._patience = timeout * SHARE

    def connect(self) -> sqlite3.Connection:
        """Open the file."""
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        return sqlite3.connect(uri, uri=True, timeout=self._patience, isolation_level=None, check_same_thread=False)

    def statement(self, text: str) -> str:
        """Return it as it is."""
        return text

    def begin(self, raw: Any, reading: bool) -> None:
        """Take the one lock for writers at once, so that nobody else's rows change between our looks at them."""
        raw.execute("BEGIN" if reading else "BEGIN IMMEDIATE")

    def interrupt(self, raw: Any) -> None:
        """Stop the running statement."""
        raw.interrupt()

    def abandon(self, raw: Any) -> None:
        """Undo first: a statement that somebody still holds would keep the file locked."""
        raw.rollback()
        raw.close()

    def text(self, error: Exception) -> str:
        """Return its text."""
        return str(error)

    def is_temporary(self, error: Exception) -> bool:
        """Locked, busy, not there yet: an operator may be at it. What is wrong with the tables stays wrong."""
        if isinstance(error, sqlite3.IntegrityError):
            return "UNIQUE" in str(error)
        return isinstance(error, sqlite3.OperationalError) and not SQLITE_FINAL.search(str(error))


class Mysql:
    """MySQL or MariaDB, by PyMySQL."""

    columns = _INFORMATION.format("DATABASE()")
    keep = True

    def __init__(self, url: DatabaseUrl, password: str, timeout: float) -> None:
        self._library = _library("pymysql", "mysql")
        self.errors: tuple[type[Exception], ...] = (self._library.err.Error, OSError)
        self._arguments: dict[str, Any] = {
            "host": url.host or "localhost",
            "port": url.port or 3306,
            "user": url.user or None,
            "password": password,
            "database": url.name,
            "unix_socket": url.socket or None,
            "charset": "utf8mb4",
            "autocommit": True,
            # rows that a statement has found, also when they were like that before
            "client_flag": self._library.constants.CLIENT.FOUND_ROWS,
            "connect_timeout": timeout,
            "read_timeout": timeout,
            "write_timeout": timeout,
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {max(1, math.floor(timeout * SHARE))}",
        }
        if url.ca_file:
            self._arguments |= {"ssl_ca": url.ca_file, "ssl_verify_cert": True, "ssl_verify_identity": True}

    def connect(self) -> Any:
        """Connect and log in."""
        return self._library.connect(**self._arguments)

    def statement(self, text: str) -> str:
        """Write ``%(name)s`` for ``:name``."""
        return _pyformat(text)

    def begin(self, raw: Any, reading: bool) -> None:
        """Begin a transaction."""
        raw.cursor().execute("START TRANSACTION READ ONLY" if reading else "START TRANSACTION")

    def interrupt(self, raw: Any) -> None:
        """Do nothing: the socket's own time-outs end it soon."""

    def abandon(self, raw: Any) -> None:
        """Close; the server undoes."""
        raw.close()

    def text(self, error: Exception) -> str:
        """Return the text without its number."""
        return str(error.args[-1]) if error.args else type(error).__name__

    def is_temporary(self, error: Exception) -> bool:
        """Go by the error number; a broken socket has none, and a wrong certificate stays wrong."""
        if isinstance(getattr(error, "original_exception", None), ssl.SSLCertVerificationError):
            return False
        if isinstance(error, OSError) or not error.args or error.args[0] == 0:
            return True
        return error.args[0] in MYSQL_TEMPORARY


class Postgresql:
    """PostgreSQL, by psycopg 3."""

    columns = _INFORMATION.format("ANY (current_schemas(false))")
    keep = True

    def __init__(self, url: DatabaseUrl, password: str, timeout: float) -> None:
        self._library = _library("psycopg", "postgresql")
        self.errors: tuple[type[Exception], ...] = (self._library.Error, OSError)
        self._milliseconds = max(1, int(timeout * SHARE * 1000))
        arguments: dict[str, Any] = {
            "host": url.socket or url.host or None,
            "port": url.port,
            "user": url.user or None,
            "password": password or None,
            "dbname": url.name,
            "connect_timeout": max(2, math.ceil(timeout)),
            "application_name": "rcsgw",
        }
        if url.ca_file:
            arguments |= {"sslmode": "verify-full", "sslrootcert": url.ca_file}
        self._arguments = {name: value for name, value in arguments.items() if value is not None}

    def connect(self) -> Any:
        """Connect and log in. Nothing is prepared in the server, so that a pooler may stand in between."""
        return self._library.connect(autocommit=True, prepare_threshold=None, **self._arguments)

    def statement(self, text: str) -> str:
        """Write ``%(name)s`` for ``:name``."""
        return _pyformat(text)

    def begin(self, raw: Any, reading: bool) -> None:
        """Begin a transaction whose statements the server itself cuts off."""
        raw.execute(f"BEGIN {'READ ONLY' if reading else ''}; SET LOCAL statement_timeout = {self._milliseconds}")

    def interrupt(self, raw: Any) -> None:
        """Shut the socket down below the library, whose thread then reads an end of file."""
        try:
            with socket.socket(fileno=os.dup(raw.fileno())) as below:
                below.shutdown(socket.SHUT_RDWR)
        except self.errors:
            pass  # closed already

    def abandon(self, raw: Any) -> None:
        """Close; the server undoes."""
        raw.close()

    def text(self, error: Exception) -> str:
        """Return the first line; the next ones show the statement."""
        return str(error).strip().partition("\n")[0] or type(error).__name__

    def is_temporary(self, error: Exception) -> bool:
        """Go by the SQLSTATE; an error without one is about the connection."""
        state: str | None = getattr(error, "sqlstate", None)
        if state is not None:
            return state.startswith(POSTGRESQL_TEMPORARY)
        if isinstance(error, self._library.OperationalError):
            return not POSTGRESQL_REFUSALS.search(str(error))
        return isinstance(error, OSError)


def _library(module: str, extra: str) -> Any:
    """Import a library that comes with an extra of the package."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        text = f"{module} is not installed, which this kind of database needs: pip install 'rcsgw[{extra}]'"
        raise DriverError(text, temporary=False) from error


def _pyformat(statement: str) -> str:
    return PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%"))


DIALECTS: dict[str, type[Sqlite | Mysql | Postgresql]] = {"sqlite": Sqlite, "mysql": Mysql, "postgresql": Postgresql}
