"""The seam to the interaction servers: making an account known to them (the second registration)."""

from __future__ import annotations

from typing import Protocol


class InteractionDriver(Protocol):
    """All calls are idempotent, because each may be repeated after a crash; they raise DriverError."""

    async def register(self, uri: str, kind: str) -> None:
        """Make the account ``uri`` known to the server of an interaction type (``im``, ``file``)."""

    async def deregister(self, uri: str, kind: str) -> None:
        """Make it unknown there; nothing happens when it is."""

    async def close(self) -> None:
        """Let go of what the driver holds."""
