"""Sound messages made unsound, the same way for the same seed: lines, values, numbers, octets."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

MAX_GROWN = 60_000
"""Octets of a mutated message: it has to fit into one datagram."""

NUMBERS = (b"0", b"-1", b"4294967296", b"18446744073709551616", b"9" * 200, b"00000000000000000001", b"1e9", b"0x10")
"""What stands in the place of a number."""

VALUES = (
    b"",
    b" ",
    b";",
    b",,,,",
    b'"',
    b"<",
    b"<sip:",
    b"<sip:@>",
    b"sip:a@b;tag=;tag=x",
    b"*",
    b"%00%0d%0a",
    b"\x00",
    b"\xff\xfe",
    "\u202e\u2028".encode(),
    b"[::1",
    b"a" * 9_000,
    b"SIP/2.0/UDP",
    b"SIP/2.0/UDP 255.255.255.255:99999;branch=z9hG4bK",
    b"text/plain; charset=",
    b"\r\n\t folded",
)
"""What stands in the place of a header's value."""

OCTETS = (b"\r\n", b"\r", b"\n", b"\x00", b"\r\n\r\n", b":", b" ", b"\t", b"\x80", b"%", b"{", b"}", b"[", b'"', b"\\")
"""What is put between octets."""

_NUMBER = re.compile(rb"[0-9]+")

Mutation = Callable[[random.Random, list[bytes]], list[bytes]]
"""Takes and returns the lines of a message."""


def mutate(chance: random.Random, data: bytes) -> bytes:
    """Return ``data`` with one to four things wrong."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        if chance.random() < 0.35:
            data = _octets(chance, data)
        else:
            data = b"\r\n".join(chance.choice(LINE_MUTATIONS)(chance, data.split(b"\r\n")))
    return data[:MAX_GROWN]


def _drop(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    del lines[chance.randrange(len(lines))]
    return lines


def _double(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    place = chance.randrange(len(lines))
    return lines[:place] + [lines[place]] * chance.choice((2, 2, 50)) + lines[place + 1 :]


def _move(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    line = lines.pop(chance.randrange(len(lines)))
    lines.insert(chance.randrange(len(lines) + 1), line)
    return lines


def _value(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    place = chance.randrange(len(lines))
    name, colon, _ = lines[place].partition(b":")
    lines[place] = name + colon + (b" " if colon else b"") + chance.choice(VALUES)
    return lines


def _number(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    numbered = [place for place, line in enumerate(lines) if _NUMBER.search(line)]
    if numbered:
        place = chance.choice(numbered)
        found = chance.choice(list(_NUMBER.finditer(lines[place])))
        line = lines[place]
        lines[place] = line[: found.start()] + chance.choice(NUMBERS) + line[found.end() :]
    return lines


def _start(chance: random.Random, lines: list[bytes]) -> list[bytes]:
    words = lines[0].split(b" ")
    words[chance.randrange(len(words))] = chance.choice(VALUES)
    lines[0] = b" ".join(words)
    return lines


LINE_MUTATIONS: tuple[Mutation, ...] = (_drop, _double, _move, _value, _value, _number, _number, _start)
"""What may happen to lines; what stands twice happens twice as often."""


def _octets(chance: random.Random, data: bytes) -> bytes:
    place = chance.randrange(len(data) + 1)
    match chance.randrange(4):
        case 0:
            return data[:place] + chance.choice(OCTETS) + data[place:]
        case 1:
            return data[:place] + data[place + chance.randrange(1, 20) :]
        case 2:
            return data[:place]
        case _:
            return data[:place] + chance.randbytes(chance.randrange(1, 8)) + data[place:]
