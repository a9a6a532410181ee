"""What every conversation is made of: one dialog and one MSRP session that live and die together (RFC 4975 §8).

A chat is one (:mod:`sipstack.net.chat`); what its messages are and what its session description says is its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from sipstack import ids
from sipstack.errors import RemoteProtocolError, SipstackError, TransactionTimeout, UnexpectedMessage
from sipstack.msrp.message import IncomingMessage
from sipstack.msrp.uri import MsrpUri
from sipstack.net import media, uas
from sipstack.sdp import SessionDescription
from sipstack.sdp_msrp import MediaRefused, MsrpMedia, is_active
from sipstack.sip.dialog import DialogState, EarlyInvite
from sipstack.sip.headers import quote
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.msrp.session import MsrpSession
    from sipstack.net.useragent import UserAgent
    from sipstack.sip.dialog import Dialog

__all__ = ["MediaSession"]

logger = logging.getLogger(__name__)

BYE_TIMEOUT = 2.0
"""Seconds that ``close()`` waits for the answer to BYE; the session is over in any case (A-INV-08)."""


def _ignore(_: object) -> None:
    pass


class MediaSession(ABC):
    """One dialog and one MSRP session with one peer.

    It exists before its dialog: :meth:`describe` says what to offer or answer, :meth:`established` begins it, and
    :meth:`abandon` drops it when that never happens. Sub-classes say what the description holds (:meth:`make_offer`,
    :meth:`make_answer`), take what the peer's says (:meth:`agreed`), receive messages and tell their owner of the end.
    Leaving an ``async with`` block closes the session.
    """

    KIND: ClassVar[str]
    """What it is called in logs and traces: ``chat``."""

    __slots__ = (
        "_active",
        "_closed",
        "_dialog",
        "_remote_path",
        "_unopened",
        "_waits_for_ack",
        "agent",
        "msrp",
        "peer",
        "sdp_id",
        "tag",
    )

    def __init__(self, agent: UserAgent, peer: Uri, *, secure: bool = False, max_size: int | None = None) -> None:
        """Make the MSRP session; ``max_size`` is how many octets a message to us may have, by default as configured.

        Raise ConnectionClosed when our path through an MSRP relay is lost.
        """
        self.agent = agent
        self.peer = peer
        """Whom we invited, or who invited us (From)."""
        self.tag: Any = None
        """For the owner's own use."""
        self.sdp_id = int(ids.token(32), 16)
        """Session id and first version in the ``o=`` of our descriptions."""
        self._dialog: Dialog | None = None
        self._closed = False
        # what was negotiated
        self._active = False
        self._waits_for_ack = False
        self._unopened: MsrpMedia | None = None
        self._remote_path: tuple[MsrpUri, ...] = ()
        self.msrp: MsrpSession = agent.endpoint.hub.create_session(
            self,
            max_size=agent.endpoint.config.max_message_size if max_size is None else max_size,
            secure=secure,
            relay=agent.relay,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.agent.identity.aor} with {self.peer}>"

    @property
    def is_open(self) -> bool:
        """Tell whether the session was set up and not closed by anybody."""
        return self._dialog is not None and not self._closed

    @property
    def call_id(self) -> str:
        """Of the dialog, for logs; empty before it exists."""
        return self._dialog.call_id if self._dialog is not None else ""

    # what sub-classes define

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

    @abstractmethod
    def ended(self, reason: str, error: SipstackError | None) -> None:
        """Tell the owner that the session is over; called once, if it was ever established.

        ``reason`` is ``local`` (we closed it), ``remote`` (BYE of the peer), ``connection-lost`` (MSRP broke or was
        never opened) or ``no-ack`` (our 200 to the INVITE was never acknowledged).
        """

    # the end

    async def close(self, reason: str | None = None) -> None:
        """End the session: BYE, MSRP closed. Wait for the answer to BYE, 2 s at most. A second call does nothing.

        ``reason`` goes as text into a Reason header (:rfc:`3326`).
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()

        def done(_: object) -> None:
            if not answered.done():
                answered.set_result(None)

        headers = [] if reason is None else [("Reason", f"SIP;cause=200;text={quote(' '.join(reason.split()))}")]
        if self._end("local", None, bye=headers, on_bye=done):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BYE_TIMEOUT):
                    await answered

    def hang_up(self) -> None:
        """:meth:`close` without waiting."""
        self._end("local", None, bye=[])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def abandon(self) -> None:
        """Let go of a session that was never set up; its owner is not told."""
        self._closed = True
        self.agent.endpoint.hub.release(self.msrp)

    def _end(
        self,
        reason: str,
        error: SipstackError | None,
        *,
        bye: list[tuple[str, str]] | None = None,
        on_bye: Callable[[object], None] = _ignore,
    ) -> bool:
        """End the session once, with BYE when ``bye`` (its headers) is given; return False when it was over."""
        dialog = self._dialog
        if self._closed or dialog is None:
            return False
        self._closed = True
        agent = self.agent
        if bye is not None and dialog.state is not DialogState.TERMINATED:
            agent.send_in_dialog(dialog, "BYE", headers=bye, on_end=on_bye)
        else:
            on_bye(None)
        dialog.terminate()
        agent.session_ended(self, dialog)
        agent.endpoint.hub.release(self.msrp)
        self._report("closed", reason)
        self.ended(reason, error)
        return True

    # set-up

    def describe(self, remote: SessionDescription | None) -> bytes:
        """Return our offer, or our answer to the offer ``remote``. Raise MediaRefused (488) when nothing fits."""
        if remote is None:
            return bytes(self.make_offer())
        local = self.make_answer(remote, "active" if self.agent.endpoint.config.msrp_setup == "active" else "passive")
        self._active = is_active(self._medium(local), self._medium(remote), offerer=False)
        return bytes(local)

    def _describe_again(self, remote: SessionDescription | None) -> bytes:
        """Return the same session again for a refresh (C-SES-01). Raise MediaRefused when the offer changes it."""
        if remote is None:
            return bytes(self.make_offer(active=self._active))
        if self._medium(remote).path != self._remote_path:
            raise MediaRefused("the path of a running session cannot change", media.MISCELLANEOUS)
        return bytes(self.make_answer(remote, "active" if self._active else "passive"))

    def _medium(self, description: SessionDescription) -> MsrpMedia:
        return media.medium_of(description, self.msrp)

    def established(self, dialog: Dialog, remote: SessionDescription | None, *, offered: bool) -> None:
        """Begin: ``dialog`` is there, ``remote`` is the peer's description, ``offered`` tells that ours was the offer.

        ``remote`` is None when it will come in the ACK. Raise MediaRefused (488) when it is of no use.
        """
        described = None if remote is None else self._medium(remote)
        if remote is not None and described is not None:
            self.agreed(remote, described)
        self._dialog = dialog
        self._waits_for_ack = not offered
        self.agent.session_started(self, dialog)
        if described is not None:
            self._negotiated(described, offered=offered)
        self._report("set up")

    def confirmed(self, ack: Request) -> None:
        """Take the ACK of our 200, which may bring the answer to our offer (A-OA-03)."""
        if self._closed or not self._waits_for_ack:
            return
        self._waits_for_ack = False
        if self._unopened is not None:
            described, self._unopened = self._unopened, None
            self._open(described)
            return
        if self._remote_path:
            return
        try:
            answer = media.parse_description(ack)
            if answer is None:
                raise RemoteProtocolError("neither INVITE nor ACK brought a session description")
            described = self._medium(answer)
            self.agreed(answer, described)
            self._negotiated(described, offered=True)
        except RemoteProtocolError as error:
            self._end("connection-lost", error, bye=[("Reason", 'SIP;cause=488;text="Bad answer"')])

    def ack_missing(self) -> None:
        """Give up: our 200 was never acknowledged."""
        error = TransactionTimeout("the 200 to INVITE was never acknowledged")
        self._end("no-ack", error, bye=[("Reason", 'SIP;cause=408;text="ACK missing"')])

    def _negotiated(self, remote: MsrpMedia, *, offered: bool) -> None:
        if offered:
            # The answer decides; without a=setup in it the offerer connects, as in RFC 4975 alone.
            self._active = remote.setup != "active"
        self._remote_path = remote.path
        if self._waits_for_ack and self._active:
            # An answerer that connects waits for the ACK: before it, nobody knows that the answer arrived.
            self._unopened = remote
        else:
            self._open(remote)

    def _open(self, remote: MsrpMedia) -> None:
        self.agent.endpoint.hub.open(
            self.msrp,
            remote.path,
            active=self._active,
            remote_max_size=remote.max_size,
            remote_accept_types=remote.accept_types,
            fingerprints=remote.fingerprints,
        )

    def _report(self, state: str, note: str = "") -> None:
        agent, trace = self.agent, self.agent.endpoint.trace
        logger.info("%s %s of %s with %s is %s %s", self.KIND, self.call_id, agent.identity.aor, self.peer, state, note)
        if trace is not None:
            trace.state(f"{self.KIND} {self.call_id}", state, note)

    # sipstack.net.dispatch.DialogUser

    def request_received(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer a request inside the dialog."""
        dialog, endpoint = self._dialog, self.agent.endpoint
        assert dialog is not None
        try:
            dialog.receive_request(request)
        except UnexpectedMessage as error:
            headers = [("Retry-After", str(error.retry_after))] if isinstance(error, EarlyInvite) else []
            endpoint.reply(transaction, error.status, headers=headers)
            return
        match request.method:
            case "BYE":
                endpoint.reply(transaction, 200)
                self._end("remote", None)
            case "INVITE":
                transaction.owner = self
                dialog.send_response(request, self._answer_again(transaction, request))
            case _:
                self.agent.request_received(transaction, request)

    def _answer_again(self, transaction: ServerTransaction, request: Request) -> Response:
        endpoint = self.agent.endpoint
        try:
            description = self._describe_again(media.parse_description(request))
        except RemoteProtocolError as error:
            return endpoint.reply(transaction, error.status, headers=[media.warning(endpoint.config, error)])
        headers = [("Contact", self.agent.contact()), ("Allow", uas.ALLOW), ("Supported", uas.SUPPORTED)]
        return endpoint.reply(
            transaction, 200, headers=[*headers, ("Content-Type", "application/sdp")], body=description
        )

    # sipstack.net.dispatch.InviteUser, for INVITEs inside the dialog

    def cancelled(self, request: Request) -> None:
        """Nothing to do: an INVITE inside the dialog is answered at once."""
        return

    def ack_received(self, request: Request) -> None:
        """Nothing to do: a refresh changes nothing."""
        return

    # sipstack.net.hub.SessionHandler

    def session_opened(self, session: MsrpSession) -> None:
        """The MSRP connection is up."""
        return

    @abstractmethod
    def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
        """A whole message came: ``accept()`` or ``reject()`` it, now or later."""

    def session_closed(self, session: MsrpSession, error: Exception | None) -> None:
        """The MSRP connection is lost, or never came: the dialog has no purpose any more."""
        failure = error if isinstance(error, SipstackError) else None
        self._end("connection-lost", failure, bye=[("Reason", 'SIP;cause=408;text="MSRP connection lost"')])
