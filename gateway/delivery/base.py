"""The seam to what carries a link to a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DeliveryOrder:
    """One link to one person."""

    address: str
    """E-mail address or number."""
    link: str = field(repr=False)
    language: str
    inviter: str
    """Name of the inviter, or their identity where they have none."""
    types: tuple[str, ...]
    until: float
    """When the invitation ends, Unix seconds."""
    note: str
    """The inviter's own words, may be empty."""
    message_id: str
    """The same for every attempt, so that a second copy can be recognised."""
    password: str = field(default="", repr=False)
    """What to type behind the link; empty where the link carries it."""


class DeliveryDriver(Protocol):
    """Carries links by one channel."""

    async def send(self, order: DeliveryOrder) -> None:
        """Hand the link over to the next server; returns when it has taken it. Raises DriverError."""

    async def close(self) -> None:
        """Let go of what the driver holds."""
