"""From frames to what IP carries: link layers, IPv4, IPv6 and their fragments."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from gateway.lab.trace.frames import Frame
from gateway.lab.trace.losses import Lose

NULL, ETHERNET, RAW_BSD, RAW, LOOP, COOKED, IPV4, IPV6, COOKED_2 = 0, 1, 12, 101, 108, 113, 228, 229, 276
"""Link types that tcpdump writes on loopback, networks, tunnels and the 'any' interface."""

VLAN = (0x8100, 0x88A8, 0x9100)

TCP, UDP, FRAGMENT = 6, 17, 44
EXTENSIONS = (0, 43, 60, 135)
"""IPv6 headers that are passed over: hop-by-hop, routing, destination, mobility."""

MAX_FRAGMENTED = 256
"""Datagrams of which fragments may wait for the rest; the oldest is given up then."""


class Carried(NamedTuple):
    """A UDP datagram or a TCP segment with its addresses."""

    at: float
    protocol: int
    source: str
    target: str
    data: bytes


class _Parts:
    """Fragments of one datagram."""

    __slots__ = ("at", "end", "pieces")

    def __init__(self, at: float) -> None:
        self.at = at
        self.pieces: dict[int, bytes] = {}
        self.end: int | None = None

    def whole(self) -> bytes | None:
        """Return it when nothing is missing."""
        if self.end is None:
            return None
        data = bytearray()
        for start in sorted(self.pieces):
            if start > len(data):
                return None
            data[start:] = self.pieces[start]
        return bytes(data[: self.end]) if len(data) >= self.end else None


class Internet:
    """Reads frames one after the other; keeps fragments until they are whole."""

    def __init__(self, lose: Lose) -> None:
        self._lose = lose
        self._fragments: dict[tuple[object, ...], _Parts] = {}

    def read(self, frame: Frame) -> Carried | None:
        """Return what a frame carries; None for what is neither TCP nor UDP, or not whole yet."""
        packet = _packet_in(frame)
        if packet is None:
            return None
        version = packet[0] >> 4
        if version == 4 and len(packet) >= 20:
            return self._read_4(frame.at, packet)
        if version == 6 and len(packet) >= 40:
            return self._read_6(frame.at, packet)
        return None

    def end(self) -> None:
        """Tell what never became whole."""
        for _ in self._fragments:
            self._lose("a datagram of which fragments are missing")
        self._fragments.clear()

    def _read_4(self, at: float, packet: bytes) -> Carried | None:
        head = (packet[0] & 15) * 4
        total, number, place = struct.unpack_from("!HHH", packet, 2)
        data = packet[head : total or None]  # 0: the network card was to fill it in
        protocol, source, target = packet[9], _address(packet[12:16]), _address(packet[16:20])
        if total > len(packet):
            self._lose("a packet that was not captured whole")
        if place & 0x3FFF:
            key = (4, source, target, protocol, number)
            return self._gather(key, at, protocol, source, target, (place & 0x1FFF) * 8, not place & 0x2000, data)
        return Carried(at, protocol, source, target, data) if protocol in (TCP, UDP) else None

    def _read_6(self, at: float, packet: bytes) -> Carried | None:
        (length,) = struct.unpack_from("!H", packet, 4)
        protocol, source, target = packet[6], _address(packet[8:24]), _address(packet[24:40])
        data = packet[40 : 40 + length] if length else packet[40:]
        if length > len(packet) - 40:
            self._lose("a packet that was not captured whole")
        while protocol in EXTENSIONS and len(data) >= 8:
            protocol, data = data[0], data[(data[1] + 1) * 8 :]
        if protocol == FRAGMENT and len(data) >= 8:
            place, number = struct.unpack_from("!HI", data, 2)
            key = (6, source, target, number)
            return self._gather(key, at, data[0], source, target, place & 0xFFF8, not place & 1, data[8:])
        return Carried(at, protocol, source, target, data) if protocol in (TCP, UDP) else None

    def _gather(
        self,
        key: tuple[object, ...],
        at: float,
        protocol: int,
        source: str,
        target: str,
        start: int,
        last: bool,
        data: bytes,
    ) -> Carried | None:
        parts = self._fragments.get(key)
        if parts is None:
            if len(self._fragments) >= MAX_FRAGMENTED:
                del self._fragments[next(iter(self._fragments))]
                self._lose("a datagram of which fragments are missing")
            parts = self._fragments[key] = _Parts(at)
        parts.pieces[start] = data
        if last:
            parts.end = start + len(data)
        whole = parts.whole()
        if whole is None:
            return None
        del self._fragments[key]
        return Carried(at, protocol, source, target, whole) if protocol in (TCP, UDP) else None


def _packet_in(frame: Frame) -> bytes | None:
    """Return the IP packet in a frame; None when there is none."""
    link, data = frame.link, frame.data
    if link == ETHERNET:
        place, kind = 14, data[12:14]
        while len(kind) == 2 and int.from_bytes(kind, "big") in VLAN:
            place, kind = place + 4, data[place + 2 : place + 4]
    elif link == COOKED:
        place, kind = 16, data[14:16]
    elif link == COOKED_2:
        place, kind = 20, data[:2]
    elif link in (NULL, LOOP):
        place, kind = 4, b""
    elif link in (RAW, RAW_BSD, 14, IPV4, IPV6):
        place, kind = 0, b""
    else:
        return None
    if kind and kind not in (b"\x08\x00", b"\x86\xdd"):
        return None
    packet = data[place:]
    return packet if packet else None


@lru_cache(maxsize=4096)
def _address(octets: bytes) -> str:
    return str(ipaddress.ip_address(octets))


def read_internet(frames: Iterator[Frame], lose: Lose) -> Iterator[Carried]:
    """Yield what the IP packets in frames carry."""
    internet = Internet(lose)
    for frame in frames:
        carried = internet.read(frame)
        if carried is not None:
            yield carried
    internet.end()
