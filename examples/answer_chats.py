"""Register, accept every chat, and say everything back in capitals until stopped.

python examples/answer_chats.py sip:core.example sip:bob@example.com PASSWORD
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

from sipstack.net.chat import ChatHandler, ChatMessage, ChatSession
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.useragent import AgentHandler, Identity, IncomingInvitation, UserAgent
from sipstack.sip.digest import Credentials
from sipstack.sip.registration import RegistrationEvent
from sipstack.sip.uri import Uri


class Shouter(AgentHandler, ChatHandler):
    """Answers chats and messages."""

    def registration_changed(self, agent: UserAgent, event: RegistrationEvent) -> None:
        """Show what the registrar says."""
        sys.stdout.write(f"{type(event).__name__}\n")

    def chat_invited(self, agent: UserAgent, invitation: IncomingInvitation) -> None:
        """Accept."""
        invitation.answer(self)

    def chat_message(self, chat: ChatSession, message: ChatMessage) -> None:
        """Answer in capitals."""
        message.accept()
        chat.send(message.text.upper())


async def main(core: str, aor: str, password: str) -> None:
    """Answer until cancelled."""
    uri = Uri.parse(aor)
    identity = Identity(uri, Credentials.from_password(uri.user or "", password))
    async with Endpoint(EndpointConfig()) as endpoint:
        domain = Uri("sip", host=uri.host)
        proxy = Uri.parse(core)
        async with UserAgent(endpoint, identity, domain=domain, outbound_proxy=proxy, handler=Shouter()):
            await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:4]))
