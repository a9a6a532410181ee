"""An INVITE of ours: provisional responses, forks, CANCEL, and the ACKs (RFC 3261 §13.2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sipstack.errors import RemoteProtocolError, RequestFailed, SipstackError, TransactionTimeout
from sipstack.net import uas
from sipstack.net.chat import ChatHandler, ChatSession
from sipstack.net.client import next_hop
from sipstack.net.features import accept_contact
from sipstack.net.media import is_secure, parse_description
from sipstack.sip.dialog import Dialog
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.client import ClientRequest, ResponseCallback
    from sipstack.net.useragent import UserAgent

logger = logging.getLogger(__name__)

CREDENTIAL_HEADERS = ("Authorization", "Proxy-Authorization")


class OutgoingInvite:
    """One invitation to a chat, from INVITE to the last 2xx that may still come."""

    __slots__ = ("_acks", "_agent", "_chat", "_client", "_future", "_on_provisional", "_request")

    def __init__(
        self,
        agent: UserAgent,
        uri: Uri,
        handler: ChatHandler | None,
        headers: Iterable[tuple[str, str]],
        on_provisional: ResponseCallback | None = None,
    ) -> None:
        self._agent = agent
        self._on_provisional = on_provisional
        self._chat = ChatSession(agent, uri, handler, secure=is_secure(agent.endpoint.config, None))
        self._request = agent.create_request(
            "INVITE",
            uri,
            headers=[
                ("Accept-Contact", accept_contact(agent.features)),
                ("Allow", uas.ALLOW),
                ("Supported", uas.SUPPORTED),
                ("Accept", "application/sdp"),
                *headers,
                ("Content-Type", "application/sdp"),
            ],
            body=self._chat.describe(None),
        )
        self._client: ClientRequest | None = None
        self._future: asyncio.Future[ChatSession] = asyncio.get_running_loop().create_future()
        # The ACK of each 2xx by its To tag: a 2xx that comes again wants the same ACK again (A-ICT-05).
        self._acks: dict[str, tuple[Request, Uri]] = {}

    async def run(self, timeout: float | None) -> ChatSession:
        """Send the INVITE and return the chat of the first 2xx.

        Raise RequestFailed for any other final response, TransactionTimeout, ConnectionClosed, and RemoteProtocolError
        for a 2xx that cannot be used. When the caller gives up (``timeout`` seconds, or cancellation), the INVITE is
        cancelled and a 2xx that comes nevertheless is answered with ACK and BYE.
        """
        agent = self._agent
        self._client = agent.endpoint.send(
            self._request, next_hop(self._request), self._response_received, self._failed, digest=agent.digest
        )
        try:
            async with asyncio.timeout(timeout):
                return await self._future
        except TimeoutError:
            self._give_up()
            raise TransactionTimeout(f"no answer to INVITE in {timeout} s") from None
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        assert self._client is not None
        self._client.cancel()
        self._future.cancel()
        if self._chat.is_open:
            # The 2xx came in the same turn of the loop in which the caller gave up.
            self._chat.hang_up()
        else:
            self._chat.abandon()

    def _response_received(self, response: Response) -> None:
        if response.is_provisional:
            if self._on_provisional is not None:
                self._on_provisional(response)
        elif response.is_success:
            self._accepted(response)
        elif not self._future.done():
            self._future.set_exception(RequestFailed(response))

    def _failed(self, error: SipstackError) -> None:
        if not self._future.done():
            self._future.set_exception(error)

    def _accepted(self, response: Response) -> None:
        known = self._acks.get(response.to.tag or "")
        if known is not None:
            self._send_ack(*known)
            return
        assert self._client is not None
        request = self._client.request
        dialog = Dialog.from_response(request, response)
        credentials = [(name, value) for name in CREDENTIAL_HEADERS for value in request.headers.get_all(name)]
        ack = dialog.create_ack(request.cseq.number, credentials=credentials)
        self._acks[dialog.remote_tag] = ack, dialog.next_hop
        self._send_ack(ack, dialog.next_hop)
        if self._future.done():
            # Another fork answered first, or nobody wants the chat any more (A-INV-02, A-CAN-03).
            self._agent.send_in_dialog(dialog, "BYE")
            return
        try:
            answer = parse_description(response)
            if answer is None:
                raise RemoteProtocolError("the 200 to INVITE has no answer")
            self._chat.established(dialog, answer, offered=True)
        except RemoteProtocolError as error:
            self._agent.send_in_dialog(dialog, "BYE", headers=[("Reason", 'SIP;cause=488;text="Bad answer"')])
            self._failed(error)
            return
        self._future.set_result(self._chat)

    def _send_ack(self, ack: Request, hop: Uri) -> None:
        self._agent.endpoint.send_stateless(Request(ack.method, ack.uri_text, ack.headers.copy(), ack.body), hop)
