"""Register, open a chat, send one message and print what became of it.

python examples/send_message.py sip:core.example sip:alice@example.com PASSWORD sip:bob@example.com "Hello Bob"
"""

from __future__ import annotations

import asyncio
import sys

from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.useragent import Identity, UserAgent
from sipstack.sip.digest import Credentials
from sipstack.sip.uri import Uri


async def main(core: str, aor: str, password: str, peer: str, text: str) -> str:
    """Send ``text`` and return the state of the message: ``sent``, ``failed`` or ``unknown``."""
    uri = Uri.parse(aor)
    identity = Identity(uri, Credentials.from_password(uri.user or "", password))
    async with Endpoint(EndpointConfig()) as endpoint:
        domain = Uri("sip", host=uri.host)
        async with UserAgent(endpoint, identity, domain=domain, outbound_proxy=Uri.parse(core)) as agent:
            async with await agent.invite(Uri.parse(peer), timeout=30) as chat:
                return (await chat.deliver(text)).state.value


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(main(*sys.argv[1:6])) + "\n")
