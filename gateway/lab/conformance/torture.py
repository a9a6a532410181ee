"""Messages of ours for the defects and oddities that :rfc:`4475` and :rfc:`5118` describe, and what is asked of them.

Suites send them to targets, tests feed them to the parser. ``vectors/torture.toml`` says what each of them is about.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent / "vectors"

NAMES = ("guest01@ims.lab.example", "ims.lab.example")
"""Who is asked for in the messages: user and domain."""

_HEAD_END = b"\r\n\r\n"
_VIA = re.compile(rb"(?im)^(v|via)[ \t]*:")


@dataclass(frozen=True, slots=True)
class Vector:
    """One message."""

    name: str
    """As the RFC calls it."""
    id: str
    """``G-T01`` to ``G-T49``, ``G-V01`` to ``G-V12``."""
    section: str
    """``RFC 4475 3.1.1.1``"""
    defect: str
    """What is odd about it."""
    well_formed: bool
    """Whether our own parser accepts it."""
    answer: tuple[int, ...]
    """Status codes that are right for a user agent of ours; empty: no answer."""
    stream: str
    """What our own parser makes of it on a stream: message, two, error, wait or close."""
    verdict: str
    """What the section asks of any element: accept, reject, either or drop."""
    asked: tuple[int, ...] = ()
    """Codes that the section names."""
    unwanted: tuple[int, ...] = ()
    """Codes that the section speaks against for a user agent."""
    level: str = "must"
    """must, should or may."""

    @property
    def octets(self) -> bytes:
        """The message as it goes over the wire, with the names of :data:`NAMES` in it."""
        return (VECTORS / f"{self.name}.dat").read_bytes()


@cache
def vectors() -> dict[str, Vector]:
    """Return all of them by name, those of :rfc:`4475` first."""
    table = tomllib.loads((VECTORS / "torture.toml").read_text(encoding="utf-8"))
    return {name: Vector(name, **_frozen(entry)) for name, entry in table.items()}


def _frozen(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


def read_foreign(folder: Path, name: str) -> bytes:
    """Return a message as the RFC itself has it, from ``NAME.dat`` or ``NAME``; FileNotFoundError if there is none.

    Mended where the archives are not what the text shows: those of :rfc:`5118` have plain line breaks and lengths that
    do not fit, and one of :rfc:`4475` ends with its last header.
    """
    paths = [path for ending in (".dat", "") if (path := folder / (name + ending)).is_file()]
    if not paths:
        raise FileNotFoundError(f"{folder} has neither {name}.dat nor {name}")
    data = paths[0].read_bytes()
    if b"\r\n" not in data:
        head, _, body = data.replace(b"\n", b"\r\n").partition(_HEAD_END)
        data = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head) + _HEAD_END + body
    if _HEAD_END not in data:
        data += b"\r\n"
    return data
