"""Who types at either end of a conversation (:rfc:`3994`)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway.views import composing_body
from sipstack.im.iscomposing import ComposingReceiver, ComposingSender, ComposingState, IsComposing
from sipstack.net.notices import send_composing
from translators.model import format_time

if TYPE_CHECKING:
    from gateway.conversation import Conversation

REFRESHED = 0.5
"""Part of the announced time that must have passed before a refresh of the inviter is told to the guest."""


class Composing:
    """Both state machines of one conversation, and their one timer, which runs only while somebody types."""

    __slots__ = ("_conversation", "_receiver", "_sender", "_timer", "_told_at")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._sender = ComposingSender()
        self._receiver = ComposingReceiver()
        self._timer: asyncio.TimerHandle | None = None
        self._told_at = 0.0

    # the guest types

    def send(self, *, active: bool) -> None:
        """Take the guest's typing or stopping; without an open chat nobody is told."""
        chat = self._conversation.chat
        if chat is None or not chat.takes_composing:
            return
        if active:
            self._sender.composing(_now())
        else:
            self._sender.stopped()
        self._transmit()

    def content_sent(self) -> None:
        """Take that the guest has sent a message."""
        self._sender.content_sent()
        self._arm()

    def _transmit(self) -> None:
        status = self._sender.data_to_send()
        chat = self._conversation.chat
        if status is not None and chat is not None:
            send_composing(chat, status)
        self._arm()

    # the inviter types

    def receive(self, status: IsComposing) -> None:
        """Take what the inviter's device says."""
        now = _now()
        expected = self._receiver.expires_at
        changed = self._receiver.receive(status, now)
        is_due = now - self._told_at >= REFRESHED * (expected - self._told_at)
        if changed or (self._receiver.state is ComposingState.ACTIVE and is_due):
            self._tell(now)
        self._arm()

    def content_received(self) -> None:
        """Take a message of the inviter: they have typed it."""
        if self._receiver.content_received():
            self._tell(_now())
            self._arm()

    def stop(self) -> None:
        """Take that no chat is open any more."""
        self._sender.content_sent()
        self.content_received()
        self._arm()

    def _tell(self, now: float) -> None:
        uid, state = self._conversation.relation.uid, self._receiver.state
        until = None
        if state is ComposingState.ACTIVE:
            self._told_at = now
            until = format_time(time.time() + self._receiver.expires_at - now)
        self._conversation.guest.feed.announce(
            "composing", uid, composing_body(uid, "active" if until else "idle", until)
        )

    # time

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [timer for timer in (self._sender.get_timer(), self._receiver.get_timer()) if timer is not None]
        if due:
            self._timer = asyncio.get_running_loop().call_at(min(due), self._handle_timer)

    def _handle_timer(self) -> None:
        now = _now()
        self._timer = None
        self._sender.handle_timer(now)
        if self._receiver.handle_timer(now):
            self._tell(now)
        self._transmit()


def _now() -> float:
    return asyncio.get_running_loop().time()
