"""Connections that strangers have made and no session has claimed yet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubLimits:
    """What strangers may cost us."""

    unclaimed: int = 1024
    """Connections that no session has claimed yet, in all; TLS handshakes that are under way count too."""
    unclaimed_per_host: int = 64
    """The same from one address: a core's border controller may bring many sessions in the same second."""
    held_messages: int = 16
    """Messages of a session that came before our side knew the answer to its offer (TCP outran SIP)."""


class Unclaimed:
    """Counts them, in all and by host."""

    def __init__(self, limits: HubLimits) -> None:
        self._limits = limits
        self._claimants: dict[object, str] = {}
        self._hosts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._claimants)

    def add(self, connection: object, host: str) -> bool:
        """Note a connection; return whether there is room for it."""
        self._claimants[connection] = host
        self._hosts[host] += 1
        return len(self._claimants) <= self._limits.unclaimed and self._hosts[host] <= self._limits.unclaimed_per_host

    def discard(self, connection: object) -> None:
        """Forget a connection: it is claimed, or gone."""
        host = self._claimants.pop(connection, None)
        if host is not None:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
