"""What any user agent server refuses, and what it says it can (RFC 3261 §8.2, §11.2)."""

from __future__ import annotations

from dataclasses import dataclass

from sipstack.sip.message import Request

ALLOWED_METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "MESSAGE", "NOTIFY")
ALLOW = ", ".join(ALLOWED_METHODS)

KNOWN_METHODS = frozenset(
    {*ALLOWED_METHODS, "INFO", "NOTIFY", "PRACK", "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE"}
)
"""Methods that exist: those not allowed here get 405, others 501 (A-UAS-02)."""

SUPPORTED_OPTIONS = frozenset({"path"})
"""Option tags that a request may require."""

SUPPORTED = ", ".join(sorted(SUPPORTED_OPTIONS))
ACCEPT = "application/sdp, message/cpim, text/plain"
ACCEPT_INVITE = "application/sdp, multipart/mixed, multipart/related"
ACCEPT_LANGUAGE = "en"

CAPABILITIES = (
    ("Allow", ALLOW),
    ("Accept", ACCEPT),
    ("Accept-Encoding", "identity"),
    ("Accept-Language", ACCEPT_LANGUAGE),
    ("Supported", SUPPORTED),
)
"""The five headers that a 200 to OPTIONS should have (A-OPT-02)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A final response other than 2xx, and the headers that explain it."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


def refuse(request: Request, *, merged: bool = False) -> Refusal | None:
    """Return why an endpoint cannot process ``request``, in the order of A-UAS-01; None when it can.

    ``merged``: the transaction layer saw the same request by another way (A-UAS-04).
    """
    if request.method not in ALLOWED_METHODS:
        return _refuse_method(request)
    if not request.uri.is_sip and not request.uri.is_tel:
        return Refusal(416)
    if merged:
        return Refusal(482)
    unsupported = [option for option in request.require if option.lower() not in SUPPORTED_OPTIONS]
    if unsupported:
        return Refusal(420, (("Unsupported", ", ".join(unsupported)),))
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding is not None and encoding.strip().lower() not in ("identity", ""):
        return Refusal(415, (("Accept-Encoding", "identity"),))
    if request.body and request.content_type is None:
        return Refusal(400)  # A-MSG-26
    return None


def _refuse_method(request: Request) -> Refusal:
    if request.method not in KNOWN_METHODS:
        return Refusal(501, (("Allow", ALLOW),))
    if request.method == "SUBSCRIBE":
        return Refusal(489, (("Allow", ALLOW), ("Allow-Events", "")))  # B-CAP-08
    return Refusal(405, (("Allow", ALLOW),))
