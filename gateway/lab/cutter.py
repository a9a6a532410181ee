"""A wire that can be cut: hands TCP connections on to a server and breaks them, in the middle of a message too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from sipstack.flow import HostPort

PIECE = 4096
"""Octets handed on at a time; how exactly the place of the cut is met."""


class Cutter:
    """Listens on a free port and connects each caller with ``target``, which is set before the first one comes.

    ``limit()`` returns after how many octets from a caller its connection is cut, or None: asked for each piece.
    """

    def __init__(self, host: str, limit: Callable[[], int | None]) -> None:
        self.target: HostPort = (host, 0)
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
        with suppress(OSError):
            await asyncio.gather(self._carry(reader, there, counted=True), self._carry(there_reader, writer))
        for end in pair:
            end.close()
        self._writers -= pair

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: bool = False) -> None:
        passed = 0
        while data := await reader.read(PIECE):
            passed += len(data)
            limit = self._limit() if counted else None
            if limit is not None and passed > limit:
                self.cut()
                return
            writer.write(data)
            await writer.drain()
        writer.close()
