"""Captures made octet by octet, for the tests of what reads them."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence

from sipstack.flow import HostPort

ETHERNET, COOKED, COOKED_2, RAW, NULL = 1, 113, 276, 101, 0
TCP, UDP = 6, 17
SYN, FIN, ACK = 2, 1, 16


def classic(frames: Iterable[tuple[float, bytes]], link: int = ETHERNET, order: str = "<", nano: bool = False) -> bytes:
    """Return a pcap file."""
    unit = 1e9 if nano else 1e6
    data = struct.pack(f"{order}IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, link)
    for at, frame in frames:
        seconds = int(at)
        data += struct.pack(f"{order}IIII", seconds, round((at - seconds) * unit), len(frame), len(frame)) + frame
    return data


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Return a block of pcapng."""
    padded = body + bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", len(padded) + 12)
    return struct.pack(f"{order}I", kind) + length + padded + length


def section(order: str = "<") -> bytes:
    """Return the beginning of a section."""
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = ETHERNET, order: str = "<", options: bytes = b"") -> bytes:
    """Return the description of an interface."""
    return block(1, struct.pack(f"{order}HHI", link, 0, 0) + options, order)


def packet(at: float, frame: bytes, order: str = "<", number: int = 0, unit: float = 1e-6) -> bytes:
    """Return a block with a frame."""
    stamp = round(at / unit)
    head = struct.pack(f"{order}IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, head + frame, order)


def pcapng(frames: Iterable[tuple[float, bytes]], link: int = ETHERNET, order: str = "<") -> bytes:
    """Return a pcapng file of one interface."""
    return section(order) + interface(link, order) + b"".join(packet(at, frame, order) for at, frame in frames)


def ethernet(ip: bytes) -> bytes:
    """Return an Ethernet frame with an IP packet."""
    return bytes(12) + (b"\x86\xdd" if ip[0] >> 4 == 6 else b"\x08\x00") + ip


def ip(source: str, target: str, protocol: int, data: bytes, *, number: int = 0, place: int = 0) -> bytes:
    """Return an IP packet; ``place`` is the field of flags and fragment offset (IPv4)."""
    one, other = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if one.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(data), protocol, 64) + one.packed + other.packed + data
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), number, place, 64, protocol, 0)
    return head + one.packed + other.packed + data


def udp(source: HostPort, target: HostPort, data: bytes) -> bytes:
    """Return an IP packet with a datagram."""
    head = struct.pack("!HHHH", source[1], target[1], 8 + len(data), 0)
    return ip(source[0], target[0], UDP, head + data)


def tcp(source: HostPort, target: HostPort, number: int, data: bytes = b"", flags: int = ACK) -> bytes:
    """Return an IP packet with a TCP segment."""
    head = struct.pack("!HHIIBBHHH", source[1], target[1], number % (1 << 32), 0, 5 << 4, flags, 65535, 0, 0)
    return ip(source[0], target[0], TCP, head + data)


def stream(source: HostPort, target: HostPort, pieces: Sequence[bytes], first: int = 1000) -> list[bytes]:
    """Return the packets of one direction of a connection, from SYN on."""
    packets = [tcp(source, target, first, flags=SYN)]
    number = first + 1
    for piece in pieces:
        packets.append(tcp(source, target, number, piece))
        number += len(piece)
    return packets
