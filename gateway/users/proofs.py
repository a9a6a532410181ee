"""Right credentials of the last minute, so that not every request of a client asks the UP Center anew."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.services import Inviter

LONGEST = 60.0
"""Seconds that a proof is remembered at most: so long a changed password or a new state may go unnoticed."""

LIMIT = 10_000
"""Proofs that are remembered; the oldest goes first."""


class Proofs:
    """Who has proven what. Keeps keyed hashes of user and password, never the password itself."""

    def __init__(self, lifetime: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``lifetime`` is seconds, at most :data:`LONGEST`; 0 remembers nothing."""
        self._lifetime = min(lifetime, LONGEST)
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[float, Inviter]] = OrderedDict()
        """Hash → when it is forgotten, and who it proves."""

    def __len__(self) -> int:
        return len(self._known)

    def key(self, user: str, password: str) -> bytes:
        """Return what stands for these credentials in this process."""
        return hmac.digest(self._key, f"{user}\0{password}".encode("utf-8", "surrogateescape"), "sha256")

    def get(self, key: bytes) -> Inviter | None:
        """Return whom these credentials have proven; None when they have not, or too long ago."""
        known = self._known.get(key)
        return known[1] if known is not None and known[0] > self._clock() else None

    def remember(self, key: bytes, inviter: Inviter) -> None:
        """Keep a proof."""
        if self._lifetime <= 0:
            return
        self._known[key] = (self._clock() + self._lifetime, inviter)
        self._known.move_to_end(key)
        if len(self._known) > LIMIT:
            self._known.popitem(last=False)

    def forget(self) -> None:
        """Forget all proofs."""
        self._known.clear()
