"""What the gateway keeps about links on their way (:class:`gateway.storage.invitationstore.DeliveryRecord`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.storage.entrystore import InviterEvent
from gateway.storage.invitationstore import Announce, Invited

STOPPED = "stopped: the invitation has ended"
"""Why a link was not sent that nobody needs any more."""


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What came of one attempt."""

    invitation_id: int
    message_id: str
    channel: str
    state: Literal["sent", "queued", "failed"]
    """``queued``: to be tried again. ``failed``: the next channel is tried, if there is one."""
    next_at: float = 0.0
    """See :attr:`gateway.storage.invitationstore.DeliveryRecord.next_at`."""
    error: str = ""
    references: tuple[str, ...] = ()
    """What receipts will name it by."""
    doubtful: bool = False
    """It may have got through all the same."""
    give_up: bool = False
    """No other channel may be tried either."""


class DeliveryStore(Protocol):
    """The part of :class:`gateway.storage.store.Store` about deliveries."""

    async def due_channels(self, now: float) -> list[str]:
        """Return the channels that have something to do now."""

    async def due_deliveries(self, now: float, channel: str, limit: int) -> list[Invited]:
        """Return invitations whose link may be tried by a channel now, the longest waiting first."""

    async def next_delivery(self, now: float) -> float | None:
        """Return when, after now, there is something to do next: a link to be tried, or to be forgotten."""

    async def begin_delivery(self, invitation_id: int, message_id: str, channel: str) -> bool:
        """Note that an attempt begins; False: there is nothing to deliver any more, or not this."""

    async def delivery_result(self, result: DeliveryResult, now: float, announce: Announce) -> list[InviterEvent]:
        """Note what came of an attempt. A delivery that was replaced or stopped meanwhile is left alone."""

    async def delivery_receipt(
        self, channel: str, reference: str, error: str | None, now: float, announce: Announce
    ) -> list[InviterEvent] | None:
        """Note a receipt for one part: it was delivered, or failed with ``error``. None: nobody waits for this one."""

    async def forget_links(self, now: float) -> None:
        """Forget the links of deliveries whose receipts have been waited for long enough."""
