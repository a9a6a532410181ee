"""The SDP in the body of an INVITE: alone, beside a first chat message as parts of multipart/mixed (A-MSG-27), or with
the icon of a file as parts of multipart/related (D-FTM-10)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sipstack import ids
from sipstack.errors import RemoteProtocolError
from sipstack.im.multipart import MIXED, parse_parts
from sipstack.sip.message import Message

SDP = "application/sdp"
RELATED = "multipart/related"


@dataclass(frozen=True, slots=True)
class Part:
    """One body with its content type (as written) and the disposition that matters."""

    content_type: str
    body: bytes
    optional: bool = False
    """``handling=optional``, or an icon: who doesn't know it, skips it."""
    content_id: str = ""
    """Without its brackets."""

    @property
    def media_type(self) -> str:
        """The type without parameters, lower case."""
        return self.content_type.partition(";")[0].strip().lower()


def is_encoded(message: Message) -> bool:
    """Tell whether a body is compressed, or the like; we know no way to read such a one (A-MSG-26)."""
    return (message.headers.get("Content-Encoding") or "identity").strip().lower() not in ("identity", "")


def is_optional(message: Message) -> bool:
    """Tell whether who does not understand the body may do without (A-UAS-06, :rfc:`3261#section-20.11`)."""
    return _is_optional(message.headers.get("Content-Disposition") or "")


def body_parts(message: Message) -> list[Part]:
    """Return the parts of a message's body: one for a plain body, none for an empty one.

    A body that is encoded counts as none: who must understand it has refused it. Of multipart/related the root is first
    and all others are optional (:rfc:`2387`). Raise RemoteProtocolError with
    status 400 when a multipart body has no boundary or no end, 413 when it has too many parts.
    """
    content_type = message.content_type
    if not message.body or content_type is None or is_encoded(message):
        return []
    if content_type.full not in (MIXED, RELATED):
        return [Part(str(content_type), message.body, is_optional(message))]
    parts = [
        Part(part.content_type, part.body, _is_optional(part.disposition), part.content_id)
        for part in parse_parts(str(content_type), message.body)
    ]
    if content_type.full == RELATED:
        start = (content_type.param("start") or "").removeprefix("<").removesuffix(">")
        root = next((part for part in parts if start and part.content_id == start), parts[0])
        parts = [root, *(replace(part, optional=True) for part in parts if part is not root)]
    return parts


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


def find_part(message: Message, content_id: str) -> Part | None:
    """Return the part with that Content-ID, None when there is none. Raise as :func:`body_parts`."""
    return next((part for part in body_parts(message) if part.content_id == content_id), None)


def with_icon(description: bytes, content_id: str, content_type: str, icon: bytes) -> tuple[str, bytes]:
    """Return type and octets of a body with a session description and the icon that it names (D-FTM-10)."""
    boundary = ids.token(128)
    head = f"--{boundary}\r\nContent-Type: {SDP}\r\n\r\n"
    between = (
        f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <{content_id}>\r\nContent-Disposition: icon;handling=optional\r\n\r\n"
    )
    body = b"".join((head.encode(), description, between.encode(), icon, f"\r\n--{boundary}--\r\n".encode()))
    return f'{RELATED};type="{SDP}";boundary="{boundary}"', body


def _is_optional(disposition: str) -> bool:
    words = disposition.replace(" ", "").lower()
    return "handling=optional" in words or words.partition(";")[0] == "icon"
