"""A file of SQLite in WAL mode: one writer thread, a few reader threads."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Connection
from typing import Concatenate, Literal, ParamSpec, TypeVar

from gateway.storage import history
from gateway.storage.errors import StoreError
from gateway.storage.schema import SchemaTooNew, migrate
from gateway.storage.writer import Writer

READERS = 2
"""Reader threads: a read takes well below a millisecond."""

BUSY_TIMEOUT = 2.0
"""Seconds to wait for another process that holds the file, such as an operator's shell or a backup."""

CACHED_STATEMENTS = 512
"""Prepared statements kept: one for each number of rows of the writer's two hot statements, and the others."""

P = ParamSpec("P")
T = TypeVar("T")


class SqliteFile:
    """Runs transactions on one file: those that write by :meth:`_write`, the others by :meth:`_read`."""

    def __init__(
        self,
        path: str | Path,
        *,
        synchronous: Literal["full", "normal"] = "full",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` returns the Unix seconds that the history is written with."""
        self._clock = clock
        self.path = Path(path)
        self.synchronous = synchronous
        self._pressure: Callable[[bool], None] | None = None
        self._writer: Writer | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._open_readers: list[Connection] = []

    # life

    async def open(self) -> None:
        """Open the file, make or update its tables. Raises StoreError."""
        try:
            connection = await asyncio.to_thread(self._open)
        except (OSError, sqlite3.Error, SchemaTooNew) as error:
            raise StoreError(f"{self.path}: {error}") from error
        self._writer = Writer(connection, self._commit, asyncio.get_running_loop())
        self._writer.on_pressure = self._pressure
        self._readers = ThreadPoolExecutor(READERS, "store-reader", self._open_reader)

    async def close(self) -> None:
        """Write what waits and close; a second call does nothing."""
        readers, self._readers = self._readers, None
        if readers is not None:
            await asyncio.to_thread(readers.shutdown)
            for connection in self._open_readers:
                connection.close()
            self._open_readers.clear()
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()

    def _open(self) -> Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {self.synchronous}")
            migrate(connection)
            connection.create_function(history.CLOCK, 0, self._clock)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> Connection:
        return sqlite3.connect(
            self.path,
            timeout=BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=CACHED_STATEMENTS,
        )

    def _open_reader(self) -> None:
        connection = self._connect()
        connection.execute("PRAGMA query_only = 1")
        self._local.connection = connection
        self._open_readers.append(connection)

    def _commit(self, connection: Connection) -> None:
        """The one place where a transaction becomes durable."""
        connection.execute("COMMIT")

    @property
    def on_pressure(self) -> Callable[[bool], None] | None:
        """Who is told when too much waits for the disk."""
        return self._pressure

    @on_pressure.setter
    def on_pressure(self, callback: Callable[[bool], None] | None) -> None:
        self._pressure = callback
        if self._writer is not None:
            self._writer.on_pressure = callback

    async def _read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._readers is None:
            raise StoreError("the store is closed")

        def run() -> T:
            return function(self._local.connection, *args, **kwargs)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, run)
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error

    async def _write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._writer is None:
            raise StoreError("the store is closed")
        result: T = await self._writer.call(lambda connection: function(connection, *args, **kwargs))
        return result
