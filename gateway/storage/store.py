"""What the gateway keeps, and the one interface to it. Every method is one whole transaction.

Times are wall time, Unix seconds. Coroutines return after the commit; the two hot calls, :meth:`Store.append` and
:meth:`Store.set_state`, return at once and call back on the event loop after the commit of the batch they were in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from gateway.storage.filestore import FileStore
from gateway.storage.historystore import Hide, HistoryStore
from gateway.storage.leasestore import LeaseStore

QuotaKind = Literal["open", "day", "minute"]


class StoreError(Exception):
    """The store could not do it: the disk is full, the file is locked or gone. Nothing of the call was kept."""


class NameTaken(StoreError):
    """Another account has this name already."""


class OverQuota(StoreError):
    """The inviter has, or has made, as many invitations as one may."""

    def __init__(self, kind: QuotaKind, heals_at: float) -> None:
        super().__init__(f"as many invitations as one inviter may have: {kind}")
        self.kind = kind
        self.heals_at = heals_at
        """When there is room again at the latest, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How many invitations one inviter may have at a time and make in a day and in a minute; 0: any number."""

    open: int = 0
    per_day: int = 0
    per_minute: int = 0


@dataclass(slots=True)
class Entry:
    """One row of a guest's events; rows of kind ``message`` are the conversation as well."""

    account_id: int
    cursor: int
    """Counter of the account, given by the caller; grows by one an entry and is never used again."""
    kind: str
    """``message``, ``receipt``, ``status``, ``session``, ``composing``."""
    uid: str
    """UID of the inviter, empty when the entry is about the session as a whole."""
    id: str
    """Message id, empty where there is none."""
    direction: str
    """``in`` from an inviter to the guest, ``out`` the other way, empty for other kinds."""
    state: str
    at: float
    content_type: str
    body: str
    asked: str = ""
    """What its sender wants to be told of it (``gateway.asked``); empty: nothing."""
    taken: bool = False
    """The writer has read ``state``. Who changes the state writes it first and then looks here: False means that
    the new state goes into the row by itself, True means that :meth:`Store.set_state` is needed."""


@dataclass(slots=True)
class AccountRecord:
    """A temporary account."""

    id: int
    uri: str
    """SIP URI, unique."""
    impi: str
    """Private identity: the digest username."""
    realm: str
    identifier_kind: str
    """``email`` or ``phone``."""
    identifier: str
    sealed_secret: bytes
    contact_token: str
    instance_id: str
    origin: str
    """Who named it: ``gateway``, ``pool`` or ``up-center`` (:data:`gateway.accountsource.Origin`)."""
    provisioned: bool
    logged_in: bool
    cursor: int
    """Cursor of the newest entry."""
    created_at: float


@dataclass(slots=True)
class InvitationRecord:
    """The relation of one inviter to one account."""

    id: int
    account_id: int
    uid: str
    sip: str
    """Default identity of the inviter."""
    identities: tuple[str, ...]
    name: str
    types: tuple[str, ...]
    note: str
    language: str
    secret_hash: bytes
    created_at: float
    expires_at: float
    state: str
    """``preparing``, ``active``, ``ending``."""
    reason: str
    """Why it ends; with ``preparing``, what the last attempt failed with."""
    came_at: float = 0.0
    """When the guest came by this secret for the first time; 0: not yet."""
    client: bytes = b""
    """Keyed hash of what tells the client that came first."""


STOPPED = "stopped: the invitation has ended"
"""Why a link was not sent that nobody needs any more."""


class Tried(NamedTuple):
    """A channel that could not bring a link to its person."""

    channel: str
    attempts: int
    error: str


@dataclass(slots=True)
class DeliveryRecord:
    """The link on its way."""

    invitation_id: int
    channel: str
    """The one in use; ``attempts``, ``queued_at`` and ``error`` are about it."""
    address: str
    sealed_link: bytes | None
    """None once nobody will need it again."""
    message_id: str
    state: str
    """``held`` until the account is ready, ``queued``, ``sent``, ``delivered``, ``failed``."""
    attempts: int
    queued_at: float
    next_at: float
    """``queued``: when to try. ``sent``: until when a receipt may bring the next channel into play."""
    error: str
    channels: tuple[str, ...]
    """All that may be used, in this order."""
    tried: tuple[Tried, ...]
    """Those in front of the present one."""
    doubtful: int
    """Attempts by any channel that are running, or of which nobody knows whether they got through."""


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What came of one attempt."""

    invitation_id: int
    message_id: str
    channel: str
    state: Literal["sent", "queued", "failed"]
    """``queued``: to be tried again. ``failed``: the next channel is tried, if there is one."""
    next_at: float = 0.0
    """See :attr:`DeliveryRecord.next_at`."""
    error: str = ""
    references: tuple[str, ...] = ()
    """What receipts will name it by."""
    doubtful: bool = False
    """It may have got through all the same."""
    give_up: bool = False
    """No other channel may be tried either."""


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What :meth:`Store.begin_invitation` makes an account of."""

    uri: str
    impi: str
    realm: str
    identifier_kind: str
    identifier: str
    sealed_secret: bytes
    contact_token: str
    instance_id: str
    origin: str = "gateway"


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """What :meth:`Store.begin_invitation` makes an invitation and its held delivery of."""

    uid: str
    sip: str
    identities: tuple[str, ...]
    name: str
    types: tuple[str, ...]
    note: str
    language: str
    secret_hash: bytes
    created_at: float
    expires_at: float
    channels: tuple[str, ...]
    """By which the link may go; the first is tried first."""
    address: str
    sealed_link: bytes
    message_id: str


