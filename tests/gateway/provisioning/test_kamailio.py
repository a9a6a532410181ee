"""Rows in the subscriber table: the one that comes with Kamailio, and the one of labs."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest

from gateway.drivers import DriverError
from gateway.provisioning.base import CoreAccount
from gateway.provisioning.kamailio import KamailioProvisioning
from sipstack.sip.digest import compute_ha1

PLAIN = """
CREATE TABLE subscriber (
    id INTEGER PRIMARY KEY NOT NULL, username VARCHAR(64) DEFAULT '' NOT NULL, domain VARCHAR(64) DEFAULT '' NOT NULL,
    password VARCHAR(64) DEFAULT '' NOT NULL, ha1 VARCHAR(128) DEFAULT '' NOT NULL,
    ha1b VARCHAR(128) DEFAULT '' NOT NULL, UNIQUE (username, domain));
"""
LAB = (
    PLAIN.replace("UNIQUE", "impus VARCHAR(512) DEFAULT '' NOT NULL, UNIQUE")
    + "CREATE TABLE impu (uri TEXT PRIMARY KEY NOT NULL, impi TEXT NOT NULL, domain TEXT NOT NULL) WITHOUT ROWID;"
)


def account(user: str = "b", password: str = "geheim", impi: str | None = None) -> CoreAccount:
    return CoreAccount(
        f"sip:{user}@cc.com",
        impi or user,
        "cc.com",
        lambda username, realm, algorithm: compute_ha1(username, realm, password, algorithm),
    )


def database(folder: Path, schema: str) -> Path:
    path = folder / "kamailio.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(schema)
    connection.close()
    return path


def rows(path: Path, table: str = "subscriber") -> list[dict[str, str]]:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    found = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
    connection.close()
    return found


@pytest.mark.parametrize("schema", [PLAIN, LAB])
@pytest.mark.parametrize("algorithm, digest", [("MD5", hashlib.md5), ("SHA-256", hashlib.sha256)])
async def test_insert_again_and_delete(tmp_path: Path, schema: str, algorithm: str, digest: object) -> None:
    path = database(tmp_path, schema)
    driver = KamailioProvisioning(path, algorithm=algorithm)
    assert not await driver.taken("sip:b@cc.com", "b", "cc.com")
    await driver.provision(account())
    await driver.provision(account())
    (row,) = rows(path)
    assert (row["username"], row["domain"], row["password"]) == ("b", "cc.com", "")
    assert row["ha1"] == digest(b"b:cc.com:geheim").hexdigest()  # type: ignore[operator]  # a hash function
    assert row["ha1b"] == digest(b"b@cc.com:cc.com:geheim").hexdigest()  # type: ignore[operator]  # a hash function
    assert row.get("impus", "sip:b@cc.com") == "sip:b@cc.com"
    if schema == LAB:
        assert rows(path, "impu") == [{"uri": "sip:b@cc.com", "impi": "b", "domain": "cc.com"}]
    assert await driver.taken("sip:b@cc.com", "b", "cc.com")
    await driver.deprovision(account())
    await driver.deprovision(account())
    assert rows(path) == []
    assert schema == PLAIN or rows(path, "impu") == []
    await driver.close()


async def test_accounts_of_others_are_neither_changed_nor_deleted(tmp_path: Path) -> None:
    path = database(tmp_path, PLAIN)
    driver = KamailioProvisioning(path)
    await driver.provision(account(password="theirs"))
    before = rows(path)
    with pytest.raises(DriverError, match="not ours") as caught:
        await driver.provision(account())
    assert not caught.value.temporary
    await driver.deprovision(account())
    assert rows(path) == before


async def test_a_changed_algorithm_is_brought_up_to_date(tmp_path: Path) -> None:
    path = database(tmp_path, PLAIN)
    await KamailioProvisioning(path, algorithm="MD5").provision(account())
    await KamailioProvisioning(path, algorithm="SHA-256").provision(account())
    (row,) = rows(path)
    assert len(row["ha1"]) == 64
    await KamailioProvisioning(path, algorithm="MD5").deprovision(account())
    assert rows(path) == []


async def test_private_identities_with_a_domain_are_split_as_auth_db_does(tmp_path: Path) -> None:
    path = database(tmp_path, LAB)
    driver = KamailioProvisioning(path)
    await driver.provision(account(impi="b.private@ims.org"))
    (row,) = rows(path)
    assert (row["username"], row["domain"]) == ("b.private", "ims.org")
    assert row["ha1b"] == hashlib.md5(b"b.private@ims.org:cc.com:geheim").hexdigest()
    assert await driver.taken("sip:b@cc.com", "other", "cc.com")


async def test_a_locked_table_is_temporary_and_a_missing_one_is_not(tmp_path: Path) -> None:
    path = database(tmp_path, PLAIN)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DriverError) as caught:
        await KamailioProvisioning(path, busy_timeout=0.05).provision(account())
    assert caught.value.temporary
    connection.execute("ROLLBACK")
    connection.execute("DROP TABLE subscriber")
    connection.close()
    with pytest.raises(DriverError) as caught:
        await KamailioProvisioning(path).provision(account())
    assert not caught.value.temporary
    with pytest.raises(DriverError) as caught:
        await KamailioProvisioning(tmp_path / "none.db").taken("sip:b@cc.com", "b", "cc.com")
    assert caught.value.temporary
    (tmp_path / "text").write_text("certainly not a database, but long enough to look at it as one" * 20)
    with pytest.raises(DriverError) as caught:
        await KamailioProvisioning(tmp_path / "text").provision(account())
    assert not caught.value.temporary
