"""What becomes of messages once they have arrived: notifications of the inviter, and answers to what they asked for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.storage.store import StoreError
from gateway.views import receipt_body
from sipstack.errors import SipstackError
from sipstack.im.cpim import CpimTemplate
from sipstack.im.imdn import Imdn, ImdnRequest
from sipstack.net.notices import CPIM, send_notification, wrap_notification
from sipstack.sip.uri import Uri
from translators.from_msrp import state_of

if TYPE_CHECKING:
    from gateway.conversation import Conversation

log = logging.getLogger("rcsgw.chat")

ASKED_LIMIT = 256
"""Messages of one inviter of which the guest's reading is still to be told; of older ones it is not."""

EARLIER = {
    "delivered": ("pending", "sent", "unknown"),
    "displayed": ("pending", "sent", "unknown", "delivered"),
    "failed": ("pending", "sent", "unknown"),
}
"""State that a notification brings → states from which it does (D-IMD-14)."""


class Receipts:
    """The notifications of one conversation, both ways."""

    __slots__ = ("_asked", "_conversation")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._asked: dict[str, ImdnRequest] = {}
        """Stored messages whose sender wants to know when the guest sees them."""

    # about the guest's messages

    def take(self, notification: Imdn) -> None:
        """Take what the inviter's device says; it counts for messages to this inviter only (D-IMD-10)."""
        state = state_of(notification)
        if state is None:
            return
        outgoing = self._conversation.find_outgoing(notification.message_id)
        if outgoing is not None:
            outgoing.reported(state)
            return
        guests = self._conversation.guest.guests
        _ = guests.spawn(self._advance(notification.message_id, state))

    async def _advance(self, message_id: str, state: str) -> None:
        """Change a message that only the store remembers."""
        guest, uid = self._conversation.guest, self._conversation.relation.uid
        try:
            found = await guest.guests.store.advance(guest.account_id, "out", uid, message_id, state, EARLIER[state])
        except StoreError as error:
            log.error("%s: a notification is lost: %s", guest.account, error)
            return
        if found is None:
            log.info("%s: a notification about a message that is not known: %s", guest.account, message_id)
        elif found[1]:
            guest.feed.announce("receipt", uid, receipt_body(message_id, state, uid, None))

    # about the inviter's messages

    def stored(self, asked: ImdnRequest) -> None:
        """Answer that a message is delivered: it is committed. Its display is told later, if that was asked for."""
        if asked.displayed() is not None:
            self._asked[asked.message_id] = asked
            if len(self._asked) > ASKED_LIMIT:
                del self._asked[next(iter(self._asked))]
        delivered = asked.delivered()
        if delivered is not None:
            self._send(delivered, asked)

    def displayed(self, message_id: str) -> None:
        """Tell, once, that the guest has seen a message."""
        asked = self._asked.pop(message_id, None)
        displayed = asked.displayed() if asked is not None else None
        if asked is not None and displayed is not None:
            self._send(displayed, asked)

    def _send(self, notification: Imdn, asked: ImdnRequest) -> None:
        """Send on the chat, by SIP MESSAGE where none is open (D-IMD-11)."""
        chat = self._conversation.chat
        if chat is None or send_notification(chat, notification, asked.headers) is None:
            _ = self._conversation.guest.guests.spawn(self._page(notification, asked))

    async def _page(self, notification: Imdn, asked: ImdnRequest) -> None:
        guest, peer = self._conversation.guest, self._conversation.relation.sip
        agent = guest.agent
        template = CpimTemplate(guest.account, peer)
        try:
            body = wrap_notification(template, notification, agent.endpoint.date(), asked.headers)
            response = await agent.message(Uri.parse(peer), body, CPIM)
        except (SipstackError, OSError) as error:
            log.info("%s: notification to %s is lost: %s", guest.account, peer, error)
        else:
            if not response.is_success:
                log.info("%s: notification to %s is refused: %s", guest.account, peer, response.status)
