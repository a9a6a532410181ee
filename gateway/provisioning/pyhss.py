"""Accounts of a PyHSS, by the REST interface that its ``/docs/`` describes.

An account is three objects: ``auc`` with the credentials, ``subscriber``, and ``ims_subscriber`` with the identities.
For SIP digest PyHSS takes the text of ``auc.ki`` as the password and knows MD5 only. It names accounts by numbers: the
user part of the private identity is the IMSI, that of the public one the MSISDN, so ``accounts.template`` has to give
digits. ``auc.misc4`` gets the mark that tells our accounts from those of others.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gateway.config.provisioning import ProvisioningPyhssSection
from gateway.drivers import DriverError
from gateway.httpservice import PLAIN, TEMPORARY, bounded
from gateway.provisioning.base import Audit, CoreAccount
from sipstack import ids

KI_LENGTH = 32
"""Characters of ``auc.ki``, and so of a password."""

DIGITS = 18
"""Most digits of an IMSI or MSISDN in PyHSS's tables."""

PAGE = 200
"""Objects asked for at once when all are listed."""

MAX_ANSWER = 1 << 20
"""Octets of an answer: a page of objects of a few hundred octets has 100 KiB."""

MAX_PAGES = 5000
"""Pages of a list, a million objects: a list that does not end is not followed for ever."""

KEYS = {"auc": "auc_id", "subscriber": "subscriber_id", "ims_subscriber": "ims_subscriber_id"}
"""Object → the member that holds its number, in the order in which they are made."""

BY_IMSI = {
    "auc": "/auc/imsi/{}",
    "subscriber": "/subscriber/imsi/{}",
    "ims_subscriber": "/ims_subscriber/ims_subscriber_imsi/{}",
}


@dataclass(frozen=True, slots=True)
class _Account:
    """What PyHSS calls an account."""

    imsi: str
    msisdn: str


