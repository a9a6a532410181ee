"""The gateway behind the HTTP face, as far as these tests need one: everything is kept in lists and dicts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gateway.config.settings import HttpSection, ThrottleSection
from gateway.deliveryservices import LinkService, ReportService
from gateway.fileservices import ContentService
from gateway.http.app import HttpServer
from gateway.http.page import WEB
from gateway.services import (
    Ended,
    EventFeed,
    GuestAccess,
    Inviter,
    NoRelation,
    NotAuthenticated,
    NotFound,
    Services,
    TooManyRequests,
)
from sipstack.trace import Trace
from tests.gateway.http.delivery_fakes import MEMORY_LINKS, MEMORY_REPORTS
from tests.gateway.http.file_fakes import MemoryContents, MemoryFiles
from translators.model import (
    ComposingRequest,
    DeliveryView,
    Event,
    InvitationView,
    InviteRequest,
    InviterView,
    LoginAnswer,
    LookupAnswer,
    MessageAnswer,
    MessageRequest,
    Messages,
    MessageView,
    ReceiptRequest,
    StatusAnswer,
    format_time,
)

ACCOUNT = "sip:b@cc.com"
SECRET = "0123456789abcdef0123456789abcdef"


def basic(user: str, password: str) -> dict[str, str]:
    """Return the Authorization header of these credentials."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


GUEST = basic("b@cc.com", SECRET)
INVITER = basic("a", "pässwörd:1")
NOW = format_time(1_760_000_000.0)


def message_view(text: str, number: int = 1) -> MessageView:
    return MessageView(
        id=f"m{number}",
        from_="sip:a@cc.com",
        to=ACCOUNT,
        direction="in",
        message=text,
        state="delivered",
        at=NOW,
        uid="a",
    )


def message_event(cursor: int, text: str = "hi") -> Event:
    return Event(cursor=cursor, kind="message", at=NOW, message=message_view(text, cursor))


