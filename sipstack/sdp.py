"""Session descriptions (:rfc:`4566`): a list of lines in order, with access to those that an endpoint needs.

What is not understood is kept and written back. MSRP's use of it is in :mod:`sipstack.sdp_msrp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sipstack.errors import ParseError

MAX_LINES = 1000
"""Lines of a description: a conference offer with dozens of media has some hundreds."""

# type=value, the type one lower-case letter; white space around "=" is not allowed (RFC 4566 §5).
_LINE = re.compile(r"([a-z])=([^\r\n\0]*)")
# m=<media> <port>["/" <number>] <proto> <fmt> …
_MEDIA = re.compile(r"([^\s/]+) +([0-9]{1,5})(?:/([0-9]{1,5}))? +(\S+)((?: +\S+)*) *")
# o=<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>
_ORIGIN = re.compile(r"(\S+) +([0-9]{1,20}) +([0-9]{1,20}) +(\S+) +(\S+) +(\S+) *")
# Attributes that a refusal has as well.
_MIRRORED = re.compile(r"file-(?:selector|transfer-id)(?::|\Z)")

Lines = list[tuple[str, str]]
"""Type letter and value of each line."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The ``o=`` line. An unchanged description repeats it to the letter (A-OA-02)."""

    session_id: int
    version: int
    address: str
    username: str = "-"
    network_type: str = "IN"
    address_type: str = "IP4"

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Return the origin in ``text``, or raise :exc:`ParseError`."""
        match = _ORIGIN.fullmatch(text)
        if match is None:
            raise ParseError("SDP o=", f"is malformed: {text[:80]!r}")
        return cls(int(match[2]), int(match[3]), match[6], match[1], match[4], match[5])

    def __str__(self) -> str:
        return (
            f"{self.username} {self.session_id} {self.version} {self.network_type} {self.address_type} {self.address}"
        )


@dataclass(slots=True)
class MediaDescription:
    """One ``m=`` line and the lines below it."""

    media: str
    port: int
    """0 refuses the medium (:rfc:`3264#section-6`)."""
    protocol: str
    formats: tuple[str, ...]
    lines: Lines = field(default_factory=list)
    port_count: int | None = None

    @classmethod
    def parse(cls, value: str) -> MediaDescription:
        """Return the medium of an ``m=`` line, or raise :exc:`ParseError`."""
        match = _MEDIA.fullmatch(value)
        if match is None or int(match[2]) > 65535:
            raise ParseError("SDP m=", f"is malformed: {value[:80]!r}")
        count = None if match[3] is None else int(match[3])
        return cls(match[1], int(match[2]), match[4], tuple(match[5].split()), port_count=count)

    def attribute(self, name: str) -> str | None:
        """Return the value of the first ``a=name``: "" for one without value, None when there is none."""
        return _attribute(self.lines, name)

    def attributes(self, name: str) -> list[str]:
        """Return the values of each ``a=name`` in order."""
        return list(_attributes(self.lines, name))

    @property
    def connection(self) -> str | None:
        """The address in the medium's own ``c=``, None when it has none."""
        return _connection(self.lines)

    @property
    def m_line(self) -> str:
        """The value of the ``m=`` line."""
        count = "" if self.port_count is None else f"/{self.port_count}"
        return " ".join((self.media, f"{self.port}{count}", self.protocol, *self.formats))

    def refused(self) -> MediaDescription:
        """Return what an answer puts in this place to refuse the medium (A-OA-01).

        It repeats to the letter what identifies a file (:rfc:`5547#section-8.3`).
        """
        lines = [(letter, value) for letter, value in self.lines if letter == "a" and _MIRRORED.match(value)]
        return MediaDescription(self.media, 0, self.protocol, self.formats, lines)


@dataclass(slots=True)
class SessionDescription:
    """A whole description: lines of the session, then the media."""

    lines: Lines
    """All lines before the first ``m=``, ``v=`` first."""
    media: list[MediaDescription] = field(default_factory=list)

    @classmethod
    def create(cls, origin: Origin, media: Iterable[MediaDescription], *, name: str = "-") -> SessionDescription:
        """Return a description with the lines that are mandatory, in their order (A-OA-04)."""
        lines = [
            ("v", "0"),
            ("o", str(origin)),
            ("s", name),
            ("c", f"{origin.network_type} {origin.address_type} {origin.address}"),
            ("t", "0 0"),
        ]
        return cls(lines, list(media))

    @classmethod
    def parse(cls, data: bytes | str) -> SessionDescription:
        """Return the description in ``data``, or raise :exc:`ParseError` naming the line.

        Lines may end in bare LF, ``s=`` may be empty (A-OA-04), and any order is taken as long as ``v=`` is first.
        """
        if isinstance(data, bytes):
            try:
                data = data.decode()
            except UnicodeDecodeError as error:
                raise ParseError("SDP", "is not UTF-8", offset=error.start) from None
        texts = data.replace("\r\n", "\n").rstrip("\n").split("\n")
        if len(texts) > MAX_LINES:
            raise ParseError("SDP", f"has more than {MAX_LINES} lines")
        description = cls([])
        lines = description.lines
        for number, text in enumerate(texts, 1):
            match = _LINE.fullmatch(text)
            if match is None:
                raise ParseError("SDP", f"line {number} is malformed: {text[:80]!r}")
            if match[1] == "m":
                medium = MediaDescription.parse(match[2])
                description.media.append(medium)
                lines = medium.lines
            else:
                lines.append((match[1], match[2]))
        description._check()
        return description

    def _check(self) -> None:
        if self.lines[:1] != [("v", "0")]:
            raise ParseError("SDP", "does not begin with v=0")
        for letter in "os":
            if sum(line[0] == letter for line in self.lines) != 1:
                raise ParseError(f"SDP {letter}=", "must be there once")
        Origin.parse(_first(self.lines, "o") or "")

    def __str__(self) -> str:
        parts = [f"{letter}={value}\r\n" for letter, value in self.lines]
        for medium in self.media:
            parts.append(f"m={medium.m_line}\r\n")
            parts += [f"{letter}={value}\r\n" for letter, value in medium.lines]
        return "".join(parts)

    def __bytes__(self) -> bytes:
        return str(self).encode()

    @property
    def origin(self) -> Origin:
        """The ``o=`` line."""
        return Origin.parse(_first(self.lines, "o") or "")

    @property
    def connection(self) -> str | None:
        """The address in the session's ``c=``, None when only media have one."""
        return _connection(self.lines)

    def attribute(self, name: str) -> str | None:
        """Return the value of the session's first ``a=name``, as :meth:`MediaDescription.attribute` does."""
        return _attribute(self.lines, name)

    def attributes(self, name: str) -> list[str]:
        """Return the values of each ``a=name`` of the session in order."""
        return list(_attributes(self.lines, name))


def address_type(host: str) -> str:
    """Return ``IP6`` for a numeric IPv6 address, else ``IP4``, which also names get."""
    return "IP6" if ":" in host else "IP4"


def _first(lines: Lines, letter: str) -> str | None:
    return next((value for key, value in lines if key == letter), None)


def _connection(lines: Lines) -> str | None:
    words = (_first(lines, "c") or "").split()
    return words[2].partition("/")[0] if len(words) == 3 else None


def _attributes(lines: Lines, name: str) -> Iterable[str]:
    for key, value in lines:
        if key == "a":
            label, _, rest = value.partition(":")
            if label == name:
                yield rest.strip()


def _attribute(lines: Lines, name: str) -> str | None:
    return next(iter(_attributes(lines, name)), None)
