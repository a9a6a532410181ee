"""What fits into a short message: the GSM 7-bit alphabet (3GPP TS 23.038 §6.2.1) and UCS-2 (§6.2.3)."""

from __future__ import annotations

SEGMENT_SEPTETS = 160
"""Characters of the 7-bit alphabet in one segment of 140 octets."""

PART_SEPTETS = 153
"""The same where a user data header of six octets says which part of a message it is (TS 23.040 §9.2.3.24.1)."""

SEGMENT_UNITS = 70
"""UTF-16 code units in one segment."""

PART_UNITS = 67
"""The same beside that header."""

ESCAPE = 0x1B

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
_CODES = {char: bytes((code,)) for code, char in enumerate(_BASIC) if code != ESCAPE} | {
    char: bytes((ESCAPE, code)) for char, code in _EXTENSION.items()
}


def encode(text: str) -> bytes | None:
    """Return a text in the 7-bit alphabet, a septet in each octet; None when it holds something else."""
    try:
        return b"".join([_CODES[char] for char in text])
    except KeyError:
        return None


def split(text: str) -> list[str]:
    """Return the parts that a text has to be sent in, one where it fits; nothing that belongs together is cut."""
    if encode(text) is not None:
        return _cut(text, SEGMENT_SEPTETS, PART_SEPTETS, {char: len(code) for char, code in _CODES.items()})
    return _cut(text, SEGMENT_UNITS, PART_UNITS, {char: 2 for char in text if ord(char) > 0xFFFF})


def _cut(text: str, whole: int, part: int, widths: dict[str, int]) -> list[str]:
    """Cut a text into parts of ``part``, unless ``whole`` is enough; a character counts 1, or what ``widths`` say."""
    if sum(widths.get(char, 1) for char in text) <= whole:
        return [text]
    parts, room = [""], part
    for char in text:
        width = widths.get(char, 1)
        if width > room:
            parts.append("")
            room = part
        parts[-1] += char
        room -= width
    return parts
