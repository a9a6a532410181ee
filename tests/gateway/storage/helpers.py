"""Records for the tests of the store and of what stands on it."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.storage.accountstore import NewAccount
from gateway.storage.entrystore import Entry, Notice
from gateway.storage.invitationstore import End, Invited, NewInvitation, Tombstone
from gateway.storage.sqlite import SqliteStore


def new_account(user: str = "b", **changes: Any) -> NewAccount:
    """Return an account to be made for ``user``@example.com."""
    values: dict[str, Any] = {
        "uri": f"sip:{user}@cc.com",
        "impi": user,
        "realm": "cc.com",
        "identifier_kind": "email",
        "identifier": f"{user}@example.com",
        "sealed_secret": b"sealed",
        "contact_token": "token",
        "instance_id": "urn:uuid:0",
    }
    return NewAccount(**(values | changes))


def new_invitation(uid: str = "a", **changes: Any) -> NewInvitation:
    """Return an invitation by ``uid`` that lasts from 1000 to 2000."""
    values: dict[str, Any] = {
        "uid": uid,
        "sip": f"sip:{uid}@cc.com",
        "identities": (f"sip:{uid}@cc.com", "tel:+15550100"),
        "name": "Alice",
        "types": ("im",),
        "note": "",
        "language": "en",
        "secret_hash": b"hash",
        "created_at": 1000.0,
        "expires_at": 2000.0,
        "channels": ("email",),
        "address": "b@example.com",
        "sealed_link": b"link",
        "message_id": "<1@example.com>",
    }
    return NewInvitation(**(values | changes))


def announce(invited: Invited) -> Notice:
    """Return the event of a new invitation."""
    return notice(invited.invitation.uid)


def notice(uid: str = "a", at: float = 1000.0, body: str = "{}") -> Notice:
    """Return an event for an inviter."""
    return Notice(uid, at, body)


async def begin(store: SqliteStore, user: str = "b", uid: str = "a", **changes: Any) -> Invited:
    """Make an account with one invitation."""
    invited, _ = await store.begin_invitation(new_account(user), new_invitation(uid, **changes), announce)
    return invited


def ended(invitation_id: int, reason: str = "revoked") -> End:
    """Return the end of an invitation."""
    return End(invitation_id, Tombstone(b"t%d" % invitation_id, reason, 2000.0), notice())


def entry(account_id: int = 1, cursor: int = 1, **changes: Any) -> Entry:
    """Return a message to an inviter."""
    values: dict[str, Any] = {
        "kind": "message",
        "uid": "a",
        "id": f"m{cursor}",
        "direction": "out",
        "state": "pending",
        "at": 1000.0 + cursor,
        "content_type": "text/plain",
        "body": "abcdefg",
    }
    return Entry(account_id=account_id, cursor=cursor, **(values | changes))


async def append(store: SqliteStore, *entries: Entry) -> list[Exception | None]:
    """Append entries and wait for the commit; return what each was told."""
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in entries]
    for item, future in zip(entries, futures, strict=True):
        store.append(item, lambda _, error, future=future: future.set_result(error))  # type: ignore[misc]  # a lambda with a default
    return [await future for future in futures]
