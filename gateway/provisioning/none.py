"""For cores that know all accounts already, or take everybody."""

from __future__ import annotations

from gateway.provisioning.base import CoreAccount


class NoProvisioning:
    """:class:`gateway.provisioning.base.ProvisioningDriver` that does nothing."""

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        """Know of no account."""
        return False

    async def provision(self, account: CoreAccount) -> None:
        """Do nothing."""

    async def deprovision(self, account: CoreAccount) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Hold nothing."""
