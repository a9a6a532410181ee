"""What the gateway keeps about temporary accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.storage.historystore import Hide


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


def nobody(name: str) -> str:
    """Keep nothing of a name."""
    return ""


class AccountStore(Protocol):
    """The part of :class:`gateway.storage.store.Store` about accounts."""

    async def accounts(self) -> list[AccountRecord]:
        """Return all accounts."""

    async def account_by_uri(self, uri: str) -> AccountRecord | None:
        """Return the account with this SIP URI."""

    async def account_by_identifier(self, kind: str, identifier: str) -> AccountRecord | None:
        """Return the account of a person."""

    async def account_by_id(self, account_id: int) -> AccountRecord | None:
        """Return one account."""

    async def logged_in_accounts(self) -> list[AccountRecord]:
        """Return the accounts whose guests are logged in."""

    async def uninvited_accounts(self) -> list[AccountRecord]:
        """Return the accounts that have no invitations."""

    async def next_serial(self) -> int:
        """Return a number that no account has had, for names that count."""

    async def set_logged_in(self, account_id: int, logged_in: bool) -> None:
        """Remember who has to be registered again after a restart."""

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

    async def delete_account(self, account_id: int, hide: Hide = nobody, left_behind: str = "") -> None:
        """Delete an account and every row that belongs to it; its history names nobody any more.

        ``left_behind`` tells what could not be undone elsewhere.
        """
