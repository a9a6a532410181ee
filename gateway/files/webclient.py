"""HTTP to content servers that others chose: only where we may connect to, and not far around (D-FTH-05)."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from gateway.config.settings import FilesContentSection

MAX_REDIRECTS = 5
"""Redirections of one request: content servers use one, to where the file really lies."""

MAX_DOCUMENT = 64 * 1024
"""Octets of an XML document of a content server."""

Allowed = Callable[[str, int], bool]


class NotAllowed(OSError):
    """A link leads to where files are not fetched from."""


class GuardedResolver(AbstractResolver):
    """Leaves out addresses that nobody may connect to."""

    def __init__(self, allowed: Allowed, own: tuple[str, int] | None) -> None:
        """``own``: name and port of a server that the operator has named, wherever it is."""
        self._allowed = allowed
        self._own = own
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve. Raises NotAllowed when nothing is left."""
        found = await self._resolver.resolve(host, port, family)
        left = [item for item in found if (host, port) == self._own or self._allowed(item["host"], port)]
        if not left:
            raise NotAllowed(f"{host}:{port} is not in files.content.allowed_networks")
        return left

    async def close(self) -> None:
        """Close."""
        await self._resolver.close()


class WebClient:
    """Requests to content servers. ``allowed`` tells to which numeric addresses and ports; made when first used."""

    def __init__(self, allowed: Allowed, section: FilesContentSection) -> None:
        self._allowed = allowed
        self._timeout = section.timeout
        self._own = _place(section.server) if "://" in section.server else None
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _need_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=self._timeout)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=GuardedResolver(self._allowed, self._own)),
                timeout=timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "rcsgw"},
            )
        return self._session

    @asynccontextmanager
    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, data: Any = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and follow redirections of a GET.

        Raises NotAllowed, another OSError or aiohttp.ClientError for what does not work.
        """
        for _ in range(MAX_REDIRECTS + 1):
            self._check(url)
            try:
                response = await self._need_session().request(
                    method, url, headers=headers, data=data, allow_redirects=False
                )
            except TimeoutError as error:
                raise OSError("the content server does not answer") from error
            except aiohttp.ClientConnectorError as error:
                if isinstance(error.os_error, NotAllowed):
                    raise error.os_error from error
                raise
            async with response:
                target = response.headers.get("Location")
                if method != "GET" or response.status not in (301, 302, 303, 307, 308) or target is None:
                    yield response
                    return
                url = urljoin(url, target)
        raise NotAllowed(f"more than {MAX_REDIRECTS} redirections")

    def _check(self, url: str) -> None:
        """Look at addresses that need no resolver."""
        parts = urlsplit(url)
        place = _place(url)
        if place is None or parts.scheme not in ("http", "https") or parts.username is not None:
            raise NotAllowed("this is no link to a file")
        if place != self._own and _is_address(place[0]) and not self._allowed(*place):
            raise NotAllowed(f"{place[0]}:{place[1]} is not in files.content.allowed_networks")


def _place(url: str) -> tuple[str, int] | None:
    """Return host and port of a URL, None where there are none."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def read_document(response: aiohttp.ClientResponse) -> bytes:
    """Return a body that is no file. Raises OSError when it is too large or does not come."""
    try:
        body = await response.content.read(MAX_DOCUMENT)
        while not response.content.at_eof():
            body += await response.content.read(MAX_DOCUMENT)
            if len(body) > MAX_DOCUMENT:
                raise OSError(f"the document has more than {MAX_DOCUMENT} octets")
    except (TimeoutError, asyncio.IncompleteReadError) as error:
        raise OSError("the document did not come") from error
    return body


def retry_after(response: aiohttp.ClientResponse) -> int | None:
    """Return the seconds of Retry-After, None when it says none (or a date, which nobody sends)."""
    value = response.headers.get("Retry-After", "")
    return min(int(value), 3600) if value.isascii() and value.isdigit() and len(value) < 9 else None
