"""Two endpoints on loopback: ours, and a registrar or server that answers as a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.sip.digest import DigestServer, Stale, Verified, compute_ha1
from sipstack.sip.message import Request
from sipstack.sip.transaction import ServerTransaction

CONFIG = EndpointConfig(bind_host="127.0.0.1", bind_port=0, msrp=False)

Answer = tuple[int, tuple[tuple[str, str], ...]]


class Peer:
    """Answers every request by ``answer``; an answer of status 0 is none."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda request: (200, ())
        endpoint.on_request = self._take

    def _take(self, transaction: ServerTransaction, request: Request) -> bool:
        self.requests.append(request)
        status, headers = self.answer(request)
        if status:
            self.endpoint.reply(transaction, status, headers=headers)
        return True


class Registrar:
    """An answer to REGISTER: challenges, then 200 with the headers given."""

    def __init__(self, peer: Peer, realm: str, passwords: dict[str, str], *, proxy: bool = False) -> None:
        self.peer = peer
        self.passwords = passwords
        self.digest = DigestServer(realm, ("SHA-256", "MD5"), secret=b"x")
        self.proxy = proxy
        self.headers: tuple[tuple[str, str], ...] = ()
        peer.answer = self.answer

    def answer(self, request: Request) -> Answer:
        """Challenge, or let pass."""
        now = self.peer.endpoint.timers.time()
        outcome = self.digest.verify(request, self._ha1, now, self.proxy)
        if isinstance(outcome, Verified):
            return 200, self.headers
        status, name = (407, "Proxy-Authenticate") if self.proxy else (401, "WWW-Authenticate")
        challenges = self.digest.challenges(now, isinstance(outcome, Stale))
        return status, tuple((name, value) for value in challenges)

    def _ha1(self, username: str, realm: str, algorithm: str) -> str | None:
        password = self.passwords.get(username)
        return None if password is None else compute_ha1(username, realm, password, algorithm)


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Endpoint, Peer]]:
    """Yield our endpoint and a peer."""
    async with Endpoint(CONFIG) as ours, Endpoint(CONFIG) as theirs:
        yield ours, Peer(theirs)
