"""From MSRP to what the HTTP side says."""

from __future__ import annotations

from sipstack.im.imdn import Disposition, Imdn

from .model import MessageState, SipCause

CHAT_TYPES = frozenset({"text/plain"})
"""Media types that a guest's client can be shown; anything else is answered 415."""

_STATES: dict[tuple[str, Disposition], MessageState] = {
    ("delivery", Disposition.DELIVERED): "delivered",
    ("delivery", Disposition.FAILED): "failed",
    ("delivery", Disposition.ERROR): "failed",
    ("display", Disposition.DISPLAYED): "displayed",
    ("display", Disposition.FORBIDDEN): "delivered",
    ("display", Disposition.ERROR): "delivered",
}
"""D-IMD-14. Only the recipient can say something about display, so whoever refuses or fails to do so has the message
(:rfc:`5438#section-5.3`). A delivery notification that is forbidden may be an intermediary's word (§5.1), as all of
processing is (D-IMD-08): both leave the state as it is.
"""

_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    408: "Timeout",
    413: "Stop Sending",
    415: "Unsupported Media Type",
    423: "Parameter Out Of Bounds",
    481: "No Such Session",
    501: "Unknown Method",
    506: "Session In Use",
}
"""Names for the codes of :rfc:`4975#section-10`, which defines no fixed phrases."""


def cause_of(code: int, comment: str = "") -> SipCause:
    """Return what an MSRP peer answered; its comment wins over our name for the code."""
    return SipCause(code=code, reason=comment or _REASONS.get(code, ""), protocol="MSRP")


def state_of(notification: Imdn) -> MessageState | None:
    """Return the state that a notification brings a message to, None for what changes nothing."""
    return _STATES.get((notification.kind, notification.disposition))


def is_chat_type(content_type: str) -> bool:
    """Tell whether a message of this media type can be shown to a guest; parameters and case do not matter."""
    return content_type.partition(";")[0].strip().lower() in CHAT_TYPES


def text_of(body: bytes) -> str:
    """Return the text of a chat message; octets that are not UTF-8 show as U+FFFD, so nothing is lost silently."""
    return body.decode("utf-8", "replace")
