"""The seam to the interaction servers: making an account known to them (the second registration)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from gateway.provisioning.base import Audit


class InteractionDriver(Protocol):
    """All calls are idempotent, because each may be repeated after a crash; they raise DriverError."""

    async def register(self, uri: str, kind: str) -> None:
        """Make the account ``uri`` known to the server of an interaction type (``im``, ``file``)."""

    async def deregister(self, uri: str, kind: str) -> None:
        """Make it unknown there; nothing happens when it is."""

    async def close(self) -> None:
        """Let go of what the driver holds."""


@runtime_checkable
class DryRun(Protocol):
    """What an interaction driver has besides that can say what it would do."""

    async def rehearse(self, uri: str, kind: str) -> list[str]:
        """Return, line by line, what :meth:`InteractionDriver.register` and then ``deregister`` would do now.

        Nothing is changed at the server. Raises DriverError.
        """


@runtime_checkable
class Auditable(Protocol):
    """What an interaction driver has besides that can be compared with the store."""

    async def audit(self, uris: Sequence[str], kind: str) -> Audit | None:
        """Compare the server of a type with the accounts that should be known there; None where it tells nothing.

        Orphans are URIs, to be given to :meth:`InteractionDriver.deregister`. Raises DriverError.
        """
