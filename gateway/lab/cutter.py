"""A wire that can be cut: hands TCP connections on to a server and breaks them, in the middle of a message too."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from gateway.lab.part import Part
from sipstack.flow import HostPort

PIECE = 4096
"""Octets handed on at a time."""


class Cutter(Part):
    """Listens on a free port and connects each caller with ``target``, which is set before the first one comes.

    ``limit()`` returns after how many octets from a caller its connection is cut, or None: asked for each piece.
    """

    def __init__(self, host: str, limit: Callable[[], int | None] = lambda: None) -> None:
        self.target: HostPort = (host, 0)
        self.cuts: deque[int] = deque()
        """After how many octets each of the next connections is cut; :attr:`done` counts them."""
        self.done = 0
        self._host = host
        self._limit = limit
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.address: HostPort = (host, 0)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, self._host, 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = (host, port)

    async def close(self) -> None:
        """Stop listening and cut everything."""
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()

    def cut(self) -> None:
        """Break all connections now: both sides get a reset."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            return
        pair = {writer, there}
        self._writers |= pair
        cut = self.cuts.popleft() if self.cuts else None
        with suppress(OSError):
            limit = self._limit if cut is None else lambda: cut
            await asyncio.gather(self._carry(reader, there, limit), self._carry(there_reader, writer, lambda: None))
        for end in pair:
            end.close()
        self._writers -= pair

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: Callable[[], int | None]
    ) -> None:
        passed = 0
        while data := await reader.read(PIECE):
            left = limit()
            if left is not None and passed + len(data) > left:
                writer.write(data[: max(left - passed, 0)])
                await writer.drain()
                self.done += 1
                self.cut()
                return
            passed += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()
