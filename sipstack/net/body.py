"""The SDP, and a first chat message, in the body of an INVITE: alone or as parts of multipart/mixed (A-MSG-27)."""

from __future__ import annotations

from dataclasses import dataclass

from sipstack.errors import RemoteProtocolError
from sipstack.sip.message import Message

SDP = "application/sdp"
MULTIPART = "multipart/mixed"

PART_LIMIT = 16
"""Parts of one body; an INVITE of this world has two."""


@dataclass(frozen=True, slots=True)
class Part:
    """One body with its content type (as written) and the disposition that matters."""

    content_type: str
    body: bytes
    optional: bool = False
    """``handling=optional``: who doesn't know it, skips it."""

    @property
    def media_type(self) -> str:
        """The type without parameters, lower case."""
        return self.content_type.partition(";")[0].strip().lower()


def body_parts(message: Message) -> list[Part]:
    """Return the parts of a message's body: one for a plain body, none for an empty one.

    Raise RemoteProtocolError with status 400 when a multipart body has no boundary or none of its parts ends.
    """
    content_type = message.content_type
    if not message.body or content_type is None:
        return []
    if content_type.full != MULTIPART:
        return [Part(str(content_type), message.body)]
    boundary = content_type.param("boundary")
    if not boundary:
        raise RemoteProtocolError("multipart body without boundary")
    # Only CRLF and the boundary end a part: parts may be binary, the boundary may occur inside a line.
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    pieces = (b"\r\n" + message.body).split(delimiter, PART_LIMIT + 2)
    if len(pieces) < 3 or len(pieces) > PART_LIMIT + 2 or not pieces[-1].startswith(b"--"):
        raise RemoteProtocolError("multipart body is not closed")
    return [_parse_part(piece) for piece in pieces[1:-1]]


def sdp_of(message: Message) -> bytes | None:
    """Return the session description in a message, None when there is none.

    Raise RemoteProtocolError with status 415 for a body that has other parts that must be understood.
    """
    found: bytes | None = None
    for part in body_parts(message):
        if part.media_type == SDP and found is None:
            found = part.body
        elif not part.optional and part.media_type != "message/cpim":
            raise RemoteProtocolError(f"{part.media_type} is not understood", status=415)
    return found


def first_message(message: Message) -> Part | None:
    """Return the chat message that an INVITE brings along (B-CHT-14), None when there is none."""
    for part in body_parts(message)[1:]:
        if part.media_type == "message/cpim":
            return part
    return None


def _parse_part(piece: bytes) -> Part:
    head, separator, body = piece.partition(b"\r\n\r\n")
    if not separator:
        raise RemoteProtocolError("a part of the body has no content")
    content_type, optional = "text/plain", False
    for line in head.decode("utf-8", "replace").replace("\r\n ", " ").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-type":
            content_type = value.strip()
        elif name.strip().lower() == "content-disposition":
            optional = "handling=optional" in value.replace(" ", "").lower()
    return Part(content_type, body, optional)
