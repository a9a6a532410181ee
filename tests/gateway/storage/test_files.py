"""What the store keeps about files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.storage.errors import StoreError
from gateway.storage.filestore import FileRecord
from gateway.storage.sqlite import SqliteStore
from tests.gateway.storage.helpers import begin


def record(id: str = "f1", account_id: int = 1, uid: str = "a", created: float = 1000.0) -> FileRecord:
    """Return a file that a guest sends."""
    return FileRecord(id, account_id, uid, "out", "a b.jpg", "image/jpeg", None, 0, "uploading", created, created + 60)


async def test_files_come_back_as_they_went_in(store: SqliteStore) -> None:
    first, second = record("f1", created=2000.0), record("f2", created=1000.0)
    await store.add_file(first)
    await store.add_file(second)
    await store.add_file(record("f3", uid="c"))
    await store.add_file(record("f4", account_id=2))
    assert await store.file("f1") == first and await store.file("f0") is None
    assert [item.id for item in await store.files(1)] == ["f2", "f3", "f1"]
    assert await store.files(1, "a") == [second, first]
    assert [item.id for item in await store.all_files()] == ["f2", "f3", "f4", "f1"]


async def test_an_id_is_used_once(store: SqliteStore) -> None:
    await store.add_file(record())
    with pytest.raises(StoreError):
        await store.add_file(record())


async def test_what_changes_of_a_file(store: SqliteStore) -> None:
    await store.add_file(record())
    changed = replace(record(), size=5, octets=3, state="sending", way="http", sha1="0", sha256="1", reason="why")
    assert await store.update_file(changed)
    assert await store.file("f1") == changed
    await store.delete_files(["f1"])
    assert not await store.update_file(changed), "nothing comes back that was deleted"
    assert await store.all_files() == []


async def test_files_whose_time_is_over(store: SqliteStore) -> None:
    for id, created in (("f1", 1000.0), ("f2", 900.0), ("f3", 2000.0)):
        await store.add_file(record(id, created=created))
    await store.add_file(replace(record("f4", created=10.0), state="expired"))
    assert [item.id for item in await store.files_over(1060.0)] == ["f2", "f1"]


async def test_files_go_with_their_relation_and_account(store: SqliteStore) -> None:
    invited = await begin(store)
    other = await begin(store, "c", "d")
    for id, account_id, uid in (
        ("f1", invited.account.id, "a"),
        ("f2", invited.account.id, "x"),
        ("f3", other.account.id, "d"),
    ):
        await store.add_file(record(id, account_id, uid))
    await store.delete_relation(invited.invitation.id)
    assert [item.id for item in await store.all_files()] == ["f2", "f3"]
    await store.delete_account(invited.account.id)
    assert [item.id for item in await store.all_files()] == ["f3"]
