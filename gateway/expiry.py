"""What happens by the clock alone: invitations that are over, events and tombstones that are too old."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from gateway.config.settings import LimitsSection
from gateway.lifecycle import Lifecycle
from gateway.storage.errors import StoreError
from gateway.storage.invitationstore import Invited
from gateway.storage.store import Store

log = logging.getLogger("rcsgw.invitations")

PRUNE_INTERVAL = 600.0
"""Seconds between two looks for events that are too old."""

LONGEST_TIMER = 3600.0
"""Seconds after which expiry is looked at even if nothing was due: wall clocks are set now and then."""

STORE_PAUSE = 2.0
"""Seconds to wait when the store cannot be read."""


class Expiry:
    """One timer for all invitations, and one task that prunes."""

    def __init__(
        self,
        store: Store,
        lifecycle: Lifecycle,
        limits: LimitsSection,
        clock: Callable[[], float],
        *,
        never_came: float = 0.0,
    ) -> None:
        """``never_came``: seconds after its link was sent that an invitation ends by which nobody has come; 0: none."""
        self._store = store
        self._lifecycle = lifecycle
        self._limits = limits
        self._never_came = never_came
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._pruning: asyncio.Task[None] | None = None
        self._expiring: asyncio.Task[None] | None = None

    def start(self) -> None:
        """End what has expired while we were away, and go on from there."""
        self._pruning = asyncio.get_running_loop().create_task(self._prune())
        self._expire()

    async def close(self) -> None:
        """Stop the timer and the task."""
        if self._timer is not None:
            self._timer.cancel()
        tasks = [task for task in (self._pruning, self._expiring) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def arm(self, expires_at: float) -> None:
        """See to it that the timer goes off at this wall time at the latest."""
        if self._timer is not None:
            if self._timer_at <= expires_at:
                return
            self._timer.cancel()
        delay = min(max(expires_at - self._clock(), 0.0), LONGEST_TIMER)
        self._timer_at = expires_at
        self._timer = asyncio.get_running_loop().call_later(delay, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._expiring is None:
            self._expiring = asyncio.get_running_loop().create_task(self._expire_due())

    async def _expire_due(self) -> None:
        upcoming: float | None = self._clock() + STORE_PAUSE
        try:
            await self._end(await self._store.expired(self._clock()), "expired")
            upcoming = await self._store.next_expiry()
            if self._never_came:
                await self._end(await self._store.never_came(self._clock() - self._never_came), "never-came")
                upcoming = _earlier(upcoming, await self._next_never_came())
        except StoreError as error:
            log.warning("expiry: %s", error)
        except Exception:
            log.exception("expiry failed, and is tried again")
        self._expiring = None
        if upcoming is not None:
            self.arm(upcoming)

    async def _end(self, due: Sequence[Invited], reason: str) -> None:
        if due:
            await self._lifecycle.end(due, reason)
        for item in due:
            self._lifecycle.wake(item.account.id)

    async def _next_never_came(self) -> float | None:
        sent_at = await self._store.next_never_came()
        return None if sent_at is None else sent_at + self._never_came

    async def _prune(self) -> None:
        limits = self._limits
        while True:
            now = self._clock()
            with contextlib.suppress(StoreError):
                while await self._store.prune(now - limits.events_age, limits.events_count, now - limits.tombstone_age):
                    pass
                while await self._store.forget_history(now - limits.history_age):
                    pass
            await asyncio.sleep(PRUNE_INTERVAL)


def _earlier(one: float | None, other: float | None) -> float | None:
    """Return the earlier of two times that there may be."""
    return other if one is None else one if other is None else min(one, other)
