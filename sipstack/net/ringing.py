"""What a caller hears before our answer: 180 each minute, reliably where that is wanted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sipstack.errors import RemoteProtocolError, UnexpectedMessage
from sipstack.net import uas
from sipstack.net.body import SDP
from sipstack.net.media import explanation, parse_description
from sipstack.sip.dialog import Dialog
from sipstack.sip.offer_answer import describes_session
from sipstack.sip.reliable import ReliableResponses, requires_reliability, takes_reliable

if TYPE_CHECKING:
    from sipstack.net.invitation import IncomingCall
    from sipstack.net.mediasession import MediaSession
    from sipstack.net.timers import Timer
    from sipstack.sdp import SessionDescription
    from sipstack.sip.message import Request, Response
    from sipstack.sip.transaction import ServerTransaction

logger = logging.getLogger(__name__)

RING_INTERVAL = 55.0
"""Seconds between two 180: at least one a minute keeps proxies from giving up (A-INV-03)."""


class Ringing:
    """The early dialog of an invitation that rings, from the first 180 to our final response, or to the ACK of that."""

    __slots__ = (
        "_call",
        "_held",
        "_reliable",
        "_repeat_timer",
        "_timer",
        "answer",
        "dialog",
        "has_offered",
        "remote",
        "session",
    )

    def __init__(self, call: IncomingCall) -> None:
        """Raise RemoteProtocolError (400) for an INVITE that makes no dialog."""
        self._call = call
        endpoint, request = call.agent.endpoint, call.request
        self.dialog = Dialog.from_request(request, call.transaction.local_tag)
        mode = endpoint.config.reliable
        wanted = requires_reliability(request) or (mode == "supported" and takes_reliable(request))
        self._reliable = ReliableResponses(request, endpoint.config.timers) if wanted else None
        # offers and answers before the 200 (A-OA-03)
        self.session: MediaSession | None = None
        """Made for an INVITE without offer, where the first reliable response has ours."""
        self.has_offered = False
        """Our offer is in a reliable response, so that the 200 has none."""
        self.answer: Request | None = None
        """The PRACK that has the answer to it."""
        self.remote: SessionDescription | None = None
        """The peer's newest offer, which has our answer already."""
        self._held: Response | None = None
        # time
        self._timer: Timer | None = None
        self._repeat_timer: Timer | None = None
        endpoint.dialogs[self.dialog.id] = self

    def ring(self) -> None:
        """Answer 180, now and each minute."""
        call, endpoint = self._call, self._call.agent.endpoint
        timers = endpoint.timers
        self._timer = timers.schedule(timers.time() + RING_INTERVAL, self.ring)
        if self._reliable is not None and self._reliable.is_pending:
            return  # "The UAS MUST NOT send a second reliable provisional response until the first is acknowledged."
        headers, body = call.headers(), b""
        if self._reliable is not None and call.offer is None and not self.has_offered:
            self.session = call.early_session()
            body = self.session.describe(None)
            self.has_offered = True
            headers.append(("Content-Type", SDP))
        response = endpoint.make_reply(call.transaction, 180, headers=headers, body=body)
        if self._reliable is not None:
            self._reliable.send(response, timers.time())
        self.dialog.send_response(call.request, response)
        endpoint.respond(call.transaction, response)
        self._arm()

    def stop(self) -> None:
        """Ring no more: there is a final response."""
        for timer in (self._timer, self._repeat_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._repeat_timer = None
        if self._reliable is not None:
            self._reliable.stop()

    def close(self) -> None:
        """Let go of everything: the invitation came to nothing."""
        self.stop()
        self._call.agent.endpoint.dialogs.pop(self.dialog.id, None)
        if self.session is not None:
            self.session.abandon()

    def accept(self, response: Response) -> None:
        """Send the 200, as soon as the offer in a reliable response is known to have arrived (A-PRK-04)."""
        if self._reliable is not None and self._reliable.has_body_pending:
            self._held = response
            return
        self.stop()
        self._call.agent.endpoint.respond(self._call.transaction, response)

    def withdraw(self, status: int) -> bool:
        """Answer with ``status`` in place of a 200 that still waits for a PRACK; return False when there is none."""
        if self._held is None:
            return False
        self._held = None
        self.stop()
        self._call.agent.endpoint.reply(self._call.transaction, status)
        self._call.never_acknowledged(f"the invitation ended with {status} before our 200")
        return True

    # time

    def _arm(self) -> None:
        timers = self._call.agent.endpoint.timers
        if self._repeat_timer is not None:
            self._repeat_timer.cancel()
            self._repeat_timer = None
        deadline = None if self._reliable is None else self._reliable.get_timer()
        if deadline is not None:
            self._repeat_timer = timers.schedule(deadline, self._repeat)

    def _repeat(self) -> None:
        assert self._reliable is not None
        self._repeat_timer = None
        call, endpoint = self._call, self._call.agent.endpoint
        now = endpoint.timers.time()
        if self._reliable.gave_up(now):
            call.give_up(504)  # A-PRK-02
            return
        response = self._reliable.handle_timer(now)
        if response is not None:
            endpoint.respond(call.transaction, response)
        self._arm()

    # sipstack.net.dispatch.DialogUser

    def request_received(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer a request in the early dialog."""
        agent = self._call.agent
        try:
            self.dialog.receive_request(request)
        except UnexpectedMessage as error:
            uas.reply_unexpected(agent.endpoint, transaction, error)
            return
        match request.method:
            case "PRACK":
                self.acknowledged(transaction, request)
            case "UPDATE":
                self._updated(transaction, request)
            case "BYE":
                agent.endpoint.reply(transaction, 200)
                self._call.give_up(487)  # the caller may end an early dialog by BYE (A-INV-08)
            case _:
                agent.request_received(transaction, request)

    def acknowledged(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer a PRACK: 481 when it acknowledges nothing (A-PRK-04)."""
        endpoint = self._call.agent.endpoint
        if self._reliable is None or not self._reliable.receive(request):
            endpoint.reply(transaction, 481)
            return
        self._arm()
        if describes_session(request) and self.has_offered and self.answer is None:
            self.answer = request
            endpoint.reply(transaction, 200)
        else:
            self._answer(transaction, request, [])
        held, self._held = self._held, None
        if held is not None:
            self.accept(held)

    def _updated(self, transaction: ServerTransaction, request: Request) -> None:
        agent = self._call.agent
        headers = [("Contact", agent.contact()), ("Allow", uas.ALLOW), ("Supported", agent.endpoint.config.supported)]
        self._answer(transaction, request, headers)

    def _answer(self, transaction: ServerTransaction, request: Request, headers: list[tuple[str, str]]) -> None:
        """Answer 200, with our description if there is an offer; that needs a session, which had its first one."""
        endpoint, body = self._call.agent.endpoint, b""
        try:
            offer = parse_description(request)
            if offer is not None and self.session is not None:
                body = self.session.describe(offer)
                self.remote = offer
                headers = [*headers, ("Content-Type", SDP)]
        except RemoteProtocolError as error:
            refusal = explanation(endpoint.config, error)
            response = endpoint.reply(transaction, error.status, headers=refusal)
        else:
            response = endpoint.reply(transaction, 200, headers=headers, body=body)
        self.dialog.send_response(request, response)
