"""Requests from outside any dialog that reach a user agent: to whom of it they go."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sipstack.errors import RemoteProtocolError, SipstackError
from sipstack.net import uas
from sipstack.net.invitation import IncomingInvitation, IncomingPage, IncomingProbe
from sipstack.net.media import parse_description, warning
from sipstack.sip.message import Request
from sipstack.sip.transaction import ServerTransaction

if TYPE_CHECKING:
    from sipstack.net.useragent import UserAgent

logger = logging.getLogger(__name__)


def receive(agent: UserAgent, transaction: ServerTransaction, request: Request) -> None:
    """Answer a request that is for ``agent`` and passed :func:`sipstack.net.uas.refuse`, or have its handler do it."""
    match request.method:
        case "OPTIONS":
            _receive_options(agent, transaction, request)
        case "MESSAGE":
            agent.handler.message_received(agent, IncomingPage(agent, transaction, request))
        case "INVITE":
            _receive_invite(agent, transaction, request)
        case _:
            agent.endpoint.reply(transaction, 481)  # BYE without dialog (A-INV-09)


def _receive_options(agent: UserAgent, transaction: ServerTransaction, request: Request) -> None:
    status = 200
    if agent.on_options is not None and request.to.tag is None:
        status = agent.on_options(agent, IncomingProbe(agent, transaction, request))
    headers = [*uas.CAPABILITIES, ("Contact", agent.contact())] if status == 200 else []
    agent.endpoint.reply(transaction, status, headers=headers)


def _receive_invite(agent: UserAgent, transaction: ServerTransaction, request: Request) -> None:
    try:
        offer = parse_description(request)
    except RemoteProtocolError as error:
        headers = [("Accept", uas.ACCEPT_INVITE)] if error.status == 415 else []
        if error.status == 488:
            headers.append(warning(agent.endpoint.config, error))
        agent.endpoint.reply(transaction, error.status, headers=headers)
        return
    invitation = IncomingInvitation(agent, transaction, request, offer)
    transaction.owner = invitation
    if agent.relay is None:
        agent.handler.chat_invited(agent, invitation)
        return

    def done(error: SipstackError | None) -> None:
        # The caller may have given up meanwhile.
        if error is None and not invitation.done:
            agent.handler.chat_invited(agent, invitation)
        elif error is not None:
            logger.warning("no path by MSRP relay for %s: %s", agent.identity.aor, error)
            invitation.reject(480)

    agent.relay.acquire(done)
