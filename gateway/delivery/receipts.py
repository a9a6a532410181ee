"""Takes the receipts of all channels and writes them one after the other.

A receipt may be here before its order is noted as sent: the other side is quick, or names its message only in the
answer that we are still writing down. Such a one is kept for as long as an order of its channel is on its way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from gateway.delivery.base import DeliveryReceipt
from gateway.delivery.texts import one_line
from gateway.inviterfeed import InviterFeeds, notice
from gateway.storage.errors import StoreError
from gateway.storage.store import Store

log = logging.getLogger("rcsgw.delivery")

MAX_WAITING = 10_000
"""Receipts that wait for the store, and early ones of a channel: some MiB. More than a server sends at once."""

MAX_REASON = 300
"""Characters of the other side's words that are kept."""

STORE_PAUSE = 2.0
"""Seconds to wait when the store cannot be written."""


class _Waiting(NamedTuple):
    """A receipt that is to be written."""

    channel: str
    receipt: DeliveryReceipt
    newest: int = 0
    """Number of the newest order that it may be about; 0 before it was looked up."""


class Receipts:
    """Owns one task while there is something to write."""

    def __init__(self, store: Store, feeds: InviterFeeds, clock: Callable[[], float]) -> None:
        self.on_change: Callable[[], None] = lambda: None
        """Called when a receipt may have brought another channel into play."""
        self._store = store
        self._feeds = feeds
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._early: dict[str, deque[_Waiting]] = {}
        self._begun = 0
        self._sending: dict[str, set[int]] = {}
        """Channel → numbers of the orders on their way."""
        self._taken = 0
        self._written = 0
        self._asked: deque[tuple[int, asyncio.Future[None]]] = deque()
        """How many receipts have to be written for somebody who waits, in the order of asking."""
        self._task: asyncio.Task[None] | None = None

    def of(self, channel: str) -> Callable[[DeliveryReceipt], None]:
        """Return what a channel's driver calls with its receipts."""
        return partial(self.take, channel)

    def take(self, channel: str, receipt: DeliveryReceipt) -> None:
        """Take a receipt; one too many is lost, and the delivery stays ``sent``."""
        self._take(_Waiting(channel, receipt))

    def _take(self, waiting: _Waiting) -> None:
        if len(self._waiting) >= MAX_WAITING:
            log.warning("%s: a receipt is lost, %d wait for the store", waiting.channel, MAX_WAITING)
            return
        self._waiting.append(waiting)
        self._taken += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def written(self) -> None:
        """Return when the receipts taken so far are in the store; those that come meanwhile are not waited for."""
        if self._written < self._taken:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._asked.append((self._taken, future))
            await future

    def begin(self, channel: str) -> int:
        """Note that an order is on its way: from now on receipts may be early. Return its number."""
        self._begun += 1
        self._sending.setdefault(channel, set()).add(self._begun)
        return self._begun

    def end(self, channel: str, number: int) -> None:
        """Note that what came of an order is stored: those that came too early may be in time now."""
        self._sending[channel].discard(number)
        for waiting in self._early.pop(channel, ()):
            self._take(waiting)

    async def close(self) -> None:
        """Write what is here; stop trying when the store does not take it."""
        task = self._task
        if task is not None:
            await asyncio.wait({task}, timeout=STORE_PAUSE)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for _, future in self._asked:
            future.cancel()

    async def _write(self) -> None:
        try:
            while self._waiting:
                waiting = self._waiting[0]
                try:
                    await self._note(waiting)
                except StoreError as error:
                    log.error("%s: a receipt is not stored: %s", waiting.channel, error)
                    await asyncio.sleep(STORE_PAUSE)
                    continue
                except Exception:
                    log.exception("%s: a receipt cannot be used", waiting.channel)
                self._waiting.popleft()
                self._written += 1
                self._tell_those_who_asked()
        finally:
            self._task = None

    def _tell_those_who_asked(self) -> None:
        while self._asked and self._asked[0][0] <= self._written:
            _, future = self._asked.popleft()
            if not future.done():
                future.set_result(None)

    async def _note(self, waiting: _Waiting) -> None:
        channel, receipt, now = waiting.channel, waiting.receipt, self._clock()
        error = one_line(receipt.text)[:MAX_REASON] or "not delivered"
        events = await self._store.delivery_receipt(
            channel,
            receipt.reference,
            error if receipt.state == "failed" else None,
            now,
            lambda invited: notice(invited, now),
        )
        if events is None:
            self._keep(waiting)
            return
        log.info("%s: %s %s", channel, receipt.reference, receipt.state)
        self._feeds.publish(events)
        self.on_change()

    def _keep(self, waiting: _Waiting) -> None:
        """Keep a receipt that nothing waits for, if an order that was on its way then is so still: it may be that."""
        newest = waiting.newest or self._begun
        if not any(number <= newest for number in self._sending.get(waiting.channel, ())):
            log.debug("%s: no order is known as %s", waiting.channel, waiting.receipt.reference)
            return
        early = self._early.setdefault(waiting.channel, deque(maxlen=MAX_WAITING))
        early.append(waiting._replace(newest=newest))
