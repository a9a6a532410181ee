"""The receiving process of the MSRP figures: takes messages and files, and beside them what the baselines send.

Two lines on the control connection make a session: ``file`` or ``message``, and the sender's path. The answer is the
path to send to.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from gateway.lab.bench.msrpraw import Echo, swallow
from gateway.lab.run import loop_factory, ready
from sipstack.msrp.message import IncomingMessage
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.stream import IncomingStream
from sipstack.msrp.uri import parse_path
from sipstack.net.hub import MsrpHub

MESSAGE_SIZE = 500
"""Octets of a message, and of a record of its baseline."""
MAX_SIZE = 1 << 30
HIGH_WATER, LOW_WATER = 4 << 20, 1 << 20
"""Octets that wait for the disk when reading stops, and when it goes on; as in the gateway's spool."""


class FileSink:
    """Writes and hashes the octets of one file in a thread, as the gateway does; they must come in order."""

    def __init__(self, path: Path, thread: ThreadPoolExecutor, pause: Callable[[bool], object]) -> None:
        path.unlink(missing_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT)
        self._digest = hashlib.sha256()
        self._thread = thread
        self._pause = pause
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._work: asyncio.Future[None] | None = None

    def write(self, start: int, data: bytes) -> None:
        """Take the next octets."""
        self._waiting.append(data)
        self._waiting_size += len(data)
        if self._work is None:
            self._begin()
        elif self._waiting_size > HIGH_WATER:
            self._pause(True)

    def _begin(self) -> None:
        pieces, self._waiting = self._waiting, []
        self._waiting_size = 0
        self._work = asyncio.get_running_loop().run_in_executor(self._thread, self._store, pieces)
        self._work.add_done_callback(self._stored)

    def _store(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            os.write(self._file, piece)
            self._digest.update(piece)

    def _stored(self, work: asyncio.Future[None]) -> None:
        work.result()
        self._work = None
        if self._waiting:
            self._begin()
        if self._waiting_size < LOW_WATER:
            self._pause(False)

    async def close(self) -> str:
        """Wait until everything is written and return the SHA-256."""
        while self._work is not None:
            await asyncio.wait([self._work])
        os.close(self._file)
        return self._digest.hexdigest()


class Peer:
    """Owns the sessions and accepts what they bring; a file when its name, a parameter of its type, is its hash."""

    def __init__(self, hub: MsrpHub, folder: Path) -> None:
        self._hub = hub
        self._path = folder / "received"
        self._thread = ThreadPoolExecutor(1)
        self._sinks: dict[MsrpSession, FileSink] = {}
        self._checks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Make a session for the sender behind a control connection; it lives as long."""
        kind, path = await reader.readline(), parse_path((await reader.readline()).decode())
        session = self._hub.create_session(self, max_size=MAX_SIZE)
        if kind == b"file\n":
            session.on_stream = self._take
        self._hub.open(session, path, active=False)
        writer.write(f"{session.local}\n".encode())
        await reader.read()
        self._hub.release(session)
        writer.close()

    def _take(self, stream: IncomingStream) -> FileSink:
        session = stream.session

        def pause(is_full: bool) -> None:
            (self._hub.pause if is_full else self._hub.resume)(session)

        self._sinks[session] = sink = FileSink(self._path, self._thread, pause)
        return sink

    def session_opened(self, session: MsrpSession) -> None:
        """Nothing to do."""

    def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
        """Accept a message at once, a file when it is on disk and right."""
        if message.stream is None:
            message.accept()
            return
        task = asyncio.get_running_loop().create_task(self._check(self._sinks.pop(session), message))
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def _check(self, sink: FileSink, message: IncomingMessage) -> None:
        if message.content_type.endswith(f";name={await sink.close()}"):
            message.accept()
        else:
            message.reject(400, "wrong hash")

    def session_closed(self, session: MsrpSession, error: Exception | None) -> None:
        """Nothing to do."""


async def main(folder: Path) -> None:
    """Serve until killed."""
    hub = MsrpHub(bind=("127.0.0.1", 0))
    await hub.start()
    loop = asyncio.get_running_loop()
    control = await asyncio.start_server(Peer(hub, folder).serve, "127.0.0.1", 0)
    echo = await loop.create_server(partial(Echo, MESSAGE_SIZE), "127.0.0.1", 0)
    stream = await asyncio.start_server(swallow, "127.0.0.1", 0)
    ready(
        "msrp-peer",
        control=control.sockets[0].getsockname(),
        echo=echo.sockets[0].getsockname(),
        stream=stream.sockets[0].getsockname(),
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(Path(sys.argv[1])))