class PyhssProvisioning:
    """:class:`gateway.provisioning.base.ProvisioningDriver` for PyHSS."""

    def __init__(
        self,
        section: ProvisioningPyhssSection,
        *,
        key: str = "",
        ca_file: Path | None = None,
        mark: Callable[[str], str],
    ) -> None:
        """``key`` is PyHSS's provisioning key, ``ca_file`` holds the authorities of its certificate where it is not
        one of the system's, ``mark`` makes the mark of an account from its IMSI."""
        self._section = section
        self._url = section.url.rstrip("/")
        self._headers = {"Provisioning-Key": key} if key else {}
        self._ca_file = ca_file
        self._mark = mark
        self._session: aiohttp.ClientSession | None = None

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        """Tell whether the IMSI or the MSISDN is somebody else's."""
        numbers = _numbers(uri, impi)
        found = await self._get("auc", numbers.imsi)
        if found is not None:
            return not self._is_ours(found, numbers.imsi)
        if await self._find("ims_subscriber", f"/ims_subscriber/ims_subscriber_msisdn/{numbers.msisdn}") is not None:
            return True
        return await self._get("subscriber", numbers.imsi) is not None

    async def provision(self, account: CoreAccount) -> None:
        """Make the three objects, or bring ours up to date."""
        numbers = _numbers(account.uri, account.impi)
        auc = await self._get("auc", numbers.imsi)
        if auc is not None and not self._is_ours(auc, numbers.imsi):
            raise DriverError(f"PyHSS has an IMSI {numbers.imsi} that is not ours.", temporary=False)
        auc = await self._put("auc", auc, self._auc(numbers, account.secret()))
        subscriber = await self._get("subscriber", numbers.imsi)
        await self._put("subscriber", subscriber, self._subscriber(numbers, auc["auc_id"]))
        await self._put("ims_subscriber", await self._get("ims_subscriber", numbers.imsi), self._ims(numbers))

    async def deprovision(self, account: CoreAccount) -> None:
        """Delete what is ours, the last made first."""
        await self._delete(_numbers(account.uri, account.impi).imsi)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    # gateway.provisioning.base.DryRun

    async def rehearse(self, account: CoreAccount) -> list[str]:
        """Return the requests for an account that is not there yet; nothing is asked."""
        numbers = _numbers(account.uri, account.impi)
        bodies = {
            "auc": {**self._auc(numbers, "***"), "ki": account.secret(), "opc": "***"},
            "subscriber": self._subscriber(numbers, "AUC_ID"),
            "ims_subscriber": self._ims(numbers),
        }
        lines = [f"PUT {self._url}/{kind}/ {json.dumps(body)}" for kind, body in bodies.items()]
        return lines + [f"DELETE {self._url}/{kind}/{key.upper()}" for kind, key in reversed(KEYS.items())]

    # gateway.provisioning.base.Auditable

    async def audit(self, accounts: Sequence[CoreAccount]) -> Audit:
        """Compare by the marks; an account of ours counts when its last object is there."""
        ours = set()
        async for auc in self._all("auc"):
            if self._is_ours(auc, str(auc.get("imsi") or "")):
                ours.add(str(auc["imsi"]))
        whole = {str(item.get("imsi")) async for item in self._all("ims_subscriber")}
        wanted = {_numbers(account.uri, account.impi).imsi: account.uri for account in accounts}
        missing = tuple(uri for imsi, uri in wanted.items() if imsi not in ours & whole)
        return Audit(missing, tuple(sorted(ours - set(wanted))))

    async def remove(self, name: str) -> None:
        """Delete the account of an IMSI, if it is ours."""
        await self._delete(name)

    # objects

    def _auc(self, numbers: _Account, secret: str) -> dict[str, Any]:
        if len(secret) > KI_LENGTH:
            raise DriverError(f"PyHSS takes passwords of at most {KI_LENGTH} characters.", temporary=False)
        return {
            "ki": secret,
            "opc": ids.token(128),  # AKA is of no use without a card, and nobody shall guess what it would take
            "amf": self._section.amf,
            "sqn": 0,
            "imsi": numbers.imsi,
            "misc4": self._mark(numbers.imsi),
        }

    def _subscriber(self, numbers: _Account, auc_id: Any) -> dict[str, Any]:
        return {
            "imsi": numbers.imsi,
            "enabled": True,
            "auc_id": auc_id,
            "default_apn": self._section.apn,
            "apn_list": str(self._section.apn),
            "msisdn": numbers.msisdn,
        }

    def _ims(self, numbers: _Account) -> dict[str, Any]:
        return {
            "imsi": numbers.imsi,
            "msisdn": numbers.msisdn,
            "msisdn_list": numbers.msisdn,
            "ifc_path": self._section.ifc,
        }

    def _is_ours(self, auc: dict[str, Any], imsi: str) -> bool:
        return auc.get("misc4") == self._mark(imsi)

    async def _get(self, kind: str, imsi: str) -> dict[str, Any] | None:
        """Return the object of an IMSI; None when there is none."""
        return await self._find(kind, BY_IMSI[kind].format(imsi))

    async def _find(self, kind: str, path: str) -> dict[str, Any] | None:
        found = await self._call("GET", path)
        return found if isinstance(found, dict) and KEYS[kind] in found else None

    async def _put(self, kind: str, known: dict[str, Any] | None, body: dict[str, Any]) -> dict[str, Any]:
        """Make an object, or change the one that is there; return it."""
        if known is None:
            made = await self._call("PUT", f"/{kind}/", body)
        else:
            made = await self._call("PATCH", f"/{kind}/{known[KEYS[kind]]}", body)
        if not isinstance(made, dict) or KEYS[kind] not in made:
            raise DriverError(f"{self._url} answers to {kind} with something else.", temporary=False)
        return made

    async def _delete(self, imsi: str) -> None:
        auc = await self._get("auc", imsi)
        if auc is None or not self._is_ours(auc, imsi):
            return  # auc goes last: without it, the others are gone or were never ours
        for kind, key in reversed(KEYS.items()):
            found = auc if kind == "auc" else await self._get(kind, imsi)
            if found is not None:
                await self._call("DELETE", f"/{kind}/{found[key]}")

    async def _all(self, kind: str) -> AsyncIterator[dict[str, Any]]:
        """Yield all objects of a kind, page by page."""
        for page in range(MAX_PAGES):
            items = await self._call("GET", f"/{kind}/list?page={page}&page_size={PAGE}")
            found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
            for item in found:
                yield item
            if len(found) < PAGE:
                return

    # requests

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the JSON of an answer; None when there is no such object. Raises DriverError, never with a body."""
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self._ca_file))
            timeout = aiohttp.ClientTimeout(total=self._section.timeout)
            self._session = aiohttp.ClientSession(
                connector=connector, headers={**PLAIN, **self._headers}, timeout=timeout, auto_decompress=False
            )
        try:
            async with self._session.request(method, self._url + path, json=body, allow_redirects=False) as response:
                status, text = response.status, (await bounded(response, MAX_ANSWER)).decode("utf-8", "replace")
        except (aiohttp.ClientConnectorCertificateError, aiohttp.InvalidURL) as error:
            raise DriverError(f"{self._url}: {error}", temporary=False) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DriverError(f"{self._url}: {str(error) or 'no answer in time'}", temporary=True) from error
        return self._answer(method, path, status, text)

    def _answer(self, method: str, path: str, status: int, text: str) -> Any:
        try:
            answer = json.loads(text) if text else None
        except ValueError:
            answer = text
        if status == 200:
            return answer
        if status == 404 or (status == 400 and method in ("GET", "DELETE") and _says_not_found(answer)):
            return None
        temporary = status >= 500 or status in TEMPORARY or "operational error" in text
        raise DriverError(f"{self._url} answers {status} to {method} {path.partition('?')[0]}", temporary=temporary)


def _numbers(uri: str, impi: str) -> _Account:
    """Return IMSI and MSISDN of an account. Raises DriverError when its names are no numbers."""
    imsi = impi.partition("@")[0]
    msisdn = uri.partition(":")[2].rpartition("@")[0].lstrip("+")
    for number in (imsi, msisdn):
        if not re.fullmatch(rf"[0-9]{{5,{DIGITS}}}", number):
            text = f"PyHSS names accounts by up to {DIGITS} digits, not {number!r}: see accounts.template."
            raise DriverError(text, temporary=False)
    return _Account(imsi, msisdn)


def _says_not_found(answer: Any) -> bool:
    """Tell whether a 400 means that there is no such object: PyHSS answers unknown names so, with its database's words
    or with none."""
    return answer is None or re.search(r"no row|not found", json.dumps(answer), re.IGNORECASE) is not None
