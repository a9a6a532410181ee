"""The SIP and MSRP end of a program: sockets, transactions, timers and who is served by them.

One endpoint serves thousands of user agents. Whatever happens is three steps: feed the transaction layer, hand on its
events, transmit what it wants sent. All of it is synchronous; there is no task and no queue per user agent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from functools import lru_cache
from typing import Any, Self

from sipstack.errors import ConnectionClosed, ParseError, TransactionTimeout
from sipstack.flow import Flow, HostPort
from sipstack.net.addresses import OwnAddresses
from sipstack.net.client import (
    MAX_FORWARDS,
    ClientRequest,
    FailureCallback,
    ResponseCallback,
    ResponseWaiter,
    next_hop,
)
from sipstack.net.config import EndpointConfig
from sipstack.net.connections import Dialling
from sipstack.net.dispatch import DialogUser, Dispatcher, answer_malformed
from sipstack.net.flowcare import FlowCare
from sipstack.net.hub import MsrpHub
from sipstack.net.locator import Locator
from sipstack.net.pool import UserAgentPool
from sipstack.net.pulse import watch_lag
from sipstack.net.pump import TransactionPump
from sipstack.net.resolver import Resolver, Servers
from sipstack.net.timers import TimerHeap
from sipstack.net.transport import SipTransport
from sipstack.net.wallclock import DateTime
from sipstack.sip.dialog import Dialog
from sipstack.sip.digest import DigestClient
from sipstack.sip.headers import Headers
from sipstack.sip.message import Request, Response
from sipstack.sip.overload import Overload
from sipstack.sip.parser import validate
from sipstack.sip.transaction import ClientTransaction, ServerTransaction, TransactionLayer
from sipstack.sip.uri import Uri
from sipstack.trace import Trace

logger = logging.getLogger(__name__)

ROUTE_LIMIT = 256
"""Routes kept to be shared; more than any core has."""

DRAIN_TIMEOUT = 2.0
"""Seconds that ``close()`` gives to requests that still wait for their final response."""

BYE_DRAIN_TIMEOUT = 0.5
"""Seconds for the BYEs of chats that the closing itself has ended."""


class Endpoint:
    """Owns transports, transaction layer, MSRP hub and the timer heap.

    ``on_request`` sees every request first that starts a server transaction; when it returns True it has taken the
    request and will answer it with :meth:`respond`. ``on_ack`` sees each ACK of a 2xx that belongs to no INVITE of
    ours and ``on_cancel`` each CANCEL (answered already) of an INVITE that ``on_request`` took. A proxy or registrar
    needs no more than these and :meth:`forward`, :meth:`send_stateless`.
    """

    def __init__(
        self, config: EndpointConfig | None = None, *, trace: Trace | None = None, resolver: Resolver | None = None
    ) -> None:
        # configuration
        self.config = config or EndpointConfig()
        self.trace = trace
        self.locator = Locator.of(self.config, resolver)
        self.overload = Overload(self.config.max_rate, self.config.max_lag)
        # what it owns; transport, hub and timers exist from start() on
        self.transactions = TransactionLayer(self.config.timers)
        self.pool = UserAgentPool()
        self.dialogs: dict[tuple[str, str, str], DialogUser] = {}
        self.subscriptions: dict[tuple[str, str], DialogUser] = {}
        """Call-ID and our tag of SUBSCRIBEs → who gets the NOTIFYs, the first of which makes the dialog."""
        self._transport: SipTransport | None = None
        self._hub: MsrpHub | None = None
        self._timers: TimerHeap | None = None
        self._pump: TransactionPump | None = None
        # what is under way
        self._requests: set[ClientRequest] = set()
        self.closing = False
        """close() has begun: new requests get 503."""
        self._addresses: OwnAddresses | None = None
        self._care: FlowCare | None = None
        self._date = DateTime()
        self.shared_route: Callable[[tuple[Uri, ...]], tuple[Uri, ...]] = lru_cache(ROUTE_LIMIT)(lambda route: route)
        """Returns an equal route that others may be using too: a core has few, its users many."""
        # callbacks
        self.on_request: Callable[[ServerTransaction, Request], bool] | None = None
        self.on_ack: Callable[[Request], bool] | None = None
        self.on_cancel: Callable[[ServerTransaction, Request], None] | None = None

    # life

    async def start(self) -> None:
        """Bind and listen. Raise OSError when an address or port cannot be had."""
        config = self.config
        loop = asyncio.get_running_loop()
        self._timers = TimerHeap(loop)
        self._transport = transport = SipTransport(
            host=config.bind_host,
            port=config.bind_port,
            udp=config.udp,
            tcp=config.tcp,
            tls_port=config.tls_port,
            dialling=Dialling(frozenset(config.transports), config.tls, config.websocket_path),
            on_message=self._message_received,
            on_failed=self._transport_failed,
            timers=self._timers,
            trace=self.trace,
        )
        await transport.start()
        self._pump = TransactionPump(self.transactions, self._timers, transport, Dispatcher(self).dispatch)
        self._care = FlowCare(config, self._timers, transport)
        local = config.advertise_host or config.bind_host, config.advertise_port or transport.port
        tls_port = config.tls_advertise_port or transport.tls_port
        self._addresses = OwnAddresses(local, config.bind_host, tls_port)
        watch_lag(self._timers, self.overload)
        logger.info("endpoint %s is up", self.sent_by)
        if config.msrp:
            try:
                await self._start_hub()
            except BaseException:
                await self.close()
                raise

    async def _start_hub(self) -> None:
        config = self.config
        bind_host = config.msrp_bind_host or config.bind_host
        host = config.msrp_advertise_host or config.advertise_host or bind_host
        hub = MsrpHub(
            bind=(bind_host, config.msrp_port),
            advertise=(host, config.msrp_advertise_port or 0),
            trace=self.trace,
            allowed=config.msrp_allowed,
            connect_timeout=config.msrp_connect_timeout,
            schedule=self.timers.schedule,
            tls=config.msrp_tls,
            tls_port=config.msrp_tls_port,
            tls_advertise_port=config.msrp_tls_advertise_port or 0,
        )
        await hub.start()
        self._hub = hub

    async def close(self) -> None:
        """Let requests under way end (2 s at most), then close everything. No callback comes afterwards.

        Chats that are still open lose their MSRP connection and so end with a BYE.
        """
        self.closing = True
        if self._transport is None:
            return
        await self._drain(DRAIN_TIMEOUT)
        if self._hub is not None:
            await self._hub.close()
            await self._drain(BYE_DRAIN_TIMEOUT)
        for request in list(self._requests):
            request.fail(ConnectionClosed("the endpoint is closing"))
        await self.locator.close()
        transport, self._transport, self._pump = self._transport, None, None
        if transport is not None:
            await transport.close()
        self.timers.close()
        logger.info("endpoint %s is closed", self.sent_by)

    async def _drain(self, timeout: float) -> None:
        deadline = self.timers.time() + timeout
        while self._requests and self.timers.time() < deadline:
            await asyncio.sleep(0.01)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # addresses

    @property
    def addresses(self) -> OwnAddresses:
        """What Via and Contact tell."""
        assert self._addresses is not None, "the endpoint is not started"
        return self._addresses

    @property
    def local(self) -> HostPort:
        """Host and port as told in Via and Contact, but for TLS and WebSockets."""
        return self.addresses.local

    @property
    def sent_by(self) -> str:
        """``local`` as text, IPv6 in brackets."""
        return self.addresses.sent_by

    @property
    def timers(self) -> TimerHeap:
        """The heap of all timers."""
        assert self._timers is not None, "the endpoint is not started"
        return self._timers

    @property
    def hub(self) -> MsrpHub:
        """The MSRP listener and its connections."""
        assert self._hub is not None, "the endpoint is not started, or has no MSRP"
        return self._hub

    def uri(self, user: str | None = None, transport: str | None = None, *, secure: bool = False) -> Uri:
        """Return a URI that leads to this endpoint; see :meth:`OwnAddresses.uri`."""
        return self.addresses.uri(user, transport, secure=secure)

    def is_local(self, uri: Uri) -> bool:
        """Tell whether ``uri`` names this endpoint by its advertised or bound address."""
        return self.addresses.is_ours(uri)

    def date(self) -> str:
        """Return the time as CPIM writes it, in UTC to the second."""
        return self._date.now()

    def via(self, transport: str) -> str:
        """Return a new Via value for a request by ``transport``."""
        return self.addresses.via(transport)

    def keep_alive(self, flow: Flow, interval: float | None = None) -> None:
        """Keep ``flow`` open (:meth:`SipTransport.keep_alive`), unless the configuration forbids it."""
        if self._care is not None:
            self._care.keep_alive(flow, interval)

    def is_too_long(self, request: Request) -> bool:
        """Tell whether ``request`` must not go in a datagram (A-TRN-01) and need not."""
        return self.config.tcp and len(bytes(request)) > self.config.mtu_limit

    # requests

    def send(
        self,
        request: Request,
        next_hop: Uri | Flow,
        on_response: ResponseCallback,
        on_failure: FailureCallback,
        *,
        digest: DigestClient | None = None,
        dialog: Dialog | None = None,
        forwarding: bool = False,
    ) -> ClientRequest:
        """Send ``request`` (which has no Via of ours) to the next hop; see :class:`ClientRequest` for the callbacks.

        Challenges are answered with ``digest``. ``dialog`` is the one that the request belongs to: its CSeq follows
        when an attempt has to be repeated.
        """
        client = ClientRequest(
            self, request, next_hop, on_response, on_failure, digest=digest, dialog=dialog, forwarding=forwarding
        )
        self._requests.add(client)
        if self._pump is None:
            error = ConnectionClosed("the endpoint is closed", certain=True)
            asyncio.get_running_loop().call_soon(client.fail, error)
        else:
            client.begin()
        return client

    def forward(
        self,
        request: Request,
        next_hop: Uri | Flow,
        on_response: ResponseCallback,
        on_failure: FailureCallback,
    ) -> ClientRequest:
        """Send on a request of somebody else, as a stateful proxy does (:rfc:`3261#section-16.6`).

        ``request`` keeps its Vias, ours is pushed on top; it is taken off the responses that ``on_response`` gets
        (but 100), so that they can go to :meth:`respond` as they are. Max-Forwards, Route and Record-Route are the
        proxy's business.
        """
        return self.send(request, next_hop, on_response, on_failure, forwarding=True)

    async def request(
        self,
        request: Request,
        *,
        route: Uri | Flow | None = None,
        digest: DigestClient | None = None,
        dialog: Dialog | None = None,
        timeout: float | None = None,
        on_provisional: ResponseCallback | None = None,
    ) -> Response:
        """Send ``request`` and return its final response, whatever the status.

        ``route`` is the next hop: None means the first Route, else the Request-URI. Raise TransactionTimeout after
        ``timeout`` seconds or 64·T1 without final response, ConnectionClosed when no target could be reached.
        """
        waiter = ResponseWaiter(on_provisional)
        hop = route or next_hop(request)
        client = self.send(request, hop, waiter.response_received, waiter.failed, digest=digest, dialog=dialog)
        try:
            async with asyncio.timeout(timeout):
                return await waiter.future
        except TimeoutError:
            raise TransactionTimeout(f"no answer to {request.method} in {timeout} s") from None
        finally:
            if not client.final:
                client.forget()

    def send_stateless(self, request: Request, hop: Uri | Flow) -> None:
        """Send a request that gets no answer, an ACK of a 2xx, with a Via of ours on top."""
        if isinstance(hop, Flow):
            self._send_ack(request, hop)
            return

        def send(servers: Servers) -> None:
            self._send_ack(request, self.locator.arrange_all(servers, lambda: request.from_.uri.aor)[0].flow)

        self.locator.find(hop, send, lambda error: logger.info("%s is not sent: %s", request.method, error))

    # responses

    def respond(self, transaction: ServerTransaction, response: Response, *, repeat: bool = True) -> None:
        """Send ``response`` on its transaction. A proxy that passes on a 2xx to INVITE says ``repeat=False``: the one
        who made it repeats it."""
        self.transactions.respond(transaction, response, self.timers.time(), repeat=repeat)
        self._run()

    def reply(
        self,
        transaction: ServerTransaction,
        status: int,
        reason: str | None = None,
        *,
        headers: Headers | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response:
        """Make a response to the request of ``transaction``, send and return it."""
        response = self.make_reply(transaction, status, reason, headers=headers, body=body)
        self.respond(transaction, response)
        return response

    def make_reply(
        self,
        transaction: ServerTransaction,
        status: int,
        reason: str | None = None,
        *,
        headers: Headers | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response:
        """Make a response with our To tag and Server header, without sending it."""
        response = Response.for_request(
            transaction.request, status, reason, to_tag=transaction.local_tag, headers=headers, body=body
        )
        response.headers.add("Server", self.config.user_agent)
        return response

    # for ClientRequest

    def start_transaction(self, request: Request, flow: Flow, owner: ClientRequest) -> ClientTransaction:
        """Send ``request``, which has our Via, by ``flow``."""
        assert self._care is not None, "the endpoint is not started"
        self._care.prepare(request, flow)
        transaction = self.transactions.send_request(request, flow, self.timers.time())
        transaction.owner = owner
        self._run()
        self._care.follow(transaction)
        return transaction

    def cancel_transaction(self, transaction: ClientTransaction, reason: str | None) -> None:
        """CANCEL the INVITE of ``transaction``."""
        self.transactions.cancel(transaction, self.timers.time(), reason)
        self._run()

    def forget_transaction(self, transaction: ClientTransaction) -> None:
        """Hear no more of ``transaction``."""
        self.transactions.forget(transaction, self.timers.time())

    def request_done(self, client: ClientRequest) -> None:
        """Wait no longer for ``client``."""
        self._requests.discard(client)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` as a task that ends with this endpoint at the latest."""
        self.locator.spawn(work)

    def _run(self) -> None:
        if self._pump is not None:
            self._pump.run()

    def _send_ack(self, request: Request, flow: Flow) -> None:
        if "Max-Forwards" not in request.headers:
            request.headers.insert("Max-Forwards", MAX_FORWARDS)
        request.headers.insert("Via", self.via(flow.transport))
        self.transactions.send_ack(request, flow)
        self._run()

    # what comes in

    def _message_received(self, message: Request | Response | ParseError, flow: Flow) -> None:
        if self._pump is None or self._transport is None:
            return
        try:
            if isinstance(message, ParseError):
                raise message
            validate(message)
            self._pump.receive(message, flow)
        except ParseError as error:
            logger.debug("malformed message from %s:%d: %s", *flow.remote, error)
            answer = answer_malformed(error, flow)
            if answer is not None:
                self._transport.send(*answer)

    def _transport_failed(self, flow: Flow, error: Exception) -> None:
        logger.debug("%s", error)
        if self._pump is not None:
            self._pump.flow_failed(flow)
            self.locator.flow_failed(flow)
