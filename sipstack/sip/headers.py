"""The header fields of a message: an ordered multimap that knows the compact forms (:rfc:`3261#section-7.3`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, overload

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip.grammar import LINE_BREAK, is_token, quote, refuse_line_breaks, split_list, unquote
from sipstack.sip.values import CSeq, MediaType, Reason, RetryAfter, WarningValue, parse_auth_params

__all__ = [
    "CSeq",
    "Headers",
    "MediaType",
    "Reason",
    "RetryAfter",
    "WarningValue",
    "header_key",
    "parse_auth_params",
    "parse_headers",
    "quote",
    "split_list",
    "unquote",
]

Default = TypeVar("Default")

# RFC 3261 section 20, then 3841, 3892, 3515, 6665, 4028 and 4474.
COMPACT_FORMS = {
    "c": "Content-Type",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "s": "Subject",
    "t": "To",
    "v": "Via",
    "a": "Accept-Contact",
    "d": "Request-Disposition",
    "j": "Reject-Contact",
    "b": "Referred-By",
    "r": "Refer-To",
    "o": "Event",
    "u": "Allow-Events",
    "x": "Session-Expires",
    "n": "Identity-Info",
    "y": "Identity",
}

# Names seen often: their spellings below share one string object between all messages.
COMMON_NAMES = """
Accept Accept-Encoding Accept-Language Allow Authorization Contact Content-Disposition Content-Encoding Content-Length
Content-Type Contribution-ID Conversation-ID CSeq Call-ID Date Event Expires From Max-Forwards Min-Expires MIME-Version
P-Access-Network-Info P-Asserted-Identity P-Asserted-Service P-Associated-URI P-Called-Party-ID P-Charging-Vector
P-Preferred-Identity P-Preferred-Service P-Visited-Network-ID Path Privacy Proxy-Authenticate Proxy-Authorization
Proxy-Require Reason Record-Route Require Retry-After Route Security-Client Security-Server Security-Verify Server
Service-Route Session-ID Subject Supported Timestamp To Unsupported User-Agent Via WWW-Authenticate Warning
Accept-Contact Allow-Events Identity Identity-Info Refer-To Referred-By Reject-Contact Request-Disposition
Session-Expires
""".split()


def _known_names() -> dict[str, tuple[str, str]]:
    """Return spelling → (that spelling, key) for the spellings that are worth one look-up."""
    known: dict[str, tuple[str, str]] = {}
    for name in COMMON_NAMES:
        for spelling in (name, name.lower()):
            known[spelling] = (spelling, name.lower())
    for short, name in COMPACT_FORMS.items():
        known[short] = (short, name.lower())
    return known


_KNOWN = _known_names()

NAMES = {name.lower(): name for name in COMMON_NAMES}
""":func:`header_key` → the name as the standards write it."""


def header_key(name: str) -> str:
    """Return what two spellings of a header name have in common: the long name in lower case."""
    known = _KNOWN.get(name)
    if known is None:
        lower = name.lower()
        known = _KNOWN.get(lower)
        return lower if known is None else known[1]
    return known[1]


class Headers:
    """An ordered multimap from header name to raw value; names compare without case and compact equals long.

    Values are unfolded text without surrounding white space. ``version`` counts changes. What the typed properties of a
    message have read is kept in ``parsed``, by :func:`header_key`; a change of a header drops what was read from it.
    """

    __slots__ = ("_keys", "_names", "_values", "parsed", "version")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._keys: list[str] = []
        self._names: list[str] = []
        self._values: list[str] = []
        self.parsed: dict[str, Any] = {}
        self.version = 0
        for name, value in items:
            self.add(name, value)

    @overload
    def get(self, name: str) -> str | None: ...

    @overload
    def get(self, name: str, default: Default) -> str | Default: ...

    def get(self, name: str, default: Default | None = None) -> str | Default | None:
        """Return the first value of the name, raw, or ``default``."""
        key, keys = header_key(name), self._keys
        return self._values[keys.index(key)] if key in keys else default

    def get_all(self, name: str) -> list[str]:
        """Return the raw values of the name, one a line."""
        return self.values_of(header_key(name))

    def values_of(self, key: str) -> list[str]:
        """Return the raw values of the name whose :func:`header_key` is ``key``."""
        keys = self._keys
        count = keys.count(key)
        if count == 1:
            return [self._values[keys.index(key)]]
        if not count:
            return []
        return [value for other, value in zip(keys, self._values, strict=True) if other == key]

    def get_list(self, name: str) -> list[str]:
        """Return the values of all lines of a comma-separated header (:rfc:`3261#section-7.3.1`), without empty ones.

        Not for headers whose commas mean something else: Date, and the four that carry challenges and credentials.
        """
        return [item for value in self.get_all(name) for item in split_list(value) if item]

    def count(self, name: str) -> int:
        """Return how many lines have the name."""
        return self._keys.count(header_key(name))

    def counts(self) -> dict[str, int]:
        """Return how many lines each header has, by :func:`header_key`."""
        counts = dict.fromkeys(self._keys, 1)
        if len(counts) < len(self._keys):
            for key in counts:
                counts[key] = self._keys.count(key)
        return counts

    def add(self, name: str, value: str) -> None:
        """Append a line. :class:`LocalProtocolError` for a bad name, or CR, LF or NUL in the value."""
        self._insert(len(self._keys), name, value)

    def set(self, name: str, value: str) -> None:
        """Replace all lines of the name by one at the place of the first, or append it."""
        key = header_key(name)
        if key not in self._keys:
            self.add(name, value)
            return
        refuse_line_breaks(value, name)
        first = self._keys.index(key)
        self._values[first] = value
        self._changed(key)
        if self._keys.count(key) > 1:
            self._keep([index == first or other != key for index, other in enumerate(self._keys)])

    def insert(self, name: str, value: str) -> None:
        """Put a line before the first of its name, else at the top: for Via, Record-Route and Route."""
        key = header_key(name)
        self._insert(self._keys.index(key) if key in self._keys else 0, name, value)

    def remove(self, name: str) -> None:
        """Remove all lines of the name; none is no error."""
        key = header_key(name)
        if key in self._keys:
            self._keep([other != key for other in self._keys])
            self._changed(key)

    def remove_first(self, name: str) -> None:
        """Remove the first line of the name; none is no error."""
        key = header_key(name)
        if key in self._keys:
            index = self._keys.index(key)
            del self._keys[index], self._names[index], self._values[index]
            self._changed(key)

    def items(self) -> list[tuple[str, str]]:
        """Return (name as written, raw value) of every line."""
        return list(zip(self._names, self._values, strict=True))

    def copy(self) -> Headers:
        """Return an independent copy."""
        other = Headers()
        other._keys = self._keys.copy()
        other._names = self._names.copy()
        other._values = self._values.copy()
        return other

    def copy_from(self, other: Headers, *names: str) -> None:
        """Append the lines of ``other`` that have one of the names, in the order of ``names``, as they are."""
        keys = other._keys
        for name in names:
            key = header_key(name)
            index = -1
            for _ in range(keys.count(key)):
                index = keys.index(key, index + 1)
                self._keys.append(key)
                self._names.append(other._names[index])
                self._values.append(other._values[index])
        self.version += 1
        self.parsed.clear()

    def extend(self, other: Headers) -> None:
        """Append all lines of ``other`` as they are."""
        self._keys += other._keys
        self._names += other._names
        self._values += other._values
        self.version += 1
        self.parsed.clear()

    def fields(self) -> str:
        """Return all lines as they go to the wire, each with its CRLF."""
        return "".join([f"{name}: {value}\r\n" for name, value in zip(self._names, self._values, strict=True)])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and header_key(name) in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"

    def _insert(self, index: int, name: str, value: str) -> None:
        known = _KNOWN.get(name)
        if known is None:
            if not is_token(name):
                raise LocalProtocolError(f"{name!r} is no header name")
            known = (name, header_key(name))
        refuse_line_breaks(value, name)
        self._names.insert(index, known[0])
        self._keys.insert(index, known[1])
        self._values.insert(index, value)
        self._changed(known[1])

    def _keep(self, kept: list[bool]) -> None:
        self._names = [name for name, keep in zip(self._names, kept, strict=True) if keep]
        self._values = [value for value, keep in zip(self._values, kept, strict=True) if keep]
        self._keys = [key for key, keep in zip(self._keys, kept, strict=True) if keep]

    def _changed(self, key: str) -> None:
        self.version += 1
        if self.parsed:
            self.parsed.pop(key, None)


_FOLD = re.compile(r"\r\n[ \t]+")


def parse_headers(text: str, limit: int) -> tuple[Headers, ParseError | None]:
    """Parse a header block without its last CRLF: at most ``limit`` lines, folded ones unfolded.

    Returns what could be read and the first error, because a broken request is still to be answered.
    """
    headers = Headers()
    if not text:
        return headers, None
    error: ParseError | None = None
    # CRLF and LWS stand for one SP (RFC 3261 section 7.3.1)
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD.sub(" ", text)
    lines = text.split("\r\n")
    rest = "".join(lines)
    if "\r" in rest or "\n" in rest or ("\x00" in rest and LINE_BREAK.search(rest)):
        # A lone CR or LF could hide a header from us and show it to the next hop.
        error = ParseError("header block", "has a lone CR, LF or NUL")
        lines = [LINE_BREAK.sub(" ", line) for line in lines]
    if len(lines) > limit:
        error = error or ParseError("header block", f"has more than {limit} lines", status=513)
        del lines[limit:]
    keys, names, values = headers._keys, headers._names, headers._values
    look_up = _KNOWN.get
    for line in lines:
        name, colon, value = line.partition(":")
        known = look_up(name)
        if known is None:
            name = name.rstrip(" \t")  # HCOLON = *( SP / HTAB ) ":" SWS
            if not colon or not is_token(name):
                error = error or ParseError("header line", f"{line[:40]!r} has no name and colon")
                continue
            known = _KNOWN.get(name) or (name, header_key(name))
        elif not colon:
            error = error or ParseError("header line", f"{line[:40]!r} has no colon")
            continue
        name, key = known
        names.append(name)
        keys.append(key)
        values.append(value.strip(" \t"))
    return headers, error
