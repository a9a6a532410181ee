"""Accounts of the embedded lab core, by its HTTP administration."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import aiohttp

from gateway.drivers import DriverError
from gateway.provisioning.base import CoreAccount

ALGORITHMS = ("MD5", "SHA-256")


class LabProvisioning:
    """:class:`gateway.provisioning.base.ProvisioningDriver` for ``gateway.lab``."""

    def __init__(self, url: str, *, timeout: float = 2.0) -> None:
        """``url`` is the base of the administration, ``timeout`` the seconds that a call may take."""
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        """Ask whether the core has this private identity."""
        return await self._call("GET", impi) == 200

    async def provision(self, account: CoreAccount) -> None:
        """Put the account into the subscriber table."""
        status = await self._call("PUT", account.impi, _body(account))
        if status == 404:
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
        return [f"PUT {url} {json.dumps(_body(account))}", f"DELETE {url}"]

    async def _call(self, method: str, impi: str, body: dict[str, Any] | None = None) -> int:
        """Return the status: 2xx or 404. Raises DriverError for any other and when there is none."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        url = f"{self._url}/subscribers/{quote(impi, safe='')}"
        try:
            async with self._session.request(method, url, json=body) as response:
                status, text = response.status, (await response.text())[:200]
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DriverError(f"The lab core's administration: {str(error) or 'time-out'}", temporary=True) from error
        if status == 404 or 200 <= status < 300:
            return status
        raise DriverError(f"The lab core's administration answers {status}: {text}", temporary=status >= 500)


def _body(account: CoreAccount) -> dict[str, Any]:
    return {
        "realm": account.realm,
        "domain": account.domain,
        "ha1": {name: account.ha1(account.impi, account.realm, name) for name in ALGORITHMS},
        "impus": [account.uri],
    }
