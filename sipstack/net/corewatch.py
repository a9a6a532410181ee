"""Asks the servers of a core now and then whether they are there, so that no request of a user has to find out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from sipstack.errors import ConnectionClosed, SipstackError
from sipstack.net.lookup import Target
from sipstack.sip.message import Request
from sipstack.sip.outages import Place
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.endpoint import Endpoint

logger = logging.getLogger(__name__)

LEAST_PAUSE = 0.25
"""Seconds between two rounds, whatever happens: a server that closes each connection must not be asked all the time."""

ANSWER_TIMEOUT = 4.0
"""Seconds that a server has for the answer to an OPTIONS; it needs some milliseconds."""


class CoreWatch:
    """Sends OPTIONS to every server that the outbound proxies have, every ``interval`` seconds, and at once when a
    connection to one is gone or a request to it has failed. A core of one server is not asked: there is no other.

    ``on_change`` is called when a server is gone, or there again, or when DNS names others; and once more soon after.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        proxies: tuple[Uri, ...],
        make_request: Callable[[], Request],
        *,
        interval: float,
        on_change: Callable[[], None],
    ) -> None:
        """``make_request`` makes an OPTIONS outside of any dialog, without Route."""
        self._endpoint = endpoint
        self._proxies = proxies
        self._make_request = make_request
        self._interval = interval
        self._on_change = on_change
        self._wake = asyncio.Event()
        self._places: dict[Place, bool] = {}
        self._is_unsettled = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the endpoint has to be up."""
        self._endpoint.locator.on_change = self._wake.set
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End."""
        self._endpoint.locator.on_change = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        for place in self._places:
            self._endpoint.locator.leave(self, place)

    def flow_failed(self) -> None:
        """Look at once (:class:`~sipstack.net.locator.FlowUser`)."""
        self._wake.set()

    @property
    def places(self) -> dict[Place, bool]:
        """The servers, and whether each takes requests, as far as is known."""
        return dict(self._places)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._look()
            except Exception:
                logger.exception("looking at the core failed")
            await asyncio.sleep(min(LEAST_PAUSE, self._interval))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._wake.wait()

    async def _look(self) -> None:
        targets = await self._targets()
        if len(targets) > 1:
            await asyncio.gather(*map(self._ask, targets.values()))
        locator, now = self._endpoint.locator, self._endpoint.timers.time()
        # What one round of questions has brought up is no news for the next.
        self._wake.clear()
        self._follow({place: locator.outages.of(place, now) is None for place in targets})

    async def _targets(self) -> dict[Place, Target]:
        locator = self._endpoint.locator
        targets: dict[Place, Target] = {}
        for proxy in self._proxies:
            try:
                servers = await locator.servers(proxy)
            except ConnectionClosed as error:
                logger.warning("%s: %s", proxy, error)
                continue
            targets.update({target.place: target for server in servers for target in server.targets})
        return targets

    async def _ask(self, target: Target) -> None:
        """Send an OPTIONS. Any answer shows that the server is there; one that wants to be left alone is."""
        locator, place = self._endpoint.locator, target.place
        outage = locator.outages.of(place, self._endpoint.timers.time())
        if outage is not None and outage.is_busy:
            return
        try:
            response = await self._endpoint.request(
                self._make_request(), route=target.flow, timeout=min(ANSWER_TIMEOUT, self._interval)
            )
        except SipstackError as error:
            logger.debug("%s %s:%d: %s", *place, error)
            locator.died(place)
            return
        locator.heard(place, response)

    def _follow(self, places: dict[Place, bool]) -> None:
        """Take what is known now; tell what of it is new."""
        before, self._places = self._places, places
        locator = self._endpoint.locator
        for place in before.keys() - places.keys():
            locator.leave(self, place)
        for place in places.keys() - before.keys():
            locator.use(self, place)
        changed = [place for place, works in places.items() if before.get(place, True) != works]
        for place in changed:
            told = "is there again" if places[place] else "takes no requests"
            logger.warning("%s %s:%d of the core %s", *place, told)
        is_other_core = bool(before and places) and before.keys() != places.keys()
        # Once more after the next look, for those whose registration was just under way.
        was_unsettled, self._is_unsettled = self._is_unsettled, bool(changed) or is_other_core
        if self._is_unsettled or was_unsettled:
            self._on_change()
