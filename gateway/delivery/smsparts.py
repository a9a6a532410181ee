"""Texts as SMPP carries them: alphabets, and how a long text is cut (3GPP TS 23.038, TS 23.040 §9.2.3.24)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gateway.delivery import gsm

Alphabet = Literal["gsm", "latin1", "ucs2"]
Joining = Literal["udh8", "udh16", "sar", "payload"]
"""How the parts of a long text are told to belong together: a header in each with a reference of 8 or 16 bits, optional
parameters from which the server makes such a header, or not cut at all."""

CODINGS = {"gsm": 0, "latin1": 3, "ucs2": 8}
"""``data_coding`` of SMPP 3.4 §5.2.19; 0 is the server's default alphabet, which is nearly always GSM's."""

SINGLE = {"gsm": 160, "latin1": 140, "ucs2": 140}
"""Octets of one short message without a header, as SMPP has them: GSM's septets are not packed."""

UDH8 = {"gsm": 153, "latin1": 134, "ucs2": 134}
UDH16 = {"gsm": 152, "latin1": 133, "ucs2": 132}
"""Octets beside the header of 6 or 7; no character of UCS-2 is torn."""

UDHI = 0x40
"""Bit of ``esm_class``: the text begins with a header (SMPP 3.4 §5.2.12)."""

MAX_PARTS = 10
"""Short messages of one text: what an invitation may cost. Ours have one, rarely two."""


class TooLong(ValueError):
    """A text would need more than :data:`MAX_PARTS` short messages."""


@dataclass(frozen=True, slots=True)
class ShortMessages:
    """A text, ready to be submitted."""

    alphabet: Alphabet
    parts: tuple[bytes, ...]
    """Octets of each part, without any header."""

    reference: int = 0
    joining: Joining = "udh8"

    @property
    def coding(self) -> int:
        """``data_coding`` of all parts."""
        return CODINGS[self.alphabet]

    @property
    def is_long(self) -> bool:
        """Tell whether it is more than one short message to the phone."""
        return len(self.parts) > 1 or len(self.parts[0]) > SINGLE[self.alphabet]

    def numbered(self) -> Iterator[tuple[int, bytes]]:
        """Give ``esm_class`` and octets of each part, with the header that ties them together where there is one."""
        total = len(self.parts)
        for number, octets in enumerate(self.parts, start=1):
            if total == 1 or self.joining in ("sar", "payload"):
                yield 0, octets
            elif self.joining == "udh8":
                yield UDHI, bytes([5, 0, 3, self.reference & 0xFF, total, number]) + octets
            else:
                yield UDHI, bytes([6, 8, 4, self.reference >> 8 & 0xFF, self.reference & 0xFF, total, number]) + octets


def short_messages(
    text: str, *, alphabet: Alphabet = "gsm", joining: Joining = "udh8", reference: int = 0
) -> ShortMessages:
    """Cut a text into short messages, in ``alphabet`` where that has all its characters, else in UCS-2.

    ``reference`` tells the parts of one text from those of another. Raises :class:`TooLong`.
    """
    characters = _characters(text, alphabet)
    if characters is None:
        alphabet, characters = "ucs2", [_ucs2(character) for character in text]
    parts = tuple(_pack(characters, SINGLE[alphabet]))
    if len(parts) > 1 and joining == "payload":
        parts = (b"".join(characters),)
    elif len(parts) > 1:
        parts = tuple(_pack(characters, (UDH8 if joining == "udh8" else UDH16)[alphabet]))
    if len(parts) > MAX_PARTS:
        raise TooLong(f"The text needs {len(parts)} short messages; {MAX_PARTS} are allowed.")
    return ShortMessages(alphabet, parts, reference, joining)


def _characters(text: str, alphabet: Alphabet) -> list[bytes] | None:
    """Return the octets of each character, none of which may be torn; None where the alphabet lacks one."""
    match alphabet:
        case "gsm":
            known = [gsm.encode(character) for character in text]
            return None if None in known else [octets for octets in known if octets is not None]
        case "latin1":
            try:
                return [character.encode("latin-1") for character in text]
            except UnicodeEncodeError:
                return None
        case "ucs2":
            return [_ucs2(character) for character in text]


def _ucs2(text: str) -> bytes:
    """Return UTF-16 without mark; half of a surrogate pair, which nobody types, becomes a question mark."""
    return text.encode("utf-16-be", "replace")


def _pack(characters: list[bytes], room: int) -> Iterator[bytes]:
    part = bytearray()
    for octets in characters:
        if len(part) + len(octets) > room:
            yield bytes(part)
            part.clear()
        part += octets
    yield bytes(part)
