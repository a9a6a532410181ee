"""The embedded store: what :class:`gateway.storage.store.Store` promises, as statements on a file of SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.storage import deliveries, entries, files, history, leases, quotas, relations, sequences, steps
from gateway.storage.accountstore import AccountRecord, NewAccount, nobody
from gateway.storage.deliverystore import DeliveryResult
from gateway.storage.entrystore import Done, Entry, InviterEvent, Notice, StateDone
from gateway.storage.errors import StoreError
from gateway.storage.filestore import FileRecord
from gateway.storage.historystore import Happened, Hide, Order, OrderKind
from gateway.storage.invitationstore import Announce, End, Invited, NewInvitation, Quota, Tombstone
from gateway.storage.leasestore import Lease
from gateway.storage.sqlitefile import SqliteFile

_NOT_COME = "invitation.state = 'active' AND came_at = 0 AND delivery.state IN ('sent', 'delivered', 'failed')"


class SqliteStore(SqliteFile):
    """:class:`gateway.storage.store.Store` on one SQLite file."""

    async def ping(self) -> None:
        """Commit a transaction that writes."""
        await self._write(relations.execute, "UPDATE account SET cursor = cursor WHERE id = 0")

    # accounts and invitations

    async def accounts(self) -> list[AccountRecord]:
        """Return all accounts."""
        return await self._read(relations.accounts)

    async def account_by_uri(self, uri: str) -> AccountRecord | None:
        """Return the account with this SIP URI."""
        return _first(await self._read(relations.accounts, "uri = ?", uri))

    async def account_by_identifier(self, kind: str, identifier: str) -> AccountRecord | None:
        """Return the account of a person."""
        return _first(await self._read(relations.accounts, "identifier_kind = ? AND identifier = ?", kind, identifier))

    async def logged_in_accounts(self) -> list[AccountRecord]:
        """Return the accounts whose guests are logged in."""
        return await self._read(relations.accounts, "logged_in")

    async def set_logged_in(self, account_id: int, logged_in: bool) -> None:
        """Remember whether to register this account after a restart."""
        await self._write(steps.set_logged_in, account_id, logged_in)

    async def account_by_id(self, account_id: int) -> AccountRecord | None:
        """Return one account."""
        return _first(await self._read(relations.accounts, "account.id = ?", account_id))

    async def uninvited_accounts(self) -> list[AccountRecord]:
        """Return the accounts that have no invitations."""
        return await self._read(relations.accounts, "account.id NOT IN (SELECT account_id FROM invitation)")

    async def come(self, invitation_id: int, client: bytes, now: float) -> bool:
        """Note who was the first to come by a secret; tell whether it is this client."""
        return await self._write(steps.come, invitation_id, client, now)

    async def never_came(self, before: float) -> list[Invited]:
        """Return active invitations by whose link, sent before this time, nobody has come."""
        return await self._read(relations.invited, f"{_NOT_COME} AND queued_at <= ?", before)

    async def next_never_came(self) -> float | None:
        """Return when the oldest link was sent by which nobody has come."""
        query = (
            "SELECT min(queued_at) FROM invitation JOIN delivery ON delivery.invitation_id = invitation.id "
            f"WHERE {_NOT_COME}"
        )
        return await self._read(relations.number, query)

    async def invitations(
        self,
        *,
        account_id: int | None = None,
        account_uri: str | None = None,
        uid: str | None = None,
        secret_hash: bytes | None = None,
        states: Sequence[str] = (),
    ) -> list[Invited]:
        """Return invitations that fit everything given, oldest first."""
        terms, values = ["1"], list[object]()
        filters = {"account_id": account_id, "uri": account_uri, "uid": uid, "secret_hash": secret_hash}
        for column, value in filters.items():
            if value is not None:
                terms.append(f"{column} = ?")
                values.append(value)
        if states:
            terms.append(f"invitation.state IN ({', '.join('?' * len(states))})")
            values += states
        return await self._read(relations.invited, " AND ".join(terms), *values)

    async def check_quota(self, uid: str, quota: Quota, now: float) -> None:
        """Raise OverQuota where one more invitation would be too many."""
        await self._read(quotas.check, uid, quota, now)

    async def inviters(self) -> list[str]:
        """Return the UIDs of all who have invitations that are not ending."""
        return await self._read(quotas.inviters)

    async def next_serial(self) -> int:
        """Return a number that no account has had."""
        return int(await self._read(relations.number, "SELECT max(seq) FROM sqlite_sequence") or 0) + 1

    async def begin_invitation(
        self,
        account: NewAccount | int,
        invitation: NewInvitation,
        announce: Announce,
        quota: Quota | None = None,
    ) -> tuple[Invited, list[InviterEvent]]:
        """Write account, invitation and held delivery. Raises NameTaken, OverQuota."""
        return await self._write(relations.begin, account, invitation, announce, quota)

    async def mark_provisioned(self, account_id: int, provisioned: bool) -> None:
        """Note whether the core knows the account."""
        await self._write(steps.set_provisioned, account_id, provisioned)

    async def registrations(self, account_id: int) -> dict[str, bool]:
        """Return type → done of the second registrations."""
        return await self._read(relations.registrations, account_id)

    async def registered(self, kind: str) -> dict[str, bool]:
        """Return SIP URI → done of the second registrations of a type."""
        return await self._read(steps.registered, kind)

    async def mark_registered(self, account_id: int, kind: str, done: bool) -> None:
        """Note that a second registration begins or is done."""
        await self._write(steps.set_registered, account_id, kind, done)

    async def forget_registration(self, account_id: int, kind: str) -> None:
        """Note that a second registration is undone."""
        await self._write(steps.forget_registration, account_id, kind)

    async def activate(self, invitation_id: int, now: float, notice: Notice) -> list[InviterEvent]:
        """Make a preparing invitation active and queue its delivery."""
        return await self._write(relations.activate, invitation_id, now, notice)

    async def note_failure(self, invitation_id: int, reason: str, notice: Notice) -> list[InviterEvent]:
        """Note why an invitation is not active yet; the same reason twice is written once."""
        return await self._write(relations.note_failure, invitation_id, reason, notice)

    async def renew_secret(
        self,
        invitation_id: int,
        replaces: bytes,
        secret_hash: bytes,
        sealed_link: bytes,
        message_id: str,
        tombstone: Tombstone,
        notice: Notice,
    ) -> list[InviterEvent]:
        """Replace the login secret and queue the delivery again."""
        return await self._write(
            relations.renew_secret, invitation_id, replaces, secret_hash, sealed_link, message_id, tombstone, notice
        )

    async def end_invitations(self, ends: Sequence[End], detail: str = "") -> list[InviterEvent]:
        """Make invitations ``ending``."""
        return await self._write(relations.end, ends, detail)

    async def delete_relation(self, invitation_id: int) -> None:
        """Delete an invitation and what belongs to it alone."""
        await self._write(relations.delete_relation, invitation_id)

    async def delete_account(self, account_id: int, hide: Hide = nobody, left_behind: str = "") -> None:
        """Delete an account and what belongs to it."""
        await self._write(relations.delete_account, account_id, hide, left_behind)

    async def tombstone(self, hash: bytes) -> str | None:
        """Return why the invitation of a dead secret ended."""
        return await self._read(relations.tombstone, hash)

    async def expired(self, now: float) -> list[Invited]:
        """Return invitations that are over and not ending yet."""
        return await self._read(relations.invited, "expires_at <= ? AND invitation.state <> 'ending'", now)

    async def next_expiry(self) -> float | None:
        """Return when the next invitation is over."""
        return await self._read(relations.number, "SELECT min(expires_at) FROM invitation WHERE state <> 'ending'")

    # delivery

    async def due_channels(self, now: float) -> list[str]:
        """Return the channels that have something to do now."""
        return await self._read(deliveries.due_channels, now)

    async def due_deliveries(self, now: float, channel: str, limit: int) -> list[Invited]:
        """Return what a channel may send now, the longest waiting first."""
        where = "delivery.state = 'queued' AND channel = ? AND next_at <= ?"
        return await self._read(relations.invited, where, channel, now, order="next_at", limit=limit)

    async def next_delivery(self, now: float) -> float | None:
        """Return when there is something to do next."""
        query = "SELECT min(next_at) FROM delivery WHERE state IN ('queued', 'sent') AND next_at > ?"
        return await self._read(relations.number, query, now)

    async def begin_delivery(self, invitation_id: int, message_id: str, channel: str) -> bool:
        """Note that an attempt begins, if it is still wanted."""
        return await self._write(deliveries.begin, invitation_id, message_id, channel)

    async def delivery_result(self, result: DeliveryResult, now: float, announce: Announce) -> list[InviterEvent]:
        """Note what came of an attempt."""
        return await self._write(deliveries.result, result, now, announce)

    async def delivery_receipt(
        self, channel: str, reference: str, error: str | None, now: float, announce: Announce
    ) -> list[InviterEvent] | None:
        """Note a receipt; None when nobody waits for it."""
        return await self._write(deliveries.receipt, channel, reference, error, now, announce)

    async def forget_links(self, now: float) -> None:
        """Forget the links that no receipt will bring into play any more; there is rarely one."""
        where = "WHERE state = 'sent' AND next_at > 0 AND next_at <= ?"
        if await self._read(relations.number, f"SELECT count(*) FROM delivery {where}", now):
            await self._write(relations.execute, f"UPDATE delivery SET sealed_link = NULL, next_at = 0 {where}", now)

    # entries of guests and events of inviters

    def append(self, entry: Entry, done: Done) -> None:
        """Queue an entry; see :meth:`gateway.storage.store.Store.append`."""
        if self._writer is None:
            asyncio.get_running_loop().call_soon(done, entry, StoreError("the store is closed"))
        else:
            self._writer.append(entry, done)

    def set_state(self, account_id: int, cursor: int, state: str, done: StateDone | None = None) -> None:
        """Queue a change of state; see :meth:`gateway.storage.store.Store.set_state`."""
        if self._writer is not None:
            self._writer.set_state(account_id, cursor, state, done)
        elif done is not None:
            asyncio.get_running_loop().call_soon(done, StoreError("the store is closed"))

    async def events_after(self, account_id: int, after: int, limit: int) -> list[Entry] | None:
        """Return entries behind a cursor, oldest first; None when some of them are gone."""
        return await self._read(entries.events_after, account_id, after, limit)

    async def conversation(self, account_id: int, uid: str | None, before: int | None, limit: int) -> list[Entry]:
        """Return the newest messages in front of a cursor, oldest first."""
        return await self._read(entries.conversation, account_id, uid, before, limit)

    async def find_message(self, account_id: int, id: str) -> Entry | None:
        """Return the guest's own message with this id."""
        return await self._read(entries.find_message, account_id, id)

    async def advance(
        self, account_id: int, direction: str, uid: str | None, id: str, state: str, before: Sequence[str]
    ) -> tuple[Entry, bool] | None:
        """Bring a message to ``state`` if it is in one of ``before``; return it, and whether it was changed."""
        return await self._write(entries.advance, account_id, direction, uid, id, state, before)

    async def unresolved(self, account_id: int) -> list[Entry]:
        """Return the guest's own messages whose outcome is open, oldest first."""
        return await self._read(entries.unresolved, account_id)

    async def received(self, account_id: int, limit: int) -> list[tuple[str, str]]:
        """Return UID and message id of the newest messages of inviters, oldest first."""
        return await self._read(entries.received, account_id, limit)

    async def inviter_events_after(self, uid: str, after: int, limit: int) -> list[InviterEvent] | None:
        """Return events behind a cursor, oldest first; None when some of them are gone."""
        return await self._read(entries.inviter_events_after, uid, after, limit)

    async def inviter_cursors(self) -> dict[str, int]:
        """Return UID → cursor of the newest event."""
        return await self._read(entries.inviter_cursors)

    async def prune(self, events_before: float, events_count: int, tombstones_before: float) -> int:
        """Delete what is too old or too much; call again while it returns more than 0."""
        return await self._write(entries.prune, events_before, events_count, tombstones_before)

    # files

    async def add_file(self, record: FileRecord) -> None:
        """Keep a new file."""
        await self._write(files.add, record)

    async def update_file(self, record: FileRecord) -> bool:
        """Keep what has changed of a file; return False when it is not kept any more."""
        return await self._write(files.update, record)

    async def file(self, id: str) -> FileRecord | None:
        """Return one file."""
        return await self._read(files.find, id)

    async def files(self, account_id: int, uid: str | None = None) -> list[FileRecord]:
        """Return the files of an account or of one of its relations, oldest first."""
        return await self._read(files.of_account, account_id, uid)

    async def all_files(self) -> list[FileRecord]:
        """Return every file, oldest first."""
        return await self._read(files.everything)

    async def files_over(self, now: float) -> list[FileRecord]:
        """Return the files whose time is over and that are not ``expired`` yet."""
        return await self._read(files.over, now)

    async def next_file_end(self) -> float | None:
        """Return when the time of the next file is over."""
        return await self._read(relations.number, "SELECT min(until) FROM file WHERE state <> 'expired'")

    async def delete_files(self, ids: Sequence[str]) -> None:
        """Forget files."""
        await self._write(files.delete, ids)

    # accounts that others name

    async def leases(self, origin: str) -> list[Lease]:
        """Return all of an origin, oldest first."""
        return await self._read(leases.everything, origin)

    async def put_lease(self, lease: Lease) -> None:
        """Write one, in the place of the one with the same origin and key."""
        await self._write(leases.put, lease)

    async def drop_lease(self, key: str, origin: str) -> None:
        """Forget one."""
        await self._write(leases.drop, key, origin)

    # accounts with a SIM

    async def sequence_numbers(self) -> dict[str, int]:
        """Return private identity → highest sequence number used."""
        return await self._read(sequences.everything)

    async def put_sequence_number(self, impi: str, sqn: int) -> None:
        """Note that a number was used, unless a higher one was."""
        await self._write(sequences.put, impi, sqn)

    # history and operators

    async def history(self, names: Sequence[str] = (), limit: int = -1) -> list[Happened]:
        """Return the newest steps about one of ``names``, oldest first."""
        return await self._read(history.find, tuple(names), limit)

    async def forget_history(self, before: float) -> int:
        """Delete what is older; call again while it returns more than 0."""
        return await self._write(history.forget, before)

    async def place_order(self, kind: OrderKind, account: str, uid: str) -> int:
        """Ask the running gateway for something."""
        return await self._write(history.place, kind, account, uid)

    async def orders(self) -> list[Order]:
        """Return what was ordered and is not done."""
        return await self._read(history.orders)

    async def finish_order(self, id: int, result: str) -> None:
        """Tell what came of an order."""
        await self._write(relations.execute, "UPDATE operator_order SET result = ? WHERE id = ?", result, id)

    async def take_result(self, id: int, *, withdraw: bool = False) -> str | None:
        """Return what came of an order, and forget it."""
        return await self._write(history.take_result, id, withdraw)


def _first(records: list[AccountRecord]) -> AccountRecord | None:
    return records[0] if records else None
