"""One interface to three kinds of databases: the same answers, the same errors, no password in any text."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.database import Connection, Database, DatabaseUrl
from gateway.drivers import DriverError
from tests.servers import PASSWORD, SqlServer
from tests.sipstack.net.certificates import write_certificate

TABLE = "CREATE TABLE item (name VARCHAR(64) NOT NULL PRIMARY KEY, number INTEGER NOT NULL DEFAULT 0)"


@dataclass
class Place:
    """A database with the table, whatever kind it is."""

    url: str
    run: Callable[[str], Any]
    """Runs statements beside the gateway."""
    server: SqlServer | None = None


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A fresh database of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "kamailio.db"

        def run(script: str) -> None:
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.executescript(script)

        run(TABLE)
        yield Place(str(path), run)
        return
    server: SqlServer = request.getfixturevalue(request.param)
    name = server.new_database(TABLE)
    yield Place(server.url(name), lambda script: server.run(name, script), server)


@pytest.fixture(params=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> SqlServer:
    """Each of the servers."""
    found: SqlServer = request.getfixturevalue(request.param)
    return found


def put(connection: Connection, name: str = "a%b:c", number: int = 1) -> int:
    return connection.execute("INSERT INTO item (name, number) VALUES (:name, :number)", name=name, number=number)


def items(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.rows("SELECT name, number FROM item ORDER BY name")


async def test_rows_counts_columns(place: Place) -> None:
    database = Database(place.url)
    assert await database.run(put) == 1
    assert await database.run(items, reading=True) == [("a%b:c", 1)]
    found = "UPDATE item SET number = 1 WHERE name LIKE 'a%'"
    assert await database.run(lambda connection: connection.execute(found)) == 1  # found, though nothing changes
    assert await database.run(lambda connection: connection.columns("item")) == {"name", "number"}
    assert await database.run(lambda connection: connection.columns("none")) == frozenset()
    await database.close()


async def test_what_raises_leaves_nothing_behind(place: Place) -> None:
    database = Database(place.url)

    def fail(connection: Connection) -> None:
        put(connection)
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        await database.run(fail)
    assert await database.run(items) == []
    await database.close()


async def test_many_at_once(place: Place) -> None:
    database = Database(place.url)
    await asyncio.gather(*(database.run(partial(put, name=f"n{n}")) for n in range(20)))
    assert len(await database.run(items)) == 20
    await database.close()


async def test_errors_that_last_and_errors_that_pass(place: Place) -> None:
    database = Database(place.url)
    for statement in ("SELECT * FROM nothing", "SELECT nothing FROM item", "SELEKT 1"):
        with pytest.raises(DriverError) as caught:
            await database.run(partial(Connection.rows, statement=statement))
        assert not caught.value.temporary, caught.value
    await database.run(put)
    with pytest.raises(DriverError) as caught:
        await database.run(put)  # somebody else has just written it: look again
    assert caught.value.temporary
    with pytest.raises(DriverError) as caught:
        await database.run(lambda connection: connection.execute("INSERT INTO item (name) VALUES (:none)", none=None))
    assert not caught.value.temporary
    assert await database.run(items) == [("a%b:c", 1)]
    await database.close()


async def test_locks_of_others_are_temporary(place: Place) -> None:
    holder, waiter = Database(place.url, timeout=10), Database(place.url, timeout=1)
    await holder.run(put)
    held, go = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(connection: Connection) -> None:
        connection.execute("UPDATE item SET number = 2")
        loop.call_soon_threadsafe(held.set)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result()

    task = asyncio.create_task(holder.run(hold))
    await held.wait()
    with pytest.raises(DriverError) as caught:
        await waiter.run(lambda connection: connection.execute("UPDATE item SET number = 3"))
    assert caught.value.temporary
    go.set()
    await task
    assert await waiter.run(items) == [("a%b:c", 2)]
    await holder.close()
    await waiter.close()


async def test_an_idle_connection_that_died_is_replaced(server: SqlServer) -> None:
    name = server.new_database(TABLE)
    database = Database(server.url(name))
    await database.run(put)
    server.stop()
    with pytest.raises(DriverError) as caught:
        await database.run(items)
    assert caught.value.temporary
    server.start()
    assert await database.run(items) == [("a%b:c", 1)]
    server.stop()
    server.start()
    assert await database.run(items) == [("a%b:c", 1)]
    await database.close()


async def test_a_server_that_hangs_is_left_in_time(server: SqlServer) -> None:
    name = server.new_database(TABLE)
    database = Database(server.url(name), timeout=0.5)
    await database.run(put)
    server.pause()
    try:
        for _ in range(6):  # more than there are threads: nobody waits for those that hang
            began = time.monotonic()
            with pytest.raises(DriverError, match="no answer|timed out|connection") as caught:
                await database.run(items)
            assert caught.value.temporary and time.monotonic() - began < 2
    finally:
        server.go_on()
    assert await _until_it_works(database) == [("a%b:c", 1)]
    await database.close()


async def _until_it_works(database: Database) -> list[tuple[Any, ...]]:
    for _ in range(20):
        with contextlib.suppress(DriverError):
            return await database.run(items)
    raise AssertionError("it never came back")


async def test_wrong_credentials_are_final_and_not_repeated_in_the_text(server: SqlServer) -> None:
    name = server.new_database()
    wrong = Database(server.url(name), password="not this one")
    unknown = Database(server.url(name).replace(f"/{name}", "/nothing"))
    for database in (wrong, unknown):
        with pytest.raises(DriverError) as caught:
            await database.run(items)
        assert not caught.value.temporary, caught.value
        assert PASSWORD not in str(caught.value) and "not this one" not in str(caught.value)
        await database.close()
    right = Database(server.url(name, "something else"), password=PASSWORD)
    assert await right.run(lambda connection: connection.rows("SELECT 1")) == [(1,)]
    await right.close()


ENCRYPTED = {
    "mysql": "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'ssl_cipher'",
    "postgresql": "SELECT cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
}


async def test_tls_with_a_server_that_can_prove_itself(server: SqlServer, tmp_path: Path) -> None:
    url = server.url(server.new_database())
    database = Database(f"{url}?ca={server.certificate}")
    [[cipher]] = await database.run(partial(Connection.rows, statement=ENCRYPTED[server.kind]))
    assert cipher
    await database.close()
    other, _ = write_certificate(tmp_path, "other")
    stranger = Database(f"{url}?ca={other}")
    with pytest.raises(DriverError, match="certificate|SSL") as caught:
        await stranger.run(items)
    assert not caught.value.temporary and PASSWORD not in str(caught.value)
    await stranger.close()


async def test_local_sockets(server: SqlServer) -> None:
    name = server.new_database()
    url = server.url(name).replace("127.0.0.1", "nowhere.invalid")
    database = Database(f"{url}?socket={server.socket}")
    assert await database.run(lambda connection: connection.rows("SELECT 1")) == [(1,)]
    await database.close()


@pytest.mark.parametrize("url", ["mysql://u:geheim@127.0.0.1:1/kam", "postgresql://u:geheim@127.0.0.1:1/kam"])
async def test_no_server_is_temporary(url: str) -> None:
    database = Database(url, timeout=2)
    with pytest.raises(DriverError) as caught:
        await database.run(items)
    assert caught.value.temporary
    assert "geheim" not in f"{caught.value} {database.url} {database.url!r}" and caught.value.__context__ is None
    await database.close()


@pytest.mark.parametrize(
    "text, shown",
    [
        ("kamailio.db", "/etc/rcsgw/kamailio.db"),
        ("/var/kamailio.db", "/var/kamailio.db"),
        ("sqlite:///var/lib/kamailio%20lab.db", "/var/lib/kamailio lab.db"),
        ("mysql://u:p@db:3307/kam", "mysql://db:3307/kam"),
        ("mariadb://u@db/kam?socket=/run/mysqld/mysqld.sock", "mysql://db/kam?socket=/run/mysqld/mysqld.sock"),
        ("postgres://u:p%40@[::1]:5433/kam?ca=ca.pem", "postgresql://[::1]:5433/kam"),
    ],
)
def test_urls(text: str, shown: str) -> None:
    url = DatabaseUrl.parse(text, Path("/etc/rcsgw"))
    assert str(url) == shown
    assert url.ca_file in ("", "/etc/rcsgw/ca.pem")
    assert url.password in ("", "p", "p@")


@pytest.mark.parametrize(
    "text, reason",
    [
        ("oracle://h/kam", "begins with none of"),
        ("sqlite://kamailio.db", "sqlite:///absolute"),
        ("mysql://h", "name of the database"),
        ("mysql://h/a/b", "name of the database"),
        ("mysql://u:geheim@h:port/kam", "no URL"),
        ("mysql://u:geheim@h:99999/kam", "no URL"),
        ("mysql://h/kam?charset", "no URL"),
        ("mysql://h/kam?charset=utf8", "unknown option charset"),
    ],
)
def test_urls_that_are_none(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        DatabaseUrl.parse(text)
    assert "geheim" not in str(caught.value)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(DriverError, match=r"pip install 'rcsgw\[postgresql\]'") as caught:
        Database("postgresql://h/kam")
    assert not caught.value.temporary
