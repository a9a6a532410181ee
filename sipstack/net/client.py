"""A request on its way: where to, by which transport, with which credentials, and who waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from sipstack import ids
from sipstack.errors import ConnectionClosed, RequestTooLarge, SipstackError, TransactionTimeout
from sipstack.flow import Flow
from sipstack.net.resolver import Target
from sipstack.sip.headers import split_list
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import ClientTransaction
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.endpoint import Endpoint
    from sipstack.sip.dialog import Dialog
    from sipstack.sip.digest import DigestClient

CHALLENGE_LIMIT = 3
"""Challenges that one request answers (A-REG-10): 407 of a proxy, 401 of the server, one nonce gone stale."""

MAX_FORWARDS = "70"
"""Hops that a request of ours may take (:rfc:`3261#section-8.1.1.6`)."""

ResponseCallback = Callable[[Response], None]
FailureCallback = Callable[[SipstackError], None]


class ClientRequest:
    """One request with all its attempts: made by :meth:`Endpoint.send` and :meth:`Endpoint.forward`.

    ``on_response`` gets 101-199, the final response, and each further 2xx of an INVITE. ``on_failure`` gets
    TransactionTimeout, ConnectionClosed or RequestTooLarge instead of a final response. Neither is called before the
    call that made this object has returned, unless from inside :meth:`cancel`.
    """

    __slots__ = (
        "_attempt",
        "_base",
        "_challenges",
        "_dialog",
        "_digest",
        "_endpoint",
        "_on_failure",
        "_on_response",
        "_target",
        "_targets",
        "_udp_left",
        "cancelled",
        "final",
        "forwarding",
        "transaction",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        request: Request,
        on_response: ResponseCallback,
        on_failure: FailureCallback,
        *,
        digest: DigestClient | None = None,
        dialog: Dialog | None = None,
        forwarding: bool = False,
    ) -> None:
        self._endpoint = endpoint
        self._base = request
        self._attempt = request
        self._digest = digest
        self._dialog = dialog
        self._on_response = on_response
        self._on_failure = on_failure
        self._targets: list[Target] = []
        self._target: Target | Flow | None = None
        self._challenges = 0
        # The request is big and went to TCP: when that is refused, UDP is left to try (A-TRN-01).
        self._udp_left = False
        self.forwarding = forwarding
        self.transaction: ClientTransaction | None = None
        self.cancelled = False
        self.final = False

    @property
    def request(self) -> Request:
        """The request as it was sent last, with our Via and its credentials: what an ACK has to repeat."""
        return self._attempt

    def cancel(self, reason: str | None = None) -> None:
        """Give up an INVITE: CANCEL it once it has been answered provisionally (A-CAN-01). Its final response, 487
        or a 2xx that overtook us, still comes."""
        if self.cancelled or self.final:
            return
        self.cancelled = True
        if self.transaction is not None:
            self._endpoint.cancel_transaction(self.transaction, reason)
        else:
            self.fail(ConnectionClosed("cancelled before it was sent", certain=True))

    def forget(self) -> None:
        """Lose interest: no callback will come."""
        self.final = True
        self._on_response = self._on_failure = _ignore
        self._endpoint.request_done(self)
        if self.transaction is not None:
            self._endpoint.forget_transaction(self.transaction)

    def fail(self, error: SipstackError) -> None:
        """End without a response."""
        if not self.final:
            self.final = True
            self._endpoint.request_done(self)
            self._on_failure(error)

    # what the endpoint calls

    def start(self, targets: list[Target]) -> None:
        """Send to the first of ``targets``, unless it was cancelled while they were looked up."""
        if self.final:
            return
        self._targets = targets
        self._target = self._targets.pop(0)
        self._send()

    def start_on(self, flow: Flow) -> None:
        """Send by ``flow``."""
        self._target = flow
        self._send()

    def response_received(self, response: Response) -> None:
        """Take a response of the transaction."""
        if self.final and not response.is_success:
            return
        if response.is_provisional:
            if response.status != 100:
                self._hand_on(response)
            return
        if not self.final and not self.cancelled and self._retry(response):
            return
        if not self.final:
            self.final = True
            self._endpoint.request_done(self)
        self._hand_on(response)

    def timed_out(self) -> None:
        """Take the end of the transaction without a final response."""
        if not self._next_target():
            self.fail(TransactionTimeout(f"no answer to {self._base.method}"))

    def transport_failed(self) -> None:
        """Take the news that the request could not be sent, or that its connection is gone."""
        if self._udp_left and not self.cancelled:
            self._udp_left = False
            assert isinstance(self._target, Target)
            self._target = Target("UDP", self._target.host, self._target.port)
            self._send(switch=False)
        elif not self._next_target():
            self.fail(ConnectionClosed(f"{self._base.method} could not be delivered"))

    # attempts

    def _hand_on(self, response: Response) -> None:
        if self.forwarding:
            pop_via(response)
        self._on_response(response)

    def _retry(self, response: Response) -> bool:
        if response.status in (401, 407):
            return self._answer_challenge(response)
        return response.status == 503 and self._next_target()

    def _answer_challenge(self, response: Response) -> bool:
        if self._digest is None or self._challenges == CHALLENGE_LIMIT:
            return False
        if not self._digest.receive_challenge(self._attempt, response):
            return False
        self._challenges += 1
        self._renumber()
        self._send()
        return True

    def _next_target(self) -> bool:
        if not self._targets or self.cancelled or self.final:
            return False
        self._target = self._targets.pop(0)
        if not self.forwarding:
            self._renumber()
        self._send()
        return True

    def _renumber(self) -> None:
        # A-UAC-03: another attempt is another request of the same dialog or call, so it counts.
        number = self._base.cseq.number + 1
        if self._dialog is not None:
            self._dialog.local_cseq = number = max(number, self._dialog.local_cseq + 1)
        base = copy_request(self._base)
        base.headers.set("CSeq", f"{number} {base.method}")
        self._base = base

    def _send(self, *, switch: bool = True) -> None:
        endpoint, target = self._endpoint, self._target
        assert target is not None
        attempt = copy_request(self._base)
        if "Max-Forwards" not in attempt.headers:
            attempt.headers.insert("Max-Forwards", MAX_FORWARDS)
        if self._digest is not None:
            self._digest.authorize(attempt)
        flow = target if isinstance(target, Flow) else target.flow
        attempt.headers.insert("Via", endpoint.via(flow.transport))
        if flow.transport == "UDP" and switch and endpoint.is_too_long(attempt) and isinstance(target, Target):
            self._udp_left = True
            flow = Flow("TCP", flow.remote)
            attempt.headers.remove_first("Via")
            attempt.headers.insert("Via", endpoint.via("TCP"))
        self._attempt = attempt
        if attempt.method == "MESSAGE" and self._dialog is None and not self.forwarding and self._is_too_large(attempt):
            return
        self.transaction = endpoint.start_transaction(attempt, flow, self)

    def _is_too_large(self, page: Request) -> bool:
        """Fail a MESSAGE that must not be sent (A-EXT-06). Its credentials count, so it may be known only when they
        are asked for; whoever asked has not passed it on."""
        size, limit = len(bytes(page)), self._endpoint.config.max_page_size
        if size > limit:
            asyncio.get_running_loop().call_soon(self.fail, RequestTooLarge(size, limit))
        return size > limit


class ResponseWaiter:
    """The callbacks of a request whose final response somebody awaits: ``future``."""

    __slots__ = ("_on_provisional", "future")

    def __init__(self, on_provisional: ResponseCallback | None) -> None:
        self._on_provisional = on_provisional
        self.future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def response_received(self, response: Response) -> None:
        """Take a response."""
        if response.is_provisional:
            if self._on_provisional is not None:
                self._on_provisional(response)
        elif not self.future.done():
            self.future.set_result(response)

    def failed(self, error: SipstackError) -> None:
        """Take the news that there will be none."""
        if not self.future.done():
            self.future.set_exception(error)


def copy_request(request: Request) -> Request:
    """Return a request that can be changed without touching ``request``."""
    return Request(request.method, request.uri_text, request.headers.copy(), request.body)


def pop_via(response: Response) -> None:
    """Remove the top Via value, which is ours, from a response that is passed on (:rfc:`3261#section-16.7`)."""
    rest = split_list(response.headers.get("Via", ""))[1:]
    response.headers.remove_first("Via")
    if rest:
        response.headers.insert("Via", ", ".join(rest))


def next_hop(request: Request) -> Uri:
    """Return where ``request`` has to go: its first Route, else its Request-URI (:rfc:`3261#section-8.1.2`)."""
    routes = request.routes
    return routes[0].uri if routes else request.uri


def new_via(transport: str, sent_by: str) -> str:
    """Return a Via with a new branch and a bare rport (:rfc:`3581#section-3`)."""
    return f"SIP/2.0/{transport} {sent_by};branch={ids.branch()};rport"


def _ignore(_: object) -> None:
    pass
