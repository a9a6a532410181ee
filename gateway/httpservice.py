"""An operator's HTTP service that accounts are made at: requests from templates, and what the answers mean."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from gateway.config.provisioning import HttpCallSection, HttpServiceSection
from gateway.drivers import DriverError
from gateway.placeholders import fill

Outcome = Literal["done", "absent"]

METHODS = {"create": "PUT", "delete": "DELETE", "exists": "GET"}
"""What a request is where its method is not configured: each of them can be repeated."""

TEMPORARY = frozenset({408, 421, 423, 425, 429})
"""Statuses below 500 after which trying again may help."""

PLAIN = {"Accept-Encoding": "identity"}
"""What asks for answers that take no more room than they show."""

MAX_ANSWER = 64 * 1024 * 1024
"""Octets of a list of accounts: a hundred thousand objects of a few hundred octets, and no more memory than that."""


class HttpService:
    """Calls of one service."""

    def __init__(
        self, section: HttpServiceSection, *, token: str = "", password: str = "", ca_file: Path | None = None
    ) -> None:
        """``token`` goes into a Bearer, ``password`` with ``section.username`` into a Basic authorization; ``ca_file``
        holds the authorities (PEM) that sign the service's certificate, if not those of the system."""
        self._section = section
        self._url = section.url.rstrip("/")
        self._headers = dict(section.headers)
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        elif section.username:
            pair = f"{section.username}:{password}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    def has(self, name: str) -> bool:
        """Tell whether a call is configured."""
        return bool(getattr(self._section, name).path)

    async def call(self, name: Literal["create", "delete", "exists"], values: Mapping[str, str]) -> Outcome:
        """Make a call with these values; tell whether it was done, or whether there is no such account.

        Raises DriverError for every other answer, and for none. Its text has no body of an answer, which may repeat
        what was sent.
        """
        call: HttpCallSection = getattr(self._section, name)
        status, _ = await self._request(_method(name, call), self._address(call, values), 0, **_body(call, values))
        if status in call.success or (name == "create" and status in call.already):
            return "done"
        if name != "create" and status in call.absent:
            return "absent"
        raise self._refusal(name, status)

    async def list(self) -> list[str]:
        """Return the SIP URIs of all accounts that this gateway has made there. Raises DriverError."""
        section = self._section.list
        address = self._url + section.path + _query(section.query)
        status, body = await self._request("GET", address, MAX_ANSWER)
        if status != 200:
            raise self._refusal("list", status)
        try:
            items = json.loads(body)
            for key in section.items.split(".") if section.items else ():
                items = items[key]
            return [str(item[section.uri] if section.uri else item) for item in items]
        except (ValueError, KeyError, TypeError) as error:
            text = f"{self._url}: the list of accounts is not what the configuration says: {type(error).__name__}"
            raise DriverError(text, temporary=False) from error

    def shown(self, name: Literal["create", "delete", "exists"], values: Mapping[str, str]) -> str:
        """Return a call as one line."""
        call: HttpCallSection = getattr(self._section, name)
        parts = [_method(name, call), self._address(call, values)]
        if call.json:
            parts.append(json.dumps(fill(call.json, values), ensure_ascii=False))
        elif call.form:
            parts.append(urlencode(fill(call.form, values), safe="*"))
        return " ".join(parts)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _address(self, call: HttpCallSection, values: Mapping[str, str]) -> str:
        encoded = {key: quote(value, safe="") for key, value in values.items()}
        path: str = fill(call.path, encoded)
        return self._url + path + _query(fill(call.query, values))

    async def _request(self, method: str, address: str, limit: int, **body: Any) -> tuple[int, bytes]:
        """Return status and body, which is not read at all with a limit of 0. Raises DriverError without an answer."""
        try:
            session = self._opened()
            # as it was quoted: left to itself, aiohttp takes back what it holds for unnecessary
            url = URL(address, encoded=True)
            async with session.request(method, url, allow_redirects=False, **body) as response:
                return response.status, await bounded(response, limit) if limit else b""
        except (aiohttp.ClientConnectorCertificateError, aiohttp.InvalidURL, ValueError) as error:
            raise DriverError(f"{self._url}: {error}", temporary=False) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise DriverError(f"{self._url}: {str(error) or 'no answer in time'}", temporary=True) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = None
            if self._ca_file is not None:
                connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self._ca_file))
            timeout = aiohttp.ClientTimeout(total=self._section.timeout)
            self._session = aiohttp.ClientSession(
                connector=connector, headers={**PLAIN, **self._headers}, timeout=timeout, auto_decompress=False
            )
        return self._session

    def _refusal(self, name: str, status: int) -> DriverError:
        return DriverError(f"{self._url} answers {status} to {name}", temporary=status >= 500 or status in TEMPORARY)


async def bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the body of an answer. Raises DriverError when it has more octets than ``limit``."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise DriverError(f"{response.url.host} answers with more than {limit} octets.", temporary=False)
    return bytes(body)


def _method(name: str, call: HttpCallSection) -> str:
    return call.method or METHODS[name]


def _query(query: Mapping[str, str]) -> str:
    return "?" + urlencode(query) if query else ""


def _body(call: HttpCallSection, values: Mapping[str, str]) -> dict[str, Any]:
    if call.json:
        return {"json": fill(call.json, values)}
    return {"data": fill(call.form, values)} if call.form else {}
