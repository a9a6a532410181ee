"""The baselines of the MSRP figures: the same octets by asyncio alone, with nothing made of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

BLOCK = 65_536
"""Octets that the raw stream writes and reads at a time; what asyncio's own streams hold."""


class Echo(asyncio.Protocol):
    """Sends each record of ``size`` octets back."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._data = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be there."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        """Take the records that are whole."""
        size, data = self._size, self._data + data if self._data else data
        for start in range(0, len(data) - size + 1, size):
            self.record_received(data[start : start + size])
        self._data = data[len(data) - len(data) % size :]

    def record_received(self, record: bytes) -> None:
        """Answer."""
        self._transport.write(record)


class Pinger(Echo):
    """Keeps ``depth`` records under way; calls ``tick`` for each that comes back, until that returns False."""

    def __init__(self, record: bytes, depth: int, tick: Callable[[], bool]) -> None:
        super().__init__(len(record))
        self._record = record
        self._depth = depth
        self._tick = tick

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first records."""
        super().connection_made(transport)
        for _ in range(self._depth):
            self._transport.write(self._record)

    def record_received(self, record: bytes) -> None:
        """Send the next one."""
        if self._tick():
            self._transport.write(self._record)


async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read a stream to its end and say so."""
    while await reader.read(BLOCK):
        pass
    writer.write(b".")
    writer.close()


async def pour(host: str, port: int, size: int) -> float:
    """Send ``size`` octets to :func:`swallow` and return the seconds until all have arrived."""
    reader, writer = await asyncio.open_connection(host, port)
    block = bytes(BLOCK)
    clock = asyncio.get_running_loop().time
    started = clock()
    for _ in range(size // BLOCK):
        writer.write(block)
        await writer.drain()
    writer.write_eof()
    await reader.read()
    seconds = clock() - started
    writer.close()
    return seconds
