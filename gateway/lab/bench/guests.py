"""Guests: how much resident memory one costs who is logged in, has a stream open and has chatted both ways."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from gateway.lab.bench import load
from gateway.lab.bench.network import Network, basic, network

PARALLEL = 48
"""Calls under way at once while guests are invited and log in."""

POLICY = "[policy]\nmax_invitations = 1000000\nmax_per_day = 0\nmax_per_minute = 0\nguest_idle = '1d'\n"
"""One inviter has all guests, and none of them goes away."""

SETTLE = 40.0
"""Seconds after which the last transaction has ended: 64·T1 and a little."""

WARM_UP = 20
"""Guests that come before the first look at the memory, so that code and caches are there."""

TEXT = "One message each way."


@dataclass(slots=True)
class Memory:
    """Resident memory of the gateway in octets."""

    before: int
    peak: int
    settled: int
    guests: int

    @property
    def per_guest(self) -> float:
        """Growth for each guest, in octets, at the worst moment."""
        return (max(self.peak, self.settled) - self.before) / self.guests


class EventStream(asyncio.Protocol):
    """An open event stream that counts the messages of the inviter."""

    def __init__(self, account: str, authorization: str, heard: Callable[[], None]) -> None:
        self._request = (
            f"GET /rcsgw/invitee/events HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\n"
            "Accept: text/event-stream\r\n\r\n"
        ).encode()
        self._heard = heard
        self._seen = b""
        self.open = True
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the gateway has begun the stream; what happens before that is not told by it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the events."""
        cast(asyncio.Transport, transport).write(self._request)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        """Look for the head of the answer, then for an incoming message."""
        self._seen += data
        if not self.begun.done():
            self._read_head()
        elif b'"direction":"in"' in self._seen:
            self._heard()
            self._seen = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the stream is gone."""
        self.open = False
        if not self.begun.done():
            self.begun.set_exception(ConnectionError("an event stream was closed before it began"))

    def _read_head(self) -> None:
        head, blank, rest = self._seen.partition(b"\r\n\r\n")
        if not blank:
            return
        if b" 200 " in head[:13]:
            self._seen = rest
            self.begun.set_result(None)
        else:
            self.begun.set_exception(RuntimeError(f"event stream: {self._seen.decode(errors='replace')}"))


async def memory(folder: Path, count: int, say: Callable[[str, int, int], None]) -> Memory:
    """Log ``count`` guests in on one gateway process; ``say(what, done, of)`` shows progress."""
    _allow_files(4 * count + 1000)
    async with network(folder, POLICY, on_message="echo") as net:
        say("warm up", 0, 1)
        await _bring(net, "warm", WARM_UP, lambda *_: None)
        before = resident(net.gateway.pid)
        streams = await _bring(net, "guest", count, say)
        peak = resident(net.gateway.pid)
        for second in range(int(SETTLE)):
            say(f"settle for {SETTLE:.0f} s, until the last transactions have ended", second, int(SETTLE))
            await asyncio.sleep(1)
        closed = sum(not stream.open for stream in streams)
        if closed:
            raise RuntimeError(f"{closed} of {count} streams were closed")
        return Memory(before, peak, resident(net.gateway.pid), count)


async def _bring(net: Network, name: str, count: int, say: Callable[[str, int, int], None]) -> Sequence[EventStream]:
    """Invite guests, log them in, open their streams, let each write once and hear the answer."""
    secrets: dict[str, tuple[str, str]] = {}
    for start in range(0, count, 500):
        names = [f"{name}{number}@example.com" for number in range(start, min(start + 500, count))]
        secrets |= await net.invite(names)
        say("invite", len(secrets), count)
    guests = [(account, basic(account, secret)) for account, secret in secrets.values()]
    done = 0

    def count_up(what: str) -> None:
        nonlocal done
        done += 1
        if done % 100 == 0 or done == count:
            say(what, done % (count + 1), count)

    async def login(account: str, authorization: str) -> None:
        url = f"{net.url}/rcsgw/invitee/session/{account}"
        answer = await net.session.post(url, headers={"Authorization": authorization})
        if answer.status != 200:
            raise RuntimeError(f"{account}: {answer.status} {await answer.text()}")
        count_up("log in")

    await in_parallel([partial(login, *guest) for guest in guests])
    done = 0
    loop = asyncio.get_running_loop()
    streams = []

    async def listen(account: str, authorization: str) -> None:
        _, stream = await loop.create_connection(
            partial(EventStream, account, authorization, partial(count_up, "hear")), *net.address
        )
        await stream.begun
        streams.append(stream)
        say("stream", len(streams), count)

    await in_parallel([partial(listen, *guest) for guest in guests])
    body = json.dumps({"to": "sip:a@cc.com", "message": TEXT}).encode()
    requests = iter([load.post("/rcsgw/invitee/message", authorization, body) for _, authorization in guests])
    result = await load.run(*net.address, [lambda: next(requests, None)] * PARALLEL, (b" 20", b'"state"'))
    if result.wrong:
        raise RuntimeError(f"{result.wrong} messages failed: {result.sample.decode(errors='replace')}")
    async with asyncio.timeout(60 + count / 50):
        while done < count:
            await asyncio.sleep(0.1)
    return streams


async def in_parallel(jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run jobs, some at a time."""
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    await asyncio.gather(*(work() for _ in range(PARALLEL)))


def resident(pid: int | None) -> int:
    """Return the resident memory of a process in octets."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _allow_files(count: int) -> None:
    """Raise the limit of open files; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
