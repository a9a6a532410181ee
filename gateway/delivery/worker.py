"""Brings queued links to their people: some at once, each again and again until it is through or too late."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from gateway.backoff import pause
from gateway.delivery.base import DeliveryDriver, DeliveryOrder
from gateway.delivery.links import without_password
from gateway.drivers import DriverError
from gateway.driversettings import DeliverySection
from gateway.inviterfeed import InviterFeeds, notice
from gateway.secrets import Sealer, SecretsError
from gateway.storage.store import DeliveryRecord, Invited, Store, StoreError

log = logging.getLogger("rcsgw.delivery")

LONGEST_SLEEP = 60.0
"""Seconds after which the queue is looked at even if nobody has called."""

STORE_PAUSE = 2.0
"""Seconds to wait when the store cannot be read."""


class DeliveryWorker:
    """Owns one task; the queue is a table of the store."""

    def __init__(
        self,
        store: Store,
        config: DeliverySection,
        channels: Mapping[str, DeliveryDriver],
        sealer: Sealer,
        feeds: InviterFeeds,
        clock: Callable[[], float],
        *,
        typed_password: bool = False,
    ) -> None:
        self.channels = channels
        self._typed_password = typed_password
        self._store = store
        self._config = config
        self._sealer = sealer
        self._feeds = feeds
        self._clock = clock
        self._wakeup = asyncio.Event()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with what is queued."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self, timeout: float = 5.0) -> None:
        """Let the mails that are on their way get through, for ``timeout`` seconds; no new ones."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def wake(self) -> None:
        """Look at the queue: there is something new in it."""
        self._wakeup.set()

    async def _run(self) -> None:
        while True:
            self._wakeup.clear()
            try:
                wait = await self._start_due()
            except StoreError as error:
                log.warning("the queue of deliveries cannot be read: %s", error)
                wait = STORE_PAUSE
            try:
                async with asyncio.timeout(wait):
                    await self._wakeup.wait()
            except TimeoutError:
                pass

    async def _start_due(self) -> float:
        """Start what is due and fits; return the seconds until there is something to do."""
        free = self._config.parallel - len(self._running)
        now = self._clock()
        due = await self._store.due_deliveries(now, self._config.parallel)
        for invited in due:
            if free > 0 and invited.invitation.id not in self._running:
                free -= 1
                self._start(invited)
        upcoming = await self._store.next_delivery()
        if self._running or upcoming is None:
            return LONGEST_SLEEP  # an end of one that runs wakes us
        return min(max(upcoming - now, 0.05), LONGEST_SLEEP)

    def _start(self, invited: Invited) -> None:
        invitation_id = invited.invitation.id
        task = asyncio.get_running_loop().create_task(self._deliver(invited))
        self._running[invitation_id] = task

        def done(_: asyncio.Task[None]) -> None:
            del self._running[invitation_id]
            self.wake()

        task.add_done_callback(done)

    async def _deliver(self, invited: Invited) -> None:
        delivery = invited.delivery
        assert delivery is not None and delivery.sealed_link is not None
        error: DriverError | None = None
        try:
            driver = self.channels.get(delivery.channel)
            if driver is None:
                raise DriverError(f"There is no channel {delivery.channel}.", temporary=False)
            await driver.send(self._order(invited, delivery, delivery.sealed_link))
        except DriverError as caught:
            error = caught
        except SecretsError as caught:
            error = DriverError(str(caught), temporary=False)
        except Exception as caught:
            log.exception("channel %s", delivery.channel)
            error = DriverError(f"{type(caught).__name__}", temporary=True)
        await self._note(invited, delivery, error)

    def _order(self, invited: Invited, delivery: DeliveryRecord, sealed_link: bytes) -> DeliveryOrder:
        invitation, password = invited.invitation, ""
        link = self._sealer.open(sealed_link, invited.account.uri)
        if self._typed_password:
            link, password = without_password(link)
        return DeliveryOrder(
            address=delivery.address,
            link=link,
            password=password,
            language=invitation.language,
            inviter=invitation.name or invitation.sip.partition(":")[2],
            types=invitation.types,
            until=invitation.expires_at,
            note=invitation.note,
            message_id=delivery.message_id,
        )

    async def _note(self, invited: Invited, delivery: DeliveryRecord, error: DriverError | None) -> None:
        """Write what came of an attempt, and tell the inviter when that is news."""
        now = self._clock()
        before = delivery.error
        delivery.error = str(error) if error is not None else ""
        next_at = 0.0
        if error is None:
            delivery.state = "sent"
        else:
            next_at = now + pause(delivery.attempts + 1, self._config.retry)
            in_time = next_at < min(delivery.queued_at + self._config.retry.deadline, invited.invitation.expires_at)
            delivery.state = "queued" if error.temporary and in_time else "failed"
        outcome = f"{delivery.state} {delivery.error}".rstrip()
        log.info("%s: delivery by %s: %s", invited.account.uri, delivery.channel, outcome)
        news = notice(invited, now) if delivery.state != "queued" or delivery.error != before else None
        while True:
            try:
                events = await self._store.delivery_result(
                    invited.invitation.id, delivery.message_id, delivery.state, next_at, delivery.error, news
                )
            except StoreError as caught:
                # to the store the link is still queued: without this it would go out again and again
                log.error("%s: the outcome of the delivery is not stored: %s", invited.account.uri, caught)
                await asyncio.sleep(STORE_PAUSE)
            else:
                self._feeds.publish(events)
                return
