"""What the small SIP elements share that the suites are proven on: an address, and tasks that end with it.

They know nothing of the stack's transactions and dialogs: what they do wrong, and what they do right, is written here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.recording import Recording
from gateway.lab.conformance.target import Target
from gateway.lab.conformance.verdict import Inconclusive
from sipstack.flow import Flow
from sipstack.sip.message import Message, Request
from sipstack.sip.routing import mark_received, response_flow
from sipstack.sip.uri import Uri
from tests.gateway.lab.conformance.helpers import FAST, HOST

SDP = "v=0\r\no=- {session} {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{media}"
AUDIO = "m=audio 40100 RTP/AVP 0\r\n"


class Element:
    """One element with one defect, or none. Use as ``async with``."""

    DEFECTS: ClassVar[Mapping[str, str]] = {}
    """Defect → the case that has to find it."""
    USER: ClassVar[str] = "alice"
    ROLES: ClassVar[tuple[str, ...]] = ("uas",)
    """What the runner takes it for."""

    def __init__(self, defect: str | None = None, t1: float = FAST.t1) -> None:
        if defect is not None and defect not in self.DEFECTS:
            raise ValueError(f"there is no defect {defect!r}")
        self.defect = defect
        self.t1 = t1
        nobody = Target(Uri.parse("sip:nobody@127.0.0.1"), (HOST, 9), ("uas",))
        self.peer = Peer("UDP", nobody, FAST, Recording())
        self.peer.on_received = self._take
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.peer.open(HOST)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, where: TracebackType | None) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.peer.close()

    @property
    def target(self) -> Target:
        """What the runner is told."""
        raise NotImplementedError

    @property
    def uri(self) -> Uri:
        """Where it is called."""
        return Uri.parse(f"sip:{self.USER}@{self.peer.sent_by}")

    @property
    def contact(self) -> str:
        """Its Contact."""
        return f"<sip:{self.USER}@{self.peer.sent_by}>"

    def spawn(self, steps: Coroutine[Any, Any, None]) -> None:
        """Do something that ends with the element at the latest."""
        task = asyncio.get_running_loop().create_task(steps)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take(self, received: Received) -> bool:
        if received.message is not None:
            self.spawn(self.take(received))
        return True

    async def take(self, received: Received) -> None:
        """Deal with what came."""
        raise NotImplementedError

    async def send(self, message: Message | bytes, flow: Flow) -> None:
        """Send to where a flow leads."""
        with contextlib.suppress(Inconclusive):  # whoever asked has gone
            await self.peer.send(message, flow)


def way_back(request: Request, flow: Flow) -> Flow:
    """Return where answers to a request go; writes into its Via where it came from."""
    mark_received(request, flow)
    return response_flow(request, flow)


def answer_to(offer: str, session: str, defect: str | None = None) -> str:
    """Return the answer to an offer, which takes its audio; an offer where there was none."""
    if not offer:
        return "" if defect == "no-offer" else described(AUDIO, session, defect)
    media = ""
    for line in offer.replace("\r\n", "\n").split("\n"):
        if not line.startswith("m="):
            continue
        kind, _, proto, *formats = line.split(" ")
        if defect == "other-protocol":
            proto = "RTP/SAVP"
        taken = kind == "m=audio"
        if taken or defect != "one-medium":
            media += f"{kind} {40100 if taken else 0} {proto} {' '.join(formats)}\r\n"
    return described(media, session, defect)


def described(media: str, session: str = "1", defect: str | None = None) -> str:
    """Return the description of a session."""
    text = SDP.format(session=session, version=1, media=media)
    if defect == "short-origin":
        text = text.replace(" IN IP4 127.0.0.1\r\ns=", " IN IP4\r\ns=")
    return text.replace("t=0 0", "t=1 2") if defect == "own-times" else text
