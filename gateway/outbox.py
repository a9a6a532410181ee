"""What a guest sends: stored and sent side by side, once for each key, and told as it turns out."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from gateway.outgoing import Outgoing
from gateway.refusals import refusals
from gateway.relations import Relation
from gateway.services import Unavailable, Unprocessable
from gateway.storage.entrystore import Entry
from gateway.storage.errors import StoreError
from gateway.views import receipt_body
from sipstack import ids
from translators.model import MessageAnswer, MessageState

if TYPE_CHECKING:
    from gateway.guest import GuestSession

log = logging.getLogger("rcsgw.chat")

STORE_WAIT = 0.5
"""Seconds beyond ``message_wait`` that a commit may take: nothing is answered 2xx before it."""

_AGAIN = ("failed", "unknown")
"""States of a message that a retry sends again."""

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
        if entry.state in _AGAIN:
            before = self._guest.conversation(relation).find_outgoing(message_id)
            # In the store, as a notification may be on its way there: what has arrived is not sent again.
            with refusals():
                found = await self._guest.guests.store.advance(
                    self._guest.account_id, "out", relation.uid, message_id, "pending", _AGAIN
                )
            entry, again = found or (entry, False)
            if again and before is not None and before.entry.state not in _AGAIN:
                entry = before.entry  # a late answer was quicker: it is written already
                again = False
            if again:
                self._guest.check_lasts(relation)
                self._guest.feed.show(entry)
                self._guest.feed.announce("receipt", entry.uid, receipt_body(entry.id, "pending", entry.uid, None))
                return await self._deliver(relation, entry, again=True, before=before)
        return MessageAnswer(id=message_id, state=cast(MessageState, entry.state))

    def _message_id(self, key: str) -> str:
        """Derive the wire's Message-ID from account and key, so that a retry has the same one after a restart too."""
        return hashlib.sha256(f"{self._guest.account}\0{key}".encode()).hexdigest()[:24]

    async def _send(self, relation: Relation, message_id: str, body: str) -> MessageAnswer:
        self._guest.check_lasts(relation)
        entry = self._guest.feed.outgoing(relation.uid, message_id, body)
        return await self._deliver(relation, entry)

    async def _deliver(
        self, relation: Relation, entry: Entry, *, again: bool = False, before: Outgoing | None = None
    ) -> MessageAnswer:
        """Send and, unless it is sent ``again``, store an entry side by side; wait for both, but not for ever.

        ``before`` is the last attempt to send it, if that is still remembered.
        """
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
        outgoing.committed = again
        if not again:
            self._guest.guests.store.append(entry, outgoing.stored)
        if before is not None:
            before.next_attempt = outgoing
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
        # A notification may have been quicker than the answer: it is an event of its own.
        return MessageAnswer(id=entry.id, state="sent")

    async def resume(self) -> None:
        """Send stored messages whose outcome was not known when the last session ended, with the same ids.

        The network may have told of some as soon as the guest was registered again, so they are looked up after that.
        """
        with self._guest.feed.reading():
            try:
                unresolved = await self._guest.guests.store.unresolved(self._guest.account_id)
            except StoreError as error:
                log.error("%s: what waits to be sent cannot be read: %s", self._guest.account, error)
                return
            self._guest.feed.showing(unresolved)
        for entry in unresolved:
            relation = self._guest.relations.get(entry.uid)
            if relation is not None and entry.state == "pending" and entry.cursor <= self._guest.feed.began_at:
                outgoing = Outgoing(self._guest, entry, None)
                outgoing.committed = True
                self._guest.feed.show(entry)
                self._guest.conversation(relation).send(outgoing)

    def committed(self, outgoing: Outgoing) -> None:
        """Offer the guest's own message to the streams: a second tab shows it too."""
        entry = outgoing.entry
        if outgoing.shown_as is not None:
            entry = replace(entry, state=outgoing.shown_as)  # its changes are told behind it
        elif self._guest.feed.watched and entry.state == "pending":
            self._guest.feed.show(entry)
        self._guest.feed.offer(entry)

    def settled(self, outgoing: Outgoing, state: str) -> None:
        """Write the outcome; whoever was shown ``pending`` hears of the change."""
        entry = outgoing.entry
        # before the look at ``taken``, which the writer's thread sets before it reads the state
        earlier, entry.state = entry.state, state
        if entry.taken:
            self._guest.feed.write_state(entry.cursor, state)
        if self._guest.feed.was_shown(entry):
            if not outgoing.committed and outgoing.shown_as is None:
                outgoing.shown_as = earlier
            error = outgoing.error
            cause, detail = (None, None) if error is None else (error.sip, error.detail)
            self._guest.feed.announce("receipt", entry.uid, receipt_body(entry.id, state, entry.uid, cause, detail))
