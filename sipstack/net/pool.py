"""Which user agent a request is for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sipstack.errors import LocalProtocolError
from sipstack.sip.address import Address
from sipstack.sip.message import Request

if TYPE_CHECKING:
    from sipstack.net.useragent import UserAgent


class UserAgentPool:
    """The user agents of an endpoint, by Contact token and by address-of-record.

    Several user agents may serve one AOR (two devices): by AOR the one added last is found.
    """

    __slots__ = ("_by_aor", "_by_token")

    def __init__(self) -> None:
        self._by_token: dict[str, UserAgent] = {}
        self._by_aor: dict[str, UserAgent] = {}

    def __len__(self) -> int:
        return len(self._by_token)

    def __iter__(self) -> Iterator[UserAgent]:
        return iter(list(self._by_token.values()))

    def add(self, agent: UserAgent) -> None:
        """Serve requests for ``agent``. Raise LocalProtocolError when its Contact token is taken."""
        if self._by_token.setdefault(agent.identity.contact_token, agent) is not agent:
            raise LocalProtocolError("another user agent has this Contact token")
        self._by_aor[agent.identity.aor.aor] = agent

    def remove(self, agent: UserAgent) -> None:
        """Serve ``agent`` no more; nothing happens when it is not here."""
        aor = agent.identity.aor.aor
        if self._by_token.get(agent.identity.contact_token) is agent:
            del self._by_token[agent.identity.contact_token]
        if self._by_aor.get(aor) is agent:
            del self._by_aor[aor]

    def find(self, request: Request) -> UserAgent | None:
        """Return the user agent that ``request`` is for: by the Contact in its Request-URI, by the AOR there, or by
        P-Called-Party-ID (:rfc:`7315#section-4.2`), which a core adds when it rewrites the Request-URI."""
        uri = request.uri
        agent = self._by_token.get(uri.user) if uri.user is not None else None
        if agent is None:
            agent = self._by_aor.get(uri.aor)
        if agent is None and (called := request.headers.get("P-Called-Party-ID")) is not None:
            agent = self._by_aor.get(Address.parse(called).uri.aor)
        return agent
