"""What the bodies of the HTTP face are made of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Literal

from msgspec import Struct


def format_time(seconds: float) -> str:
    """Return Unix time ``seconds`` as RFC 3339 in UTC with milliseconds, ``2026-01-02T03:04:05.678Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Body(Struct, omit_defaults=True, forbid_unknown_fields=False):
    """Base of every body; ``element`` is the name of its root element in XML."""

    element: ClassVar[str] = "body"


class SipWarning(Body, kw_only=True):
    """One value of a SIP Warning header (RFC 3261 §20.43)."""

    code: int
    agent: str
    text: str


class SipReason(Body, kw_only=True):
    """One value of a SIP Reason header (RFC 3326)."""

    protocol: str
    cause: int | None = None
    text: str | None = None


class SipCause(Body, kw_only=True):
    """What a SIP or MSRP peer answered, as the peer put it."""

    element: ClassVar[str] = "sip"

    code: int
    reason: str
    protocol: Literal["SIP", "MSRP"] = "SIP"
    """Left out for SIP."""
    retry_after: int | None = None
    """Seconds."""
    warning: list[SipWarning] | None = None
    reason_header: list[SipReason] | None = None
