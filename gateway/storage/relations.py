"""SQL of accounts, invitations, deliveries and tombstones: functions that run inside a transaction of the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from sqlite3 import Connection, IntegrityError
from typing import Any

from gateway.storage import history, quotas
from gateway.storage.accountstore import AccountRecord, NewAccount
from gateway.storage.deliverystore import STOPPED
from gateway.storage.entries import append_notices
from gateway.storage.entrystore import InviterEvent, Notice
from gateway.storage.errors import NameTaken
from gateway.storage.historystore import Hide
from gateway.storage.invitationstore import (
    Announce,
    DeliveryRecord,
    End,
    InvitationRecord,
    Invited,
    NewInvitation,
    Quota,
    Tombstone,
    Tried,
)

_ACCOUNT = (
    "account.id, uri, impi, realm, identifier_kind, identifier, sealed_secret, contact_token, instance_id, origin, "
    "provisioned, logged_in, max(cursor, ifnull((SELECT max(cursor) FROM entry WHERE account_id = account.id), 0)), "
    "account.created_at"
)
_INVITATION = (
    "invitation.id, account_id, uid, sip, identities, name, types, note, language, secret_hash, "
    "invitation.created_at, expires_at, invitation.state, reason, came_at, client"
)
_DELIVERY = (
    "invitation_id, channel, address, sealed_link, message_id, delivery.state, attempts, queued_at, next_at, error, "
    "channels, tried, doubtful"
)
_INVITED = (
    f"SELECT {_ACCOUNT}, {_INVITATION}, {_DELIVERY} FROM invitation JOIN account ON account.id = invitation.account_id "
    "LEFT JOIN delivery ON delivery.invitation_id = invitation.id"
)
_ACCOUNT_END = 14
_INVITATION_END = 30


def _account(row: Sequence[Any]) -> AccountRecord:
    values = list(row)
    values[10], values[11] = bool(values[10]), bool(values[11])
    return AccountRecord(*values)


def _invitation(row: Sequence[Any]) -> InvitationRecord:
    values = list(row)
    values[4], values[6] = tuple(json.loads(values[4])), tuple(json.loads(values[6]))
    return InvitationRecord(*values)


def _delivery(row: Sequence[Any]) -> DeliveryRecord | None:
    if row[0] is None:
        return None
    values = list(row)
    values[10], values[11] = tuple(json.loads(values[10])), tuple(Tried(*item) for item in json.loads(values[11]))
    return DeliveryRecord(*values)


def _invited(row: Sequence[Any]) -> Invited:
    return Invited(
        _account(row[:_ACCOUNT_END]),
        _invitation(row[_ACCOUNT_END:_INVITATION_END]),
        _delivery(row[_INVITATION_END:]),
    )


def accounts(connection: Connection, where: str = "1", *values: Any) -> list[AccountRecord]:
    """Return accounts that fit a condition."""
    rows = connection.execute(f"SELECT {_ACCOUNT} FROM account WHERE {where} ORDER BY account.id", values)
    return [_account(row) for row in rows]


def invited(
    connection: Connection, where: str, *values: Any, order: str = "invitation.id", limit: int = -1
) -> list[Invited]:
    """Return invitations, with account and delivery, that fit a condition; -1 is no limit."""
    query = f"{_INVITED} WHERE {where} ORDER BY {order} LIMIT ?"
    return [_invited(row) for row in connection.execute(query, (*values, limit))]


def begin(
    connection: Connection,
    account: NewAccount | int,
    new: NewInvitation,
    announce: Announce,
    quota: Quota | None = None,
) -> tuple[Invited, list[InviterEvent]]:
    """Write account, invitation and held delivery."""
    if quota is not None:
        quotas.check(connection, new.uid, quota, new.created_at)
    account_id = account if isinstance(account, int) else _insert_account(connection, account, new.created_at)
    cursor = connection.execute(
        "INSERT INTO invitation (account_id, uid, sip, identities, name, types, note, language, secret_hash, "
        "created_at, expires_at, state, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'preparing', '')",
        (
            account_id,
            new.uid,
            new.sip,
            json.dumps(new.identities),
            new.name,
            json.dumps(new.types),
            new.note,
            new.language,
            new.secret_hash,
            new.created_at,
            new.expires_at,
        ),
    )
    connection.execute(
        "INSERT INTO delivery (invitation_id, channel, address, sealed_link, message_id, state, attempts, queued_at, "
        "next_at, error, channels) VALUES (?, ?, ?, ?, ?, 'held', 0, 0, 0, '', ?)",
        (
            cursor.lastrowid,
            new.channels[0],
            new.address,
            new.sealed_link,
            new.message_id,
            json.dumps(new.channels),
        ),
    )
    history.note(connection, account_id, "reused" if account_id is account else "allocated", "inviter", uid=new.uid)
    (result,) = invited(connection, "invitation.id = ?", cursor.lastrowid)
    quotas.count(connection, new.uid, new.created_at)
    return result, append_notices(connection, [announce(result)])


def _insert_account(connection: Connection, account: NewAccount, now: float) -> int:
    values = (
        account.uri,
        account.impi,
        account.realm,
        account.identifier_kind,
        account.identifier,
        account.sealed_secret,
        account.contact_token,
        account.instance_id,
        account.origin,
        now,
    )
    try:
        cursor = connection.execute(
            "INSERT INTO account (uri, impi, realm, identifier_kind, identifier, sealed_secret, contact_token, "
            f"instance_id, origin, created_at) VALUES ({', '.join('?' * len(values))})",
            values,
        )
    except IntegrityError as error:
        raise NameTaken(f"{account.uri}: {error}") from None
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def activate(connection: Connection, invitation_id: int, now: float, notice: Notice) -> list[InviterEvent]:
    """Make a preparing invitation active and let its mail go."""
    changed = connection.execute(
        "UPDATE invitation SET state = 'active', reason = '' WHERE id = ? AND state = 'preparing'", (invitation_id,)
    )
    if not changed.rowcount:
        return []
    connection.execute(
        "UPDATE delivery SET state = 'queued', queued_at = ?, next_at = ? WHERE invitation_id = ? AND state = 'held'",
        (now, now, invitation_id),
    )
    history.note_invitation(connection, invitation_id, "invited", "inviter")
    return append_notices(connection, [notice])


def note_failure(connection: Connection, invitation_id: int, reason: str, notice: Notice) -> list[InviterEvent]:
    """Write why an invitation is not active yet."""
    changed = connection.execute(
        "UPDATE invitation SET reason = ? WHERE id = ? AND state = 'preparing' AND reason <> ?",
        (reason, invitation_id, reason),
    )
    if not changed.rowcount:
        return []
    history.note_invitation(connection, invitation_id, "failing", detail=reason)
    return append_notices(connection, [notice])


def renew_secret(
    connection: Connection,
    invitation_id: int,
    replaces: bytes,
    secret_hash: bytes,
    sealed_link: bytes,
    message_id: str,
    tombstone: Tombstone,
    notice: Notice,
) -> list[InviterEvent]:
    """Replace the secret, bury the old one, start the delivery over."""
    changed = connection.execute(
        "UPDATE invitation SET secret_hash = ?, came_at = 0, client = x'' "
        "WHERE id = ? AND state = 'active' AND secret_hash = ?",
        (secret_hash, invitation_id, replaces),
    )
    if not changed.rowcount:
        return []
    bury(connection, tombstone)
    connection.execute(
        "UPDATE delivery SET sealed_link = ?, message_id = ?, state = 'queued', attempts = 0, queued_at = ?, "
        "next_at = ?, error = '', channel = json_extract(channels, '$[0]'), tried = '[]', doubtful = 0 "
        "WHERE invitation_id = ?",
        (sealed_link, message_id, notice.at, notice.at, invitation_id),
    )
    connection.execute("DELETE FROM delivery_reference WHERE invitation_id = ?", (invitation_id,))
    history.note_invitation(connection, invitation_id, "resent", "inviter")
    return append_notices(connection, [notice])


def end(connection: Connection, ends: Sequence[End], detail: str = "") -> list[InviterEvent]:
    """Make invitations ``ending``; a link that is not out stays in, and no receipt is waited for."""
    notices = []
    for item in ends:
        row, reason = (item.invitation_id,), item.tombstone.reason
        changed = connection.execute(
            "UPDATE invitation SET state = 'ending', reason = ? WHERE id = ? AND state <> 'ending'", (reason, *row)
        )
        if not changed.rowcount:
            continue  # somebody else was faster: one end, one reason, one notice
        history.note_end(connection, item.invitation_id, reason, detail)
        connection.execute(
            "UPDATE delivery SET state = 'failed', error = ? WHERE invitation_id = ? AND state IN ('held', 'queued')",
            (STOPPED, *row),
        )
        connection.execute("UPDATE delivery SET sealed_link = NULL, next_at = 0 WHERE invitation_id = ?", row)
        connection.execute("DELETE FROM delivery_reference WHERE invitation_id = ?", row)
        bury(connection, item.tombstone)
        notices.append(item.notice)
    return append_notices(connection, notices)


def bury(connection: Connection, tombstone: Tombstone) -> None:
    """Keep what tells the holder of a dead secret why it is dead."""
    connection.execute(
        "INSERT OR REPLACE INTO tombstone VALUES (?, ?, ?)", (tombstone.hash, tombstone.reason, tombstone.ended_at)
    )


def delete_relation(connection: Connection, invitation_id: int) -> None:
    """Delete an invitation and its conversation; the news of its end stays until the guest has left, too."""
    found = connection.execute("SELECT account_id, uid FROM invitation WHERE id = ?", (invitation_id,)).fetchone()
    if found is None:
        return
    connection.execute(
        "UPDATE account SET cursor = max(cursor, "
        "ifnull((SELECT max(cursor) FROM entry WHERE account_id = account.id), 0)) WHERE id = ?",
        (found[0],),
    )
    connection.execute("DELETE FROM entry WHERE account_id = ? AND uid = ? AND kind <> 'session'", found)
    connection.execute("DELETE FROM file WHERE account_id = ? AND uid = ?", found)
    for table in ("delivery", "delivery_reference"):
        connection.execute(f"DELETE FROM {table} WHERE invitation_id = ?", (invitation_id,))
    connection.execute("DELETE FROM invitation WHERE id = ?", (invitation_id,))


def delete_account(connection: Connection, account_id: int, hide: Hide, left_behind: str) -> None:
    """Delete every row of an account; of its history stays what names nobody."""
    if left_behind:
        history.note(connection, account_id, "left-behind", detail=left_behind)
    history.note(connection, account_id, "deleted")
    history.hide(connection, account_id, hide)
    for table in ("delivery", "delivery_reference"):
        connection.execute(
            f"DELETE FROM {table} WHERE invitation_id IN (SELECT id FROM invitation WHERE account_id = ?)",
            (account_id,),
        )
    for table in ("invitation", "registration", "entry", "file"):
        connection.execute(f"DELETE FROM {table} WHERE account_id = ?", (account_id,))
    connection.execute("DELETE FROM account WHERE id = ?", (account_id,))


def registrations(connection: Connection, account_id: int) -> dict[str, bool]:
    """Return type → done of an account's second registrations."""
    rows = connection.execute("SELECT type, done FROM registration WHERE account_id = ?", (account_id,))
    return {kind: bool(done) for kind, done in rows}


def tombstone(connection: Connection, hash: bytes) -> str | None:
    """Return the reason kept for a dead secret."""
    row = connection.execute("SELECT reason FROM tombstone WHERE hash = ?", (hash,)).fetchone()
    return row[0] if row else None


def number(connection: Connection, query: str, *values: object) -> float | None:
    """Return the one value of a query."""
    value: float | None = connection.execute(query, values).fetchone()[0]
    return value


def execute(connection: Connection, statement: str, *values: object) -> None:
    """Run one statement."""
    connection.execute(statement, values)
