"""The one interface to what the gateway keeps. Every method is one whole transaction.

Times are wall time, Unix seconds. Coroutines return after the commit; the two hot calls, :meth:`Store.append` and
:meth:`Store.set_state`, return at once and call back on the event loop after the commit of the batch they were in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.storage.accountstore import AccountStore
from gateway.storage.deliverystore import DeliveryStore
from gateway.storage.entrystore import EntryStore
from gateway.storage.filestore import FileStore
from gateway.storage.historystore import HistoryStore
from gateway.storage.invitationstore import InvitationStore
from gateway.storage.leasestore import LeaseStore


class Store(AccountStore, InvitationStore, DeliveryStore, EntryStore, FileStore, LeaseStore, HistoryStore, Protocol):
    """Everything durable. Coroutines raise :class:`gateway.storage.errors.StoreError` when nothing could be kept or
    read."""

    on_pressure: Callable[[bool], None] | None
    """Called on the loop with True when too much waits for the disk, with False when that is over."""

    async def open(self) -> None:
        """Open the file, bring its schema up to date, start the writer."""

    async def close(self) -> None:
        """Write what waits, then close."""

    async def ping(self) -> None:
        """Prove that a transaction can be committed."""
