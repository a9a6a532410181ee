"""What the gateway holds for one logged-in guest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gateway.arrivals import ACCEPT, Arrival, FirstMessage, Page
from gateway.conversation import Conversation
from gateway.features import announce
from gateway.feed import GuestFeed
from gateway.outbox import GuestOutbox
from gateway.refusals import refusals
from gateway.relations import Relation, Relations
from gateway.services import Ended, Forbidden, NotFound, PeerOffline, Unavailable
from gateway.storage.entrystore import Entry
from gateway.upstream import from_exception
from gateway.views import message_view, receipt_body, session_body, session_state, status_body
from sipstack.errors import RemoteProtocolError, SipstackError
from sipstack.net.features import CPM_GROUP
from sipstack.net.fileoffer import IncomingFile
from sipstack.net.invitation import IncomingInvitation, IncomingPage, IncomingProbe
from sipstack.net.useragent import AgentHandler, UserAgent
from sipstack.sdp_msrp import MediaRefused
from sipstack.sip.registration import Registered, RegistrationEvent, RegistrationFailed
from translators.from_http import text_body
from translators.from_msrp import is_chat_type, text_of
from translators.from_sip import PeerStatus, services_of
from translators.model import (
    ComposingRequest,
    MessageAnswer,
    MessageRequest,
    Messages,
    ReceiptRequest,
    StatusAnswer,
    format_time,
)

if TYPE_CHECKING:
    from gateway.files.transfers import GuestTransfers
    from gateway.sessions import Guests


NO_ANSWER = "The network does not answer."

ANONYMITY_DISALLOWED = 433, "Anonymity Disallowed"
"""To an inviter who hides: a guest talks to those only who have invited them, by name (RFC 5079)."""


class GuestSession(AgentHandler):
    """A logged-in guest: the user agent, the relations, the conversations and the event feed.

    Nothing here runs by itself: calls come from HTTP, from the user agent and from the store.
    """

    __slots__ = (
        "_closed",
        "_ended",
        "_lost",
        "_told",
        "account",
        "account_id",
        "agent",
        "authorizations",
        "feed",
        "guests",
        "outbox",
        "registering",
        "relations",
        "transfers",
    )

    def __init__(self, guests: Guests, account_id: int, account: str, cursor: int) -> None:
        self.guests = guests
        self.account_id = account_id
        self.account = account
        self.agent: UserAgent
        self.relations = Relations()
        self.feed = GuestFeed(guests.store, account_id, account, cursor, self.relations, guests.settings.max_streams)
        """Everything that happens to the guest."""
        self.outbox = GuestOutbox(self)
        self.authorizations: dict[str, int] = {}
        """Authorization header proven before → invitation whose secret it holds."""
        self.transfers: GuestTransfers | None = None
        self.registering: asyncio.Future[None] | None = None
        self._closed = False
        self._ended: set[str] | None = None
        self._lost = False
        self._told: dict[str, str] | None = None

    def touch(self) -> None:
        """Note that the guest's client was heard of."""
        self.feed.last_seen = time.monotonic()

    @property
    def is_busy(self) -> bool:
        """Tell whether the guest listens, or octets of theirs are on their way."""
        return self.feed.watched or (self.transfers is not None and self.transfers.is_busy)

    @property
    def files(self) -> GuestTransfers:
        """Return the guest's files. Raises Forbidden where there are none."""
        if self.transfers is None:
            raise Forbidden("Files are not on offer here.")
        return self.transfers

    async def go_on(self) -> None:
        """Send what was on its way when the guest's last session ended."""
        await self.outbox.resume()
        if self.transfers is not None:
            self.transfers.go_on()

    # relations

    def relate(self, relation: Relation) -> None:
        """Add or renew the relation to one inviter."""
        self.relations.add(relation)
        if self._ended is not None:
            self._ended.discard(relation.uid)
        announce(self.agent, self.relations.kinds)

    async def end_relation(self, uid: str, reason: str) -> None:
        """Let go of one inviter: BYE, no more status. The guest is told, also when the end was before a restart."""
        relation = self.relations.take_out(uid)
        if relation is not None:
            self.guests.presence.leave(self, relation.sip)
            if self._told is not None:
                self._told.pop(uid, None)
            if relation.conversation is not None:
                await relation.conversation.close(reason)
        elif self._ended is not None and uid in self._ended:
            return
        self._ended = {*(self._ended or ()), uid}
        self.feed.announce("session", uid, session_body(session_state(reason), uid, reason))

    def check_lasts(self, relation: Relation) -> None:
        """Raise Ended for a relation or a session that has ended while the store or the core was asked."""
        if self._closed or relation.uid not in self.relations:
            raise Ended("The invitation has just ended.")

    # status

    async def status(self, inviter: str) -> StatusAnswer:
        """Ask the network for an inviter's status and watch it from now on."""
        self.touch()
        relation = self.relations.to(inviter)
        await self._registered()
        status = await self.guests.presence.ask(self, relation.uid, relation.sip)
        try:
            self.check_lasts(relation)
        except Ended:
            self.guests.presence.leave(self, relation.sip)
            raise
        self._note_told(relation.uid, status)
        return self._status_answer(relation, status)

    def status_changed(self, uid: str, status: PeerStatus) -> None:
        """Push a probe's result, if it differs from what this guest was last told."""
        relation = self.relations.get(uid)
        if relation is not None and self._note_told(uid, status):
            self.feed.announce("status", uid, status_body(self._status_answer(relation, status)))

    def _note_told(self, uid: str, status: PeerStatus) -> bool:
        if self._told is None:
            self._told = {}
        told = f"{status.status} {' '.join(status.services)}"
        changed = self._told.get(uid) != told
        self._told[uid] = told
        return changed

    def _status_answer(self, relation: Relation, status: PeerStatus) -> StatusAnswer:
        return StatusAnswer(
            sip=relation.sip,
            uid=relation.uid,
            status=status.status,
            services=list(status.services),
            at=format_time(time.time()),
            cause=status.cause,
        )

    # outgoing messages

    async def send(self, request: MessageRequest, key: str | None) -> MessageAnswer:
        """Send a message to an inviter; a retry with the same key is answered from the first one's outcome."""
        self.touch()
        relation = self.relations.to(request.to, "im")
        body = text_body(request.message, self.guests.settings.max_message_size)
        if self.guests.settings.require_online and (await self.status(relation.uid)).status != "online":
            raise PeerOffline(f"{relation.sip} is not online.")
        return await self.outbox.send(relation, body, key or request.id)

    def recall(self, received: Sequence[tuple[str, str]]) -> None:
        """Take UIDs and ids of what inviters wrote before a restart: they repeat what got no 200."""
        for uid, message_id in received:
            relation = self.relations.get(uid)
            if relation is not None:
                self.conversation(relation).remember(message_id)

    def conversation(self, relation: Relation) -> Conversation:
        """Return the conversation of a relation, made on first use."""
        if relation.conversation is None:
            relation.conversation = Conversation(self, relation)
        return relation.conversation

    # typing and receipts

    def composing(self, request: ComposingRequest) -> None:
        """Tell an inviter that the guest types; no chat is opened for that."""
        self.touch()
        relation = self.relations.to(request.to, "im")
        if relation.conversation is not None:
            if request.state == "active":
                relation.conversation.happened("typing")
            relation.conversation.composing.send(active=request.state == "active")

    async def receipt(self, request: ReceiptRequest) -> None:
        """Note that the guest has seen a message, and tell its sender where they asked for it."""
        self.touch()
        with refusals():
            found = await self.guests.store.advance(
                self.account_id, "in", None, request.id, "displayed", ("delivered",)
            )
        if found is None:
            raise NotFound("There is no message of an inviter with this id.")
        entry, changed = found
        if changed:
            self.feed.announce("receipt", entry.uid, receipt_body(entry.id, "displayed", entry.uid, None))
        relation = self.relations.get(entry.uid)
        if changed and entry.asked and relation is not None:
            self.conversation(relation).receipts.displayed(entry)

    # incoming messages

    def refuse_incoming(self, relation: Relation, content_type: str, size: int) -> tuple[int, str] | None:
        """Return the MSRP code to refuse a message with, None when it is welcome."""
        limits = self.guests.settings
        if relation.is_over or self.relations.get(relation.uid) is not relation:
            return 403, "The invitation is over"
        if not is_chat_type(content_type):
            return 415, "Media type not understood"
        if self.feed.unread_count >= limits.inbox_count or self.feed.unread_bytes + size > limits.inbox_bytes:
            return 413, "Inbox full"
        return None

    def store_incoming(
        self,
        relation: Relation,
        message_id: str,
        content_type: str,
        body: bytes,
        asked: str,
        done: Callable[[Entry, Exception | None], None],
    ) -> None:
        """Store a message of an inviter, with what they want to be told of it; ``done`` is called after the commit."""
        entry = self.feed.incoming(relation.uid, message_id, text_of(body), content_type)
        entry.asked = asked
        self.feed.store_incoming(entry, len(body), done)

    # sipstack.net.useragent.AgentHandler

    def registration_changed(self, agent: UserAgent, event: RegistrationEvent) -> None:
        """Tell the guest when the network lets go of them and when it is back."""
        if isinstance(event, Registered):
            lost, self._lost = self._lost, False
            if lost:
                self.feed.announce("session", "", session_body("restored", None, None))
        elif isinstance(event, RegistrationFailed) and self.registering is None and not self._lost:
            self._lost = True
            why = f"The network has ended the registration: {event.reason}." if event.reason else NO_ANSWER
            self.feed.announce("session", "", session_body("failed", None, why))

    def chat_invited(self, agent: UserAgent, invitation: IncomingInvitation) -> None:
        """Take a chat that an inviter opens; 403 to everybody else."""
        relation = self.relations.asserted(invitation.asserted)
        if relation is None or "im" not in relation.types:
            invitation.reject(403, "No invitation joins the two")
            return
        if self._hides(invitation):
            invitation.reject(*ANONYMITY_DISALLOWED)
            return
        if CPM_GROUP in invitation.services:
            invitation.reject(488, "Group chats are not taken here")
            return
        if self._open_chats() >= self.guests.settings.max_chats:
            invitation.reject(486, "Too many chats are open")
            return
        part = invitation.first_message
        if part is None:
            self.conversation(relation).invited(invitation)
            return
        try:
            first = FirstMessage(invitation, part.content_type, part.body, lambda: self.answer(relation, invitation))
        except RemoteProtocolError as error:
            invitation.reject(error.status)
        else:
            self.conversation(relation).take(first)

    def answer(self, relation: Relation, invitation: IncomingInvitation) -> None:
        """Open a chat that an inviter wants; nobody wants it any more where either side has gone meanwhile."""
        if self._closed or relation.uid not in self.relations:
            invitation.reject(480)
            return
        conversation = self.conversation(relation)
        try:
            conversation.adopt(invitation.answer(conversation))
        except SipstackError as error:
            self.guests.log.info("%s: chat of %s refused: %s", self.account, relation.sip, error)
            if isinstance(error, MediaRefused):
                self.feed.announce("session", relation.uid, session_body("refused", relation.uid, str(error)))

    def _hides(self, incoming: IncomingProbe) -> bool:
        """Tell whether an inviter wants to stay unknown to the guest, who would see who it is (RFC 3325 §9.3)."""
        return incoming.is_anonymous and not self.guests.settings.show_anonymous

    def _open_chats(self) -> int:
        conversations = (relation.conversation for relation in self.relations.values())
        return sum(conversation.open_chats for conversation in conversations if conversation is not None)

    def take_attachment(self, conversation: Conversation, message: Arrival, conversation_id: str) -> bool:
        """Take a message that is about a file; False where it is about none."""
        return self.transfers is not None and self.transfers.take_attachment(conversation, message, conversation_id)

    def file_offered(self, agent: UserAgent, offer: IncomingFile) -> None:
        """Take a file that an inviter offers; 403 to everybody else."""
        if self.transfers is None or self._closed:
            offer.refuse(403, "No invitation for files joins the two")
        elif self._hides(offer) and self.relations.asserted(offer.asserted) is not None:
            offer.reject(*ANONYMITY_DISALLOWED)
        else:
            self.transfers.offered(offer)

    def options_received(self, agent: UserAgent, probe: IncomingProbe) -> int:
        """Return the status for OPTIONS: whoever has not invited the guest does not learn whether they are there."""
        relation = self.relations.asserted(probe.asserted)
        if relation is None:
            return 403
        self.guests.presence.heard(relation.sip, services_of(probe.request.contacts))
        return 200

    def message_received(self, agent: UserAgent, page: IncomingPage) -> None:
        """Take a SIP MESSAGE of an inviter; 200 follows the commit (B-PGR-03)."""
        relation = self.relations.asserted(page.asserted)
        if relation is None or "im" not in relation.types:
            page.reject(403)
            return
        if self._hides(page):
            page.reject(*ANONYMITY_DISALLOWED)
            return
        try:
            arrival = Page(page)
        except RemoteProtocolError as error:
            page.reject(error.status, headers=[("Accept", ACCEPT)] if error.status == 415 else [])
        else:
            self.conversation(relation).take(arrival, page.conversation_id)

    # the core

    async def prepare(self, kind: str) -> None:
        """Make sure that the account is registered at the core and at the interaction server of this kind."""
        await self.guests.lifecycle.ensure_registered(self.account, kind)
        await self._registered()

    async def _registered(self) -> None:
        """Register if the registration is gone; one REGISTER however many wait for it."""
        if self.agent.registered:
            return
        if self.registering is None:
            self.registering = asyncio.ensure_future(self._register())
        await asyncio.shield(self.registering)

    async def _register(self) -> None:
        try:
            async with asyncio.timeout(self.guests.settings.register_timeout):
                await self.agent.register()
        except TimeoutError:
            raise Unavailable("The IMS core does not answer.", retry_after=5) from None
        except (SipstackError, OSError) as error:
            raise from_exception(error) from error
        finally:
            self.registering = None

    async def login(self) -> None:
        """Register at the core; raises ServiceError when it refuses or does not answer."""
        await self._registered()

    async def logout(self) -> None:
        """End every relation of the guest (design: step 10)."""
        await self.guests.lifecycle.end_account(self.account, "logout")

    async def close(self, reason: str, *, final: bool) -> None:
        """End chats, then the registration; with ``final`` the streams end too."""
        self._closed = True
        relations = list(self.relations.values())
        for relation in relations:
            self.guests.presence.leave(self, relation.sip)
        if self.transfers is not None:
            await self.transfers.close()
        conversations = [item.conversation for item in relations if item.conversation is not None]
        await asyncio.gather(*(conversation.close(reason, over=final) for conversation in conversations))
        if final:
            self.feed.offer(self.feed.entry("session", "", session_body(session_state(reason), None, reason)))
            self.feed.end()
        await self.agent.close(timeout=self.guests.settings.register_timeout)

    # conversation so far

    async def messages(self, peer: str | None, before: int | None, limit: int) -> Messages:
        """Return one page of the conversation with one inviter or with all."""
        self.touch()
        opened = None if peer is None else self.relations.to(peer)
        if opened is not None and opened.conversation is not None:
            opened.conversation.happened("open")
        uid = None if opened is None else opened.uid
        with self.feed.reading(), refusals():
            entries = await self.guests.store.conversation(self.account_id, uid, before, limit)
            self.feed.showing(entries)
        if entries:
            self.feed.fetched = max(self.feed.fetched, entries[-1].cursor)
        views = [
            message_view(entry, self.account, relation.sip)
            for entry in entries
            if (relation := self.relations.get(entry.uid)) is not None
        ]
        return Messages(messages=views, before=entries[0].cursor if len(entries) == limit else None)
