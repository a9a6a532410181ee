"""A's phone, the first client: an ordinary RCS chat client on sipstack's UserAgent, in few lines.

It registers, says what it can, takes chats and answers them. How it behaves is a value that may change at any time, so
that a test can have a peer that declines, never answers or hangs up in the middle. As a program see
:mod:`gateway.lab.phonecli`.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Self

from gateway.lab.behaviour import Behaviour
from gateway.lab.cutter import Cutter
from gateway.lab.pages import NO_SESSIONS, Pages, SentPage
from gateway.lab.phonefiles import Files
from gateway.lab.phonelinks import Links
from gateway.lab.phonelog import PhoneEvent, PhoneLog
from gateway.lab.phonenotices import Notices
from gateway.lab.phoneoptions import PhoneOptions
from sipstack import ids
from sipstack.errors import RemoteProtocolError, RequestFailed, SipstackError
from sipstack.flow import HostPort
from sipstack.msrp.message import OutgoingMessage
from sipstack.net.chat import ChatHandler, ChatSession
from sipstack.net.chatmessage import ChatMessage
from sipstack.net.endpoint import Endpoint
from sipstack.net.fileoffer import IncomingFile
from sipstack.net.invitation import IncomingInvitation, IncomingPage
from sipstack.net.useragent import AgentHandler, Identity, UserAgent
from sipstack.sip.digest import Credentials
from sipstack.sip.registration import Registered, RegistrationEvent, RegistrationFailed, Unregistered
from sipstack.sip.uri import Uri
from sipstack.trace import Trace

__all__ = ["Behaviour", "Phone", "PhoneEvent", "PhoneOptions", "echo", "explain"]

logger = logging.getLogger(__name__)

ECHO_LIMIT = 2000
"""Characters that the echo repeats; of a longer message it tells the length."""


class Phone(PhoneLog, AgentHandler, ChatHandler):
    """One phone with its own endpoint: start, then use :attr:`chats`, :meth:`say`, :meth:`hang_up`."""

    def __init__(
        self,
        options: PhoneOptions | None = None,
        *,
        on_event: Callable[[PhoneEvent], None] | None = None,
        trace: Trace | None = None,
    ) -> None:
        # configuration
        self.options = options = options or PhoneOptions()
        self.behaviour = options.behaviour
        # what happened
        super().__init__(on_event)
        self.messages_in = 0
        self.messages_out = 0
        self._lines = 0
        # what stands: chats and unanswered invitations by the peer's address-of-record
        self.chats: dict[str, ChatSession] = {}
        self.invitations: dict[str, IncomingInvitation] = {}
        self.notices = Notices(self)
        self.pages = Pages(self)
        self.files = Files(self, options.folder)
        self.links = Links(self, options.content_server)
        self._calling: dict[str, asyncio.Lock] = {}
        """Peer → held while an INVITE is on its way there, so that there is one at a time."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.endpoint = Endpoint(options.endpoint_config(), trace=trace)
        self.cutter = Cutter(options.host, lambda: self.behaviour.cut_after) if options.cutter else None
        self.agent: UserAgent

    # life

    async def start(self) -> None:
        """Open the sockets and register. RequestFailed, TransactionTimeout or ConnectionClosed when that fails."""
        await self.open()
        await self.go_online()

    async def open(self) -> None:
        """Open the sockets without registering."""
        if self.cutter is not None:
            await self.cutter.start()
            self.endpoint.config.msrp_advertise_port = self.cutter.address[1]
        await self.endpoint.start()
        if self.cutter is not None:
            self.cutter.target = (self.options.host, self.endpoint.hub.port)
        options, aor = self.options, Uri.parse(self.options.aor)
        credentials = Credentials.from_password(options.username or aor.user or "", options.password)
        self.agent = UserAgent(
            self.endpoint,
            Identity(aor, credentials, options.display_name),
            domain=Uri("sip", host=aor.host),
            outbound_proxy=Uri.parse(options.proxy) if options.proxy else None,
            handler=self,
            features=self.pages.features,
            expires=options.expires,
        )

    async def go_online(self) -> None:
        """Register."""
        await self.agent.register()

    async def go_offline(self) -> None:
        """End all chats and the registration; the phone can go online again."""
        await asyncio.gather(*(chat.close() for chat in list(self.chats.values())))
        await self.agent.unregister()

    async def close(self) -> None:
        """End all: chats by BYE, then the registration, then the sockets."""
        for task in self._tasks:
            task.cancel()
        self.notices.close()
        self.pages.close()
        self.files.close()
        await self.links.close()
        if hasattr(self, "agent"):
            await self.agent.close()
        if self.cutter is not None:
            await self.cutter.close()
        await self.endpoint.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def address(self) -> HostPort:
        """Where the phone speaks SIP."""
        return self.endpoint.local

    # what its owner does

    async def call(self, uri: str, *, timeout: float | None = None) -> ChatSession:
        """Return the chat with ``uri``, invited if there is none. Raises as :meth:`UserAgent.invite`."""
        peer = Uri.parse(uri)
        async with self._calling.setdefault(peer.aor, asyncio.Lock()):
            chat = self.chats.get(peer.aor)
            if chat is None:
                chat = await self.agent.invite(peer, self, timeout=timeout)
                self._chat_is_up(peer.aor, chat)
        return chat

    async def say(
        self, uri: str, text: str, content_type: str = "text/plain", *, message_id: str = ""
    ) -> OutgoingMessage | SentPage:
        """Send a message and wait for its fate; opens a chat when there is none, but for a phone without session mode.

        Raises as :meth:`call` and :meth:`UserAgent.message`.
        """
        peer, message_id = Uri.parse(uri).aor, message_id or ids.message_id()
        self.emit("sending", peer, text if content_type == "text/plain" else content_type, message_id)
        message: OutgoingMessage | SentPage
        if self.behaviour.sessions:
            chat = await self.call(uri)
            self.messages_out += 1
            self.notices.said(peer)
            message = await chat.deliver(text, content_type, message_id=message_id, notify=self.notices.asks)
        else:
            self.messages_out += 1
            message = await self.pages.say(uri, text, content_type, message_id)
        self.emit("sent", peer, message.state.value, message_id)
        return message

    async def type(self, uri: str, *, active: bool = True) -> None:
        """Tell a peer that somebody types here, or has stopped; opens a chat when there is none."""
        self.notices.type(await self.call(uri), active=active)

    async def ask(self, uri: str) -> int:
        """Send OPTIONS and return the status. Raises as :meth:`UserAgent.options`."""
        return (await self.agent.options(Uri.parse(uri))).status

    def accept(self, uri: str) -> None:
        """Accept the invitation of a peer; KeyError when there is none."""
        self._accept(self.invitations.pop(Uri.parse(uri).aor))

    def decline(self, uri: str, status: int = 603) -> None:
        """Refuse the invitation of a peer; KeyError when there is none."""
        self.invitations.pop(Uri.parse(uri).aor).reject(status)

    async def hang_up(self, uri: str) -> None:
        """End the chat with a peer; KeyError when there is none."""
        await self.chats[Uri.parse(uri).aor].close()

    def behave(self, **changes: Any) -> None:
        """Change the behaviour; ValueError or TypeError when it makes no sense."""
        if "script" in changes:
            changes["script"] = tuple(changes["script"])
        self.behaviour = replace(self.behaviour, **changes)
        if hasattr(self, "agent"):
            self.agent.features = self.pages.features

    # what it tells its owner

    def state(self) -> dict[str, Any]:
        """Return what stands, for JSON."""
        return {
            "aor": self.options.aor,
            "registered": self.agent.registered,
            "chats": sorted(self.chats),
            "files": [file.view() for file in self.files.all.values()],
            "invitations": sorted(self.invitations),
            "messages_in": self.messages_in,
            "messages_out": self.messages_out,
            "events": self.serial,
            "behaviour": asdict(self.behaviour),
        }

    # sipstack.net.useragent.AgentHandler

    def registration_changed(self, agent: UserAgent, event: RegistrationEvent) -> None:
        """Tell."""
        match event:
            case Registered():
                self.emit("registered", text=", ".join(str(uri) for uri in event.associated_uris))
            case RegistrationFailed(response=response):
                self.emit("registration-failed", text="no answer" if response is None else str(response.status))
            case Unregistered():
                self.emit("unregistered")

    def chat_invited(self, agent: UserAgent, invitation: IncomingInvitation) -> None:
        """Do as the behaviour says."""
        peer, act = invitation.peer.aor, self.behaviour.on_invite
        self.emit("invited", peer)
        if not (self.behaviour.sessions or isinstance(act, int)):
            act = NO_SESSIONS
        if isinstance(act, int):
            invitation.reject(act)
            return
        invitation.on_cancel = self._cancelled
        if act == "accept" and self.behaviour.delay:
            invitation.ring()
            self._spawn(self._accept_later(invitation, self.behaviour.delay))
        elif act == "accept":
            self._accept(invitation)
        else:
            self.invitations[peer] = invitation
            if act != "ignore":
                invitation.ring()

    def file_offered(self, agent: UserAgent, offer: IncomingFile) -> None:
        """Do as the behaviour says."""
        self.files.offered(offer)

    def message_received(self, agent: UserAgent, message: IncomingPage) -> None:
        """Take a SIP MESSAGE."""
        self.pages.received(message)

    async def _accept_later(self, invitation: IncomingInvitation, delay: float) -> None:
        await asyncio.sleep(delay)
        if not invitation.done:
            self._accept(invitation)

    def _accept(self, invitation: IncomingInvitation) -> None:
        try:
            chat = invitation.answer(self)
        except SipstackError as error:
            self.emit("closed", invitation.peer.aor, str(error))
            return
        self._chat_is_up(invitation.peer.aor, chat)

    def _chat_is_up(self, peer: str, chat: ChatSession) -> None:
        self.chats[peer] = chat  # of two, the newest is used for sending (B-CHT-12)
        self.emit("chat", peer)

    def _cancelled(self, invitation: IncomingInvitation) -> None:
        peer = invitation.peer.aor
        if self.invitations.get(peer) is invitation:
            del self.invitations[peer]
        self.emit("cancelled", peer)

    # sipstack.net.chat.ChatHandler

    def chat_message(self, chat: ChatSession, message: ChatMessage) -> None:
        """Do as the behaviour says."""
        try:
            peer, kind = chat.peer.aor, message.content_type
            if self.notices.received(peer, kind, message.body) or self.links.received(
                peer, kind, message.body, message.cpim
            ):
                message.accept()
                return
        except RemoteProtocolError as error:
            message.reject(error.status)
            return
        self.messages_in += 1
        self.notices.heard(peer)
        act = self.behaviour.on_message
        if act == "ignore":
            self.emit("message", chat.peer.aor, message.text, message.message_id)
            return
        if isinstance(act, int):
            message.reject(act)
            return
        message.accept()
        self.emit("message", chat.peer.aor, message.text, message.message_id)
        self.notices.answer(chat, message.cpim)
        text = self.reply_to(message.text, act)
        if act == "hang-up":
            chat.hang_up()
        elif text is not None:
            self._answer(chat, text)

    def reply_to(self, text: str, act: str) -> str | None:
        """Return what the phone says to a text by itself, None when it says nothing."""
        if act == "echo":
            return echo(text)
        if act == "script":
            self._lines += 1
            return self.behaviour.script[(self._lines - 1) % len(self.behaviour.script)]
        return None

    def chat_closed(self, chat: ChatSession, reason: str, error: SipstackError | None) -> None:
        """Forget the chat."""
        for peer, known in list(self.chats.items()):
            if known is chat:
                del self.chats[peer]
        self.emit("closed", chat.peer.aor, reason if error is None else f"{reason}: {error}")

    def _answer(self, chat: ChatSession, text: str) -> None:
        self.messages_out += 1
        peer, message_id = chat.peer.aor, ids.message_id()
        self.emit("sending", peer, text, message_id)
        chat.send(text, message_id=message_id, notify=self.notices.asks, on_done=self._answered, tag=peer)

    def _answered(self, message: OutgoingMessage) -> None:
        self.emit("sent", message.tag, message.state.value, message.message_id)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def echo(text: str) -> str:
    """Return what the echo says to ``text``."""
    if len(text) <= ECHO_LIMIT:
        return f"You said: {text}"
    return f"You said {len(text)} characters, beginning with: {text[:80]}"


def explain(error: Exception) -> str:
    """Return a failure of a request in words for people."""
    if isinstance(error, RequestFailed):
        return f"{error.response.status} {error.response.reason}"
    return str(error) or type(error).__name__


if __name__ == "__main__":
    # by name: the program imports this module, and a cycle of imports is more than a type checker can follow
    importlib.import_module("gateway.lab.phonecli").main()
