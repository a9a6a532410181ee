"""A chat: one dialog and one MSRP session that live and die together (RFC 4975 §8)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from sipstack import ids
from sipstack.errors import (
    LocalProtocolError,
    RemoteProtocolError,
    SipstackError,
    TransactionTimeout,
    UnexpectedMessage,
)
from sipstack.msrp.mediatype import accepts
from sipstack.msrp.message import IncomingMessage, MessageState, OutgoingMessage
from sipstack.msrp.uri import MsrpUri
from sipstack.net import media, notices, uas
from sipstack.net.chatmessage import CPIM, ChatMessage, Inbox
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

__all__ = ["ChatHandler", "ChatMessage", "ChatSession"]

logger = logging.getLogger(__name__)

BYE_TIMEOUT = 2.0
"""Seconds that ``close()`` waits for the answer to BYE; the chat is over in any case (A-INV-08)."""


class ChatHandler(Protocol):
    """What a chat tells its owner; synchronous, called from the loop. Inherit from it to get the defaults."""

    def chat_message(self, chat: ChatSession, message: ChatMessage) -> None:
        """A message has come: call ``accept()`` or ``reject(code)`` on it, now or later, exactly once."""
        message.reject(415, "nobody reads here")

    def chat_closed(self, chat: ChatSession, reason: str, error: SipstackError | None) -> None:
        """The chat is over; called exactly once for each chat that was set up, whoever ended it.

        ``reason`` is ``local`` (we closed it), ``remote`` (BYE of the peer), ``connection-lost`` (MSRP broke or was
        never opened) or ``no-ack`` (our 200 to the INVITE was never acknowledged).
        """
        return


def _ignore(_: object) -> None:
    pass


class ChatSession:
    """A conversation with one peer. Made by :meth:`UserAgent.invite` and :meth:`IncomingInvitation.answer`.

    Messages go by :meth:`send`; they come to the handler, or to ``async for`` when there is none. Leaving an
    ``async with`` block closes the chat.
    """

    __slots__ = (
        "_active",
        "_closed",
        "_dialog",
        "_handler",
        "_remote_path",
        "_sdp_id",
        "_unopened",
        "_waits_for_ack",
        "_wraps",
        "agent",
        "msrp",
        "peer",
        "tag",
        "takes_composing",
        "takes_notifications",
    )

    def __init__(self, agent: UserAgent, peer: Uri, handler: ChatHandler | None, *, secure: bool = False) -> None:
        self.agent = agent
        self.peer = peer
        """Whom we invited, or who invited us (From)."""
        self.tag: Any = None
        """For the owner's own use."""
        self._handler: ChatHandler = Inbox() if handler is None else handler
        self._dialog: Dialog | None = None
        self._closed = False
        # what was negotiated
        self._active = False
        self._waits_for_ack = False
        self._unopened: MsrpMedia | None = None
        self._wraps = False
        self.takes_notifications = False
        """The peer lists disposition notifications inside CPIM."""
        self.takes_composing = False
        """The peer lists typing status, and has not refused any."""
        self._remote_path: tuple[MsrpUri, ...] = ()
        self._sdp_id = int(ids.token(32), 16)
        config = agent.endpoint.config
        self.msrp: MsrpSession = agent.endpoint.hub.create_session(
            self, max_size=config.max_message_size, secure=secure, relay=agent.relay
        )

    def __repr__(self) -> str:
        return f"<ChatSession {self.agent.identity.aor} with {self.peer}>"

    @property
    def is_open(self) -> bool:
        """Tell whether the chat was set up and not closed by anybody."""
        return self._dialog is not None and not self._closed

    @property
    def wraps(self) -> bool:
        """Tell whether messages go inside CPIM, because the peer takes it (D-CPM-10)."""
        return self._wraps

    @property
    def call_id(self) -> str:
        """Of the dialog, for logs; empty before it exists."""
        return self._dialog.call_id if self._dialog is not None else ""

    # messages

    def send(
        self,
        content: str | bytes,
        content_type: str = "text/plain",
        *,
        message_id: str | None = None,
        notify: bool = False,
        on_done: Callable[[OutgoingMessage], None] | None = None,
        tag: Any = None,
    ) -> OutgoingMessage:
        """Send a message; it waits inside while the MSRP connection comes up.

        ``notify`` asks for notifications of delivery and display, where the peer can send them (D-IMD-13).

        ``on_done`` is called when its state is decided: at once when the peer's session description forbids it.
        Raise LocalProtocolError when the chat is closed.
        """
        body = content.encode() if isinstance(content, str) else content
        if not self._wraps:
            return self.msrp.send(body, content_type, message_id=message_id, on_done=on_done, tag=tag)
        message_id = message_id or ids.message_id()
        template = notices.ASKING if notify and self.takes_notifications else notices.ANONYMOUS
        wrapped = template.render(content_type, body, datetime=self.agent.endpoint.date(), message_id=message_id)
        return self.msrp.send(wrapped, CPIM, message_id=message_id, on_done=on_done, tag=tag)

    def find_message(self, message_id: str) -> OutgoingMessage | None:
        """Return a message that was sent here and is on its way or was done lately."""
        return self.msrp.find_message(message_id)

    async def deliver(
        self,
        content: str | bytes,
        content_type: str = "text/plain",
        *,
        message_id: str | None = None,
        notify: bool = False,
    ) -> OutgoingMessage:
        """Send a message and wait until its state is decided: see ``state`` and ``status`` of what is returned."""
        future: asyncio.Future[OutgoingMessage] = asyncio.get_running_loop().create_future()

        def done(message: OutgoingMessage) -> None:
            if message.state is not MessageState.PENDING and not future.done():
                future.set_result(message)

        self.send(content, content_type, message_id=message_id, notify=notify, on_done=done)
        return await future

    def __aiter__(self) -> AsyncIterator[ChatMessage]:
        """Yield the messages that come, accepted, until the chat is closed. Only for chats without a handler."""
        if not isinstance(self._handler, Inbox):
            raise LocalProtocolError("the messages of this chat go to its handler")
        return self._handler.messages()

    # the end

    async def close(self, reason: str | None = None) -> None:
        """End the chat: BYE, MSRP closed. Wait for the answer to BYE, 2 s at most. A second call does nothing.

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
        """Let go of a chat that was never set up; its handler is not told."""
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
        """End the chat once, with BYE when ``bye`` (its headers) is given; return False when it was over."""
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
        agent.chat_ended(self, dialog)
        agent.endpoint.hub.release(self.msrp)
        self._report("closed", reason)
        self._handler.chat_closed(self, reason, error)
        return True

    # set-up

    def describe(self, remote: SessionDescription | None) -> bytes:
        """Return our offer, or our answer to the offer ``remote``. Raise MediaRefused (488) when nothing fits."""
        endpoint = self.agent.endpoint
        if remote is None:
            local = media.offer(endpoint.config, self.msrp, self._sdp_id)
        else:
            setup: Literal["active", "passive"] = "active" if endpoint.config.msrp_setup == "active" else "passive"
            local = self._answer(remote, setup)
            self._active = is_active(self._medium(local), self._medium(remote), offerer=False)
        return bytes(local)

    def _describe_again(self, remote: SessionDescription | None) -> bytes:
        """Return the same session again for a refresh (C-SES-01). Raise MediaRefused when the offer changes it."""
        endpoint = self.agent.endpoint
        if remote is None:
            return bytes(media.offer(endpoint.config, self.msrp, self._sdp_id, active=self._active))
        if self._medium(remote).path != self._remote_path:
            raise MediaRefused("the path of a running session cannot change", media.MISCELLANEOUS)
        return bytes(self._answer(remote, "active" if self._active else "passive"))

    def _answer(self, remote: SessionDescription, setup: Literal["active", "passive"]) -> SessionDescription:
        endpoint = self.agent.endpoint
        return media.answer(endpoint.config, self.msrp, self._sdp_id, remote, setup)

    def _medium(self, description: SessionDescription) -> MsrpMedia:
        return media.medium_of(description, self.msrp)

    def established(self, dialog: Dialog, remote: SessionDescription | None, *, offered: bool) -> None:
        """Begin: ``dialog`` is there, ``remote`` is the peer's description, ``offered`` tells that ours was the offer.

        ``remote`` is None when it will come in the ACK. Raise MediaRefused (488) when it is of no use.
        """
        described = None if remote is None else self._medium(remote)
        self._dialog = dialog
        self._waits_for_ack = not offered
        self.agent.chat_started(self, dialog)
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
            self._negotiated(self._medium(answer), offered=True)
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
        self._wraps = media.wants_cpim(remote)
        self.takes_notifications = self._wraps and notices.takes_notifications(remote)
        self.takes_composing = notices.takes_composing(remote, wraps=self._wraps)
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
        logger.info("chat %s of %s with %s is %s %s", self.call_id, agent.identity.aor, self.peer, state, note)
        if trace is not None:
            trace.state(f"chat {self.call_id}", state, note)

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

    def ack_received(self, request: Request) -> None:
        """Nothing to do: a refresh changes nothing."""

    # sipstack.net.hub.SessionHandler

    def session_opened(self, session: MsrpSession) -> None:
        """The MSRP connection is up."""

    def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
        """Unwrap a message and hand it on; refuse what is malformed (400) or was never announced (415)."""
        config = self.agent.endpoint.config
        try:
            chat_message = ChatMessage(message)
        except RemoteProtocolError as error:
            message.reject(error.status, str(error)[:80])
            return
        allowed = config.accept_types if chat_message.cpim is None else config.accept_wrapped_types
        if chat_message.content_type not in allowed and not accepts(allowed, chat_message.content_type):
            message.reject(415, "media type was not announced")
            return
        self._handler.chat_message(self, chat_message)

    def session_closed(self, session: MsrpSession, error: Exception | None) -> None:
        """The MSRP connection is lost, or never came: the dialog has no purpose any more."""
        failure = error if isinstance(error, SipstackError) else None
        self._end("connection-lost", failure, bye=[("Reason", 'SIP;cause=408;text="MSRP connection lost"')])
