"""Rows in the subscriber table: the one that comes with Kamailio, and the one of labs."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.database import Database
from gateway.drivers import DriverError
from gateway.provisioning.base import Audit, CoreAccount
from gateway.provisioning.kamailio import KamailioProvisioning
from gateway.secrets import Sealer
from sipstack.sip.digest import compute_ha1
from tests.servers import SqlServer

SERIAL = {"sqlite": "INTEGER", "mysql": "INTEGER AUTO_INCREMENT", "postgresql": "SERIAL"}
PLAIN = """
CREATE TABLE subscriber (
    id {serial} PRIMARY KEY NOT NULL, username VARCHAR(64) DEFAULT '' NOT NULL, domain VARCHAR(64) DEFAULT '' NOT NULL,
    password VARCHAR(25) DEFAULT '' NOT NULL, ha1 VARCHAR(128) DEFAULT '' NOT NULL,
    ha1b VARCHAR(128) DEFAULT '' NOT NULL, UNIQUE (username, domain));
"""
LAB = (
    PLAIN.replace("UNIQUE", "impus VARCHAR(512) DEFAULT '' NOT NULL, UNIQUE")
    + "CREATE TABLE impu (uri VARCHAR(255) PRIMARY KEY NOT NULL, impi TEXT NOT NULL, domain TEXT NOT NULL);"
)
MARK = Sealer({b"key!": bytes(32)}).mark


class Table:
    """A subscriber table in a database of its own."""

    def __init__(self, url: str, run: Callable[[str], list[tuple[Any, ...]]]) -> None:
        self.url = url
        self.run = run

    def driver(self, **options: Any) -> KamailioProvisioning:
        return KamailioProvisioning(Database(self.url), **{"mark": MARK, **options})

    def rows(self, table: str = "subscriber", columns: str = "username, domain, password, ha1, ha1b") -> list[Any]:
        return self.run(f"SELECT {columns} FROM {table} ORDER BY 1")


Make = Callable[[str], Table]


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Make tables in a database of each kind."""

    def make_sqlite(schema: str) -> Table:
        path = tmp_path / "kamailio.db"

        def run(script: str) -> list[tuple[Any, ...]]:
            with contextlib.closing(sqlite3.connect(path)) as connection, connection:
                if ";" in script:
                    connection.executescript(script)
                    return []
                return connection.execute(script).fetchall()

        run("PRAGMA journal_mode = WAL;" + schema.format(serial=SERIAL["sqlite"]))
        return Table(str(path), run)

    def make_in_server(schema: str) -> Table:
        server: SqlServer = request.getfixturevalue(request.param)
        name = server.new_database(schema.format(serial=SERIAL[server.kind]))
        return Table(server.url(name), partial(server.run, name))

    return make_sqlite if request.param == "sqlite" else make_in_server


def account(user: str = "b", password: str = "geheim", impi: str | None = None) -> CoreAccount:
    return CoreAccount(
        f"sip:{user}@cc.com",
        impi or user,
        "cc.com",
        lambda username, realm, algorithm: compute_ha1(username, realm, password, algorithm),
        lambda: password,
    )


def ha1(text: str, digest: str = "md5") -> str:
    return hashlib.new(digest, text.encode()).hexdigest()


@pytest.mark.parametrize("schema", [PLAIN, LAB], ids=["plain", "lab"])
@pytest.mark.parametrize("algorithm, digest", [("MD5", "md5"), ("SHA-256", "sha256")])
async def test_insert_again_and_delete(make: Make, schema: str, algorithm: str, digest: str) -> None:
    table = make(schema)
    driver = table.driver(algorithm=algorithm)
    assert not await driver.taken("sip:b@cc.com", "b", "cc.com")
    await driver.provision(account())
    await driver.provision(account())
    hashes = ha1("b:cc.com:geheim", digest), ha1("b@cc.com:cc.com:geheim", digest)
    assert table.rows() == [("b", "cc.com", MARK("b@cc.com"), *hashes)]
    if schema == LAB:
        assert table.rows(columns="impus") == [("sip:b@cc.com",)]
        assert table.rows("impu", "uri, impi, domain") == [("sip:b@cc.com", "b", "cc.com")]
    await driver.deprovision(account())
    await driver.deprovision(account())
    assert table.rows() == []
    assert schema == PLAIN or table.rows("impu", "uri") == []
    await driver.close()


async def test_accounts_of_others_are_neither_changed_nor_deleted(make: Make) -> None:
    table = make(PLAIN)
    others = table.driver(mark=Sealer({b"key!": bytes([1] * 32)}).mark)
    await others.provision(account(password="theirs"))
    before = table.rows()
    driver = table.driver()
    assert await driver.taken("sip:b@cc.com", "b", "cc.com")
    with pytest.raises(DriverError, match="not ours") as caught:
        await driver.provision(account())
    assert not caught.value.temporary
    await driver.deprovision(account())
    await driver.remove("b@cc.com")
    assert table.rows() == before
    await driver.close()
    await others.close()


