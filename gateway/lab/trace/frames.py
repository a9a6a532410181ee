"""Capture files: classic pcap and pcapng, read as a stream, and frames out of them.

Ours because no reader on PyPI is both kept up and fast enough (``docs/decisions.md``). Formats:
draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from gateway.lab.trace.losses import Damaged, Lose

MAX_FRAME = 1 << 20
"""Octets of one frame; no link carries more, and a damaged length field would have us read the rest of the file."""

MAX_INTERFACES = 1024

SECTION, INTERFACE, PACKET_OLD, PACKET_SIMPLE, PACKET = 0x0A0D0D0A, 1, 2, 3, 6
"""Block types of pcapng that matter here; others are passed over."""

BYTE_ORDER = 0x1A2B3C4D

CLASSIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}
"""First octets → byte order, and what a unit of the fraction of a second is."""

RESOLUTION, OFFSET = 9, 14
"""Options of an interface: unit of its time stamps, seconds to add to them."""


class Frame(NamedTuple):
    """One frame of a link."""

    at: float
    """Seconds since 1970."""
    link: int
    """Link type, as tcpdump numbers them."""
    data: bytes


@dataclass(slots=True)
class _Interface:
    link: int
    unit: float = 1e-6
    offset: int = 0


def is_capture(start: bytes) -> bool:
    """Tell whether a file that begins so is a capture."""
    return start[:4] in CLASSIC or start[:4] == SECTION.to_bytes(4, "big")


def read_frames(file: BinaryIO, lose: Lose) -> Iterator[Frame]:
    """Yield the frames of a capture. Raises Damaged when it is none; what breaks off later is told to ``lose``."""
    magic = file.read(4)
    if magic in CLASSIC:
        return _read_classic(file, *CLASSIC[magic], lose)
    if magic == SECTION.to_bytes(4, "big"):
        return _read_sections(file, lose)
    raise Damaged(f"{magic.hex(' ') or 'an empty file'} is the beginning of no capture")


def _read_classic(file: BinaryIO, order: str, unit: float, lose: Lose) -> Iterator[Frame]:
    head = file.read(20)
    if len(head) < 20:
        lose("the capture ends in its own header")
        return
    link = struct.unpack(f"{order}HHiIII", head)[5] & 0xFFFF
    record = struct.Struct(f"{order}IIII")
    read, size = file.read, record.size
    while len(head := read(size)) == size:
        seconds, fraction, length, _ = record.unpack(head)
        if length > MAX_FRAME:
            lose(f"a frame of {length} octets, which no link carries; the capture is damaged from there on")
            return
        data = read(length)
        if len(data) < length:
            lose("the capture breaks off in the middle of a frame")
            return
        yield Frame(seconds + fraction * unit, link, data)
    if head:
        lose("the capture breaks off in the middle of a frame")


def _read_sections(file: BinaryIO, lose: Lose) -> Iterator[Frame]:
    """Read blocks; the type of the first one, a section's, has been taken off."""
    kind, order = SECTION, "<"
    interfaces: list[_Interface] = []
    while True:
        if kind == SECTION:
            start = file.read(8)
            if len(start) < 8:
                lose("the capture breaks off in the header of a section")
                return
            order = "<" if struct.unpack("<I", start[4:])[0] == BYTE_ORDER else ">"
            interfaces = []
            (length,) = struct.unpack(f"{order}I", start[:4])
            done = 12
        else:
            start = file.read(4)
            (length,) = struct.unpack(f"{order}I", start) if len(start) == 4 else (0,)
            done = 8
        if not done + 4 <= length <= MAX_FRAME + 4096 or length % 4:
            lose(f"a block that says it has {length} octets; the capture is damaged from there on")
            return
        body = file.read(length - done)
        if len(body) < length - done:
            lose("the capture breaks off in the middle of a block")
            return
        if kind == INTERFACE and len(interfaces) < MAX_INTERFACES:
            interfaces.append(_interface(body[:-4], order))
        elif kind in (PACKET, PACKET_OLD, PACKET_SIMPLE):
            frame = _packet(kind, body[:-4], order, interfaces)
            if frame is None:
                lose("a frame of an interface that is not described")
            else:
                yield frame
        head = file.read(4)
        if len(head) < 4:
            if head:
                lose("the capture breaks off between two blocks")
            return
        (kind,) = struct.unpack(f"{order}I", head)


def _interface(body: bytes, order: str) -> _Interface:
    if len(body) < 8:
        return _Interface(-1)
    interface = _Interface(struct.unpack_from(f"{order}H", body)[0])
    place = 8
    while place + 4 <= len(body):
        code, length = struct.unpack_from(f"{order}HH", body, place)
        value = body[place + 4 : place + 4 + length]
        place += 4 + length + -length % 4
        if code == 0:
            break
        if code == RESOLUTION and value:
            exponent = value[0] & 0x7F
            interface.unit = 2.0**-exponent if value[0] & 0x80 else 10.0**-exponent
        elif code == OFFSET and len(value) == 8:
            (interface.offset,) = struct.unpack(f"{order}q", value)
    return interface


def _packet(kind: int, body: bytes, order: str, interfaces: list[_Interface]) -> Frame | None:
    """Return the frame of a packet block; None when its interface is not known."""
    if kind == PACKET_SIMPLE:
        if not interfaces or len(body) < 4:
            return None
        (length,) = struct.unpack_from(f"{order}I", body)
        return Frame(0.0, interfaces[0].link, body[4 : 4 + length])
    if len(body) < 20:
        return None
    number, high, low, length, _ = struct.unpack_from(f"{order}IIIII", body)
    if kind == PACKET_OLD:
        number &= 0xFFFF if order == "<" else 0xFFFF0000
        number = number if order == "<" else number >> 16
    if number >= len(interfaces):
        return None
    interface = interfaces[number]
    return Frame(((high << 32) + low) * interface.unit + interface.offset, interface.link, body[20 : 20 + length])
