"""What the other side cannot do, in words: by its refusal, the Warning in it, its own description (RFC 3261 §21.4.26).

Titles of problems are fixed and never hold a peer's words; this is for the detail, which humans read.
"""

from __future__ import annotations

from sipstack.errors import ParseError
from sipstack.sdp import SessionDescription
from sipstack.sip.message import Response

from .from_sip import plain
from .model import SipCause, SipWarning
from .status import WARNINGS, is_mismatch

SDP = "application/sdp"


def explain(response: Response) -> str | None:
    """Return what the peer lacks, or wants, as sentences; None for a response that says no such thing."""
    if not is_mismatch(response.status):
        return None
    words = _of_warnings(response) or _of_headers(response)
    described = _of_description(response)
    said = [plain(warning.text) for warning in response.warnings if warning.text.strip()]
    sentences = [sentence for sentence in (words, described) if sentence]
    if said:
        sentences.append(f"It says: “{said[0]}”.")
    return " ".join(sentences) or "The other side does not support this, and does not say why."


def cause_of_refusal(code: int, text: str) -> SipCause:
    """Return the cause for an answer of the peer that we cannot use: as if we had refused it with that Warning."""
    warning = SipWarning(code=code, agent="rcsgw", text=plain(text))
    return SipCause(code=488, reason="Not Acceptable Here", warning=[warning])


def _of_warnings(response: Response) -> str:
    return next((WARNINGS[warning.code] for warning in response.warnings if warning.code in WARNINGS), "")


def _of_headers(response: Response) -> str:
    """Return what 415 and 420 say in headers of their own (:rfc:`3261#section-21.4.13`)."""
    unsupported = response.headers.get("Unsupported")
    if response.status == 420 and unsupported:
        return f"The other side does not know what is needed: {plain(unsupported)}."
    accepted = response.headers.get("Accept")
    if response.status == 415 and accepted:
        return f"The other side takes only {plain(accepted)}."
    return ""


def _of_description(response: Response) -> str:
    """Return what the peer's own description in a 488 or 606 says that it takes."""
    content_type = response.content_type
    if not response.body or content_type is None or content_type.full != SDP:
        return ""
    try:
        description = SessionDescription.parse(response.body)
    except ParseError:
        return ""
    media = [medium for medium in description.media if medium.media == "message"]
    if not media:
        return "It takes no messages over MSRP at all."
    protocols = {medium.protocol.upper() for medium in media}
    if protocols == {"TCP/TLS/MSRP"}:
        return "It requires MSRP over TLS."
    types = " ".join(medium.attribute("accept-types") or "" for medium in media).split()
    return f"It takes only {plain(', '.join(dict.fromkeys(types)))}." if types else ""
