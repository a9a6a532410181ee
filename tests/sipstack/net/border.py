"""A border element: rewrites session descriptions on their way through the core, and carries MSRP (RFC 6714, §6)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any, Literal

from sipstack import ids
from sipstack.msrp.framing import FrameSplitter
from sipstack.msrp.uri import parse_path
from sipstack.sdp import MediaDescription, SessionDescription
from sipstack.sip.message import Request, Response

HOST = "127.0.0.2"
"""Where it listens: another address of this machine."""

Mode = Literal["anchor", "translate", "adapt"]
"""``anchor``: changes ``c=`` and ``m=`` only. ``translate``: is an MSRP B2BUA, with URIs of its own on both sides.
``adapt``: anchors what says ``msrp-cema``, and translates all else, as RFC 6714 would have it (§6.2)."""


class Border:
    """Put its :meth:`rewrite` into a core."""

    def __init__(self, mode: Mode = "anchor") -> None:
        self.mode = mode
        self.connections = 0
        self.octets = 0
        self.descriptions: list[SessionDescription] = []
        """As they came."""
        self.ports: list[int] = []
        self._names: dict[str, str] = {}
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Border:
        return self

    async def __aexit__(self, *error: object) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def rewrite(self, message: Request | Response) -> None:
        """Change the session description in a message, if it has one."""
        if not message.body or message.headers.get("Content-Type") != "application/sdp":
            return
        description = SessionDescription.parse(message.body)
        self.descriptions.append(SessionDescription.parse(message.body))
        for medium in description.media:
            if medium.media == "message" and medium.port:
                self._rewrite(description, medium)
        message.body = bytes(description)

    def _rewrite(self, description: SessionDescription, medium: MediaDescription) -> None:
        uri = parse_path(medium.attribute("path") or "")[0]
        translates = self.mode == "translate" or (self.mode == "adapt" and medium.attribute("msrp-cema") is None)
        host = (medium.connection or description.connection or "") if not translates else uri.host
        port = medium.port if medium.port != 9 and not translates else uri.host_port[1]
        own = self._listen(host, port)
        description.lines = [("c", f"IN IP4 {HOST}") if line[0] == "c" else line for line in description.lines]
        medium.port = own
        if not translates:
            return
        alias = f"msrp://{HOST}:{own}/{ids.msrp_session_id()};tcp"
        self._names[str(uri)] = alias
        self._names[alias] = str(uri)
        medium.lines = [
            ("a", f"path:{alias}") if line[1].startswith("path:") else line
            for line in medium.lines
            if line[1] != "msrp-cema"
        ]

    def _listen(self, host: str, port: int) -> int:
        """Take connections for ``host`` and ``port``; return where."""
        listener = socket.create_server((HOST, 0))

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._spawn(self._carry(reader, writer, host, port))

        async def serve() -> None:
            self._servers.append(await asyncio.start_server(accept, sock=listener))

        self._spawn(serve())
        chosen: int = listener.getsockname()[1]
        self.ports.append(chosen)
        return chosen

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        self.connections += 1
        other_reader, other_writer = await asyncio.open_connection(host, port)
        try:
            await asyncio.gather(self._pump(reader, other_writer), self._pump(other_reader, writer))
        finally:
            writer.close()
            other_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameSplitter()
        while data := await reader.read(65536):
            self.octets += len(data)
            if self._names:
                data = b"".join(self._translate(frame) for frame in frames.receive_data(data))
            writer.write(data)
            await writer.drain()
        writer.close()

    def _translate(self, frame: bytes) -> bytes:
        """Put its own URIs in place of others, in the first two headers."""
        lines = frame.split(b"\r\n", 3)
        for number in (1, 2):
            name, _, path = lines[number].decode().partition(": ")
            lines[number] = f"{name}: {' '.join(self._names.get(uri, uri) for uri in path.split())}".encode()
        return b"\r\n".join(lines)
