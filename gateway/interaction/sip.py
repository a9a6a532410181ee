"""Second registration by third-party REGISTER, as an S-CSCF does it (TS 24.229 §5.4.1.7; B-TPR-01).

Request-URI is the server, To the guest, From and Contact are ours: it binds no address, it only tells the server that
the account exists. Expires 0 ends it.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.drivers import DriverError
from sipstack import ids
from sipstack.errors import ParseError, RequestFailed, SipstackError
from sipstack.net.endpoint import Endpoint
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri

GONE = frozenset({404, 410, 481, 604})
"""Answers to Expires 0 that mean: the server does not know the account."""

TEMPORARY = frozenset({408, 480, 486, 491})
"""Answers below 500 after which trying again may help."""


class SipInteraction:
    """:class:`gateway.interaction.base.InteractionDriver` by SIP."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        servers: Mapping[str, str],
        identity: str,
        expires: int,
        timeout: float = 4.0,
        contact: Uri | None = None,
    ) -> None:
        """``servers`` maps interaction type to the URI of its server; ``expires`` and ``timeout`` are seconds;
        ``contact`` is for a dry run, whose endpoint has no address."""
        self._endpoint = endpoint
        self._contact = contact
        self._servers = {kind: Uri.parse(uri) for kind, uri in servers.items() if uri}
        self._identity = identity
        self._expires = expires
        self._timeout = timeout

    async def register(self, uri: str, kind: str) -> None:
        """Tell the server that the account exists, or exists for longer."""
        response = await self._send(uri, kind, self._expires)
        if response.status == 423 and (response.min_expires or 0) > self._expires:
            response = await self._send(uri, kind, response.min_expires or 0)
        if not response.is_success:
            raise _error(response) from RequestFailed(response)

    async def deregister(self, uri: str, kind: str) -> None:
        """Tell the server that the account is no more."""
        response = await self._send(uri, kind, 0)
        if not response.is_success and response.status not in GONE:
            raise _error(response) from RequestFailed(response)

    async def close(self) -> None:
        """Hold nothing; the endpoint is not ours."""

    # gateway.interaction.base.DryRun

    async def rehearse(self, uri: str, kind: str) -> list[str]:
        """Return both requests; nothing is sent."""
        lines = []
        for expires in (self._expires, 0):
            first, *rest = bytes(self._request(uri, kind, expires)).decode("utf-8", "replace").strip().split("\r\n")
            lines += [f"SIP {first}", *(f"    {line}" for line in rest)]
        return lines

    def _request(self, uri: str, kind: str, expires: int) -> Request:
        server = self._servers.get(kind)
        if server is None:
            raise DriverError(f"There is no server for interaction type {kind}.", temporary=False)
        headers = [
            ("From", f"<{self._identity}>;tag={ids.tag()}"),
            ("To", f"<{uri}>"),
            ("Call-ID", ids.call_id()),
            ("CSeq", "1 REGISTER"),
            ("Contact", f"<{self._contact or self._endpoint.uri()}>"),
            ("Expires", str(expires)),
        ]
        return Request("REGISTER", server, headers)

    async def _send(self, uri: str, kind: str, expires: int) -> Response:
        request = self._request(uri, kind, expires)
        try:
            return await self._endpoint.request(request, timeout=self._timeout)
        except (SipstackError, OSError) as error:
            if isinstance(error, ParseError):
                raise DriverError(str(error), temporary=False) from error
            raise DriverError(f"The {kind} server does not answer: {error}", temporary=True) from error


def _error(response: Response) -> DriverError:
    temporary = 500 <= response.status < 600 or response.status in TEMPORARY
    return DriverError(f"The interaction server answers {response.status} {response.reason}", temporary=temporary)
