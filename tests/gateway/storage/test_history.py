"""Who did what and when: written with the change, naming nobody once the account is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.storage.deliverystore import DeliveryResult
from gateway.storage.errors import StoreError
from gateway.storage.invitationstore import Tombstone
from gateway.storage.sqlite import SqliteStore
from tests.gateway.storage.helpers import announce, begin, ended, notice


@pytest.fixture
async def timed(tmp_path: Path) -> AsyncIterator[tuple[SqliteStore, list[float]]]:
    """A store whose history is written by a clock that the test sets."""
    now = [1000.0]
    store = SqliteStore(tmp_path / "rcsgw.db", clock=lambda: now[0])
    await store.open()
    yield store, now
    await store.close()


def hidden(name: str) -> str:
    return f"#{name[::-1]}"


async def test_every_step_is_noted_with_who_and_when(timed: tuple[SqliteStore, list[float]]) -> None:
    store, now = timed
    invited = await begin(store)
    account, invitation = invited.account, invited.invitation
    await store.mark_provisioned(account.id, True)
    await store.mark_provisioned(account.id, True)
    await store.mark_registered(account.id, "im", False)
    await store.mark_registered(account.id, "im", True)
    await store.note_failure(invitation.id, "the core is slow", notice())
    await store.activate(invitation.id, 1.0, notice())
    assert invited.delivery is not None
    message_id = invited.delivery.message_id
    assert await store.begin_delivery(invitation.id, message_id, "email")
    await store.delivery_result(DeliveryResult(invitation.id, message_id, "email", "sent"), 2.0, announce)
    now[0] = 2000.0
    assert await store.come(invitation.id, b"client", 2000.0)
    await store.set_logged_in(account.id, True)
    await store.set_logged_in(account.id, True)
    await store.set_logged_in(account.id, False)
    tombstone = Tombstone(b"old", "replaced", 3.0)
    await store.renew_secret(invitation.id, invitation.secret_hash, b"h", b"link", "<2@x>", tombstone, notice())
    steps = await store.history()
    assert [(item.step, item.actor, item.uid, item.why) for item in steps] == [
        ("allocated", "inviter", "a", ""),
        ("provisioned", "gateway", "", ""),
        ("registered", "gateway", "", "im"),
        ("failing", "gateway", "a", ""),
        ("invited", "inviter", "a", ""),
        ("sent", "gateway", "a", "email"),
        ("first-login", "guest", "a", ""),
        ("login", "guest", "", ""),
        ("logout", "guest", "", ""),
        ("resent", "inviter", "a", ""),
    ]
    assert [item.at for item in steps] == [1000.0] * 6 + [2000.0] * 4
    assert {item.account for item in steps} == {account.uri}
    assert steps[3].detail == "the core is slow"


@pytest.mark.parametrize(
    ("reason", "step", "actor"),
    [
        ("revoked", "revoked", "inviter"),
        ("logout", "ended", "guest"),
        ("expired", "expired", "gateway"),
        ("operator", "revoked", "operator"),
        ("inviter-lost", "ended", "gateway"),
    ],
)
async def test_ends_are_told_apart(store: SqliteStore, reason: str, step: str, actor: str) -> None:
    invited = await begin(store)
    first = await store.end_invitations([ended(invited.invitation.id, reason)])
    assert len(first) == 1 and await store.end_invitations([ended(invited.invitation.id, "expired")]) == []
    assert await store.tombstone(b"t1") == reason, "the first end counts"
    last = (await store.history())[1:]
    assert [(item.step, item.actor, item.why) for item in last] == [(step, actor, reason)]


async def test_a_deleted_account_leaves_hashes(store: SqliteStore) -> None:
    invited = await begin(store)
    account = invited.account
    said = f"550 <{account.identifier}> is unknown, call +1 555 010 0100"
    await store.end_invitations([ended(invited.invitation.id, "failed")], said)
    await store.delete_account(account.id, hidden, "the core says no")
    assert [item.step for item in await store.history()] == ["allocated", "failed", "left-behind", "deleted"]
    path = store.path
    text = "\n".join(str(row) for row in sqlite3.connect(path).execute("SELECT * FROM history"))
    for name in (account.uri, account.identifier, "'a'", "555"):
        assert name not in text
    found = await store.history([hidden(account.identifier)])
    assert [item.detail for item in found] == ["", "550 <…> is unknown, call …", "the core says no", ""]
    assert await store.history([account.identifier]) == []
    assert len(await store.history([hidden("a")])) == 2


async def test_nothing_is_noted_of_what_was_not_kept(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    account = (await begin(store)).account
    with monkeypatch.context() as patch:
        patch.setattr(store._writer, "_commit", full)
        with pytest.raises(StoreError):
            await store.mark_provisioned(account.id, True)
    assert [item.step for item in await store.history()] == ["allocated"]


async def test_history_is_forgotten_in_time(timed: tuple[SqliteStore, list[float]]) -> None:
    store, now = timed
    account = (await begin(store)).account
    now[0] = 2000.0
    await store.mark_provisioned(account.id, True)
    assert await store.forget_history(1500.0) == 1
    assert await store.forget_history(1500.0) == 0
    assert [item.step for item in await store.history()] == ["provisioned"]


async def test_the_newest_steps_are_shown(store: SqliteStore) -> None:
    account = (await begin(store)).account
    for provisioned in (True, False, True):
        await store.mark_provisioned(account.id, provisioned)
    assert [item.step for item in await store.history([account.uri], 2)] == ["deprovisioned", "provisioned"]


async def test_only_the_first_client_has_come(store: SqliteStore) -> None:
    id = (await begin(store)).invitation.id
    assert await store.come(id, b"one", 5.0)
    assert await store.come(id, b"one", 6.0)
    assert not await store.come(id, b"two", 7.0)
    (invited,) = await store.invitations()
    assert (invited.invitation.came_at, invited.invitation.client) == (5.0, b"one")
    assert not await store.come(99, b"one", 7.0)


async def test_orders_wait_for_their_result(store: SqliteStore) -> None:
    number = await store.place_order("revoke", "sip:b@cc.com", "a")
    (order,) = await store.orders()
    assert (order.id, order.kind, order.account, order.uid, order.result) == (
        number,
        "revoke",
        "sip:b@cc.com",
        "a",
        None,
    )
    assert await store.take_result(number) is None
    await store.finish_order(number, "ended")
    assert await store.orders() == []
    assert await store.take_result(number) == "ended"
    assert await store.take_result(number) is None
    other = await store.place_order("purge", "sip:b@cc.com", "")
    assert await store.take_result(other, withdraw=True) is None
    assert await store.orders() == []