async def test_rows_of_an_older_version_have_no_mark(make: Make) -> None:
    """They are known by their hashes, whatever algorithm there was at their time."""
    table = make(PLAIN)
    table.run(f"INSERT INTO subscriber (username, domain, ha1) VALUES ('b', 'cc.com', '{ha1('b:cc.com:geheim')}');")
    driver = table.driver(algorithm="SHA-256")
    assert await driver.audit([account()]) == Audit((), ())
    await driver.provision(account())
    assert table.rows(columns="password, ha1") == [(MARK("b@cc.com"), ha1("b:cc.com:geheim", "sha256"))]
    await driver.deprovision(account())
    assert table.rows() == []
    await driver.close()


async def test_what_an_ended_account_left_behind_is_taken_over(make: Make) -> None:
    table = make(LAB)
    driver = table.driver()
    await driver.provision(account(password="old"))
    assert not await driver.taken("sip:b@cc.com", "b", "cc.com")
    await driver.provision(account(password="new"))
    assert table.rows(columns="ha1") == [(ha1("b:cc.com:new"),)]
    await driver.close()


async def test_identities_of_others_are_taken(make: Make) -> None:
    table = make(LAB)
    table.run(
        "INSERT INTO subscriber (username, domain, impus) VALUES ('c', 'cc.com', 'sip:carol@cc.com,sip:b_@cc.com');"
        "INSERT INTO impu (uri, impi, domain) VALUES ('sip:boss@cc.com', 'c', 'cc.com');"
    )
    driver = table.driver()
    for user, taken in (("carol", True), ("b_", True), ("bx", False), ("boss", True), ("b", False)):
        assert await driver.taken(f"sip:{user}@cc.com", user, "cc.com") is taken, user
    await driver.close()


async def test_audit_names_what_is_missing_and_what_is_nobodys(make: Make) -> None:
    table = make(PLAIN)
    driver = table.driver()
    for user in ("here", "orphan"):
        await driver.provision(account(user))
    table.run("INSERT INTO subscriber (username, domain) VALUES ('theirs', 'cc.com');")
    wanted = [account("here"), account("missing"), account("theirs")]
    assert await driver.audit(wanted) == Audit(("sip:missing@cc.com", "sip:theirs@cc.com"), ("orphan@cc.com",))
    for name in ("orphan@cc.com", "theirs@cc.com", "nobody@cc.com"):
        await driver.remove(name)
    assert [name for name, *_ in table.rows()] == ["here", "theirs"]
    await driver.close()


async def test_a_dry_run_says_which_statements_and_changes_nothing(make: Make) -> None:
    table = make(LAB)
    driver = table.driver()
    hidden = CoreAccount("sip:o'b@cc.com", "o'b", "cc.com", lambda *_: "***", lambda: "***")
    insert, identity, *rest = await driver.rehearse(hidden)
    assert "INSERT INTO subscriber (username, domain, password, ha1, ha1b, impus) VALUES ('o''b', 'cc.com'," in insert
    assert insert.endswith(f"'{MARK(chr(111) + chr(39) + 'b@cc.com')}', '***', '***', 'sip:o''b@cc.com');")
    assert [line.partition(": ")[2].split()[0] for line in (identity, *rest)] == [
        "DELETE",
        "INSERT",
        "DELETE",
        "DELETE",
    ]
    assert table.rows() == [] and table.rows("impu", "uri") == []
    await driver.close()


async def test_private_identities_with_a_domain_are_split_as_auth_db_does(make: Make) -> None:
    table = make(LAB)
    driver = table.driver()
    await driver.provision(account(impi="b.private@ims.org"))
    hashes = ha1("b.private:cc.com:geheim"), ha1("b.private@ims.org:cc.com:geheim")
    assert table.rows() == [("b.private", "ims.org", MARK("b.private@ims.org"), *hashes)]
    theirs = table.driver(mark=str.upper)
    assert await theirs.taken("sip:b@cc.com", "other", "cc.com")
    await driver.close()
    await theirs.close()


async def test_a_missing_table_is_final_and_a_missing_database_is_not(make: Make, tmp_path: Path) -> None:
    table = make(PLAIN)
    table.run("DROP TABLE subscriber;")
    driver = table.driver()
    with pytest.raises(DriverError) as caught:
        await driver.provision(account())
    assert not caught.value.temporary
    await driver.close()
    with pytest.raises(DriverError) as caught:
        await KamailioProvisioning(Database(str(tmp_path / "none.db")), mark=MARK).taken("sip:b@cc.com", "b", "cc.com")
    assert caught.value.temporary


async def test_what_is_no_database_stays_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("certainly not a database, but long enough to look at it as one" * 20)
    with pytest.raises(DriverError) as caught:
        await KamailioProvisioning(Database(str(tmp_path / "text")), mark=MARK).provision(account())
    assert not caught.value.temporary
