"""Inviters who are suspended or lost while their invitations run: looked for now and then, where policy wants it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway.drivers import DriverError
from gateway.lifecycle import Lifecycle
from gateway.looking import Looking
from gateway.storage.errors import StoreError
from gateway.storage.store import Store
from gateway.users.base import STATES_AT_ONCE, StateUsers

log = logging.getLogger("rcsgw.invitations")

REASONS = {"suspended": "inviter-suspended", "lost": "inviter-lost"}
"""Why invitations end, by the state of who has made them."""


class Standing(Looking):
    """Asks for the states of all who have invitations, and ends those of the suspended and the lost.

    A round takes ``interval`` seconds; its calls, of at most :data:`STATES_AT_ONCE` subscribers each, are spread over
    that time.
    """

    def __init__(self, store: Store, lifecycle: Lifecycle, users: StateUsers, interval: float) -> None:
        super().__init__()
        self._store = store
        self._lifecycle = lifecycle
        self._users = users
        self._interval = interval

    async def _run(self) -> None:
        while True:
            try:
                uids = await self._store.inviters()
            except StoreError as error:
                log.warning("who has invitations: %s", error)
                uids = []
            parts = [uids[start : start + STATES_AT_ONCE] for start in range(0, len(uids), STATES_AT_ONCE)] or [[]]
            for part in parts:
                await self._look(part)
                await asyncio.sleep(self._interval / len(parts))

    async def _look(self, uids: Sequence[str]) -> None:
        """Look after some inviters; what fails is tried again in the next round."""
        try:
            await self.check(uids)
        except (DriverError, StoreError) as error:
            log.warning("the states of %d inviters: %s", len(uids), error)
        except Exception:
            log.exception("the states of inviters")

    async def check(self, uids: Sequence[str]) -> None:
        """End the invitations of those who may not have any more. Who is no subscriber any more counts as lost.

        Raises DriverError, StoreError; nothing ends when the UP Center does not answer.
        """
        if not uids:
            return
        states = await self._users.states(uids)
        for uid in uids:
            reason = REASONS.get(states.get(uid, "lost"))
            if reason is None:
                continue
            ending = await self._store.invitations(uid=uid, states=("preparing", "active"))
            if ending:
                await self._lifecycle.end(ending, reason)
            for item in ending:
                self._lifecycle.wake(item.account.id)
