"""Bodies of several parts (:rfc:`2046#section-5.1`): MSRP endpoints have to take them (:rfc:`4975#section-7.3.1`)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass

from sipstack.errors import MessageTooLarge, ParseError

MIXED = "multipart/mixed"
ALTERNATIVE = "multipart/alternative"

MAX_PARTS = 16
"""Parts of one body: a chat message of this world has two or three."""
MAX_DEPTH = 3
"""Bodies inside each other: an alternative beside something mixed is two."""
MAX_HEAD = 8192
"""Octets of the headers of one part."""

# boundary := 0*69<bchars> bcharsnospace; more is taken, but for line breaks.
_BOUNDARY = re.compile(r""";\s*boundary\s*=\s*(?:"([^"\r\n]{1,200})"|([^\s;",]{1,200}))""", re.IGNORECASE)
_FOLD = re.compile(r"\r\n[ \t]+")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a body, without its transfer encoding."""

    content_type: str
    """As written; ``text/plain`` where nothing is."""
    body: bytes
    disposition: str = ""
    """Content-Disposition, as written."""
    content_id: str = ""
    """Content-ID without its brackets (:rfc:`2392`)."""


def is_multipart(content_type: str) -> bool:
    """Tell whether a media type is one of several parts."""
    return content_type[:10].lower() == "multipart/"


def parse_parts(content_type: str, body: bytes) -> list[Part]:
    """Return the parts of a body in order.

    Raise :exc:`ParseError` when there is no boundary, no part or no end, and with status 413 beyond the limits.
    """
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise ParseError("multipart", "has no boundary")
    boundary = re.escape((match[1] or match[2]).rstrip().encode("utf-8", "surrogateescape"))
    # dash-boundary transport-padding CRLF, or dash-boundary "--": only these end a part, which may be binary.
    line = re.compile(rb"\r\n--" + boundary + rb"(?:(--)|[ \t]*(?=\r\n))")
    octets = b"\r\n" + body
    parts: list[Part] = []
    begin: int | None = None
    for delimiter in line.finditer(octets):
        if begin is not None:
            parts.append(_parse_part(octets[begin : delimiter.start()]))
        if delimiter[1]:
            if not parts:
                raise ParseError("multipart", "has no parts")
            return parts
        if len(parts) == MAX_PARTS:
            raise MessageTooLarge("multipart", f"has more than {MAX_PARTS} parts", status=413)
        begin = delimiter.end()
    raise ParseError("multipart", "has no end")


def choose(content_type: str, body: bytes, accepts: Callable[[str], bool]) -> Part | None:
    """Return what is to be shown of a body, None when ``accepts`` lets no type in it pass.

    Of alternatives that is the last one, of anything else the text, or the first part where there is none
    (:rfc:`2046#section-5.1.3`, :rfc:`2046#section-5.1.4`). Raise as :func:`parse_parts`.
    """
    return _choose(Part(content_type, body), accepts, MAX_DEPTH)


def _choose(part: Part, accepts: Callable[[str], bool], depth: int) -> Part | None:
    if not is_multipart(part.content_type):
        return part if accepts(part.content_type) else None
    if not depth:
        raise MessageTooLarge("multipart", f"has more than {MAX_DEPTH} levels", status=413)
    found = [
        chosen
        for inner in parse_parts(part.content_type, part.body)
        if (chosen := _choose(inner, accepts, depth - 1)) is not None
    ]
    if not found or _bare(part.content_type) == ALTERNATIVE:
        return found[-1] if found else None
    texts = [chosen for chosen in found if _bare(chosen.content_type) == "text/plain"]
    if len(texts) < 2:
        return texts[0] if texts else found[0]
    return Part(texts[0].content_type, b"\n\n".join(text.body for text in texts))


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _parse_part(octets: bytes) -> Part:
    """Return the part in ``octets``, which begin with the CRLF of its delimiter."""
    blank = octets.find(b"\r\n\r\n")
    head, body = (octets[2:], b"") if blank < 0 else (octets[2:blank], octets[blank + 4 :])
    if len(head) > MAX_HEAD:
        raise MessageTooLarge("multipart", f"has a part with more than {MAX_HEAD} octets of headers", status=413)
    fields: dict[str, str] = {}
    for line in _FOLD.sub(" ", head.decode("utf-8", "replace")).split("\r\n"):
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    content_type = fields.get("content-type") or "text/plain"
    if not content_type.isprintable():
        raise ParseError("multipart Content-Type", "is malformed")
    return Part(
        content_type,
        _decoded(fields.get("content-transfer-encoding", "").lower(), body),
        fields.get("content-disposition", ""),
        fields.get("content-id", "").removeprefix("<").removesuffix(">"),
    )


def _decoded(encoding: str, body: bytes) -> bytes:
    if encoding == "base64":
        try:
            return base64.b64decode(body)
        except binascii.Error:
            raise ParseError("multipart", "has a part that is not base64") from None
    return binascii.a2b_qp(body) if encoding == "quoted-printable" else body
