"""The early dialogs of an INVITE of ours, one for each fork that rings, and their PRACKs (RFC 3262 §4)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sipstack.errors import RemoteProtocolError, UnexpectedMessage
from sipstack.net import uas
from sipstack.net.body import SDP
from sipstack.net.media import explanation, parse_description
from sipstack.sip.dialog import Dialog
from sipstack.sip.reliable import ReliableOrder, reliable_number

if TYPE_CHECKING:
    from sipstack.net.mediasession import MediaSession
    from sipstack.net.useragent import UserAgent
    from sipstack.sdp import SessionDescription
    from sipstack.sip.message import Request, Response
    from sipstack.sip.transaction import ServerTransaction

logger = logging.getLogger(__name__)


def acknowledge(agent: UserAgent, dialog: Dialog, order: ReliableOrder, response: Response) -> bool:
    """Send the PRACK for a provisional response that wants one. Return False for a repeat, and for one that has
    overtaken another: neither is to be looked at (A-PRK-03)."""
    number = reliable_number(response)
    if number is None:
        return True
    rack = order.receive(response, number)
    if rack is not None:
        agent.send_in_dialog(dialog, "PRACK", headers=[("RAck", str(rack))])
    return rack is not None


class EarlyDialog:
    """One early dialog of ours as caller. Its requests come here until the INVITE is answered."""

    __slots__ = ("_order", "_session", "description", "dialog", "offered")

    def __init__(self, session: MediaSession, invite: Request, response: Response) -> None:
        """Begin it with the first provisional ``response`` of a fork to ``invite``, as that was sent last."""
        self._session = session
        self._order = ReliableOrder()
        self.dialog = Dialog.from_response(invite, response)
        self.description: SessionDescription | None = None
        """What the peer has described reliably; None while that is yet to come with the 2xx (A-OA-03)."""
        self.offered = True
        """It answers our offer; False: it was an offer, by UPDATE, and has our answer."""
        endpoint = session.agent.endpoint
        self.dialog.route_set = endpoint.shared_route(self.dialog.route_set)
        endpoint.dialogs[self.dialog.id] = self

    def close(self) -> None:
        """Take no more requests: the INVITE is answered, and who is in the dialog from now on takes them."""
        dialogs = self._session.agent.endpoint.dialogs
        if dialogs.get(self.dialog.id) is self:
            del dialogs[self.dialog.id]

    def ringing(self, invite: Request, response: Response) -> bool:
        """Take a provisional response; False when it is to be passed over.

        Raise RemoteProtocolError when it has a session description that cannot be read.
        """
        self.dialog.receive_response(invite, response)
        if not acknowledge(self._session.agent, self.dialog, self._order, response):
            return False
        if reliable_number(response) is not None and self.description is None:
            self.description = parse_description(response)
        return True

    # sipstack.net.dispatch.DialogUser

    def request_received(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer an UPDATE of who is being called; anything else as outside of a dialog."""
        agent = self._session.agent
        if request.method == "BYE":
            # "the callee's UA [...] MUST NOT send a BYE on early dialogs" (RFC 3261 §15)
            agent.endpoint.reply(transaction, 481)
            return
        try:
            self.dialog.receive_request(request)
        except UnexpectedMessage as error:
            uas.reply_unexpected(agent.endpoint, transaction, error)
            return
        if request.method != "UPDATE":
            agent.request_received(transaction, request)
            return
        headers = [("Contact", agent.contact()), ("Allow", uas.ALLOW), ("Supported", agent.endpoint.config.supported)]
        body = b""
        try:
            offer = parse_description(request)
            if offer is not None:
                body = self._session.describe(offer)
                self.description, self.offered = offer, False
                headers.append(("Content-Type", SDP))
        except RemoteProtocolError as error:
            refusal = explanation(agent.endpoint.config, error)
            response = agent.endpoint.reply(transaction, error.status, headers=refusal)
        else:
            response = agent.endpoint.reply(transaction, 200, headers=headers, body=body)
        self.dialog.send_response(request, response)
