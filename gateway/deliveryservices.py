"""What the HTTP face asks about deliveries: where short links lead, and who takes receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

MAX_REPORT = 64 * 1024
"""Octets of a receipt; those of SMS gateways have some hundred, those of MM7 some thousand."""


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """What a server is answered that brought a receipt."""

    status: int
    content_type: str
    body: bytes


class LinkService(Protocol):
    """Short links."""

    async def resolve(self, token: str) -> str | None:
        """Return the login link that a token leads to; None when it leads to no invitation, or to one that is over.

        Nothing is used up: the same token may be resolved again.
        """


class ReportService(Protocol):
    """Receipts that come by HTTP."""

    def accepts(self, channel: str, token: str) -> bool:
        """Tell whether this is where a channel's server brings its receipts."""

    async def report(self, channel: str, query: Mapping[str, str], content_type: str, body: bytes) -> ReportAnswer:
        """Take a receipt of at most :data:`MAX_REPORT` octets; what can be used of it is stored when this returns.

        Raises :class:`gateway.services.Unavailable` when it cannot be stored now: the server shall come again.
        """
