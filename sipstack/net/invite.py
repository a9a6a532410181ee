"""An INVITE of ours: provisional responses, forks, CANCEL, and the ACKs (RFC 3261 §13.2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, TypeVar

from sipstack.errors import RemoteProtocolError, RequestFailed, SipstackError, TransactionTimeout
from sipstack.net import uas
from sipstack.net.body import SDP
from sipstack.net.client import copy_request, next_hop
from sipstack.net.early import EarlyDialog
from sipstack.net.media import is_secure, parse_description
from sipstack.net.mediasession import MediaSession
from sipstack.net.reinvite import CREDENTIAL_HEADERS, make_ack
from sipstack.sip.dialog import Dialog
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.client import ClientRequest, ResponseCallback
    from sipstack.net.useragent import UserAgent

logger = logging.getLogger(__name__)

SessionT = TypeVar("SessionT", bound=MediaSession)

Packing = Callable[[bytes], tuple[str, bytes]]
"""Makes the body of an INVITE around our session description: content type and octets (multipart/related, say)."""


def _alone(description: bytes) -> tuple[str, bytes]:
    return SDP, description


async def call(
    agent: UserAgent,
    make: Callable[[bool], SessionT],
    *,
    headers: Iterable[tuple[str, str]],
    timeout: float | None = None,
    on_provisional: ResponseCallback | None = None,
    pack: Packing = _alone,
) -> SessionT:
    """Invite the peer of the session that ``make`` returns, and return it when the peer has accepted.

    ``make`` is told whether to go by TLS, and called when our path by MSRP relays is there. ``headers`` come on top of
    those that each of our INVITEs has; ``pack`` puts the session description into a body with more in it. Raise as
    :meth:`UserAgent.invite`, and MediaRefused when there is nothing to offer.
    """
    if agent.relay is not None:
        begin = agent.endpoint.timers.time()
        try:
            async with asyncio.timeout(timeout):
                await agent.relay.ready()
        except TimeoutError:
            raise TransactionTimeout(f"no answer from the MSRP relay in {timeout} s") from None
        if timeout is not None:
            timeout = max(0.0, timeout - (agent.endpoint.timers.time() - begin))
    session = make(is_secure(agent.endpoint.config, None))
    try:
        invite = OutgoingInvite(session, headers, on_provisional, pack)
    except BaseException:
        session.abandon()
        raise
    return await invite.run(timeout)


class OutgoingInvite(Generic[SessionT]):
    """One invitation of a session's peer to it, from INVITE to the last 2xx that may still come."""

    __slots__ = ("_acks", "_agent", "_client", "_early", "_future", "_on_provisional", "_request", "_session")

    def __init__(
        self,
        session: SessionT,
        headers: Iterable[tuple[str, str]],
        on_provisional: ResponseCallback | None,
        pack: Packing,
    ) -> None:
        self._agent = agent = session.agent
        self._on_provisional = on_provisional
        self._session = session
        content_type, body = pack(session.describe(None))
        self._request = agent.create_request(
            "INVITE",
            session.peer,
            headers=[
                *headers,
                ("Allow", uas.ALLOW),
                ("Supported", agent.endpoint.config.supported),
                *session.refreshing.request_headers(),
                ("Accept", SDP),
                ("Content-Type", content_type),
            ],
            body=body,
        )
        self._client: ClientRequest | None = None
        self._future: asyncio.Future[SessionT] = asyncio.get_running_loop().create_future()
        # The ACK of each 2xx by its To tag: a 2xx that comes again wants the same ACK again (A-ICT-05).
        self._acks: dict[str, tuple[Request, Uri]] = {}
        self._early: dict[str, EarlyDialog] = {}
        """Forks that ring, by their To tags (A-DLG-01)."""

    async def run(self, timeout: float | None) -> SessionT:
        """Send the INVITE and return the session of the first 2xx.

        Raise RequestFailed for any other final response, TransactionTimeout, ConnectionClosed, and RemoteProtocolError
        for a 2xx that cannot be used. When the caller gives up (``timeout`` seconds, or cancellation), the INVITE is
        cancelled and a 2xx that comes nevertheless is answered with ACK and BYE.
        """
        self._send()
        try:
            async with asyncio.timeout(timeout):
                return await self._future
        except TimeoutError:
            self._give_up()
            raise TransactionTimeout(f"no answer to INVITE in {timeout} s") from None
        except BaseException:
            self._give_up()
            raise

    def _send(self) -> None:
        agent, request = self._agent, self._request
        self._client = agent.endpoint.send(
            request, next_hop(request), self._response_received, self._failed, digest=agent.digest
        )

    def _give_up(self) -> None:
        assert self._client is not None
        self._client.cancel()
        self._future.cancel()
        if self._session.is_open:
            # The 2xx came in the same turn of the loop in which the caller gave up.
            self._session.hang_up()
        else:
            self._session.abandon()

    def _response_received(self, response: Response) -> None:
        if response.is_provisional:
            self._ringing(response)
        elif response.is_success:
            self._accepted(response)
        elif response.status == 422 and not self._future.done() and self._session.refreshing.raise_interval(response):
            self._ask_for_longer()
        else:
            self._failed(RequestFailed(response))

    def _ringing(self, response: Response) -> None:
        assert self._client is not None
        invite, tag = self._client.request, response.to.tag
        if tag and not self._acks:
            early = self._early.get(tag)
            if early is None:
                early = self._early[tag] = EarlyDialog(self._session, invite, response)
            try:
                if not early.ringing(invite, response):
                    return
            except RemoteProtocolError as error:
                logger.info("%s: %s", self._request.call_id, error)  # the 2xx may do better
        if self._on_provisional is not None:
            self._on_provisional(response)

    def _ask_for_longer(self) -> None:
        """Repeat the INVITE after 422: in the same call, with the interval that was asked for (A-STM-02)."""
        assert self._client is not None
        request, number = self._client.request, self._client.request.cseq.number + 1
        again = copy_request(request)
        again.headers.remove_first("Via")
        for name in ("Session-Expires", "Min-SE", *CREDENTIAL_HEADERS):
            again.headers.remove(name)
        again.headers.set("CSeq", f"{number} INVITE")
        for name, value in self._session.refreshing.request_headers():
            again.headers.add(name, value)
        self._close_early()
        self._early.clear()
        self._request = again
        self._send()

    def _close_early(self) -> None:
        """Let go of the early dialogs; one of them may still be confirmed."""
        for early in self._early.values():
            early.close()

    def _failed(self, error: SipstackError) -> None:
        self._close_early()
        if not self._future.done():
            self._future.set_exception(error)

    def _accepted(self, response: Response) -> None:
        tag = response.to.tag or ""
        known = self._acks.get(tag)
        if known is not None:
            self._send_ack(*known)
            return
        assert self._client is not None
        request, early = self._client.request, self._early.get(tag)
        self._close_early()
        if early is None:
            dialog = Dialog.from_response(request, response)
        else:
            dialog = early.dialog
            dialog.receive_response(request, response)
        ack = make_ack(dialog, request)
        self._acks[tag] = ack, dialog.next_hop
        self._send_ack(ack, dialog.next_hop)
        if self._future.done():
            # Another fork answered first, or nobody wants the session any more (A-INV-02, A-CAN-03).
            self._agent.send_in_dialog(dialog, "BYE")
            return
        try:
            # An answer that came reliably before is the answer (A-OA-03).
            answer = early.description if early is not None else None
            if answer is None:
                answer = parse_description(response)
            if answer is None:
                raise RemoteProtocolError("the 200 to INVITE has no answer")
            self._session.established(dialog, answer, offered=early is None or early.offered, called=False)
        except RemoteProtocolError as error:
            self._agent.send_in_dialog(dialog, "BYE", headers=[("Reason", 'SIP;cause=488;text="Bad answer"')])
            self._failed(error)
            return
        if self._session.is_open:  # whoever was told of it may have ended it at once
            self._session.refreshing.accepted(response)
        self._future.set_result(self._session)

    def _send_ack(self, ack: Request, hop: Uri) -> None:
        self._agent.endpoint.send_stateless(Request(ack.method, ack.uri_text, ack.headers.copy(), ack.body), hop)
