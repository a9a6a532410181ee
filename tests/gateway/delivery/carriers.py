"""Channels that do what a test says, and a gateway with several of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gateway.delivery.base import DeliveryOrder, DeliveryReceipt
from gateway.drivers import DriverError
from tests.gateway.invitation_helpers import ALICE, CONFIG, House
from translators.model import DeliveryView, InviteRequest

PHONE = "+4915112345678"

SLOW = CONFIG.replace("first = 0.01\nlongest = 0.02\ndeadline = 60\n", "").replace(
    "[delivery.retry]\n", "[delivery.retry]\nfirst = 60\nlongest = 600\ndeadline = 3600\n"
)
"""Pauses that a test passes by setting the clock forward."""


class Carrier:
    """Delivery driver with receipts; ``answers`` says what the next orders lead to, the last of them all others."""

    def __init__(self, *answers: DriverError | Sequence[str]) -> None:
        self.answers = list(answers) or [()]
        self.orders: list[DeliveryOrder] = []
        self.on_receipt: Callable[[DeliveryReceipt], None] | None = None
        self.started: list[bool] = []
        """For each start: was it known by then whom to tell of receipts?"""
        self.early: list[DeliveryReceipt] = []
        """Receipts that are here before the answer to the order."""
        self.gate: asyncio.Event | None = None
        """Orders wait for it."""

    async def start(self) -> None:
        self.started.append(self.on_receipt is not None)

    async def send(self, order: DeliveryOrder) -> tuple[str, ...]:
        self.orders.append(order)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        for receipt in self.early:
            self.tell(receipt)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(answer, DriverError):
            raise answer
        return tuple(answer)

    def tell(self, receipt: DeliveryReceipt) -> None:
        assert self.on_receipt is not None
        self.on_receipt(receipt)

    async def report(self, query: Mapping[str, str], content_type: str, body: bytes) -> tuple[int, str, bytes]:
        if "id" not in query:
            return 400, "text/plain", b"no id"
        self.tell(arrived(query["id"]))
        return 200, "text/plain", b"ok"

    async def close(self) -> None:
        pass


def arrived(reference: str) -> DeliveryReceipt:
    return DeliveryReceipt(reference, "delivered")


def lost(reference: str, text: str = "absent subscriber") -> DeliveryReceipt:
    return DeliveryReceipt(reference, "failed", text)


def refused(text: str = "no such number") -> DriverError:
    return DriverError(text, temporary=False)


def busy(text: str = "busy") -> DriverError:
    return DriverError(text, temporary=True)


def unanswered() -> DriverError:
    return DriverError("no answer", temporary=True, certain=False)


class Carriers(House):
    """A gateway that reaches phones by ``sms`` and ``mms``."""

    def __init__(self, folder: Path, text: str = SLOW, **overrides: object) -> None:
        super().__init__(folder, text, **overrides)
        self.sms, self.mms = Carrier(), Carrier()
        self.channels |= {"sms": self.sms, "mms": self.mms}

    async def invite(self, **fields: object) -> str:
        """Invite a phone; return the account."""
        view = await self.invitations.invite(ALICE, InviteRequest(phone=PHONE, **fields))  # type: ignore[arg-type]
        return view.account

    def later(self, seconds: float) -> None:
        """Set the clock forward."""
        self.ahead += seconds
        self.invitations._worker.wake()

    async def delivery(self) -> DeliveryView:
        """Return what the inviter sees of the only invitation."""
        (view,) = await self.invitations.list(ALICE)
        assert view.delivery is not None
        return view.delivery

    async def reaches(self, channel: str, state: str, *, error: str | None = None, attempts: int = 1) -> DeliveryView:
        """Wait for a state of the delivery."""
        async with asyncio.timeout(5):
            while True:
                view = await self.delivery()
                if (view.channel, view.state, view.error, view.attempts) == (channel, state, error, attempts):
                    return view
                await asyncio.sleep(0.005)

    async def settled(self) -> None:
        """Wait until no link is on its way, all receipts are written, and nothing is due."""
        worker = self.invitations._worker
        async with asyncio.timeout(5):
            while worker._running or worker._wakeup.is_set() or await self.store.due_channels(self.clock()):
                await asyncio.sleep(0.005)
            await worker.receipts.written()

    async def die(self) -> None:
        """End like a process that is killed: nothing that is under way is finished or noted."""
        worker = self.invitations._worker
        for task in [*worker._running.values()]:
            task.cancel()
        await asyncio.gather(*worker._running.values(), return_exceptions=True)
        await self.stop()

    async def news(self) -> list[tuple[str, str, str | None]]:
        """Return channel, state and error of the delivery in all events of the inviter, repetitions left out."""
        told: list[tuple[str, str, str | None]] = []
        for event in await self.invitations.feed(ALICE).read(0) or ():
            view = event.invitation.delivery if event.invitation is not None else None
            if view is not None and (not told or told[-1] != (view.channel, view.state, view.error)):
                told.append((view.channel, view.state, view.error))
        return told
