"""What operators want done while the gateway runs: they write it into the store."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.looking import Looking
from gateway.services import ServiceError
from gateway.storage.errors import StoreError
from gateway.storage.historystore import Order
from gateway.storage.store import Store

if TYPE_CHECKING:
    from gateway.invitations import Invitations

log = logging.getLogger("rcsgw.accounts")

LOOK_INTERVAL = 1.0
"""Seconds between two looks for orders: one read of a table that is nearly always empty."""


class Orders(Looking):
    """Carries out what ``rcsgw accounts`` has ordered, also while we were away. Orders are done one after the other."""

    def __init__(self, store: Store, invitations: Invitations) -> None:
        super().__init__()
        self._store = store
        self._invitations = invitations

    async def _run(self) -> None:
        while True:
            try:
                for order in await self._store.orders():
                    await self._store.finish_order(order.id, await self.carry_out(order))
            except StoreError as error:
                log.warning("orders of operators: %s", error)
            await asyncio.sleep(LOOK_INTERVAL)

    async def carry_out(self, order: Order) -> str:
        """Do it; return in a sentence what came of it."""
        log.info("%s: to be %sd, an operator says", order.account, order.kind)
        try:
            if order.kind == "purge":
                return await self._invitations.purge_for_operator(order.account)
            return await self._invitations.revoke_for_operator(order.account, order.uid)
        except (ServiceError, StoreError) as error:
            return f"It failed: {error}"
        except Exception as error:
            log.exception("%s of %s failed", order.kind, order.account)
            return f"It failed: {error!r}"
