"""Requests that can be sent once more in another form (:rfc:`3261#section-8.1.3.5`, A-UAC-09).

401 and 407 are the digest's business; what follows is the rest. Each gives a new request to send with the next CSeq.
"""

from __future__ import annotations

from collections.abc import Callable

from sipstack.errors import ParseError
from sipstack.im.multipart import Part, is_multipart, parse_parts
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri

OPTION_HEADERS = ("Require", "Proxy-Require", "Supported")


def repair(request: Request, response: Response) -> Request | None:
    """Return ``request`` in a form that whoever answered ``response`` may take; None when there is none."""
    mend = _REPAIRS.get(response.status)
    return mend(request, response) if mend is not None else None


def _without_unsupported(request: Request, response: Response) -> Request | None:
    """420: the extensions in Unsupported are left out, where it was we who required them."""
    unsupported = {option.lower() for option in response.headers.get_list("Unsupported")}
    required = request.headers.get_list("Require") + request.headers.get_list("Proxy-Require")
    if not any(option.lower() in unsupported for option in required):
        return None
    repaired = _copy(request)
    for name in OPTION_HEADERS:
        options = request.headers.get_list(name)
        kept = [option for option in options if option.lower() not in unsupported]
        if len(kept) < len(options):
            repaired.headers.remove(name)
            if kept:
                repaired.headers.add(name, ", ".join(kept))
    return repaired


def _in_another_type(request: Request, response: Response) -> Request | None:
    """415: of a body of several parts, that one which Accept names. Nothing of ours is encoded, so Accept-Encoding has
    nothing to say."""
    accepted = {value.partition(";")[0].strip().lower() for value in response.headers.get_list("Accept")}
    parts = _parts(request)
    for part in parts:
        if part.content_type.partition(";")[0].strip().lower() in accepted:
            return _with_only(request, part)
    return None


def _shorter(request: Request, response: Response) -> Request | None:
    """413: the first part of several, which is what the request is about; with Retry-After, nothing: its time may come
    as it is."""
    parts = _parts(request)
    if "Retry-After" in response.headers or len(parts) < 2:
        return None
    return _with_only(request, parts[0])


def _by_sip_uri(request: Request, response: Response) -> Request | None:
    """416: a telephone number as a sip URI in the caller's domain (:rfc:`3261#section-19.1.6`)."""
    uri = request.uri
    domain = request.from_.uri.host
    if not uri.is_tel or uri.user is None or not domain:
        return None
    user = uri.user + "".join(f";{name}" if value is None else f";{name}={value}" for name, value in uri.parameters)
    repaired = _copy(request)
    repaired.uri = Uri("sip", user, None, domain, None, (("user", "phone"),))
    return repaired


_REPAIRS: dict[int, Callable[[Request, Response], Request | None]] = {
    413: _shorter,
    415: _in_another_type,
    416: _by_sip_uri,
    420: _without_unsupported,
}

REPAIRABLE = frozenset(_REPAIRS)


def _copy(request: Request) -> Request:
    return Request(request.method, request.uri_text, request.headers.copy(), request.body)


def _parts(request: Request) -> list[Part]:
    content_type = request.headers.get("Content-Type", "")
    if not is_multipart(content_type):
        return []
    try:
        return parse_parts(content_type, request.body)
    except ParseError:
        return []


def _with_only(request: Request, part: Part) -> Request:
    headers = request.headers.copy()
    headers.set("Content-Type", part.content_type)
    return Request(request.method, request.uri_text, headers, part.body)
