"""The SIP side of a case: peers of its own, and the address at which a target finds us."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from gateway.lab.conformance.options import Options
from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.recording import Recording
from gateway.lab.conformance.target import Target
from sipstack.flow import HostPort
from sipstack.sip.message import Request

Handler = Callable[[Peer, Received], Awaitable[None]]
"""Answers a request that came to the listener."""


class SipSide:
    """Peers of one run; those that a case opens are closed when it ends, the listener stays."""

    def __init__(
        self,
        target: Target,
        options: Options,
        recording: Recording,
        listen: HostPort,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.transport = target.transports[0]
        """What the running case uses when it does not say."""
        self.standing: Peer | None = None
        """Where the target calls us; open for the whole run."""
        self.answered: dict[str, Handler] = {}
        """Method → who answers it on the listener, unless the running case takes it."""
        self.after_case: Callable[[], Awaitable[None]] | None = None
        """Done behind each case, while everything that comes is answered."""
        self._case_answers: dict[str, Handler] = {}
        self._taken: set[str] = set()
        self._calls: set[str] = set()
        self._old_calls: set[str] = set()
        self._answering: set[asyncio.Future[None]] = set()
        self.host = listen[0]
        """Our numeric address."""
        self._target = target
        self._options = options
        self._recording = recording
        self._listen = listen
        self._tls = tls
        self._peers: list[Peer] = []

    async def peer(self, transport: str | None = None) -> Peer:
        """Open an address of our own. Raises OSError."""
        peer = self._make(transport)
        await peer.open(self._listen[0])
        self._peers.append(peer)
        return peer

    async def listen(self) -> Peer:
        """Return the address that the target calls: the same for a whole run. Raises OSError."""
        if self.standing is None:
            peer = self._make(None)
            await peer.open(*self._listen)
            peer.on_received = self._look
            self.standing = peer
        self.standing.transport = self.transport
        return self.standing

    def _make(self, transport: str | None) -> Peer:
        return Peer(transport or self.transport, self._target, self._options, self._recording, self._tls)

    def hand_over(self, method: str) -> None:
        """Let the running case see requests of a method that the runner itself answers at other times."""
        self._taken.add(method)

    def answer_in_case(self, method: str, handler: Handler) -> None:
        """Have the runner answer requests of a method until the case ends."""
        self._case_answers[method] = handler

    def _look(self, received: Received) -> bool:
        """Deal with what no case waits for: leftovers of the one before, and what the runner itself answers."""
        request = received.message
        if received.fault is not None or not isinstance(request, Request):
            return False
        call_id = request.headers.get("Call-ID", "")
        if call_id in self._old_calls:
            self._answer(_dismiss, received)
            return True
        handler = self._case_answers.get(request.method) or self.answered.get(request.method)
        if handler is not None and request.method not in self._taken and "tag=" not in request.headers.get("To", ""):
            self._answer(handler, received)
            return True
        self._calls.add(call_id)
        return False

    def _answer(self, handler: Handler, received: Received) -> None:
        if self.standing is not None:
            task = asyncio.ensure_future(handler(self.standing, received))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    def begin(self, transport: str) -> None:
        """Get ready for a case that goes by ``transport``."""
        self.transport = transport
        if self.standing is not None:
            self.standing.forget()

    async def end(self) -> None:
        """Close the peers of the case; what still comes of it is answered by the runner from now on."""
        self._taken.clear()
        self._case_answers.clear()
        self._old_calls |= self._calls
        self._calls.clear()
        if self.after_case is not None:
            await self.after_case()
        for peer in self._peers:
            await peer.close()
        self._peers.clear()

    async def close(self) -> None:
        """Close everything."""
        self.after_case = None
        await self.end()
        if self.standing is not None:
            await self.standing.close()
            self.standing = None


async def _dismiss(peer: Peer, received: Received) -> None:
    """Answer what belongs to a case that is over, so that the target gives it up."""
    method = received.request.method
    if method != "ACK":
        await peer.respond(received, 200 if method in ("BYE", "CANCEL") else 480)
