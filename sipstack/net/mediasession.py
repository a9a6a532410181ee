"""What every conversation is made of: one dialog and one MSRP session that live and die together (RFC 4975 §8).

A chat is one (:mod:`sipstack.net.chat`); what its messages are and what its session description says is its own.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Literal

from sipstack.errors import ConnectionClosed, RemoteProtocolError, SipstackError, TransactionTimeout
from sipstack.flow import HostPort
from sipstack.msrp.message import IncomingMessage
from sipstack.msrp.succession import undecided
from sipstack.msrp.uri import MsrpUri
from sipstack.net import anchoring, media
from sipstack.net.dialogsession import DialogSession
from sipstack.net.renegotiation import BAD_ANSWER, LOST, Renegotiation
from sipstack.net.wording import Wording
from sipstack.sdp import SessionDescription
from sipstack.sdp_cema import Route, anchor
from sipstack.sdp_msrp import MediaRefused, MsrpMedia, is_active
from sipstack.sip.message import Request
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.msrp.session import MsrpSession
    from sipstack.net.useragent import UserAgent
    from sipstack.sip.dialog import Dialog


class MediaSession(DialogSession):
    """One dialog and one MSRP session with one peer.

    It exists before its dialog: :meth:`describe` says what to offer or answer, :meth:`established` begins it, and
    :meth:`abandon` drops it when that never happens. Sub-classes say what the description holds (:meth:`make_offer`,
    :meth:`make_answer`), take what the peer's says (:meth:`agreed`), receive messages and tell their owner of the end.
    Leaving an ``async with`` block closes the session.
    """

    __slots__ = (
        "_answer_due",
        "_cema",
        "_plain",
        "_remote_origin",
        "_remote_path",
        "_renegotiation",
        "_unopened",
        "_waits_for_ack",
        "active",
        "msrp",
        "was_connected",
        "wording",
    )

    def __init__(self, agent: UserAgent, peer: Uri, *, secure: bool = False, max_size: int | None = None) -> None:
        """Make the MSRP session; ``max_size`` is how many octets a message to us may have, by default as configured.

        Raise ConnectionClosed when our path through an MSRP relay is lost.
        """
        super().__init__(agent, peer)
        self.was_connected = False
        """There was an MSRP connection, so that another attempt may succeed."""
        self.wording = Wording()
        # what was negotiated
        self.active = False
        """We make the MSRP connection."""
        self._cema = False
        """Our last description says msrp-cema."""
        self._plain = False
        """It must not any more."""
        self._waits_for_ack = False
        self._answer_due = False
        self._unopened: tuple[MsrpMedia, bool] | None = None
        """What to connect to when the ACK is there, and whether it answers our offer."""
        self._remote_path: tuple[MsrpUri, ...] = ()
        self._remote_origin = 0
        self._renegotiation: Renegotiation | None = None
        size = agent.endpoint.config.max_message_size if max_size is None else max_size
        self.msrp: MsrpSession = self.make_msrp(secure, size)
        """The newest one: a session that runs may be given another."""

    def make_msrp(self, secure: bool, max_size: int | None = None) -> MsrpSession:
        """Return a new MSRP session for our next description. Raise ConnectionClosed as the constructor does."""
        session = self.agent.endpoint.hub.create_session(
            self, max_size=max_size or self.msrp.max_size, secure=secure, relay=self.agent.relay
        )
        session.keeps_messages = True
        self.session_made(session)
        return session

    @property
    def is_busy(self) -> bool:
        """Tell whether messages are on their way, in either direction."""
        return bool(undecided(self.msrp)) or self.msrp.has_partials

    @property
    def may_offer(self) -> bool:
        """Tell whether an INVITE of ours may be sent in the dialog now, as far as the session knows (A-INV-04)."""
        return self.is_open and not self._waits_for_ack

    # what sub-classes define

    def session_made(self, session: MsrpSession) -> None:
        """Configure a new MSRP session: the first one, and each that takes its place. Called by the constructor too."""
        return

    @abstractmethod
    def make_offer(self, *, active: bool = False) -> SessionDescription:
        """Return our offer; ``active`` when the session runs already and we made its connection."""

    @abstractmethod
    def make_answer(self, offer: SessionDescription, setup: Literal["active", "passive"]) -> SessionDescription:
        """Return our answer; ``setup`` counts where the offer leaves it to us. Raise MediaRefused when nothing fits."""

    @abstractmethod
    def agreed(self, description: SessionDescription, remote: MsrpMedia) -> None:
        """Take what the peer's description says; ``remote`` is its medium that we use. Messages may go after this.

        Raise MediaRefused (488) when it is of no use.
        """

    # set-up

    def describe(self, remote: SessionDescription | None) -> bytes:
        """Return our offer, or our answer to the offer ``remote``. Raise MediaRefused (488) when nothing fits."""
        config = self.agent.endpoint.config
        if remote is None:
            return self._word_offer(self.make_offer())
        offer = self.medium(remote)
        anchoring.check_offer(config, offer)
        local = self.make_answer(remote, anchoring.answer_role(config, offer, relayed=bool(self.msrp.use_path)))
        self.active = is_active(self.medium(local), offer, offerer=False)
        return self._word_answer(local, offer)

    def _word_offer(self, description: SessionDescription) -> bytes:
        self._cema = anchoring.word_offer(self.agent.endpoint.config, description, plain=self._plain)
        return self.wording.word(description)

    def _word_answer(self, description: SessionDescription, offer: MsrpMedia) -> bytes:
        self._cema = anchoring.word_answer(
            self.agent.endpoint.config,
            description,
            offer,
            active=self.active,
            relayed=bool(self.msrp.use_path),
        )
        return self.wording.word(description)

    def medium(self, description: SessionDescription) -> MsrpMedia:
        """Return the medium of a description that we use. Raise MediaRefused (488) when there is none."""
        return media.medium_of(description, self.msrp)

    def established(self, dialog: Dialog, remote: SessionDescription | None, *, offered: bool, called: bool) -> None:
        """Begin: ``dialog`` is there, ``remote`` is the peer's description, ``offered`` tells that ours was the offer.

        ``remote`` is None when it will come in the ACK, or came in a PRACK. ``called``: we are who answers the INVITE.
        Raise MediaRefused (488) when the description is of no use.
        """
        described = None if remote is None else self.medium(remote)
        if remote is not None and described is not None:
            self.agreed(remote, described)
        self.dialog = dialog
        self._waits_for_ack = called
        self._answer_due = remote is None
        self.agent.session_started(self, dialog)
        if remote is not None and described is not None:
            self._negotiated(remote, described, offered=offered)
        self.report("set up")
        self.path_changed(None)  # while the peer was making up its mind

    def confirmed(self, ack: Request) -> None:
        """Take the ACK of our 200, which may bring the answer to our offer, if no PRACK did (A-OA-03)."""
        early = self.early
        self.acknowledged()
        if self._closed or not self._waits_for_ack:
            return
        self._waits_for_ack = False
        self.agent.endpoint.hub.expect(self.msrp)
        if self._unopened is not None:
            (described, offered), self._unopened = self._unopened, None
            self._open(described, offered=offered)
        elif self._answer_due:
            self._answer_due = False
            self._take_answer(ack if early is None or early.answer is None else early.answer)
        if self._renegotiation is not None:
            self._renegotiation.acknowledged()

    def _take_answer(self, ack: Request) -> None:
        try:
            answer = media.parse_description(ack)
            if answer is None:
                raise RemoteProtocolError("neither INVITE nor ACK brought a session description")
            if self._renegotiation is None:
                self.take(answer, self.medium(answer), offered=True)
            else:
                self._renegotiation.answered_in_ack(answer)
        except RemoteProtocolError as error:
            self.end("connection-lost", error, bye=BAD_ANSWER)

    def ack_missing(self) -> None:
        """Give up: our 200 was never acknowledged."""
        self.acknowledged()
        error = TransactionTimeout("the 200 to INVITE was never acknowledged")
        self.end("no-ack", error, bye=[("Reason", 'SIP;cause=408;text="ACK missing"')])

    def take(self, description: SessionDescription, remote: MsrpMedia, *, offered: bool) -> None:
        """Take over what the peer says and connect; ``offered``: it answers us. Raise as :meth:`agreed`."""
        self.agreed(description, remote)
        self._negotiated(description, remote, offered=offered)

    def _negotiated(self, description: SessionDescription, remote: MsrpMedia, *, offered: bool) -> None:
        if offered:
            # The answer decides; without a=setup in it the offerer connects, as in RFC 4975 alone.
            self.active = remote.setup != "active"
        self._remote_path = remote.path
        self._remote_origin = hash(str(description.origin))
        self.msrp.may_send = remote.may_receive
        self._unopened = None
        if self._waits_for_ack and self.active:
            # An answerer that connects waits for the ACK: before it, nobody knows that the answer arrived.
            self._unopened = remote, offered
        else:
            self._open(remote, offered=offered)

    def _open(self, remote: MsrpMedia, *, offered: bool) -> None:
        relayed = bool(self.msrp.use_path)
        if self._cema and offered:
            decided = partial(self._go_by, self.msrp, remote)
            anchoring.decide(self.agent.endpoint, remote, decided, active=self.active, relayed=relayed)
        elif self._cema and self.active and not relayed:
            self._connect(remote, anchor(remote))
        else:
            self._connect(remote, None)

    def _go_by(self, msrp: MsrpSession, remote: MsrpMedia, route: Route) -> None:
        """Connect ``msrp``, or offer something else in its place (C-CEM-02)."""
        if self._closed or msrp is not self.msrp:
            return
        if route is not Route.FALL_BACK:
            self._connect(remote, anchor(remote) if route is Route.ADDRESS else None)
            return
        self._plain = True
        self.renegotiation.replace(ConnectionClosed(anchoring.MISMATCH, certain=True))

    def _connect(self, remote: MsrpMedia, at: HostPort | None) -> None:
        self.agent.endpoint.hub.open(
            self.msrp,
            remote.path,
            active=self.active,
            remote_max_size=remote.max_size,
            remote_accept_types=remote.accept_types,
            fingerprints=remote.fingerprints,
            at=at,
            is_acknowledged=not self._waits_for_ack,
        )

    def invited_again(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer a re-INVITE, or an UPDATE with an offer (A-INV-07): when names in it are looked up, and we have a path
        by MSRP relays again."""
        endpoint, relay = self.agent.endpoint, self.agent.relay
        waited, self._waits_for_ack = self._waits_for_ack, True

        def answer(fault: SipstackError | None) -> None:
            self._waits_for_ack = waited
            if transaction.is_final:
                return  # the peer wants no answer any more
            if self.is_open:
                self._answer_again(transaction, request, fault)
            else:
                endpoint.reply(transaction, 487)

        def checked(fault: MediaRefused | None) -> None:
            if fault is not None or relay is None:
                answer(fault)
            else:
                relay.acquire(lambda error: answer(None))  # without path there is 480, if one is needed

        anchoring.check_invitation(endpoint, media.description_in(request), checked)

    def _answer_again(self, transaction: ServerTransaction, request: Request, fault: SipstackError | None) -> None:
        """Answer with our description, or say why there is none. An UPDATE has no ACK to wait for."""
        invites = request.method == "INVITE"
        waited, self._waits_for_ack = self._waits_for_ack, self._waits_for_ack or invites
        try:
            if fault is not None:
                raise fault
            offer = media.parse_description(request)
            description = self.renegotiation.answer(offer) if offer is not None or invites else b""
        except (RemoteProtocolError, ConnectionClosed) as error:
            self._waits_for_ack = waited
            self._refuse_again(transaction, request, error)
            return
        if invites:
            self._answer_due = offer is None
        self.answer(transaction, request, description)
        if not invites:
            self.renegotiation.acknowledged()

    def _refuse_again(self, transaction: ServerTransaction, request: Request, error: SipstackError) -> None:
        if isinstance(error, RemoteProtocolError):
            headers = media.explanation(self.agent.endpoint.config, error)
            self.refuse(transaction, request, error.status, headers)
        else:
            self.refuse(transaction, request, 480)  # our path through the MSRP relay is lost
        if self._renegotiation is not None:
            self._renegotiation.go_on()

    def invite_again(self) -> bool:
        """Offer the session as it runs once more."""
        return self.renegotiation.refresh()

    def release(self) -> None:
        """Give up the MSRP session; what is undecided in it becomes so now."""
        if self._renegotiation is not None:
            self._renegotiation.close()
        self.agent.endpoint.hub.release(self.msrp)

    # descriptions after the first ones

    @property
    def renegotiation(self) -> Renegotiation:
        """Return what follows the first offer and answer, made on first use."""
        if self._renegotiation is None:
            self._renegotiation = Renegotiation(self)
        return self._renegotiation

    def renegotiate(self) -> None:
        """Offer the peer a new MSRP session in place of this one, by the path that we have now.

        Messages go on by the old one until the new one has its connection. Nothing happens when the session is over;
        when the peer refuses, all stays as it was.
        """
        if self.is_open:
            self.renegotiation.request()

    def path_changed(self, error: SipstackError | None) -> None:
        """Go by the path that we have by MSRP relays now; ``error`` is why there is none (C-RLY-05)."""
        relay = self.agent.relay
        if relay is None or self.msrp.use_path == relay.use_path:
            return
        if error is not None:
            self.renegotiation.replace(error)
        elif relay.use_path:
            self.renegotiate()

    def queued(self) -> None:
        """Have a lost connection replaced now: there is something to send. To be called after each message."""
        if self._renegotiation is not None:
            self._renegotiation.message_queued()

    def is_unchanged(self, description: SessionDescription, remote: MsrpMedia) -> bool:
        """Tell whether a new description of the peer leaves the connection as it is (C-SES-01)."""
        if remote.path != self._remote_path:
            return False
        same_origin = hash(str(description.origin)) == self._remote_origin
        return same_origin or remote.setup != ("active" if self.active else "passive")

    def describe_again(self, offer: SessionDescription | None) -> bytes:
        """Return the description of the session as it runs: as an offer, or as answer to one that changes no path."""
        if offer is None:
            return self._word_offer(self.make_offer(active=self.active))
        remote = self.medium(offer)
        anchoring.check_offer(self.agent.endpoint.config, remote)
        local = self.make_answer(offer, "active" if self.active else "passive")
        self.refresh(offer, remote)
        return self._word_answer(local, remote)

    def say_again(self) -> bytes:
        """Return what a refresh offers: what was said last, to the octet (A-STM-05)."""
        return self.wording.said or self.describe_again(None)

    def refresh(self, description: SessionDescription, remote: MsrpMedia) -> None:
        """Take over what a description that changes no path says beside it."""
        self.agreed(description, remote)
        self._remote_origin = hash(str(description.origin))
        self.msrp.may_send = remote.may_receive
        self.msrp.open(remote.path, max_size=remote.max_size, accept_types=remote.accept_types)

    def ack_received(self, request: Request) -> None:
        """Take the ACK of our 200 to a re-INVITE."""
        self.confirmed(request)

    # sipstack.net.hub.SessionHandler

    def session_opened(self, session: MsrpSession) -> None:
        """The MSRP connection is up."""
        self.was_connected = True
        if self._renegotiation is not None and session is self.msrp:
            self._renegotiation.opened()

    @abstractmethod
    def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
        """A whole message came: ``accept()`` or ``reject()`` it, now or later."""

    def session_closed(self, session: MsrpSession, error: Exception | None) -> None:
        """An MSRP connection is lost, or never came: without one the dialog has no purpose any more."""
        failure = error if isinstance(error, SipstackError) else None
        if not self._closed and self.dialog is not None and not self.renegotiation.lost(session, failure):
            self.end("connection-lost", failure, bye=LOST)
