"""What the gateway keeps about invitations: the relation of an inviter to an account, and the link that opens it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.storage.accountstore import AccountRecord, NewAccount
from gateway.storage.entrystore import InviterEvent, Notice


@dataclass(frozen=True, slots=True)
class Quota:
    """How many invitations one inviter may have at a time and make in a day and in a minute; 0: any number."""

    open: int = 0
    per_day: int = 0
    per_minute: int = 0


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
class NewInvitation:
    """What :meth:`InvitationStore.begin_invitation` makes an invitation and its held delivery of."""

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
class Tombstone:
    """What is kept of a dead login secret: a keyed hash, so that only its holder is told why."""

    hash: bytes
    reason: str
    ended_at: float


@dataclass(frozen=True, slots=True)
class End:
    """The end of one invitation, for the reason that its tombstone has."""

    invitation_id: int
    tombstone: Tombstone
    notice: Notice


Announce = Callable[[Invited], Notice]
"""Makes the inviter's event of a change; runs in the writer's thread and must be pure."""


class InvitationStore(Protocol):
    """The part of :class:`gateway.storage.store.Store` about invitations."""

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

    async def activate(self, invitation_id: int, now: float, notice: Notice) -> list[InviterEvent]:
        """Make a ``preparing`` invitation ``active`` and queue its delivery."""

    async def note_failure(self, invitation_id: int, reason: str, notice: Notice) -> list[InviterEvent]:
        """Note why a ``preparing`` invitation is not active yet."""

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
        """Replace the login secret with the hash ``replaces`` and queue the delivery again, from its first channel on.

        Returns nothing, and does nothing, where the secret is another one by now or the invitation is over.
        """

    async def come(self, invitation_id: int, client: bytes, now: float) -> bool:
        """Note who was the first to come by an invitation's secret; tell whether it is this ``client``."""

    async def never_came(self, before: float) -> list[Invited]:
        """Return active invitations whose link went out before this time, and by which nobody has come."""

    async def next_never_came(self) -> float | None:
        """Return when the link of the first of those went out by which nobody has come yet."""

    async def expired(self, now: float) -> list[Invited]:
        """Return the invitations, ``preparing`` or ``active``, that are over."""

    async def next_expiry(self) -> float | None:
        """Return when the next invitation is over."""

    async def end_invitations(self, ends: Sequence[End], detail: str = "") -> list[InviterEvent]:
        """Make invitations ``ending``: from here on their secrets open nothing; deliveries are stopped, and their links
        forgotten. Those that are ``ending`` or gone are left alone. ``detail`` is for the history."""

    async def delete_relation(self, invitation_id: int) -> None:
        """Delete an invitation, its delivery and the conversation that belongs to it."""

    async def tombstone(self, hash: bytes) -> str | None:
        """Return why the invitation of this dead secret ended."""
