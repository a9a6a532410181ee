"""One guest and one inviter: the chat session between them, opened when needed, and the messages under way."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from gateway import correlation
from gateway.arrivals import Arrival
from gateway.composing import Composing
from gateway.idle import IdleChats
from gateway.intake import Intake
from gateway.outgoing import Outgoing
from gateway.pager import Pager, pages_only
from gateway.receipts import Receipts
from gateway.ringing import ChatAnswer, Ringing
from gateway.services import Conflict, ServiceError, TooLarge
from gateway.upstream import from_exception
from sipstack import ids
from sipstack.errors import LocalProtocolError, SipstackError
from sipstack.msrp.message import MessageState, OutgoingMessage
from sipstack.net.chat import ChatHandler, ChatSession
from sipstack.net.chatmessage import ChatMessage
from sipstack.net.invitation import IncomingInvitation
from sipstack.sip.uri import Uri
from translators.model import SipCause

if TYPE_CHECKING:
    from gateway.guest import GuestSession
    from gateway.relations import Relation

log = logging.getLogger("rcsgw.chat")

WAITING_LIMIT = 256
"""Messages that may wait for one chat to open; a person does not type more than that in half a minute."""

# A UUID, or a token of any kind (B-CHT-02), short enough to be kept.
_CONVERSATION_ID = re.compile(r"[!-~]{1,64}")

NIL = "0" * 32
"""The remote half of Session-ID as long as the peer's is not known (RFC 7989 §5)."""


