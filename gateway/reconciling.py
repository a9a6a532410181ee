"""Looks now and then whether anything has been forgotten: by us, or by the core and the interaction servers."""

from __future__ import annotations

import asyncio
import logging

from gateway.audit import Auditor
from gateway.drivers import DriverError
from gateway.lifecycle import Lifecycle
from gateway.looking import Looking
from gateway.storage.errors import StoreError
from gateway.storage.store import Store

log = logging.getLogger("rcsgw.accounts")


class Reconciling(Looking):
    """At the start and then every ``interval`` seconds (0: only at the start). One round makes one call at a time."""

    def __init__(self, store: Store, lifecycle: Lifecycle, auditor: Auditor, interval: float) -> None:
        super().__init__()
        self._store = store
        self._lifecycle = lifecycle
        self._auditor = auditor
        self._interval = interval

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except (DriverError, StoreError) as error:
                log.warning("store, core and servers were not compared: %s", error)
            except Exception:
                log.exception("store, core and servers were not compared")
            if not self._interval:
                return
            await asyncio.sleep(self._interval)

    async def look(self) -> None:
        """Wake what sleeps and should not, and make known again what others have forgotten.

        Orphans elsewhere are only told of: deleting them is for an operator to decide (``rcsgw accounts audit --fix``).
        Raises DriverError, StoreError.
        """
        unsettled = await self._store.invitations(states=("preparing", "ending"))
        idle = {item.account.id for item in unsettled}
        idle.update(account.id for account in await self._store.uninvited_accounts())
        for account_id in idle:
            self._lifecycle.go_on(account_id)
        comparison = await self._auditor.compare()
        left = await self._auditor.fix(comparison.findings, orphans=False)
        orphans = sum(finding.kind == "orphan" for finding in left)
        if orphans:
            log.warning("%d accounts elsewhere belong to nobody: see rcsgw accounts audit", orphans)
