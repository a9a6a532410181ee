"""A chat: a conversation by messages, each as soon as it is written (RFC 4975 §8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from sipstack import ids
from sipstack.errors import LocalProtocolError, RemoteProtocolError, SipstackError
from sipstack.im.multipart import is_multipart
from sipstack.msrp.mediatype import accepts
from sipstack.msrp.message import IncomingMessage, MessageState, OutgoingMessage
from sipstack.net import media, notices
from sipstack.net.chatmessage import CPIM, ChatMessage, Inbox
from sipstack.net.mediasession import MediaSession
from sipstack.sdp import SessionDescription
from sipstack.sdp_msrp import MsrpMedia
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.msrp.session import MsrpSession
    from sipstack.net.useragent import UserAgent

__all__ = ["ChatHandler", "ChatMessage", "ChatSession"]


class ChatHandler(Protocol):
    """What a chat tells its owner; synchronous, called from the loop. Inherit from it to get the defaults."""

    def chat_message(self, chat: ChatSession, message: ChatMessage) -> None:
        """A message has come: call ``accept()`` or ``reject(code)`` on it, now or later, exactly once."""
        message.reject(415, "nobody reads here")

    def chat_closed(self, chat: ChatSession, reason: str, error: SipstackError | None) -> None:
        """The chat is over; called exactly once for each chat that was set up, whoever ended it.

        ``reason`` is as :meth:`MediaSession.ended` says.
        """
        return


class ChatSession(MediaSession):
    """A conversation with one peer. Made by :meth:`UserAgent.invite` and :meth:`IncomingInvitation.answer`.

    Messages go by :meth:`send`; they come to the handler, or to ``async for`` when there is none. Leaving an
    ``async with`` block closes the chat.
    """

    KIND: ClassVar[str] = "chat"

    __slots__ = ("_inside", "_wraps", "handler", "takes_composing", "takes_notifications")

    def __init__(self, agent: UserAgent, peer: Uri, handler: ChatHandler | None, *, secure: bool = False) -> None:
        super().__init__(agent, peer, secure=secure)
        self.handler: ChatHandler = Inbox() if handler is None else handler
        """Who gets what happens here."""
        # what was negotiated
        self._wraps = False
        self._inside: tuple[str, ...] = ()
        """Media types that the peer takes inside CPIM; empty when it names none for that: then it is asked."""
        self.takes_notifications = False
        """The peer lists disposition notifications inside CPIM."""
        self.takes_composing = False
        """The peer lists typing status, and has not refused any."""

    @property
    def wraps(self) -> bool:
        """Tell whether messages go inside CPIM, because the peer takes it (D-CPM-10)."""
        return self._wraps

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
        message_id = message_id or ids.message_id()
        # What the peer does not take inside goes bare, to be refused for what accept-types says (C-SES-04).
        if self._wraps and (not self._inside or accepts(self._inside, content_type)):
            template = notices.ASKING if notify and self.takes_notifications else notices.ANONYMOUS
            body = template.render(content_type, body, datetime=self.agent.endpoint.date(), message_id=message_id)
            content_type = CPIM
        message = self.msrp.send(body, content_type, message_id=message_id, on_done=on_done, tag=tag)
        self.queued()
        return message

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
        if not isinstance(self.handler, Inbox):
            raise LocalProtocolError("the messages of this chat go to its handler")
        return self.handler.messages()

    # sipstack.net.mediasession.MediaSession

    def make_offer(self, *, active: bool = False) -> SessionDescription:
        """Return our offer of a chat, with what the configuration says that we take."""
        return media.offer(self.agent.endpoint.config, self.msrp, self.wording.id, active=active)

    def make_answer(self, offer: SessionDescription, setup: Literal["active", "passive"]) -> SessionDescription:
        """Return our answer. Raise MediaRefused when the peer takes nothing that we do."""
        return media.answer(self.agent.endpoint.config, self.msrp, self.wording.id, offer, setup)

    def agreed(self, description: SessionDescription, remote: MsrpMedia) -> None:
        """Take what kinds of messages the peer wants."""
        self._wraps = media.wants_cpim(remote)
        self._inside = remote.accept_wrapped_types and (*remote.accept_types, *remote.accept_wrapped_types)
        self.takes_notifications = self._wraps and notices.takes_notifications(remote)
        self.takes_composing = notices.takes_composing(remote, wraps=self._wraps)

    def ended(self, reason: str, error: SipstackError | None) -> None:
        """Tell the handler."""
        self.handler.chat_closed(self, reason, error)

    def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
        """Unwrap a message and hand it on; refuse what is malformed (400) or was never announced (415)."""
        config = self.agent.endpoint.config
        try:
            chat_message = ChatMessage(message, (*config.accept_types, *config.accept_wrapped_types))
        except RemoteProtocolError as error:
            message.reject(error.status, str(error)[:80])
            return
        if not chat_message.is_chosen and not self._announced(chat_message):
            message.reject(415, "media type was not announced")
            return
        self.handler.chat_message(self, chat_message)

    def _announced(self, message: ChatMessage) -> bool:
        config, content_type = self.agent.endpoint.config, message.content_type
        allowed = config.accept_types if message.cpim is None else config.accept_wrapped_types
        if is_multipart(content_type):
            return False  # it was announced, but nothing in it
        return content_type in allowed or accepts(allowed, content_type)
