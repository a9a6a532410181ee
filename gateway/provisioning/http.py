"""Accounts made by an operator's own provisioning service, by requests from templates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.httpservice import HttpService
from gateway.provisioning.base import Audit, CoreAccount

NAMES = frozenset({"uri", "user", "domain", "impi", "realm", "password", "ha1_md5", "ha1_sha256"})
"""What can stand in braces in a request."""

SECRETS = frozenset({"password", "ha1_md5", "ha1_sha256"})
"""Those that belong into bodies only: addresses end in logs."""


class HttpProvisioning:
    """:class:`gateway.provisioning.base.ProvisioningDriver` by HTTP."""

    def __init__(self, service: HttpService, *, private: Callable[[str], tuple[str, str]]) -> None:
        """``private`` returns private identity and realm of a SIP URI. The driver closes the service."""
        self._service = service
        self._private = private

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        """Ask for the account, where a call for that is configured."""
        if not self._service.has("exists"):
            return False
        return await self._service.call("exists", _names(uri, impi, realm)) == "done"

    async def provision(self, account: CoreAccount) -> None:
        """Create the account."""
        await self._service.call("create", _values(account))

    async def deprovision(self, account: CoreAccount) -> None:
        """Delete the account; one that is not there is gone."""
        await self._service.call("delete", _names(account.uri, account.impi, account.realm))

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()

    # gateway.provisioning.base.DryRun

    async def rehearse(self, account: CoreAccount) -> list[str]:
        """Return the requests; nothing is asked."""
        names = _names(account.uri, account.impi, account.realm)
        lines = [self._service.shown("exists", names)] if self._service.has("exists") else []
        return [*lines, self._service.shown("create", _values(account)), self._service.shown("delete", names)]

    # gateway.provisioning.base.Auditable

    async def audit(self, accounts: Sequence[CoreAccount]) -> Audit | None:
        """Compare with the list of the service; without one, ask for each account, if there is a call for that."""
        if self._service.has("list"):
            there = set(await self._service.list())
            wanted = {account.uri for account in accounts}
            return Audit(tuple(sorted(wanted - there)), tuple(sorted(there - wanted)))
        if not self._service.has("exists"):
            return None
        missing = [
            account.uri for account in accounts if not await self.taken(account.uri, account.impi, account.realm)
        ]
        return Audit(tuple(missing))

    async def remove(self, name: str) -> None:
        """Delete an account of the list."""
        await self._service.call("delete", _names(name, *self._private(name)))


def _names(uri: str, impi: str, realm: str) -> dict[str, str]:
    user, _, domain = uri.partition(":")[2].rpartition("@")
    return {"uri": uri, "user": user, "domain": domain, "impi": impi, "realm": realm}


def _values(account: CoreAccount) -> dict[str, str]:
    """Return what a body may hold; the secret is opened for what comes out of here."""
    return {
        **_names(account.uri, account.impi, account.realm),
        "password": account.secret(),
        "ha1_md5": account.ha1(account.impi, account.realm, "MD5"),
        "ha1_sha256": account.ha1(account.impi, account.realm, "SHA-256"),
    }
