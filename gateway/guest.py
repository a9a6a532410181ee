"""What the gateway holds for one logged-in guest."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from gateway.arrivals import FirstMessage, Page
from gateway.conversation import Conversation, Outgoing
from gateway.refusals import refusals
from gateway.services import Ended, Forbidden, NoRelation, PeerOffline, TooManyRequests, Unavailable, Unprocessable
from gateway.storage.store import Entry
from gateway.upstream import from_exception
from gateway.views import event_of, message_view, receipt_body, session_body, status_body
from sipstack import ids
from sipstack.errors import RemoteProtocolError, SipstackError
from sipstack.net.invitation import IncomingInvitation, IncomingPage, IncomingProbe
from sipstack.net.useragent import AgentHandler, UserAgent
from sipstack.sip.registration import Registered, RegistrationEvent, RegistrationFailed
from sipstack.sip.uri import Uri
from translators.from_http import text_body
from translators.from_msrp import is_chat_type, text_of
from translators.from_sip import PeerStatus
from translators.model import (
    Event,
    MessageAnswer,
    MessageRequest,
    Messages,
    MessageState,
    SessionState,
    StatusAnswer,
    format_time,
)

if TYPE_CHECKING:
    from gateway.sessions import Guests

STORE_WAIT = 0.5
"""Seconds beyond ``message_wait`` that a commit may take: nothing is answered 2xx before it."""

Listener = Callable[[Event | None], None]

KEY_REUSED = "This Idempotency-Key was used for another message."


@dataclass(slots=True)
class Relation:
    """One invitation as far as the conversation needs it."""

    invitation_id: int
    uid: str
    sip: str
    name: str | None
    identities: tuple[str, ...]
    types: tuple[str, ...]
    until: float
    """Wall time at which it ends, Unix seconds."""
    conversation: Conversation | None = field(default=None, repr=False)


class GuestSession(AgentHandler):
    """A logged-in guest: the user agent, the relations, the conversations and the event feed.

    Nothing here runs by itself: calls come from HTTP, from the user agent and from the store. Every event is stored
    first and offered to the open streams after its commit, in the order of its cursor.
    """

    __slots__ = (
        "_by_identity",
        "_changed",
        "_changing",
        "_closed",
        "_committed",
        "_ended",
        "_in_flight",
        "_listeners",
        "_lost",
        "_reads",
        "_shown",
        "_told",
        "_unread_bytes",
        "_unread_count",
        "account",
        "account_id",
        "agent",
        "authorizations",
        "cursor",
        "guests",
        "last_seen",
        "registering",
        "relations",
    )

    def __init__(self, guests: Guests, account_id: int, account: str, cursor: int) -> None:
        self.guests = guests
        self.account_id = account_id
        self.account = account
        self.cursor = cursor
        """Cursor of the newest event, stored or about to be."""
        self._committed = cursor
        self.agent: UserAgent
        self.relations: dict[str, Relation] = {}
        self.authorizations: dict[str, int] = {}
        """Authorization header proven before → invitation whose secret it holds."""
        self.last_seen = time.monotonic()
        self.registering: asyncio.Future[None] | None = None
        self._by_identity: dict[str, Relation] = {}
        self._closed = False
        self._ended: set[str] | None = None
        self._lost = False
        self._listeners: tuple[Listener, ...] = ()
        self._in_flight: dict[str, tuple[str, str, asyncio.Future[MessageAnswer]]] | None = None
        self._shown: set[int] | None = None
        self._changing: dict[int, str] | None = None
        self._changed: set[int] | None = None
        self._reads = 0
        self._told: dict[str, str] | None = None
        self._unread_count = 0
        self._unread_bytes = 0

    # relations

    def relate(self, relation: Relation) -> None:
        """Add or renew the relation to one inviter."""
        known = self.relations.get(relation.uid)
        if known is not None:
            relation.conversation = known.conversation
            if relation.conversation is not None:
                relation.conversation.relation = relation
            self._forget_identities(known)
        self.relations[relation.uid] = relation
        if self._ended is not None:
            self._ended.discard(relation.uid)
        for identity in (relation.uid, relation.sip, *relation.identities):
            self._by_identity[identity] = relation
            self._by_identity[_canonical(identity)] = relation

    async def end_relation(self, uid: str, reason: str) -> None:
        """Let go of one inviter: BYE, no more status. The guest is told, also when the end was before a restart."""
        relation = self.relations.pop(uid, None)
        if relation is not None:
            self._forget_identities(relation)
            self.guests.presence.leave(self, relation.sip)
            if self._told is not None:
                self._told.pop(uid, None)
            if relation.conversation is not None:
                await relation.conversation.close(reason)
        elif self._ended is not None and uid in self._ended:
            return
        self._ended = {*(self._ended or ()), uid}
        self.announce("session", uid, session_body(_session_state(reason), uid, reason))

    def _forget_identities(self, relation: Relation) -> None:
        for identity in [key for key, known in self._by_identity.items() if known is relation]:
            del self._by_identity[identity]

    def relation_to(self, identity: str, kind: str | None = None) -> Relation:
        """Return the valid relation to an inviter, named by UID or any identity; with ``kind`` it must carry that."""
        relation = self._by_identity.get(identity) or self._by_identity.get(_canonical(identity))
        if relation is None:
            raise NoRelation(f"{identity} has not invited this guest.")
        if relation.until <= time.time():
            raise Ended("The invitation has expired.")
        if kind is not None and kind not in relation.types:
            raise Forbidden(f"The invitation of {relation.uid} is not for {kind}.")
        return relation

    def _check_lasts(self, relation: Relation) -> None:
        """Raise Ended for a relation or a session that has ended while the store or the core was asked."""
        if self._closed or relation.uid not in self.relations:
            raise Ended("The invitation has just ended.")

    def _relation_by_assertion(self, asserted: Sequence[Uri]) -> Relation | None:
        """Find who speaks by P-Asserted-Identity; anything else a caller claims does not count."""
        for uri in asserted:
            relation = self._by_identity.get(_canonical(str(uri)))
            if relation is not None and relation.until > time.time():
                return relation
        return None

    # status

    async def status(self, inviter: str) -> StatusAnswer:
        """Ask the network for an inviter's status and watch it from now on."""
        self.last_seen = time.monotonic()
        relation = self.relation_to(inviter)
        await self._registered()
        status = await self.guests.presence.ask(self, relation.uid, relation.sip)
        try:
            self._check_lasts(relation)
        except Ended:
            self.guests.presence.leave(self, relation.sip)
            raise
        self._note_told(relation.uid, status)
        return self._status_answer(relation, status)

    def status_changed(self, uid: str, status: PeerStatus) -> None:
        """Push a probe's result, if it differs from what this guest was last told."""
        relation = self.relations.get(uid)
        if relation is not None and self._note_told(uid, status):
            self.announce("status", uid, status_body(self._status_answer(relation, status)))

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
        self.last_seen = time.monotonic()
        relation = self._by_identity.get(request.to)
        if relation is None or relation.until <= time.time() or "im" not in relation.types:
            relation = self.relation_to(request.to, "im")
        body = text_body(request.message, self.guests.settings.max_message_size)
        if self.guests.settings.require_online and (await self.status(relation.uid)).status != "online":
            raise PeerOffline(f"{relation.sip} is not online.")
        key = key or request.id
        if key is None:
            return await self._send(relation, ids.message_id(), body)
        return await self._send_once(relation, self._message_id(key), body)

    async def _send_once(self, relation: Relation, message_id: str, body: str) -> MessageAnswer:
        if self._in_flight is None:
            self._in_flight = {}
        uid, text, running = self._in_flight.get(message_id, (relation.uid, body, None))
        if (uid, text) != (relation.uid, body):
            raise Unprocessable(KEY_REUSED, message_id=message_id)
        if running is not None:
            return await asyncio.shield(running)
        running = asyncio.get_running_loop().create_future()
        self._in_flight[message_id] = relation.uid, body, running
        try:
            answer = await self._send_or_repeat(relation, message_id, body)
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            running.set_exception(Unavailable("The first attempt was given up.") if cancelled else error)
            running.exception()  # whoever sent the same key meanwhile gets it; nobody else has to
            raise
        else:
            running.set_result(answer)
            return answer
        finally:
            del self._in_flight[message_id]

    async def _send_or_repeat(self, relation: Relation, message_id: str, body: str) -> MessageAnswer:
        """Answer a retry from the store. What failed, or perhaps did not arrive, is tried again with the same id."""
        with self._reading(), refusals():
            entry = await self.guests.store.find_message(self.account_id, message_id)
            if entry is not None:
                self._read([entry])
        if entry is None:
            return await self._send(relation, message_id, body)
        self._check_lasts(relation)
        if entry.body != body or entry.uid != relation.uid:
            raise Unprocessable(KEY_REUSED, message_id=message_id)
        if entry.state not in ("failed", "unknown"):
            return MessageAnswer(id=message_id, state=cast(MessageState, entry.state))
        entry.state = "pending"
        self._write_state(entry.cursor, "pending")
        return await self._deliver(relation, entry, committed=True)

    def _message_id(self, key: str) -> str:
        """Derive the wire's Message-ID from account and key, so that a retry has the same one after a restart too."""
        return hashlib.sha256(f"{self.account}\0{key}".encode()).hexdigest()[:24]

    async def _send(self, relation: Relation, message_id: str, body: str) -> MessageAnswer:
        self._check_lasts(relation)
        entry = self._entry("message", relation.uid, message_id, "out", "pending", "text/plain", body)
        return await self._deliver(relation, entry)

    async def _deliver(self, relation: Relation, entry: Entry, *, committed: bool = False) -> MessageAnswer:
        """Send and, unless it is there already, store an entry side by side; wait for both, but not for ever."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def done(outgoing: Outgoing) -> None:
            if not waiter.done():
                waiter.set_result(None)

        def late() -> None:
            nonlocal timer
            outgoing.hurry()
            if outgoing.on_done is not None:
                timer = loop.call_later(STORE_WAIT, done, outgoing)

        outgoing = Outgoing(self, entry, done)
        outgoing.committed = committed
        if not committed:
            self.guests.store.append(entry, outgoing.stored)
        self.conversation(relation).send(outgoing)
        timer = loop.call_later(self.guests.settings.message_wait, late)
        try:
            await waiter
        finally:
            timer.cancel()
        if outgoing.on_done is not None:
            outgoing.on_done = None
            raise Unavailable("The store takes too long.", retry_after=5, message_id=entry.id)
        if not outgoing.settled:
            self.show(entry)
            return MessageAnswer(id=entry.id, state="pending")
        if outgoing.error is not None:
            raise outgoing.error
        return MessageAnswer(id=entry.id, state="sent")

    def resend(self, unresolved: Sequence[Entry]) -> None:
        """Send stored messages whose outcome was not known when the last process ended, with the same ids."""
        for entry in unresolved:
            relation = self.relations.get(entry.uid)
            if relation is not None:
                outgoing = Outgoing(self, entry, None)
                outgoing.committed = True
                self.show(entry)
                self.conversation(relation).send(outgoing)

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

    def outgoing_committed(self, outgoing: Outgoing) -> None:
        """Offer the guest's own message to the streams: a second tab shows it too."""
        if self._listeners and outgoing.entry.state == "pending":
            self.show(outgoing.entry)
        self._offer(outgoing.entry)

    def outgoing_settled(self, outgoing: Outgoing, state: str) -> None:
        """Write the outcome; whoever was shown ``pending`` hears of the change."""
        entry = outgoing.entry
        entry.state = state  # before the look at ``taken``, which the writer's thread sets before it reads the state
        if entry.taken:
            self._write_state(entry.cursor, state)
        if self._shown and entry.cursor in self._shown:
            self._shown.discard(entry.cursor)
            cause = outgoing.error.sip if outgoing.error is not None else None
            self.announce("receipt", entry.uid, receipt_body(entry.id, state, entry.uid, cause))

    def _write_state(self, cursor: int, state: str) -> None:
        """Change a row; until that is committed, whoever reads the row is told what it will be."""
        if self._changing is None:
            self._changing = {}
        self._changing[cursor] = state

        def done(error: Exception | None) -> None:
            # what could not be written still counts while we live; after that it is sent again
            if error is None and self._changing is not None and self._changing.get(cursor) == state:
                if self._reads:
                    self._changed = {*(self._changed or ()), cursor}
                else:
                    del self._changing[cursor]

        self.guests.store.set_state(self.account_id, cursor, state, done)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Keep the changes that are committed while the store is read: the read may have begun before them."""
        self._reads += 1
        try:
            yield
        finally:
            self._reads -= 1
            if not self._reads and self._changed is not None:
                for cursor in self._changed:
                    if self._changing is not None:
                        self._changing.pop(cursor, None)
                self._changed = None

    def _read(self, entries: Sequence[Entry]) -> None:
        """Note what a client is about to be shown."""
        for entry in entries:
            if entry.direction == "out":
                if self._changing is not None:
                    entry.state = self._changing.get(entry.cursor, entry.state)
                if entry.state == "pending":
                    self.show(entry)

    def show(self, entry: Entry) -> None:
        """Note that the guest was shown a state that is not final: its change will be an event."""
        if self._shown is None:
            self._shown = set()
        self._shown.add(entry.cursor)

    # incoming messages

    def refuse_incoming(self, relation: Relation, content_type: str, size: int) -> tuple[int, str] | None:
        """Return the MSRP code to refuse a message with, None when it is welcome."""
        limits = self.guests.settings
        if relation.until <= time.time() or self.relations.get(relation.uid) is not relation:
            return 403, "The invitation is over"
        if not is_chat_type(content_type):
            return 415, "Media type not understood"
        if self._unread_count >= limits.inbox_count or self._unread_bytes + size > limits.inbox_bytes:
            return 413, "Inbox full"
        return None

    def store_incoming(
        self,
        relation: Relation,
        message_id: str,
        content_type: str,
        body: bytes,
        done: Callable[[Entry, Exception | None], None],
    ) -> None:
        """Store a message of an inviter; ``done`` is called after the commit."""
        entry = self._entry("message", relation.uid, message_id, "in", "delivered", content_type, text_of(body))
        self._unread_count += 1
        self._unread_bytes += len(body)

        def stored(entry: Entry, error: Exception | None) -> None:
            if error is not None:
                self._unread_count = max(self._unread_count - 1, 0)
                self._unread_bytes = max(self._unread_bytes - len(body), 0)
            done(entry, error)

        self.guests.store.append(entry, stored)

    # sipstack.net.useragent.AgentHandler

    def registration_changed(self, agent: UserAgent, event: RegistrationEvent) -> None:
        """Tell the guest when the network lets go of them and when it is back."""
        if isinstance(event, Registered):
            lost, self._lost = self._lost, False
            if lost:
                self.announce("session", "", session_body("restored", None, None))
        elif isinstance(event, RegistrationFailed) and self.registering is None and not self._lost:
            self._lost = True
            self.announce("session", "", session_body("failed", None, "The network does not answer."))

    def chat_invited(self, agent: UserAgent, invitation: IncomingInvitation) -> None:
        """Take a chat that an inviter opens; 403 to everybody else."""
        relation = self._relation_by_assertion(invitation.asserted)
        if relation is None or "im" not in relation.types:
            invitation.reject(403, "No invitation joins the two")
            return
        if self._open_chats() >= self.guests.settings.max_chats:
            invitation.reject(486, "Too many chats are open")
            return
        part = invitation.first_message
        if part is None:
            self._answer(relation, invitation)
            return
        try:
            first = FirstMessage(invitation, part.content_type, part.body, lambda: self._answer(relation, invitation))
        except RemoteProtocolError as error:
            invitation.reject(error.status)
        else:
            self.conversation(relation).take(first)

    def _answer(self, relation: Relation, invitation: IncomingInvitation) -> None:
        """Open a chat that an inviter wants; nobody wants it any more where either side has gone meanwhile."""
        if self._closed or relation.uid not in self.relations:
            invitation.reject(480)
            return
        conversation = self.conversation(relation)
        try:
            conversation.adopt(invitation.answer(conversation))
        except SipstackError as error:
            self.guests.log.info("%s: chat of %s refused: %s", self.account, relation.sip, error)

    def _open_chats(self) -> int:
        conversations = (relation.conversation for relation in self.relations.values())
        return sum(conversation.open_chats for conversation in conversations if conversation is not None)

    def options_received(self, agent: UserAgent, probe: IncomingProbe) -> int:
        """Return the status for OPTIONS: whoever has not invited the guest does not learn whether they are there."""
        return 200 if self._relation_by_assertion(probe.asserted) is not None else 403

    def message_received(self, agent: UserAgent, page: IncomingPage) -> None:
        """Take a SIP MESSAGE of an inviter; 200 follows the commit (B-PGR-03)."""
        relation = self._relation_by_assertion(page.asserted)
        if relation is None or "im" not in relation.types:
            page.reject(403)
            return
        try:
            arrival = Page(page)
        except RemoteProtocolError as error:
            page.reject(error.status)
        else:
            self.conversation(relation).take(arrival)

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

    def end_streams(self) -> None:
        """Close the open streams; their clients come back after a restart."""
        for listener in self._listeners:
            listener(None)

    async def logout(self) -> None:
        """End every relation of the guest (design: step 10)."""
        await self.guests.lifecycle.end_account(self.account, "logout")

    async def close(self, reason: str, *, final: bool) -> None:
        """End chats, then the registration; with ``final`` the streams end too."""
        self._closed = True
        relations = list(self.relations.values())
        for relation in relations:
            self.guests.presence.leave(self, relation.sip)
        conversations = [item.conversation for item in relations if item.conversation is not None]
        await asyncio.gather(*(conversation.close(reason, over=final) for conversation in conversations))
        if final:
            self.cursor += 1
            entry = Entry(self.account_id, self.cursor, "session", "", "", "", "", time.time(), "", "")
            entry.body = session_body(_session_state(reason), None, reason)
            self._offer(entry)
            self.end_streams()
        await self.agent.close(timeout=self.guests.settings.register_timeout)

    # events: gateway.services.EventFeed

    @property
    def feed(self) -> GuestSession:
        """The feed of the guest's events is the session itself."""
        return self

    def latest(self) -> int:
        """Return the cursor of the newest event that was committed and offered."""
        return self._committed

    async def read(self, after: int, limit: int = 100) -> Sequence[Event] | None:
        """Return stored events behind ``after``; None when some of them are gone."""
        self.last_seen = time.monotonic()
        with self._reading(), refusals():
            entries = await self.guests.store.events_after(self.account_id, after, limit)
            if entries is None:
                return None
            self._read(entries)
        if len(entries) < limit:
            self._unread_count = self._unread_bytes = 0
        return [self.event(entry) for entry in entries]

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Offer every further event to ``listener``."""
        if len(self._listeners) >= self.guests.settings.max_streams:
            raise TooManyRequests("This guest has too many event streams open.", retry_after=5)
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            self._listeners = tuple(known for known in self._listeners if known is not listener)
            self.last_seen = time.monotonic()

        return unsubscribe

    @property
    def watched(self) -> bool:
        """Tell whether a stream or a poll of the guest is open."""
        return bool(self._listeners)

    def announce(self, kind: str, uid: str, body: str) -> None:
        """Store an event that is no message and offer it after its commit."""
        entry = self._entry(kind, uid, "", "", "", "", body)

        def stored(entry: Entry, error: Exception | None) -> None:
            if error is None:
                self._offer(entry)

        self.guests.store.append(entry, stored)

    def publish(self, entry: Entry) -> None:
        """Offer a stored message; somebody who listens has read it."""
        if self._listeners:
            self._unread_count = self._unread_bytes = 0
        self._offer(entry)

    def _offer(self, entry: Entry) -> None:
        """Hand a committed entry to the open streams, made once for all of them."""
        self._committed = entry.cursor
        if self._listeners:
            event = self.event(entry)
            for listener in self._listeners:
                listener(event)

    def event(self, entry: Entry) -> Event:
        """Translate a row of the store into what the guest's client gets."""
        relation = self.relations.get(entry.uid)
        return event_of(entry, self.account, relation.sip if relation is not None else entry.uid)

    def _entry(
        self, kind: str, uid: str, message_id: str, direction: str, state: str, content_type: str, body: str
    ) -> Entry:
        self.cursor += 1
        now = time.time()
        return Entry(self.account_id, self.cursor, kind, uid, message_id, direction, state, now, content_type, body)

    # conversation so far

    async def messages(self, peer: str | None, before: int | None, limit: int) -> Messages:
        """Return one page of the conversation with one inviter or with all."""
        self.last_seen = time.monotonic()
        uid = self.relation_to(peer).uid if peer is not None else None
        with self._reading(), refusals():
            entries = await self.guests.store.conversation(self.account_id, uid, before, limit)
            self._read(entries)
        views = [
            message_view(entry, self.account, relation.sip)
            for entry in entries
            if (relation := self.relations.get(entry.uid)) is not None
        ]
        return Messages(messages=views, before=entries[0].cursor if len(entries) == limit else None)


def _canonical(identity: str) -> str:
    """Return the AOR of a URI, the text itself where it is none (a UID)."""
    try:
        return Uri.parse(identity if ":" in identity else f"sip:{identity}").aor
    except SipstackError:
        return identity


_STATES: dict[str, SessionState] = {"expired": "expired", "revoked": "revoked", "idle": "idle"}


def _session_state(reason: str) -> SessionState:
    """Return the session event's state for the reason of an end."""
    return _STATES.get(reason, "ended")
