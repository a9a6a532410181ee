"""The one place that says which HTTP answer follows from a SIP or MSRP outcome (E.4 and E-MAP-* of the standards).

Rule of thumb (E-MAP-01): a fault of the HTTP client is 4xx, a fault of ours or of the core is 5xx, and a state of the
peer is 409 with a stable type.
"""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """How a failure is shown over HTTP."""

    status: int
    type: str
    """Stable name behind ``/problems/``."""
    title: str
    """Fixed for the type; never holds the peer's words (E-ERR-02)."""
    retryable: bool


MAX_RETRY_AFTER = 3600
"""Seconds; a longer Retry-After of a peer is cut to this (E-MAP-02)."""

REFUSED_BY_CORE = Outcome(502, "upstream-refused", "The network refused the request", False)
UPSTREAM_ERROR = Outcome(502, "upstream-error", "The network failed", True)
UPSTREAM_AUTH = Outcome(502, "upstream-auth", "The network refused the gateway's credentials", False)
ELSEWHERE = Outcome(502, "upstream-redirect", "The network pointed elsewhere", False)
LOOP = Outcome(502, "upstream-loop", "The network routes in a circle", False)
FORBIDDEN = Outcome(403, "upstream-forbidden", "The network does not allow this", False)
DECLINED = Outcome(403, "peer-declined", "The other side declined", False)
UNKNOWN_USER = Outcome(404, "unknown-user", "The network does not know this user", False)
GONE = Outcome(410, "peer-gone", "This user is gone", False)
OFFLINE = Outcome(409, "peer-offline", "The other side is not online", True)
BUSY = Outcome(409, "peer-busy", "The other side is busy", True)
CANCELLED = Outcome(409, "cancelled", "The request was cancelled", True)
GLARE = Outcome(409, "conflict", "Not possible in this state", True)
TIMEOUT = Outcome(504, "upstream-timeout", "No answer in time", True)
UNAVAILABLE = Outcome(503, "upstream-unavailable", "The network cannot serve this now", True)
NOT_IMPLEMENTED = Outcome(501, "not-implemented", "The network does not know this method", False)
TOO_LARGE = Outcome(413, "too-large", "Too large", False)
SESSION_GONE = Outcome(410, "session-gone", "The session is gone", True)
MEDIA_REFUSED = Outcome(415, "media-refused", "The other side does not take this media type", False)
MEDIA_UNSUPPORTED = Outcome(422, "unsupported-by-peer", "The other side does not support this", False)

UNREACHABLE = Outcome(502, "core-unreachable", "The network cannot be reached", True)
"""Connection refused, no address found, TLS failed: nothing was sent."""

_SIP = {
    380: REFUSED_BY_CORE,
    401: UPSTREAM_AUTH,
    403: FORBIDDEN,
    404: UNKNOWN_USER,
    406: MEDIA_UNSUPPORTED,
    407: UPSTREAM_AUTH,
    408: TIMEOUT,
    410: GONE,
    413: TOO_LARGE,
    415: MEDIA_UNSUPPORTED,
    430: OFFLINE,
    480: OFFLINE,
    481: SESSION_GONE,
    482: LOOP,
    483: LOOP,
    484: UNKNOWN_USER,
    486: BUSY,
    487: CANCELLED,
    488: MEDIA_UNSUPPORTED,
    491: GLARE,
    500: UPSTREAM_ERROR,
    501: NOT_IMPLEMENTED,
    502: UPSTREAM_ERROR,
    503: UNAVAILABLE,
    504: TIMEOUT,
    513: TOO_LARGE,
    600: BUSY,
    603: DECLINED,
    604: UNKNOWN_USER,
    606: MEDIA_UNSUPPORTED,
    607: DECLINED,
    608: DECLINED,
}

_OWN_MEDIA = {406, 415, 488, 606}
"""Codes that mean the media type when the user chose it."""

_MISMATCH = {406, 415, 420, 488, 606}
"""Final responses that say what the other side cannot do, not that it does not want to."""

WARNINGS = {
    300: "The other side's network is of another kind.",
    301: "The other side cannot use addresses of the gateway's kind.",
    302: "The other side does not take messages by the transport on offer: MSRP, with TLS or without.",
    303: "The other side cannot tell how much bandwidth is wanted.",
    304: "The other side takes no chats of the kind on offer.",
    305: "The other side takes none of the message types on offer.",
    306: "The other side does not understand a part of the offer.",
    307: "The other side does not understand a part of the offer.",
    370: "The other side has not enough bandwidth.",
}
"""Warning codes (:rfc:`3261#section-20.43`) in words for humans; 399 has none of its own."""

_MSRP = {
    400: REFUSED_BY_CORE,
    403: FORBIDDEN,
    408: TIMEOUT,
    413: TOO_LARGE,
    415: MEDIA_REFUSED,
    481: SESSION_GONE,
    501: REFUSED_BY_CORE,
    506: SESSION_GONE,
}


def from_sip(code: int, *, own_media: bool = False) -> Outcome:
    """Return what a final SIP response other than 2xx means over HTTP.

    ``own_media`` tells that the refused media type was the HTTP client's choice, not the gateway's. Codes without a row
    of their own follow their class: 3xx to 6xx are all a matter between gateway and core.
    """
    if own_media and code in _OWN_MEDIA:
        return MEDIA_REFUSED
    known = _SIP.get(code)
    if known is not None:
        return known
    return ELSEWHERE if 300 <= code < 400 else REFUSED_BY_CORE


def is_mismatch(code: int) -> bool:
    """Tell whether a final SIP response means that the two sides have not enough in common."""
    return code in _MISMATCH


def from_msrp(code: int) -> Outcome:
    """Return what an MSRP status other than 200 means over HTTP (E-MAP-05); unknown codes count as their x00."""
    return _MSRP.get(code) or (REFUSED_BY_CORE if code < 500 else UPSTREAM_ERROR)


def retry_after(seconds: int | None) -> int | None:
    """Return the seconds to tell an HTTP client for those that SIP told us."""
    return None if seconds is None else min(seconds, MAX_RETRY_AFTER)
