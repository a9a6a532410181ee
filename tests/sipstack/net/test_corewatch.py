"""Several servers of a core: which of them is there, and who registers where."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from gateway.lab.ports import free_port
from sipstack import ids
from sipstack.net import corewatch
from sipstack.net.corewatch import CoreWatch
from sipstack.net.endpoint import Endpoint
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.digest import Credentials
from sipstack.sip.message import Request
from sipstack.sip.registration import Pacer
from sipstack.sip.uri import Uri

from .helpers import Core, endpoint_config, until

GUESTS = 12
FAST_PACE = 1000.0


class Nodes:
    """Two cores at fixed ports that can be killed and started again, an endpoint with guests, and who watches."""

    def __init__(self) -> None:
        self.ports = [free_port("127.0.0.1") for _ in range(2)]
        self.cores: list[Core | None] = [None, None]
        self.proxies = tuple(Uri.parse(f"sip:127.0.0.1:{port};transport=tcp;lr") for port in self.ports)
        config = endpoint_config(msrp=False, proxies=self.proxies, dead_time=30.0)
        self.endpoint = Endpoint(config)
        self.pacer = Pacer(FAST_PACE)
        self.agents: list[UserAgent] = []
        self.changes = 0
        self.watch = CoreWatch(self.endpoint, self.proxies[:1], options, interval=0.05, on_change=self._changed)

    def _changed(self) -> None:
        self.changes += 1
        for agent in self.agents:
            agent.move(self.pacer)

    async def start(self, number: int) -> Core:
        endpoint = Endpoint(endpoint_config(msrp=False, bind_port=self.ports[number]))
        await endpoint.start()
        core = self.cores[number] = Core(endpoint)
        return core

    async def kill(self, number: int) -> None:
        core, self.cores[number] = self.cores[number], None
        if core is not None:
            await core.endpoint.close()

    def served(self) -> list[int]:
        """Return how many guests have their last registration at each node."""
        homes = [agent._binding.home for agent in self.agents if agent._binding is not None]
        return [sum(home is not None and home.port == port for home in homes) for port in self.ports]


def options() -> Request:
    headers = [
        ("From", f"<sip:gw@ims.example>;tag={ids.tag()}"),
        ("To", "<sip:ims.example>"),
        ("Call-ID", ids.call_id()),
        ("CSeq", "1 OPTIONS"),
    ]
    return Request("OPTIONS", "sip:ims.example", headers)


@asynccontextmanager
async def nodes() -> AsyncIterator[Nodes]:
    """Start both nodes, register guests, watch."""
    around = Nodes()
    async with AsyncExitStack() as stack:
        for number in range(2):
            await around.start(number)
            stack.push_async_callback(around.kill, number)
        await stack.enter_async_context(around.endpoint)
        for number in range(GUESTS):
            name = f"guest{number}"
            identity = Identity(
                Uri.parse(f"sip:{name}@ims.example"), Credentials.from_password(name, f"secret of {name}")
            )
            agent = UserAgent(
                around.endpoint,
                identity,
                domain=Uri.parse("sip:ims.example"),
                outbound_proxy=around.proxies[0],
            )
            await agent.register()
            around.agents.append(agent)
        around.watch.start()
        stack.push_async_callback(around.watch.close)
        yield around


async def test_guests_move_when_a_node_dies_and_spread_again_when_it_is_back() -> None:
    async with nodes() as around:
        before = around.served()
        assert min(before) > 0 and sum(before) == GUESTS
        await around.kill(0)
        await until(lambda: around.served() == [0, GUESTS])
        assert all(agent.registered for agent in around.agents)
        core = await around.start(0)
        await until(lambda: around.served() == before)
        # each under the name of the node that it goes to
        registers = [request for request in core.requests if request.method == "REGISTER"]
        assert {str(request.routes[0].uri) for request in registers} == {str(around.proxies[0])}
        assert around.changes >= 2


async def test_a_lost_connection_is_looked_into_at_once() -> None:
    async with nodes() as around:
        around.watch._interval = 3600.0
        around.watch._wake.set()
        await until(lambda: len(around.watch.places) == 2)
        await around.kill(1)
        await until(lambda: around.served() == [GUESTS, 0])
        assert sorted(around.watch.places.values()) == [False, True]


async def test_who_was_left_without_any_node_registers_when_one_is_back() -> None:
    async with nodes() as around:
        for number in range(2):
            await around.kill(number)
        await until(lambda: list(around.watch.places.values()) == [False, False])
        agent = around.agents[0]
        with pytest.raises(Exception, match="REGISTER could not be delivered"):
            await agent.register()
        assert not agent.registered
        await around.start(1)
        await until(lambda: agent.registered)


async def test_a_node_that_wants_to_be_left_alone_is() -> None:
    async with nodes() as around:
        core = around.cores[0]
        assert core is not None
        busy = core

        def refuse(transaction: Any, request: Request) -> bool:
            busy.requests.append(request)
            busy.endpoint.reply(transaction, 503, headers=[("Retry-After", "60")])
            return True

        core.endpoint.on_request = refuse
        await until(lambda: around.served() == [0, GUESTS])
        core.requests.clear()
        seen = len(around.cores[1].requests) if around.cores[1] is not None else 0
        await until(lambda: around.cores[1] is not None and len(around.cores[1].requests) > seen + 2)
        assert core.requests == []


async def test_a_core_of_one_server_is_not_asked() -> None:
    async with nodes() as around:
        other = CoreWatch(
            around.endpoint, (Uri.parse("sip:127.0.0.1:9;lr"),), options, interval=0.01, on_change=lambda: None
        )
        other.start()
        await until(lambda: other.places == {("UDP", "127.0.0.1", 9): True})
        await other.close()
        nameless = CoreWatch(around.endpoint, (Uri.parse("tel:+1"),), options, interval=0.01, on_change=lambda: None)
        nameless.start()
        await nameless._look()
        assert nameless.places == {}
        await nameless.close()


async def test_one_round_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that closes each connection at once is not asked without a pause."""
    monkeypatch.setattr(corewatch, "LEAST_PAUSE", 0.05)
    async with Endpoint(endpoint_config(msrp=False)) as endpoint:
        watch = CoreWatch(endpoint, (), options, interval=3600.0, on_change=lambda: None)
        rounds: list[float] = []

        async def look() -> None:
            rounds.append(endpoint.timers.time())
            watch.flow_failed()

        monkeypatch.setattr(watch, "_look", look)
        watch.start()
        await until(lambda: len(rounds) >= 3)
        await watch.close()
        assert rounds[2] - rounds[0] > 0.09
