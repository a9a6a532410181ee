"""Every exception that leaves a handler becomes problem details (RFC 9457) here and nowhere else."""

from __future__ import annotations

import logging

import msgspec
from aiohttp import web

from gateway.fileservices import RangeRefused
from gateway.misfits import in_words
from gateway.services import AlreadySubscriber, ServiceError
from translators.from_http import FieldError, FieldTooLarge
from translators.model import Problem
from translators.xml import XmlError, XmlInvalid

log = logging.getLogger("rcsgw.http")

CHALLENGE = 'Basic realm="rcsgw", charset="UTF-8"'
"""RFC 7617 §2.1."""


class BadRequest(ServiceError):
    """The request cannot be read."""

    status, type, title = 400, "bad-request", "The request cannot be read"


class NoSuchPath(ServiceError):
    """Nothing is there."""

    status, type, title = 404, "not-found", "Not found"


class MethodNotAllowed(ServiceError):
    """The path exists, the method does not fit; ``allowed`` goes into Allow."""

    status, type, title = 405, "method-not-allowed", "Method not allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"This path takes {', '.join(allowed)}.")
        self.allowed = allowed


class NotAcceptable(ServiceError):
    """No format that the client accepts."""

    status, type, title = 406, "not-acceptable", "No acceptable format"


class RequestTimeout(ServiceError):
    """The body did not arrive in time."""

    status, type, title, retryable = 408, "request-timeout", "The request did not arrive in time", True


class LengthRequired(ServiceError):
    """A body whose length has to be known has none."""

    status, type, title = 411, "length-required", "Content-Length is missing"


class BodyTooLarge(ServiceError):
    """The body exceeds ``max_body``."""

    status, type, title = 413, "too-large", "Too large"


class UriTooLong(ServiceError):
    """The request line exceeds its limit."""

    status, type, title = 414, "uri-too-long", "The request line is too long"


class UnsupportedMediaType(ServiceError):
    """The body is neither JSON nor XML."""

    status, type, title = 415, "unsupported-media-type", "Unsupported media type"


class ExpectationFailed(ServiceError):
    """An Expect header other than 100-continue."""

    status, type, title = 417, "expectation-failed", "Expectation failed"


class InvalidBody(ServiceError):
    """A value in the request does not fit; ``field`` names it."""

    status, type, title = 422, "invalid", "The request is not valid"

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.field = field


class HeadersTooLarge(ServiceError):
    """The header fields exceed their limit (RFC 6585 §5)."""

    status, type, title = 431, "headers-too-large", "The header fields are too large"


def as_service_error(error: Exception) -> ServiceError:
    """Return what an exception means to the HTTP client; what nobody expected is an internal error without detail."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, FieldTooLarge):
        return BodyTooLarge(f"{error.field} {error.detail}.")
    if isinstance(error, FieldError):
        return InvalidBody(f"{error.field} {error.detail}.", error.field)
    if isinstance(error, msgspec.ValidationError | XmlInvalid):
        return InvalidBody(*in_words(str(error)))
    if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
        return BadRequest("The body is not JSON in UTF-8.")
    if isinstance(error, XmlError):
        return BadRequest(f"{error}.")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLarge("The body exceeds the limit.")
    if isinstance(error, web.RequestPayloadError):
        return BadRequest("The body is not what its headers say.")
    return ServiceError()


def describe(error: ServiceError, *, public_url: str, instance: str, trace: str) -> Problem:
    """Return the problem details of a refusal; ``instance`` is a path without its query."""
    return Problem(
        type=f"{public_url}/problems/{error.type}",
        title=error.title,
        status=error.status,
        instance=instance,
        retryable=error.retryable,
        trace=trace,
        detail=error.detail or None,
        field=getattr(error, "field", None),
        sip=error.sip,
        message_id=error.message_id,
        sip_uri=error.sip_uri if isinstance(error, AlreadySubscriber) else None,
    )


def extra_headers(error: ServiceError) -> dict[str, str]:
    """Return the headers that belong to a refusal besides the body's."""
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, RangeRefused):
        headers["Content-Range"] = f"bytes */{'*' if error.size is None else error.size}"
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    return headers
