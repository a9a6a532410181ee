"""Messages: answers 200 ``sent`` a second, beside a bare aiohttp handler that parses the same JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from gateway.lab.bench import load
from gateway.lab.bench.network import basic, module, network
from gateway.lab.processes import Children

PATH = "/rcsgw/invitee/message"
GUESTS = 8
SENT = (b" 200 OK\r\n", b'"sent"')


async def gateway_rate(folder: Path, seconds: float, connections: int, tick: Callable[[], None]) -> load.Result:
    """Return what the gateway does: every answer after the peer's 200 and the commit."""
    async with network(folder) as net:
        guests = await net.invite([f"guest{number}@example.com" for number in range(GUESTS)])
        requests = []
        for account, secret in guests.values():
            authorization = basic(account, secret)
            login = await net.session.post(
                f"{net.url}/rcsgw/invitee/session/{account}", headers={"Authorization": authorization}
            )
            if login.status != 200:
                raise RuntimeError(await login.text())
            requests.append(load.post(PATH, authorization, message_body()))
        await load.run(*net.address, [load.for_seconds(request, 0.5) for request in requests], SENT)
        takes = [load.for_seconds(requests[number % GUESTS], seconds, tick) for number in range(connections)]
        return await load.run(*net.address, takes, SENT)


async def baseline_rate(folder: Path, seconds: float, connections: int, tick: Callable[[], None]) -> load.Result:
    """Return what the bare handler does."""
    async with Children(folder) as children:
        places = await (await children.start("baseline", module("gateway.lab.bench.baseline"))).ready()
        host, _, port = places["http"].rpartition(":")
        request = load.post(PATH, basic("sip:guest@cc.com", "0" * 32), message_body())
        await load.run(host, int(port), [load.for_seconds(request, 0.5)] * 4, SENT)
        return await load.run(
            host, int(port), [load.for_seconds(request, seconds, tick) for _ in range(connections)], SENT
        )


def message_body() -> bytes:
    """Return the JSON of a message as people write them."""
    text = "Shall we meet at the station at half past seven? The train leaves from platform 4."
    return json.dumps({"to": "sip:a@cc.com", "message": text}).encode()
