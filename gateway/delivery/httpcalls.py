"""Calls of drivers to HTTP services of an operator: one at a time, small answers, nothing of them in errors."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from gateway.drivers import Checked, DriverError

MAX_ANSWER = 64 * 1024
"""Octets of an answer that are read: it says taken or not, and why."""

UNCERTAIN = frozenset({504})
"""Statuses of a proxy that has handed the request on and got no answer (RFC 9110 §15.6.5): it may have been done."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a service has answered."""

    status: int
    content_type: str
    body: bytes
    date: str = ""
    """The server's ``Date``."""

    @property
    def text(self) -> str:
        """The body as text, whatever it calls itself."""
        return self.body.decode("utf-8", "replace")


class HttpCalls:
    """Calls with the same credentials and patience."""

    def __init__(
        self, *, username: str = "", password: str = "", tls: ssl.SSLContext | None = None, timeout: float = 20.0
    ) -> None:
        """``tls`` replaces the system's certificate authorities; ``timeout`` is in seconds, for a whole call."""
        credentials = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
        # an answer that is packed could be of any size
        self._headers = {"User-Agent": "rcsgw", "Accept-Encoding": "identity"}
        if username:
            self._headers["Authorization"] = f"Basic {credentials}"
        self._tls: ssl.SSLContext | bool = tls or True
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=timeout / 2)
        self._session: aiohttp.ClientSession | None = None

    async def call(self, method: str, url: str, *, headers: Mapping[str, str], **content: Any) -> HttpAnswer:
        """Send a request and return the answer, whatever its status; ``content`` as aiohttp takes it.

        Raises a temporary DriverError where there is no answer; it is uncertain once there is a connection.
        Redirects are answers: a POST must not become a GET.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers, auto_decompress=False)
        try:
            async with self._session.request(
                method, url, headers=headers, ssl=self._tls, allow_redirects=False, **content
            ) as response:
                body = await response.content.read(MAX_ANSWER)
                while not response.content.at_eof() and len(body) < MAX_ANSWER:
                    body += await response.content.read(MAX_ANSWER - len(body))
                date = response.headers.get("Date", "")
                return HttpAnswer(response.status, response.content_type, body, date)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # without a connection nothing was sent; later it may all have been done
            certain = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
            raise DriverError(f"HTTP: {_words(error)}", temporary=True, certain=certain) from error

    async def check(self, url: str) -> Checked:
        """Ask what can be done there, which does nothing; any answer but 401 and 403 shows that all is well.

        Raises DriverError.
        """
        answer = await self.call("OPTIONS", url, headers={})
        if answer.status in (401, 403):
            raise DriverError(f"it answers {answer.status}: the login is refused", temporary=False)
        return Checked(f"answers (HTTP {answer.status})", answer.date)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _words(error: Exception) -> str:
    """Say what went wrong; the texts of most errors may hold the address, and with it what was sent."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error)
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
