"""Being told of registrations by the core: of our own (B-REG-08), or of somebody else's where the core allows it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from sipstack.errors import ParseError
from sipstack.im.reginfo import REGINFO, AorInfo, RegInfo, RegistrationTable
from sipstack.net.subscriber import Subscriber
from sipstack.sip.subscription import SubscriptionEnded
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.useragent import UserAgent

logger = logging.getLogger(__name__)

EVENT = "reg"


class RegistrationWatch:
    """Puts together what NOTIFY tells of the registrations of one address-of-record (:rfc:`3680#section-5.2`).

    ``on_change`` gets what a document says, when :attr:`table` knows it already; ``on_end`` that nothing is told any
    more, and when that will be tried again.
    """

    __slots__ = ("_on_change", "_on_end", "_subscriber", "table", "target")

    def __init__(
        self,
        agent: UserAgent,
        target: Uri,
        on_change: Callable[[tuple[AorInfo, ...]], None],
        on_end: Callable[[SubscriptionEnded], None],
    ) -> None:
        self.target = target
        self.table = RegistrationTable()
        self._on_change = on_change
        self._on_end = on_end
        self._subscriber = Subscriber(
            agent, target, event=EVENT, accept=REGINFO, on_notify=self._notified, on_end=self._ended
        )

    @property
    def active(self) -> bool:
        """Whether the core tells us what happens."""
        return self._subscriber.active

    def start(self) -> None:
        """Subscribe, unless that has been done."""
        self._subscriber.start()

    def stop(self) -> None:
        """Hear no more of it."""
        self._subscriber.stop()

    def _notified(self, body: bytes) -> None:
        try:
            document = RegInfo.parse(body)
        except ParseError as error:
            logger.warning("NOTIFY about %s: %s", self.target, error)
            return
        was_stale = self.table.is_stale
        said = self.table.receive(document)
        if self.table.is_stale and not was_stale:
            self._subscriber.refresh()  # once: who sends no full state then will not the next time either
        if said:
            self._on_change(said)

    def _ended(self, ended: SubscriptionEnded) -> None:
        self.table = RegistrationTable()  # versions are counted within a subscription
        self._on_end(ended)
