"""Requests and responses: a start line, header fields and a body (:rfc:`3261#section-7`).

The typed properties parse their header when they are first read and keep the result until the headers change: do not
change the lists they return. A header that is malformed, or missing though mandatory, raises :class:`ParseError` naming
it; after :func:`sipstack.sip.parser.validate` none of them raises. What a peer may get wrong without harm (Expires,
Max-Forwards, Min-Expires, Retry-After, Warning, Reason) counts as absent instead (A-MSG-13).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar, overload

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip import typed
from sipstack.sip.grammar import refuse_line_breaks
from sipstack.sip.headers import NAMES, Headers
from sipstack.sip.reasons import REASONS
from sipstack.sip.typed import DEFAULT_EXPIRES
from sipstack.sip.uri import Uri
from sipstack.sip.via import Via

__all__ = ["DEFAULT_EXPIRES", "REASONS", "Message", "Request", "Response"]

Value = TypeVar("Value")
Parser = Callable[[list[str]], Value]

# Request-Line = Method SP Request-URI SP SIP-Version CRLF; no part of it may bring white space of its own.
_REQUEST_LINE = re.compile(r"[!-~]+ [!-~]+")


class Typed(Generic[Value]):
    """A property of messages that reads the lines of one header when it is asked for them the first time."""

    __slots__ = ("_parse", "key")

    def __init__(self, key: str, parse: Parser[Value]) -> None:
        self.key = key
        """The :func:`~sipstack.sip.headers.header_key`."""
        self._parse = parse

    @overload
    def __get__(self, message: None, owner: object) -> Typed[Value]: ...

    @overload
    def __get__(self, message: Message, owner: object) -> Value: ...

    def __get__(self, message: Message | None, owner: object) -> Value | Typed[Value]:
        if message is None:
            return self
        parsed = message.headers.parsed
        if self.key in parsed:
            value: Value = parsed[self.key]  # one header is always read by one function
            return value
        return self.read(message)

    def read(self, message: Message) -> Value:
        """Read the header anew; :class:`ParseError` if it is malformed, or missing though mandatory."""
        headers, key = message.headers, self.key
        try:
            value = headers.parsed[key] = self._parse(headers.values_of(key))
        except ParseError as error:
            name = NAMES[key]
            detail = _detail(name, error) if name in headers else "is missing"
            raise ParseError(name, detail, offset=error.offset, message=message) from error
        return value


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

    # what every message has

    vias = Typed("via", typed.vias)
    """Top Via first; at least one (:rfc:`3261#section-20.42`)."""

    @property
    def via(self) -> Via:
        """The top Via."""
        return self.vias[0]

    from_ = Typed("from", typed.address)
    """:rfc:`3261#section-20.20`."""

    to = Typed("to", typed.address)
    """:rfc:`3261#section-20.39`."""

    call_id = Typed("call-id", typed.call_id)
    """Compared octet by octet (:rfc:`3261#section-20.8`)."""

    cseq = Typed("cseq", typed.cseq)
    """:rfc:`3261#section-20.16`."""

    # where it goes, where it came from

    contacts = Typed("contact", typed.contacts)
    """All Contact values; empty for ``Contact: *`` (:rfc:`3261#section-20.10`)."""

    @property
    def contact_star(self) -> bool:
        """Whether a Contact is ``*``: all bindings."""
        return "*" in self.headers.values_of("contact")

    max_forwards = Typed("max-forwards", typed.max_forwards)
    """Hops left, None if absent or not from 0 to 255 (:rfc:`3261#section-20.22`)."""

    routes = Typed("route", typed.addresses)
    """:rfc:`3261#section-20.34`."""

    record_routes = Typed("record-route", typed.addresses)
    """:rfc:`3261#section-20.30`."""

    paths = Typed("path", typed.addresses)
    """:rfc:`3327`."""

    service_routes = Typed("service-route", typed.addresses)
    """:rfc:`3608`."""

    associated_uris = Typed("p-associated-uri", typed.addresses)
    """P-Associated-URI, :rfc:`7315#section-4.1`."""

    asserted_identities = Typed("p-asserted-identity", typed.addresses)
    """P-Asserted-Identity, :rfc:`3325#section-9.1`; believe it only from whom you trust."""

    # what it wants and what it can do

    expires = Typed("expires", typed.expires)
    """Seconds; None if absent, 3600 if it makes no sense (:rfc:`3261#section-20.19`)."""

    min_expires = Typed("min-expires", typed.min_expires)
    """Seconds (:rfc:`3261#section-20.23`)."""

    content_type = Typed("content-type", typed.content_type)
    """:rfc:`3261#section-20.15`."""

    require = Typed("require", typed.tokens)
    """Option tags (:rfc:`3261#section-20.32`)."""

    supported = Typed("supported", typed.tokens)
    """Option tags (:rfc:`3261#section-20.37`)."""

    allow = Typed("allow", typed.tokens)
    """Methods (:rfc:`3261#section-20.5`)."""

    retry_after = Typed("retry-after", typed.retry_after)
    """:rfc:`3261#section-20.33`."""

    warnings = Typed("warning", typed.warnings)
    """:rfc:`3261#section-20.43`, without those that do not parse."""

    reasons = Typed("reason", typed.reasons)
    """:rfc:`3326`, without those that do not parse."""


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
        self._uri: Uri | None = None
        if isinstance(uri, Uri):
            self._uri, uri = uri, str(uri)
        self._uri_text = uri

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
        headers: Headers | Iterable[tuple[str, str]] = (),
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
        if isinstance(headers, Headers):
            copied.extend(headers)
        else:
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
