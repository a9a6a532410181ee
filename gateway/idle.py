"""Closing chats that nobody uses (B-CHT-13); the next message opens another one, and the guest notices nothing.

After both sides have opened a chat at the same time there are two (B-CHT-12): the one that nobody writes by goes soon.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sipstack.net.chat import ChatSession

if TYPE_CHECKING:
    from gateway.conversation import Conversation

SPARE_IDLE = 10.0
"""Seconds without use after which a chat beside the one that messages go to is closed."""


class IdleChats:
    """When the open chats of one conversation were last used. One timer while there are any."""

    __slots__ = ("_conversation", "_timer", "_used")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._used: dict[ChatSession, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def opened(self, chat: ChatSession) -> None:
        """Watch a new chat. There may be a spare one now, which is to go earlier."""
        self._used[chat] = asyncio.get_running_loop().time()
        self._arm()

    def used(self, chat: ChatSession) -> None:
        """Note that something went through ``chat``."""
        if chat in self._used:
            self._used[chat] = asyncio.get_running_loop().time()

    def closed(self, chat: ChatSession) -> None:
        """Forget ``chat``."""
        self._used.pop(chat, None)
        if not self._used:
            self._cancel()

    def _due(self, chat: ChatSession) -> float:
        idle = self._conversation.guest.guests.settings.chat_idle
        return self._used[chat] + (idle if chat is self._conversation.chat else min(idle, SPARE_IDLE))

    def _arm(self) -> None:
        self._cancel()
        if self._used and self._conversation.guest.guests.settings.chat_idle:
            due = min(self._due(chat) for chat in self._used)
            self._timer = asyncio.get_running_loop().call_at(due, self._timed_out)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timed_out(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for chat in [chat for chat in self._used if self._due(chat) <= now]:
            if chat.is_busy:
                self._used[chat] = now
            else:
                chat.hang_up("idle")
        if self._timer is None:
            self._arm()
