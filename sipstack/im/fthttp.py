"""Files that lie on a content server: the document that tells where (GSMA RCC.07 §3.2.5, D-FTH-01), and the one that
tells how much of an upload has arrived (D-FTH-04)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.im import xmltree

CONTENT_TYPE = "application/vnd.gsma.rcs-ft-http+xml"
NAMESPACE = "urn:gsma:params:xml:ns:rcs:rcs:fthttp"
MEDIA_NAMESPACE = "urn:gsma:params:xml:ns:rcs:rcs:rram"
"""Of ``playing-length``."""

UNKNOWN_TYPE = "application/octet-stream"
"""What a file is whose type nobody tells."""

MAX_URL = 4096
"""Characters of a URL; those of content servers have signatures of some hundreds."""

MAX_NAME = 1024
"""Characters of a file name: four times what file systems take."""

MAX_SIZE = 2**53 - 1
"""Octets of a file: what JSON's numbers hold."""

FileDisposition = Literal["render", "attachment"]

_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f<>\"]+", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII)
# type "/" subtype [parameters] in printable ASCII: it goes into headers.
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:\s*;[\x20-\x7e]*)?", re.ASCII)
# A voice note may say its length beside its disposition: ``render; timelen=12``.
_TIME_LENGTH = re.compile(r";\s*timelen\s*=\s*\"?([0-9]{1,9})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One file, or its thumbnail, on a content server."""

    url: str
    """``https://…`` or ``http://…``."""
    size: int
    """Octets."""
    content_type: str = UNKNOWN_TYPE
    name: str | None = None
    """As the sender writes it: not safe as a name in a file system. Thumbnails have none."""
    until: str | None = None
    """When the server forgets it, RFC 3339 as written; None when it doesn't say (D-FTH-02)."""
    disposition: FileDisposition | None = None
    """What to do when it is there; None when it doesn't say."""
    playing_length: int | None = None
    """Seconds of a voice note."""


@dataclass(frozen=True, slots=True)
class FtHttp:
    """The content of a message that brings a file by HTTP."""

    file: FileInfo
    thumbnail: FileInfo | None = None

    @classmethod
    def parse(cls, data: bytes) -> FtHttp:
        """Return what a document says: one file, perhaps a thumbnail, in any order.

        Namespaces are not looked at and unknown elements are skipped (D-FTH-02). Raise :exc:`ParseError` naming the
        element, with status 413 beyond the limits.
        """
        root = xmltree.parse("FT-HTTP", data)
        if root.name != "file":
            raise ParseError("FT-HTTP", f"has the root element {root.name[:40]!r}")
        infos: dict[str, list[xmltree.Element]] = {"file": [], "thumbnail": []}
        for element in _children(root, "file-info"):
            infos.setdefault(element.attributes.get("type", "").strip().lower(), []).append(element)
        if len(infos["file"]) != 1 or len(infos["thumbnail"]) > 1:
            counts = f"{len(infos['file'])} files and {len(infos['thumbnail'])} thumbnails"
            raise ParseError("FT-HTTP file-info", f"is there for {counts}")
        thumbnail = _parse_info(infos["thumbnail"][0]) if infos["thumbnail"] else None
        return cls(_parse_info(infos["file"][0], _name(infos["file"][0])), thumbnail)

    def __bytes__(self) -> bytes:
        """Return the document. Raise LocalProtocolError for a URL that is none."""
        file = self.file
        extension = "" if file.playing_length is None else f' xmlns:am="{MEDIA_NAMESPACE}"'
        lines = [f'{xmltree.DECLARATION}<file xmlns="{NAMESPACE}"{extension}>\n']
        if self.thumbnail is not None:
            lines += _render_info("thumbnail", self.thumbnail)
        lines += [*_render_info("file", file), "</file>"]
        return "".join(lines).replace("\n", "\r\n").encode()


@dataclass(frozen=True, slots=True)
class ResumeInfo:
    """What a content server has of an upload that broke off (D-FTH-04)."""

    start: int
    end: int
    """First and last octet that are there, from 0."""
    url: str
    """Where the rest goes by PUT."""

    @classmethod
    def parse(cls, data: bytes) -> ResumeInfo:
        """Return what a document says. Raise :exc:`ParseError` naming the element."""
        root = xmltree.parse("FT-HTTP", data)
        if root.name != "file-resume-info":
            raise ParseError("FT-HTTP", f"has the root element {root.name[:40]!r}")
        attributes = next((element.attributes for element in _children(root, "file-range")), {})
        start, end = (_number("file-range", attributes.get(name)) for name in ("start", "end"))
        return cls(start, end, _url(_data(root)))

    def __bytes__(self) -> bytes:
        """Return the document. Raise LocalProtocolError for a URL that is none."""
        lines = [
            f"{xmltree.DECLARATION}<file-resume-info>",
            f'  <file-range start="{self.start}" end="{self.end}"/>',
            f'  <data url="{_render_url(self.url)}"/>',
            "</file-resume-info>",
        ]
        return "\r\n".join(lines).replace("?>\n", "?>\r\n").encode()


def _children(element: xmltree.Element, name: str) -> Iterator[xmltree.Element]:
    return (child for child in element.children if child.name == name)


def _value(element: xmltree.Element, name: str) -> str | None:
    return next((child.text.strip() or None for child in _children(element, name)), None)


def _data(element: xmltree.Element) -> dict[str, str]:
    return next((child.attributes for child in _children(element, "data")), {})


def _parse_info(element: xmltree.Element, name: str | None = None) -> FileInfo:
    data = _data(element)
    content_type = _value(element, "content-type") or UNKNOWN_TYPE
    if _MEDIA_TYPE.fullmatch(content_type) is None:
        raise ParseError("FT-HTTP content-type", f"is no media type: {content_type[:80]!r}")
    disposition = element.attributes.get("file-disposition", "")
    return FileInfo(
        url=_url(data),
        size=_number("file-size", _value(element, "file-size")),
        content_type=content_type,
        name=name,
        until=data.get("until", "").strip() or None,
        disposition=_disposition(disposition),
        playing_length=_playing_length(element, disposition),
    )


def _name(element: xmltree.Element) -> str | None:
    name = _value(element, "file-name")
    if name is not None and len(name) > MAX_NAME:
        raise ParseError("FT-HTTP file-name", f"has more than {MAX_NAME} characters", status=413)
    return name


def _number(what: str, text: str | None) -> int:
    digits = (text or "").strip()
    if _DIGITS.fullmatch(digits) is None or int(digits) > MAX_SIZE:
        raise ParseError(
            f"FT-HTTP {what}", "is missing" if text is None else f"is no number of octets: {digits[:40]!r}"
        )
    return int(digits)


def _url(data: dict[str, str]) -> str:
    url = data.get("url", "").strip()
    if len(url) > MAX_URL:
        raise ParseError("FT-HTTP data url", f"has more than {MAX_URL} characters", status=413)
    if _URL.fullmatch(url) is None:
        raise ParseError("FT-HTTP data url", f"is no URL of a file: {url[:80]!r}" if url else "is missing")
    return url


def _disposition(text: str) -> FileDisposition | None:
    match text.partition(";")[0].strip().lower():
        case "render":
            return "render"
        case "attachment":
            return "attachment"
        case _:
            return None


def _playing_length(element: xmltree.Element, disposition: str) -> int | None:
    length = _value(element, "playing-length")
    if length is not None and _DIGITS.fullmatch(length):
        return int(length)
    match = _TIME_LENGTH.search(disposition)
    return None if match is None else int(match[1])


def _render_info(kind: str, info: FileInfo) -> Iterator[str]:
    disposition = "" if info.disposition is None else f' file-disposition="{info.disposition}"'
    until = "" if info.until is None else f' until="{xmltree.write_value(info.until)}"'
    yield f'  <file-info type="{kind}"{disposition}>\n'
    yield f"    <file-size>{info.size}</file-size>\n"
    if info.name is not None and kind == "file":
        yield f"    <file-name>{xmltree.write(info.name)}</file-name>\n"
    yield f"    <content-type>{xmltree.write(info.content_type)}</content-type>\n"
    if info.playing_length is not None and kind == "file":
        yield f"    <am:playing-length>{info.playing_length}</am:playing-length>\n"
    yield f'    <data url="{_render_url(info.url)}"{until}/>\n  </file-info>\n'


def _render_url(url: str) -> str:
    if _URL.fullmatch(url) is None:
        raise LocalProtocolError(f"no URL of a file: {url[:80]!r}")
    return xmltree.write_value(url)
