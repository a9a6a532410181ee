"""Log-ins a second: each an HTTP call, a REGISTER with digest at the core and a commit, beside bare registrations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gateway.lab.bench.message import Rates, Tick
from gateway.lab.bench.network import PASSWORD, basic, network
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.useragent import Identity, SilentAgent, UserAgent
from sipstack.sip.digest import Credentials
from sipstack.sip.uri import Uri

PARALLEL = 32


async def login_rates(folder: Path, count: int, tick: Tick) -> Rates:
    """Log ``count`` guests in, then register as many bindings at the same core by bare user agents."""
    async with network(folder) as net:
        guests = await net.invite([f"guest{number}@example.com" for number in range(count)])

        async def login(account: str, secret: str) -> None:
            url = f"{net.url}/rcsgw/invitee/session/{account}"
            answer = await net.session.post(url, headers={"Authorization": basic(account, secret)})
            if answer.status != 200:
                raise RuntimeError(f"{account}: {answer.status} {await answer.text()}")
            tick()

        gateway = await rate([partial(login, *guest) for guest in guests.values()])
        return Rates(gateway, await bare_rate(net.proxy, count, tick))


async def bare_rate(proxy: str, count: int, tick: Tick) -> float:
    """Return the registrations a second that user agents without a gateway reach."""
    async with Endpoint(EndpointConfig(msrp=False)) as endpoint:
        identity = Credentials.from_password("a", PASSWORD)
        agents = [
            UserAgent(
                endpoint,
                Identity(Uri.parse("sip:a@cc.com"), identity),
                domain=Uri.parse("sip:cc.com"),
                outbound_proxy=Uri.parse(proxy),
                handler=SilentAgent(),
            )
            for _ in range(count)
        ]

        async def register(agent: UserAgent) -> None:
            await agent.register()
            tick()

        return await rate([partial(register, agent) for agent in agents])


Job = Callable[[], Coroutine[Any, Any, None]]


async def rate(jobs: Sequence[Job]) -> float:
    """Run jobs, some at a time; return how many a second."""
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(PARALLEL)))
    return len(jobs) / (time.perf_counter() - started)
