"""Brings queued links to their people: some at once by each channel, again and again until it is through or too late,
then by the next channel.

Nobody gets a link twice, with one exception: when it is not known whether an attempt got through (the process died in
it, or the answer of the server was lost), it is repeated once, with the same Message-ID.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping

from gateway.backoff import pause
from gateway.config.delivery import DeliverySection
from gateway.delivery.base import AnsweringDriver, DeliveryDriver, DeliveryOrder, ReceiptDriver, StartingDriver
from gateway.delivery.links import short_link, without_password
from gateway.delivery.receipts import Receipts
from gateway.delivery.words import Wording, shipped
from gateway.drivers import DriverError
from gateway.inviterfeed import InviterFeeds, notice
from gateway.secrets import Sealer, SecretsError
from gateway.storage.deliverystore import DeliveryResult
from gateway.storage.errors import StoreError
from gateway.storage.invitationstore import DeliveryRecord, Invited
from gateway.storage.store import Store

log = logging.getLogger("rcsgw.delivery")

LONGEST_SLEEP = 60.0
"""Seconds after which the queue is looked at even if nobody has called."""

SHORTEST_SLEEP = 0.05
"""Seconds between two looks at what is due by the clock."""

STORE_PAUSE = 2.0
"""Seconds to wait when the store cannot be read."""

LONGEST_ATTEMPT = 600.0
"""Seconds after which a driver is taken for stuck; those that come with the gateway have shorter timeouts."""

MAX_DOUBTFUL = 2
"""Attempts of one delivery that may have got through without our knowing: one, and its repetition."""

IN_DOUBT = "it may have arrived all the same; resend it if not"


class DeliveryWorker:
    """Owns one task, and one for each link that is on its way; the queue is a table of the store."""

    def __init__(
        self,
        store: Store,
        config: DeliverySection,
        channels: Mapping[str, DeliveryDriver],
        sealer: Sealer,
        feeds: InviterFeeds,
        clock: Callable[[], float],
        *,
        public_url: str = "",
        wording: Wording | None = None,
        typed_password: bool = False,
    ) -> None:
        """``public_url`` is where short links begin; ``typed_password``: links carry none, the texts say it."""
        self.channels = channels
        self.receipts = Receipts(store, feeds, clock)
        self.receipts.on_change = self.wake
        self._public_url = public_url
        self._wording = wording or shipped()
        self._typed_password = typed_password
        self._store = store
        self._config = config
        self._sealer = sealer
        self._feeds = feeds
        self._clock = clock
        self._wakeup = asyncio.Event()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._busy: Counter[str] = Counter()
        """Channel → links on their way by it."""
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Open the channels, and begin with what is queued."""
        for name, driver in self.channels.items():
            if isinstance(driver, ReceiptDriver):
                driver.on_receipt = self.receipts.of(name)
            if isinstance(driver, AnsweringDriver):
                driver.receipts_stored = self.receipts.written
            if isinstance(driver, StartingDriver):
                await driver.start()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self, timeout: float = 5.0) -> None:
        """Let the links that are on their way get through, for ``timeout`` seconds; no new ones."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=timeout)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self.receipts.close()

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
        now = self._clock()
        await self._store.forget_links(now)
        for channel in await self._store.due_channels(now):
            # those that are running are due, too: so many hold at least one that is not
            for invited in await self._store.due_deliveries(now, channel, self._config.parallel):
                if self._busy[channel] < self._config.parallel and invited.invitation.id not in self._running:
                    self._start(invited, channel)
        # what is due and has not been started waits for the end of one that runs, which wakes us
        upcoming = await self._store.next_delivery(now)
        return LONGEST_SLEEP if upcoming is None else min(max(upcoming - now, SHORTEST_SLEEP), LONGEST_SLEEP)

    def _start(self, invited: Invited, channel: str) -> None:
        invitation_id = invited.invitation.id
        task = asyncio.get_running_loop().create_task(self._deliver(invited))
        self._running[invitation_id] = task
        self._busy[channel] += 1

        def done(_: asyncio.Task[None]) -> None:
            del self._running[invitation_id]
            self._busy[channel] -= 1
            self.wake()

        task.add_done_callback(done)

    async def _deliver(self, invited: Invited) -> None:
        delivery = invited.delivery
        assert delivery is not None
        number = self.receipts.begin(delivery.channel)
        try:
            if delivery.doubtful >= MAX_DOUBTFUL:
                await self._note(invited, _interrupted(delivery))
            elif await self._store.begin_delivery(delivery.invitation_id, delivery.message_id, delivery.channel):
                await self._note(invited, await self._attempt(invited, delivery))
        except StoreError as error:
            log.warning("%s: the delivery waits for the store: %s", invited.account.uri, error)
            await asyncio.sleep(STORE_PAUSE)
        finally:
            self.receipts.end(delivery.channel, number)

    async def _attempt(self, invited: Invited, delivery: DeliveryRecord) -> DeliveryResult:
        """Hand the link to its channel; return what came of it."""
        channel = delivery.channel
        try:
            driver = self.channels.get(channel)
            if driver is None:
                raise DriverError(f"There is no channel {channel}.", temporary=False)
            order = self._order(invited, delivery)
            async with asyncio.timeout(LONGEST_ATTEMPT):
                references = await driver.send(order)
        except DriverError as error:
            return self._failed(invited, delivery, error)
        except SecretsError as error:
            return self._failed(invited, delivery, DriverError(str(error), temporary=False))
        except Exception as error:
            log.exception("channel %s", channel)
            return self._failed(invited, delivery, DriverError(type(error).__name__, temporary=True, certain=False))
        until = self._clock() + self._config.receipt_wait
        return DeliveryResult(
            delivery.invitation_id, delivery.message_id, channel, "sent", next_at=until, references=tuple(references)
        )

    def _order(self, invited: Invited, delivery: DeliveryRecord) -> DeliveryOrder:
        invitation, password = invited.invitation, ""
        assert delivery.sealed_link is not None
        link = self._sealer.open(delivery.sealed_link, invited.account.uri)
        short = short_link(self._public_url, link)
        if self._typed_password:
            link, password = without_password(link)
            short = link
        words = self._wording.words(invitation.language, self._config.language)
        return DeliveryOrder(
            address=delivery.address,
            link=link,
            password=password,
            language=words.language,
            inviter=invitation.name or invitation.sip.partition(":")[2],
            types=invitation.types,
            until=invitation.expires_at,
            note=invitation.note,
            message_id=delivery.message_id,
            short_link=short,
            words=words,
        )

    def _failed(self, invited: Invited, delivery: DeliveryRecord, error: DriverError) -> DeliveryResult:
        """Return what an error leads to: another attempt, or the end of this channel, or of the delivery."""
        next_at = self._clock() + pause(delivery.attempts + 1, self._config.retry)
        deadline = delivery.queued_at + self._config.deadline(delivery.channel)
        again = error.temporary and next_at < min(deadline, invited.invitation.expires_at)
        give_up = not error.certain and delivery.doubtful + 1 >= MAX_DOUBTFUL
        return DeliveryResult(
            delivery.invitation_id,
            delivery.message_id,
            delivery.channel,
            "queued" if again and not give_up else "failed",
            next_at=next_at,
            error=f"{error}; {IN_DOUBT}" if give_up else str(error),
            doubtful=not error.certain,
            give_up=give_up,
        )

    async def _note(self, invited: Invited, result: DeliveryResult) -> None:
        """Write what came of an attempt, and tell the inviter when that is news."""
        uri, now = invited.account.uri, self._clock()
        log.info("%s: delivery by %s: %s", uri, result.channel, f"{result.state} {result.error}".rstrip())
        while True:
            try:
                events = await self._store.delivery_result(result, now, lambda invited: notice(invited, now))
            except StoreError as error:
                # to the store the link is still queued: without this it would go out again and again
                log.error("%s: the outcome of the delivery is not stored: %s", uri, error)
                if self._closing:
                    return
                await asyncio.sleep(STORE_PAUSE)
            else:
                self._feeds.publish(events)
                return


def _interrupted(delivery: DeliveryRecord) -> DeliveryResult:
    """Return the end of a delivery during which the process died as often as can be borne."""
    return DeliveryResult(
        delivery.invitation_id,
        delivery.message_id,
        delivery.channel,
        "failed",
        error=f"the gateway stopped in the middle of it; {IN_DOUBT}",
        doubtful=True,
        give_up=True,
    )
