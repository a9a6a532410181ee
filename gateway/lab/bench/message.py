"""Messages and statuses: answers a second, beside a bare aiohttp handler of the same form."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.lab.bench import load
from gateway.lab.bench.network import Network, basic, module, network
from gateway.lab.processes import Children

PATH = "/rcsgw/invitee/message"
GUESTS = 8
TURNS = 4
WARM_UP = 0.5
"""Seconds before anything counts."""

Tick = Callable[[], None]
"""Called at each request."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Answers a second."""

    gateway: float
    baseline: float


async def message_rates(folder: Path, seconds: float, connections: int, tick: Tick) -> Rates:
    """Return answers 200 ``sent`` (each after the peer's 200 and the commit) beside the bare handler's."""

    def request(authorization: str) -> bytes:
        return load.post(PATH, authorization, message_body())

    return await _rates(folder, seconds, connections, tick, request, (b" 200 OK\r\n", b'"sent"'))


async def status_rates(folder: Path, seconds: float, connections: int, tick: Tick) -> Rates:
    """Return status answers beside the bare handler's; the network is asked once for all of them."""

    def request(authorization: str) -> bytes:
        return load.get("/rcsgw/invitee/status/sip:a@cc.com", authorization)

    return await _rates(folder, seconds, connections, tick, request, (b" 200 OK\r\n", b'"online"'))


async def _rates(
    folder: Path,
    seconds: float,
    connections: int,
    tick: Tick,
    make_request: Callable[[str], bytes],
    expected: Sequence[bytes],
) -> Rates:
    """Measure gateway and baseline in turns, so that a machine that gets slower slows both."""
    async with network(folder) as net, Children(folder) as children:
        places = await (await children.start("baseline", module("gateway.lab.bench.baseline"))).ready()
        host, _, port = places["http"].rpartition(":")
        requests = [make_request(authorization) for authorization in await log_in(net, GUESTS)]
        sides = {"gateway": net.address, "baseline": (host, int(port))}
        totals = {side: load.Result(0, 0, 0.0) for side in sides}
        for turn in range(1 + TURNS):  # the first warms up
            for side, address in sides.items():
                length = seconds / TURNS if turn else WARM_UP
                takes = [load.for_seconds(requests[number % GUESTS], length, tick) for number in range(connections)]
                result = await load.run(*address, takes, expected)
                if result.wrong:
                    raise RuntimeError(
                        f"{side}: {result.wrong} wrong answers: {result.sample.decode('utf-8', 'replace')}"
                    )
                if turn:
                    totals[side].add(result)
        return Rates(totals["gateway"].per_second, totals["baseline"].per_second)


async def log_in(net: Network, count: int) -> list[str]:
    """Invite guests and log them in; return their Authorization values."""
    found = []
    guests = await net.invite([f"guest{number}@example.com" for number in range(count)])
    for account, secret in guests.values():
        authorization = basic(account, secret)
        url = f"{net.url}/rcsgw/invitee/session/{account}"
        answer = await net.session.post(url, headers={"Authorization": authorization})
        if answer.status != 200:
            raise RuntimeError(await answer.text())
        found.append(authorization)
    return found


def message_body() -> bytes:
    """Return the JSON of a message as people write them."""
    text = "Shall we meet at the station at half past seven? The train leaves from platform 4."
    return json.dumps({"to": "sip:a@cc.com", "message": text}).encode()
