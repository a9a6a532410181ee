"""Cases made on the spot, and a run of them against an address of this process."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.case import Case, case
from gateway.lab.conformance.options import Options
from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.recording import Recording
from gateway.lab.conformance.runner import Runner
from gateway.lab.conformance.target import Target
from sipstack.sip.uri import Uri

HOST = "127.0.0.1"
FAST = Options(t1=0.05)

Answer = Callable[[Peer, Received], Awaitable[object]]


def made(run: Callable[[Bench], Awaitable[None]], **changes: Any) -> Case:
    """Return a case that does ``run``."""
    wanted = {"id": "T-1", "reference": "none", "suite": "test", "roles": {"uas"}, "purpose": "To be run.", **changes}
    return case(wanted.pop("id"), wanted.pop("reference"), **wanted)(run)


@asynccontextmanager
async def element(answer: Answer, host: str = HOST, tls: ssl.SSLContext | None = None) -> AsyncIterator[Target]:
    """An element on loopback that does ``answer`` with every request; its streams speak TLS where there is ``tls``."""
    nobody = Target(Uri.parse("sip:nobody@127.0.0.1"), (host, 9), ("uas",))
    peer = Peer("UDP", nobody, FAST, Recording())
    tasks: set[asyncio.Future[object]] = set()

    def take(received: Received) -> bool:
        tasks.add(asyncio.ensure_future(answer(peer, received)))
        return True

    await peer.open(host, tls=tls)
    peer.on_received = take
    try:
        transports = ("UDP", "TCP") if tls is None else ("TLS",)
        yield Target(Uri.parse(f"sip:element@{peer.sent_by}"), peer.address, ("uas",), transports, name="element")
    finally:
        await peer.close()


def running(target: Target, options: Options = FAST) -> Runner:
    """Return a runner for a target on loopback."""
    return Runner(target, options, listen=(target.hop[0], 0))