@dataclass(slots=True)
class Invited:
    """An invitation with its account, its delivery and the types that the account is registered for."""

    account: AccountRecord
    invitation: InvitationRecord
    delivery: DeliveryRecord | None


@dataclass(frozen=True, slots=True)
class InviterEvent:
    """Something that happened to an invitation, told to its inviter."""

    uid: str
    cursor: int
    kind: str
    at: float
    body: str


@dataclass(frozen=True, slots=True)
class Notice:
    """An :class:`InviterEvent` to be written along with a change; the store gives it its cursor."""

    uid: str
    at: float
    body: str
    kind: str = "invitation"


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is kept of a dead login secret: a keyed hash, so that only its holder is told why."""

    hash: bytes
    reason: str
    ended_at: float


Announce = Callable[[Invited], Notice]
"""Makes the inviter's event of a change; runs in the writer's thread and must be pure."""


def nobody(name: str) -> str:
    """Keep nothing of a name."""
    return ""


Done = Callable[[Entry, Exception | None], None]
StateDone = Callable[[Exception | None], None]


class Store(FileStore, LeaseStore, HistoryStore, Protocol):
    """Everything durable. Coroutines raise :class:`StoreError` when nothing could be kept or read."""

    on_pressure: Callable[[bool], None] | None
    """Called on the loop with True when too much waits for the disk, with False when that is over."""

    # hot: callbacks, batched with whatever else waits

    def append(self, entry: Entry, done: Done) -> None:
        """Add an entry; ``done(entry, error)`` is called on the loop after the commit, or with what prevented it."""

    def set_state(self, account_id: int, cursor: int, state: str, done: StateDone | None = None) -> None:
        """Change the state of an entry of kind ``message``."""

    # life

    async def open(self) -> None:
        """Open the file, bring its schema up to date, start the writer."""

    async def close(self) -> None:
        """Write what waits, then close."""

    async def ping(self) -> None:
        """Prove that a transaction can be committed."""

    # accounts and invitations

    async def accounts(self) -> list[AccountRecord]:
        """Return all accounts."""

    async def account_by_uri(self, uri: str) -> AccountRecord | None:
        """Return the account with this SIP URI."""

    async def account_by_identifier(self, kind: str, identifier: str) -> AccountRecord | None:
        """Return the account of a person."""

    async def logged_in_accounts(self) -> list[AccountRecord]:
        """Return the accounts whose guests are logged in."""

    async def account_by_id(self, account_id: int) -> AccountRecord | None:
        """Return one account."""

    async def uninvited_accounts(self) -> list[AccountRecord]:
        """Return the accounts that have no invitations."""

    async def set_logged_in(self, account_id: int, logged_in: bool) -> None:
        """Remember who has to be registered again after a restart."""

    async def come(self, invitation_id: int, client: bytes, now: float) -> bool:
        """Note who was the first to come by an invitation's secret; tell whether it is this ``client``."""

    async def never_came(self, before: float) -> list[Invited]:
        """Return active invitations whose link went out before this time, and by which nobody has come."""

    async def next_never_came(self) -> float | None:
        """Return when the link of the first of those went out by which nobody has come yet."""

    async def invitations(
        self,
        *,
        account_id: int | None = None,
        account_uri: str | None = None,
        uid: str | None = None,
        secret_hash: bytes | None = None,
        states: Sequence[str] = (),
    ) -> list[Invited]:
        """Return invitations with all that belongs to them, oldest first, filtered by what is given."""

    async def check_quota(self, uid: str, quota: Quota, now: float) -> None:
        """Raise :class:`OverQuota` where one more invitation would be too many."""

    async def inviters(self) -> list[str]:
        """Return the UIDs of all who have invitations that are not ending."""

    async def next_serial(self) -> int:
        """Return a number that no account has had, for names that count."""

    async def begin_invitation(
        self,
        account: NewAccount | int,
        invitation: NewInvitation,
        announce: Announce,
        quota: Quota | None = None,
    ) -> tuple[Invited, list[InviterEvent]]:
        """Write account (unless the id of an existing one is given), invitation ``preparing`` and delivery ``held``.

        Raises :class:`NameTaken` when another account has the URI, :class:`OverQuota` when ``quota`` leaves no room.
        """

    async def mark_provisioned(self, account_id: int, provisioned: bool) -> None:
        """Note that the core knows the account, or knows it no more."""

    async def registrations(self, account_id: int) -> dict[str, bool]:
        """Return interaction type → done, for every second registration begun."""

    async def registered(self, kind: str) -> dict[str, bool]:
        """Return SIP URI → done, for every second registration of an interaction type that has begun."""

    async def mark_registered(self, account_id: int, kind: str, done: bool) -> None:
        """Note that a second registration begins (``done`` False, so that it will be undone) or has succeeded."""

    async def forget_registration(self, account_id: int, kind: str) -> None:
        """Note that the server of this type knows the account no more."""

    async def activate(self, invitation_id: int, now: float, notice: Notice) -> list[InviterEvent]:
        """Make a ``preparing`` invitation ``active`` and queue its delivery."""

    async def note_failure(self, invitation_id: int, reason: str, notice: Notice) -> list[InviterEvent]:
        """Note why a ``preparing`` invitation is not active yet."""

    async def renew_secret(
        self,
        invitation_id: int,
        secret_hash: bytes,
        sealed_link: bytes,
        message_id: str,
        tombstone: Tombstone,
        notice: Notice,
    ) -> list[InviterEvent]:
        """Replace the login secret and queue the delivery again, from its first channel on."""

    async def end_invitations(
        self,
        ends: Sequence[tuple[int, str]],
        tombstones: Sequence[Tombstone],
        notices: Sequence[Notice],
        detail: str = "",
    ) -> list[InviterEvent]:
        """Make invitations (id, reason) ``ending``: from here on their secrets open nothing; deliveries are stopped,
        and their links forgotten. ``detail`` is for the history."""

    async def delete_relation(self, invitation_id: int) -> None:
        """Delete an invitation, its delivery and the conversation that belongs to it."""

    async def delete_account(self, account_id: int, hide: Hide = nobody, left_behind: str = "") -> None:
        """Delete an account and every row that belongs to it; its history names nobody any more.

        ``left_behind`` tells what could not be undone elsewhere.
        """

    async def tombstone(self, hash: bytes) -> str | None:
        """Return why the invitation of this dead secret ended."""

    async def expired(self, now: float) -> list[Invited]:
        """Return the invitations, ``preparing`` or ``active``, that are over."""

    async def next_expiry(self) -> float | None:
        """Return when the next invitation is over."""

    # delivery

    async def due_channels(self, now: float) -> list[str]:
        """Return the channels that have something to do now."""

    async def due_deliveries(self, now: float, channel: str, limit: int) -> list[Invited]:
        """Return invitations whose link may be tried by a channel now, the longest waiting first."""

    async def next_delivery(self, now: float) -> float | None:
        """Return when, after now, there is something to do next: a link to be tried, or to be forgotten."""

    async def begin_delivery(self, invitation_id: int, message_id: str, channel: str) -> bool:
        """Note that an attempt begins; False: there is nothing to deliver any more, or not this."""

    async def delivery_result(self, result: DeliveryResult, now: float, announce: Announce) -> list[InviterEvent]:
        """Note what came of an attempt. A delivery that was replaced or stopped meanwhile is left alone."""

    async def delivery_receipt(
        self, channel: str, reference: str, error: str | None, now: float, announce: Announce
    ) -> list[InviterEvent] | None:
        """Note a receipt for one part: it was delivered, or failed with ``error``. None: nobody waits for this one."""

    async def forget_links(self, now: float) -> None:
        """Forget the links of deliveries whose receipts have been waited for long enough."""

    # entries of guests

    async def events_after(self, account_id: int, after: int, limit: int) -> list[Entry] | None:
        """Return entries behind a cursor, oldest first; None when something behind it has been pruned."""

    async def conversation(self, account_id: int, uid: str | None, before: int | None, limit: int) -> list[Entry]:
        """Return the newest ``limit`` messages in front of a cursor, oldest first."""

    async def find_message(self, account_id: int, id: str) -> Entry | None:
        """Return the guest's own message with this id."""

    async def advance(
        self, account_id: int, direction: str, uid: str | None, id: str, state: str, before: Sequence[str]
    ) -> tuple[Entry, bool] | None:
        """Bring the newest message of this direction, id and (if given) inviter to ``state`` if it is in one of
        ``before``. Return it as it is then, and whether it was changed; None when there is none."""

    async def unresolved(self, account_id: int) -> list[Entry]:
        """Return the guest's own messages whose outcome is open, oldest first."""

    async def received(self, account_id: int, limit: int) -> list[tuple[str, str]]:
        """Return UID and message id of the newest ``limit`` messages of inviters, oldest first."""

    # events of inviters

    async def inviter_events_after(self, uid: str, after: int, limit: int) -> list[InviterEvent] | None:
        """Return events behind a cursor, oldest first; None when something behind it has been pruned."""

    async def inviter_cursors(self) -> dict[str, int]:
        """Return UID → cursor of the newest event."""

    async def prune(self, events_before: float, events_count: int, tombstones_before: float) -> int:
        """Delete events that are too old or too many, and old tombstones; messages stay. Return how many rows went."""
