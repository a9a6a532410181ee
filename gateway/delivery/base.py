"""The seam to what carries a link to a person.

A channel's driver takes an order and hands it over to the next server. Where that server tells later what became of it,
the driver also is a :class:`ReceiptDriver`; where it tells by calling us over HTTP, it is one of :class:`HttpReceipts`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from gateway.delivery.words import Words

ReceiptState = Literal["delivered", "failed"]


@dataclass(frozen=True, slots=True)
class DeliveryOrder:
    """One link to one person."""

    address: str
    """E-mail address, or number in E.164."""
    link: str = field(repr=False)
    language: str
    inviter: str
    """Name of the inviter, or their identity where they have none."""
    types: tuple[str, ...]
    until: float
    """When the invitation ends, Unix seconds."""
    note: str
    """The inviter's own words, may be empty."""
    message_id: str
    """The same for every attempt of a channel, so that a second copy can be recognised."""
    password: str = field(default="", repr=False)
    """What to type behind the link; empty where the link carries it."""
    short_link: str = field(default="", repr=False)
    """A short address that leads to the link, for what has room for a few characters only."""
    words: Words | None = field(default=None, repr=False)
    """What ``gateway.delivery.texts`` fills; None: what the gateway brings along for ``language``."""


@dataclass(frozen=True, slots=True)
class DeliveryReceipt:
    """What became of a part of an order, as the other side tells it."""

    reference: str
    """One of those that :meth:`DeliveryDriver.send` has returned."""
    state: ReceiptState
    text: str = ""
    """Why it failed, in the other side's words."""


class DeliveryDriver(Protocol):
    """Carries links by one channel."""

    async def send(self, order: DeliveryOrder) -> tuple[str, ...]:
        """Hand the link over to the next server; returns when it has taken it. Raises DriverError.

        Returns the references by which receipts will name the order: one for each part, unique within the channel for
        as long as receipts may come; none where no receipt will come.
        """

    async def close(self) -> None:
        """Let go of what the driver holds."""


@runtime_checkable
class StartingDriver(Protocol):
    """A driver that keeps something open, such as a session by which receipts come."""

    async def start(self) -> None:
        """Begin; called once, before the first :meth:`DeliveryDriver.send`, after ``on_receipt`` has been set.

        A server that does not answer now is no error: the driver goes on trying.
        """


@runtime_checkable
class ReceiptDriver(Protocol):
    """A driver that hears what became of its orders."""

    on_receipt: Callable[[DeliveryReceipt], None] | None
    """Called on the event loop with each receipt; set before the first order. It returns at once and raises nothing;
    receipts may come late, twice, before ``send`` has returned, and for orders of an earlier process."""


@runtime_checkable
class AnsweringDriver(Protocol):
    """A driver that answers receipts itself and can have them repeated."""

    receipts_stored: Callable[[], Awaitable[None]] | None
    """Returns when the receipts that were given to ``on_receipt`` so far are in the store: only then are they answered;
    set together with ``on_receipt``."""


@runtime_checkable
class HttpReceipts(Protocol):
    """A driver whose server calls ``/rcsgw/delivery/{channel}/{token}`` of the public listener with receipts."""

    async def report(self, query: Mapping[str, str], content_type: str, body: bytes) -> tuple[int, str, bytes]:
        """Take a call, by GET (the body is empty) or POST; return status, media type and body of the answer.

        What can be used of it goes to ``on_receipt``. Raises nothing for what cannot: it answers with a 4xx status.
        """
