"""A request on its way: where to, by which transport, with which credentials, and who waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from sipstack import ids
from sipstack.errors import ConnectionClosed, RequestTooLarge, SipstackError, TransactionTimeout
from sipstack.flow import Flow
from sipstack.net.resolver import Servers, Target
from sipstack.sip.headers import split_list
from sipstack.sip.message import Request, Response
from sipstack.sip.outages import Place
from sipstack.sip.redirect import FOLLOWED, Redirects
from sipstack.sip.repair import REPAIRABLE, repair
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
        "_heard",
        "_hop",
        "_on_failure",
        "_on_response",
        "_place",
        "_redirects",
        "_repaired",
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
        hop: Uri | Flow,
        on_response: ResponseCallback,
        on_failure: FailureCallback,
        *,
        digest: DigestClient | None = None,
        dialog: Dialog | None = None,
        forwarding: bool = False,
    ) -> None:
        self._endpoint = endpoint
        self._hop = hop
        self._base = request
        self._attempt = request
        self._digest = digest
        self._dialog = dialog
        self._on_response = on_response
        self._on_failure = on_failure
        self._targets: list[Target] = []
        self._target: Target | Flow | None = None
        self._place: Place | None = None
        self._heard = False
        self._challenges = 0
        self._repaired: tuple[int, ...] = ()
        self._redirects: Redirects | None = None
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

    @property
    def target(self) -> Target | None:
        """Where it was sent last; None when that is a flow that somebody else chose."""
        if not isinstance(self._target, Target):
            return None
        return replace(self._target, transport="TCP") if self._udp_left else self._target

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

    def begin(self) -> None:
        """Send to where the request has to go now."""
        if isinstance(self._hop, Flow):
            self._target = self._hop
            self._send()
        else:
            self._endpoint.locator.find(self._hop, self._start, self._unreachable)

    def _start(self, servers: Servers) -> None:
        """Send to the first of ``servers``, unless it was cancelled while they were looked up."""
        if self.final:
            return
        if self.cancelled:
            self.fail(ConnectionClosed("cancelled before it was sent", certain=True))
            return
        locator = self._endpoint.locator
        if self._base.to.tag is None:
            self._targets = locator.arrange(servers, self._key)
        else:
            # What belongs to a dialog goes out in any case: it is little, and what it ends makes room.
            self._targets = locator.arrange_all(servers, self._key)
        if not self._targets:
            self._leave_alone(locator.pause(servers))
            return
        self._target = self._targets.pop(0)
        self._send()

    def _key(self) -> str:
        """Return for whom the request is: all of one AOR go to the same server while that is there."""
        return self._base.from_.uri.aor

    def _leave_alone(self, seconds: int) -> None:
        """Answer in place of servers that want no requests now (:rfc:`3261#section-21.5.4`)."""
        response = Response.for_request(self._base, 503, headers=[("Retry-After", str(seconds))])

        def answer() -> None:
            if not self.final:
                self.final = True
                self._endpoint.request_done(self)
                self._on_response(response)

        asyncio.get_running_loop().call_soon(answer)

    def response_received(self, response: Response) -> None:
        """Take a response of the transaction."""
        if not self._heard:
            self._heard = True
            if self._place is not None:
                self._endpoint.locator.heard(self._place, response)
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
        # RFC 3263 section 4.3: only where no response came at all, not even a provisional one.
        if not self._heard:
            self._note_failure()
        if self._heard or not self._next_target():
            self._unreachable(TransactionTimeout(f"no answer to {self._base.method}"))

    def transport_failed(self) -> None:
        """Take the news that the request could not be sent, or that its connection is gone."""
        if self._udp_left and not self.cancelled:
            self._udp_left = False
            assert isinstance(self._target, Target)
            self._target = replace(self._target, transport="UDP")
            self._send(switch=False)
            return
        self._note_failure()
        if not self._next_target():
            self._unreachable(ConnectionClosed(f"{self._base.method} could not be delivered"))

    # attempts

    def _hand_on(self, response: Response) -> None:
        if self.forwarding:
            pop_via(response)
        self._on_response(response)

    def _note_failure(self) -> None:
        if self._place is not None:
            self._endpoint.locator.died(self._place)

    def _retry(self, response: Response) -> bool:
        """Send once more what may be accepted then; return whether that was done."""
        if response.status in (401, 407):
            return self._answer_challenge(response)
        if response.status == 503 and self._next_target():
            return True
        return not self.forwarding and (self._mend(response) or self._redirect(response))

    def _mend(self, response: Response) -> bool:
        """Send the request in a form that is understood (A-UAC-09), one try for each kind of objection."""
        if response.status not in REPAIRABLE or response.status in self._repaired:
            return False
        repaired = repair(self._base, response)
        if repaired is None:
            return False
        self._repaired += (response.status,)
        self._base = repaired
        self._renumber()
        self._send()
        return True

    def _redirect(self, response: Response) -> bool:
        """Try the next URI after a 3xx, and after what came of the one before (A-UAC-08)."""
        if self._redirects is None:
            limit = self._endpoint.config.redirects
            is_followed = limit and response.status in FOLLOWED and self._base.method != "REGISTER"
            if not is_followed or self._base.to.tag is not None:
                return False
            self._redirects = Redirects(self._base.uri, limit)
        if response.status in FOLLOWED:
            self._redirects.add(response)
        return response.status < 600 and not response.is_success and self._next_uri()

    def _next_uri(self) -> bool:
        uri = self._redirects.next() if self._redirects is not None and not self.cancelled else None
        if uri is None:
            return False
        if not self._base.headers.get("Route") and self._hop == self._base.uri:
            self._hop = uri
        self._renumber()
        self._base.uri = uri
        self.begin()
        return True

    def _unreachable(self, error: SipstackError) -> None:
        """Take the end of all targets of one URI."""
        if self.final or not self._next_uri():
            self.fail(error)

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
        # RFC 3263 section 4.3: identical to the one before, but for its branch.
        self._target = self._targets.pop(0)
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
        if not self.forwarding:
            for name, value in endpoint.config.network_headers:
                attempt.headers.set(name, value)
        if "Max-Forwards" not in attempt.headers:
            attempt.headers.insert("Max-Forwards", MAX_FORWARDS)
        if self._digest is not None:
            self._digest.authorize(attempt)
        if isinstance(target, Flow):
            flow = target
        else:
            flow = target.flow
            if target.route is not None and attempt.headers.get("Route"):
                attempt.headers.remove_first("Route")
                attempt.headers.insert("Route", f"<{target.route}>")
        attempt.headers.insert("Via", endpoint.via(flow.transport))
        may_switch = switch and isinstance(target, Target) and target.transport == "UDP"
        self._udp_left = may_switch and endpoint.is_too_long(attempt)
        if self._udp_left:
            flow = Flow("TCP", flow.remote)
            attempt.headers.remove_first("Via")
            attempt.headers.insert("Via", endpoint.via("TCP"))
        self._attempt = attempt
        self._heard = False
        self._place = None if isinstance(target, Flow) else (flow.transport, *flow.remote)
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
