"""Offers and answers of a session that runs: refresh, a new path, recovery of a lost connection (RFC 4975 §5.4, §8.4).

Whatever changes, the old MSRP session goes on until the new one has its connection; then the new one takes over what is
not decided yet. So nothing is lost on the way, and a refused offer leaves everything as it was (A-INV-07).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipstack.errors import (
    ConnectionClosed,
    RemoteProtocolError,
    RequestFailed,
    SipstackError,
    TransactionTimeout,
)
from sipstack.msrp.succession import adopt, progress, take_over, undecided
from sipstack.net import media
from sipstack.net.reinvite import ReInvite
from sipstack.net.relay import reconnect_time
from sipstack.sdp import SessionDescription
from sipstack.sdp_msrp import msrp_media
from sipstack.sip.dialog import DIALOG_GONE
from sipstack.sip.message import Response

if TYPE_CHECKING:
    from sipstack.msrp.session import MsrpSession
    from sipstack.net.mediasession import MediaSession
    from sipstack.net.timers import Timer

MAX_FRUITLESS = 3
"""Connections that may be lost one after the other without any progress: such a path is of no use."""

MAX_GLARES = 5
"""Times that an offer is tried again after 491; each time one of the two sides should have come first."""

LOST = [("Reason", 'SIP;cause=408;text="MSRP connection lost"')]
BAD_ANSWER = [("Reason", 'SIP;cause=488;text="Bad answer"')]


class Renegotiation:
    """What comes after the first offer and answer of one session; made when there is anything."""

    __slots__ = (
        "_asks_relay",
        "_error",
        "_former",
        "_fruitless",
        "_glares",
        "_progress",
        "_reinvite",
        "_session",
        "_spare",
        "_stopped",
        "_timer",
        "_wanted",
    )

    def __init__(self, session: MediaSession) -> None:
        self._session = session
        self._former: MsrpSession | None = None
        """Goes on until the one that replaces it has its connection."""
        self._spare = False
        """The newest MSRP session stands in an offer that nobody has accepted yet."""
        self._error: SipstackError | None = None
        """Why there is no connection, from its loss until there is another one."""
        self._fruitless = 0
        self._progress: tuple[object, ...] = ()
        """How far messages had come at the last loss."""
        self._stopped = False
        """The peer has ended the medium, and so the session."""
        # our offers
        self._wanted = False
        self._glares = 0
        self._asks_relay = False
        self._reinvite: ReInvite | None = None
        self._timer: Timer | None = None
        """Until the next try, or until the peer should have offered something."""

    # our offers

    def request(self) -> None:
        """Offer the peer a new MSRP session, as soon as the dialog lets us."""
        self._wanted = True
        self._glares = 0
        self.go_on()

    def replace(self, error: SipstackError) -> None:
        """Offer a new MSRP session in place of one that will never have a connection, because of ``error``."""
        self._error = error
        self.request()

    def message_queued(self) -> None:
        """Take note of something to send: it is worth a new connection, if there is none."""
        if self._error is not None and not self._wanted:
            self._cancel_timer()
            self.request()

    def go_on(self) -> None:
        """Send the re-INVITE that is wanted, unless something is under way that has to end first (A-INV-04)."""
        session = self._session
        busy = self._reinvite is not None or self._asks_relay or self._timer is not None
        if not self._wanted or busy or not session.may_offer:
            return
        relay = session.agent.relay
        if relay is None:
            self._offer(None)
        else:
            self._asks_relay = True
            relay.acquire(self._offer)

    def _offer(self, error: SipstackError | None) -> None:
        self._asks_relay = False
        session = self._session
        if session.dialog is None or not session.may_offer or not self._wanted:
            return
        try:
            if error is not None:
                raise error
            self._renew(session.msrp.local_uri.secure)
            self._reinvite = ReInvite(session, session.describe(None), self._answered)
        except SipstackError as failure:
            self._refused(failure)

    def _answered(self, outcome: Response | SipstackError) -> None:
        self._reinvite = None
        session = self._session
        if isinstance(outcome, Response):
            self._accepted(outcome)
        elif isinstance(outcome, RequestFailed) and outcome.response.status == 491 and self._glares < MAX_GLARES:
            self._glares += 1
            self._revert()
            assert session.dialog is not None
            self._set_timer(session.dialog.glare_delay())
        elif isinstance(outcome, TransactionTimeout) or (
            isinstance(outcome, RequestFailed) and outcome.response.status in DIALOG_GONE
        ):
            session.end("connection-lost", outcome, bye=LOST)  # A-DLG-09
        else:
            self._refused(outcome)

    def _accepted(self, response: Response) -> None:
        session = self._session
        self._wanted = self._spare = False
        try:
            answer = media.parse_description(response)
            if answer is None:
                raise RemoteProtocolError("the 200 to INVITE has no answer")
            session.take(answer, session.medium(answer), offered=True)
        except RemoteProtocolError as error:
            session.end("connection-lost", error, bye=BAD_ANSWER)

    def _refused(self, error: SipstackError) -> None:
        """Go on as before, if there is something to go on with."""
        self._wanted = False
        if self._error is not None:
            self._session.end("connection-lost", error, bye=LOST)
            return
        self._revert()
        self._session.report("unchanged", str(error))

    # our refreshes

    def refresh(self) -> bool:
        """Offer the peer the session as it runs (:rfc:`4028#section-7.4`); return False when that cannot be done now.

        What became of it is told to the session's :attr:`refreshing`.
        """
        session = self._session
        busy = self._reinvite is not None or self._asks_relay or self._wanted or self._error is not None
        if busy or not session.may_offer or session.dialog is None or not session.dialog.may_offer:
            return False
        self._reinvite = ReInvite(session, session.say_again(), self._refreshed)
        return True

    def _refreshed(self, outcome: Response | SipstackError) -> None:
        self._reinvite = None
        session = self._session
        if isinstance(outcome, Response):
            try:
                answer = media.parse_description(outcome)
                if answer is None:
                    raise RemoteProtocolError("the 200 to INVITE has no answer")
                self._confirmed(answer)
            except RemoteProtocolError as error:
                session.end("connection-lost", error, bye=BAD_ANSWER)
        else:
            session.refreshing.refused(outcome)
        self.go_on()

    def _confirmed(self, answer: SessionDescription) -> None:
        """Take the answer to an offer of ours that changed nothing. Raise RemoteProtocolError when it is of no use."""
        session, remote = self._session, self._session.medium(answer)
        if session.is_unchanged(answer, remote):
            session.refresh(answer, remote)
        else:
            # Our path has its connection: a new one needs a new path of ours too.
            self.request()

    # the peer's offers

    def answer(self, offer: SessionDescription | None) -> bytes:
        """Return our description for a re-INVITE.

        Raise RemoteProtocolError (488) when nothing in it fits, ConnectionClosed when our path by MSRP relays is lost.
        """
        session = self._session
        if offer is None:
            if self._error is None:
                return session.describe_again(None)
            self._renew(session.msrp.local_uri.secure)
            return session.describe(None)
        if media.is_stopped(offer):
            self._stopped = True
            return session.wording.word(media.refusal(session.msrp, session.wording.id, offer))
        remote = msrp_media(offer, protocols=session.agent.endpoint.config.msrp_protocols)
        if self._error is None and session.is_unchanged(offer, remote):
            return session.describe_again(offer)
        active = session.active
        self._renew(remote.secure)
        try:
            description = session.describe(offer)
            session.take(offer, remote, offered=False)
        except RemoteProtocolError:
            session.active = active
            self._revert()
            raise
        self._spare = self._wanted = False
        self._cancel_timer()
        return description

    def answered_in_ack(self, answer: SessionDescription) -> None:
        """Take the answer to the offer that we made in a 200. Raise RemoteProtocolError when it is of no use."""
        session = self._session
        remote = session.medium(answer)
        if self._spare:
            self._spare = self._wanted = False
            self._cancel_timer()
            session.take(answer, remote, offered=True)
        else:
            self._confirmed(answer)

    def acknowledged(self) -> None:
        """Take note of the ACK for a 200 of ours."""
        if self._stopped:
            self._session.end("remote", None, bye=[])
        else:
            self.go_on()

    # MSRP sessions in place of others

    def _renew(self, secure: bool) -> None:
        """Give the next description a new MSRP session to speak of. Raise ConnectionClosed if relays have no path."""
        session = self._session
        current = session.msrp
        if self._spare and current.local_uri.secure == secure:
            return
        session.msrp = session.make_msrp(secure)
        adopt(session.msrp, current)
        if self._error is None and self._former is None:
            self._former = current
        else:
            self._hand_over(current)
        self._spare = True

    def _revert(self) -> None:
        """Go on with the former MSRP session, if it goes on."""
        self._session.wording.unsay()
        former = self._former
        if former is not None and self._spare:
            self._former = None
            successor, self._session.msrp = self._session.msrp, former
            self._spare = False
            take_over(former, successor)
            self._session.agent.endpoint.hub.release(successor)

    def _hand_over(self, former: MsrpSession) -> None:
        take_over(self._session.msrp, former)
        self._session.agent.endpoint.hub.release(former)

    def opened(self) -> None:
        """Take note that the newest MSRP session has its connection: what the former has left undecided is its."""
        former, self._former = self._former, None
        if former is not None:
            self._hand_over(former)
        self._error = None
        self._session.report("reconnected")

    def lost(self, msrp: MsrpSession, error: SipstackError | None) -> bool:
        """Take the loss of a connection, and tell whether the session survives it (C-SET-05)."""
        session, config = self._session, self._session.agent.endpoint.config
        if msrp is self._former:
            self._former = None
            self._error = error
            self._hand_over(msrp)
            return True
        if not isinstance(error, ConnectionClosed) or error.certain or session.agent.endpoint.closing:
            return False  # refused, or it was never there, or nobody wants it any more
        now = progress(msrp)
        self._fruitless = self._fruitless + 1 if now and now == self._progress else 0
        self._progress = now
        if not config.msrp_recovery or self._former is not None or self._fruitless == MAX_FRUITLESS:
            return False
        self._error = error
        session.report("lost", str(error))
        if undecided(msrp):
            self.request()
        else:
            # Who has lost a relay may have to wait for it before there is anything to offer.
            self._set_timer(config.msrp_recovery + (reconnect_time() if msrp.relayed else 0.0))
        return True

    # time

    def _set_timer(self, delay: float) -> None:
        timers = self._session.agent.endpoint.timers
        self._timer = timers.schedule(timers.time() + delay, self._timed_out)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timed_out(self) -> None:
        self._timer = None
        if self._wanted:
            self.go_on()
        elif self._session.is_busy:
            self.request()
        elif self._error is not None:
            self._session.end("connection-lost", self._error, bye=LOST)

    def close(self) -> None:
        """Take note that the session is over."""
        self._wanted = False
        self._cancel_timer()
        if self._reinvite is not None:
            self._reinvite.forget()
        if self._former is not None:
            self._session.agent.endpoint.hub.release(self._former)
