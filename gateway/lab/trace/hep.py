"""HEP version 3, by which capture agents send packets to Homer: chunks of type and length in a frame.

What Kamailio's ``siptrace``, heplify and others send, over UDP or as a stream, alone or inside a capture.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gateway.lab.trace.losses import Lose
from sipstack.flow import HostPort

MAGIC = b"HEP3"
MAX_LENGTH = 65_535

FAMILY, PROTOCOL, SOURCE_4, TARGET_4, SOURCE_6, TARGET_6, SOURCE_PORT, TARGET_PORT = range(1, 9)
SECONDS, MICROSECONDS, KIND, AGENT, PAYLOAD, CORRELATION = 9, 10, 11, 12, 15, 17

IPV4, IPV6 = 2, 10
TRANSPORTS = {6: "TCP", 17: "UDP", 132: "SCTP"}
NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132, "TLS": 6, "WS": 6, "WSS": 6}

SIP, PLAIN = 1, 100
"""Types of payload: SIP, and text of any kind."""


@dataclass(slots=True)
class HepPacket:
    """One packet."""

    at: float
    """Seconds since 1970."""
    transport: str
    source: HostPort
    target: HostPort
    data: bytes
    kind: int = SIP
    agent: int = 0
    """Who captured it."""
    correlation: str = ""
    """What the agent holds to belong together."""

    def __bytes__(self) -> bytes:
        """Return the packet as a HEP frame. Raises ValueError for a payload that does not fit into one."""
        source, target = ipaddress.ip_address(self.source[0]), ipaddress.ip_address(self.target[0])
        six = source.version == 6
        seconds = int(self.at)
        chunks = [
            (FAMILY, bytes([IPV6 if six else IPV4])),
            (PROTOCOL, bytes([NUMBERS.get(self.transport, 17)])),
            (SOURCE_6 if six else SOURCE_4, source.packed),
            (TARGET_6 if six else TARGET_4, target.packed),
            (SOURCE_PORT, struct.pack("!H", self.source[1])),
            (TARGET_PORT, struct.pack("!H", self.target[1])),
            (SECONDS, struct.pack("!I", seconds)),
            (MICROSECONDS, struct.pack("!I", round((self.at - seconds) * 1e6) % 1_000_000)),
            (KIND, bytes([self.kind])),
            (AGENT, struct.pack("!I", self.agent)),
            (PAYLOAD, self.data),
        ]
        if self.correlation:
            chunks.append((CORRELATION, self.correlation.encode()))
        if 6 + sum(6 + len(value) for _, value in chunks) > MAX_LENGTH:
            raise ValueError(f"{len(self.data)} octets do not fit into a HEP packet")
        body = b"".join(struct.pack("!HHH", 0, kind, 6 + len(value)) + value for kind, value in chunks)
        return MAGIC + struct.pack("!H", 6 + len(body)) + body


def parse_hep(data: bytes) -> HepPacket | None:
    """Return the packet of a HEP frame; None for what is none, or lacks an address."""
    if len(data) < 6 or data[:4] != MAGIC:
        return None
    (end,) = struct.unpack_from("!H", data, 4)
    if end > len(data):
        return None
    chunks: dict[int, bytes] = {}
    place = 6
    while place + 6 <= end:
        vendor, kind, length = struct.unpack_from("!HHH", data, place)
        if length < 6 or place + length > end:
            return None
        if vendor == 0:
            chunks[kind] = data[place + 6 : place + length]
        place += length
    try:
        source = ipaddress.ip_address(chunks.get(SOURCE_4) or chunks[SOURCE_6])
        target = ipaddress.ip_address(chunks.get(TARGET_4) or chunks[TARGET_6])
    except (KeyError, ValueError):
        return None
    return HepPacket(
        at=_number(chunks, SECONDS) + _number(chunks, MICROSECONDS) / 1e6,
        transport=TRANSPORTS.get(_number(chunks, PROTOCOL), "UDP"),
        source=(str(source), _number(chunks, SOURCE_PORT) & 0xFFFF),
        target=(str(target), _number(chunks, TARGET_PORT) & 0xFFFF),
        data=chunks.get(PAYLOAD, b""),
        kind=_number(chunks, KIND),
        agent=_number(chunks, AGENT),
        correlation=chunks.get(CORRELATION, b"").decode("utf-8", "replace"),
    )


def _number(chunks: dict[int, bytes], kind: int) -> int:
    return int.from_bytes(chunks.get(kind, b"")[:4], "big")


def read_hep(file: BinaryIO, lose: Lose) -> Iterator[HepPacket]:
    """Yield the packets of a file that is a stream of HEP frames."""
    while head := file.read(6):
        if len(head) < 6 or head[:4] != MAGIC:
            lose("octets between HEP packets that are none; nothing behind them was read")
            return
        (length,) = struct.unpack("!H", head[4:])
        body = file.read(max(0, length - 6))
        packet = parse_hep(head + body)
        if packet is None:
            lose("a HEP packet that is damaged")
        else:
            yield packet
