"""What comes through a chat: messages out of their wrapper, and an inbox to read them from."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sipstack.errors import SipstackError
from sipstack.im import multipart
from sipstack.im.cpim import CpimMessage
from sipstack.msrp.mediatype import accepts, bare_type
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
    is_chosen: bool = False
    """It is a part of a body of several, and of a type that was asked for."""


def unwrap(content_type: str, body: bytes, types: Sequence[str] = ()) -> Content:
    """Return what a body of this type says: out of CPIM, and of several parts what fits ``types`` best (C-RSP-10).

    A body of several parts of which none fits stays as it is. Raise RemoteProtocolError with the status that refuses a
    malformed wrapper, the same in MSRP and SIP.
    """
    content_type, body, is_chosen = _choose(content_type, body, types)
    if content_type != CPIM and bare_type(content_type) != CPIM:
        return Content(content_type, body, is_chosen=is_chosen)
    cpim = CpimMessage.parse(body)
    content_type, body, is_chosen = _choose(cpim.content_type, cpim.content, types)
    return Content(content_type, body, cpim.imdn_message_id, cpim, is_chosen)


def _choose(content_type: str, body: bytes, types: Sequence[str]) -> tuple[str, bytes, bool]:
    if not types or not multipart.is_multipart(content_type):
        return content_type, body, False
    part = multipart.choose(content_type, body, lambda inner: accepts(types, inner))
    return (content_type, body, False) if part is None else (part.content_type, part.body, True)


class ChatMessage:
    """A whole message of the peer, out of its CPIM wrapper."""

    __slots__ = ("_incoming", "body", "content_type", "cpim", "is_chosen", "message_id")

    def __init__(self, incoming: IncomingMessage, types: Sequence[str] = ()) -> None:
        """Take a message as :func:`unwrap` does. Raise RemoteProtocolError with the MSRP status to refuse it with."""
        content = unwrap(incoming.content_type, incoming.body, types)
        self._incoming = incoming
        self.cpim = content.cpim
        self.content_type = content.content_type
        self.body = content.body
        self.is_chosen = content.is_chosen
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
