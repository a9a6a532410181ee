"""Every identifier that the stack makes up. The only place with randomness; tests patch it here.

All are lower case, so that it never matters who compares them with or without regard to case (RFC 3261 §7.3.1).
"""

from __future__ import annotations

import os
import secrets
import uuid

POOL_OCTETS = 4096
"""Octets drawn from the system at once: two draws a message, each a system call, were 8 % of its cost."""


class _Pool:
    """Octets of the system's generator as hex digits, each handed out once. Not shared with a forked child."""

    __slots__ = ("_digits", "_used")

    def __init__(self) -> None:
        self.clear()
        os.register_at_fork(after_in_child=self.clear)

    def clear(self) -> None:
        self._digits = ""
        self._used = 0

    def draw(self, count: int) -> str:
        start = self._used
        self._used = end = start + count
        if end > len(self._digits):
            self._digits = os.urandom(max(POOL_OCTETS, count)).hex()
            start, self._used = 0, count
            end = count
        return self._digits[start:end]


_pool = _Pool()


def token(bits: int = 128) -> str:
    """Return lower-case hex with at least ``bits`` random bits. For the event loop's thread only."""
    return _pool.draw((bits + 7) // 8 * 2)


def branch() -> str:
    """Return a Via branch with the magic cookie of RFC 3261 §8.1.1.7."""
    return "z9hG4bK" + token(96)


def tag() -> str:
    """Return a From or To tag; RFC 3261 §19.3 wants 32 random bits at least, we use 64."""
    return token(64)


def call_id() -> str:
    """Return a Call-ID (RFC 3261 §8.1.1.4) that tells nothing about the host."""
    return token(128)


def cnonce() -> str:
    """Return a client nonce for digest (RFC 7616 §3.4)."""
    return token(64)


def contact_token() -> str:
    """Return the user part of a Contact, by which requests find their user agent."""
    return token(80)


def instance_id() -> str:
    """Return a ``+sip.instance`` URN (RFC 5626 §4.1)."""
    return f"urn:uuid:{uuid.UUID(hex=token(128), version=4)}"


def contribution_id() -> str:
    """Return a Contribution-ID: a UUID as text (B-CHT-01)."""
    return str(uuid.UUID(hex=token(128), version=4))


def msrp_session_id() -> str:
    """Return the session part of an MSRP URI; RFC 4975 §14.1 wants 80 random bits."""
    return token(96)


def msrp_transaction_id() -> str:
    """Return an MSRP transaction id with 64 random bits (RFC 4975 §7.1)."""
    return token(64)


def message_id() -> str:
    """Return a Message-ID for MSRP or CPIM."""
    return token(96)


def trace_id() -> str:
    """Return a correlation id: 32 hex digits, usable as W3C trace-id and as Session-ID (RFC 7989)."""
    return token(128)


def uniform(low: float, high: float) -> float:
    """Return a random number from ``low`` to ``high``: for jitter, pacing and back-off."""
    return low + (high - low) * secrets.randbelow(1_000_001) / 1_000_000
