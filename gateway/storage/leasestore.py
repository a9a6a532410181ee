"""What the gateway keeps about accounts that others name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """An account of a pool that is out or resting, or a request for an account that is on its way."""

    key: str
    """Unique within its origin."""
    origin: str
    """``pool``, or ``request``."""
    identifier_kind: str
    identifier: str
    """Whom it is for; empty once it rests."""
    request: str = ""
    """What was asked for, as JSON."""
    free_at: float | None = None
    """When a resting account may be given to somebody else; None while it is out."""


class LeaseStore(Protocol):
    """The part of :class:`gateway.storage.store.Store` about accounts that others name."""

    async def leases(self, origin: str) -> list[Lease]:
        """Return all of an origin, oldest first."""

    async def put_lease(self, lease: Lease) -> None:
        """Write one, in the place of the one with the same origin and key."""

    async def drop_lease(self, key: str, origin: str) -> None:
        """Forget one."""
