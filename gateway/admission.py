"""What flow 2 asks of flow 1: who may come in, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.relations import Relation
from gateway.storage.accountstore import AccountRecord


@dataclass(frozen=True, slots=True)
class Admission:
    """A login secret has been checked: whose it is, and what it opens."""

    account: AccountRecord
    invitation_id: int
    relations: tuple[Relation, ...]


class Lifecycle(Protocol):
    """What flow 2 asks of flow 1 (``gateway.invitations``)."""

    async def check_secret(self, account: str, secret: str, client: str) -> Admission:
        """Return what the secret opens for a client; raises NotAuthenticated or Ended, at the same cost for all."""

    async def admission(self, account: str) -> Admission | None:
        """Return the same for an account that was logged in when the last process ended."""

    async def ensure_registered(self, account: str, kind: str) -> None:
        """Do the second registration if it is due at the first message."""

    async def end_account(self, account: str, reason: str) -> None:
        """End all relations of an account; returns when it is done."""
