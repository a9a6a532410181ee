"""Capture files as far as these tests need them: byte streams out of one, and messages into one."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from sipstack.flow import HostPort

Direction = tuple[HostPort, HostPort]
"""Source and destination."""

ETHERNET, RAW_IPV4 = 1, 228
"""Link types."""

TCP = 6
"""Protocol number of IP."""

SEGMENT = 30_000
"""Octets that one segment of ours holds; an IP packet takes 65 535."""

SYN, PSH_ACK = 0x02, 0x18


def read_packets(file: Path) -> Iterator[tuple[int, Direction, bytes]]:
    """Yield protocol number, direction and what IP carries, of each IPv4 packet in a capture of loopback."""
    data = file.read_bytes()
    magic, link = struct.unpack_from("<I", data)[0], struct.unpack_from("<I", data, 20)[0]
    assert (magic in (0xA1B2C3D4, 0xA1B23C4D), link) == (True, ETHERNET)
    offset = 24
    while offset + 16 <= len(data):
        (length,) = struct.unpack_from("<I", data, offset + 8)
        packet = data[offset + 16 : offset + 16 + length]
        offset += 16 + length
        if packet[12:14] != b"\x08\x00":
            continue
        packet = packet[14:]
        head = (packet[0] & 15) * 4
        (total,) = struct.unpack_from("!H", packet, 2)
        carried = packet[head : total or None]
        ports = struct.unpack_from("!HH", carried)
        source, destination = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        yield packet[9], ((source, ports[0]), (destination, ports[1])), carried


def tcp_streams(file: Path) -> dict[Direction, bytes]:
    """Return what each direction of each TCP connection carried, put together by sequence numbers."""
    streams: dict[Direction, bytearray] = {}
    starts: dict[Direction, int] = {}
    for protocol, direction, carried in read_packets(file):
        if protocol != TCP:
            continue
        (number,), flags = struct.unpack_from("!I", carried, 4), carried[13]
        if flags & SYN:
            starts[direction] = number + 1
            streams[direction] = bytearray()
            continue
        payload = carried[(carried[12] >> 4) * 4 :]
        place = (number - starts[direction]) % (1 << 32)
        if payload and place <= len(streams[direction]):  # else a keep-alive probe of the octet before
            streams[direction][place : place + len(payload)] = payload
    return {direction: bytes(stream) for direction, stream in streams.items() if stream}


def write_segments(file: Path, messages: Iterable[tuple[Direction, bytes]]) -> None:
    """Write a capture in which each message begins a TCP segment of its own."""
    sent: dict[Direction, int] = {}
    with file.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, RAW_IPV4))
        for direction, message in messages:
            for start in range(0, len(message), SEGMENT):
                piece = message[start : start + SEGMENT]
                place = sent.get(direction, 1)
                sent[direction] = place + len(piece)
                packet = _segment(direction, place, piece)
                out.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)


def _segment(direction: Direction, number: int, payload: bytes) -> bytes:
    (source, source_port), (destination, destination_port) = direction
    tcp = struct.pack("!HHIIBBHHH", source_port, destination_port, number, 1, 5 << 4, PSH_ACK, 65535, 0, 0)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40 + len(payload), 0, 0, 64, TCP, 0)
    return head + socket.inet_aton(source) + socket.inet_aton(destination) + tcp + payload
