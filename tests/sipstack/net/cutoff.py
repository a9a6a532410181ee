"""Two hubs whose network is cut without a word; run by ``test_keepalive`` inside a network namespace of its own.

Usage: ``python -m tests.sipstack.net.cutoff idle|busy``. Prints what session A was told.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

from sipstack.msrp.message import IncomingMessage
from sipstack.msrp.session import MsrpSession
from sipstack.net import keepalive
from sipstack.net.hub import MsrpHub

A, B = "198.51.100.1", "198.51.100.2"
NO_NEIGHBOUR = "02:00:00:00:00:01"


class Owner:
    """Waits for both ends of a session's life."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.closed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def session_opened(self, session: MsrpSession) -> None:
        self.opened.set()

    def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
        message.accept()

    def session_closed(self, session: MsrpSession, error: Exception | None) -> None:
        self.closed.set_result(error)


def ip(*words: str) -> None:
    """Run ``ip`` of iproute2."""
    subprocess.run(["ip", *words], check=True)


def lay_cable() -> None:
    """Make a network that has both addresses."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "one", "type", "veth", "peer", "name", "other")
    ip("link", "set", "one", "up")
    ip("link", "set", "other", "up")
    ip("addr", "add", f"{A}/32", "dev", "lo")
    ip("addr", "add", f"{B}/32", "dev", "one")


def cut_cable() -> None:
    """Send what is for B to nobody: no octet, no reset and no error comes back."""
    ip("addr", "del", f"{B}/32", "dev", "one")
    ip("route", "add", f"{B}/32", "dev", "one", "src", A)
    ip("neigh", "add", B, "lladdr", NO_NEIGHBOUR, "dev", "one", "nud", "permanent")


async def main(busy: bool) -> None:
    """Open a session, cut the network and wait until that is noticed."""
    lay_cable()
    left, right = MsrpHub(bind=(A, 0)), MsrpHub(bind=(B, 0))
    await left.start()
    await right.start()
    ours, theirs = Owner(), Owner()
    active, passive = left.create_session(ours, max_size=1000), right.create_session(theirs, max_size=1000)
    right.open(passive, active.local_path, active=False)
    left.open(active, passive.local_path, active=True)
    await theirs.opened.wait()
    await asyncio.sleep(0.2)  # for the answer to the first SEND
    cut_cable()
    if busy:
        active.send(b"into the void", "text/plain")
    async with asyncio.timeout(20):
        error = await ours.closed
    sys.stdout.write(f"{error} {len(left.sessions)}\n")


if __name__ == "__main__":
    keepalive.IDLE = keepalive.INTERVAL = keepalive.PROBES = 1
    keepalive.UNACKNOWLEDGED = 2
    asyncio.run(main(sys.argv[1] == "busy"))
