"""The ``message/cpim`` wrapper: who, to whom, when, and the content (:rfc:`3862`, :rfc:`4975#section-13`).

Extension headers are generic: a name in a namespace, and a value. What IMDN means by its headers is not known here.
"""

from __future__ import annotations

import binascii
import quopri
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sipstack.errors import LocalProtocolError, ParseError, RemoteProtocolError

CPIM_HEADERS = "urn:ietf:params:cpim-headers:"
"""The namespace of the headers of RFC 3862 itself, and of any name without a prefix (D-CPM-06)."""
IMDN = "urn:ietf:params:imdn"

MAX_HEADERS = 128
"""Header lines in front of the content: a group message to many recipients has some dozens of To."""

CACHED_ADDRESSES = 64
"""Addresses kept parsed: in a chat all messages bear the same two, and a declaration of the same namespace."""

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
# Header-name = [ Name-prefix "." ] Name. Strict for what we send; received names may hold whatever has no space.
_NAME = re.compile(r"[!#-'*+.0-9A-Z^`a-z|~-]+")
# Escape = "\" ( "u" 4(HEXDIG) / "b" / "t" / "n" / "r" / DQUOTE / "'" / "\" ); any other character stands for itself.
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.)|$)", re.DOTALL)
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "r": "\r"}
_TO_ESCAPE = re.compile(r"[\x00-\x1f\x7f\\]")
_SHORT = {"\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
# From-header = "From" ": " [ Formal-name ] "<" URI ">"
_ADDRESS = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|([^<"]*?))\s*<([^<>\s]+)>\s*""")
# TOKENCHAR: no control character, space or separator
_TOKENS = re.compile(r'[^\x00-\x20\x7f()<>@,;:\\"/\[\]?={}]+(?: [^\x00-\x20\x7f()<>@,;:\\"/\[\]?={}]+)*')
_PARAMETER = re.compile(r';([^=;\s]+)=("(?:[^"\\]|\\.)*"|[^;\s]*)')

_ONCE = {"From", "DateTime", "Subject", "Require"}
_UNDERSTOOD = {
    CPIM_HEADERS: {"From", "To", "cc", "DateTime", "Subject", "NS", "Require"},
    IMDN: {"Message-ID", "Disposition-Notification", "Original-To", "IMDN-Record-Route", "IMDN-Route"},
}


@dataclass(frozen=True, slots=True)
class CpimAddress:
    """The value of From, To and cc."""

    uri: str
    name: str = ""
    """Formal name, unescaped."""

    @classmethod
    def parse(cls, text: str) -> CpimAddress:
        """Return the address in ``text``, or raise :exc:`ParseError`."""
        return _parse_address(text)

    def __str__(self) -> str:
        if not self.name:
            return f"<{self.uri}>"
        if _TOKENS.fullmatch(self.name):
            return f"{self.name} <{self.uri}>"
        quoted = escape(self.name).replace('"', '\\"')
        return f'"{quoted}" <{self.uri}>'


@lru_cache(CACHED_ADDRESSES)
def _parse_address(text: str) -> CpimAddress:
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ParseError("CPIM address", f"is malformed: {text[:80]!r}")
    return CpimAddress(match[3], unescape(match[1] if match[1] is not None else match[2]))


@dataclass(slots=True)
class CpimHeader:
    """One header line."""

    name: str
    """Without its prefix; case-sensitive."""
    value: str
    """As on the wire, still escaped."""
    namespace: str | None = CPIM_HEADERS
    """What the prefix stands for; None for a prefix that nobody declared."""
    prefix: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    """``;lang=fr`` and such, values unquoted."""


@dataclass(slots=True)
class CpimMessage:
    """A parsed wrapper. To write one, use :class:`CpimTemplate`; a received one is passed on as it is (D-CPM-08)."""

    headers: tuple[CpimHeader, ...]
    """All CPIM headers in order."""
    content_headers: tuple[tuple[str, str], ...]
    """MIME headers of the content, in order."""
    content: bytes
    """Decoded from its Content-Transfer-Encoding."""
    content_type: str
    """With its parameters, as written."""
    from_: CpimAddress
    to: tuple[CpimAddress, ...]
    raw: bytes
    """What was parsed, octet for octet."""

    @classmethod
    def parse(cls, data: bytes) -> CpimMessage:
        """Return the message in ``data``.

        Raise :exc:`ParseError` with status 400 when it is malformed (C-BAD-12), :exc:`RemoteProtocolError` with status
        415 when it requires something that is not understood here (D-CPM-07).
        """
        message, position, fields = cls._parse_head(data)
        message.content = _content(data[position:], fields)
        return message

    @classmethod
    def parse_head(cls, data: bytes) -> tuple[CpimMessage, int]:
        """Return the wrapper, without content, of a message whose beginning is in ``data``, and where content begins.

        For content that is too large to be in memory. Raise as :meth:`parse`: also when more of the head is to come,
        and with status 415 for content that would have to be decoded.
        """
        message, position, fields = cls._parse_head(data)
        encoding = fields.get("content-transfer-encoding", "binary").lower()
        if encoding not in ("binary", "8bit", "7bit"):
            raise ParseError("CPIM content", f"is in {encoding[:40]}", status=415)
        return message, position

    @classmethod
    def _parse_head(cls, data: bytes) -> tuple[CpimMessage, int, dict[str, str]]:
        lines, position = _block(data, 0)
        mime_at = next((index for index, line in enumerate(lines) if line[:8].lower() == "content-"), None)
        headers, namespaces = _parse_headers(lines[:mime_at])
        if mime_at is None:
            mime_lines, position = _block(data, position)
        else:
            # Old samples in RFC 5438 leave out the blank line between CPIM and MIME headers (D-CPM-12).
            mime_lines = lines[mime_at:]
        mime = _parse_mime_headers(mime_lines)
        fields = {name.lower(): value for name, value in reversed(mime)}
        content_type = fields.get("content-type", "")
        if "/" not in content_type:
            raise ParseError("CPIM Content-Type", "is missing or malformed")
        sender: CpimAddress | None = None
        recipients: list[CpimAddress] = []
        for header in headers:
            if header.namespace != CPIM_HEADERS:
                continue
            if header.name == "From":
                sender = CpimAddress.parse(header.value)
            elif header.name == "To":
                recipients.append(CpimAddress.parse(header.value))
            elif header.name == "Require":
                _check_required(header.value, namespaces)
        if sender is None or not recipients:
            raise ParseError("CPIM From" if sender is None else "CPIM To", "is missing")
        return cls(headers, mime, b"", content_type, sender, tuple(recipients), data), position, fields

    def __bytes__(self) -> bytes:
        return self.raw

    def get(self, name: str, namespace: str = CPIM_HEADERS) -> str | None:
        """Return the unescaped value of the first header of that name, None when there is none."""
        for header in self.headers:
            if header.name == name and header.namespace == namespace:
                return unescape(header.value)
        return None

    @property
    def datetime(self) -> str | None:
        """When it was sent, as RFC 3339 text (D-CPM-05)."""
        return self.get("DateTime")

    @property
    def subject(self) -> str | None:
        """What it is about."""
        return self.get("Subject")

    @property
    def imdn_message_id(self) -> str | None:
        """The id that notifications about this message refer to."""
        return self.get("Message-ID", IMDN)


class CpimTemplate:
    """Writes the wrappers of one chat: all that stays the same is made once.

    ``headers`` are extension headers, names with their prefixes, such as ``("imdn.Disposition-Notification",
    "positive-delivery")``; their prefixes are declared by ``namespaces`` (prefix, URI). Raise
    :exc:`LocalProtocolError` for what can't be written.
    """

    __slots__ = ("_head", "_tail")

    def __init__(
        self,
        from_: CpimAddress | str,
        to: CpimAddress | str,
        *,
        namespaces: Sequence[tuple[str, str]] = (("imdn", IMDN),),
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        lines = [f"From: {_address(from_)}\r\nTo: {_address(to)}\r\n"]
        lines += [f"NS: {prefix} <{_uri(uri)}>\r\n" for prefix, uri in namespaces]
        self._head = "".join(lines)
        self._tail = "".join(_line(name, value) for name, value in headers)

    def render(
        self,
        content_type: str,
        content: bytes,
        *,
        datetime: str,
        message_id: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        content_headers: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """Return ``content`` wrapped.

        ``datetime`` is RFC 3339 text, ``message_id`` becomes ``imdn.Message-ID``; ``headers`` go to this one only,
        as ``content_headers`` do, which stand behind the Content-Type.
        """
        head = self.render_head(
            content_type,
            len(content),
            datetime=datetime,
            message_id=message_id,
            headers=headers,
            content_headers=content_headers,
        )
        return head + content

    def render_head(
        self,
        content_type: str,
        length: int,
        *,
        datetime: str,
        message_id: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        content_headers: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """Return what stands before a content of ``length`` octets; else as :meth:`render`."""
        if not content_type.isprintable() or "/" not in content_type:
            raise LocalProtocolError(f"not a content type: {content_type!r}")
        own = f"imdn.Message-ID: {escape(message_id)}\r\n" if message_id is not None else ""
        more = "".join(_line(name, value) for name, value in headers) if headers else ""
        about = "".join(_line(name, value) for name, value in content_headers) if content_headers else ""
        return (
            f"{self._head}{own}DateTime: {escape(datetime)}\r\n{self._tail}{more}\r\n"
            f"Content-Type: {content_type}\r\n{about}Content-Length: {length}\r\n\r\n"
        ).encode()


def escape(text: str) -> str:
    """Return ``text`` as a header value may hold it: no control characters, no bare backslash (D-CPM-03)."""
    if text.isprintable() and "\\" not in text:
        return text
    return _TO_ESCAPE.sub(lambda match: _SHORT.get(match[0]) or f"\\u{ord(match[0]):04x}", text)


def unescape(text: str) -> str:
    """Undo :func:`escape`, and take any other escaped character for itself (D-CPM-03)."""
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_unescape_one, text)
    # Two \u escapes may be one character beyond the first plane.
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _unescape_one(match: re.Match[str]) -> str:
    if match[1] is not None:
        return chr(int(match[1], 16))
    return _ESCAPED.get(match[2], match[2]) if match[2] is not None else ""


def _block(data: bytes, start: int) -> tuple[list[str], int]:
    """Return the lines up to the next blank line, and where what follows it begins."""
    end = data.find(b"\r\n\r\n", start)
    after = end + 4
    if end < 0:
        blank = _BLANK_LINE.search(data, start)
        if blank is None:
            raise ParseError("CPIM message", "has no blank line behind its headers")
        end, after = blank.span()
    try:
        text = data[start:end].decode()
    except UnicodeDecodeError as error:
        raise ParseError("CPIM headers", "are not UTF-8", offset=start + error.start) from None
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > MAX_HEADERS:
        raise ParseError("CPIM message", f"has more than {MAX_HEADERS} headers")
    return lines, after


def _parse_headers(lines: list[str]) -> tuple[tuple[CpimHeader, ...], dict[str, str]]:
    """Return the headers, and the namespaces by their prefixes."""
    found: list[CpimHeader] = []
    # Peers forget to declare imdn (D-CPM-06).
    namespaces: dict[str, str] = {"": CPIM_HEADERS, "imdn": IMDN}
    seen: set[str] = set()
    for line in lines:
        full_name, colon, value = line.partition(":")
        if not colon or not full_name or " " in full_name:
            raise ParseError("CPIM header", f"is malformed: {line[:80]!r}")
        parameters: tuple[tuple[str, str], ...] = ()
        if value[:1] == ";":
            value, parameters = _parse_parameters(value)
        prefix, dot, name = full_name.rpartition(".")
        header = CpimHeader(name, value.strip(" "), namespaces.get(prefix), prefix, parameters)
        found.append(header)
        if header.namespace == CPIM_HEADERS:
            if name == "NS":
                declared = CpimAddress.parse(header.value)
                namespaces[declared.name] = declared.uri
            elif name in _ONCE:
                if name in seen:
                    raise ParseError(f"CPIM {name}", "is repeated")
                seen.add(name)
    return tuple(found), namespaces


def _parse_parameters(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the value behind the parameters, and the parameters (D-CPM-02)."""
    found: list[tuple[str, str]] = []
    position = 0
    while (match := _PARAMETER.match(text, position)) is not None:
        value = match[2]
        found.append((match[1], unescape(value[1:-1]) if value[:1] == '"' else value))
        position = match.end()
    return text[position:], tuple(found)


def _parse_mime_headers(lines: list[str]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if line[:1] in (" ", "\t") and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        elif not colon:
            raise ParseError("CPIM content header", f"is malformed: {line[:80]!r}")
        else:
            found.append((name.strip(), value.strip()))
    return tuple(found)


def _content(octets: bytes, fields: dict[str, str]) -> bytes:
    length = fields.get("content-length")
    if length is not None:
        if not (length.isascii() and length.isdigit()):
            raise ParseError("CPIM Content-Length", f"is malformed: {length[:40]!r}")
        surplus = len(octets) - int(length)
        # A CRLF too many, or counted though it is not there, is a common slip; the frame knows better (D-CPM-13).
        if surplus not in (0, 2, -2) or (surplus == 2 and not octets.endswith(b"\r\n")):
            raise ParseError("CPIM Content-Length", f"says {length}, there are {len(octets)}")
    encoding = fields.get("content-transfer-encoding", "binary").lower()
    if encoding == "base64":
        try:
            return binascii.a2b_base64(octets)
        except binascii.Error as error:
            raise ParseError("CPIM content", f"is not base64: {error}") from None
    if encoding == "quoted-printable":
        return quopri.decodestring(octets)
    return octets


def _check_required(value: str, namespaces: dict[str, str]) -> None:
    for feature in value.split(","):
        prefix, _, name = feature.strip().rpartition(".")
        if name not in _UNDERSTOOD.get(namespaces.get(prefix, ""), ()):
            raise RemoteProtocolError(f"CPIM feature {feature.strip()} is not supported", status=415)


def _line(name: str, value: str) -> str:
    if not _NAME.fullmatch(name):
        raise LocalProtocolError(f"not a CPIM header name: {name!r}")
    return f"{name}: {escape(value)}\r\n"


def _address(address: CpimAddress | str) -> CpimAddress:
    if isinstance(address, str):
        address = CpimAddress(address)
    _uri(address.uri)
    return address


def _uri(text: str) -> str:
    if not text.isprintable() or any(character in text for character in " <>"):
        raise LocalProtocolError(f"not a URI: {text!r}")
    return text
