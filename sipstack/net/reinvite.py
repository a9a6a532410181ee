"""An INVITE of ours inside a dialog: sent, answered by a program at once, acknowledged (RFC 3261 §14.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sipstack.errors import RequestFailed, SipstackError, TransactionTimeout
from sipstack.net import uas
from sipstack.net.body import SDP
from sipstack.net.client import next_hop
from sipstack.sip.dialog import Dialog
from sipstack.sip.message import Request, Response
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.client import ClientRequest
    from sipstack.net.useragent import UserAgent

ANSWER_TIMEOUT = 32.0
"""Seconds for the final response: whoever has the dialog answers by itself, nobody is rung up."""

CREDENTIAL_HEADERS = ("Authorization", "Proxy-Authorization")

Done = Callable[[Response | SipstackError], None]
"""Called once with the 2xx, else with RequestFailed, TransactionTimeout or ConnectionClosed."""


def make_ack(dialog: Dialog, invite: Request) -> Request:
    """Return the ACK for a 2xx to ``invite``, as it was sent last (:rfc:`3261#section-13.2.2.4`)."""
    credentials = [(name, value) for name in CREDENTIAL_HEADERS for value in invite.headers.get_all(name)]
    return dialog.create_ack(invite.cseq.number, credentials=credentials)


class ReInvite:
    """One INVITE with an offer, from its sending to the last 2xx that may still come."""

    __slots__ = ("_ack", "_agent", "_client", "_dialog", "_done", "_timer")

    def __init__(self, agent: UserAgent, dialog: Dialog, offer: bytes, done: Done) -> None:
        """Send it. Raise LocalProtocolError when the dialog is over or another INVITE is under way in it."""
        endpoint = agent.endpoint
        headers = [
            ("Contact", agent.contact()),
            ("Allow", uas.ALLOW),
            ("Supported", uas.SUPPORTED),
            ("User-Agent", endpoint.config.user_agent),
            ("Content-Type", SDP),
        ]
        request = dialog.create_request("INVITE", headers=headers, body=offer)
        self._agent = agent
        self._dialog = dialog
        self._done: Done | None = done
        self._ack: tuple[Request, Uri] | None = None
        self._client: ClientRequest = endpoint.send(
            request, next_hop(request), self._response_received, self._failed, digest=agent.digest, dialog=dialog
        )
        self._timer = endpoint.timers.schedule(endpoint.timers.time() + ANSWER_TIMEOUT, self._timed_out)

    def forget(self) -> None:
        """Lose interest: ``done`` is not called. A 2xx that comes is acknowledged all the same."""
        self._done = None
        self._timer.cancel()

    def _response_received(self, response: Response) -> None:
        if response.is_provisional:
            return
        if self._ack is None:
            invite = self._client.request
            self._dialog.receive_response(invite, response)
            if response.is_success:
                self._ack = make_ack(self._dialog, invite), self._dialog.next_hop
        if self._ack is not None:
            ack, hop = self._ack  # a 2xx that comes again wants the same ACK again (A-ICT-05)
            self._agent.endpoint.send_stateless(Request(ack.method, ack.uri_text, ack.headers.copy(), ack.body), hop)
        self._end(response if response.is_success else RequestFailed(response))

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
