"""What A does over HTTP: invite somebody through the gateway, and look after the invitations."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

TIMEOUT = aiohttp.ClientTimeout(total=35.0)
"""Seconds for one call; the gateway itself answers within 30."""


class InviteFailed(Exception):
    """The gateway refused; ``problem`` is its RFC 9457 body, if it sent one."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}".rstrip(": "))
        self.status = status
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Inviter:
    """A's credentials at a gateway."""

    gateway: str
    """``http://127.0.0.1:8080``, without the path."""
    user: str
    """UID, or an identity without its scheme."""
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        """Raise ValueError when ``gateway`` is no address to call."""
        parts = urlsplit(self.gateway)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{self.gateway} is not an http or https URL")

    async def invite(
        self,
        identifier: str,
        *,
        types: Iterable[str] = (),
        valid_for: float | None = None,
        note: str | None = None,
        language: str | None = None,
        via: str | None = None,
    ) -> dict[str, Any]:
        """Invite a person by e-mail address or phone number; returns the invitation. ``valid_for`` is in seconds.

        Raises ValueError, and asks nobody, for what is neither.
        """
        if "@" not in identifier and not any(character.isdigit() for character in identifier):
            raise ValueError(f"{identifier} is neither an e-mail address nor a number")
        body: dict[str, Any] = {"email" if "@" in identifier else "phone": identifier}
        body |= {"types": list(types), "valid_for": valid_for, "note": note, "language": language, "via": via}
        return await self._call("POST", "/rcsgw/invitee/user", {key: value for key, value in body.items() if value})

    async def invitations(self) -> list[dict[str, Any]]:
        """Return my invitations."""
        found: list[dict[str, Any]] = (await self._call("GET", "/rcsgw/invitee/user")).get("invitations", [])
        return found

    async def resend(self, account: str) -> dict[str, Any]:
        """Have the link of an invitation sent again, with a new secret; returns the invitation."""
        return await self._call("POST", f"/rcsgw/invitee/user/{quote(account, safe=':@')}/resend")

    async def revoke(self, account: str) -> None:
        """End my invitation of an account."""
        await self._call("DELETE", f"/rcsgw/invitee/user/{quote(account, safe=':@')}")

    async def log_out(self) -> None:
        """End all my invitations."""
        await self._call("DELETE", "/rcsgw/inviter/session")

    async def events(self, after: int | None = None, wait: float = 25.0) -> dict[str, Any]:
        """Return what happened to my invitations behind a cursor, waiting up to ``wait`` seconds for it.

        Without ``after`` only where the events are now: ``{"cursor": 7, "events": []}``.
        """
        query = "" if after is None else f"?after={after}&wait={wait:g}"
        return await self._call("GET", f"/rcsgw/inviter/events{query}")

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        headers = {"Accept": "application/json", "Authorization": f"Basic {credentials}"}
        async with aiohttp.ClientSession(timeout=TIMEOUT, headers=headers) as session:
            async with session.request(method, self.gateway.rstrip("/") + path, json=body) as answer:
                data = await answer.read()
                try:
                    content = json.loads(data) if data else {}
                except ValueError:
                    raise InviteFailed(answer.status, {"title": f"No gateway answers at {self.gateway}"}) from None
                if answer.status >= 400:
                    raise InviteFailed(answer.status, content if isinstance(content, dict) else {})
                return content if isinstance(content, dict) else {}
