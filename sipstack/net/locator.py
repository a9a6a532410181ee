"""Finds the targets of a URI for callers that cannot wait, and remembers which of them do not work."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, Self

from sipstack.errors import ConnectionClosed
from sipstack.flow import Flow
from sipstack.net.resolver import TARGET_LIMIT, Resolver, Servers, Target
from sipstack.sip.message import Response
from sipstack.sip.outages import Outages, Place
from sipstack.sip.registration_rules import Pacer
from sipstack.sip.spread import Server, spread
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.config import EndpointConfig

DEAD_TIME = 30.0
"""Seconds for which a target that failed is passed over, unless it is asked and answers before."""

LONGEST_PAUSE = 600.0
"""Seconds of a Retry-After that are obeyed at most: a slip of the pen must not take a core away for a day."""

RECOVERY_PACE = 200.0
"""Registrations a second after the failure of a flow that many use: :rfc:`5626#section-4.5` wants no avalanche."""

Use = Callable[[Servers], None]
Fail = Callable[[ConnectionClosed], object]
Key = Callable[[], str | None]
"""Asked for whom a request is only where there is a choice of servers."""


class FlowUser(Protocol):
    """Who wants to know when a flow is dead."""

    def flow_failed(self) -> None:
        """A connection there is gone, or its keep-alive is not answered."""


class Locator:
    """A :class:`~sipstack.net.resolver.Resolver` with callbacks; owns the look-ups that are under way.

    ``proxies`` stand for each other: whoever asks for the first is given the servers of all, in equal shares.
    ``on_change`` is called when a target fails, or answers again; ``users`` tells who uses flows to which place.
    """

    __slots__ = ("_proxies", "_tasks", "dead_time", "on_change", "outages", "pacer", "resolver", "users")

    def __init__(self, resolver: Resolver, proxies: tuple[Uri, ...] = (), dead_time: float = DEAD_TIME) -> None:
        self.resolver = resolver
        self.dead_time = dead_time
        self.outages = Outages()
        self._proxies = proxies if len(proxies) > 1 else ()
        self.on_change: Callable[[], None] | None = None
        self.users: dict[Place, set[FlowUser]] = {}
        self.pacer = Pacer(RECOVERY_PACE)
        """Whose turn it is to make a new flow when one that many use has failed."""
        # what is under way
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, config: EndpointConfig, resolver: Resolver | None) -> Self:
        """Return a locator as ``config`` wants it; ``resolver`` replaces the one that it describes."""
        resolver = resolver or Resolver(
            transports=config.transports, families=config.families, name_servers=config.name_servers
        )
        return cls(resolver, config.proxies, config.dead_time)

    # finding

    def find(self, uri: Uri, use: Use, fail: Fail) -> None:
        """Call ``use`` with the servers of ``uri``: from in here for addresses and for names that were looked up
        lately, later for others. ``fail`` is later."""
        try:
            servers = self.servers_now(uri)
        except ConnectionClosed as error:
            asyncio.get_running_loop().call_soon(fail, error)
            return
        if servers is not None:
            use(servers)
            return
        self.spawn(self._look_up(uri, use, fail))

    def servers_now(self, uri: Uri) -> Servers | None:
        """Return the servers of ``uri``, None when DNS has to be asked. Raise ConnectionClosed when there are none."""
        if not self._proxies or uri != self._proxies[0]:
            return self.resolver.servers_now(uri)
        found = [self.resolver.servers_now(proxy) for proxy in self._proxies]
        known = [servers for servers in found if servers is not None]
        return self._joined(known) if len(known) == len(found) else None

    async def servers(self, uri: Uri) -> Servers:
        """Return the servers of ``uri``. Raise ConnectionClosed when there are none."""
        if not self._proxies or uri != self._proxies[0]:
            return await self.resolver.servers(uri)
        found = await asyncio.gather(*map(self.resolver.servers, self._proxies), return_exceptions=True)
        known = [servers if isinstance(servers, tuple) else () for servers in found]
        if not any(known):
            raise ConnectionClosed("none of the outbound proxies has an address", certain=True)
        return self._joined(known)

    def arrange(self, servers: Servers, key: Key) -> list[Target]:
        """Return the targets of ``servers`` in the order to try them, the dead ones last; none when all want to be left
        alone. ``key`` tells for whom: each has an order of their own, which stays."""
        targets = _ordered(servers, key)
        return self.outages.arrange(targets, _now()) if self.outages else targets

    def arrange_all(self, servers: Servers, key: Key) -> list[Target]:
        """Return the same with those that want to be left alone, too: for what has to go out."""
        return self.arrange(servers, key) or _ordered(servers, key)

    def first(self, uri: Uri, key: Key) -> Target | None:
        """Return where a request to ``uri`` would go now; None when that is not known, or nowhere."""
        try:
            servers = self.servers_now(uri)
        except ConnectionClosed:
            return None
        targets = self.arrange(servers, key) if servers is not None else ()
        return targets[0] if targets else None

    def pause(self, servers: Servers) -> int:
        """Return the seconds for which all targets of ``servers`` want to be left alone."""
        targets = [target for server in servers for target in server.targets]
        return math.ceil(self.outages.pause(targets, _now()))

    def _joined(self, found: Iterable[Servers]) -> Servers:
        """Return the servers of all proxies: what is best at each of them counts the same."""
        joined = []
        for proxy, servers in zip(self._proxies, found, strict=True):
            for place, server in enumerate(sorted(servers, key=lambda server: server.rank)):
                targets = tuple(replace(target, route=proxy) for target in server.targets)
                joined.append(Server(targets, server.name, (place,), 1))
        return tuple(joined)

    async def _look_up(self, uri: Uri, use: Use, fail: Fail) -> None:
        try:
            servers = await self.servers(uri)
        except ConnectionClosed as error:
            fail(error)
        else:
            use(servers)

    # what has become of targets

    def heard(self, place: Place, response: Response) -> None:
        """Take the first response of a target: it is there, or it wants to be left alone."""
        if response.status == 503 and response.retry_after is not None:
            self.refused(place, response.retry_after.seconds)
        else:
            self.answered(place)

    def answered(self, place: Place) -> None:
        """Take the news that a target is there."""
        if self.outages and self.outages.answered(place) and self.on_change is not None:
            self.on_change()

    def died(self, place: Place) -> None:
        """Take the news that nothing comes through to a target."""
        now = _now()
        if self.outages.died(place, now, now + self.dead_time) and self.on_change is not None:
            self.on_change()

    def refused(self, place: Place, seconds: int) -> None:
        """Take the news that a target wants to be left alone for so long."""
        now = _now()
        if self.outages.refused(place, now, now + min(seconds, LONGEST_PAUSE)) and self.on_change is not None:
            self.on_change()

    def flow_failed(self, flow: Flow) -> None:
        """Take the news that a connection is gone, or that its keep-alive is not answered."""
        for user in tuple(self.users.get((flow.transport, *flow.remote), ())):
            user.flow_failed()

    def use(self, user: FlowUser, place: Place) -> None:
        """Tell ``user`` when flows to ``place`` fail."""
        self.users.setdefault(place, set()).add(user)

    def leave(self, user: FlowUser, place: Place) -> None:
        """Tell ``user`` no more."""
        users = self.users.get(place, set())
        users.discard(user)
        if not users:
            self.users.pop(place, None)

    # tasks

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` as a task that :meth:`close` ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Call off what is under way; neither callback comes any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.resolver.close()


def _ordered(servers: Servers, key: Key) -> list[Target]:
    if len(servers) == 1 and len(servers[0].targets) == 1:
        return list(servers[0].targets)
    return spread(servers, key())[:TARGET_LIMIT]


def _now() -> float:
    return asyncio.get_running_loop().time()
