"""Who gets what the transaction layer reports: requests under way, dialogs, user agents, or the hooks of a proxy."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from sipstack import ids
from sipstack.errors import ParseError, SipstackError
from sipstack.flow import Flow
from sipstack.net import uas
from sipstack.net.client import ClientRequest
from sipstack.sip.dialog import dialog_id
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import (
    AckMissing,
    AckReceived,
    CancelReceived,
    RequestReceived,
    RequestTimedOut,
    ResponseReceived,
    ServerTransaction,
    TransactionEvent,
    TransactionTerminated,
    TransportFailed,
    mark_received,
    response_flow,
)

if TYPE_CHECKING:
    from sipstack.net.endpoint import Endpoint

logger = logging.getLogger(__name__)

REASON_LENGTH = 80
"""Characters of an error text that go into a reason phrase."""


class DialogUser(Protocol):
    """Who gets the requests inside a dialog."""

    def request_received(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer ``request``."""


class InviteUser(Protocol):
    """Who answers an INVITE: the ``owner`` of its server transaction."""

    def cancelled(self, request: Request) -> None:
        """The caller gave up: answer 487."""

    def ack_received(self, request: Request) -> None:
        """The 2xx arrived."""

    def ack_missing(self) -> None:
        """The 2xx was never acknowledged: end the dialog."""


class Dispatcher:
    """Hands the events of an endpoint to those they are for."""

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def dispatch(self, event: TransactionEvent) -> None:
        """Hand on one event. What its receiver raises is answered and logged: it must not stop the others."""
        try:
            self._hand_on(event)
        except Exception as error:
            self._failed(event, error)

    def _hand_on(self, event: TransactionEvent) -> None:
        match event:
            case ResponseReceived(transaction=client, response=response):
                if isinstance(client.owner, ClientRequest):
                    client.owner.response_received(response)
            case RequestReceived(transaction=server, request=request):
                self._request_received(server, request)
            case AckReceived():
                self._ack_received(event)
            case CancelReceived(transaction=server, request=request, invite=invite):
                self._cancel_received(server, request, invite)
            case RequestTimedOut(transaction=client):
                if isinstance(client.owner, ClientRequest):
                    client.owner.timed_out()
            case TransportFailed(transaction=transaction):
                if isinstance(transaction.owner, ClientRequest):
                    transaction.owner.transport_failed()
            case AckMissing(transaction=server, success=success):
                if success and server.owner is not None:
                    server.owner.ack_missing()
            case TransactionTerminated(transaction=transaction):
                transaction.owner = None

    def _failed(self, event: TransactionEvent, error: Exception) -> None:
        malformed = isinstance(error, ParseError)
        if isinstance(event, RequestReceived) and not event.transaction.is_final:
            status, reason = (error.status, _reason(error)) if isinstance(error, ParseError) else (500, None)
            self._endpoint.reply(event.transaction, status, reason)
        if malformed:
            logger.debug("malformed message: %s", error)
        else:
            logger.exception("handling %s failed", type(event).__name__, exc_info=error)

    def _request_received(self, transaction: ServerTransaction, request: Request) -> None:
        endpoint = self._endpoint
        if endpoint.on_request is not None and endpoint.on_request(transaction, request):
            return
        if endpoint.closing:
            endpoint.reply(transaction, 503, headers=[("Retry-After", "5")])
            return
        overload = endpoint.overload
        if overload.is_late or overload.max_rate:
            pause = overload.refuse(request, endpoint.timers.time())
            if pause is not None:
                endpoint.reply(transaction, 503, headers=[("Retry-After", str(pause))])
                return
        # In the order of A-UAS-01: the method, whom it is for, then what it asks of them.
        refusal = uas.refuse_method(request)
        if refusal is None:
            user = self._find(request)
            if user is None:
                # A-DLG-08: there is no such dialog; or nobody here has this address.
                refusal = uas.Refusal(404 if request.to.tag is None else 481)
            else:
                refusal = uas.refuse_content(request, endpoint.config.supported_options, merged=transaction.merged)
                if refusal is None:
                    user.request_received(transaction, request)
                    return
        endpoint.reply(transaction, refusal.status, headers=refusal.headers)

    def _find(self, request: Request) -> DialogUser | None:
        endpoint = self._endpoint
        if request.method == "NOTIFY":
            # It may come before the answer to the SUBSCRIBE, so the tag of its sender may not be known.
            subscriber = endpoint.subscriptions.get((request.call_id, request.to.tag or ""))
            if subscriber is not None:
                return subscriber
        if request.to.tag is not None:
            return endpoint.dialogs.get(dialog_id(request))
        return endpoint.pool.find(request)

    def _ack_received(self, event: AckReceived) -> None:
        endpoint, request, transaction = self._endpoint, event.request, event.transaction
        if transaction is not None and transaction.owner is not None:
            if not event.repeated:
                transaction.owner.ack_received(request)
        elif endpoint.on_ack is not None:
            endpoint.on_ack(request)

    def _cancel_received(
        self, transaction: ServerTransaction, request: Request, invite: ServerTransaction | None
    ) -> None:
        endpoint = self._endpoint
        endpoint.reply(transaction, 481 if invite is None else 200)  # A-CAN-04
        if invite is None or invite.is_final:
            return
        if invite.owner is not None:
            invite.owner.cancelled(request)
        elif endpoint.on_cancel is not None:
            endpoint.on_cancel(invite, request)


def answer_malformed(error: ParseError, flow: Flow) -> tuple[Flow, bytes] | None:
    """Return the stateless answer to a malformed request and where it goes; None when it deserves none (A-MSG-13)."""
    request = error.message
    if not isinstance(request, Request) or request.method == "ACK" or "Via" not in request.headers:
        return None
    try:
        mark_received(request, flow)
        remote = response_flow(request, flow)
    except SipstackError:
        remote = flow  # the top Via says nothing: back to where it came from (RFC 4475 §3.1.2.1)
    try:
        return remote, bytes(Response.for_request(request, error.status, _reason(error), to_tag=ids.tag()))
    except SipstackError:
        return None  # nor can it be answered


def _reason(error: ParseError) -> str:
    return " ".join(str(error).split())[:REASON_LENGTH]
