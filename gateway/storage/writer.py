"""The only thread that writes: takes all that waits, one transaction a batch, one statement for each hot kind.

Rows go in by one ``INSERT … VALUES (…), (…), …``: SQLite runs it without the interpreter lock, so that a busy event
loop does not slow it down row by row as it does with ``executemany``. (``json_each`` does the same at half the speed.)
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.storage.entrystore import Done, Entry, StateDone
from gateway.storage.errors import StoreError
from gateway.storage.schema import ENTRY_COLUMNS

ROWS_PER_STATEMENT = 128
"""Rows of one INSERT; each number of rows up to this has a prepared statement of its own."""

HIGH_WATER = 4096
"""Waiting entries above which those who feed us are asked to stop."""

LOW_WATER = 1024
"""Waiting entries below which they may go on."""

BUSY = 4
"""Entries of a batch from which on the next one is given time to grow."""

GATHERING = 0.002
"""Seconds for that: fewer commits, and most answers of peers are in before their rows are written, so that the rows
need no second statement. Below what a person or a loaded disk notices."""

Result = tuple[Callable[..., None], tuple[Any, ...]]


@functools.cache
def insert_statement(rows: int) -> str:
    """Return the INSERT of so many entries."""
    row = f"({', '.join('?' * len(ENTRY_COLUMNS))})"
    return f"INSERT INTO entry ({', '.join(ENTRY_COLUMNS)}) VALUES {', '.join([row] * rows)}"


@functools.cache
def update_statement(rows: int) -> str:
    """Return the UPDATE that sets the states of so many entries; what has arrived is not taken back (D-IMD-14)."""
    return (
        f"WITH new (account_id, cursor, state) AS (VALUES {', '.join(['(?, ?, ?)'] * rows)}) "
        "UPDATE entry SET state = new.state FROM new "
        "WHERE entry.account_id = new.account_id AND entry.cursor = new.cursor "
        "AND (entry.state NOT IN ('delivered', 'displayed') OR new.state = 'displayed')"
    )


class Writer:
    """Owns the writing connection and the thread. Its methods are called on the event loop."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        commit: Callable[[sqlite3.Connection], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.on_pressure: Callable[[bool], None] | None = None
        self._connection = connection
        self._commit = commit
        self._loop = loop
        # what waits; the loop appends, the thread takes from the left
        self._entries: deque[tuple[Entry, Done]] = deque()
        self._states: deque[tuple[int, int, str, StateDone | None]] = deque()
        self._calls: deque[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]] = deque()
        self._wakeup = threading.Event()
        self._closing = False
        self._pressed = False
        self._busy = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    # called on the loop

    def append(self, entry: Entry, done: Done) -> None:
        """Queue an entry."""
        self._entries.append((entry, done))
        if not self._pressed and len(self._entries) > HIGH_WATER:
            self._press(True)
        if not self._wakeup.is_set():
            self._wakeup.set()

    def set_state(self, account_id: int, cursor: int, state: str, done: StateDone | None) -> None:
        """Queue a change of state."""
        self._states.append((account_id, cursor, state, done))
        if not self._wakeup.is_set():
            self._wakeup.set()

    def call(self, function: Callable[[sqlite3.Connection], Any]) -> asyncio.Future[Any]:
        """Queue a function that runs on the writing connection; done after the commit of its batch."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._closing:
            future.set_exception(StoreError("the store is closed"))
            return future
        self._calls.append((function, future))
        self._wakeup.set()
        return future

    async def close(self) -> None:
        """Write what waits, stop the thread, close the connection."""
        self._closing = True
        self._wakeup.set()
        await asyncio.to_thread(self._thread.join)
        self._connection.close()

    def _press(self, on: bool) -> None:
        self._pressed = on
        if self.on_pressure is not None:
            self.on_pressure(on)

    def _deliver(self, results: list[Result]) -> None:
        for function, arguments in results:
            try:
                function(*arguments)
            except Exception as error:
                self._loop.call_exception_handler({"message": "a callback of the store failed", "exception": error})
        if self._pressed and len(self._entries) < LOW_WATER:
            self._press(False)

    # the thread

    def _run(self) -> None:
        while True:
            self._wakeup.wait()
            if self._busy:
                time.sleep(GATHERING)
            self._wakeup.clear()
            closing = self._closing
            self._write_batch()
            while closing and self._write_batch():
                pass
            if closing:
                return

    def _write_batch(self) -> bool:
        """Write what waits; tell whether there was anything."""
        # in this order, so that a call sees every entry and every state that was queued before it
        calls = _take(self._calls)
        states = _take(self._states)
        entries = _take(self._entries)
        if not (entries or states or calls):
            return False
        self._busy = len(entries) >= BUSY
        results = self._transaction(entries, states, calls)
        try:
            self._loop.call_soon_threadsafe(self._deliver, results)
        except RuntimeError:
            pass  # the loop is closed: nobody is left to be told
        return True

    def _transaction(self, entries: list[Any], states: list[Any], calls: list[Any]) -> list[Result]:
        """Run one transaction; return the callbacks that tell how it went."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._insert(entries)
            self._update(states)
            results = [self._call(function, future) for function, future in calls]
            self._commit(self._connection)
        except Exception as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if len(entries) + len(states) + len(calls) > 1 and not isinstance(error, sqlite3.OperationalError):
                return self._one_by_one(entries, states, calls)
            return _failed(entries, states, calls, error)
        results.extend((done, (entry, None)) for entry, done in entries)
        results.extend((done, (None,)) for _, _, _, done in states if done is not None)
        return results

    def _one_by_one(self, entries: list[Any], states: list[Any], calls: list[Any]) -> list[Result]:
        """Find out which operation the others failed with."""
        results = []
        for item in entries:
            results += self._transaction([item], [], [])
        for item in states:
            results += self._transaction([], [item], [])
        for item in calls:
            results += self._transaction([], [], [item])
        return results

    def _insert(self, entries: list[tuple[Entry, Done]]) -> None:
        for start in range(0, len(entries), ROWS_PER_STATEMENT):
            values: list[Any] = []
            part = entries[start : start + ROWS_PER_STATEMENT]
            for entry, _ in part:
                entry.taken = True
                values += (
                    entry.account_id,
                    entry.cursor,
                    entry.kind,
                    entry.uid,
                    entry.id,
                    entry.direction,
                    entry.state,
                    entry.at,
                    entry.content_type,
                    entry.body,
                    entry.asked,
                )
            self._connection.execute(insert_statement(len(part)), values)

    def _update(self, states: list[tuple[int, int, str, StateDone | None]]) -> None:
        # the last state of an entry counts: UPDATE … FROM with two rows for one entry would pick any
        latest = {(account_id, cursor): state for account_id, cursor, state, _ in states}
        changes = list(latest.items())
        for start in range(0, len(changes), ROWS_PER_STATEMENT):
            part = changes[start : start + ROWS_PER_STATEMENT]
            values = [value for key, state in part for value in (*key, state)]
            self._connection.execute(update_statement(len(part)), values)

    def _call(self, function: Callable[[sqlite3.Connection], Any], future: asyncio.Future[Any]) -> Result:
        """Run one function under a savepoint: what it raises is its caller's alone."""
        self._connection.execute("SAVEPOINT one_call")
        try:
            value = function(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:
                raise  # a full disk, for one, ends the transaction by itself
            self._connection.execute("ROLLBACK TO one_call")
            self._connection.execute("RELEASE one_call")
            return _fail, (future, error)
        self._connection.execute("RELEASE one_call")
        return _resolve, (future, value)


def _take(queue: deque[Any]) -> list[Any]:
    return [queue.popleft() for _ in range(len(queue))]


def _failed(entries: list[Any], states: list[Any], calls: list[Any], error: Exception) -> list[Result]:
    if isinstance(error, sqlite3.Error):
        error = StoreError(str(error))
    results: list[Result] = [(done, (entry, error)) for entry, done in entries]
    results.extend((done, (error,)) for _, _, _, done in states if done is not None)
    results.extend((_fail, (future, error)) for _, future in calls)
    return results


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(StoreError(str(error)) if isinstance(error, sqlite3.Error) else error)
