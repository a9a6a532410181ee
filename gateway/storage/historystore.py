"""What the gateway keeps about who did what and when, and what an operator wants it to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Actor = Literal["inviter", "guest", "operator", "gateway"]

Hide = Callable[[str], str]
"""Makes a keyed hash of what tells who somebody is."""

OrderKind = Literal["revoke", "purge"]


@dataclass(frozen=True, slots=True)
class Happened:
    """One step in the life of an account. Never holds a secret."""

    id: int
    at: float
    account_id: int
    account: str
    """SIP URI; a keyed hash once the account has ended, as are ``identifier`` and ``uid``."""
    identifier: str
    uid: str
    """Inviter that it is about, empty where it is about the account as a whole."""
    step: str
    """What: ``allocated``, ``reused``, ``provisioned``, ``registered``, ``invited``, ``sent``, ``delivered``,
    ``undelivered``, ``first-login``, ``login``, ``logout``, ``resent``, ``failing``, ``failed``, ``revoked``,
    ``expired``, ``ended``, ``deregistered``, ``deprovisioned``, ``left-behind``, ``deleted``."""
    actor: Actor
    why: str
    """A word: the interaction type, the channel, or the reason of an end."""
    detail: str
    """What somebody's server has said; without addresses and numbers once the account has ended."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants a running gateway to do."""

    id: int
    kind: OrderKind
    account: str
    uid: str
    """Only the invitation of this inviter; empty: all."""
    result: str | None
    """None until it is done."""


class HistoryStore(Protocol):
    """The part of :class:`gateway.storage.store.Store` about the history and about operators."""

    async def history(self, names: Sequence[str] = (), limit: int = -1) -> list[Happened]:
        """Return the newest steps that are about one of ``names`` (account, identifier or inviter), oldest first.

        No names: all. -1: no limit.
        """

    async def forget_history(self, before: float) -> int:
        """Delete what is older, a bounded number of rows; return how many went."""

    async def place_order(self, kind: OrderKind, account: str, uid: str) -> int:
        """Ask the running gateway for something; return the number of the order."""

    async def orders(self) -> list[Order]:
        """Return what was ordered and is not done, oldest first."""

    async def finish_order(self, id: int, result: str) -> None:
        """Tell what came of an order."""

    async def take_result(self, id: int, *, withdraw: bool = False) -> str | None:
        """Return what came of an order, which is forgotten then, or None; with ``withdraw`` forget it in any case."""