class Conversation(ChatHandler):
    """Everything between one guest and one inviter on the wire. Holds no task but while a chat is being opened."""

    __slots__ = (
        "_closed",
        "_composing",
        "_conversation_id",
        "_idle",
        "_intake",
        "_opening",
        "_others",
        "_pager",
        "_receipts",
        "_ringing",
        "_waiting",
        "chat",
        "guest",
        "relation",
    )

    def __init__(self, guest: GuestSession, relation: Relation) -> None:
        self.guest = guest
        self.relation = relation
        self.chat: ChatSession | None = None
        """The chat that new messages go to: the newest one that is open."""
        self._others: list[ChatSession] | None = None
        """Further open chats, after both sides opened one at the same time (B-CHT-12)."""
        self._conversation_id = ""
        self._idle: IdleChats | None = None
        self._closed = False
        self._opening: asyncio.Task[None] | None = None
        self._waiting: deque[Outgoing] | None = None
        self._intake: Intake | None = None
        self._composing: Composing | None = None
        self._receipts: Receipts | None = None
        self._pager: Pager | None = None
        self._ringing: Ringing | None = None

    @property
    def open_chats(self) -> int:
        """Return how many chats are open: one, but for what crossed or what the inviter opens beside it."""
        return (self.chat is not None) + len(self._others or ())

    # outgoing

    def send(self, outgoing: Outgoing) -> None:
        """Send on the open chat; else as a page where that is the way to this inviter, or queue and open a chat."""
        self.happened("message")
        if self._composing is not None:
            self._composing.content_sent()
        if self.chat is not None and not self._waiting:
            self._transmit(self.chat, outgoing)
        elif self._opening is None and (self._pager.is_first_choice if self._pager is not None else pages_only(self)):
            self.pager.send(outgoing)
        else:
            self.open_for(outgoing)

    def open_for(self, outgoing: Outgoing) -> None:
        """Queue a message and open a chat for it."""
        if self._waiting is None:
            self._waiting = deque()
        if len(self._waiting) >= WAITING_LIMIT:
            outgoing.not_sent(Conflict("Too many messages wait for the chat to open."))
            return
        self._waiting.append(outgoing)
        self._need_chat()

    def _need_chat(self) -> None:
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())

    def _transmit(self, chat: ChatSession, outgoing: Outgoing) -> None:
        entry = outgoing.entry
        try:
            chat.send(
                entry.body,
                entry.content_type,
                message_id=entry.id,
                notify=True,
                on_done=self._answered,
                tag=outgoing,
            )
        except LocalProtocolError as error:
            outgoing.settle("failed", TooLarge(str(error)) if "max-size" in str(error) else Conflict(str(error)))

        if self._idle is not None:
            self._idle.used(chat)

    def _answered(self, message: OutgoingMessage) -> None:
        """Take what became of a message; what a chat leaves undecided at its end goes by the next one, unless it never
        came to life."""
        outgoing: Outgoing = message.tag
        lost = message.state in (MessageState.FAILED, MessageState.UNKNOWN) and message.session.owner.was_connected
        if lost and not self._closed and outgoing.left_by(message):
            self._waiting = self._waiting or deque()
            self._waiting.append(outgoing)
            asyncio.get_running_loop().call_soon(self._go_on)  # behind all that the chat has left, and its end
        else:
            outgoing.answered(message)

    def _go_on(self) -> None:
        if self._closed or not self._waiting:
            return
        if self.chat is not None:
            self._send_waiting(self.chat)
        else:
            self._need_chat()

    async def _open(self) -> None:
        """Open a chat and send what waits; whatever goes wrong is the outcome of each waiting message."""
        try:
            await self.guest.prepare("im")
            chat = await self._invite()
        except asyncio.CancelledError:
            self._fail(_ended())
            raise
        except ServiceError as error:
            self._fail(error)
        except (SipstackError, OSError, TimeoutError) as error:
            if self.pager.takes_over(error):
                waiting, self._waiting = self._waiting, None
                for outgoing in waiting or ():
                    self.pager.send(outgoing)
                return
            log.info("%s: no chat with %s: %s", self.guest.account, self.relation.sip, error)
            self._fail(from_exception(error))
        else:
            self.adopt(chat)
        finally:
            self._opening = None

    async def _invite(self) -> ChatSession:
        timeout = self.guest.guests.settings.ring_timeout
        headers = (
            ("Session-ID", f"{correlation.current()};remote={NIL}"),
            ("Conversation-ID", self.conversation_id),
            ("Contribution-ID", ids.contribution_id()),
        )
        return await self.guest.agent.invite(Uri.parse(self.relation.sip), self, headers=headers, timeout=timeout)

    @property
    def conversation_id(self) -> str:
        """Return the id that all sessions and messages of these two have (B-CHT-01, B-CHT-13): the inviter's, if their
        client has named one; else one that stays the same after a restart."""
        if self._conversation_id:
            return self._conversation_id
        pair = f"{self.guest.account}\0{self.relation.uid}"
        return str(uuid.UUID(hex=hashlib.sha256(pair.encode()).hexdigest()[:32], version=4))

    def adopt(self, chat: ChatSession) -> None:
        """Use a chat that was opened by either side, and send what waits for one."""
        if self._pager is not None:
            self._pager.chat_is_up()
        if self.chat is not None:
            self._others = [*(self._others or ()), self.chat]
        self.chat = chat
        if self._idle is None:
            self._idle = IdleChats(self)
        self._idle.opened(chat)
        self._send_waiting(chat)

    def _send_waiting(self, chat: ChatSession) -> None:
        waiting, self._waiting = self._waiting, None
        for outgoing in waiting or ():
            if not outgoing.settled:  # else it could not be stored, and its sender knows
                self._transmit(chat, outgoing)

    def _fail(self, error: ServiceError) -> None:
        waiting, self._waiting = self._waiting, None
        for outgoing in waiting or ():
            outgoing.not_sent(error)

    # chats that the inviter opens

    def invited(self, invitation: IncomingInvitation) -> None:
        """Take the inviter's invitation: at once, or when the guest does something (B-CHT-10)."""
        if _CONVERSATION_ID.fullmatch(invitation.conversation_id):
            self._conversation_id = invitation.conversation_id
        if self.guest.guests.settings.chat_answer == "at-once" or self.chat is not None:
            self.guest.answer(self.relation, invitation)
            return
        if self._ringing is None:
            self._ringing = Ringing(self)
        self._ringing.add(invitation)

    def happened(self, what: ChatAnswer) -> None:
        """Take note that the guest has opened the conversation, types or writes."""
        if self._ringing is not None:
            self._ringing.happened(what)

    def find_outgoing(self, message_id: str) -> Outgoing | None:
        """Return a message that is on its way or was sent lately on a chat that is still open."""
        for waiting in self._waiting or ():
            if waiting.entry.id == message_id:
                return waiting
        if self._pager is not None and (paged := self._pager.find(message_id)) is not None:
            return paged
        for chat in (self.chat, *(self._others or ())):
            message = chat.find_message(message_id) if chat is not None else None
            if message is not None and isinstance(message.tag, Outgoing):
                return message.tag
        return None

    @property
    def pager(self) -> Pager:
        """Return what sends messages where there are no chats, made on first use."""
        if self._pager is None:
            self._pager = Pager(self)
        return self._pager

    # typing and receipts

    @property
    def composing(self) -> Composing:
        """Return who types at either end, made on first use."""
        if self._composing is None:
            self._composing = Composing(self)
        return self._composing

    @property
    def receipts(self) -> Receipts:
        """Return the notifications of both directions, made on first use."""
        if self._receipts is None:
            self._receipts = Receipts(self)
        return self._receipts

    # incoming: sipstack.net.chat.ChatHandler

    def chat_message(self, chat: ChatSession, message: ChatMessage) -> None:
        """Take what the inviter wrote. Of several chats, what we write goes by the one that the inviter writes by:
        so both sides end up with the same one (B-CHT-12)."""
        if chat is not self.chat and self._others and chat in self._others and self.chat is not None:
            self._others[self._others.index(chat)] = self.chat
            self.chat = chat
        if self._idle is not None:
            self._idle.used(chat)
        self.take(message)

    def take(self, message: Arrival, conversation_id: str = "") -> None:
        """Take a message of the inviter, by whatever way it came."""
        self.intake.take(message, conversation_id)

    def remember(self, message_id: str) -> None:
        """Note that a message of the inviter is stored: what repeats it is acknowledged and not stored again."""
        self.intake.remember(message_id)

    def content_received(self) -> None:
        """Take note that the inviter has written: they do not type any more."""
        if self._composing is not None:
            self._composing.content_received()

    @property
    def intake(self) -> Intake:
        """Return what stores the inviter's messages, made on first use."""
        if self._intake is None:
            self._intake = Intake(self)
        return self._intake

    def chat_closed(self, chat: ChatSession, reason: str, error: SipstackError | None) -> None:
        """Let go of a chat that ended; the next message opens a new one."""
        if self._idle is not None:
            self._idle.closed(chat)
        if chat is self.chat:
            self.chat = self._others.pop() if self._others else None
        elif self._others and chat in self._others:
            self._others.remove(chat)
        if self.chat is None:
            self._idle = None
            if self._composing is not None:
                self._composing.stop()

    # the end

    async def close(self, reason: str | None = None, *, over: bool = True) -> None:
        """End every chat with BYE. Messages that still wait fail if the relation is ``over``; else they stay pending,
        and the guest's next session sends them."""
        self._closed = True
        if self._composing is not None:
            self._composing.stop()
        if not over:
            self._waiting = None
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
            self._opening = None
        if self._ringing is not None:
            self._ringing.close()
        self._fail(_ended())  # for a task that was cancelled before it had begun
        if self._pager is not None:
            await self._pager.close(over=over)
        if self._receipts is not None and over:
            await self._receipts.end()
        chats: list[Any] = [*(self._others or ()), *([self.chat] if self.chat else ())]
        self.chat = self._others = None
        await asyncio.gather(*(chat.close(reason) for chat in chats), return_exceptions=True)


def _ended() -> Conflict:
    """Return what becomes of messages that waited for a chat which is not wanted any more: as if it was cancelled."""
    return Conflict("The conversation has ended.", sip=SipCause(code=487, reason="Request Terminated"))
