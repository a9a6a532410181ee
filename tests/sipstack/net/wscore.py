"""A WebSocket server of subprotocol sip, as a core has it (RFC 7118), which keeps what it was sent."""

from __future__ import annotations

import ssl
from pathlib import Path

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol


class WebSocketCore:
    """Says nothing by itself. With files of a certificate it speaks TLS."""

    def __init__(self, certificate: Path | None = None, key: Path | None = None, *, subprotocol: str = "sip") -> None:
        self.messages: list[str | bytes] = []
        self.connections: list[ServerConnection] = []
        self._subprotocol = Subprotocol(subprotocol)
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate, key)
        self._server: Server | None = None

    async def __aenter__(self) -> WebSocketCore:
        self._server = await serve(
            self._serve,
            *("127.0.0.1", 0),
            ssl=self._context,
            subprotocols=[self._subprotocol],
            ping_interval=None,
            close_timeout=0.2,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """Where it listens, at 127.0.0.1."""
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        async for message in connection:
            self.messages.append(message)
