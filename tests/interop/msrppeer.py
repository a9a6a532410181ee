"""An MSRP endpoint of a few lines that shares nothing with our stack, for peers that speak SIP only.

It listens, takes every SEND, answers 200, and can send a message on the connection that a SEND came by.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from types import TracebackType
from typing import Self

from gateway.lab.ports import free_port

HOST = "127.0.0.1"

FRAME_LIMIT = 1 << 20
"""Octets of one chunk that are taken."""

PATIENCE = 20.0
"""Seconds to wait for what should come at once."""


class MsrpPeer:
    """Listens on a free port; bodies of complete messages that arrived are in ``bodies``."""

    def __init__(self) -> None:
        self.port = free_port(HOST)
        self.bodies: list[bytes] = []
        self.answers: list[str] = []
        """Status of each response to a SEND of ours."""
        self.paths: tuple[str, str] | None = None
        """The gateway's path and ours, as the last SEND had them."""
        self._changed = asyncio.Condition()
        self._partial: dict[str, bytes] = {}
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=FRAME_LIMIT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first = await reader.readuntil(b"\r\n")
                transaction = first.split(b" ")[1]
                frame = await reader.readuntil(b"-------" + transaction)
                flag = (await reader.readexactly(3))[:1]
                async with self._changed:
                    self._take(first, frame, flag, writer)
                    self._changed.notify_all()

    def _take(self, first: bytes, frame: bytes, flag: bytes, writer: asyncio.StreamWriter) -> None:
        _, transaction, what = first.decode().split(maxsplit=2)
        if what[0].isdigit():
            self.answers.append(what.strip())
            return
        head, _, body = frame.removesuffix(f"-------{transaction}".encode()).partition(b"\r\n\r\n")
        fields = dict(re.findall(r"(?m)^([\w-]+): *(.*?)\r?$", head.decode()))
        self.paths = fields["From-Path"], fields["To-Path"]
        if what.strip() != "SEND":
            return
        writer.write(
            f"MSRP {transaction} 200 OK\r\nTo-Path: {fields['From-Path']}\r\nFrom-Path: {fields['To-Path']}\r\n"
            f"-------{transaction}$\r\n".encode()
        )
        whole = self._partial.pop(fields["Message-ID"], b"") + body.removesuffix(b"\r\n")
        if flag == b"+":
            self._partial[fields["Message-ID"]] = whole
        elif flag == b"$" and whole:
            self.bodies.append(whole)

    async def send(self, text: str) -> None:
        """Send a text on the connection that came last; it has to bring a SEND, even an empty one, first."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: self.paths is not None)
        assert self.paths is not None
        transaction, body = secrets.token_hex(8), text.encode()
        self._writers[-1].write(
            f"MSRP {transaction} SEND\r\nTo-Path: {self.paths[0]}\r\nFrom-Path: {self.paths[1]}\r\n"
            f"Message-ID: {secrets.token_hex(8)}\r\nByte-Range: 1-{len(body)}/{len(body)}\r\n"
            f"Content-Type: text/plain\r\n\r\n{text}\r\n-------{transaction}$\r\n".encode()
        )

    async def wait_for_answer(self, status: str) -> None:
        """Wait for a response to a SEND of ours."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: any(answer.startswith(status) for answer in self.answers))

    async def wait_for_body(self, text: str) -> None:
        """Wait for a message that holds ``text``, wrapped in CPIM or not."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: any(text.encode() in body for body in self.bodies))
