"""Our session descriptions in one session: which version of it they are (RFC 3264 §8)."""

from __future__ import annotations

from dataclasses import replace

from sipstack import ids
from sipstack.sdp import SessionDescription


class Wording:
    """Numbers the descriptions of one session: "the version in the origin field MUST increment by one" with each
    change, and stays where nothing has changed (A-OA-02)."""

    __slots__ = ("_changes", "_hash", "id", "said")

    def __init__(self) -> None:
        self.id = int(ids.token(32), 16)
        """Session id, and first version, in ``o=``."""
        self.said = b""
        """The newest description that the peer has not refused, as it was sent; empty where there is none."""
        self._changes = -1
        self._hash = 0

    def word(self, description: SessionDescription) -> bytes:
        """Return a description as it is sent."""
        worded = hash(str(description))
        if worded != self._hash:
            self._hash = worded
            self._changes += 1
        origin = replace(description.origin, version=self.id + self._changes)
        description.lines = [("o", str(origin)) if line[0] == "o" else line for line in description.lines]
        self.said = bytes(description)
        return self.said

    def unsay(self) -> None:
        """Take note that the peer has refused the newest description."""
        self.said = b""
