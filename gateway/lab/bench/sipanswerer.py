"""Our endpoint with one user agent, which answers OPTIONS as those of the gateway do."""

from __future__ import annotations

import asyncio
import sys

from gateway.lab.run import loop_factory, ready
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.uri import Uri

HOST = "127.0.0.1"


async def main(port: int) -> None:
    """Serve until killed."""
    async with Endpoint(EndpointConfig(bind_host=HOST, bind_port=port, msrp=False)) as endpoint:
        UserAgent(endpoint, Identity(endpoint.uri("bench")), domain=Uri("sip", host=HOST))
        ready("sipanswerer", sip=(HOST, port))
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(int(sys.argv[1])))
