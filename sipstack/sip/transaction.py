"""The transaction layer of :rfc:`3261#section-17`: matches messages to transactions and runs their timers.

Feed it with :meth:`~TransactionLayer.receive_message`, :meth:`~TransactionLayer.transport_failed` and
:meth:`~TransactionLayer.handle_timer`; after each of these and after each request of yours take what it has:
:meth:`~TransactionLayer.next_event`, :meth:`~TransactionLayer.data_to_send`, :meth:`~TransactionLayer.get_timer`.
``now`` is always monotonic seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeVar

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.flow import Flow
from sipstack.sip.client_transaction import ClientKey, ClientTransaction, cancel_for, client_key, input_for
from sipstack.sip.events import (
    AckMissing,
    AckReceived,
    CancelReceived,
    RequestReceived,
    RequestTimedOut,
    ResponseReceived,
    TransactionEvent,
    TransactionTerminated,
    TransportFailed,
)
from sipstack.sip.machine import Wires
from sipstack.sip.matching import ack_key, has_cookie, is_bad_branch, merge_key, server_key
from sipstack.sip.message import Request, Response
from sipstack.sip.routing import mark_received, response_flow
from sipstack.sip.server_transaction import ServerKey, ServerTransaction
from sipstack.sip.states import Input, State
from sipstack.sip.timers import TimerValues

__all__ = [
    "AckMissing",
    "AckReceived",
    "CancelReceived",
    "ClientTransaction",
    "RequestReceived",
    "RequestTimedOut",
    "ResponseReceived",
    "ServerTransaction",
    "State",
    "TimerValues",
    "TransactionEvent",
    "TransactionLayer",
    "TransactionTerminated",
    "TransportFailed",
    "mark_received",
    "response_flow",
]


SERVER_LIMIT = 65_536
"""Server transactions at once: each lives for half a minute, and whoever can send a datagram can begin one. Far above
what a core sends in that time, and some 150 MB at worst. What comes on top gets 503 and no memory."""

OVERLOAD_PAUSE = "10"
"""Seconds, the Retry-After of that 503."""

K = TypeVar("K")
T = TypeVar("T")


class TransactionLayer:
    """All transactions of an endpoint. Nothing of a transaction is kept here after its ``TransactionTerminated``."""

    def __init__(self, timers: TimerValues | None = None) -> None:
        self._wires = Wires(timers or TimerValues())
        self._clients: dict[ClientKey, ClientTransaction] = {}
        self._servers: dict[ServerKey, ServerTransaction] = {}
        # other ways to find a server transaction
        self._awaiting_ack: dict[ServerKey, ServerTransaction] = {}
        self._merging: dict[ServerKey, ServerTransaction] = {}

    def __len__(self) -> int:
        """Return how many transactions there are."""
        return len(self._clients) + len(self._servers)

    # what the user wants

    def send_request(self, request: Request, flow: Flow, now: float) -> ClientTransaction:
        """Send a request other than ACK and CANCEL, whose top Via has a branch that was never used before.

        :class:`LocalProtocolError` for an ACK, and for a branch that is missing or in use.
        """
        if request.method in ("ACK", "CANCEL"):
            raise LocalProtocolError(f"{request.method} has a function of its own")
        return self._begin_client(request, flow, now)

    def send_ack(self, request: Request, flow: Flow) -> None:
        """Send an ACK for a 2xx: no transaction, no answer (:rfc:`3261#section-17.1`)."""
        self._wires.outgoing.append((flow, bytes(request)))

    def cancel(self, transaction: ClientTransaction, now: float, reason: str | None = None) -> None:
        """Cancel a pending INVITE as soon as a 1xx allows it (:rfc:`3261#section-9.1`); no-op after a final response.

        The response to the CANCEL is not reported; the INVITE gets its final response as always, or ``RequestTimedOut``
        64*T1 after the CANCEL. ``reason`` is a value of the Reason header (:rfc:`3326`).
        """
        transaction.cancel(now, reason)
        self._settle_client(transaction, now)

    def respond(self, transaction: ServerTransaction, response: Response, now: float, *, repeat: bool = True) -> None:
        """Send a response. A 2xx to INVITE is repeated until its ACK (:rfc:`3261#section-13.3.1.4`) unless ``repeat``
        is False: so proxies pass on a 2xx that its maker repeats.

        :class:`LocalProtocolError` for a 1xx or 408 to a non-INVITE request and for a second final response to INVITE.
        """
        transaction.respond(response, now, repeat=repeat)
        if transaction.is_invite:
            self._expect_ack(transaction, response)
        self._settle_server(transaction)

    def forget(self, transaction: ClientTransaction | ServerTransaction, now: float) -> None:
        """Report nothing more about a transaction. One that still owes the peer a final response ends at once."""
        transaction.forgotten = True
        if isinstance(transaction, ServerTransaction) and not transaction.is_final:
            transaction.end(now)
            self._settle_server(transaction)

    # what happens

    def receive_message(self, message: Request | Response, flow: Flow, now: float) -> None:
        """Take one message from ``flow``. It should have passed ``validate``: a request whose Via, From, To, Call-ID or
        CSeq is unusable raises :class:`ParseError` here, a response is dropped (A-MSG-13).
        """
        if isinstance(message, Request):
            self._receive_request(message, flow, now)
            return
        try:
            transaction = self._match_response(message)
        except ParseError:
            return
        # "the response MUST be dropped" if it matches nothing (RFC 6026 section 7.2, A-ICT-07)
        if transaction is not None:
            transaction.step(input_for(message), now, message)
            self._settle_client(transaction, now)

    def transport_failed(self, flow: Flow, now: float) -> None:
        """Tell that ``flow`` is broken: client transactions on it fail, server transactions look for another way."""
        for client in [client for client in self._clients.values() if _same_way(client.flow, flow)]:
            client.step(Input.TRANSPORT_ERROR, now)
            self._settle_client(client, now)
        for server in [server for server in self._servers.values() if _same_way(server.reply_flow, flow)]:
            if not server.fall_back():
                server.step(Input.TRANSPORT_ERROR, now)

    def handle_timer(self, now: float) -> None:
        """Run all timers that are due."""
        while (due := self._wires.timers.pop_due(now)) is not None:
            transaction, timer = due
            transaction.step(timer, now)
            if isinstance(transaction, ServerTransaction):
                self._settle_server(transaction)
            else:
                assert isinstance(transaction, ClientTransaction)
                self._settle_client(transaction, now)

    # what comes out

    def next_event(self) -> TransactionEvent | None:
        """Return the next event, None when there is none."""
        events = self._wires.events
        return events.popleft() if events else None

    def data_to_send(self) -> list[tuple[Flow, bytes]]:
        """Return what is to be sent since the last call, in order."""
        outgoing = self._wires.outgoing
        data = list(outgoing)
        outgoing.clear()
        return data

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is to be called next, None if there is nothing to wait for."""
        return self._wires.timers.deadline()

    # client side

    def _begin_client(self, request: Request, flow: Flow, now: float) -> ClientTransaction:
        key = client_key(request)
        if key in self._clients:
            raise LocalProtocolError("the branch of the top Via is in use")
        transaction = self._clients[key] = ClientTransaction(request, flow, key, self._wires, now)
        return transaction

    def _match_response(self, response: Response) -> ClientTransaction | None:
        """Find the transaction by branch and CSeq method (:rfc:`3261#section-17.1.3`).

        As many Vias as our request had must be there, ours on top (:rfc:`3261#section-8.1.3.3`,
        :rfc:`3261#section-18.1.2`, A-UAC-07).
        """
        vias = response.vias
        branch = vias[0].branch
        if branch is None:
            return None
        transaction = self._clients.get((branch.lower(), response.cseq.method))
        if transaction is None or len(vias) != transaction.via_count:
            return None
        ours = transaction.request.via
        if vias[0].host.lower() != ours.host.lower() or vias[0].port != ours.port:
            return None
        return transaction

    def _settle_client(self, transaction: ClientTransaction, now: float) -> None:
        if transaction.cancel_due:
            transaction.cancel_due = False
            cancel = self._begin_client(
                cancel_for(transaction.request, transaction.cancel_reason), transaction.flow, now
            )
            cancel.forgotten = True
        if transaction.state is State.TERMINATED and _take_out(self._clients, transaction.key, transaction):
            transaction.emit(TransactionTerminated(transaction))

    # server side

    def _receive_request(self, request: Request, flow: Flow, now: float) -> None:
        if is_bad_branch(request):
            self._refuse(request, flow, 400, "Via Branch Is Empty")  # A-MAT-03
            return
        mark_received(request, flow)
        if request.method == "ACK":
            self._receive_ack(request, now)
            return
        key = server_key(request, request.method)
        transaction = self._servers.get(key)
        if transaction is not None:
            transaction.step(Input.REQUEST, now)
            return
        if len(self._servers) >= SERVER_LIMIT and request.method != "CANCEL":
            self._refuse(request, flow, 503, None, [("Retry-After", OVERLOAD_PAUSE)])
            return
        # first all that can fail, so that nothing half-made stays behind
        merge = merge_key(request) if request.to.tag is None else None
        transaction = self._servers[key] = ServerTransaction(request, flow, key, self._wires, now)
        if request.method == "CANCEL":
            invite = self._servers.get(server_key(request, "INVITE"))
            if invite is not None:
                # "the To tag of the response to the CANCEL and the response to the original request SHOULD be the same"
                transaction.local_tag = invite.local_tag
            transaction.emit(CancelReceived(transaction, request, invite))
            return
        if merge is not None:
            self._look_for_merge(transaction, merge)
        transaction.emit(RequestReceived(transaction, request))

    def _look_for_merge(self, transaction: ServerTransaction, key: ServerKey) -> None:
        """Note a request without To tag that came by another way already (:rfc:`3261#section-8.2.2.2`, A-UAS-04)."""
        if key in self._merging:
            transaction.merged = True
        else:
            self._merging[key] = transaction
            transaction.merge_key = key

    def _receive_ack(self, request: Request, now: float) -> None:
        transaction = self._servers.get(server_key(request, "INVITE")) if has_cookie(request) else None
        if transaction is None:
            transaction = self._awaiting_ack.get(ack_key(request))
        if transaction is None:
            self._wires.events.append(AckReceived(request, None))
            return
        transaction.step(Input.ACK, now, request)
        self._settle_server(transaction)

    def _expect_ack(self, transaction: ServerTransaction, response: Response) -> None:
        """Keep the INVITE findable for an ACK that doesn't have its branch: that of a 2xx, or of an RFC 2543 peer."""
        if transaction.ack_key is None and (response.is_success or not has_cookie(transaction.request)):
            if response.is_final:
                transaction.ack_key = ack_key(response)
                self._awaiting_ack[transaction.ack_key] = transaction

    def _refuse(
        self,
        request: Request,
        flow: Flow,
        status: int,
        reason: str | None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Answer without a transaction: the request cannot begin one."""
        if request.method == "ACK":
            return
        mark_received(request, flow)
        # A stateless answer to a repeat must have the same To tag (RFC 3261 section 8.2.7).
        seed = f"{request.call_id} {request.cseq} {request.from_.tag}"
        tag = hashlib.sha256(seed.encode()).hexdigest()[:16]
        response = Response.for_request(request, status, reason, to_tag=tag, headers=headers)
        self._wires.outgoing.append((response_flow(request, flow), bytes(response)))

    def _settle_server(self, transaction: ServerTransaction) -> None:
        if transaction.state is not State.TERMINATED or not _take_out(self._servers, transaction.key, transaction):
            return
        _take_out(self._awaiting_ack, transaction.ack_key, transaction)
        _take_out(self._merging, transaction.merge_key, transaction)
        transaction.emit(TransactionTerminated(transaction))


def _take_out(mapping: dict[K, T], key: K | None, transaction: T) -> bool:
    """Remove ``transaction`` from ``mapping``; False if another one has its key by now, or none."""
    if key is None or mapping.get(key) is not transaction:
        return False
    del mapping[key]
    return True


SECURE = frozenset({"TLS", "WSS"})


def _same_way(used: Flow, failed: Flow) -> bool:
    """Tell whether what was sent by ``used`` went by ``failed``. A flow that was yet to be opened has no connection."""
    if used.transport != failed.transport or used.remote != failed.remote:
        return False
    if used.transport in SECURE and used.connection is None and failed.connection is None:
        return used.name == failed.name  # who cannot prove one may be good for another
    return used.connection is None or failed.connection is None or used.connection == failed.connection
