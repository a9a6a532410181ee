"""How much of a message the parsers take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """A-MSG-29: generous against RFC 4475 section 3.1.1.7, tight against floods."""

    start_line: int = 8 * 1024
    """Characters; more is 414 for a request (:rfc:`3261#section-21.4.12`)."""
    header_block: int = 64 * 1024
    """Octets with the start line: no datagram can hold more."""
    header_lines: int = 256
    """An INVITE through ten proxies has about 60."""
    values: int = 128
    """Via, Route, Record-Route and Contact values, each: more hops than Max-Forwards sensibly allows."""
    body: int = 1024 * 1024
    """Octets: SIP carries offers and pages, what is larger goes by MSRP."""


DEFAULT_LIMITS = Limits()
