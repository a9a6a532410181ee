"""Chats that inviters open and guests have not taken yet (B-CHT-10): accepted when the guest does something."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from gateway.views import session_body
from sipstack.net.invitation import IncomingInvitation

if TYPE_CHECKING:
    from gateway.conversation import Conversation

ChatAnswer = Literal["at-once", "open", "typing", "message"]
"""What a guest has to do for an inviter's chat to be accepted; who writes has opened the conversation before."""

_RANKS: dict[ChatAnswer, int] = {"at-once": 0, "open": 1, "typing": 2, "message": 3}

RINGING_LIMIT = 4
"""Invitations of one inviter that ring at a time; more are refused as busy."""


class Ringing:
    """The invitations of one inviter that ring. Holds a timer for each, and nothing when there are none."""

    __slots__ = ("_conversation", "_timers")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._timers: dict[IncomingInvitation, asyncio.TimerHandle] = {}

    def add(self, invitation: IncomingInvitation) -> None:
        """Let ``invitation`` ring, and tell the guest."""
        if len(self._timers) >= RINGING_LIMIT:
            invitation.reject(486, "Others are ringing")
            return
        guest, relation = self._conversation.guest, self._conversation.relation
        timeout = guest.guests.settings.ring_timeout
        self._timers[invitation] = asyncio.get_running_loop().call_later(timeout, self._timed_out, invitation)
        invitation.on_cancel = self._forget
        invitation.ring()
        guest.feed.announce("session", relation.uid, session_body("ringing", relation.uid, None))

    def happened(self, what: ChatAnswer) -> None:
        """Accept what rings if the guest's doing ``what`` is enough for that."""
        guest = self._conversation.guest
        if _RANKS[what] < _RANKS[guest.guests.settings.chat_answer]:
            return
        for invitation in tuple(self._timers):
            self._forget(invitation)
            guest.answer(self._conversation.relation, invitation)

    def close(self) -> None:
        """Refuse what rings: the guest has gone."""
        for invitation in tuple(self._timers):
            self._timed_out(invitation)

    def _timed_out(self, invitation: IncomingInvitation) -> None:
        self._forget(invitation)
        invitation.reject(480)

    def _forget(self, invitation: IncomingInvitation) -> None:
        self._timers.pop(invitation).cancel()
