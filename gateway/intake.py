"""What an inviter sends: told apart, stored once however often it comes, answered when it is committed."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from gateway.arrivals import Arrival
from gateway.asked import Asked
from gateway.storage.entrystore import Entry
from sipstack.errors import RemoteProtocolError
from sipstack.im.imdn import Imdn, is_notification_type
from sipstack.im.iscomposing import IsComposing, is_composing_type
from translators.model import PLAIN_TEXT

if TYPE_CHECKING:
    from gateway.conversation import Conversation

SEEN_LIMIT = 64
"""Message-IDs remembered for each conversation, so that a peer's repeat after a lost 200 is shown once (C-BR-11)."""


class Intake:
    """The messages of one inviter to one guest, by whatever way they come."""

    __slots__ = ("_conversation", "_seen", "_storing")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._seen: deque[str] | None = None
        self._storing: dict[str, list[Arrival]] | None = None
        """Messages whose commit is awaited, by Message-ID, with those that repeat them."""

    def take(self, message: Arrival, conversation_id: str = "") -> None:
        """Store a message; the answer follows the commit."""
        guest, relation = self._conversation.guest, self._conversation.relation
        if message.content_type != PLAIN_TEXT and (
            guest.take_attachment(self._conversation, message, conversation_id) or self._take_status(message)
        ):
            return
        if self._is_repeat(message):
            return
        refused = guest.refuse_incoming(relation, message.content_type, len(message.body))
        if refused is not None:
            message.reject(*refused)
            return
        if self._storing is None:
            self._storing = {}
        self._storing[message.message_id] = [message]
        asked = Asked.in_(message.cpim, conversation_id)
        self._conversation.content_received()
        wanted = asked.text() if asked is not None else ""
        stored = partial(self._stored, message.message_id, asked)
        guest.store_incoming(relation, message.message_id, message.content_type, message.body, wanted, stored)

    def _is_repeat(self, message: Arrival) -> bool:
        """Tell whether a message is known: then it is answered as the first of its kind was, or when that is."""
        if self._seen is not None and message.message_id in self._seen:
            message.accept()
            return True
        if self._storing is not None and message.message_id in self._storing:
            self._storing[message.message_id].append(message)  # the same over a new session, before our answer
            return True
        return False

    def _stored(self, message_id: str, asked: Asked | None, entry: Entry, error: Exception | None) -> None:
        """Answer a message, as often as it has come, when it is committed or cannot be."""
        assert self._storing is not None
        answered = self._storing.pop(message_id)
        self._storing = self._storing or None
        for message in answered:
            if error is None:
                message.accept()
            else:
                message.reject(408, "Not stored")
        if error is None:
            self.remember(message_id)
            self._conversation.guest.feed.publish(entry)
            if asked is not None:
                self._conversation.receipts.stored(entry, asked)

    def _take_status(self, message: Arrival) -> bool:
        """Take what is no message of the conversation but tells of one; return False where it is none of these."""
        try:
            if is_notification_type(message.content_type):
                self._conversation.receipts.take(Imdn.parse(message.body))
            elif is_composing_type(message.content_type):
                self._conversation.composing.receive(IsComposing.parse(message.body))
            else:
                return False
        except RemoteProtocolError as error:
            message.reject(error.status, str(error)[:80])
        else:
            message.accept()
        return True

    def remember(self, message_id: str) -> None:
        """Note that a message of the inviter is stored: what repeats it is acknowledged and not stored again."""
        if self._seen is None:
            self._seen = deque(maxlen=SEEN_LIMIT)
        self._seen.append(message_id)
