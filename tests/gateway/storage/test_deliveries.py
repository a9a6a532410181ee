"""Deliveries in the store: attempts, channels one after the other, receipts, and what is forgotten when."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.storage.deliverystore import STOPPED, DeliveryResult
from gateway.storage.invitationstore import DeliveryRecord, Tombstone, Tried
from gateway.storage.schema import MIGRATIONS, migrate
from gateway.storage.sqlite import SqliteStore
from tests.gateway.storage.helpers import announce, begin, ended, notice

ID = "<1@example.com>"
TOMBSTONE = Tombstone(b"old", "replaced", 1500.0)


async def active(store: SqliteStore, *channels: str, user: str = "b") -> int:
    """Make an invitation whose link may go by these channels since 1001; return its id."""
    invited = await begin(store, user, channels=channels or ("sms", "mms", "email"))
    await store.activate(invited.invitation.id, 1001.0, notice())
    return invited.invitation.id


async def record(store: SqliteStore, invitation_id: int) -> DeliveryRecord:
    for invited in await store.invitations():
        if invited.invitation.id == invitation_id and invited.delivery is not None:
            return invited.delivery
    raise KeyError(invitation_id)


async def attempt(store: SqliteStore, invitation_id: int, channel: str, state: Any, **changes: Any) -> int:
    """Try once at 1010; return how many events the inviter gets."""
    assert await store.begin_delivery(invitation_id, ID, channel)
    result = DeliveryResult(invitation_id, ID, channel, state, **changes)
    return len(await store.delivery_result(result, 1010.0, announce))


async def receive(store: SqliteStore, channel: str, reference: str, error: str | None = None) -> int | None:
    events = await store.delivery_receipt(channel, reference, error, 1020.0, announce)
    return None if events is None else len(events)


async def test_attempts_until_it_is_sent(store: SqliteStore) -> None:
    invitation = await active(store, "sms")
    assert await store.due_channels(1000.0) == [] and await store.due_channels(1001.0) == ["sms"]
    assert await attempt(store, invitation, "sms", "queued", next_at=1010.0, error="451") == 1
    assert await attempt(store, invitation, "sms", "queued", next_at=1030.0, error="451") == 0  # no news
    assert await store.due_deliveries(1029.0, "sms", 5) == [] == await store.due_deliveries(1030.0, "mms", 5)
    assert await store.next_delivery(1010.0) == 1030.0 and await store.next_delivery(1030.0) is None
    assert await attempt(store, invitation, "sms", "sent") == 1
    delivery = await record(store, invitation)
    assert (delivery.state, delivery.error, delivery.attempts, delivery.doubtful) == ("sent", "", 3, 0)
    assert delivery.sealed_link is None and delivery.next_at == 0
    assert not await store.begin_delivery(invitation, ID, "sms")


async def test_channels_one_after_the_other(store: SqliteStore) -> None:
    invitation = await active(store)
    assert await attempt(store, invitation, "sms", "queued", next_at=1005.0, error="busy") == 1
    assert await attempt(store, invitation, "sms", "failed", error="no such number") == 1
    delivery = await record(store, invitation)
    assert (delivery.channel, delivery.state, delivery.attempts, delivery.error) == ("mms", "queued", 0, "")
    assert delivery.tried == (Tried("sms", 2, "no such number"),) and delivery.queued_at == delivery.next_at == 1010.0
    assert await store.due_channels(1010.0) == ["mms"]
    assert not await store.begin_delivery(invitation, ID, "sms")
    assert await attempt(store, invitation, "mms", "failed", error="too old") == 1
    assert await attempt(store, invitation, "email", "failed", error="550") == 1
    delivery = await record(store, invitation)
    assert (delivery.channel, delivery.state, delivery.error, delivery.sealed_link) == ("email", "failed", "550", None)
    assert [item.channel for item in delivery.tried] == ["sms", "mms"]


async def test_what_may_have_got_through_is_counted(store: SqliteStore) -> None:
    invitation = await active(store)
    assert await store.begin_delivery(invitation, ID, "sms")  # and the process dies
    assert (await record(store, invitation)).doubtful == 1
    await attempt(store, invitation, "sms", "queued", next_at=1005.0, error="no route")
    assert (await record(store, invitation)).doubtful == 1
    await attempt(store, invitation, "sms", "failed", error="lost", doubtful=True, give_up=True)
    delivery = await record(store, invitation)
    assert (delivery.channel, delivery.state, delivery.doubtful, delivery.attempts) == ("sms", "failed", 2, 3)


@pytest.mark.parametrize("order", [("1", "2"), ("2", "1")])
async def test_all_parts_have_to_arrive(store: SqliteStore, order: tuple[str, str]) -> None:
    invitation = await active(store)
    await attempt(store, invitation, "sms", "sent", next_at=5000.0, references=("1", "2"))
    assert (await record(store, invitation)).sealed_link is not None  # the next channel may need it
    assert await receive(store, "mms", "1") is None and await receive(store, "sms", "3") is None
    assert [await receive(store, "sms", order[0]) for _ in range(2)] == [0, 0]
    assert (await record(store, invitation)).state == "sent"
    await store.close()
    await store.open()
    assert await receive(store, "sms", order[1]) == 1
    delivery = await record(store, invitation)
    assert (delivery.state, delivery.sealed_link, delivery.next_at) == ("delivered", None, 0)
    assert await receive(store, "sms", order[1]) is None and await receive(store, "sms", "1", "late") is None


async def test_one_part_that_fails_brings_the_next_channel(store: SqliteStore) -> None:
    invitation = await active(store)
    await attempt(store, invitation, "sms", "sent", next_at=5000.0, references=("1", "2"))
    assert await receive(store, "sms", "1") == 0
    assert await receive(store, "sms", "2", "absent subscriber") == 1
    delivery = await record(store, invitation)
    assert (delivery.channel, delivery.state, delivery.queued_at) == ("mms", "queued", 1020.0)
    assert delivery.tried == (Tried("sms", 1, "absent subscriber"),) and delivery.sealed_link == b"link"
    assert await receive(store, "sms", "1", "late") is None
    await attempt(store, invitation, "mms", "sent", next_at=5000.0)  # no receipt will come
    assert (await record(store, invitation)).sealed_link is None


async def test_the_last_channel_may_still_fail_by_a_receipt(store: SqliteStore) -> None:
    invitation = await active(store, "sms")
    await attempt(store, invitation, "sms", "sent", next_at=5000.0, references=("1",))
    assert (await record(store, invitation)).sealed_link is None
    assert await receive(store, "sms", "1", "expired") == 1
    delivery = await record(store, invitation)
    assert (delivery.state, delivery.error) == ("failed", "expired")


async def test_a_link_is_forgotten_when_the_receipt_is_late(store: SqliteStore) -> None:
    invitation = await active(store)
    await attempt(store, invitation, "sms", "sent", next_at=5000.0, references=("1",))
    assert await store.next_delivery(1010.0) == 5000.0
    await store.forget_links(4999.0)
    assert (await record(store, invitation)).sealed_link is not None
    await store.forget_links(5000.0)
    assert (await record(store, invitation)).sealed_link is None and await store.next_delivery(1010.0) is None
    assert await receive(store, "sms", "1", "expired") == 1
    delivery = await record(store, invitation)
    assert (delivery.channel, delivery.state, delivery.error) == ("sms", "failed", "expired")


async def test_a_later_message_takes_over_a_reference(store: SqliteStore) -> None:
    first, second = await active(store, "sms"), await active(store, "sms", user="c")
    await attempt(store, first, "sms", "sent", references=("1",))
    await attempt(store, second, "sms", "sent", references=("1", "1"))
    assert await receive(store, "sms", "1") == 1
    assert [(await record(store, item)).state for item in (first, second)] == ["sent", "delivered"]


async def test_a_resent_link_starts_over(store: SqliteStore) -> None:
    invitation = await active(store)
    await attempt(store, invitation, "sms", "failed", error="no", doubtful=True)
    await attempt(store, invitation, "mms", "sent", next_at=5000.0, references=("1",))
    await store.renew_secret(invitation, b"hash", b"new", b"link2", "<2@x>", TOMBSTONE, notice(at=1500.0))
    delivery = await record(store, invitation)
    assert (delivery.channel, delivery.state, delivery.attempts, delivery.tried) == ("sms", "queued", 0, ())
    assert (delivery.message_id, delivery.sealed_link, delivery.doubtful) == ("<2@x>", b"link2", 0)
    assert await receive(store, "mms", "1", "late") is None
    assert not await store.begin_delivery(invitation, ID, "sms")


@pytest.mark.parametrize("state", ["held", "queued", "sent"])
async def test_the_end_of_an_invitation_stops_its_delivery(store: SqliteStore, state: str) -> None:
    if state == "held":
        invitation = (await begin(store, channels=("sms",))).invitation.id
    else:
        invitation = await active(store)
        assert await store.begin_delivery(invitation, ID, "sms")
    sent = DeliveryResult(invitation, ID, "sms", "sent", next_at=5000.0, references=("1",))
    if state == "sent":
        await store.delivery_result(sent, 1010.0, announce)
    await store.end_invitations([ended(invitation)])
    delivery = await record(store, invitation)
    expected = ("sent", "") if state == "sent" else ("failed", STOPPED)
    assert (delivery.state, delivery.error) == expected and delivery.sealed_link is None
    assert await store.delivery_result(sent, 1010.0, announce) == []  # of the attempt that was running
    assert await receive(store, "sms", "1", "late") is None
    assert await store.due_channels(9999.0) == [] and await store.next_delivery(0.0) is None
    await store.delete_relation(invitation)
    assert rows(store) == (0, 0)


async def test_nothing_is_left_of_a_deleted_account(store: SqliteStore) -> None:
    invitation = await active(store)
    await attempt(store, invitation, "sms", "sent", next_at=5000.0, references=("1",))
    assert rows(store) == (1, 1)
    await store.delete_account(1)
    assert rows(store) == (0, 0)
    assert await store.delivery_result(DeliveryResult(invitation, ID, "sms", "sent"), 1010.0, announce) == []


def rows(store: SqliteStore) -> tuple[int, int]:
    """Count deliveries and references."""
    connection = sqlite3.connect(store.path)
    counts = [
        connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("delivery", "delivery_reference")
    ]
    connection.close()
    return counts[0], counts[1]


async def test_an_invitation_is_found_by_its_secret(store: SqliteStore) -> None:
    await begin(store, secret_hash=b"one")
    second = await begin(store, "c", secret_hash=b"two")
    (found,) = await store.invitations(secret_hash=b"two")
    assert found.account.id == second.account.id
    assert await store.invitations(secret_hash=b"three") == []


async def test_an_older_file_gets_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rcsgw.db"
    connection = sqlite3.connect(path)
    step = next(number for number, item in enumerate(MIGRATIONS) if item.__name__ == "_channels")
    with monkeypatch.context() as patch:
        patch.setattr("gateway.storage.schema.MIGRATIONS", MIGRATIONS[:step])
        migrate(connection)
    connection.execute("INSERT INTO delivery VALUES (1, 'email', 'b@x', x'00', '<1@x>', 'queued', 2, 0, 0, 'busy')")
    connection.commit()
    migrate(connection)
    row = connection.execute("SELECT channel, channels, tried, doubtful FROM delivery").fetchone()
    assert row == ("email", '["email"]', "[]", 0)
    connection.close()
