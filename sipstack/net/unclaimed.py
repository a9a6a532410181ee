"""Connections that strangers have made and no session has claimed yet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .msrplink import MsrpLink


@dataclass(frozen=True, slots=True)
class HubLimits:
    """What strangers may cost us."""

    unclaimed: int = 1024
    """Connections that no session has claimed yet, in all."""
    unclaimed_per_host: int = 64
    """The same from one address: a core's border controller may bring many sessions in the same second."""
    held_messages: int = 16
    """Messages of a session that came before our side knew the answer to its offer (TCP outran SIP)."""


class Unclaimed:
    """Counts them, in all and by host."""

    def __init__(self, limits: HubLimits) -> None:
        self._limits = limits
        self._links: dict[MsrpLink, str] = {}
        self._hosts: Counter[str] = Counter()

    def add(self, link: MsrpLink) -> bool:
        """Note a connection; return whether there is room for it."""
        host = link.remote[0] if link.remote else ""
        self._links[link] = host
        self._hosts[host] += 1
        return len(self._links) <= self._limits.unclaimed and self._hosts[host] <= self._limits.unclaimed_per_host

    def discard(self, link: MsrpLink) -> None:
        """Forget a connection: it is claimed, or gone."""
        host = self._links.pop(link, None)
        if host is not None:
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
