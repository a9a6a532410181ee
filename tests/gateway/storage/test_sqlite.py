"""The embedded store: what is written is there afterwards, what cannot be written is told."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.storage.deliverystore import DeliveryResult
from gateway.storage.errors import NameTaken, StoreError
from gateway.storage.invitationstore import Tombstone
from gateway.storage.sqlite import SqliteStore
from gateway.storage.store import Store
from tests.gateway.storage.helpers import announce, append, begin, ended, entry, new_account, new_invitation, notice

if TYPE_CHECKING:

    def _fulfils_the_interface(store: SqliteStore) -> Store:
        return store


async def test_file_is_private_and_durable(store: SqliteStore) -> None:
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    connection = sqlite3.connect(store.path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    await store.ping()


async def test_entries_come_back_as_they_went_in(store: SqliteStore) -> None:
    account = (await begin(store)).account
    bodies = ["abcdefg", "", "zero \0 inside", "你好 🎉", "x" * (1 << 20), "'; DROP TABLE entry; --"]
    items = [entry(account.id, number, body=body) for number, body in enumerate(bodies, 1)]
    assert await append(store, *items) == [None] * len(items)
    assert all(item.taken for item in items)
    assert await store.events_after(account.id, 0, 100) == items
    assert await store.events_after(account.id, 4, 1) == items[4:5]


async def test_state_is_changed_in_memory_before_and_in_the_row_after_the_writer_took_it(store: SqliteStore) -> None:
    account = (await begin(store)).account
    first, second = entry(account.id, 1), entry(account.id, 2)
    waiting = asyncio.gather(append(store, first), append(store, second))
    await asyncio.sleep(0)
    first.state = "sent"
    if first.taken:
        store.set_state(account.id, 1, "sent")
    await waiting
    done = asyncio.get_running_loop().create_future()
    store.set_state(account.id, 2, "unknown")
    store.set_state(account.id, 2, "sent", done.set_result)
    assert await done is None
    assert [item.state for item in await store.conversation(account.id, None, None, 10)] == ["sent", "sent"]


async def test_one_bad_entry_of_a_batch_fails_alone(store: SqliteStore) -> None:
    account = (await begin(store)).account
    await append(store, entry(account.id, 1))
    results = await append(
        store, entry(account.id, 2), entry(account.id, 1), entry(account.id, 3, body="\ud800"), entry(account.id, 4)
    )
    assert results[0] is None and results[3] is None
    assert isinstance(results[1], StoreError)
    assert isinstance(results[2], Exception)
    assert [item.cursor for item in await store.events_after(account.id, 0, 10) or ()] == [1, 2, 4]


async def test_many_entries_in_one_go(store: SqliteStore) -> None:
    account = (await begin(store)).account
    items = [entry(account.id, number) for number in range(1, 3001)]
    assert set(await append(store, *items)) == {None}
    for item in items:
        store.set_state(account.id, item.cursor, "sent")
    await store.ping()
    assert await store.unresolved(account.id) == []
    assert len(await store.events_after(account.id, 0, 5000) or ()) == 3000


async def test_pressure_is_told_when_too_much_waits(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    account = (await begin(store)).account
    told: list[bool] = []
    store.on_pressure = told.append
    goes_on = threading.Event()
    commit = store._commit

    def wait_and_commit(connection: sqlite3.Connection) -> None:
        goes_on.wait()
        commit(connection)

    monkeypatch.setattr(store._writer, "_commit", wait_and_commit)
    first = asyncio.ensure_future(append(store, entry(account.id, 1)))
    assert store._writer is not None
    await asyncio.sleep(0)
    while store._writer._entries:  # until the writer has taken it and waits in its commit
        await asyncio.sleep(0.001)
    rest = asyncio.ensure_future(append(store, *[entry(account.id, number) for number in range(2, 6000)]))
    await asyncio.sleep(0)
    assert told == [True]
    goes_on.set()
    assert set(await first + await rest) == {None}
    assert told == [True, False]


async def test_conversation_pages(store: SqliteStore) -> None:
    account = (await begin(store)).account
    items = [entry(account.id, n, uid="a" if n % 2 else "c", kind="status" if n == 5 else "message") for n in range(10)]
    await append(store, *items)
    page = await store.conversation(account.id, None, None, 3)
    assert [item.cursor for item in page] == [7, 8, 9]
    page = await store.conversation(account.id, None, 7, 3)
    assert [item.cursor for item in page] == [3, 4, 6]
    assert [item.cursor for item in await store.conversation(account.id, "a", None, 9)] == [1, 3, 7, 9]


async def test_a_message_is_found_by_its_id_among_the_guests_own(store: SqliteStore) -> None:
    account = (await begin(store)).account
    await append(store, entry(account.id, 1, id="x", direction="in"), entry(account.id, 2, id="x"))
    found = await store.find_message(account.id, "x")
    assert found is not None and found.cursor == 2
    assert await store.find_message(account.id, "y") is None
    assert [item.cursor for item in await store.unresolved(account.id)] == [2]


async def test_a_state_only_advances(store: SqliteStore) -> None:
    account = (await begin(store)).account
    await append(
        store,
        entry(account.id, 1, id="x", direction="in", state="delivered"),
        entry(account.id, 2, id="x", state="sent"),
        entry(account.id, 3, id="x", uid="c", state="sent"),
    )
    earlier = ("sent", "unknown")
    done = await store.advance(account.id, "out", "a", "x", "delivered", earlier)
    assert done is not None and (done[0].cursor, done[0].state, done[1]) == (2, "delivered", True)
    done = await store.advance(account.id, "out", "a", "x", "delivered", earlier)
    assert done is not None and (done[0].state, done[1]) == ("delivered", False)
    done = await store.advance(account.id, "in", None, "x", "displayed", ("delivered",))
    assert done is not None and (done[0].cursor, done[1]) == (1, True)
    assert await store.advance(account.id, "out", "a", "y", "delivered", earlier) is None
    states = [item.state for item in await store.conversation(account.id, None, None, 9)]
    assert states == ["displayed", "delivered", "sent"]


async def test_what_has_arrived_is_not_taken_back(store: SqliteStore) -> None:
    """D-IMD-14: states that are written late, whatever has overtaken them."""
    account = (await begin(store)).account
    states = ("pending", "sent", "unknown", "delivered", "displayed", "failed")
    items = [entry(account.id, number, state=state) for number, state in enumerate(states)]
    for late, expected in (
        ("sent", ["sent", "sent", "sent", "delivered", "displayed", "sent"]),
        ("failed", ["failed", "failed", "failed", "delivered", "displayed", "failed"]),
        ("displayed", ["displayed"] * 6),
        ("delivered", ["displayed"] * 6),
    ):
        if late == "sent":
            await append(store, *items)
        for item in items:
            store.set_state(account.id, item.cursor, late)
        await store.ping()
        assert [item.state for item in await store.conversation(account.id, None, None, 9)] == expected


async def test_ids_of_what_inviters_wrote(store: SqliteStore) -> None:
    account = (await begin(store)).account
    items = [entry(account.id, n, uid="a" if n % 2 else "c", id=f"m{n}", direction="in") for n in range(1, 5)]
    await append(store, *items, entry(account.id, 5, id="own"))
    assert await store.received(account.id, 3) == [("c", "m2"), ("a", "m3"), ("c", "m4")]


async def test_names_are_taken_once(store: SqliteStore) -> None:
    await begin(store)
    with pytest.raises(NameTaken):
        await store.begin_invitation(new_account("b", identifier="other@x"), new_invitation(), announce)
    assert len(await store.accounts()) == 1
    assert len(await store.inviter_events_after("a", 0, 10) or ()) == 1


async def test_one_failing_call_leaves_the_others_of_its_batch_alone(store: SqliteStore) -> None:
    account = (await begin(store)).account
    results = await asyncio.gather(
        store.begin_invitation(new_account("b"), new_invitation("c"), announce),
        store.begin_invitation(account.id, new_invitation("d"), announce),
        append(store, entry(account.id, 1)),
        return_exceptions=True,
    )
    assert isinstance(results[0], NameTaken)
    assert not isinstance(results[1], BaseException)
    assert [item.invitation.uid for item in await store.invitations()] == ["a", "d"]


async def test_life_of_an_invitation(store: SqliteStore) -> None:
    invited = await begin(store)
    account, invitation = invited.account, invited.invitation
    assert invitation.state == "preparing" and invited.delivery is not None and invited.delivery.state == "held"
    assert await store.due_deliveries(9999.0, "email", 5) == []
    await store.mark_provisioned(account.id, True)
    await store.mark_registered(account.id, "im", False)
    await store.mark_registered(account.id, "im", True)
    assert await store.registrations(account.id) == {"im": True}
    assert len(await store.note_failure(invitation.id, "core down", notice())) == 1
    assert await store.note_failure(invitation.id, "core down", notice()) == []
    (event,) = await store.activate(invitation.id, 1001.0, notice(body="active"))
    assert (event.cursor, event.body) == (3, "active")
    assert await store.activate(invitation.id, 1001.0, notice()) == []
    assert await store.next_delivery(1000.0) == 1001.0
    (due,) = await store.due_deliveries(1001.0, "email", 5)
    assert due.account.provisioned and due.invitation.state == "active" and due.invitation.reason == ""
    assert due.invitation.identities == ("sip:a@cc.com", "tel:+15550100")
    assert await store.next_expiry() == 2000.0
    assert await store.expired(1999.0) == []
    assert len(await store.expired(2000.0)) == 1
    await store.end_invitations([ended(invitation.id, "expired")])
    assert await store.expired(2000.0) == [] and await store.next_expiry() is None
    assert await store.tombstone(b"t1") == "expired" and await store.tombstone(b"u") is None
    await store.forget_registration(account.id, "im")
    await store.delete_account(account.id)
    assert await store.accounts() == [] and await store.invitations() == []
    assert await store.account_by_uri(account.uri) is None


async def test_renewed_secret_starts_the_delivery_over_and_an_old_result_does_not_touch_it(store: SqliteStore) -> None:
    invitation = (await begin(store)).invitation
    tombstone = Tombstone(b"old", "replaced", 1500.0)
    assert await store.renew_secret(invitation.id, b"hash", b"new", b"l", "<2@x>", tombstone, notice()) == []
    await store.activate(invitation.id, 1001.0, notice())
    assert await store.renew_secret(invitation.id, b"hash", b"new", b"l", "<2@x>", tombstone, notice(at=1500.0))
    assert not await store.renew_secret(invitation.id, b"hash", b"other", b"l", "<3@x>", tombstone, notice(at=1500.0))
    old = DeliveryResult(invitation.id, "<1@example.com>", "email", "sent")
    assert await store.delivery_result(old, 1500.0, announce) == []
    (due,) = await store.due_deliveries(1500.0, "email", 1)
    assert due.invitation.secret_hash == b"new"
    assert due.delivery is not None and due.delivery.message_id == "<2@x>"
    assert await store.tombstone(b"old") == "replaced"


async def test_end_of_a_relation_takes_its_conversation_and_keeps_the_cursor(store: SqliteStore) -> None:
    first = await begin(store)
    await store.begin_invitation(first.account.id, new_invitation("c"), announce)
    rows = [entry(1, 1, uid="a"), entry(1, 2, uid="c"), entry(1, 3, uid="a"), entry(1, 4, uid="a", kind="session")]
    await append(store, *rows, entry(1, 5, uid="a"))
    await store.delete_relation(first.invitation.id)
    await store.delete_relation(first.invitation.id)
    assert [(item.uid, item.kind) for item in await store.events_after(1, 0, 9) or ()] == [
        ("c", "message"),
        ("a", "session"),
    ]
    (account,) = await store.accounts()
    assert account.cursor == 5
    assert [item.invitation.uid for item in await store.invitations(states=["preparing"])] == ["c"]


async def test_deleted_accounts_leave_nothing_and_their_ids_are_not_used_again(store: SqliteStore) -> None:
    first = await begin(store)
    await append(store, entry(first.account.id, 1))
    await store.delete_account(first.account.id)
    await append(store, entry(first.account.id, 2))
    second = await begin(store)
    assert second.account.id > first.account.id
    assert await store.prune(0, 1000, 0) == 1
    connection = sqlite3.connect(store.path)
    assert connection.execute("SELECT count(*) FROM entry").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM delivery").fetchone() == (1,)
    connection.close()


async def test_pruning_keeps_messages_and_tells_readers_of_older_cursors(store: SqliteStore) -> None:
    invited = await begin(store)
    account = invited.account
    kinds = ["status", "message", "receipt", "status", "status", "receipt"]
    await append(store, *[entry(account.id, n, kind=kind) for n, kind in enumerate(kinds, 1)])
    assert await store.prune(1002.0, 1000, 0) == 2  # the status of 1001 and the inviter's own event of 1000
    assert await store.prune(0, 2, 0) == 2  # two of the four events that are left
    assert await store.events_after(account.id, 3, 10) is None
    left = await store.events_after(account.id, 4, 10)
    assert left is not None and [item.cursor for item in left] == [5, 6]
    assert [item.cursor for item in await store.conversation(account.id, None, None, 10)] == [2]
    assert await store.inviter_events_after("a", 0, 10) is None
    assert await store.inviter_events_after("a", 1, 10) == []
    assert await store.inviter_cursors() == {"a": 1}
    await store.note_failure(invited.invitation.id, "core down", notice(at=3000.0))
    assert await store.inviter_cursors() == {"a": 2}
    assert await store.prune(5000.0, 1000, 0) >= 1
    (account,) = await store.accounts()
    assert account.cursor == 6


async def test_logged_in_accounts_are_known_after_a_restart(store: SqliteStore) -> None:
    account = (await begin(store)).account
    await begin(store, "c", "a")
    await store.set_logged_in(account.id, True)
    await append(store, entry(account.id, 7))
    await store.close()
    again = SqliteStore(store.path)
    await again.open()
    (known,) = await again.logged_in_accounts()
    assert (known.uri, known.cursor, known.logged_in) == (account.uri, 7, True)
    assert (await again.account_by_identifier("email", "c@example.com")) is not None
    await again.close()


async def test_nothing_is_taken_after_the_end(store: SqliteStore) -> None:
    await store.close()
    await store.close()
    (error,) = await append(store, entry())
    assert isinstance(error, StoreError)
    done = asyncio.get_running_loop().create_future()
    store.set_state(1, 1, "sent", done.set_result)
    store.set_state(1, 1, "sent")
    assert isinstance(await done, StoreError)
    with pytest.raises(StoreError):
        await store.ping()
    with pytest.raises(StoreError):
        await store.accounts()


async def test_what_waits_at_the_end_is_written(store: SqliteStore) -> None:
    account = (await begin(store)).account
    waiting = [asyncio.ensure_future(append(store, entry(account.id, number))) for number in range(1, 50)]
    await asyncio.sleep(0)
    await store.close()
    assert [await item for item in waiting] == [[None]] * 49


async def test_a_locked_file_is_an_error_to_everybody_who_waits(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = (await begin(store)).account

    def no_commit(self: SqliteStore, connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store._writer, "_commit", lambda connection: no_commit(store, connection))
    done = asyncio.get_running_loop().create_future()
    store.set_state(account.id, 1, "sent", done.set_result)
    results = await append(store, entry(account.id, 1), entry(account.id, 2))
    assert [str(error) for error in results] == ["database or disk is full"] * 2
    assert "full" in str(await done)
    with pytest.raises(StoreError, match="full"):
        await store.ping()
    monkeypatch.undo()
    assert await store.events_after(account.id, 0, 10) == []


async def test_a_failing_callback_does_not_keep_the_others_from_being_called(store: SqliteStore) -> None:
    account = (await begin(store)).account
    caught: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: caught.append(context["message"]))
    store.append(entry(account.id, 1), lambda entry, error: 1 // 0)  # type: ignore[arg-type]  # fails on purpose
    await append(store, entry(account.id, 2))
    assert caught == ["a callback of the store failed"]


async def test_a_file_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="schema 99"):
        await SqliteStore(path).open()


async def test_a_file_that_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no database, certainly not one that is long enough to be one")
    with pytest.raises(StoreError):
        await SqliteStore(tmp_path / "x").open()


async def test_what_senders_ask_for_is_kept_and_an_older_file_gets_the_column(tmp_path: Path) -> None:
    path = tmp_path / "rcsgw.db"
    store = SqliteStore(path)
    await store.open()
    account = (await begin(store)).account
    await append(store, entry(account.id, 1))
    await store.close()
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE entry DROP COLUMN asked")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    again = SqliteStore(path)
    await again.open()
    await append(again, entry(account.id, 2, id="x", direction="in", state="delivered", asked='["display"]'))
    assert [item.asked for item in await again.events_after(account.id, 0, 9) or ()] == ["", '["display"]']
    done = await again.advance(account.id, "in", None, "x", "displayed", ("delivered",))
    assert done is not None and done[0].asked == '["display"]'
    await again.close()
    # the process may die between the column and the number
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    await again.open()
    assert len(await again.events_after(account.id, 0, 9) or ()) == 2
    await again.close()
