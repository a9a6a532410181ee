"""What session descriptions say about a file (:rfc:`5547`): its selector, its identifiers, and who sends it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import quote as percent_encode
from urllib.parse import unquote as percent_decode

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sdp import MediaDescription
from sipstack.sdp_msrp import Direction
from sipstack.sip.grammar import TOKEN, quote, unquote
from sipstack.sip.values import MediaType

SELECTOR = "file-selector"
TRANSFER_ID = "file-transfer-id"

SHA_1 = "sha-1"
"""The one algorithm that everybody knows (:rfc:`5547#section-6`)."""

DIGEST_SIZES = {"md5": 16, SHA_1: 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Octets of the hashes that IANA lists; of other algorithms any number is taken."""

RENDER = "render"
ATTACHMENT = "attachment"

MAX_SIZE = 2**63 - 1
"""Octets of a file: what file systems count."""

MAX_SELECTORS = 32
"""Selectors of one file: name, type, size, and more hashes than there are algorithms."""

# selector = label ":" value, the value with quoted strings in it; separated by SP. Several blanks are taken too.
_ITEM = re.compile(r'([A-Za-z][A-Za-z0-9-]*):((?:"[^"]*"|[^\s"])+)(?: +|\Z)')
# hash = token ":" 2HEXDIG *(":" 2HEXDIG); lower case is taken too.
_HASH = re.compile(rf"({TOKEN}):([0-9A-Fa-f]{{2}}(?::[0-9A-Fa-f]{{2}})*)")
# type "/" subtype *(";" attribute "=" DQUOTE value DQUOTE); without quotes is taken too.
_TYPE = re.compile(rf'({TOKEN})/({TOKEN})((?:;{TOKEN}=(?:"[^"]*"|[^;"]*))*)')
_TYPE_PARAMETER = re.compile(rf';({TOKEN})=("[^"]*"|[^;"]*)')
_INTEGER = re.compile(r"[0-9]{1,19}", re.ASCII)
_RANGE = re.compile(r"([0-9]{1,19})-([0-9]{1,19}|\*)", re.ASCII)
_DATE = re.compile(r'(creation|modification|read):"([^"]*)"')
_TOKEN = re.compile(TOKEN)
# What cannot stand raw in a name: the RFC's NUL, CR, LF, quote and percent, what means something in a path somewhere,
# and whatever else ends lines for somebody.
_ESCAPED = re.compile(r'[\x00-\x1f\x7f-\x9f"%/\\:\u2028\u2029\ud800-\udfff]')
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(frozen=True, slots=True)
class FileSelector:
    """What tells a file from others; none of it has to be there (:rfc:`5547#section-6`)."""

    name: str | None = None
    """As the peer writes it, decoded: see :func:`sipstack.filename.safe_name`."""
    content_type: str | None = None
    """As in a Content-Type header, with parameters."""
    size: int | None = None
    """Octets of the whole file."""
    hashes: dict[str, bytes] = field(default_factory=dict)
    """Of the whole file, by algorithm in lower case."""

    @classmethod
    def parse(cls, text: str) -> FileSelector:
        """Return what an ``a=file-selector`` says; nothing for an empty one, which tells of a capability (D-FTM-11).

        Order doesn't matter, of two of a kind the first counts, unknown ones are skipped. Raise :exc:`ParseError`.
        """
        items: dict[str, str] = {}
        hashes: dict[str, bytes] = {}
        text, position = text.strip(), 0
        for _ in range(MAX_SELECTORS):
            if position == len(text):
                break
            match = _ITEM.match(text, position)
            if match is None:
                raise ParseError(SELECTOR, f"is malformed: {text[position : position + 80]!r}")
            position = match.end()
            if match[1].lower() == "hash":
                algorithm, digest = _parse_hash(match[2])
                hashes.setdefault(algorithm, digest)
            else:
                items.setdefault(match[1].lower(), match[2])
        else:
            raise ParseError(SELECTOR, f"has more than {MAX_SELECTORS} selectors")
        return cls(_parse_name(items.get("name")), _parse_type(items.get("type")), _parse_size(items), hashes)

    def __str__(self) -> str:
        """Return the selectors in the order of the RFC. Raise LocalProtocolError for a type that is none."""
        items: list[str] = []
        if self.name:
            items.append(f'name:"{_escape(self.name)}"')
        if self.content_type is not None:
            items.append(f"type:{_format_type(self.content_type)}")
        if self.size is not None:
            items.append(f"size:{self.size}")
        items += [f"hash:{algorithm}:{digest.hex(':').upper()}" for algorithm, digest in self.hashes.items()]
        return " ".join(items)

    @property
    def is_empty(self) -> bool:
        """Tell whether it selects nothing, as in the answer to OPTIONS (D-FTM-11)."""
        return self == FileSelector()

    def fits(self, other: FileSelector) -> bool:
        """Tell whether both can mean the same file: nothing that both tell differs (:rfc:`5547#section-8.3.2`)."""
        mine, theirs = self._known(), other._known()
        return all(theirs.get(key, value) == value for key, value in mine.items())

    def _known(self) -> dict[str, object]:
        known: dict[str, object] = {f"hash:{algorithm}": digest for algorithm, digest in self.hashes.items()}
        known |= {"name": self.name, "size": self.size, "type": self.content_type and self.content_type.lower()}
        return {key: value for key, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True)
