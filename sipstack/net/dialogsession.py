"""Anything that an INVITE sets up and a BYE ends: one dialog with one peer (RFC 3261 §12-§15)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sipstack.errors import RemoteProtocolError, SipstackError, UnexpectedMessage
from sipstack.net import uas
from sipstack.net.body import SDP, sdp_of
from sipstack.net.media import explanation
from sipstack.net.refresh import Refreshing
from sipstack.sip.headers import quote
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.ringing import Ringing
    from sipstack.net.useragent import UserAgent
    from sipstack.sip.dialog import Dialog

logger = logging.getLogger(__name__)

BYE_TIMEOUT = 2.0
"""Seconds that ``close()`` waits for the answer to BYE; the session is over in any case (A-INV-08)."""


def _ignore(_: object) -> None:
    pass


def _reason(text: str | None) -> list[tuple[str, str]]:
    return [] if text is None else [("Reason", f"SIP;cause=200;text={quote(' '.join(text.split()))}")]


class DialogSession(ABC):
    """One dialog with one peer. Leaving an ``async with`` block closes it."""

    KIND: ClassVar[str]
    """What it is called in logs and traces: ``chat``."""

    __slots__ = ("_answering", "_bye_held", "_closed", "agent", "dialog", "early", "peer", "refreshing", "tag")

    def __init__(self, agent: UserAgent, peer: Uri) -> None:
        self.agent = agent
        self.peer = peer
        """Whom we invited, or who invited us (From)."""
        self.tag: Any = None
        """For the owner's own use."""
        self.dialog: Dialog | None = None
        """None until the session is set up."""
        self.early: Ringing | None = None
        """How we rang, until our 200 is acknowledged: what is under way from then goes on in the session."""
        self.refreshing = Refreshing(self)
        self._closed = False
        self._answering: ServerTransaction | None = None
        """An INVITE inside the dialog that waits for our answer."""
        self._bye_held: Callable[[], object] | None = None
        """Says BYE as soon as the ACK of our 200 is there (A-INV-08)."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.agent.identity.aor} with {self.peer}>"

    @property
    def is_open(self) -> bool:
        """Tell whether the session was set up and not closed by anybody."""
        return self.dialog is not None and not self._closed

    @property
    def call_id(self) -> str:
        """Of the dialog, for logs; empty before it exists."""
        return self.dialog.call_id if self.dialog is not None else ""

    # what sub-classes define

    @abstractmethod
    def ended(self, reason: str, error: SipstackError | None) -> None:
        """Tell the owner that the session is over; called once, if it was ever established.

        ``reason`` is ``local`` (we closed it), ``remote`` (BYE of the peer), ``connection-lost`` (MSRP broke or was
        never opened), ``no-ack`` (our 200 to the INVITE was never acknowledged) or ``expired`` (the session was not
        refreshed in time, or the peer knows it no more, :rfc:`4028`).
        """

    @abstractmethod
    def release(self) -> None:
        """Give up what the session holds beside the dialog, which is over."""

    @abstractmethod
    def invited_again(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer an INVITE inside the dialog, or an UPDATE with an offer, now or later, by :meth:`answer`."""

    @abstractmethod
    def invite_again(self) -> bool:
        """Send an INVITE that changes nothing (:rfc:`4028#section-7.4`), and tell :attr:`refreshing` what became of it;
        return False when none can be sent now."""

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

        if self.end("local", None, bye=_reason(reason), on_bye=done):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BYE_TIMEOUT):
                    await answered

    def hang_up(self, reason: str | None = None) -> None:
        """:meth:`close` without waiting."""
        self.end("local", None, bye=_reason(reason))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def abandon(self) -> None:
        """Let go of a session that was never set up; its owner is not told."""
        self._closed = True
        self.refreshing.close()
        self.release()

    def end(
        self,
        reason: str,
        error: SipstackError | None,
        *,
        bye: list[tuple[str, str]] | None = None,
        on_bye: Callable[[object], None] = _ignore,
    ) -> bool:
        """End the session once, with BYE when ``bye`` (its headers) is given; return False when it was over."""
        dialog = self.dialog
        if self._closed or dialog is None:
            return False
        self._closed = True
        agent = self.agent
        self.refreshing.close()
        if bye is None or not dialog.wants_end:
            on_bye(None)
        else:
            say_bye = partial(agent.send_in_dialog, dialog, "BYE", headers=bye, on_end=on_bye)
            if dialog.may_end:
                say_bye()
            else:
                self._bye_held = say_bye
        dialog.terminate()
        agent.session_ended(self, dialog)
        self.release()
        self.report("closed", reason)
        self.ended(reason, error)
        return True

    def acknowledged(self) -> None:
        """Take note that the ACK of our 200 is here, or that it will not come: now we may say BYE (A-INV-08)."""
        self.early = None
        if self.dialog is not None:
            self.dialog.receive_ack()
        held, self._bye_held = self._bye_held, None
        if held is not None:
            held()

    def report(self, state: str, note: str = "") -> None:
        """Log and trace what has become of the session."""
        agent, trace = self.agent, self.agent.endpoint.trace
        logger.info("%s %s of %s with %s is %s %s", self.KIND, self.call_id, agent.identity.aor, self.peer, state, note)
        if trace is not None:
            trace.state(f"{self.KIND} {self.call_id}", state, note)

    # sipstack.net.dispatch.DialogUser

    def request_received(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer a request inside the dialog."""
        dialog, endpoint = self.dialog, self.agent.endpoint
        assert dialog is not None
        try:
            dialog.receive_request(request)
        except UnexpectedMessage as error:
            uas.reply_unexpected(endpoint, transaction, error)
            return
        match request.method:
            case "BYE":
                endpoint.reply(transaction, 200)
                if self.early is not None:
                    self.early.withdraw(487)
                self._give_up_answering()
                self.end("remote", None)
            case "INVITE" | "UPDATE":
                self._changed(transaction, request)
            case "PRACK" if self.early is not None:
                self.early.acknowledged(transaction, request)
            case _:
                self.agent.request_received(transaction, request)

    def _changed(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer an INVITE or UPDATE: both refresh the session, and may change it. Content first, then extensions."""
        assert self.dialog is not None
        try:
            sdp_of(request)
            self.refreshing.check(request)
        except UnexpectedMessage as error:
            self.dialog.send_response(request, uas.reply_unexpected(self.agent.endpoint, transaction, error))
            return
        except RemoteProtocolError as error:
            self.refuse(transaction, request, error.status, explanation(self.agent.endpoint.config, error))
            return
        if request.method == "INVITE":
            transaction.owner = self
        elif not request.body:
            self.answer(transaction, request)
            return
        self._answering = transaction
        self.invited_again(transaction, request)

    def answer(self, transaction: ServerTransaction, request: Request, description: bytes = b"") -> None:
        """Answer 200 to an INVITE or UPDATE inside the dialog, with our description if it wants one."""
        endpoint = self.agent.endpoint
        headers = [("Contact", self.agent.contact()), ("Allow", uas.ALLOW), ("Supported", endpoint.config.supported)]
        headers += self.refreshing.answer(request)
        if description:
            headers.append(("Content-Type", SDP))
        self._respond(request, endpoint.reply(transaction, 200, headers=headers, body=description))

    def refuse(
        self, transaction: ServerTransaction, request: Request, status: int, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Refuse an INVITE or UPDATE inside the dialog: all stays as it was (A-INV-07)."""
        self._respond(request, self.agent.endpoint.reply(transaction, status, headers=headers))

    def _respond(self, request: Request, response: Response) -> None:
        assert self.dialog is not None
        self._answering = None
        self.dialog.send_response(request, response)

    def _give_up_answering(self) -> None:
        """Answer 487 to what is under way: its dialog is over, or its sender wants it no more (A-INV-09)."""
        transaction = self._answering
        if transaction is not None and not transaction.is_final:
            self.refuse(transaction, transaction.request, 487)

    # sipstack.net.dispatch.InviteUser, for INVITEs inside the dialog

    def cancelled(self, request: Request) -> None:
        """Take the CANCEL of an INVITE that is not answered yet."""
        self._give_up_answering()
