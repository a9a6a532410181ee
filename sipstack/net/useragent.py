"""One identity: its registration, its requests, its chats."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from sipstack import ids
from sipstack.errors import ConnectionClosed, RemoteProtocolError, RequestFailed, SipstackError, TransactionTimeout
from sipstack.net import uas
from sipstack.net.chat import ChatHandler, ChatSession
from sipstack.net.client import MAX_FORWARDS, ResponseCallback, next_hop
from sipstack.net.features import CHAT_FEATURES, accept_contact, feature_text
from sipstack.net.invitation import IncomingInvitation, IncomingPage, IncomingProbe
from sipstack.net.invite import OutgoingInvite
from sipstack.net.media import parse_description, warning
from sipstack.sip.address import Address
from sipstack.sip.digest import Credentials, DigestClient
from sipstack.sip.message import Request, Response
from sipstack.sip.registration import Registered, Registration, RegistrationEvent, RegistrationFailed, Unregistered
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Parameters, Uri

if TYPE_CHECKING:
    from sipstack.net.client import ClientRequest
    from sipstack.net.endpoint import Endpoint
    from sipstack.net.timers import Timer
    from sipstack.sip.dialog import Dialog

logger = logging.getLogger(__name__)

UNREGISTER_TIMEOUT = 4.0
"""Seconds that ``unregister()`` waits for the registrar; the binding expires by itself anyway."""


@dataclass(slots=True)
class Identity:
    """Who a user agent is. Token and instance id should stay the same over restarts: they name the binding."""

    aor: Uri
    credentials: Credentials | None = None
    display_name: str | None = None
    contact_token: str = ""
    """User part of the Contact; made up when empty."""
    instance_id: str = ""
    """A URN for ``+sip.instance`` (RFC 5626 §4.1); made up when empty."""

    def __post_init__(self) -> None:
        self.contact_token = self.contact_token or ids.contact_token()
        self.instance_id = self.instance_id or ids.instance_id()


class AgentHandler(Protocol):
    """What a user agent tells its owner; synchronous, called from the loop. Inherit from it to get the defaults."""

    def registration_changed(self, agent: UserAgent, event: RegistrationEvent) -> None:
        """The registrar answered, or did not: Registered (each refresh too), RegistrationFailed, Unregistered."""
        return

    def chat_invited(self, agent: UserAgent, invitation: IncomingInvitation) -> None:
        """Somebody wants to chat: answer or reject ``invitation``, now or later."""
        invitation.reject(480)

    def message_received(self, agent: UserAgent, message: IncomingPage) -> None:
        """A SIP MESSAGE: accept or reject it, now or later."""
        message.reject(480)


class SilentAgent(AgentHandler):
    """Refuses everything: for user agents that only call out."""


class UserAgent:
    """One identity on an endpoint. It is found by incoming requests from its creation until :meth:`close`.

    ``domain`` is the registrar (``sip:ims.example``), ``outbound_proxy`` the next hop of everything outside a dialog,
    as pre-loaded Route. ``async with`` registers and, at the end, closes.
    """

    __slots__ = (
        "_chats",
        "_digest",
        "_failure",
        "_joiners",
        "_leavers",
        "_registration",
        "_timer",
        "associated_uris",
        "domain",
        "endpoint",
        "expires",
        "features",
        "handler",
        "identity",
        "initial_authorization",
        "on_options",
        "outbound_proxy",
        "registered",
        "service_route",
        "tag",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        identity: Identity,
        *,
        domain: Uri,
        outbound_proxy: Uri | None = None,
        handler: AgentHandler | None = None,
        features: Parameters = CHAT_FEATURES,
        expires: int = 3600,
        initial_authorization: bool = False,
    ) -> None:
        # configuration
        self.endpoint = endpoint
        self.identity = identity
        self.domain = domain
        self.outbound_proxy = outbound_proxy
        self.handler: AgentHandler = handler if handler is not None else SilentAgent()
        self.features = features
        self.expires = expires
        self.initial_authorization = initial_authorization
        self.on_options: Callable[[UserAgent, IncomingProbe], int] | None = None
        """Returns the status that an INVITE of the asker would get now (A-OPT-01); None: always 200."""
        self.tag: Any = None
        """For the owner's own use."""
        # state
        self.registered = False
        """Whether the registrar has our binding, as far as we know."""
        self.service_route: tuple[Uri, ...] = ()
        self.associated_uris: tuple[Uri, ...] = ()
        self._registration: Registration | None = None
        self._digest: DigestClient | None = None
        self._timer: Timer | None = None
        self._failure: SipstackError | None = None
        self._chats: set[ChatSession] | None = None
        # who waits for the registrar
        self._joiners: list[asyncio.Future[Registered]] | None = None
        self._leavers: list[asyncio.Future[None]] | None = None
        endpoint.pool.add(self)

    def __repr__(self) -> str:
        return f"<UserAgent {self.identity.aor}>"

    # registration

    async def register(self) -> Registered:
        """Register, or refresh now; from then on the binding is kept alive without further calls.

        Raise RequestFailed when the registrar refuses, TransactionTimeout or ConnectionClosed when it does not answer.
        After a temporary failure the next try is scheduled all the same; :meth:`unregister` or :meth:`close` ends that.
        """
        future: asyncio.Future[Registered] = asyncio.get_running_loop().create_future()
        if self._joiners is None:
            self._joiners = []
        self._joiners.append(future)
        self._need_registration().register(self.endpoint.timers.time())
        self._run_registration()
        return await future

    async def unregister(self, timeout: float = UNREGISTER_TIMEOUT) -> None:
        """Remove our binding, and no other. Return when the registrar has answered, or after ``timeout`` seconds."""
        registration = self._registration
        if registration is None:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._leavers is None:
            self._leavers = []
        self._leavers.append(future)
        registration.unregister(self.endpoint.timers.time())
        self._run_registration()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await future

    def schedule_registration(self, not_before: float) -> None:
        """Register in the background, not before that time (monotonic): for many user agents at start-up."""
        self._need_registration().register(self.endpoint.timers.time(), not_before=not_before)
        self._run_registration()

    def _need_registration(self) -> Registration:
        if self._registration is None:
            identity = self.identity
            self._registration = Registration(
                aor=identity.aor,
                registrar=self.domain,
                contact=Address.parse(self.contact()),
                call_id=ids.call_id(),
                expires=self.expires,
                credentials=identity.credentials,
                initial_authorization=self.initial_authorization,
            )
        return self._registration

    def _run_registration(self) -> None:
        registration, endpoint = self._registration, self.endpoint
        if registration is None:
            return
        for request in registration.data_to_send():
            if self.outbound_proxy is not None:
                request.headers.insert("Route", f"<{self.outbound_proxy}>")
            request.headers.add("User-Agent", endpoint.config.user_agent)
            request.headers.add("Allow", uas.ALLOW)
            endpoint.send(request, self.outbound_proxy or self.domain, self._register_answered, self._register_failed)
        while (event := registration.next_event()) is not None:
            self._registration_changed(event)
        self._arm(registration.get_timer())

    def _arm(self, deadline: float | None) -> None:
        timer = self._timer
        if timer is not None and timer.callback is not None and timer.deadline == deadline:
            return
        if timer is not None:
            timer.cancel()
        self._timer = None if deadline is None else self.endpoint.timers.schedule(deadline, self._registration_due)

    def _registration_due(self) -> None:
        self._timer = None
        if self._registration is not None:
            self._registration.handle_timer(self.endpoint.timers.time())
            self._run_registration()

    def _register_answered(self, response: Response) -> None:
        if self._registration is not None:
            self._failure = None
            self._registration.receive_response(response, self.endpoint.timers.time())
            self._run_registration()

    def _register_failed(self, error: SipstackError) -> None:
        if self._registration is not None:
            self._failure = error
            certain = isinstance(error, ConnectionClosed) and error.certain
            self._registration.request_failed(self.endpoint.timers.time(), certain=certain)
            self._run_registration()

    def _registration_changed(self, event: RegistrationEvent) -> None:
        match event:
            case Registered(service_route=service_route, associated_uris=associated_uris):
                self.service_route, self.associated_uris = service_route, associated_uris
                if not self.registered:
                    logger.info("%s is registered for %d s", self.identity.aor, event.expires)
                self.registered = True
                self._settle_joiners(event, None)
            case RegistrationFailed(response=response):
                error = self._failure or TransactionTimeout("no answer to REGISTER")
                self.registered = False
                logger.info("%s is not registered: %s", self.identity.aor, error if response is None else response)
                self._settle_joiners(None, error if response is None else RequestFailed(response))
            case Unregistered():
                if self.registered:
                    logger.info("%s is no longer registered", self.identity.aor)
                self.registered = False
                self.service_route = ()
                leavers, self._leavers = self._leavers, None
                for leaver in leavers or ():
                    if not leaver.done():
                        leaver.set_result(None)
        self.handler.registration_changed(self, event)

    def _settle_joiners(self, event: Registered | None, error: SipstackError | None) -> None:
        joiners, self._joiners = self._joiners, None
        for joiner in joiners or ():
            if joiner.done():
                continue
            if event is not None:
                joiner.set_result(event)
            else:
                joiner.set_exception(error or TransactionTimeout("no answer to REGISTER"))

    # requests

    @property
    def digest(self) -> DigestClient | None:
        """What answers challenges of requests other than REGISTER; made when first needed."""
        if self._digest is None and self.identity.credentials is not None:
            self._digest = DigestClient(self.identity.credentials)
        return self._digest

    def contact(self) -> str:
        """Return our Contact with instance id and feature tags (B-REG-02)."""
        uri = self.endpoint.uri(self.identity.contact_token)
        config, proxy = self.endpoint.config, self.outbound_proxy
        transport = proxy.param("transport") if proxy is not None else None
        if transport is None and not config.udp:
            transport = "tcp"
        if transport is not None:
            uri = uri.with_param("transport", transport.lower())
        return f'<{uri}>;+sip.instance="<{self.identity.instance_id}>"{feature_text(self.features)}'

    def create_request(
        self, method: str, uri: Uri, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Request:
        """Return a request outside any dialog: From us to ``uri``, by outbound proxy and Service-Route."""
        aor = self.identity.aor
        sender = Address(aor, self.identity.display_name, (("tag", ids.tag()),))
        fields = [("Max-Forwards", MAX_FORWARDS)]
        fields += [("Route", f"<{route}>") for route in self._routes()]
        fields += [
            ("From", str(sender)),
            ("To", f"<{uri}>"),
            ("Call-ID", ids.call_id()),
            ("CSeq", f"1 {method}"),
            ("P-Preferred-Identity", f"<{aor}>"),
            ("User-Agent", self.endpoint.config.user_agent),
        ]
        if method != "MESSAGE":
            fields.append(("Contact", self.contact()))
        return Request(method, uri, [*fields, *headers], body)

    def _routes(self) -> tuple[Uri, ...]:
        proxy, service_route = self.outbound_proxy, self.service_route
        if proxy is None:
            return service_route
        if service_route and service_route[0].host_port == proxy.host_port:
            # The core is its own edge: twice the same hop would be a spiral.
            return service_route
        return (proxy, *service_route)

    async def options(self, uri: Uri, *, timeout: float | None = None) -> Response:
        """Ask what ``uri`` can (B-CAP-01) and return the final response. Raise as :meth:`Endpoint.request`."""
        headers = [
            ("Accept-Contact", accept_contact(self.features)),
            ("Accept", "application/sdp"),
            ("Allow", uas.ALLOW),
            ("Supported", uas.SUPPORTED),
        ]
        request = self.create_request("OPTIONS", uri, headers=headers)
        return await self.endpoint.request(request, digest=self.digest, timeout=timeout)

    async def message(
        self, uri: Uri, body: bytes, content_type: str = "text/plain", *, timeout: float | None = None
    ) -> Response:
        """Send a SIP MESSAGE (RFC 3428) and return the final response. Raise as :meth:`Endpoint.request`."""
        request = self.create_request("MESSAGE", uri, headers=[("Content-Type", content_type)], body=body)
        return await self.endpoint.request(request, digest=self.digest, timeout=timeout)

    async def invite(
        self,
        uri: Uri,
        handler: ChatHandler | None = None,
        *,
        headers: Iterable[tuple[str, str]] = (),
        timeout: float | None = None,
        on_provisional: ResponseCallback | None = None,
    ) -> ChatSession:
        """Invite ``uri`` to a chat and return it when the peer has accepted. Without ``handler`` it is read by
        ``async for``.

        Raise RequestFailed for a refusal, TransactionTimeout after ``timeout`` seconds (or when nobody answered at
        all), ConnectionClosed. Whoever gives up, by timeout or cancellation, has the INVITE cancelled.
        """
        invite = OutgoingInvite(self, uri, handler, headers, on_provisional)
        return await invite.run(timeout)

    def send_in_dialog(
        self,
        dialog: Dialog,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        on_end: Callable[[object], None] | None = None,
    ) -> ClientRequest:
        """Send a request inside ``dialog``; ``on_end`` gets the final response or the error."""
        fields = [*headers, ("User-Agent", self.endpoint.config.user_agent)]
        request = dialog.create_request(method, headers=fields)

        def ended(outcome: object) -> None:
            if on_end is not None and not (isinstance(outcome, Response) and outcome.is_provisional):
                on_end(outcome)

        return self.endpoint.send(request, next_hop(request), ended, ended, digest=self.digest, dialog=dialog)

    # what comes in

    def request_received(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer a request that is for us and passed :func:`sipstack.net.uas.refuse`."""
        match request.method:
            case "OPTIONS":
                self._options_received(transaction, request)
            case "MESSAGE":
                self.handler.message_received(self, IncomingPage(self, transaction, request))
            case "INVITE":
                self._invite_received(transaction, request)
            case _:
                self.endpoint.reply(transaction, 481)  # BYE without dialog (A-INV-09)

    def _options_received(self, transaction: ServerTransaction, request: Request) -> None:
        status = 200
        if self.on_options is not None and request.to.tag is None:
            status = self.on_options(self, IncomingProbe(self, transaction, request))
        headers = [*uas.CAPABILITIES, ("Contact", self.contact())] if status == 200 else []
        self.endpoint.reply(transaction, status, headers=headers)

    def _invite_received(self, transaction: ServerTransaction, request: Request) -> None:
        try:
            offer = parse_description(request)
        except RemoteProtocolError as error:
            headers = [("Accept", uas.ACCEPT_INVITE)] if error.status == 415 else []
            if error.status == 488:
                headers.append(warning(self.endpoint.config, error))
            self.endpoint.reply(transaction, error.status, headers=headers)
            return
        invitation = IncomingInvitation(self, transaction, request, offer)
        transaction.owner = invitation
        self.handler.chat_invited(self, invitation)

    # chats

    def chat_started(self, chat: ChatSession, dialog: Dialog) -> None:
        """Take in a chat whose dialog exists."""
        if self._chats is None:
            self._chats = set()
        self._chats.add(chat)
        self.endpoint.dialogs[dialog.id] = chat

    def chat_ended(self, chat: ChatSession, dialog: Dialog) -> None:
        """Let go of a chat that is over."""
        self.endpoint.dialogs.pop(dialog.id, None)
        if self._chats is not None:
            self._chats.discard(chat)
            self._chats = self._chats or None

    # the end

    async def close(self) -> None:
        """End all chats with BYE, then the registration (B-REG-10), and be found no more."""
        await asyncio.gather(*(chat.close() for chat in self._chats or ()))
        if self.registered:
            await self.unregister()
        self._registration = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._settle_joiners(None, ConnectionClosed("the user agent is closed"))
        self.endpoint.pool.remove(self)

    async def __aenter__(self) -> Self:
        await self.register()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
