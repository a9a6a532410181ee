"""Calls of a JSON service over HTTP: bounded in time and size, redirected nowhere, with nothing secret in errors."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from gateway import correlation
from gateway.drivers import DriverError
from sipstack import ids

MAX_ANSWER = 65_536
"""Octets of an answer; a hundred states or sixty identities take a fifth of it."""

TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which trying again may help."""

IDLE = 30.0
"""Seconds that a connection waits for the next call."""

T = TypeVar("T")


class JsonService:
    """POSTs JSON objects to the paths of one service and reads JSON objects."""

    def __init__(
        self, url: str, *, timeout: float, connections: int, authorization: str = "", ca_file: Path | None = None
    ) -> None:
        """``authorization`` is the value of that header, none if empty; ``ca_file`` holds the authorities (PEM) to
        trust instead of the system's; ``timeout`` is the seconds of a whole call."""
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._connections = connections
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "rcsgw"}
        if authorization:
            self._headers["Authorization"] = authorization
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def call(self, path: str, body: msgspec.Struct, answer: type[T]) -> T:
        """Return what the service answers. Raises DriverError, whose text never holds anything of the bodies."""
        traceparent = f"00-{correlation.current()}-{ids.token(64)}-00"
        headers = {"Content-Type": "application/json", "traceparent": traceparent}
        try:
            async with self._opened().post(
                self._url + path, data=msgspec.json.encode(body), headers=headers, allow_redirects=False
            ) as response:
                status, data = response.status, await _read(response)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise self._error(path, f"{type(error).__name__}: {error}", temporary=False) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._error(path, _what(error), temporary=True) from None
        if status != 200:
            raise self._error(path, f"it answers {status}", temporary=status in TEMPORARY)
        if data is None:
            raise self._error(path, f"its answer has more than {MAX_ANSWER} octets", temporary=False)
        try:
            return msgspec.json.decode(data, type=answer)
        except msgspec.DecodeError as error:
            # what msgspec says names the place and the type, never the value
            raise self._error(path, f"its answer makes no sense: {error}", temporary=False) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=self._ca_file) if self._ca_file is not None else True
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, ssl=context, keepalive_timeout=IDLE),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                auto_decompress=False,
            )
        return self._session

    def _error(self, path: str, text: str, *, temporary: bool) -> DriverError:
        return DriverError(f"{self._url}{path}: {text}", temporary=temporary)


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Return a body, None for one that is too long; its connection is not used again."""
    data = bytearray()
    async for piece in response.content.iter_any():
        data += piece
        if len(data) > MAX_ANSWER:
            response.close()
            return None
    return bytes(data)


def _what(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
