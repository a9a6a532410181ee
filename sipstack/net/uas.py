"""What any user agent server refuses, and what it says it can (RFC 3261 §8.2, §11.2)."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from sipstack.net.body import is_encoded, is_optional
from sipstack.sip import reliable, session_timer
from sipstack.sip.dialog import RequestTooEarly
from sipstack.sip.headers import Headers
from sipstack.sip.message import Request, Response
from sipstack.sip.session_timer import IntervalTooSmall

if TYPE_CHECKING:
    from sipstack.errors import UnexpectedMessage
    from sipstack.net.endpoint import Endpoint
    from sipstack.sip.transaction import ServerTransaction

ALLOWED_METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "MESSAGE", "NOTIFY", "PRACK", "UPDATE")
ALLOW = ", ".join(ALLOWED_METHODS)

KNOWN_METHODS = frozenset({*ALLOWED_METHODS, "INFO", "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE"})
"""Methods that exist: those not allowed here get 405, others 501 (A-UAS-02)."""

SUPPORTED_OPTIONS = frozenset({reliable.OPTION, "path", session_timer.OPTION})
"""Option tags that a request may require, as far as the configuration does not switch them off."""

ACCEPT = "application/sdp, message/cpim, text/plain"
ACCEPT_INVITE = "application/sdp, multipart/mixed, multipart/related"
ACCEPT_LANGUAGE = "en"


@lru_cache
def _capabilities(options: frozenset[str]) -> Headers:
    return Headers(
        [
            ("Allow", ALLOW),
            ("Accept", ACCEPT),
            ("Accept-Encoding", "identity"),
            ("Accept-Language", ACCEPT_LANGUAGE),
            ("Supported", ", ".join(sorted(options))),
        ]
    )


def capabilities(options: frozenset[str]) -> Headers:
    """Return the five headers that a 200 to OPTIONS should have (A-OPT-02); ``options`` are those of the endpoint."""
    return _capabilities(options).copy()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final response other than 2xx, and the headers that explain it."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


def refuse_method(request: Request) -> Refusal | None:
    """Return why nobody here takes a request, whoever it is for: its method, or the scheme of its URI.

    This is the first of the checks of A-UAS-01; whom it is for comes next, then :func:`refuse_content`.
    """
    if request.method not in ALLOWED_METHODS:
        if request.method not in KNOWN_METHODS:
            return Refusal(501, (("Allow", ALLOW),))
        if request.method == "SUBSCRIBE":
            return Refusal(489, (("Allow", ALLOW), ("Allow-Events", "")))  # B-CAP-08
        return Refusal(405, (("Allow", ALLOW),))
    if not request.uri.is_sip and not request.uri.is_tel:
        return Refusal(416)
    return None


def refuse_content(request: Request, options: Container[str], *, merged: bool = False) -> Refusal | None:
    """Return why whom ``request`` is for cannot process it, in the order of A-UAS-01; None when they can.

    ``options`` are the option tags that it may require; ``merged``: the transaction layer saw the same request by
    another way (A-UAS-04).
    """
    if merged:
        return Refusal(482)
    unsupported = [option for option in request.require if option.lower() not in options]
    if unsupported:
        return Refusal(420, (("Unsupported", ", ".join(unsupported)),))
    if is_encoded(request) and not is_optional(request):
        return Refusal(415, (("Accept-Encoding", "identity"),))
    if request.body and request.content_type is None:
        return Refusal(400)  # A-MSG-26
    return None


def reply_unexpected(endpoint: Endpoint, transaction: ServerTransaction, error: UnexpectedMessage) -> Response:
    """Refuse a request that a dialog does not take now, with what says when it would, or what."""
    headers: list[tuple[str, str]] = []
    if isinstance(error, RequestTooEarly):
        headers.append(("Retry-After", str(error.retry_after)))
    elif isinstance(error, IntervalTooSmall):
        headers.append(("Min-SE", str(error.minimum)))
    return endpoint.reply(transaction, error.status, headers=headers)
