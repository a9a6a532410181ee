"""Invite links, in every form in which one may reach a client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

MARKER = "/rcsgw/invitee/session/"
"""What stands in front of the account."""

SHORT = "/i/"
"""What stands in front of the token of a short link, which leads to the link itself."""

SCHEMES = {"https": "https", "http": "http", "rcsgw": "https", "rcsgw+http": "http"}
"""Scheme of a link → scheme of the gateway. Those of our own open the standalone client, where a desktop knows it."""


@dataclass(frozen=True, slots=True)
class InviteLink:
    """Where the gateway is, and what to log in with."""

    gateway: str
    """URL of the gateway, without a slash at the end: ``https://gw.example``."""
    account: str = ""
    """SIP URI of the temporary account; empty for a short link."""
    secret: str = field(default="", repr=False)
    """Login secret; empty where the link does not carry it."""
    token: str = field(default="", repr=False)
    """Of a short link."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a link. Raise ValueError, with words for a person, for anything else."""
        parts = urlsplit(text.strip())
        scheme = SCHEMES.get(parts.scheme.lower())
        if scheme is None or not parts.netloc:
            raise ValueError("this is no invite link: it begins with https:// or rcsgw://")
        if parts.username is not None:
            raise ValueError("this is no invite link: there is a user name before the host")
        prefix, marker, account = parts.path.partition(MARKER)
        gateway = f"{scheme}://{parts.netloc}"
        if marker and account:
            return cls(gateway + prefix, unquote(account), _secret(parts.query, parts.fragment))
        prefix, marker, token = parts.path.partition(SHORT)
        if marker and token:
            return cls(gateway + prefix, token=token)
        raise ValueError(f"this is no invite link: {MARKER} and an account are missing")

    def __str__(self) -> str:
        """Return the link with its secret in the fragment, which no server sees."""
        if self.token:
            return f"{self.gateway}{SHORT}{self.token}"
        fragment = f"#{quote(self.secret)}" if self.secret else ""
        return f"{self.gateway}{MARKER}{quote(self.account, safe=':@+')}{fragment}"


def _secret(query: str, fragment: str) -> str:
    """Return the secret from ``?passwd=``, ``#passwd=`` or ``#SECRET``."""
    for place in (query, fragment):
        found = parse_qs(place).get("passwd")
        if found:
            return found[0]
    return "" if "=" in fragment else unquote(fragment)
