"""How often one may invite: counted by the transaction that writes an invitation, on times of ours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.storage.errors import OverQuota
from gateway.storage.invitationstore import Quota
from gateway.storage.sqlite import SqliteStore
from tests.gateway.storage.helpers import announce, ended, new_account, new_invitation

DAY = 86400.0


async def invite(store: SqliteStore, number: int, quota: Quota, **changes: Any) -> int:
    """Make an invitation; return its id."""
    invited, _ = await store.begin_invitation(
        new_account(f"b{number}"), new_invitation(**changes), announce, quota=quota
    )
    return invited.invitation.id


async def refused(store: SqliteStore, quota: Quota, now: float, uid: str = "a") -> OverQuota:
    """Return what the look beforehand raises, which is what the transaction raises."""
    with pytest.raises(OverQuota) as caught:
        await store.check_quota(uid, quota, now)
    with pytest.raises(OverQuota) as written:
        await invite(store, 99, quota, uid=uid, created_at=now)
    assert (written.value.kind, written.value.heals_at) == (caught.value.kind, caught.value.heals_at)
    assert await store.account_by_uri("sip:b99@cc.com") is None
    return caught.value


@pytest.mark.parametrize(("kind", "quota", "window"), [("day", Quota(0, 2), DAY), ("minute", Quota(0, 0, 2), 60.0)])
async def test_a_window_slides(store: SqliteStore, kind: str, quota: Quota, window: float) -> None:
    await invite(store, 1, quota, created_at=1000.0)
    await store.check_quota("a", quota, 1010.0)
    await invite(store, 2, quota, created_at=1010.0)
    error = await refused(store, quota, 1020.0)
    assert (error.kind, error.heals_at) == (kind, 1000.0 + window)
    await store.check_quota("a", quota, 1000.0 + window)
    await invite(store, 3, quota, created_at=1000.0 + window)
    assert (await refused(store, quota, 1001.0 + window)).heals_at == 1010.0 + window
    await invite(store, 4, quota, uid="c", created_at=1001.0 + window)


async def test_what_is_revoked_counts_and_the_file_remembers(store: SqliteStore) -> None:
    quota = Quota(1, 2)
    for number in (1, 2):
        invitation_id = await invite(store, number, quota, created_at=1000.0)
        assert (await refused(store, Quota(1), 1001.0)).kind == "open"
        await store.end_invitations([ended(invitation_id)])
        error = await refused(store, Quota(1), 1001.0)
        assert (error.kind, error.heals_at) == ("open", 1003.0)
        await store.delete_account((await store.accounts())[0].id)
    await store.close()
    await store.open()
    assert (await refused(store, quota, 1002.0)).kind == "day"


async def test_open_ones_heal_with_the_first_that_ends(store: SqliteStore) -> None:
    quota = Quota(2)
    await invite(store, 1, quota, expires_at=3000.0)
    await invite(store, 2, quota, expires_at=2000.0)
    assert (await refused(store, quota, 1000.0)).heals_at == 2000.0
    await store.check_quota("c", quota, 1000.0)


async def test_two_at_once_are_not_one_too_many(store: SqliteStore) -> None:
    quota = Quota(3)
    results = await asyncio.gather(*(invite(store, n, quota) for n in range(10)), return_exceptions=True)
    assert sum(isinstance(result, OverQuota) for result in results) == 7
    assert len(await store.invitations()) == 3


async def test_old_rows_are_forgotten(store: SqliteStore) -> None:
    for number, at in enumerate((1000.0, 1001.0, 1000.0 + DAY)):
        await invite(store, number, Quota(), uid=f"u{number}", created_at=at)
    rows = await store._read(lambda connection: connection.execute("SELECT uid FROM invited ORDER BY at").fetchall())
    assert rows == [("u1",), ("u2",)]


async def test_who_has_invitations(store: SqliteStore) -> None:
    first = await invite(store, 1, Quota(), uid="a")
    await invite(store, 2, Quota(), uid="c")
    await invite(store, 3, Quota(), uid="c")
    assert await store.inviters() == ["a", "c"]
    await store.end_invitations([ended(first)])
    assert await store.inviters() == ["c"]
