"""A core small enough for a test: registrar with digest, record-routing proxy, and handlers that remember."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from sipstack.errors import SipstackError
from sipstack.net.chat import ChatHandler, ChatMessage, ChatSession
from sipstack.net.client import ClientRequest, copy_request, next_hop
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.invitation import IncomingInvitation, IncomingPage
from sipstack.net.useragent import AgentHandler, Identity, UserAgent
from sipstack.sip.digest import Credentials, DigestServer, Stale, Verified, compute_ha1
from sipstack.sip.message import Request, Response
from sipstack.sip.registration import RegistrationEvent
from sipstack.sip.timers import TimerValues
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri

REALM = "ims.example"
FAST = TimerValues(t1=0.02, t2=0.08, t4=0.1)


async def until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.001)


class Core:
    """Takes everything that reaches ``endpoint``: REGISTER, and requests for who is registered or this core itself."""

    def __init__(self, endpoint: Endpoint, *, algorithm: str = "SHA-256") -> None:
        self.endpoint = endpoint
        self.digest = DigestServer(REALM, (algorithm,), secret=b"test")
        self.bindings: dict[str, Uri] = {}
        self.requests: list[Request] = []
        self.silent: set[str] = set()
        """Methods that get no answer at all."""
        self.challenge_all = False
        self.service_route = True
        self.expires = 3600
        self.rewrite: Callable[[Request | Response], None] = lambda message: None
        """Changes what is forwarded in either direction."""
        self._forwarded: dict[ServerTransaction, ClientRequest] = {}
        endpoint.on_request = self._request
        endpoint.on_ack = self._ack
        endpoint.on_cancel = self._cancel

    @property
    def uri(self) -> Uri:
        return self.endpoint.uri().with_param("lr")

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    def _request(self, transaction: ServerTransaction, request: Request) -> bool:
        self.requests.append(request)
        if request.method in self.silent:
            return True
        if request.method == "REGISTER":
            if self._verified(transaction, request, proxy=False):
                self._register(transaction, request)
        elif request.to.tag is not None or not self.challenge_all or self._verified(transaction, request, proxy=True):
            self._proxy(transaction, request)
        return True

    def _verified(self, transaction: ServerTransaction, request: Request, *, proxy: bool) -> bool:
        now = self.endpoint.timers.time()
        outcome = self.digest.verify(request, self._ha1, now, proxy)
        if isinstance(outcome, Verified):
            return True
        status, name = (407, "Proxy-Authenticate") if proxy else (401, "WWW-Authenticate")
        challenges = self.digest.challenges(now, isinstance(outcome, Stale))
        self.endpoint.reply(transaction, status, headers=[(name, value) for value in challenges])
        return False

    def _ha1(self, username: str, realm: str, algorithm: str) -> str | None:
        return compute_ha1(username, realm, f"secret of {username}", algorithm)

    def _register(self, transaction: ServerTransaction, request: Request) -> None:
        contact = request.contacts[0]
        expires = min(int(contact.param("expires") or request.expires or 0), self.expires)
        if expires:
            self.bindings[request.to.uri.aor] = contact.uri
        else:
            self.bindings.pop(request.to.uri.aor, None)
        headers = [("Contact", str(contact.with_param("expires", str(expires))))]
        headers.append(("P-Associated-URI", f"<{request.to.uri.aor}>, <tel:+1>"))
        if self.service_route:
            headers.append(("Service-Route", f"<{self.endpoint.uri('orig').with_param('lr')}>"))
        self.endpoint.reply(transaction, 200, headers=headers)

    def _routed(self, request: Request) -> tuple[Request, Uri] | None:
        forwarded = copy_request(request)
        headers = forwarded.headers
        routes = [address for address in request.routes if not self.endpoint.is_local(address.uri)]
        headers.remove("Route")
        for route in routes:
            headers.add("Route", str(route))
        if request.to.tag is None:
            binding = self.bindings.get(request.uri.aor)
            if binding is None:
                return None
            forwarded.uri = binding
            headers.insert("Record-Route", f"<{self.uri}>")
            headers.add("P-Asserted-Identity", f"<{request.from_.uri}>")
        return forwarded, next_hop(forwarded)

    def _proxy(self, transaction: ServerTransaction, request: Request) -> None:
        routed = self._routed(request)
        if routed is None:
            self.endpoint.reply(transaction, 404)
            return

        self.rewrite(routed[0])

        def answered(response: Response) -> None:
            self.rewrite(response)
            self.endpoint.respond(transaction, response, repeat=False)

        def failed(error: SipstackError) -> None:
            if not transaction.is_final:
                self.endpoint.reply(transaction, 480)

        self._forwarded[transaction] = self.endpoint.forward(*routed, answered, failed)

    def _ack(self, request: Request) -> bool:
        self.requests.append(request)
        routed = self._routed(request)
        if routed is not None:
            self.rewrite(routed[0])
            self.endpoint.send_stateless(*routed)
        return True

    def _cancel(self, transaction: ServerTransaction, request: Request) -> None:
        self.requests.append(request)
        self._forwarded[transaction].cancel()


class Chats(ChatHandler):
    """Accepts messages and remembers everything."""

    def __init__(self) -> None:
        self.messages: list[ChatMessage] = []
        self.closed: list[tuple[ChatSession, str, SipstackError | None]] = []

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]

    def chat_message(self, chat: ChatSession, message: ChatMessage) -> None:
        self.messages.append(message)
        message.accept()

    def chat_closed(self, chat: ChatSession, reason: str, error: SipstackError | None) -> None:
        self.closed.append((chat, reason, error))


class Phone(AgentHandler):
    """Answers invitations as told, and remembers them."""

    def __init__(self) -> None:
        self.chats = Chats()
        self.open: list[ChatSession] = []
        self.invitations: list[IncomingInvitation] = []
        self.cancelled: list[IncomingInvitation] = []
        self.pages: list[IncomingPage] = []
        self.hold_pages = False
        self.events: list[RegistrationEvent] = []
        self.react: Callable[[IncomingInvitation], Any] = lambda invitation: self.open.append(
            invitation.answer(self.chats)
        )

    def registration_changed(self, agent: UserAgent, event: RegistrationEvent) -> None:
        self.events.append(event)

    def chat_invited(self, agent: UserAgent, invitation: IncomingInvitation) -> None:
        self.invitations.append(invitation)
        invitation.on_cancel = self.cancelled.append
        self.react(invitation)

    def message_received(self, agent: UserAgent, message: IncomingPage) -> None:
        self.pages.append(message)
        if not self.hold_pages:
            message.accept()


class World:
    """A core, and one endpoint each for a and b."""

    def __init__(self, core: Core, a: Endpoint, b: Endpoint, transport: str) -> None:
        self.core = core
        self.a = a
        self.b = b
        self.transport = transport

    def agent(self, endpoint: Endpoint, name: str, handler: AgentHandler | None = None, **options: Any) -> UserAgent:
        credentials = Credentials.from_password(name, options.pop("password", f"secret of {name}"))
        return UserAgent(
            endpoint,
            Identity(Uri.parse(f"sip:{name}@{REALM}"), credentials),
            domain=Uri.parse(f"sip:{REALM}"),
            outbound_proxy=self.core.uri.with_param("transport", self.transport),
            handler=handler,
            **options,
        )


def endpoint_config(**options: Any) -> EndpointConfig:
    """Return a configuration with fast timers that trusts everybody."""
    return EndpointConfig(**{"timers": FAST, "trusted": lambda flow: True, **options})


@asynccontextmanager
async def world(
    transport: str = "udp", *, host: str = "127.0.0.1", a: Any = None, b: Any = None, **core: Any
) -> AsyncIterator[World]:
    """Start a core and two endpoints; ``a`` and ``b`` are options for their configurations."""
    options = ({"msrp": False}, a or {}, b or {})
    endpoints = [Endpoint(endpoint_config(bind_host=host, **each)) for each in options]
    for endpoint in endpoints:
        await endpoint.start()
    try:
        yield World(Core(endpoints[0], **core), endpoints[1], endpoints[2], transport)
    finally:
        for endpoint in reversed(endpoints):
            await endpoint.close()


P = TypeVar("P", bound=Phone)


@asynccontextmanager
async def registered(
    phone: P, transport: str = "udp", **options: Any
) -> AsyncIterator[tuple[World, UserAgent, UserAgent, P]]:
    """Start a world in which a and b are registered; ``phone`` is b's."""
    async with world(transport, **options) as around:
        a, b = around.agent(around.a, "a"), around.agent(around.b, "b", phone)
        await a.register()
        await b.register()
        try:
            yield around, a, b, phone
        finally:
            await a.close()
            await b.close()


def pair(
    transport: str = "udp", **options: Any
) -> AbstractAsyncContextManager[tuple[World, UserAgent, UserAgent, Phone]]:
    """:func:`registered` with a plain :class:`Phone`."""
    return registered(Phone(), transport, **options)


B = Uri.parse(f"sip:b@{REALM}")
