"""The check that a message is sound: what RFC 3261 makes mandatory is there, once, and well formed."""

from __future__ import annotations

from typing import Any

from sipstack.errors import MessageTooLarge, ParseError
from sipstack.sip.headers import NAMES, header_key
from sipstack.sip.limits import DEFAULT_LIMITS, Limits
from sipstack.sip.message import Message, Request, Typed
from sipstack.sip.reasons import METHODS
from sipstack.sip.via import MAGIC_COOKIE

__all__ = ["validate"]

_COOKIE = MAGIC_COOKIE.lower()

_MANDATORY = [(name, header_key(name)) for name in ("Via", "From", "To", "Call-ID", "CSeq")]

# Headers that are one value by grammar, and that we act upon.
_SINGLE = [
    (name, header_key(name)) for name in ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type", "Expires")
]

# The typed properties that raise.
_RAISING: tuple[Typed[Any], ...] = (
    Message.vias,
    Message.from_,
    Message.to,
    Message.call_id,
    Message.cseq,
    Message.contacts,
    Message.routes,
    Message.record_routes,
    Message.paths,
    Message.service_routes,
    Message.associated_uris,
    Message.asserted_identities,
    Message.content_type,
)
_TYPED = [(header.key, header) for header in _RAISING]


def validate(message: Message, limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise :class:`ParseError` unless every typed property of ``message`` can be read and they agree.

    A request is then to be answered with the error's ``status`` (400, 501, 513), a response to be dropped
    (:rfc:`3261#section-8.2.2`, A-MSG-13). Headers that nobody acts upon are not looked at.
    """
    counts = message.headers.counts()
    for name, key in _MANDATORY:
        if key not in counts:
            raise ParseError(name, "is missing", message=message)
    if len(counts) < len(message.headers):
        for name, key in _SINGLE:
            if counts.get(key, 0) > 1:
                raise ParseError(name, "is there more than once", message=message)
    for key, header in _TYPED:
        if key in counts:
            value = header.read(message)
            if isinstance(value, list) and len(value) > limits.values:
                raise MessageTooLarge(NAMES[key], f"has more than {limits.values} values", message=message)
    if isinstance(message, Request):
        _check_request(message)


def _check_request(request: Request) -> None:
    if request.uri.headers:
        # RFC 3261 section 19.1.1: not allowed there, and never to be turned into headers (A-URI-02)
        raise ParseError("Request-URI", "has headers", message=request)
    if request.cseq.method != request.method:
        # The better answer to a method that we don't know is that (RFC 4475 section 3.1.2.18)
        status = 400 if request.method in METHODS else 501
        raise ParseError("CSeq", "has another method than the request", status=status, message=request)
    branch = (request.via.branch or "").lower()
    if branch == _COOKIE:
        raise ParseError("Via", "has a branch with nothing behind the cookie", message=request)
    if request.body and request.content_type is None:
        # A-MSG-26: nobody can know what the body means
        raise ParseError("Content-Type", "is missing", message=request)
    _check_contact(request, is_old=not branch.startswith(_COOKIE))


def _check_contact(request: Request, *, is_old: bool) -> None:
    contacts = len(request.contacts)
    if request.contact_star:
        # RFC 3261 section 10.2.2: only to remove all bindings
        if request.method != "REGISTER" or request.expires != 0 or contacts or request.headers.count("Contact") > 1:
            raise ParseError("Contact", "is * where that means nothing", message=request)
    elif request.method == "INVITE":
        # RFC 3261 section 8.1.1.8 wants exactly one; a client of RFC 2543 may bring none (RFC 4475 section 3.4.1)
        if contacts > 1 or contacts == 0 and not is_old:
            raise ParseError("Contact", "is not there exactly once", message=request)
