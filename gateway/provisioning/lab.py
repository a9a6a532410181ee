"""Accounts of the embedded lab core, by its HTTP administration."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp

from gateway.drivers import DriverError
from gateway.provisioning.base import Audit, CoreAccount

ALGORITHMS = ("MD5", "SHA-256")


class LabProvisioning:
    """:class:`gateway.provisioning.base.ProvisioningDriver` for ``gateway.lab``."""

    def __init__(self, url: str, *, mark: Callable[[str], str], timeout: float = 2.0) -> None:
        """``url`` is the base of the administration, ``timeout`` the seconds that a call may take, ``mark`` makes the
        mark of an account from its private identity."""
        self._mark = mark
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        """Ask whether the core has this private identity, and not from us."""
        known = await self._call("GET", impi)
        return known is not None and known.get("note") != self._mark(impi)

    async def provision(self, account: CoreAccount) -> None:
        """Put the account into the subscriber table."""
        if await self._call("PUT", account.impi, self._body(account)) is None:
            raise DriverError("The lab core has no subscribers to administrate.", temporary=False)

    async def deprovision(self, account: CoreAccount) -> None:
        """Take the account out of the subscriber table."""
        await self._call("DELETE", account.impi)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    # gateway.provisioning.base.DryRun

    async def rehearse(self, account: CoreAccount) -> list[str]:
        """Return the requests; nothing is asked."""
        url = f"{self._url}/subscribers/{quote(account.impi, safe='')}"
        return [f"PUT {url} {json.dumps(self._body(account))}", f"DELETE {url}"]

    # gateway.provisioning.base.Auditable

    async def audit(self, accounts: Sequence[CoreAccount]) -> Audit:
        """Compare by the marks."""
        found = await self._call("GET", "")
        notes: dict[str, str] = (found or {}).get("notes", {})
        ours = {impi for impi, note in notes.items() if note == self._mark(impi)}
        wanted = {account.impi: account.uri for account in accounts}
        missing = tuple(uri for impi, uri in wanted.items() if impi not in ours)
        return Audit(missing, tuple(sorted(ours - set(wanted))))

    async def remove(self, name: str) -> None:
        """Delete an account with our mark."""
        known = await self._call("GET", name)
        if known is not None and known.get("note") == self._mark(name):
            await self._call("DELETE", name)

    def _body(self, account: CoreAccount) -> dict[str, Any]:
        return {
            "realm": account.realm,
            "domain": account.domain,
            "ha1": {name: account.ha1(account.impi, account.realm, name) for name in ALGORITHMS},
            "impus": [account.uri],
            "note": self._mark(account.impi),
        }

    async def _call(self, method: str, impi: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """Return what a 2xx brings, None for 404. Raises DriverError for any other status and when there is none."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        url = f"{self._url}/subscribers" + (f"/{quote(impi, safe='')}" if impi else "")
        try:
            async with self._session.request(method, url, json=body) as response:
                status, text = response.status, await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DriverError(f"The lab core's administration: {str(error) or 'time-out'}", temporary=True) from error
        if status == 404:
            return None
        if not 200 <= status < 300:
            text = f"The lab core's administration answers {status}: {text[:200]}"
            raise DriverError(text, temporary=status >= 500)
        answer: dict[str, Any] = json.loads(text) if text else {}
        return answer
