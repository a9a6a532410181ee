"""Names, media types and ranges of files: what peers and clients say, made safe, and what is said to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from sipstack import filename

from .from_http import FieldError

MAX_NUMBER_DIGITS = 16
"""Digits of a size or offset in a header: petabytes."""

OCTET_STREAM = "application/octet-stream"

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"({_TOKEN})/({_TOKEN})")
_PARAMETER = re.compile(rf';\s*({_TOKEN})\s*=\s*("(?:[^"\\]|\\.)*"|{_TOKEN})')
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", re.IGNORECASE)
_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.IGNORECASE)

_ENDINGS = {
    "application/pdf": ".pdf",
    "application/vnd.gsma.rcspushlocation+xml": ".xml",
    "application/zip": ".zip",
    "audio/amr": ".amr",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "text/plain": ".txt",
    "text/vcard": ".vcf",
    "video/3gpp": ".3gp",
    "video/mp4": ".mp4",
}
"""Endings of names that are made up, for what phones send most."""


class RangeNotSatisfiable(ValueError):
    """A range begins behind the end (:rfc:`9110#section-14.4`)."""


class ContentRange(NamedTuple):
    """Which octets of a file a body holds, counted from 0."""

    start: int
    end: int
    """First octet behind the body's last."""
    total: int | None


def safe_name(name: str | None, content_type: str) -> str:
    """Return a file name that is safe anywhere (D-FTM-02); one that is made up has the ending of the media type."""
    return filename.safe_name(name, filename.DEFAULT + _ENDINGS.get(content_type, ""))


def media_type(field: str, value: str | None) -> str:
    """Return the media type without parameters, in lower case; ``application/octet-stream`` for none.

    :class:`FieldError` when it is no media type.
    """
    if value is None or not value.strip():
        return OCTET_STREAM
    bare = value.partition(";")[0].strip().lower()
    if len(bare) > 100 or _MEDIA_TYPE.fullmatch(bare) is None:
        raise FieldError(field, "is not a media type such as image/jpeg")
    return bare


def is_listed(content_type: str, patterns: Iterable[str]) -> bool:
    """Tell whether a media type is one of a list such as ``image/*``, ``text/plain``, ``*/*``."""
    main = content_type.partition("/")[0]
    return any(pattern in (content_type, f"{main}/*", "*/*", "*") for pattern in patterns)


def named_file(disposition: str | None) -> str | None:
    """Return the file name of a Content-Disposition, ``filename*`` first (:rfc:`6266#section-4.3`)."""
    parameters = {name.lower(): value for name, value in _PARAMETER.findall(disposition or "")}
    extended = _extended(parameters.get("filename*", ""))
    if extended is not None:
        return extended
    value = parameters.get("filename")
    if value is None:
        return None
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _extended(value: str) -> str | None:
    """Read charset'language'value (:rfc:`8187#section-3.2`)."""
    charset, first, rest = value.strip('"').partition("'")
    _, second, encoded = rest.partition("'")
    if not (first and second) or charset.lower() not in ("utf-8", "iso-8859-1"):
        return None
    return unquote_to_bytes(encoded).decode(charset, "replace")


def disposition(name: str, *, inline: bool = False) -> str:
    """Return a Content-Disposition: plain ASCII for old clients, ``filename*`` with what the name really is."""
    kind = "inline" if inline else "attachment"
    plain = "".join(character if " " <= character <= "~" and character not in '"\\%' else "_" for character in name)
    if plain == name:
        return f'{kind}; filename="{name}"'
    # attr-char of RFC 8187: what quote() leaves alone, but for "~", which is one of them too
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def content_range(value: str) -> ContentRange:
    """Read Content-Range of an upload; ``bytes */n`` holds nothing. :class:`FieldError` for anything else."""
    match = _CONTENT_RANGE.fullmatch(value.strip())
    if match is None or any(len(digits) > MAX_NUMBER_DIGITS for digits in match.groups("0")):
        raise FieldError("Content-Range", "is not such as bytes 0-499/1000")
    total = None if match[3] == "*" else int(match[3])
    if match[1] is None:
        return ContentRange(0, 0, total)
    start, end = int(match[1]), int(match[2]) + 1
    if start >= end or (total is not None and end > total):
        raise FieldError("Content-Range", "ends before it begins, or behind the total")
    return ContentRange(start, end, total)


def byte_range(value: str | None, size: int) -> tuple[int, int] | None:
    """Return start and end (first octet behind) of a Range header; None when all of it is to be sent.

    That is so for several ranges and other units too, which a server may pass over (:rfc:`9110#section-14.2`). Raises
    :class:`RangeNotSatisfiable`.
    """
    match = _RANGE.fullmatch(value) if value is not None and len(value) < 100 else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        if not length:
            raise RangeNotSatisfiable
        return size - length, size
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable
    return start, min(int(match[2]) + 1, size) if match[2] else size
