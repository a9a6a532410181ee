"""Basic credentials (RFC 7617) and where a request comes from."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from aiohttp import web

from gateway.services import NotAuthenticated
from translators.from_http import FieldError
from translators.identifiers import identity

MAX_AUTHORIZATION = 2048
"""Characters of an Authorization header."""

MAX_FORWARDED = 32
"""Hops of X-Forwarded-For that are looked at."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SCHEMES = ("sip", "sips", "tel")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Credentials(NamedTuple):
    """What Basic carries."""

    user: str
    """A UID, or an identity with its scheme."""
    password: str


def parse_basic(authorization: str | None) -> Credentials:
    """Read an Authorization header.

    The user-id has no scheme, as it must not hold a colon; ``sip:``, ``sips:`` and ``tel:`` in front of it are
    understood, and the next colon ends it then. :class:`NotAuthenticated` for anything that is not Basic in UTF-8,
    :class:`FieldError` for control characters, which RFC 7617 §2 forbids.
    """
    if authorization is None:
        raise NotAuthenticated("Send Basic credentials.")
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic" or len(authorization) > MAX_AUTHORIZATION:
        raise NotAuthenticated("Send Basic credentials.")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise NotAuthenticated("The Basic credentials cannot be read.") from None
    if _CONTROL.search(text):
        raise FieldError("Authorization", "holds a line break or another control character")
    user, colon, password = text.partition(":")
    if user.lower() in _SCHEMES and ":" in password:
        rest, colon, password = password.partition(":")
        user = f"{user}:{rest}"
    if not colon or not user:
        raise NotAuthenticated("The Basic credentials cannot be read.")
    return Credentials(identity(user), password)


def parse_networks(networks: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of a configuration; ValueError for what is none."""
    return tuple(ipaddress.ip_network(network, strict=False) for network in networks)


class Origins:
    """Tells the client's address and whether it came by HTTPS; forwarded headers count from trusted proxies only."""

    __slots__ = ("_trusted",)

    def __init__(self, trusted_proxies: tuple[Network, ...]) -> None:
        self._trusted = trusted_proxies

    def address(self, request: web.BaseRequest) -> str:
        """Return the address of the client: the last one in X-Forwarded-For that is not a proxy of ours."""
        address = request.remote or ""
        if not self._trusted or not self._trusts(address):
            return address
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
        for hop in reversed(forwarded[-MAX_FORWARDED:]):
            text = _bare(hop)
            if text is None:
                break
            address = text
            if not self._trusts(address):
                break
        return address

    def secure(self, request: web.BaseRequest) -> bool:
        """Tell whether the client's side of the connection is HTTPS."""
        if request.secure:
            return True
        if not self._trusted or not self._trusts(request.remote or ""):
            return False
        return request.headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower() == "https"

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        return any((mapped or parsed) in network for network in self._trusted)


def _bare(hop: str) -> str | None:
    """Return the address in one item of X-Forwarded-For, which may carry a port; None when it is no address."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
