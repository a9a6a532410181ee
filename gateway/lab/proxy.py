"""A stateful, record-routing proxy (:rfc:`3261#section-16`), as far as a lab needs it: one target, no forking.

Core and IM server decide where a request goes; this module copies it, guards Max-Forwards, takes our own Routes off,
and carries responses, ACK and CANCEL.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sipstack.errors import ConnectionClosed, SipstackError, TransactionTimeout
from sipstack.flow import Flow
from sipstack.net.client import ClientRequest, next_hop
from sipstack.net.endpoint import Endpoint
from sipstack.net.timers import Timer
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import ServerTransaction, State
from sipstack.sip.uri import Uri

logger = logging.getLogger(__name__)

MAX_FORWARDS = 70
"""Hops for a request that names none (:rfc:`3261#section-16.6`)."""

SILENCE = 4.0
"""Seconds after which a target that has not answered at all counts as gone, as Kamailio's ``fr_timer`` in our
configuration. Much shorter than Timer B and F: a caller wants to know."""


class Proxy:
    """Forwards for one endpoint. Sets the endpoint's hooks for ACK and CANCEL; ``on_request`` is its owner's."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.way: Callable[[Uri], Uri | Flow] = lambda hop: hop
        """Returns how a hop is reached: its owner may know a flow that leads there."""
        self._calls: dict[ServerTransaction, Call] = {}
        endpoint.on_ack = self._forward_ack
        endpoint.on_cancel = self._cancel

    def __len__(self) -> int:
        """How many requests wait for a final response."""
        return len(self._calls)

    # what the owner does with a request

    def copy(self, request: Request) -> Request:
        """Return a copy to change and forward, one hop less to go."""
        headers = request.headers.copy()
        hops = request.max_forwards
        headers.set("Max-Forwards", str(MAX_FORWARDS if hops is None else hops - 1))
        return Request(request.method, request.uri_text, headers, request.body)

    def take_routes(self, request: Request) -> list[Uri]:
        """Remove the Routes at the top of ``request`` that name us and return their URIs (:rfc:`3261#section-16.4`)."""
        routes = request.routes
        own = 0
        while own < len(routes) and self.endpoint.is_local(routes[own].uri):
            own += 1
        if own:
            request.headers.remove("Route")
            for route in routes[own:]:
                request.headers.add("Route", str(route))
        return [route.uri for route in routes[:own]]

    def record_route(self, request: Request, came_by: str, goes_by: str) -> None:
        """Stay in the dialog that ``request`` opens; the transports of both sides, as in Via, empty where it is open.

        Where one side alone uses TLS, each gets an entry of its own (:rfc:`5658#section-3.3`).
        """
        if "TLS" in (came_by, goes_by):
            sides = [came_by] if came_by == goes_by else [came_by, goes_by]
        else:
            sides = ["TCP" if came_by == goes_by == "TCP" else ""]
        for side in sides:
            uri = self.endpoint.uri(transport=side or None).with_param("lr")
            request.headers.insert("Record-Route", f"<{uri}>")

    def relay(
        self,
        transaction: ServerTransaction,
        request: Request,
        hop: Uri,
        *,
        on_unreachable: Callable[[], None] | None = None,
        unreachable_status: int = 480,
    ) -> None:
        """Send ``request``, a copy of that of ``transaction``, to ``hop`` and its responses back.

        ``on_unreachable`` is called when no connection to ``hop`` could be had; the caller gets
        ``unreachable_status`` then.
        """
        call = Call(self, transaction, on_unreachable, unreachable_status)
        self._calls[transaction] = call
        call.start(request, self.way(hop))

    def relay_in_dialog(self, transaction: ServerTransaction, request: Request) -> None:
        """Forward a request inside a dialog along its Routes; refuse one that did not have to come by us."""
        if self.refuse_loop(transaction, request):
            return
        copy = self.copy(request)
        own = self.take_routes(copy)
        hop = next_hop(copy)
        if not own or self.endpoint.is_local(hop):
            self.endpoint.reply(transaction, 481)
            return
        self.relay(transaction, copy, hop, unreachable_status=503)

    def refuse_loop(self, transaction: ServerTransaction, request: Request) -> bool:
        """Answer 483 to a request that has gone far enough."""
        if request.max_forwards != 0:
            return False
        self.endpoint.reply(transaction, 483)
        return True

    # what the endpoint tells

    def _forward_ack(self, request: Request) -> bool:
        if request.max_forwards == 0:
            return False
        copy = self.copy(request)
        own = self.take_routes(copy)
        hop = next_hop(copy)
        if not own or self.endpoint.is_local(hop):
            return False
        self.endpoint.send_stateless(copy, self.way(hop))
        return True

    def _cancel(self, invite: ServerTransaction, request: Request) -> None:
        call = self._calls.get(invite)
        if call is not None:
            call.cancel(request.headers.get("Reason"))

    def forget(self, transaction: ServerTransaction) -> None:
        """A call has its final response."""
        self._calls.pop(transaction, None)


