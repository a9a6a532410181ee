"""The seam to the core: making a temporary account known to it (the first registration)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


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
    secret: Callable[[], str] = field(repr=False)
    """The secret itself, for cores that take nothing else; opened for that moment only."""

    @property
    def user(self) -> str:
        """User part of the public identity."""
        return self.uri.partition(":")[2].rpartition("@")[0]

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


@runtime_checkable
class DryRun(Protocol):
    """What a provisioning driver has besides that can say what it would do."""

    async def rehearse(self, account: CoreAccount) -> list[str]:
        """Return, line by line, what :meth:`ProvisioningDriver.provision` and then ``deprovision`` would do now.

        It may look at the core, and changes nothing there. Whoever calls gives an account whose secrets are masked.
        Raises DriverError when it cannot look.
        """


@dataclass(frozen=True, slots=True)
class Audit:
    """How what is there differs from what should be there."""

    missing: tuple[str, ...] = ()
    """URIs of the accounts that are not there, or are there with somebody else's credentials."""
    orphans: tuple[str, ...] | None = None
    """Names, as :meth:`Auditable.remove` takes them, of what this gateway has made and none of the accounts is; None
    where the driver cannot tell."""


@runtime_checkable
class Auditable(Protocol):
    """What a provisioning driver has besides that can be compared with the store."""

    async def audit(self, accounts: Sequence[CoreAccount]) -> Audit | None:
        """Compare the core with all accounts that this gateway has made known to it; None where it tells nothing.

        Raises DriverError.

        An account counts as made by this gateway only where that is certain, by a mark that depends on the gateway's
        key: names that merely look like ours may be somebody's.
        """

    async def remove(self, name: str) -> None:
        """Delete an orphan; nothing happens when it is gone, or is not ours. Raises DriverError."""
