"""From HTTP requests to what may stand in SIP, MSRP, MIME and SMTP: every string is checked here before it is used.

A string that could end up in a header must not hold CR, LF, NUL or another control character, and one that names
somebody not ``<``, ``>`` or ``"`` either (A-URI-04, E-SEC-01). The check names the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .identifiers import Identifier, parse_email
from .model import ComposingRequest, InviteRequest, MessageRequest, ReceiptRequest

_NAME = re.compile(r'[^\x00-\x20\x7f-\xa0<>"\u2028\u2029]{1,320}')
"""A UID, account or URI: no spaces, no control characters, no delimiters of a name-addr."""

_LINE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]*")
"""One line of text; TAB is the only control character."""

_KEY = re.compile(r"[!#-;=?-~]{1,128}")
"""Visible ASCII without the quotation mark and the angle brackets."""

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_DIALLED = re.compile(r"[+(]{0,2}[0-9][-0-9 ().+/]{3,38}")
"""What may be a number as people write it: with country code or without, with whatever parts it."""

_CHANNEL = re.compile(r"[a-z][a-z0-9-]{0,31}")


class FieldError(ValueError):
    """A field of a request cannot be used; ``field`` is its name."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.detail = detail


class FieldTooLarge(FieldError):
    """A field of a request exceeds a limit in octets."""


def name(field: str, value: str) -> str:
    """Return ``value`` if it may name somebody (UID, account, SIP or tel URI); :class:`FieldError` otherwise."""
    if _NAME.fullmatch(value) is None:
        raise FieldError(field, "holds a character that no identity has, is empty or is too long")
    return value


def line(field: str, value: str) -> str:
    """Return ``value`` if it is one line without control characters."""
    if _LINE.fullmatch(value) is None:
        raise FieldError(field, "holds a line break or another control character")
    return value


def key(field: str, value: str) -> str:
    """Return ``value`` if it can be a message id or an idempotency key."""
    if _KEY.fullmatch(value) is None:
        raise FieldError(field, "is not 1 to 128 visible ASCII characters without quotation marks and angle brackets")
    return value


def text_body(text: str, limit_bytes: int) -> str:
    """Return the text of a message; it may have line breaks, as it goes into bodies only.

    :class:`FieldTooLarge` beyond ``limit_bytes`` octets of UTF-8, :class:`FieldError` when empty or with a NUL.
    """
    if not text:
        raise FieldError("message", "is empty")
    if "\0" in text:
        raise FieldError("message", "holds a NUL")
    if len(text) * 4 > limit_bytes and len(text.encode()) > limit_bytes:
        raise FieldTooLarge("message", f"is longer than {limit_bytes} octets")
    return text


def check_message(request: MessageRequest) -> MessageRequest:
    """Check the fields of a message that reach headers; the text itself is :func:`text_body`'s matter."""
    name("to", request.to)
    if request.id is not None:
        key("id", request.id)
    return request


def check_composing(request: ComposingRequest) -> ComposingRequest:
    """Check whom the guest types to."""
    name("to", request.to)
    return request


def check_receipt(request: ReceiptRequest) -> ReceiptRequest:
    """Check the id of a message of an inviter: whatever they made it of, on one line."""
    line("id", request.id)
    return request


def check_invite(request: InviteRequest) -> None:
    """Check every field of an invitation; whether a number exists is for :func:`invitee` to say."""
    if (request.email is None) == (request.phone is None):
        raise FieldError("email", "or phone must be there, but not both")
    if request.note is not None:
        line("note", request.note)
    if request.language is not None and _LANGUAGE.fullmatch(request.language) is None:
        raise FieldError("language", "is not a language tag")
    if request.via is not None and _CHANNEL.fullmatch(request.via) is None:
        raise FieldError("via", "is not the name of a channel")
    if request.email is not None and parse_email(request.email) is None:
        raise FieldError("email", "is not an e-mail address")
    if request.phone is not None and _DIALLED.fullmatch(request.phone) is None:
        raise FieldError("phone", "is not a number, such as +4915112345678")


def invitee(request: InviteRequest, read_number: Callable[[str], Identifier]) -> Identifier:
    """Return whom an invitation is for. ``read_number`` knows the numbers of each country and what national ones mean
    here; it raises :class:`FieldError`, as this does."""
    check_invite(request)
    if request.phone is not None:
        return read_number(request.phone)
    found = parse_email(request.email or "")
    assert found is not None  # or it had not passed the check
    return found
