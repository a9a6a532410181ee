"""Requests from outside any dialog that reach a user agent: to whom of it they go."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Literal

from sipstack.errors import ParseError, RemoteProtocolError, SipstackError
from sipstack.msrp.mediatype import accepts
from sipstack.net import uas
from sipstack.net.anchoring import check_invitation
from sipstack.net.body import SDP
from sipstack.net.features import takes_files
from sipstack.net.fileoffer import IncomingFile
from sipstack.net.invitation import IncomingCall, IncomingInvitation, IncomingPage, IncomingProbe
from sipstack.net.media import MISCELLANEOUS, capability, parse_description, warning
from sipstack.sdp import SessionDescription
from sipstack.sdp_file import FileAttributes
from sipstack.sdp_msrp import MediaRefused, msrp_media
from sipstack.sip.message import Request
from sipstack.sip.session_timer import IntervalTooSmall, SessionTimer
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
    if status != 200:
        agent.endpoint.reply(transaction, status)
        return
    headers = uas.capabilities(agent.endpoint.config.supported_options)
    headers.add("Contact", agent.contact())
    body = b""
    if takes_files(agent.features) and any(accepts([value], SDP) for value in request.headers.get_list("Accept")):
        # D-FTM-11: an offer of a file would be understood.
        body = bytes(capability(agent.endpoint.config, agent.endpoint.local[0]))
        headers.add("Content-Type", SDP)
    agent.endpoint.reply(transaction, status, headers=headers, body=body)


def _receive_invite(agent: UserAgent, transaction: ServerTransaction, request: Request) -> None:
    config = agent.endpoint.config
    offer, found, fault = None, None, None
    try:
        offer = parse_description(request)
        found = None if offer is None else _find_file(agent, offer)
    except RemoteProtocolError as error:
        fault = error
    if fault is None or fault.status == 488:
        # Extensions come behind types of content and before what they are about (A-UAS-01).
        try:
            SessionTimer(config.session_expires, config.min_se).request_received(request)
        except IntervalTooSmall as error:
            uas.reply_unexpected(agent.endpoint, transaction, error)
            return
    if fault is not None:
        headers = [("Accept", uas.ACCEPT_INVITE)] if fault.status == 415 else []
        if fault.status == 488:
            headers.append(warning(config, fault))
        agent.endpoint.reply(transaction, fault.status, headers=headers)
        return
    incoming: IncomingCall
    if found is None or offer is None:
        incoming = invitation = IncomingInvitation(agent, transaction, request, offer)
        announce = partial(agent.handler.chat_invited, agent, invitation)
    else:
        incoming = file = IncomingFile(agent, transaction, request, offer, *found)
        announce = partial(agent.handler.file_offered, agent, file)
    transaction.owner = incoming

    def checked(fault: MediaRefused | None) -> None:
        if fault is not None:
            incoming.reject(488, headers=[warning(agent.endpoint.config, fault)])
        elif incoming.done:
            return  # the caller has given up meanwhile
        elif agent.relay is None:
            announce()
        else:
            agent.relay.acquire(done)

    def done(error: SipstackError | None) -> None:
        # The caller may have given up meanwhile.
        if error is None and not incoming.done:
            announce()
        elif error is not None:
            logger.warning("no path by MSRP relay for %s: %s", agent.identity.aor, error)
            incoming.reject(480)

    check_invitation(agent.endpoint, offer, checked)


def _find_file(agent: UserAgent, offer: SessionDescription) -> tuple[FileAttributes, Literal["push", "pull"]] | None:
    """Return what the medium that we would use says about a file; None for a chat, and when there is no medium.

    A selector without selectors tells of a capability only (D-FTM-11). Raise MediaRefused when it is malformed.
    """
    try:
        medium = msrp_media(offer, protocols=agent.endpoint.config.msrp_protocols)
    except MediaRefused:
        return None  # who answers it as a chat is told what is wrong
    try:
        file = FileAttributes.of(offer.media[medium.index])
    except ParseError as error:
        raise MediaRefused(str(error), MISCELLANEOUS) from None
    if file is None or file.selector.is_empty:
        return None
    return file, "pull" if medium.direction == "recvonly" else "push"
