"""What a case works with: the raw sides, the target, and the words to say what is wrong."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from gateway.lab.conformance.case import Case
from gateway.lab.conformance.msrpside import MsrpSide
from gateway.lab.conformance.options import Options
from gateway.lab.conformance.peer import Peer, Received, requests
from gateway.lab.conformance.recording import Recording
from gateway.lab.conformance.sipside import SipSide
from gateway.lab.conformance.target import ACTIONS, Target
from gateway.lab.conformance.verdict import Failed, Inconclusive, NotApplicable
from sipstack import ids

AUDIO = "m=audio {port} RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\n"

AUDIO_PORT = 40_000
"""Where calls that offer audio say they listen. Nobody does: what is said is not what is tested."""


class Bench:
    """One case's view of a run."""

    def __init__(
        self,
        case: Case,
        role: str,
        target: Target,
        options: Options,
        sip: SipSide,
        msrp: MsrpSide,
        recording: Recording,
    ) -> None:
        self.case = case
        self.role = role
        """What the target is in this case."""
        self.target = target
        self.options = options
        self.sip = sip
        self.msrp = msrp
        self.random = random.Random(f"{options.seed} {case.id}")
        """The same in every run with the same seed."""
        self.remarks: list[str] = []
        self.log = ""
        self._recording = recording
        self._cleanups: list[Callable[[], Awaitable[object]]] = []

    # verdicts

    def check(self, condition: object, otherwise: str) -> None:
        """Raise Failed with ``otherwise`` unless the condition holds."""
        if not condition:
            raise Failed(otherwise)

    def fail(self, why: str) -> NoReturn:
        """End the case: the target breaks the standard."""
        raise Failed(why)

    def inconclusive(self, why: str) -> NoReturn:
        """End the case: it did not get as far as what it is about."""
        raise Inconclusive(why)

    def not_applicable(self, why: str) -> NoReturn:
        """End the case: the target lacks what it is about."""
        raise NotApplicable(why)

    def remark(self, text: str) -> None:
        """Say something in the report that is no fail: a SHOULD that is not met, a choice that was made."""
        self.remarks.append(text)
        self._recording.remark(text)

    def attach(self, text: str) -> None:
        """Put a program's log into the report."""
        self.log = f"{self.log}\n\n{text}".strip()

    # time

    def now(self) -> float:
        """Return seconds of a clock that only goes forward."""
        return time.monotonic()

    async def pause(self, seconds: float) -> None:
        """Do nothing for a while."""
        await asyncio.sleep(seconds)

    def later(self, cleanup: Callable[[], Awaitable[object]]) -> None:
        """Have something done when the case has ended, however it ends; the last one first."""
        self._cleanups.append(cleanup)

    async def end(self) -> None:
        """Do what was put off. What goes wrong in it is a remark."""
        while self._cleanups:
            cleanup = self._cleanups.pop()
            try:
                async with asyncio.timeout(self.options.patience * 4):
                    await cleanup()
            except (Failed, Inconclusive, NotApplicable, OSError, TimeoutError) as error:
                self.remark(f"tidying up: {str(error) or 'took too long'}")

    # the target as a caller

    async def trigger(self, action: str, **details: str) -> None:
        """Make the target do something towards :meth:`SipSide.listen`. Raises NotApplicable when nobody said how."""
        peer = await self.sip.listen()
        details.setdefault("uri", f"sip:conformance@{peer.sent_by};transport={peer.transport.lower()}")
        details.setdefault("address", peer.sent_by)
        self.sip.hand_over(ACTIONS.get(action, ""))
        await self.target.trigger(action, **details)

    async def triggered(self, action: str, **details: str) -> tuple[Peer, Received]:
        """Make the target act, and return our listener and its request. Raises Inconclusive when none comes."""
        await self.trigger(action, **details)
        peer = await self.sip.listen()
        method = ACTIONS[action]
        return peer, await peer.need(requests(method), f"the target sends no {method}", self.options.answer_time)

    # bodies

    async def offer(self, *, setup: str = "actpass") -> bytes:
        """Return an SDP offer (or answer) of what :attr:`Options.media` says; an MSRP one leads to our listener.

        What the target sends there is answered with 200: whoever takes an offer from here tries something else.
        """
        path = None
        if self.options.media == "msrp":
            path = str(await self.msrp.listen())
            self.msrp.polite = True
        return sdp(self.sip.host, path=path, setup=setup)


def sdp(host: str, *, path: str | None = None, setup: str = "actpass", version: int = 1) -> bytes:
    """Return a description with one medium: MSRP when there is a path, else audio."""
    kind = "IP6" if ":" in host else "IP4"
    head = f"v=0\r\no=- {int(ids.token(32), 16)} {version} IN {kind} {host}\r\ns=-\r\nc=IN {kind} {host}\r\nt=0 0\r\n"
    if path is None:
        return (head + AUDIO.format(port=AUDIO_PORT)).encode()
    port = path.rpartition("/")[0].rpartition(":")[2]
    proto = "TCP/TLS/MSRP" if path.startswith("msrps:") else "TCP/MSRP"
    return (
        f"{head}m=message {port} {proto} *\r\na=path:{path}\r\na=setup:{setup}\r\n"
        "a=accept-types:message/cpim text/plain application/im-iscomposing+xml\r\na=accept-wrapped-types:*\r\n"
        "a=sendrecv\r\n"
    ).encode()
