"""Stores that cannot be worked with."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import loads
from gateway.config.settings import Config
from gateway.doctor import store
from gateway.doctor.base import Finding, Verdict, examine
from gateway.secrets import Sealer
from gateway.storage.sqlite import SqliteStore
from gateway.storelock import StoreLock

URI = "sip:b@cc.com"


def config_in(folder: Path, **changes: Any) -> Config:
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    return loads('[core]\ndomain = "cc.com"\n', folder=str(folder), overrides=overrides)


async def findings(config: Config) -> dict[str, Finding]:
    return {item.check: item for item in await examine(store.store_checks(config), timeout=10.0)}


async def faults(config: Config) -> dict[str, str]:
    found = await findings(config)
    return {id: f"{item.found} → {item.remedy}" for id, item in found.items() if item.verdict is Verdict.FAILED}


@pytest.fixture
async def config(tmp_path: Path) -> Config:
    """A store with an account, whose secret the key has sealed."""
    config = config_in(tmp_path)
    sealer = Sealer.from_file(config.key_file)
    opened = SqliteStore(config.database)
    await opened.open()
    await opened.close()
    change(
        config.database,
        "INSERT INTO account (uri, impi, realm, identifier_kind, identifier, sealed_secret, contact_token,"
        " instance_id, origin, created_at) VALUES (?, 'b', 'cc.com', 'email', 'b@cc.com', ?, 't', 'i', 'gateway', 0)",
        URI,
        sealer.new_sip_secret(URI),
    )
    return config


def change(path: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


async def test_before_the_first_start_all_is_well_and_nothing_is_made(tmp_path: Path) -> None:
    found = await findings(config_in(tmp_path))
    assert {item.verdict for item in found.values()} == {Verdict.OK}
    assert list(tmp_path.iterdir()) == []


async def test_a_store_with_its_key(config: Config) -> None:
    found = await findings(config)
    assert {item.verdict for item in found.values()} == {Verdict.OK}
    assert found["store.key"].found.endswith("fits the store")


async def test_a_key_that_is_missing(config: Config) -> None:
    config.key_file.unlink()
    wrong = await faults(config)
    assert set(wrong) == {"store.key"} and "is missing, and the store holds what it sealed" in wrong["store.key"]
    assert not config.key_file.exists()


async def test_the_key_of_another_store(config: Config) -> None:
    config.key_file.unlink()
    Sealer.from_file(config.key_file)
    wrong = await faults(config)
    assert set(wrong) == {"store.key"} and "does not fit the store" in wrong["store.key"]


async def test_a_key_that_others_may_read(config: Config) -> None:
    config.key_file.chmod(0o640)
    wrong = await faults(config)
    assert set(wrong) == {"store.key"} and "chmod 600" in wrong["store.key"]


async def test_a_key_without_its_store(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    Sealer.from_file(config.key_file)
    item = (await findings(config))["store.database"]
    assert item.verdict is Verdict.WARNING and "Is storage.path right?" in item.remedy


async def test_a_store_of_a_newer_version(config: Config) -> None:
    change(config.database, "PRAGMA user_version = 1000")
    wrong = await faults(config)
    assert set(wrong) == {"store.database"} and "has schema 1000" in wrong["store.database"]


async def test_a_database_of_others(tmp_path: Path) -> None:
    change(tmp_path / "their.db", "CREATE TABLE subscriber (username)")
    wrong = await faults(config_in(tmp_path, storage__path="their.db"))
    assert set(wrong) == {"store.database"} and "somebody else's" in wrong["store.database"]


async def test_a_database_that_somebody_holds(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SQLITE_TIMEOUT", 0.01)
    with contextlib.closing(sqlite3.connect(config.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        wrong = await faults(config)
    assert set(wrong) == {"store.database"} and "holds the database" in wrong["store.database"]


async def test_a_store_that_a_gateway_works_on(config: Config) -> None:
    lock = StoreLock(config.database)
    lock.acquire()
    item = (await findings(config))["store.lock"]
    lock.release()
    assert item.verdict is Verdict.WARNING
    assert (await findings(config))["store.lock"].verdict is Verdict.OK


async def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    wrong = await faults(config_in(tmp_path))
    assert set(wrong) == {"store.folder"} and "gateway.data_dir" in wrong["store.folder"]


@pytest.mark.parametrize(("free", "verdict"), [(10, "failed"), (500, "warning"), (5000, "ok")])
async def test_free_space(config: Config, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(0, 0, free * store.MiB))
    assert (await findings(config))["store.space"].verdict == verdict
