"""An INVITE of ours inside a dialog: sent, answered by a program at once, acknowledged (RFC 3261 §14.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sipstack.errors import RequestFailed, SipstackError, TransactionTimeout
from sipstack.net import uas
from sipstack.net.body import SDP
from sipstack.net.client import next_hop
from sipstack.net.early import acknowledge
from sipstack.sip.dialog import Dialog
from sipstack.sip.message import Request, Response
from sipstack.sip.offer_answer import describes_session
from sipstack.sip.reliable import ReliableOrder, reliable_number
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.client import ClientRequest
    from sipstack.net.dialogsession import DialogSession

ANSWER_TIMEOUT = 32.0
"""Seconds for the final response: whoever has the dialog answers by itself, nobody is rung up."""

CREDENTIAL_HEADERS = ("Authorization", "Proxy-Authorization")

Done = Callable[[Response | SipstackError], None]
"""Called once with the response that has the answer when the peer has accepted, else with RequestFailed,
TransactionTimeout or ConnectionClosed."""


def make_ack(dialog: Dialog, invite: Request) -> Request:
    """Return the ACK for a 2xx to ``invite``, as it was sent last (:rfc:`3261#section-13.2.2.4`)."""
    credentials = [(name, value) for name in CREDENTIAL_HEADERS for value in invite.headers.get_all(name)]
    return dialog.create_ack(invite.cseq.number, credentials=credentials)


class ReInvite:
    """One INVITE with an offer, from its sending to the last 2xx that may still come."""

    __slots__ = ("_ack", "_answer", "_client", "_done", "_offer", "_order", "_session", "_timer")

    def __init__(self, session: DialogSession, offer: bytes, done: Done) -> None:
        """Send it. Raise LocalProtocolError when the dialog is over or another INVITE is under way in it."""
        self._session = session
        self._offer = offer
        self._done: Done | None = done
        self._order = ReliableOrder()
        self._answer: Response | None = None
        """A reliable response with the answer to our offer: then the 2xx needs none."""
        self._ack: tuple[Request, Uri] | None = None
        self._client: ClientRequest = self._send()
        timers = session.agent.endpoint.timers
        self._timer = timers.schedule(timers.time() + ANSWER_TIMEOUT, self._timed_out)

    @property
    def _dialog(self) -> Dialog:
        assert self._session.dialog is not None
        return self._session.dialog

    def _send(self) -> ClientRequest:
        agent, dialog = self._session.agent, self._dialog
        endpoint = agent.endpoint
        headers = [
            ("Contact", agent.contact()),
            ("Allow", uas.ALLOW),
            ("Supported", endpoint.config.supported),
            *self._session.refreshing.request_headers(),
            ("User-Agent", endpoint.config.user_agent),
            ("Content-Type", SDP),
        ]
        request = dialog.create_request("INVITE", headers=headers, body=self._offer)
        return endpoint.send(
            request, next_hop(request), self._response_received, self._failed, digest=agent.digest, dialog=dialog
        )

    def forget(self) -> None:
        """Lose interest: ``done`` is not called. A 2xx that comes is acknowledged all the same."""
        self._done = None
        self._timer.cancel()

    def _response_received(self, response: Response) -> None:
        session, dialog, invite = self._session, self._dialog, self._client.request
        if response.is_provisional:
            dialog.receive_response(invite, response)
            reliable = reliable_number(response) is not None
            if acknowledge(session.agent, dialog, self._order, response) and reliable and describes_session(response):
                self._answer = self._answer or response
            return
        if self._ack is None:
            dialog.receive_response(invite, response)
            if response.status == 422 and self._done is not None and session.refreshing.raise_interval(response):
                self._client = self._send()
                return
            if response.is_success:
                self._ack = make_ack(dialog, invite), dialog.next_hop
                if session.is_open:
                    session.refreshing.accepted(response)
        if self._ack is not None:
            ack, hop = self._ack  # a 2xx that comes again wants the same ACK again (A-ICT-05)
            session.agent.endpoint.send_stateless(Request(ack.method, ack.uri_text, ack.headers.copy(), ack.body), hop)
        self._end(self._answer or response if response.is_success else RequestFailed(response))

    def _failed(self, error: SipstackError) -> None:
        self._dialog.request_failed(self._client.request)
        self._end(error)

    def _timed_out(self) -> None:
        self._client.cancel()
        self._end(TransactionTimeout(f"no answer to re-INVITE in {ANSWER_TIMEOUT} s"))

    def _end(self, outcome: Response | SipstackError) -> None:
        self._timer.cancel()
        done, self._done = self._done, None
        if done is not None:
            done(outcome)
