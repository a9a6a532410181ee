"""What a guest sends: stored and sent side by side, once for each key, and told as it turns out."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from gateway.outgoing import Outgoing
from gateway.refusals import refusals
from gateway.relations import Relation
from gateway.services import Unavailable, Unprocessable
from gateway.storage.store import Entry
from gateway.views import receipt_body
from sipstack import ids
from translators.model import MessageAnswer, MessageState

if TYPE_CHECKING:
    from gateway.guest import GuestSession

STORE_WAIT = 0.5
"""Seconds beyond ``message_wait`` that a commit may take: nothing is answered 2xx before it."""

KEY_REUSED = "This Idempotency-Key was used for another message."


class GuestOutbox:
    """The messages of one guest that are on their way."""

    __slots__ = ("_guest", "_in_flight")

    def __init__(self, guest: GuestSession) -> None:
        self._guest = guest
        self._in_flight: dict[str, tuple[str, str, asyncio.Future[MessageAnswer]]] | None = None

    async def send(self, relation: Relation, body: str, key: str | None) -> MessageAnswer:
        """Send a text; with a key a retry is answered from the first one's outcome.

        Raises what the peer, the network or the store refused it with.
        """
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
        with self._guest.feed.reading(), refusals():
            entry = await self._guest.guests.store.find_message(self._guest.account_id, message_id)
            if entry is not None:
                self._guest.feed.showing([entry])
        if entry is None:
            return await self._send(relation, message_id, body)
        self._guest.check_lasts(relation)
        if entry.body != body or entry.uid != relation.uid:
            raise Unprocessable(KEY_REUSED, message_id=message_id)
        if entry.state not in ("failed", "unknown"):
            return MessageAnswer(id=message_id, state=cast(MessageState, entry.state))
        entry.state = "pending"
        self._guest.feed.write_state(entry.cursor, "pending")
        return await self._deliver(relation, entry, committed=True)

    def _message_id(self, key: str) -> str:
        """Derive the wire's Message-ID from account and key, so that a retry has the same one after a restart too."""
        return hashlib.sha256(f"{self._guest.account}\0{key}".encode()).hexdigest()[:24]

    async def _send(self, relation: Relation, message_id: str, body: str) -> MessageAnswer:
        self._guest.check_lasts(relation)
        entry = self._guest.feed.outgoing(relation.uid, message_id, body)
        return await self._deliver(relation, entry)

    async def _deliver(self, relation: Relation, entry: Entry, *, committed: bool = False) -> MessageAnswer:
        """Send and, unless it is there already, store an entry side by side; wait for both, but not for ever."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def done(outgoing: Outgoing) -> None:
            if not waiter.done():
                waiter.set_result(None)

        def late() -> None:
            outgoing.hurry()
            if outgoing.on_done is not None:
                loop.call_later(STORE_WAIT, done, outgoing)

        outgoing = Outgoing(self._guest, entry, done)
        outgoing.committed = committed
        if not committed:
            self._guest.guests.store.append(entry, outgoing.stored)
        self._guest.conversation(relation).send(outgoing)
        timer = loop.call_later(self._guest.guests.settings.message_wait, late)
        try:
            await waiter
        finally:
            timer.cancel()
        if outgoing.on_done is not None:
            outgoing.on_done = None
            raise Unavailable("The store takes too long.", retry_after=5, message_id=entry.id)
        if not outgoing.settled:
            self._guest.feed.show(entry)
            return MessageAnswer(id=entry.id, state="pending")
        if outgoing.error is not None:
            raise outgoing.error
        return MessageAnswer(id=entry.id, state="sent")

    def resend(self, unresolved: Sequence[Entry]) -> None:
        """Send stored messages whose outcome was not known when the last process ended, with the same ids."""
        for entry in unresolved:
            relation = self._guest.relations.get(entry.uid)
            if relation is not None:
                outgoing = Outgoing(self._guest, entry, None)
                outgoing.committed = True
                self._guest.feed.show(entry)
                self._guest.conversation(relation).send(outgoing)

    def committed(self, outgoing: Outgoing) -> None:
        """Offer the guest's own message to the streams: a second tab shows it too."""
        if self._guest.feed.watched and outgoing.entry.state == "pending":
            self._guest.feed.show(outgoing.entry)
        self._guest.feed.offer(outgoing.entry)

    def settled(self, outgoing: Outgoing, state: str) -> None:
        """Write the outcome; whoever was shown ``pending`` hears of the change."""
        entry = outgoing.entry
        entry.state = state  # before the look at ``taken``, which the writer's thread sets before it reads the state
        if entry.taken:
            self._guest.feed.write_state(entry.cursor, state)
        if self._guest.feed.was_shown(entry):
            error = outgoing.error
            cause, detail = (None, None) if error is None else (error.sip, error.detail)
            self._guest.feed.announce("receipt", entry.uid, receipt_body(entry.id, state, entry.uid, cause, detail))
