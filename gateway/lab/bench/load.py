"""HTTP load as light as it can be made in Python: prepared requests on kept-alive connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

Next = Callable[[], bytes | None]
"""Returns the next request of a connection, None when there is none left."""


@dataclass(slots=True)
class Result:
    """What a run came to."""

    answers: int
    wrong: int
    seconds: float
    sample: bytes = b""
    """One of the wrong answers, for the error message."""

    @property
    def per_second(self) -> float:
        """Right answers a second."""
        return (self.answers - self.wrong) / self.seconds

    def add(self, other: Result) -> None:
        """Add a further run."""
        self.answers += other.answers
        self.wrong += other.wrong
        self.seconds += other.seconds


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, take: Next, expected: Sequence[bytes], done: Callable[[Connection], None]) -> None:
        self._take = take
        self._expected = expected
        self._done = done
        self._data = b""
        self._transport: asyncio.Transport
        self.answers = 0
        self.wrong = 0
        self.sample = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._send()

    def data_received(self, data: bytes) -> None:
        """Send the next request when the answer is whole."""
        self._data = data = self._data + data if self._data else data
        head, mark, body = data.partition(b"\r\n\r\n")
        if not mark:
            return
        at = head.find(b"Content-Length: ")
        length = int(head[at + 16 : head.find(b"\r", at) if head.find(b"\r", at) > 0 else len(head)]) if at > 0 else 0
        if len(body) < length:
            return
        self._data = b""
        self.answers += 1
        if not all(part in data for part in self._expected):
            self.wrong += 1
            self.sample = data
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report."""
        self._done(self)

    def _send(self) -> None:
        request = self._take()
        if request is None:
            self._transport.close()
        else:
            self._transport.write(request)


async def run(host: str, port: int, requests: Sequence[Next], expected: Sequence[bytes]) -> Result:
    """Run one connection for each of ``requests`` until all are used up; an answer must hold all of ``expected``."""
    loop = asyncio.get_running_loop()
    finished: asyncio.Future[None] = loop.create_future()
    result = Result(0, 0, 0.0)
    left = len(requests)

    def done(connection: Connection) -> None:
        nonlocal left
        left -= 1
        result.answers += connection.answers
        result.wrong += connection.wrong
        result.sample = connection.sample or result.sample
        if not left:
            finished.set_result(None)

    started = time.perf_counter()
    for take in requests:
        await loop.create_connection(partial(Connection, take, expected, done), host, port)
    await finished
    result.seconds = time.perf_counter() - started
    return result


def for_seconds(request: bytes, seconds: float, tick: Callable[[], None] = lambda: None) -> Next:
    """Return the same request again and again for a while."""
    deadline = time.perf_counter() + seconds

    def take() -> bytes | None:
        if time.perf_counter() >= deadline:
            return None
        tick()
        return request

    return take


def post(path: str, authorization: str, body: bytes) -> bytes:
    """Return the bytes of a JSON POST."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\nAccept: application/json\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def get(path: str, authorization: str) -> bytes:
    """Return the bytes of a GET."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\nAccept: application/json\r\n\r\n"
    ).encode()
