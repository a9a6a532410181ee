"""The seam to the core: making a temporary account known to it (the first registration)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CoreAccount:
    """A temporary account as the core has to know it."""

    uri: str
    """Public identity (IMPU)."""
    impi: str
    """Private identity: the digest username."""
    realm: str
    ha1: Callable[[str, str, str], str] = field(repr=False)
    """(username, realm, algorithm) → H(username:realm:secret). Opens the sealed secret for that moment only."""

    @property
    def domain(self) -> str:
        """Domain of the public identity."""
        return self.uri.rpartition("@")[2]


class ProvisioningDriver(Protocol):
    """All calls are idempotent, because each may be repeated after a crash; they raise DriverError."""

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        """Tell whether the core has an account of this name already."""

    async def provision(self, account: CoreAccount) -> None:
        """Make the account known. A final error when somebody else's account has the name."""

    async def deprovision(self, account: CoreAccount) -> None:
        """Make the account unknown; nothing happens when it is, or when the name is somebody else's."""

    async def close(self) -> None:
        """Let go of what the driver holds."""
