"""What a multimedia message shows: a picture over a text, laid out by SMIL, in a MIME multipart."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

MAX_PICTURE = 100 * 1024
"""Octets of a picture: with its text it fits a message of class "image basic" on every phone."""

SECONDS = 30
"""How long a phone shows the only page of it, unless its reader turns it."""

SMIL = f"""\
<smil><head><layout><root-layout width="100%" height="100%"/>\
<region id="Image" width="100%" height="50%" left="0" top="0" fit="meet"/>\
<region id="Text" width="100%" height="50%" left="0" top="50%" fit="scroll"/></layout></head>\
<body><par dur="{SECONDS}s"><img src="cid:picture" region="Image"/><text src="cid:text" region="Text"/></par></body>\
</smil>
"""

_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class PictureError(ValueError):
    """A picture that no phone shows."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a multipart."""

    content_type: str
    content_id: str
    body: bytes
    location: str = ""

    def lines(self) -> bytes:
        """Return its header, with the empty line."""
        encoding = "binary" if self.content_type.startswith(("image/", "multipart/")) else "8bit"
        fields = {
            "Content-Type": self.content_type,
            "Content-ID": f"<{self.content_id}>",
            "Content-Transfer-Encoding": encoding,
        }
        if self.location:
            fields["Content-Location"] = self.location
        return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("ascii") + b"\r\n"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and what it is."""

    content_type: str
    octets: bytes


def read_picture(path: Path | None) -> Picture:
    """Return the operator's picture, or ours. Raises :class:`PictureError`, OSError."""
    if path is None:
        octets = resources.files("gateway.delivery").joinpath("templates", "invitation.png").read_bytes()
    else:
        octets = path.read_bytes()
    if len(octets) > MAX_PICTURE:
        raise PictureError(f"has {len(octets)} octets; a phone may refuse more than {MAX_PICTURE}")
    for magic, content_type in _MAGIC.items():
        if octets.startswith(magic):
            return Picture(content_type, octets)
    raise PictureError("is neither PNG nor JPEG nor GIF")


def multipart(parts: list[Part], boundary: str) -> bytes:
    """Return the body of a multipart (:rfc:`2046#section-5.1.1`); ``boundary`` stands in none of the parts."""
    lines = [b"--" + boundary.encode("ascii") + b"\r\n" + part.lines() + part.body + b"\r\n" for part in parts]
    return b"".join([*lines, b"--", boundary.encode("ascii"), b"--\r\n"])


def message_part(text: str, picture: Picture, *, content_id: str, boundary: str) -> Part:
    """Return a message as one part: SMIL, text and picture (:rfc:`2387`)."""
    suffix = picture.content_type.partition("/")[2]
    parts = [
        Part("application/smil; charset=utf-8", "smil", SMIL.encode()),
        Part("text/plain; charset=utf-8", "text", text.encode(), "text.txt"),
        Part(picture.content_type, "picture", picture.octets, f"picture.{suffix}"),
    ]
    content_type = f'multipart/related; type="application/smil"; start="<smil>"; boundary="{boundary}"'
    return Part(content_type, content_id, multipart(parts, boundary))
