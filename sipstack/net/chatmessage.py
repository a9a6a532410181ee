"""What comes through a chat: messages out of their wrapper, and an inbox to read them from."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipstack.errors import SipstackError
from sipstack.im.cpim import CpimMessage
from sipstack.msrp.mediatype import bare_type
from sipstack.msrp.message import IncomingMessage

if TYPE_CHECKING:
    from sipstack.net.chat import ChatSession

CPIM = "message/cpim"

INBOX_LIMIT = 1000
"""Messages that wait for an ``async for`` at most; more are refused with 413."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is said in a message, out of its CPIM wrapper."""

    content_type: str
    body: bytes
    message_id: str | None = None
    """``imdn.Message-ID`` where there is one."""
    cpim: CpimMessage | None = None
    """The wrapper: its From, To, DateTime and other headers; None for a message that came without."""


def unwrap(content_type: str, body: bytes) -> Content:
    """Return what a body of this type says. Raise RemoteProtocolError with the status that refuses a malformed
    wrapper, the same in MSRP and SIP."""
    if content_type != CPIM and bare_type(content_type) != CPIM:
        return Content(content_type, body)
    cpim = CpimMessage.parse(body)
    return Content(cpim.content_type, cpim.content, cpim.imdn_message_id, cpim)


class ChatMessage:
    """A whole message of the peer, out of its CPIM wrapper."""

    __slots__ = ("_incoming", "body", "content_type", "cpim", "message_id")

    def __init__(self, incoming: IncomingMessage) -> None:
        """Raise RemoteProtocolError with the MSRP status with which to refuse a malformed wrapper."""
        content = unwrap(incoming.content_type, incoming.body)
        self._incoming = incoming
        self.cpim = content.cpim
        self.content_type = content.content_type
        self.body = content.body
        self.message_id = content.message_id or incoming.message_id
        """``imdn.Message-ID`` where there is one, else the MSRP Message-ID."""

    def __repr__(self) -> str:
        return f"<ChatMessage {self.message_id} {self.content_type} {len(self.body)} octets>"

    @property
    def text(self) -> str:
        """The body as text; octets that are no UTF-8 become U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def accept(self) -> None:
        """Answer 200, and report success where the peer asked for it."""
        self._incoming.accept()

    def reject(self, code: int, comment: str = "") -> None:
        """Refuse with an MSRP ``code``: 400, 403, 413 (stop sending this), 415."""
        self._incoming.reject(code, comment)


class Inbox:
    """The :class:`~sipstack.net.chat.ChatHandler` of chats that are read by ``async for``."""

    __slots__ = ("_closed", "_messages", "_waiter")

    def __init__(self) -> None:
        self._messages: deque[ChatMessage] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def chat_message(self, chat: ChatSession, message: ChatMessage) -> None:
        """Keep a message; it is answered when it is read."""
        if len(self._messages) >= INBOX_LIMIT:
            message.reject(413, "inbox full")
            return
        self._messages.append(message)
        self._wake()

    def chat_closed(self, chat: ChatSession, reason: str, error: SipstackError | None) -> None:
        """End the iteration after what has come."""
        self._closed = True
        self._wake()

    async def messages(self) -> AsyncIterator[ChatMessage]:
        """Yield the messages as they come, each accepted, until the chat is closed."""
        while True:
            while self._messages:
                message = self._messages.popleft()
                if not self._closed:
                    message.accept()
                yield message
            if self._closed:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