class FileRange:
    """The octets of a file that are wanted, counted from 1 (D-FTM-08). MSRP's Byte-Range counts them from 1 anew."""

    start: int = 1
    stop: int | None = None
    """The last one; None for the end of the file."""

    @classmethod
    def parse(cls, text: str) -> FileRange:
        """Return the range in ``text``, or raise :exc:`ParseError`."""
        match = _RANGE.fullmatch(text.strip())
        if match is None:
            raise ParseError("file-range", f"is malformed: {text[:80]!r}")
        start, stop = int(match[1]), None if match[2] == "*" else int(match[2])
        if start < 1 or (stop is not None and not start <= stop <= MAX_SIZE) or start > MAX_SIZE:
            raise ParseError("file-range", f"makes no sense: {text[:80]!r}")
        return cls(start, stop)

    def __str__(self) -> str:
        return f"{self.start}-{'*' if self.stop is None else self.stop}"

    def length(self, size: int) -> int:
        """Return how many octets of a file of ``size`` these are."""
        return max(0, min(size, size if self.stop is None else self.stop) - self.start + 1)


@dataclass(frozen=True, slots=True)
class FileAttributes:
    """All that a medium says about its file."""

    selector: FileSelector
    transfer_id: str = ""
    """Of this transfer; a new one is a new transfer (D-FTM-03). Empty when an old peer doesn't give any."""
    disposition: str = RENDER
    """``render`` or ``attachment``, a proposal (D-FTM-09)."""
    dates: dict[str, str] = field(default_factory=dict)
    """``creation``, ``modification``, ``read``: dates of :rfc:`5322#section-3.3` as written."""
    range: FileRange | None = None
    """None: all of it."""
    icon: str | None = None
    """Content-ID, without brackets, of the body part that holds a preview (D-FTM-10)."""

    @classmethod
    def of(cls, medium: MediaDescription) -> FileAttributes | None:
        """Return what a medium says, None when it is not about a file. Raise :exc:`ParseError`, naming the attribute.

        What is only told, such as dates, is left out when it is malformed.
        """
        selector = medium.attribute(SELECTOR)
        if selector is None:
            return None
        transfer_id = medium.attribute(TRANSFER_ID) or ""
        if transfer_id and _TOKEN.fullmatch(transfer_id) is None:
            raise ParseError(TRANSFER_ID, f"is malformed: {transfer_id[:80]!r}")
        disposition = (medium.attribute("file-disposition") or "").lower()
        octets = medium.attribute("file-range")
        scheme, _, icon = (medium.attribute("file-icon") or "").partition(":")
        return cls(
            FileSelector.parse(selector),
            transfer_id,
            disposition if _TOKEN.fullmatch(disposition) else RENDER,
            dict(_DATE.findall(medium.attribute("file-date") or "")),
            None if octets is None else FileRange.parse(octets),
            percent_decode(icon) if scheme.lower() == "cid" and icon else None,
        )

    def attributes(self) -> list[str]:
        """Return the values of the ``a=`` lines. Raise LocalProtocolError for what they cannot hold."""
        lines = [f"{SELECTOR}:{self.selector}"]
        if self.transfer_id:
            lines.append(f"{TRANSFER_ID}:{_token(self.transfer_id)}")
        if self.disposition != RENDER:
            lines.append(f"file-disposition:{_token(self.disposition)}")
        if self.dates:
            lines.append("file-date:" + " ".join(f'{kind}:"{_date(text)}"' for kind, text in self.dates.items()))
        if self.icon is not None:
            lines.append(f"file-icon:cid:{percent_encode(self.icon, safe='@!$*+-._~')}")
        if self.range is not None:
            lines.append(f"file-range:{self.range}")
        return lines

    def answer(self, found: FileSelector | None = None) -> FileAttributes:
        """Return what the answer to an offer with these says (D-FTM-04); ``found`` is the file that a pull selected.

        Neither icon nor disposition nor dates are repeated (:rfc:`5547#section-8.3.1`).
        """
        return FileAttributes(found or self.selector, self.transfer_id, range=self.range)

    def resumed(self, start: int, transfer_id: str) -> FileAttributes:
        """Return the offer of the rest of the file, from octet ``start``, counted from 1, to its end (D-FTM-03)."""
        return replace(self, transfer_id=transfer_id, range=FileRange(start))

    @property
    def start(self) -> int:
        """The first octet that is wanted, counted from 1."""
        return 1 if self.range is None else self.range.start

    @property
    def length(self) -> int | None:
        """Octets that the transfer has; None when the size is not told."""
        if self.selector.size is None:
            return None
        return (self.range or FileRange()).length(self.selector.size)


