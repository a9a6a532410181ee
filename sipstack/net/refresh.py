"""Keeps a session from expiring (:rfc:`4028`): refreshes it by UPDATE or re-INVITE, and ends what nobody refreshes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipstack.errors import RequestFailed, SipstackError, TransactionTimeout
from sipstack.net import uas
from sipstack.sip.dialog import DIALOG_GONE
from sipstack.sip.message import Request, Response
from sipstack.sip.session_timer import Due, SessionTimer

if TYPE_CHECKING:
    from sipstack.net.client import ClientRequest
    from sipstack.net.dialogsession import DialogSession
    from sipstack.net.timers import Timer

BUSY_PAUSE = 5.0
"""Seconds until a refresh is tried again that could not be sent: what is under way refreshes the session as well."""

EXPIRED = [("Reason", 'SIP;cause=408;text="Session expired"')]


class Refreshing:
    """The session timer of one dialog, with its entry in the heap of the endpoint."""

    __slots__ = ("_client", "_machine", "_session", "_timer")

    def __init__(self, session: DialogSession) -> None:
        config = session.agent.endpoint.config
        self._session = session
        self._machine = SessionTimer(config.session_expires, config.min_se)
        self._timer: Timer | None = None
        self._client: ClientRequest | None = None
        """Our UPDATE that is under way."""

    # for all that sends and answers INVITE and UPDATE in the dialog

    def request_headers(self) -> list[tuple[str, str]]:
        """Return what each INVITE and UPDATE of ours says."""
        return self._machine.request_headers()

    def accepted(self, response: Response) -> None:
        """Take the 2xx to one of them."""
        self._machine.response_received(response, self._now())
        self._arm()

    def raise_interval(self, response: Response) -> bool:
        """Take a 422 to one of them, and tell whether to send it again with what :meth:`request_headers` says now."""
        return self._machine.raise_interval(response)

    def check(self, request: Request) -> None:
        """Look at one of the peer's. Raise IntervalTooSmall (422)."""
        self._machine.request_received(request)

    def answer(self, request: Request) -> list[tuple[str, str]]:
        """Return what the 2xx to one of the peer's says, which is sent now."""
        headers = self._machine.answer(request, self._now())
        self._arm()
        return headers

    def close(self) -> None:
        """Take note that the session is over."""
        self._machine.stop()
        self._arm()
        if self._client is not None:
            self._client.forget()
            self._client = None

    # time

    def _now(self) -> float:
        return self._session.agent.endpoint.timers.time()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._machine.get_timer()
        if deadline is not None:
            self._timer = self._session.agent.endpoint.timers.schedule(deadline, self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        match self._machine.handle_timer(self._now()):
            case Due.REFRESH:
                self._refresh()
            case Due.END:
                self._session.end("expired", TransactionTimeout("nobody refreshed the session"), bye=EXPIRED)
            case None:
                self._arm()

    # our refreshes

    def _refresh(self) -> None:
        dialog = self._session.dialog
        assert dialog is not None
        if dialog.takes_update:
            self._update()
        elif not self._session.invite_again():
            self.failed(None, BUSY_PAUSE)

    def _update(self) -> None:
        """Send an UPDATE: "It is RECOMMENDED that the UPDATE request not contain an offer"."""
        agent, dialog = self._session.agent, self._session.dialog
        assert dialog is not None
        headers = [("Contact", agent.contact()), ("Allow", uas.ALLOW), *self.request_headers()]
        self._client = agent.send_in_dialog(dialog, "UPDATE", headers=headers, on_end=self._updated)

    def _updated(self, outcome: object) -> None:
        client, self._client = self._client, None
        assert client is not None and isinstance(outcome, (Response, SipstackError))
        dialog = self._session.dialog
        assert dialog is not None
        if isinstance(outcome, SipstackError):
            self.refused(outcome)
            return
        dialog.receive_response(client.request, outcome)
        if outcome.is_success:
            self.accepted(outcome)
        elif outcome.status == 422 and self.raise_interval(outcome):
            self._update()
        elif outcome.status in (405, 501):
            dialog.takes_update = False
            self._refresh()
        else:
            self.refused(RequestFailed(outcome))

    def refused(self, error: SipstackError) -> None:
        """Take the failure of a refresh (:rfc:`4028#section-10`): the session is over, or goes on until it expires."""
        response = error.response if isinstance(error, RequestFailed) else None
        if isinstance(error, TransactionTimeout) or (response is not None and response.status in DIALOG_GONE):
            self._session.end("expired", error, bye=EXPIRED)
        elif response is None:
            self.failed(None)
        elif response.status == 491 and self._session.dialog is not None:
            self.failed(491, self._session.dialog.glare_delay())
        else:
            after = response.retry_after
            self.failed(response.status, None if after is None else float(after.seconds))

    def failed(self, status: int | None, pause: float | None = None) -> None:
        """Note that a refresh was not accepted; it may be tried again."""
        self._machine.refresh_failed(self._now(), status, pause)
        self._arm()
