"""The phone's SIP MESSAGEs: all that a device without session mode has, and what answers pages in any case."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sipstack import ids
from sipstack.errors import RemoteProtocolError, SipstackError
from sipstack.im.imdn import Imdn, ImdnRequest
from sipstack.msrp.message import MessageState
from sipstack.net import notices
from sipstack.net.chatmessage import CPIM, Content, unwrap
from sipstack.net.features import CHAT_FEATURES, FILE_FEATURES, FT_HTTP_FEATURES, PAGER_FEATURES, joined
from sipstack.net.invitation import IncomingPage
from sipstack.net.page import page_headers, wrap_page
from sipstack.sip.uri import Parameters, Uri

if TYPE_CHECKING:
    from gateway.lab.phone import Phone

NO_SESSIONS = 488
"""What a device without session mode answers an INVITE with, unless it was told another status."""


@dataclass(slots=True)
class SentPage:
    """A message that went out by SIP MESSAGE, with what an OutgoingMessage tells of one that went by MSRP."""

    message_id: str
    state: MessageState
    status: int


class Pages:
    """What a phone does by SIP MESSAGE."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._conversations: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def features(self) -> Parameters:
        """Feature tags of the phone as it behaves now."""
        behaviour = self._phone.behaviour
        features = CHAT_FEATURES if behaviour.sessions else PAGER_FEATURES
        if behaviour.takes_files:
            features = joined(features, FILE_FEATURES)
        return joined(features, FT_HTTP_FEATURES) if behaviour.takes_links else features

    def close(self) -> None:
        """Call off what is under way."""
        for task in self._tasks:
            task.cancel()

    # what is sent

    async def say(self, uri: str, text: str, content_type: str, message_id: str) -> SentPage:
        """Send a text and wait for the answer. Raises as :meth:`UserAgent.message`."""
        agent, peer = self._phone.agent, Uri.parse(uri)
        body = wrap_page(
            content_type,
            text.encode(),
            message_id=message_id,
            date=agent.endpoint.date(),
            notify=self._phone.notices.asks,
        )
        headers = page_headers(self._conversation_id(peer.aor), str(uuid.UUID(hex=ids.token(128), version=4)))
        response = await agent.message(peer, body, CPIM, headers=headers)
        state = MessageState.SENT if response.is_success else MessageState.FAILED
        return SentPage(message_id, state, response.status)

    def _conversation_id(self, peer: str) -> str:
        return self._conversations.setdefault(peer, str(uuid.UUID(hex=ids.token(128), version=4)))

    async def _answer(self, peer: str, text: str) -> None:
        await self._phone.say(peer, text)

    def notify(self, peer: str, notifications: list[Imdn], asked: ImdnRequest, conversation_id: str = "") -> None:
        """Tell a peer what became of a message that it asked about."""
        if notifications:
            self._spawn(self._notify(peer, notifications, asked, conversation_id))

    async def _notify(self, peer: str, notifications: list[Imdn], asked: ImdnRequest, conversation_id: str) -> None:
        agent = self._phone.agent
        headers = [("Conversation-ID", conversation_id)] if conversation_id else []
        for notification in notifications:
            body = notices.wrap_notification(notices.ANONYMOUS, notification, agent.endpoint.date(), asked.headers)
            await agent.message(Uri.parse(peer), body, CPIM, headers=headers)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            except SipstackError as error:
                self._phone.emit("lost", text=str(error))

        task = asyncio.ensure_future(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # what comes

    def received(self, page: IncomingPage) -> None:
        """Take a SIP MESSAGE, and do with a text as the behaviour says."""
        phone, peer = self._phone, page.peer.aor
        try:
            content = unwrap(page.content_type, page.body)
            if phone.notices.received(peer, content.content_type, content.body) or phone.links.received(
                peer, content.content_type, content.body, content.cpim
            ):
                page.accept()
                return
        except RemoteProtocolError as error:
            page.reject(error.status)
            return
        phone.messages_in += 1
        act = phone.behaviour.on_message
        if isinstance(act, int):
            page.reject(act)
            return
        self._conversations.setdefault(peer, page.conversation_id or self._conversation_id(peer))
        phone.emit("page", peer, content.body.decode("utf-8", "replace"), content.message_id or "")
        if act == "ignore":
            return
        page.accept()
        self._taken(peer, page.conversation_id, content, act)

    def _taken(self, peer: str, conversation_id: str, content: Content, act: str) -> None:
        """Notify of a text that was accepted, and answer it where pages are all that there is."""
        phone = self._phone
        asked = ImdnRequest.of(content.cpim)
        if asked is not None:
            self.notify(peer, phone.notices.due(peer, asked), asked, conversation_id)
        text = None if phone.behaviour.sessions else phone.reply_to(content.body.decode("utf-8", "replace"), act)
        if text is not None:
            self._spawn(self._answer(peer, text))
