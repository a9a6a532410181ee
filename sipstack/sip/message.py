"""Requests and responses: a start line, header fields and a body (:rfc:`3261#section-7`).

The typed properties parse their header when they are first read and keep the result until the headers change: do not
change the lists they return. A header that is malformed, or missing though mandatory, raises :class:`ParseError` naming
it; after :func:`sipstack.sip.parser.validate` none of them raises. What a peer may get wrong without harm (Expires,
Max-Forwards, Min-Expires, Retry-After, Warning, Reason) counts as absent instead (A-MSG-13).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip import typed
from sipstack.sip.address import Address
from sipstack.sip.grammar import refuse_line_breaks
from sipstack.sip.headers import NAMES, Headers
from sipstack.sip.reasons import REASONS
from sipstack.sip.typed import DEFAULT_EXPIRES
from sipstack.sip.uri import Uri
from sipstack.sip.values import CSeq, MediaType, Reason, RetryAfter, WarningValue
from sipstack.sip.via import Via

__all__ = ["DEFAULT_EXPIRES", "REASONS", "Message", "Request", "Response"]

Value = TypeVar("Value")
Parser = Callable[[list[str]], Value]

# Request-Line = Method SP Request-URI SP SIP-Version CRLF; no part of it may bring white space of its own.
_REQUEST_LINE = re.compile(r"[!-~]+ [!-~]+")


class Message:
    """What requests and responses have in common."""

    __slots__ = ("body", "headers", "raw")

    def __init__(
        self, headers: Headers | Iterable[tuple[str, str]] = (), body: bytes = b"", *, raw: bytes | None = None
    ) -> None:
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        """Taken over, not copied, when given as :class:`Headers`."""
        self.body = body
        self.raw = raw
        """The octets as received, None for a message made here."""

    def start_line(self) -> str:
        """Return the first line without CRLF; :class:`LocalProtocolError` if it would not be one."""
        raise NotImplementedError

    def __bytes__(self) -> bytes:
        headers, length, added = self.headers, str(len(self.body)), ""
        # Every message says its length: streams need it (RFC 3261 section 18.3), datagrams lose nothing by it.
        told = headers.values_of("content-length")
        if not told:
            added = f"Content-Length: {length}\r\n"
        elif told != [length]:
            headers = headers.copy()
            headers.set("Content-Length", length)
        head = f"{self.start_line()}\r\n{headers.fields()}{added}\r\n".encode("utf-8", "surrogateescape")
        return head + self.body if self.body else head

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.start_line()!r}>"

    def _typed(self, key: str, parse: Parser[Value]) -> Value:
        headers = self.headers
        parsed = headers.parsed
        if key in parsed:
            value: Value = parsed[key]  # one header is always read by one function
            return value
        try:
            value = parsed[key] = parse(headers.values_of(key))
        except ParseError as error:
            name = NAMES[key]
            detail = _detail(name, error) if name in headers else "is missing"
            raise ParseError(name, detail, offset=error.offset, message=self) from error
        return value

    # what every message has

    @property
    def vias(self) -> list[Via]:
        """Top Via first; at least one (:rfc:`3261#section-20.42`)."""
        return self._typed("via", typed.vias)

    @property
    def via(self) -> Via:
        """The top Via."""
        return self.vias[0]

    @property
    def from_(self) -> Address:
        """:rfc:`3261#section-20.20`."""
        return self._typed("from", typed.address)

    @property
    def to(self) -> Address:
        """:rfc:`3261#section-20.39`."""
        return self._typed("to", typed.address)

    @property
    def call_id(self) -> str:
        """Compared octet by octet (:rfc:`3261#section-20.8`)."""
        return self._typed("call-id", typed.call_id)

    @property
    def cseq(self) -> CSeq:
        """:rfc:`3261#section-20.16`."""
        return self._typed("cseq", typed.cseq)

    # where it goes, where it came from

    @property
    def contacts(self) -> list[Address]:
        """All Contact values; empty for ``Contact: *`` (:rfc:`3261#section-20.10`)."""
        return self._typed("contact", typed.contacts)

    @property
    def contact_star(self) -> bool:
        """Whether a Contact is ``*``: all bindings."""
        return "*" in self.headers.values_of("contact")

    @property
    def max_forwards(self) -> int | None:
        """Hops left, None if absent or not from 0 to 255 (:rfc:`3261#section-20.22`)."""
        return self._typed("max-forwards", typed.max_forwards)

    @property
    def routes(self) -> list[Address]:
        """:rfc:`3261#section-20.34`."""
        return self._typed("route", typed.addresses)

    @property
    def record_routes(self) -> list[Address]:
        """:rfc:`3261#section-20.30`."""
        return self._typed("record-route", typed.addresses)

    @property
    def paths(self) -> list[Address]:
        """:rfc:`3327`."""
        return self._typed("path", typed.addresses)

    @property
    def service_routes(self) -> list[Address]:
        """:rfc:`3608`."""
        return self._typed("service-route", typed.addresses)

    @property
    def associated_uris(self) -> list[Address]:
        """P-Associated-URI, :rfc:`7315#section-4.1`."""
        return self._typed("p-associated-uri", typed.addresses)

    @property
    def asserted_identities(self) -> list[Address]:
        """P-Asserted-Identity, :rfc:`3325#section-9.1`; believe it only from whom you trust."""
        return self._typed("p-asserted-identity", typed.addresses)

    # what it wants and what it can do

    @property
    def expires(self) -> int | None:
        """Seconds; None if absent, 3600 if it makes no sense (:rfc:`3261#section-20.19`)."""
        return self._typed("expires", typed.expires)

    @property
    def min_expires(self) -> int | None:
        """Seconds (:rfc:`3261#section-20.23`)."""
        return self._typed("min-expires", typed.min_expires)

    @property
    def content_type(self) -> MediaType | None:
        """:rfc:`3261#section-20.15`."""
        return self._typed("content-type", typed.content_type)

    @property
    def require(self) -> list[str]:
        """Option tags (:rfc:`3261#section-20.32`)."""
        return self._typed("require", typed.tokens)

    @property
    def supported(self) -> list[str]:
        """Option tags (:rfc:`3261#section-20.37`)."""
        return self._typed("supported", typed.tokens)

    @property
    def allow(self) -> list[str]:
        """Methods (:rfc:`3261#section-20.5`)."""
        return self._typed("allow", typed.tokens)

    @property
    def retry_after(self) -> RetryAfter | None:
        """:rfc:`3261#section-20.33`."""
        return self._typed("retry-after", typed.retry_after)

    @property
    def warnings(self) -> list[WarningValue]:
        """:rfc:`3261#section-20.43`, without those that do not parse."""
        return self._typed("warning", typed.warnings)

    @property
    def reasons(self) -> list[Reason]:
        """:rfc:`3326`, without those that do not parse."""
        return self._typed("reason", typed.reasons)


class Request(Message):
    """A request. Received ones may hold anything; :func:`sipstack.sip.parser.validate` tells whether they are sound."""

    __slots__ = ("_uri", "_uri_text", "method")

    def __init__(
        self,
        method: str,
        uri: Uri | str,
        headers: Headers | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        raw: bytes | None = None,
    ) -> None:
        super().__init__(headers, body, raw=raw)
        self.method = method
        """Case-sensitive (:rfc:`3261#section-7.1`)."""
        self._uri: Uri | None = uri if isinstance(uri, Uri) else None
        self._uri_text = str(uri)

    @property
    def uri(self) -> Uri:
        """The Request-URI, parsed on first use; :class:`ParseError` if it is none."""
        if self._uri is None:
            try:
                self._uri = Uri.parse(self._uri_text)
            except ParseError as error:
                raise ParseError("Request-URI", f"is malformed: {error}", message=self) from error
        return self._uri

    @uri.setter
    def uri(self, uri: Uri | str) -> None:
        self._uri = uri if isinstance(uri, Uri) else None
        self._uri_text = str(uri)

    @property
    def uri_text(self) -> str:
        """The Request-URI as written."""
        return self._uri_text

    def start_line(self) -> str:
        """Return the request line without CRLF; :class:`LocalProtocolError` if method or URI hold white space."""
        line = f"{self.method} {self._uri_text}"
        if not _REQUEST_LINE.fullmatch(line):
            raise LocalProtocolError(f"{line[:80]!r} makes no request line")
        return f"{line} SIP/2.0"


class Response(Message):
    """A response."""

    __slots__ = ("reason", "status")

    def __init__(
        self,
        status: int,
        reason: str | None = None,
        headers: Headers | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        raw: bytes | None = None,
    ) -> None:
        super().__init__(headers, body, raw=raw)
        if not 100 <= status <= 699:
            raise LocalProtocolError(f"{status} is no SIP status")
        self.status = status
        # RFC 3261 section 8.1.3.2: an unknown code means what x00 of its class means
        self.reason = REASONS.get(status) or REASONS[status // 100 * 100] if reason is None else reason

    @classmethod
    def for_request(
        cls,
        request: Request,
        status: int,
        reason: str | None = None,
        *,
        to_tag: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response:
        """Answer a request as :rfc:`3261#section-8.2.6` says; ``headers`` come behind the copied ones.

        ``to_tag`` goes to a To that has none. Also for a broken request: what is there is copied as it is.
        """
        copied = Headers()
        copied.copy_from(request.headers, "Via", "From", "To", "Call-ID", "CSeq")
        if status == 100:
            copied.copy_from(request.headers, "Timestamp")
        elif to_tag is not None:
            _add_tag(request, copied, to_tag)
        for name, value in headers:
            copied.add(name, value)
        return cls(status, reason, copied, body)

    @property
    def is_provisional(self) -> bool:
        """1xx."""
        return self.status < 200

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @property
    def is_final(self) -> bool:
        """2xx to 6xx."""
        return self.status >= 200

    def start_line(self) -> str:
        """Return the status line without CRLF; :class:`LocalProtocolError` if the reason holds a line break or NUL."""
        refuse_line_breaks(self.reason, "reason phrase")
        return f"SIP/2.0 {self.status} {self.reason}"


def _add_tag(request: Request, headers: Headers, tag: str) -> None:
    """Put the tag behind To, unless it has one or is too broken to tell."""
    try:
        tagged = request.to.tag is not None
    except ParseError:
        return
    if not tagged:
        headers.set("To", f"{headers.get('To')};tag={tag}")


def _detail(name: str, error: ParseError) -> str:
    text = str(error)
    return text.removeprefix(f"{name} ") if text.startswith(f"{name} ") else f"is malformed: {text}"
