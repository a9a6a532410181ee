"""What becomes of messages once they have arrived: notifications of the inviter, and answers to what they asked for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING

from gateway.asked import Asked
from gateway.outgoing import states_before
from gateway.storage.entrystore import Entry
from gateway.storage.errors import StoreError
from gateway.views import receipt_body
from sipstack.errors import ParseError, SipstackError
from sipstack.im.cpim import CpimAddress, CpimTemplate
from sipstack.im.imdn import Imdn
from sipstack.net.notices import CPIM, send_notification, wrap_notification
from sipstack.sip.uri import Uri
from translators.from_msrp import state_of

if TYPE_CHECKING:
    from gateway.conversation import Conversation

log = logging.getLogger("rcsgw.chat")

END_TIMEOUT = 2.0
"""Seconds that the end of a relation waits until its inviter has heard what was not delivered."""

UNFETCHED_LIMIT = 256
"""Messages of one inviter whose sender wants to hear of a failure alone, until the guest's client has fetched them."""


class Receipts:
    """The notifications of one conversation, both ways."""

    __slots__ = ("_conversation", "_unfetched")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._unfetched: deque[tuple[int, Asked]] | None = None
        """Cursors of messages that were acknowledged, and whose failure would still be news."""

    # about the guest's messages

    def take(self, notification: Imdn) -> None:
        """Take what the inviter's device says; it counts for messages to this inviter only (D-IMD-10)."""
        state = state_of(notification)
        if state is None:
            log.debug("%s says %s", self._conversation.relation.sip, notification)
            return
        outgoing = self._conversation.find_outgoing(notification.message_id)
        if outgoing is not None:
            outgoing.reported(state)
            return
        guest, uid = self._conversation.guest, self._conversation.relation.uid
        if guest.transfers is None or not guest.transfers.notified(uid, notification.message_id, state):
            _ = guest.guests.spawn(self._advance(notification.message_id, state))

    async def _advance(self, message_id: str, state: str) -> None:
        """Change a message that only the store remembers."""
        guest, uid = self._conversation.guest, self._conversation.relation.uid
        try:
            found = await guest.guests.store.advance(
                guest.account_id, "out", uid, message_id, state, states_before(state)
            )
        except StoreError as error:
            log.error("%s: a notification is lost: %s", guest.account, error)
            return
        if found is None:
            log.info("%s: a notification about a message that is not known: %s", guest.account, message_id)
        elif found[1]:
            guest.feed.changed_past(found[0].cursor, state)
            outgoing = self._conversation.find_outgoing(message_id)
            if outgoing is not None:  # the guest has just sent it again
                outgoing.reported(state)
            else:
                guest.feed.announce("receipt", uid, receipt_body(message_id, state, uid, None))

    # about the inviter's messages

    def stored(self, entry: Entry, asked: Asked) -> None:
        """Answer that a message is delivered: it is committed. Its display is told later, if that was asked for."""
        request = asked.request
        delivered = request.delivered()
        if delivered is not None:
            self._send(delivered, asked)
        elif request.failed() is not None and entry.cursor > self._conversation.guest.feed.fetched:
            if self._unfetched is None:
                self._unfetched = deque(maxlen=UNFETCHED_LIMIT)
            self._unfetched.append((entry.cursor, asked))

    def displayed(self, entry: Entry) -> None:
        """Tell that the guest has seen a message; the caller sees to it that this is said once."""
        asked = Asked.of(entry)
        displayed = asked.request.displayed() if asked is not None else None
        if asked is not None and displayed is not None:
            self._send(displayed, asked)

    async def end(self) -> None:
        """Tell, before the relation ends, what the guest will never get although it was acknowledged (D-IMD-07).

        Whoever asked for positive-delivery was told at the commit: a second word of the same kind is not allowed
        (D-IMD-06). What was fetched is not known from before a restart, so of older messages nothing is said.
        """
        unfetched, self._unfetched = self._unfetched, None
        fetched = self._conversation.guest.feed.fetched
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_TIMEOUT):
                for cursor, asked in unfetched or ():
                    failed = asked.request.failed()
                    if cursor > fetched and failed is not None and not self._on_chat(failed, asked):
                        await self._page(failed, asked)

    def _send(self, notification: Imdn, asked: Asked) -> None:
        """Send on the chat, by SIP MESSAGE where none is open (D-IMD-11)."""
        if not self._on_chat(notification, asked):
            _ = self._conversation.guest.guests.spawn(self._page(notification, asked))

    def _on_chat(self, notification: Imdn, asked: Asked) -> bool:
        chat = self._conversation.chat
        return chat is not None and send_notification(chat, notification, asked.request.headers) is not None

    async def _page(self, notification: Imdn, asked: Asked) -> None:
        guest, peer = self._conversation.guest, self._conversation.relation.sip
        agent = guest.agent
        template = CpimTemplate(guest.account, peer)
        headers = [("Conversation-ID", asked.conversation_id)] if asked.conversation_id else []
        try:
            body = wrap_notification(template, notification, agent.endpoint.date(), asked.request.headers)
            response = await agent.message(way_back(asked, Uri.parse(peer)), body, CPIM, headers=headers)
        except (SipstackError, OSError) as error:
            log.info("%s: notification to %s is lost: %s", guest.account, peer, error)
        else:
            if not response.is_success:
                log.info("%s: notification to %s is refused: %s", guest.account, peer, response.status)


def way_back(asked: Asked, sender: Uri) -> Uri:
    """Return where a notification goes by SIP: the top IMDN-Route, else whoever sent the message (D-IMD-09).

    A route that SIP cannot follow is passed over; the headers still tell it to who comes next.
    """
    if asked.request.routes:
        try:
            top = Uri.parse(CpimAddress.parse(asked.request.routes[0]).uri)
        except ParseError:
            return sender
        if top.is_sip:
            return top
    return sender
