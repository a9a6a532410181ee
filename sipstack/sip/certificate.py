"""Which SIP domains a certificate speaks for (:rfc:`5922#section-7`)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from sipstack.errors import ParseError
from sipstack.sip.uri import Uri


def identities(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the domains that ``certificate`` identifies, lower case, and the addresses, in their shortest form.

    ``certificate`` is what :meth:`ssl.SSLSocket.getpeercert` tells of one that an authority has signed. Names in
    ``dNSName`` count only where no SIP URI names a domain, the common name only where there are no alternative names.
    Addresses, of which the RFC says nothing, are taken as in HTTPS (:rfc:`9110#section-4.3.5`).
    """
    names: tuple[tuple[str, str], ...] = certificate.get("subjectAltName", ())
    if not names:
        subject = certificate.get("subject", ())
        return tuple(value.lower() for part in subject for key, value in part if key == "commonName")
    uris = [domain for kind, value in names if kind == "URI" and (domain := _domain(value)) is not None]
    domains = uris or [value.lower() for kind, value in names if kind == "DNS"]
    return (*domains, *(_address(value) for kind, value in names if kind == "IP Address"))


def proves(certificate: Mapping[str, Any], name: str) -> bool:
    """Tell whether ``certificate`` is good for the domain or address ``name``.

    Names match as a whole: neither subdomains nor wildcards do (:rfc:`5922#section-7.2`).
    """
    return _address(name.lower()) in identities(certificate)


def _domain(text: str) -> str | None:
    """Return the host of ``sip:host``; None for other schemes, and for a URI of one user."""
    try:
        uri = Uri.parse(text)
    except ParseError:
        return None
    return uri.host.strip("[]").lower() if uri.scheme == "sip" and uri.user is None else None


def _address(text: str) -> str:
    """Return an IP address in its shortest form, and anything else as it is."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return text
