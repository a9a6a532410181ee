"""A guest's messages to an inviter whose device has no session mode: SIP MESSAGEs, one after the other (RFC 3428).

A chat is always the first choice, unless the device has said by OPTIONS that it takes standalone messages only. A text
that is too long for a page goes by a chat then, if the device takes one after all (A-EXT-06).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from gateway.outgoing import Outgoing
from gateway.services import Conflict, ServiceError, TooLarge
from gateway.upstream import from_exception
from sipstack import ids
from sipstack.errors import ConnectionClosed, RequestFailed, RequestTooLarge, SipstackError, TransactionTimeout
from sipstack.net.notices import CPIM
from sipstack.net.page import page_headers, wrap_page
from sipstack.sip.message import Response
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from gateway.conversation import Conversation

log = logging.getLogger("rcsgw.chat")

NOT_FOR_THIS_DEVICE = frozenset({405, 415, 488, 501, 606})
"""Answers to INVITE or MESSAGE by which a device says that it does not do this at all, whoever asks (B-PGR-05). 606 and
501 are what a server says instead of 488 and 405."""

NOT_KNOWN = frozenset({408, 504})
"""Final answers to MESSAGE after which it may have arrived all the same: a hop has waited in vain for the next."""

NOT_THIS_TYPE = frozenset({406, 415})
"""Answers to a MESSAGE in CPIM after which it is tried without."""

REFUSED_FOR = 600.0
"""Seconds for which a refused INVITE is remembered, so that not each message costs one; people change devices."""

WAITING_LIMIT = 256
"""Messages that may wait for the answer to one page, which takes half a minute at most."""

END_TIMEOUT = 2.0
"""Seconds that the end of a session waits for the answer to a MESSAGE that is under way."""


class Pager:
    """The pages of one conversation. Holds no task but while there are some."""

    __slots__ = ("_bare", "_conversation", "_refusal", "_refused_at", "_sending", "_takes_none", "_task", "_waiting")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._waiting: deque[Outgoing] = deque()
        self._sending: Outgoing | None = None
        self._task: asyncio.Task[None] | None = None
        # what the device has told us
        self._refusal: RequestFailed | None = None
        self._refused_at = 0.0
        self._takes_none = False
        self._bare = False

    # which way

    @property
    def is_first_choice(self) -> bool:
        """Tell whether to page without trying to open a chat: known from OPTIONS, or from an INVITE lately refused.

        What comes behind a page that is under way stays behind it.
        """
        if self._takes_none:
            return False
        return len(self) > 0 or self.is_only_choice or pages_only(self._conversation)

    @property
    def is_only_choice(self) -> bool:
        """Tell whether the device has refused a chat lately."""
        now = asyncio.get_running_loop().time()
        return self._refusal is not None and now - self._refused_at < REFUSED_FOR

    def takes_over(self, error: Exception) -> bool:
        """Tell whether messages that waited for a chat shall be paged, now that the INVITE has failed."""
        if not isinstance(error, RequestFailed) or error.response.status not in NOT_FOR_THIS_DEVICE or self._takes_none:
            return False
        log.info("%s takes no chat (%s), so it is paged", self._conversation.relation.sip, error)
        self._refusal = error
        self._refused_at = asyncio.get_running_loop().time()
        return True

    def chat_is_up(self) -> None:
        """Take that there is a chat after all."""
        self._refusal = None
        self._takes_none = False

    # sending

    def send(self, outgoing: Outgoing) -> None:
        """Send a message behind those that are under way: one may be pending for a target (A-EXT-08)."""
        if len(self._waiting) >= WAITING_LIMIT:
            outgoing.not_sent(Conflict("Too many messages wait for the other side's answer."))
            return
        self._waiting.append(outgoing)
        if self._task is None:
            self._task = self._conversation.guest.guests.spawn(self._run())

    def find(self, message_id: str) -> Outgoing | None:
        """Return a message that waits or is under way."""
        for outgoing in (self._sending, *self._waiting):
            if outgoing is not None and outgoing.entry.id == message_id:
                return outgoing
        return None

    def __len__(self) -> int:
        return len(self._waiting) + (self._sending is not None)

    async def _run(self) -> None:
        try:
            while self._waiting:
                self._sending = outgoing = self._waiting.popleft()
                if not outgoing.settled:  # else it could not be stored, or a notification was quicker
                    await self._send(outgoing)
                self._sending = None
        finally:
            self._sending = None
            self._task = None

    async def _send(self, outgoing: Outgoing) -> None:
        """Send one message; whatever goes wrong is its outcome."""
        guest, conversation = self._conversation.guest, self._conversation
        try:
            await guest.prepare("im")
            response = await self._page(outgoing)
        except RequestTooLarge as error:
            if self.is_only_choice:
                outgoing.not_sent(_too_long(error))
            else:
                conversation.open_for(outgoing)
        except ServiceError as error:
            outgoing.not_sent(error)
        except (SipstackError, OSError, TimeoutError) as error:
            log.info("%s: no page to %s: %s", guest.account, conversation.relation.sip, error)
            if _is_certain(error):
                outgoing.not_sent(from_exception(error))
            else:
                outgoing.settle("unknown", from_exception(error))
        else:
            self._answered(outgoing, response)

    async def _page(self, outgoing: Outgoing) -> Response:
        """Send it as a standalone message in CPIM; bare where that is refused or makes it too long."""
        agent = self._conversation.guest.agent
        entry, target = outgoing.entry, Uri.parse(self._conversation.relation.sip)
        content = entry.body.encode()
        if not self._bare:
            body = wrap_page(entry.content_type, content, message_id=entry.id, date=agent.endpoint.date(), notify=True)
            headers = page_headers(self._conversation.conversation_id, ids.contribution_id(), agent.profile)
            try:
                response = await agent.message(target, body, CPIM, headers=headers)
            except RequestTooLarge:
                log.debug("%s goes without CPIM", entry.id)
            else:
                if response.status not in NOT_THIS_TYPE:
                    return response
                self._bare = True
        return await agent.message(target, content, f"{entry.content_type};charset=utf-8")

    def _answered(self, outgoing: Outgoing, response: Response) -> None:
        """Take the final answer. 202 says ``sent`` as well: that it is there, only a notification can tell."""
        if response.is_success:
            outgoing.settle("sent", None)
            return
        error = RequestFailed(response)
        log.info("%s: page to %s: %s", self._conversation.guest.account, self._conversation.relation.sip, error)
        if response.status in NOT_FOR_THIS_DEVICE:
            self._takes_none = True
            if not self.is_only_choice:
                self._conversation.open_for(outgoing)
                return
            assert self._refusal is not None
            error = self._refusal  # why there is no chat says more than why there is not even a page
        if response.status in NOT_KNOWN:
            outgoing.settle("unknown", from_exception(error))
        else:
            outgoing.not_sent(from_exception(error))

    # the end

    async def close(self, *, over: bool) -> None:
        """Wait a little for what is under way. What waits fails if the relation is ``over``; else it stays pending."""
        waiting, self._waiting = self._waiting, deque()
        if over:
            for outgoing in waiting:
                outgoing.not_sent(Conflict("The conversation has ended."))
        if self._task is None:
            return
        sending = self._sending
        await asyncio.wait({self._task}, timeout=END_TIMEOUT)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if over and sending is not None:
                timeout = TransactionTimeout("the conversation has ended")
                sending.settle("unknown", from_exception(timeout))


def pages_only(conversation: Conversation) -> bool:
    """Tell whether the inviter's device takes standalone messages and no chats, as last learnt by OPTIONS."""
    known = conversation.guest.guests.presence.known(conversation.relation.sip)
    return known is not None and "standalone" in known.services and "im" not in known.services


def _is_certain(error: Exception) -> bool:
    """Tell whether a request without final answer surely did not arrive."""
    return isinstance(error, ConnectionClosed) and error.certain


def _too_long(error: RequestTooLarge) -> TooLarge:
    return TooLarge(
        "The other side takes no chats, only single messages, and this text is "
        f"{error.size - error.limit} octets too long for one."
    )
