"""For cores that route to interaction servers which take every account of the core."""

from __future__ import annotations


class NoInteraction:
    """:class:`gateway.interaction.base.InteractionDriver` that does nothing."""

    async def register(self, uri: str, kind: str) -> None:
        """Do nothing."""

    async def deregister(self, uri: str, kind: str) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Hold nothing."""