def describe_file(medium: MediaDescription, file: FileAttributes, direction: Direction) -> None:
    """Make an MSRP medium one about ``file``, with us as sender (``sendonly``) or receiver (``recvonly``)."""
    medium.lines = [(letter, value) for letter, value in medium.lines if letter != "a" or value not in _DIRECTIONS]
    medium.lines += [("a", direction), *(("a", line) for line in file.attributes())]


def _parse_hash(text: str) -> tuple[str, bytes]:
    match = _HASH.fullmatch(text)
    if match is None:
        raise ParseError(SELECTOR, f"hash is malformed: {text[:80]!r}")
    algorithm, digest = match[1].lower(), bytes.fromhex(match[2].replace(":", ""))
    if DIGEST_SIZES.get(algorithm, len(digest)) != len(digest):
        raise ParseError(SELECTOR, f"hash is no {algorithm}: {len(digest)} octets")
    return algorithm, digest


def _parse_name(text: str | None) -> str | None:
    return (percent_decode(text.strip('"')) or None) if text else None


def _parse_size(items: dict[str, str]) -> int | None:
    text = items.get("size")
    if text is None:
        return None
    if _INTEGER.fullmatch(text) is None or int(text) > MAX_SIZE:
        raise ParseError(SELECTOR, f"size is no number of octets: {text[:40]!r}")
    return int(text)


def _parse_type(text: str | None) -> str | None:
    if text is None:
        return None
    match = _TYPE.fullmatch(text)
    if match is None:
        raise ParseError(SELECTOR, f"type is malformed: {text[:80]!r}")
    parameters: list[tuple[str, str | None]] = []
    for parameter in _TYPE_PARAMETER.finditer(match[3]):
        value = percent_decode(parameter[2].strip('"'))
        if "\r" in value or "\n" in value or "\0" in value:
            raise ParseError(SELECTOR, "type has a line break in it")
        parameters.append((parameter[1], value if _TOKEN.fullmatch(value) else quote(value)))
    return str(MediaType(match[1], match[2], tuple(parameters)))


def _format_type(content_type: str) -> str:
    try:
        parsed = MediaType.parse(content_type)
    except ParseError as error:
        raise LocalProtocolError(f"{error}: {content_type[:80]!r}") from None
    parameters = [f';{name}="{_escape(unquote(value or ""))}"' for name, value in parsed.parameters]
    return f"{parsed.type}/{parsed.subtype}{''.join(parameters)}"


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda match: percent_encode(match[0], safe="", errors="replace"), text)


def _token(text: str) -> str:
    if _TOKEN.fullmatch(text) is None:
        raise LocalProtocolError(f"no token: {text[:80]!r}")
    return text


def _date(text: str) -> str:
    if not text.isprintable() or '"' in text:
        raise LocalProtocolError(f"no date: {text[:80]!r}")
    return text
