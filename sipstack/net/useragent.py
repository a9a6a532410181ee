"""One identity: its registration, its requests, its chats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

from sipstack import ids
from sipstack.errors import SipstackError
from sipstack.msrp.stream import Sink, Source
from sipstack.net import uas
from sipstack.net.binding import Binding
from sipstack.net.chat import ChatHandler, ChatSession
from sipstack.net.client import MAX_FORWARDS, ResponseCallback, next_hop
from sipstack.net.dialogsession import DialogSession
from sipstack.net.features import CHAT_FEATURES, accept_contact, feature_text
from sipstack.net.fileoffer import Icon, IncomingFile, fetch_file, send_file
from sipstack.net.filereceiver import FileReceiver
from sipstack.net.filesender import FileSender
from sipstack.net.filetransfer import FileHandler
from sipstack.net.flows import Flows
from sipstack.net.identity import AgentHandler, Identity, SilentAgent
from sipstack.net.invitation import IncomingInvitation, IncomingPage, IncomingProbe
from sipstack.net.invite import call
from sipstack.net.mediasession import MediaSession
from sipstack.net.profile import RCS
from sipstack.net.reception import receive
from sipstack.net.relay import RelayAccess
from sipstack.sdp_file import FileAttributes
from sipstack.sip.address import Address
from sipstack.sip.digest import DigestClient
from sipstack.sip.digest_relay import RelayCredentials
from sipstack.sip.message import Request, Response
from sipstack.sip.privacy import ANONYMOUS, ANONYMOUS_NAME
from sipstack.sip.registration import Pacer, Registered
from sipstack.sip.routing import initial_routes, wanted_transport
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Parameters, Uri

if TYPE_CHECKING:
    from sipstack.net.client import ClientRequest
    from sipstack.net.endpoint import Endpoint
    from sipstack.sip.dialog import Dialog

__all__ = [
    "AgentHandler",
    "Identity",
    "IncomingFile",
    "IncomingInvitation",
    "IncomingPage",
    "IncomingProbe",
    "SilentAgent",
    "UserAgent",
]

UNREGISTER_TIMEOUT = 4.0
"""Seconds that ``unregister()`` waits for the registrar; the binding expires by itself anyway."""


class UserAgent:
    """One identity on an endpoint. It is found by incoming requests from its creation until :meth:`close`.

    ``domain`` is the registrar (``sip:ims.example``), ``outbound_proxy`` the next hop of everything outside a dialog,
    as pre-loaded Route. ``async with`` registers and, at the end, closes.
    """

    __slots__ = (
        "_binding",
        "_sessions",
        "_digest",
        "_paging",
        "_relay",
        "domain",
        "endpoint",
        "expires",
        "features",
        "gruu",
        "handler",
        "identity",
        "initial_authorization",
        "on_options",
        "outbound_proxy",
        "privacy",
        "profile",
        "proxies",
        "tag",
        "watch_registration",
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
        self.profile = RCS
        """What services are called in this network."""
        self.privacy = ""
        """Privacy (:rfc:`3323`) of requests outside dialogs, so that peers don't learn who we are; empty: none."""
        self.watch_registration = False
        """Whether to have the registrar tell when it changes our binding (B-REG-08)."""
        self.gruu = False
        """Whether to ask for URIs that lead to this device from anywhere (:rfc:`5627`), and to use them."""
        self.proxies: tuple[Uri, ...] = ()
        """Outbound proxies to be registered by at once, with a flow each (:rfc:`5626`); empty: no flows are made."""
        self.tag: Any = None
        """For the owner's own use."""
        # state
        self._binding: Binding | Flows | None = None
        self._digest: DigestClient | None = None
        self._sessions: set[DialogSession] | None = None
        self._relay: RelayAccess | None = None
        self._paging: WeakValueDictionary[str, asyncio.Lock] | None = None
        """Target → lock, held while a MESSAGE to it is pending; gone when nobody holds it or waits for it."""
        endpoint.pool.add(self)

    def __repr__(self) -> str:
        return f"<UserAgent {self.identity.aor}>"

    # registration

    @property
    def registered(self) -> bool:
        """Whether the registrar has our binding, as far as we know."""
        return self._binding is not None and self._binding.active

    @property
    def service_route(self) -> tuple[Uri, ...]:
        """Route behind the outbound proxy that the registrar gave us (:rfc:`3608`)."""
        return self._binding.service_route if self._binding is not None else ()

    @property
    def associated_uris(self) -> tuple[Uri, ...]:
        """Identities that the registrar lets us use (:rfc:`7315#section-4.1`)."""
        return self._binding.associated_uris if self._binding is not None else ()

    @property
    def preferred_identity(self) -> Uri:
        """Who the core is to say that we are: our address, unless the registrar lets us use others only (B-REG-04)."""
        aor, allowed = self.identity.aor, self.associated_uris
        return aor if not allowed or any(uri.aor == aor.aor for uri in allowed) else allowed[0]

    async def register(self) -> Registered:
        """Register, or refresh now; from then on the binding is kept alive without further calls.

        Raise RequestFailed when the registrar refuses, TransactionTimeout or ConnectionClosed when it does not answer.
        After a temporary failure the next try is scheduled all the same; :meth:`unregister` or :meth:`close` ends that.
        """
        return await self._need_binding().register()

    async def unregister(self, timeout: float = UNREGISTER_TIMEOUT, *, left_behind: bool = False) -> None:
        """Remove our binding, and no other. Return when the registrar has answered, or after ``timeout`` seconds.

        ``left_behind``: a process that died may have registered us, with the same address and Contact token.
        """
        if left_behind:
            await self._need_binding().unregister(timeout, left_behind=True)
        elif self._binding is not None:
            await self._binding.unregister(timeout)

    def schedule_registration(self, not_before: float) -> None:
        """Register in the background, not before that time (monotonic): for many user agents at start-up."""
        self._need_binding().register_later(not_before)

    def move(self, pacer: Pacer) -> bool:
        """Register anew, when ``pacer`` lets us, if our requests go to another server of the core than the one that has
        our binding. Return whether they do."""
        return self._binding is not None and self._binding.move(pacer)

    def _need_binding(self) -> Binding | Flows:
        if self._binding is None:
            if len(self.proxies) > 1:
                self._binding = Flows(self, self.proxies)
            else:
                proxy = self.proxies[0] if self.proxies else self.outbound_proxy
                self._binding = Binding(self, proxy, 1 if self.proxies else None)
        return self._binding

    # requests

    @property
    def digest(self) -> DigestClient | None:
        """What answers challenges of requests other than REGISTER; made when first needed."""
        if self._digest is None and self.identity.credentials is not None:
            self._digest = DigestClient(self.identity.credentials)
        return self._digest

    @property
    def relay(self) -> RelayAccess | None:
        """Our path through MSRP relays, None where there are none; made when first needed."""
        relays, credentials = self.endpoint.config.msrp_relays, self.identity.credentials
        if self._relay is None and relays and credentials is not None:
            self._relay = RelayAccess(self.endpoint.hub, relays, RelayCredentials(credentials), self)
        return self._relay

    def contact(self) -> str:
        """Return our Contact: our GRUU where we have one, else as it was registered (B-REG-02)."""
        binding = self._binding
        if binding is None or not (binding.outbound or binding.pub_gruu):
            return self.plain_contact()
        # RFC 5626, section 4.3: what belongs to the dialog shall come by the flow that begins it.
        return self._told(binding.pub_gruu or self._own_uri().with_param("ob"))

    def plain_contact(self) -> str:
        """Return our Contact with instance id and feature tags, as it is where the registrar adds nothing."""
        return self._told(self._own_uri())

    def _told(self, uri: Uri) -> str:
        return f'<{uri}>;+sip.instance="<{self.identity.instance_id}>"{feature_text(self.features)}'

    def _own_uri(self) -> Uri:
        config, proxy = self.endpoint.config, self.outbound_proxy
        secure = proxy is not None and proxy.scheme == "sips"
        transport = wanted_transport(proxy) if proxy is not None else None
        if transport is None and (secure or not config.udp):
            transport = "TLS" if secure else config.transports[0]
        return self.endpoint.uri(self.identity.contact_token, transport, secure=secure)

    def create_request(
        self, method: str, uri: Uri, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Request:
        """Return a request outside any dialog: From us to ``uri``, by outbound proxy and Service-Route."""
        identity = self.identity
        tag = (("tag", ids.tag()),)
        sender = Address(ANONYMOUS, ANONYMOUS_NAME, tag) if self.privacy else None
        sender = sender or Address(identity.aor, identity.display_name, tag)
        fields = [("Max-Forwards", MAX_FORWARDS), *self._routes()]
        fields += [
            ("From", str(sender)),
            ("To", f"<{uri}>"),
            ("Call-ID", ids.call_id()),
            ("CSeq", f"1 {method}"),
            ("P-Preferred-Identity", f"<{self.preferred_identity}>"),
            ("User-Agent", self.endpoint.config.user_agent),
        ]
        if method != "MESSAGE":
            fields.append(("Contact", self.contact()))
        if self.privacy:
            fields.append(("Privacy", self.privacy))
        return Request(method, uri, [*fields, *headers], body)

    def complete(self, request: Request) -> None:
        """Give a request outside any dialog that was made elsewhere what ours have: its routes, and who sends it."""
        for name, value in reversed(self._routes()):
            request.headers.insert(name, value)
        request.headers.add("P-Preferred-Identity", f"<{self.preferred_identity}>")

    def _routes(self) -> list[tuple[str, str]]:
        return [("Route", f"<{route}>") for route in initial_routes(self.outbound_proxy, self.service_route)]

    async def options(self, uri: Uri, *, timeout: float | None = None) -> Response:
        """Ask what ``uri`` can (B-CAP-01) and return the final response. Raise as :meth:`Endpoint.request`."""
        headers = [
            *([("Accept-Contact", accept_contact(self.features))] if self.profile.is_rcs else ()),
            ("Accept", "application/sdp"),
            ("Allow", uas.ALLOW),
            ("Supported", self.endpoint.config.supported),
        ]
        request = self.create_request("OPTIONS", uri, headers=headers)
        return await self.endpoint.request(request, digest=self.digest, timeout=timeout)

    async def message(
        self,
        uri: Uri,
        body: bytes,
        content_type: str = "text/plain",
        *,
        headers: Iterable[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> Response:
        """Send a SIP MESSAGE (RFC 3428) and return the final response. Raise as :meth:`Endpoint.request`, and
        RequestTooLarge beyond 1300 octets, header and credentials counted (A-EXT-06).

        One to the same ``uri`` that is pending goes first (A-EXT-08); ``timeout`` counts from then on.
        """
        if self._paging is None:
            self._paging = WeakValueDictionary()
        lock = self._paging.get(uri.aor)
        if lock is None:
            lock = self._paging[uri.aor] = asyncio.Lock()
        async with lock:
            fields = [*headers, ("Content-Type", content_type)]
            request = self.create_request("MESSAGE", uri, headers=fields, body=body)
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
        all), ConnectionClosed; RemoteProtocolError when our MSRP relay refuses us. Whoever gives up, by timeout or
        cancellation, has the INVITE cancelled.
        """
        return await call(
            self,
            lambda secure: ChatSession(self, uri, handler, secure=secure),
            headers=[*self.profile.chat_headers(), *headers],
            timeout=timeout,
            on_provisional=on_provisional,
        )

    async def send_file(
        self,
        uri: Uri,
        file: FileAttributes,
        source: Source,
        handler: FileHandler,
        *,
        icon: Icon | None = None,
        start: int = 1,
        notify: bool = False,
        headers: Iterable[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> FileSender:
        """Offer ``file`` (D-FTM-04), which ``source`` has, and return its transfer when the peer has accepted.

        ``icon`` (content type, octets) goes along where the peer can take it (D-FTM-10); ``start``, counted from 1,
        offers the rest of a file whose beginning the peer has (D-FTM-08); ``notify`` asks for notifications. Raise as
        :meth:`invite`: RequestFailed 603 when declined, 488 or 413 when too large; RemoteProtocolError when the answer
        does not fit, as for a file that is larger than the peer takes.
        """
        return await send_file(
            self, uri, file, source, handler, icon, start=start, notify=notify, headers=headers, timeout=timeout
        )

    async def fetch_file(
        self,
        uri: Uri,
        file: FileAttributes,
        sink: Sink,
        handler: FileHandler,
        *,
        start: int = 1,
        limit: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
        timeout: float | None = None,
    ) -> FileReceiver:
        """Ask for the one file that ``file.selector`` fits (D-FTM-05), and return its transfer when the peer agrees.

        ``start`` as in :meth:`send_file`; ``limit`` is how many octets the file may have where nobody tells its size.
        Raise as :meth:`invite`.
        """
        return await fetch_file(
            self, uri, file, sink, handler, start=start, limit=limit, headers=headers, timeout=timeout
        )

    def send_in_dialog(
        self,
        dialog: Dialog,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        on_end: Callable[[object], None] | None = None,
    ) -> ClientRequest:
        """Send a request inside ``dialog``; ``on_end`` gets the final response or the error."""
        config = self.endpoint.config
        fields = [*headers, ("Supported", config.supported), ("User-Agent", config.user_agent)]
        request = dialog.create_request(method, headers=fields)

        def ended(outcome: object) -> None:
            if on_end is not None and not (isinstance(outcome, Response) and outcome.is_provisional):
                on_end(outcome)

        return self.endpoint.send(request, next_hop(request), ended, ended, digest=self.digest, dialog=dialog)

    # what comes in

    def request_received(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer a request that is for us and passed :func:`sipstack.net.uas.refuse`."""
        receive(self, transaction, request)

    # sessions

    def session_started(self, session: DialogSession, dialog: Dialog) -> None:
        """Take in a session whose dialog exists."""
        dialog.route_set = self.endpoint.shared_route(dialog.route_set)
        if self._sessions is None:
            self._sessions = set()
        self._sessions.add(session)
        self.endpoint.dialogs[dialog.id] = session

    def session_ended(self, session: DialogSession, dialog: Dialog) -> None:
        """Let go of a session that is over."""
        self.endpoint.dialogs.pop(dialog.id, None)
        if self._sessions is not None:
            self._sessions.discard(session)
            self._sessions = self._sessions or None

    @property
    def has_sessions(self) -> bool:
        """Whether there are sessions with anybody."""
        return self._sessions is not None

    def path_changed(self, error: SipstackError | None) -> None:
        """Move all sessions to the path that we have by our MSRP relays now; ``error`` is why there is none."""
        for session in tuple(self._sessions or ()):
            if isinstance(session, MediaSession):
                session.path_changed(error)

    # the end

    async def close(self, timeout: float = UNREGISTER_TIMEOUT) -> None:
        """End all sessions with BYE, then the registration (B-REG-10), and be found no more.

        ``timeout`` is how many seconds to wait for the registrar; 0 sends what can be sent now and waits for nothing.
        """
        await asyncio.gather(*(session.close() for session in self._sessions or ()))
        if self._binding is not None:
            if self._binding.may_exist:
                await self.unregister(timeout)
            self._binding.close()
            self._binding = None
        if self._relay is not None:
            self._relay.close()
        self.endpoint.pool.remove(self)

    async def __aenter__(self) -> Self:
        await self.register()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
