"""From IP to bytes in the order in which they were sent: UDP datagrams, and TCP streams put together."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.lab.trace.internet import TCP, Carried
from gateway.lab.trace.losses import Lose
from sipstack.flow import HostPort

WAITING_OCTETS = 1 << 20
"""What may wait behind a gap of a stream; then the gap is taken as a loss of the capture."""

MAX_STREAMS = 65_536
"""Directions of connections that are kept in mind; the one that has been silent the longest is forgotten."""

FIN, SYN, RST = 1, 2, 4
HALF, WHOLE = 1 << 31, 1 << 32


class Sent(NamedTuple):
    """Bytes from one address to another: a datagram, or the next piece of a stream."""

    at: float
    transport: str
    """UDP or TCP."""
    source: HostPort
    target: HostPort
    data: bytes
    opens: bool = False
    """It is the first that is known of a stream."""
    gap: bool = False
    """Something of the stream is missing in front of it."""


class _Stream:
    """One direction of a connection."""

    __slots__ = ("fresh", "held", "next", "waiting")

    def __init__(self, number: int) -> None:
        self.next = number
        self.waiting: dict[int, tuple[float, bytes]] = {}
        self.held = 0
        self.fresh = True


class Streams:
    """Puts TCP segments in order."""

    def __init__(self, lose: Lose) -> None:
        self._lose = lose
        self._streams: dict[tuple[HostPort, HostPort], _Stream] = {}

    def read(self, carried: Carried) -> Iterable[Sent]:
        """Return what a packet lets be read on."""
        data = carried.data
        if len(data) < 8:
            return ()
        ports = struct.unpack_from("!HH", data)
        source, target = (carried.source, ports[0]), (carried.target, ports[1])
        if carried.protocol != TCP:
            return (Sent(carried.at, "UDP", source, target, data[8:]),) if len(data) > 8 else ()
        if len(data) < 20:
            return ()
        (number,), flags = struct.unpack_from("!I", data, 4), data[13]
        return self._segment(carried.at, source, target, number, flags, data[(data[12] >> 4) * 4 :])

    def _segment(
        self, at: float, source: HostPort, target: HostPort, number: int, flags: int, data: bytes
    ) -> Iterable[Sent]:
        key = (source, target)
        stream = self._streams.get(key)
        if flags & SYN:
            self._streams[key] = _Stream((number + 1) % WHOLE)
            return ()
        if stream is None:
            if not data:
                return ()
            if len(self._streams) >= MAX_STREAMS:
                del self._streams[next(iter(self._streams))]
            stream = self._streams[key] = _Stream(number)
        found: list[Sent] = []
        if data:
            found = self._take(stream, at, source, target, number, data)
        if flags & (FIN | RST):
            found += self._skip(stream, source, target)
            self._streams.pop(key, None)
        return found

    def _take(
        self, stream: _Stream, at: float, source: HostPort, target: HostPort, number: int, data: bytes
    ) -> list[Sent]:
        ahead = (number - stream.next) % WHOLE
        if ahead >= HALF:  # begins with what is known: sent again, or a keep-alive of one octet
            behind = WHOLE - ahead
            if behind >= len(data):
                return []
            data, ahead = data[behind:], 0
        if ahead:
            kept = stream.waiting.get(number)
            if kept is None or len(kept[1]) < len(data):
                stream.held += len(data) - (len(kept[1]) if kept is not None else 0)
                stream.waiting[number] = (at, data)
            return self._skip(stream, source, target) if stream.held > WAITING_OCTETS else []
        found = [self._pass(stream, at, source, target, data)]
        found += self._follow(stream, source, target)
        return found

    def _pass(
        self, stream: _Stream, at: float, source: HostPort, target: HostPort, data: bytes, gap: bool = False
    ) -> Sent:
        sent = Sent(at, "TCP", source, target, data, stream.fresh, gap)
        stream.fresh = False
        stream.next = (stream.next + len(data)) % WHOLE
        return sent

    def _follow(self, stream: _Stream, source: HostPort, target: HostPort) -> Iterator[Sent]:
        """Yield what waited for what has just come."""
        while stream.waiting:
            number = min(stream.waiting, key=lambda place: (place - stream.next + HALF) % WHOLE)
            ahead = (number - stream.next) % WHOLE
            if 0 < ahead < HALF:
                return
            at, data = stream.waiting.pop(number)
            stream.held -= len(data)
            behind = (WHOLE - ahead) % WHOLE
            if behind < len(data):
                yield self._pass(stream, at, source, target, data[behind:])

    def _skip(self, stream: _Stream, source: HostPort, target: HostPort) -> list[Sent]:
        """Go on behind gaps that will not be filled any more."""
        found: list[Sent] = []
        while stream.waiting:
            number = min(stream.waiting, key=lambda place: (place - stream.next) % WHOLE)
            self._lose("octets of a TCP connection that were not captured")
            stream.next = number
            at, data = stream.waiting.pop(number)
            stream.held -= len(data)
            found.append(self._pass(stream, at, source, target, data, gap=True))
            found += self._follow(stream, source, target)
        return found

    def end(self) -> Iterator[Sent]:
        """Yield what is left behind gaps."""
        for (source, target), stream in self._streams.items():
            yield from self._skip(stream, source, target)
        self._streams.clear()


def read_segments(packets: Iterable[Carried], lose: Lose) -> Iterator[Sent]:
    """Yield datagrams and pieces of streams in the order in which they can be read."""
    streams = Streams(lose)
    for packet in packets:
        yield from streams.read(packet)
    yield from streams.end()