class Feed:
    """Events of one account; ``oldest`` is the cursor of the first one that is still kept."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.oldest = 1
        self.listeners: list[Callable[[Event | None], None]] = []
        self.max_listeners = 3
        self.reads = 0
        self.error: Exception | None = None

    def latest(self) -> int:
        return self.events[-1].cursor if self.events else 0

    async def read(self, after: int, limit: int = 100) -> Sequence[Event] | None:
        self.reads += 1
        if self.error is not None:
            raise self.error
        if after + 1 < self.oldest:
            return None
        return [event for event in self.events if event.cursor > after][:limit]

    def subscribe(self, listener: Callable[[Event | None], None]) -> Callable[[], None]:
        if len(self.listeners) >= self.max_listeners:
            raise TooManyRequests("Too many streams.", retry_after=5)
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def publish(self, text: str = "hi") -> Event:
        event = message_event(self.latest() + 1, text)
        self.events.append(event)
        for listener in list(self.listeners):
            listener(event)
        return event

    def end(self) -> None:
        for listener in list(self.listeners):
            listener(None)


class Guest:
    """gateway.services.GuestAccess."""

    def __init__(self, account: str = ACCOUNT) -> None:
        self.account = account
        self.events = Feed()
        self.feed: EventFeed = self.events
        self.files = MemoryFiles()
        self.sent: list[tuple[MessageRequest, str | None]] = []
        self.asked: list[Any] = []
        self.error: Exception | None = None
        self.state: Any = "sent"
        self.keys: list[str | None] = []
        """Of all attempts to send, refused ones too."""
        self.answers_at_once = asyncio.Event()
        self.answers_at_once.set()
        self.message_id = ""
        """Of what is sent; else the key is."""
        self.logged_out = 0

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    async def status(self, inviter: str) -> StatusAnswer:
        self._fail()
        self.asked.append(inviter)
        if inviter not in ("a", "sip:a@cc.com"):
            raise NoRelation(f"{inviter} has not invited this guest.")
        return StatusAnswer(sip="sip:a@cc.com", uid="a", status="online", services=["im"], at=NOW)

    async def send(self, request: MessageRequest, key: str | None) -> MessageAnswer:
        self.keys.append(key)
        self._fail()
        self.sent.append((request, key))
        await self.answers_at_once.wait()
        return MessageAnswer(id=self.message_id or key or request.id or "m1", state=self.state)

    def composing(self, request: ComposingRequest) -> None:
        self._fail()
        self.asked.append((request.to, request.state))

    async def receipt(self, request: ReceiptRequest) -> None:
        self._fail()
        self.asked.append(request.id)

    async def messages(self, peer: str | None, before: int | None, limit: int) -> Messages:
        self.asked.append((peer, before, limit))
        return Messages(messages=[message_view("one", 1), message_view("two\nlines", 2)], before=1)

    async def logout(self) -> None:
        self.logged_out += 1


class Guests:
    """gateway.services.GuestService."""

    def __init__(self) -> None:
        self.guest = Guest()
        self.inviters = [InviterView(uid="a", sip="sip:a@cc.com", types=["im"], until=NOW, name="Alice <&>")]
        self.headers: dict[str, Guest] = {}
        self.logins: list[tuple[str, str, str]] = []
        self.checks: list[tuple[str, str, str]] = []
        self.ended = False
        self.single_use = False
        self.error: Exception | None = None

    async def login(self, account: str, secret: str, client: str) -> LoginAnswer:
        self.logins.append((account, secret, client))
        self._check(account, secret)
        return LoginAnswer(account=account, expires_at=NOW, inviters=self.inviters)

    def known(self, authorization: str) -> GuestAccess | None:
        return self.headers.get(authorization)

    async def authenticate(self, authorization: str, account: str, secret: str, client: str) -> GuestAccess:
        self.checks.append((account, secret, client))
        self._check(account, secret)
        self.headers[authorization] = self.guest
        return self.guest

    def _check(self, account: str, secret: str) -> None:
        if self.error is not None:
            raise self.error
        if (account, secret) != (ACCOUNT, SECRET):
            raise NotAuthenticated("Account or secret is wrong.")
        if self.ended:
            raise Ended("The inviter revoked the invitation.")


class Inviters:
    """gateway.services.InviterService."""

    def __init__(self) -> None:
        self.checks: list[tuple[str, str, str]] = []
        self.calls: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        self.state: Any = "active"
        self.known: Any = "yes"
        self.events = Feed()

    async def authenticate(self, user_id: str, password: str, address: str) -> Inviter:
        self.checks.append((user_id, password, address))
        if user_id not in ("a", "sip:a@cc.com") or password != "pässwörd:1":
            raise NotAuthenticated("Account or password is wrong.")
        return Inviter("a", "sip:a@cc.com")

    def _called(self, *call: Any) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    def _view(self, account: str = ACCOUNT) -> InvitationView:
        return InvitationView(
            account=account,
            identifier="b@cc.com",
            state=self.state,
            types=["im"],
            created_at=NOW,
            valid_until=NOW,
            delivery=DeliveryView(channel="email", state="queued"),
        )

    async def lookup(self, inviter: Inviter, identifier: str) -> LookupAnswer:
        self._called("lookup", identifier)
        return LookupAnswer(
            identifier=identifier, known=self.known, sip="sip:b@cc.com" if self.known == "yes" else None
        )

    async def invite(self, inviter: Inviter, request: InviteRequest) -> InvitationView:
        self._called("invite", request)
        return self._view()

    async def list(self, inviter: Inviter) -> list[InvitationView]:
        self._called("list")
        return [self._view(), self._view("sip:c@cc.com")]

    async def resend(self, inviter: Inviter, account: str) -> InvitationView:
        self._called("resend", account)
        return self._view(account)

    async def revoke(self, inviter: Inviter, account: str) -> None:
        self._called("revoke", account)
        if account != ACCOUNT:
            raise NotFound("You have no such invitation.")

    async def logout(self, inviter: Inviter) -> int:
        self._called("logout")
        return 2

    def feed(self, inviter: Inviter) -> Feed:
        return self.events


class Health:
    """gateway.services.Health."""

    def __init__(self) -> None:
        self.checks = {"core": "ok", "store": "ok"}
        self.asked = 0

    async def ready(self) -> dict[str, str]:
        self.asked += 1
        await asyncio.sleep(0.01)
        return self.checks


@dataclass(slots=True)
class House:
    """A running HTTP face, what is behind it, and a client in front."""

    server: HttpServer
    client: aiohttp.ClientSession
    guests: Guests
    inviters: Inviters
    health: Health

    @property
    def guest(self) -> Guest:
        return self.guests.guest


@asynccontextmanager
async def running(
    *,
    http: dict[str, Any] | None = None,
    throttle: ThrottleSection | None = None,
    trace: Trace | None = None,
    web_dir: Path | None = None,
    public_url: str = "",
    ssl: Any = True,
    content: ContentService | None = None,
    links: LinkService | None = MEMORY_LINKS,
    reports: ReportService | None = MEMORY_REPORTS,
    single_use: bool = False,
) -> AsyncIterator[House]:
    """Run the HTTP face on a free port of the loopback."""
    guests, inviters, health = Guests(), Inviters(), Health()
    guests.single_use = single_use
    server = HttpServer(
        Services(inviters, guests, health, content or MemoryContents(), links, reports),
        HttpSection(**{"listen": "127.0.0.1:0", **(http or {})}),
        throttle or ThrottleSection(),
        public_url=public_url,
        trace=trace,
        web_dir=web_dir or WEB,
    )
    await server.start()
    connector = aiohttp.TCPConnector(ssl=ssl)
    try:
        async with aiohttp.ClientSession(server.url, connector=connector, raise_for_status=False) as client:
            yield House(server, client, guests, inviters, health)
    finally:
        await server.close()
