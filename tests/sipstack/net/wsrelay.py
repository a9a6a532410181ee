"""A small MSRP relay for WebSockets (RFC 7977), which keeps what it was sent."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from sipstack.msrp.chunk import BadRequest, Chunk, Frame, MsrpResponse, OtherRequest, Report
from sipstack.msrp.parser import ChunkParser
from sipstack.msrp.uri import MsrpUri
from sipstack.net.tls import Tls

from .certificates import write_certificate


class WebSocketRelay:
    """Answers AUTH without asking who it is, and hands messages that are for itself back to who sent them."""

    def __init__(self, folder: Path, *, subprotocol: str = "msrp") -> None:
        certificate, key = write_certificate(folder, "relay")
        self.messages: list[str | bytes] = []
        self.frames: list[Frame] = []
        self.connections: list[ServerConnection] = []
        self.use_path = True
        self.as_text = False
        """Whether to send text frames, as a browser would."""
        self.tls = Tls(authorities=certificate)
        """For clients that believe this relay."""
        self._subprotocol = Subprotocol(subprotocol)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._server: Server | None = None

    async def __aenter__(self) -> WebSocketRelay:
        self._server = await serve(
            self._serve,
            *("127.0.0.1", 0),
            ssl=self._context,
            subprotocols=[self._subprotocol],
            ping_interval=None,
            close_timeout=0.2,  # clients that a test has made deaf are not waited for
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def uri(self) -> MsrpUri:
        """Where to reach it."""
        return MsrpUri("msrps", "127.0.0.1", self.port, None, "ws")

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def send(self, *frames: bytes) -> None:
        """Send a WebSocket message for each frame, in two WebSocket frames."""
        for frame in frames:
            half = len(frame) // 2
            parts = (frame[:half], frame[half:])
            await self.connections[-1].send([part.decode() for part in parts] if self.as_text else parts)

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        async for message in connection:
            self.messages.append(message)
            # Of each message alone: it has to hold exactly one whole frame.
            parser = ChunkParser()
            parser.receive_data(message.encode() if isinstance(message, str) else message)
            frame = parser.next_frame()
            assert frame is not None and parser.next_frame() is None
            self.frames.append(frame)
            await self._receive(frame)

    async def _receive(self, frame: Frame) -> None:
        match frame:
            case OtherRequest(method="AUTH"):
                path = f"msrps://127.0.0.1:{self.port}/s{len(self.frames)};tcp"
                headers = (("Use-Path", path), ("Expires", "900")) if self.use_path else (("Expires", "900"),)
                to_path = frame.from_path
                await self.send(bytes(MsrpResponse(frame.transaction_id, 200, "OK", to_path, frame.to_path, headers)))
            case Chunk(failure_report="yes"):
                local = frame.to_path.partition(" ")[0]
                await self.send(bytes(MsrpResponse(frame.transaction_id, 200, "OK", frame.from_path, local)))
            case Chunk() | Report() | MsrpResponse() | OtherRequest() | BadRequest():
                await asyncio.sleep(0)
