"""The sending process of the MSRP figures. Turns of our stack and of its baseline alternate; the result is an event."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click

from gateway.lab.bench.msrppeer import MAX_SIZE, MESSAGE_SIZE
from gateway.lab.bench.msrpraw import Pinger, pour
from gateway.lab.run import emit, loop_factory, parse_host_port
from sipstack.flow import HostPort
from sipstack.msrp.message import IncomingMessage, MessageState, OutgoingMessage
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.uri import parse_path
from sipstack.net.hub import MsrpHub

OUTSTANDING = 64
"""Messages that wait for their answers at any time."""
SESSIONS = 2
"""Sessions, on one connection, that the messages go by: each may have 32 under way (C-RSP-08)."""
TURNS = 4
WARM_UP = 0.5
"""Seconds before anything counts."""


class FileSource:
    """A file as the source of a message."""

    def __init__(self, file: BinaryIO) -> None:
        self._number = file.fileno()
        self.size = os.fstat(self._number).st_size

    def read(self, start: int, limit: int) -> bytes:
        """Read a piece, mostly out of the system's cache."""
        return os.pread(self._number, limit, start)


class Sender:
    """The owner of the sending sessions: nothing ever comes by them."""

    def session_opened(self, session: MsrpSession) -> None:
        """Nothing to do."""

    def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
        """Refuse it."""
        message.reject(403)

    def session_closed(self, session: MsrpSession, error: Exception | None) -> None:
        """Give up."""
        raise SystemExit(f"the session has ended: {error}")


@contextlib.asynccontextmanager
async def joined(hub: MsrpHub, control: HostPort, kind: str) -> AsyncIterator[MsrpSession]:
    """Yield a session with the receiving process."""
    reader, writer = await asyncio.open_connection(*control)
    session = hub.create_session(Sender(), max_size=MAX_SIZE)
    writer.write(f"{kind}\n{session.local}\n".encode())
    path = parse_path((await reader.readline()).decode())
    hub.open(session, path, active=True)
    yield session
    hub.release(session)
    writer.close()


class Count:
    """Counts what came back until the time is over; then ``done`` becomes true when nothing is under way."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._seconds = seconds
        self._under_way = OUTSTANDING
        self._count = 0
        self.rate: asyncio.Future[float] = self._loop.create_future()
        """Those that came back, a second."""

    def tick(self) -> bool:
        """Count one and return whether another one is to be sent."""
        self._count += 1
        passed = self._loop.time() - self._started
        if passed < self._seconds:
            return True
        self._under_way -= 1
        if not self._under_way:
            self.rate.set_result(self._count / passed)
        return False


async def send_messages(hub: MsrpHub, control: HostPort, seconds: float) -> float:
    """Return how many messages a second were answered with 200."""
    body = b"x" * MESSAGE_SIZE
    async with contextlib.AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(joined(hub, control, "message")) for _ in range(SESSIONS)]
        count = Count(seconds)

        def answered(message: OutgoingMessage) -> None:
            assert message.state is MessageState.SENT, message
            if count.tick():
                message.session.send(body, "text/plain", on_done=answered)

        for number in range(OUTSTANDING):
            sessions[number % SESSIONS].send(body, "text/plain", on_done=answered)
        return await count.rate


async def send_pings(echo: HostPort, seconds: float) -> float:
    """Return how many bare records a second came back."""
    count = Count(seconds)
    record = b"x" * MESSAGE_SIZE
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: Pinger(record, OUTSTANDING, count.tick), *echo)
    rate = await count.rate
    transport.close()
    return rate


async def send_file(hub: MsrpHub, control: HostPort, path: Path) -> float:
    """Return the seconds from the first octet to the 200 that follows the check of the hash."""
    loop = asyncio.get_running_loop()
    with path.open("rb", buffering=0) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        async with joined(hub, control, "file") as session:
            done: asyncio.Future[MessageState] = loop.create_future()
            started = loop.time()
            content_type = f"application/octet-stream;name={digest}"
            session.send_stream(FileSource(file), content_type, on_done=lambda message: done.set_result(message.state))
            assert await done is MessageState.SENT
            return loop.time() - started


async def measure_messages(control: HostPort, echo: HostPort, seconds: float) -> tuple[float, float]:
    """Return messages and bare records a second."""
    hub = MsrpHub(bind=("127.0.0.1", 0))
    await hub.start()
    sides = partial(send_messages, hub, control), partial(send_pings, echo)
    totals = [0.0, 0.0]
    for turn in range(1 + TURNS):  # the first warms up
        for number, side in enumerate(sides):
            rate = await side(seconds / TURNS if turn else WARM_UP)
            totals[number] += rate / TURNS if turn else 0
    await hub.close()
    return totals[0], totals[1]


async def measure_file(control: HostPort, stream: HostPort, path: Path, turns: int) -> tuple[float, float]:
    """Return octets a second of a file by MSRP and of a bare stream."""
    hub = MsrpHub(bind=("127.0.0.1", 0))
    await hub.start()
    size = path.stat().st_size
    totals = [0.0, 0.0]
    for turn in range(1 + turns):
        seconds = await send_file(hub, control, path), await pour(*stream, size)
        for number in range(2):
            totals[number] += seconds[number] if turn else 0
    await hub.close()
    return size * turns / totals[0], size * turns / totals[1]


@click.command()
@click.option("--control", required=True)
@click.option("--echo")
@click.option("--seconds", default=8.0)
@click.option("--stream")
@click.option("--file", "path", type=click.Path(path_type=Path))
@click.option("--turns", default=TURNS)
def main(control: str, echo: str | None, seconds: float, stream: str | None, path: Path | None, turns: int) -> None:
    """Send messages beside records to ``--echo``, or a file beside octets to ``--stream``."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        if path is not None and stream is not None:
            task = measure_file(parse_host_port(control), parse_host_port(stream), path, turns)
        else:
            task = measure_messages(parse_host_port(control), parse_host_port(echo or ""), seconds)
        value, baseline = runner.run(task)
    emit("rates", value=value, baseline=baseline)
    signal.pause()  # whoever has started us takes an end for a failure


if __name__ == "__main__":
    main()
