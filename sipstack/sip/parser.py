"""From octets to messages: datagrams and byte streams. :func:`validate` then tells whether a message is sound."""

from __future__ import annotations

import re

from sipstack.errors import MessageTooLarge, ParseError
from sipstack.sip.grammar import clean, is_token, parse_number
from sipstack.sip.headers import Headers, parse_headers
from sipstack.sip.limits import DEFAULT_LIMITS, Limits
from sipstack.sip.message import Request, Response
from sipstack.sip.reasons import METHODS
from sipstack.sip.validate import validate

__all__ = ["DEFAULT_LIMITS", "Limits", "StreamParser", "parse_message", "validate"]

END_OF_HEADERS = b"\r\n\r\n"
PING = b"\r\n\r\n"
LINE_BREAK = b"\r\n"

# SIP-Version = "SIP" "/" 1*DIGIT "." 1*DIGIT, without regard to case
_VERSION = re.compile(r"SIP/([0-9]+\.[0-9]+)", re.IGNORECASE | re.ASCII)
# Status-Code SP Reason-Phrase; the SP may be missing before an empty reason (A-MSG-02)
_STATUS = re.compile(r"([1-6][0-9]{2})(?: ([^\r\n\x00]*))?")


def parse_message(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Request | Response:
    """Parse one datagram (:rfc:`3261#section-18.3`).

    Octets behind Content-Length are ignored; without one the body goes to the end. :class:`ParseError` for what is no
    message: its ``message`` is a :class:`Request`, with all that could be read, if the sender may be told; its
    ``status`` says what. Otherwise the datagram is to be dropped.
    """
    start = 0
    while data.startswith(LINE_BREAK, start):
        start += 2
    end = data.find(END_OF_HEADERS, start)
    whole = end >= 0
    start_line, headers, error = _split_head(
        data[start:end] if whole else data[start:].removesuffix(LINE_BREAK), limits
    )
    message = _build(start_line, headers, limits)
    message.raw = data
    if error is None and not whole:
        error = ParseError("header block", "has no empty line behind it")
    if error is not None:
        error.message = message
        raise error
    available = len(data) - end - 4
    length = _content_length(headers, message)
    if length is None:
        length = available
    elif length > available:
        raise ParseError("Content-Length", "is more than the datagram holds", message=message)
    if length > limits.body:
        raise MessageTooLarge("body", f"has more than {limits.body} octets", message=message)
    message.body = data[end + 4 : end + 4 + length]
    return message


Pending = tuple[Request | Response | ParseError, int, int]
"""A message whose headers are in, where its body begins, and where it ends."""


class StreamParser:
    """Cuts a byte stream into messages; Content-Length is mandatory there (:rfc:`3261#section-18.3`).

    Feed with :meth:`receive_data`, then call :meth:`next_message` until it returns None. When it raises and
    :attr:`failed` is True, nobody knows where the next message begins: answer, then close the connection.
    """

    __slots__ = ("_buffer", "_limits", "_pending", "_scanned", "failed", "pings")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._pending: Pending | None = None
        self._scanned = 0  # how far the buffer was searched for the end of headers
        self.failed = False
        """Whether the framing is lost; what comes then is ignored."""
        self.pings = 0
        """Keep-alives (CRLF CRLF, :rfc:`5626#section-3.5.1`) seen and not taken; each wants a CRLF back."""

    def receive_data(self, data: bytes) -> None:
        """Take octets from the connection, cut anywhere."""
        if not self.failed:
            self._buffer += data

    def take_pings(self) -> int:
        """Return the number of keep-alives seen since the last call."""
        pings, self.pings = self.pings, 0
        return pings

    def next_message(self) -> Request | Response | None:
        """Return the next whole message, None if there is none yet.

        :class:`ParseError` as of :func:`parse_message`. Unless :attr:`failed` is then True, only this message was bad.
        """
        pending = self._pending or self._receive_head()
        if pending is None or len(self._buffer) < pending[2]:
            self._pending = pending
            return None
        message, start, end = pending
        raw = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._pending = None
        if isinstance(message, ParseError):
            raise message
        message.raw = raw
        message.body = raw[start:]
        return message

    def _receive_head(self) -> Pending | None:
        self._skip_line_breaks()
        buffer, limit = self._buffer, self._limits.header_block
        end = buffer.find(END_OF_HEADERS, max(0, self._scanned - len(END_OF_HEADERS) + 1))
        if end < 0 and len(buffer) <= limit:
            self._scanned = len(buffer)
            return None
        self._scanned = 0
        start_line, headers, error = _split_head(bytes(buffer[: limit + 1 if end < 0 else end]), self._limits)
        message: Request | Response | ParseError
        try:
            message = _build(start_line, headers, self._limits)
        except ParseError as bad:
            message = bad
        readable = message.message if isinstance(message, ParseError) else message
        try:
            length = _stream_length(headers, error, self._limits)
        except ParseError as fatal:
            fatal.message = readable
            self._buffer.clear()
            self.failed = True
            raise
        start = end + len(END_OF_HEADERS)
        return message, start, start + length

    def _skip_line_breaks(self) -> None:
        """Drop CRLFs before a start line (:rfc:`3261#section-7.5`) and count the pings among them."""
        buffer = self._buffer
        while buffer.startswith(LINE_BREAK):
            if buffer.startswith(PING):
                self.pings += 1
                del buffer[: len(PING)]
            elif PING.startswith(buffer):
                return  # one CRLF: the second may be on its way
            else:
                del buffer[: len(LINE_BREAK)]
            self._scanned = 0


def _split_head(head: bytes, limits: Limits) -> tuple[str, Headers, ParseError | None]:
    """Return the start line, the headers that could be read, and what is wrong with them."""
    text = head.decode("utf-8", "surrogateescape")
    start_line, _, rest = text.partition("\r\n")
    headers, error = parse_headers(rest, limits.header_lines)
    if len(head) > limits.header_block:
        error = MessageTooLarge("header block", f"has more than {limits.header_block} octets")
    return start_line, headers, error


def _build(start_line: str, headers: Headers, limits: Limits) -> Request | Response:
    """Make the message of a start line; its errors hold a request unless it surely is none."""
    if start_line[:4].upper() == "SIP/":
        return _build_response(start_line, headers)
    # GW strict: single SPs, but those behind the version are let through (RFC 4475 section 3.1.2.10)
    parts = start_line.rstrip(" ").split(" ")
    request = Request(parts[0], parts[1] if len(parts) == 3 else " ".join(parts[1:-1]), headers)
    if len(start_line) > limits.start_line:
        raise MessageTooLarge("start line", f"has more than {limits.start_line} octets", status=414, message=request)
    if len(parts) == 3 and parts[2] == "SIP/2.0" and parts[0] in METHODS:
        return request
    version = _VERSION.fullmatch(parts[-1])
    if len(parts) != 3 or version is None or not is_token(parts[0]):
        raise ParseError("request line", message=request if version is not None else None)
    if version[1] != "2.0":
        raise ParseError("SIP version", f"{version[1]} is not supported", status=505, message=request)
    return request


def _build_response(start_line: str, headers: Headers) -> Response:
    version, _, rest = start_line.partition(" ")
    status = _STATUS.fullmatch(rest)
    if version.upper() != "SIP/2.0" or status is None:
        raise ParseError("status line")
    return Response(int(status[1]), clean(status[2] or ""), headers)


def _content_length(headers: Headers, message: Request | Response | None = None) -> int | None:
    """Return the one value of Content-Length, None if it is not there; the same value twice is let through."""
    values = headers.values_of("content-length")
    if not values:
        return None
    try:
        if len(values) == 1:
            return parse_number(values[0], "Content-Length")
        lengths = {parse_number(value, "Content-Length") for value in values}
    except ParseError as error:
        error.message = message
        raise
    if len(lengths) > 1:
        raise ParseError("Content-Length", "is there twice with different values", message=message)
    return lengths.pop()


def _stream_length(headers: Headers, error: ParseError | None, limits: Limits) -> int:
    """Return the length of the body, or raise what makes the end of the message uncertain."""
    if error is not None:
        raise error
    length = _content_length(headers)
    if length is None:
        raise ParseError("Content-Length", "is missing on a stream")
    if length > limits.body:
        raise MessageTooLarge("body", f"has more than {limits.body} octets")
    return length