class Call:
    """One request under way: the server transaction it came by and the client transaction it left by."""

    __slots__ = ("_client", "_on_unreachable", "_proxy", "_timer", "_transaction", "_unreachable_status")

    def __init__(
        self,
        proxy: Proxy,
        transaction: ServerTransaction,
        on_unreachable: Callable[[], None] | None,
        unreachable_status: int,
    ) -> None:
        self._proxy = proxy
        self._transaction = transaction
        self._on_unreachable = on_unreachable
        self._unreachable_status = unreachable_status
        self._client: ClientRequest | None = None
        self._timer: Timer | None = None

    def start(self, request: Request, hop: Uri | Flow) -> None:
        """Send the request."""
        endpoint = self._proxy.endpoint
        timers = endpoint.timers
        self._timer = timers.schedule(timers.time() + SILENCE, self._check_silence)
        self._client = endpoint.forward(request, hop, self._response_received, self._failed)

    def cancel(self, reason: str | None) -> None:
        """The caller gave up; the 487 comes from the other side."""
        if self._client is not None:
            self._client.cancel(reason)

    def _response_received(self, response: Response) -> None:
        if response.is_provisional and not self._transaction.is_invite:
            return  # nothing but our own layer's 100 may go back (RFC 4320 section 4.1)
        if response.is_final:
            self._end()
        if response.status == 503:
            # RFC 3261 section 16.7: it is the next hop that has too much to do; a 503 of ours would speak of us.
            response = Response.for_request(self._transaction.request, 500, to_tag=response.to.tag)
        # The target repeats a 2xx to INVITE until its ACK comes by here; we need not.
        self._proxy.endpoint.respond(self._transaction, response, repeat=False)

    def _failed(self, error: SipstackError) -> None:
        self._end()
        if isinstance(error, ConnectionClosed):
            logger.info("%s could not be forwarded: %s", self._transaction.request.method, error)
            if self._on_unreachable is not None:
                self._on_unreachable()
            self._reply(self._unreachable_status)
        elif isinstance(error, TransactionTimeout):
            self._reply_timeout()
        else:
            self._reply(500)

    def _check_silence(self) -> None:
        self._timer = None
        client = self._client
        if client is None or client.final:
            return
        transaction = client.transaction
        if self._transaction.is_invite and transaction is not None and transaction.state is State.PROCEEDING:
            return  # it rings, or a proxy further on works on it
        if self._transaction.is_invite:
            client.cancel()
        client.forget()
        self._end()
        self._reply_timeout()

    def _reply_timeout(self) -> None:
        # 408 is not for non-INVITE requests (RFC 4320 section 4.2); 504 says the same of a server.
        self._reply(408 if self._transaction.is_invite else 504)

    def _reply(self, status: int) -> None:
        if not self._transaction.is_final:
            self._proxy.endpoint.reply(self._transaction, status)

    def _end(self) -> None:
        self._proxy.forget(self._transaction)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
