"""A whole small network for end-to-end tests: core, IM server, mailbox, A's phones and the gateway, on loopback.

Everything speaks over real sockets; only the processes are joined into one, so that a test can look inside. The core
is the embedded one or Kamailio.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from gateway.app import Gateway
from gateway.config import loads
from gateway.lab.core import Core, CoreOptions
from gateway.lab.imserver import ImServer, ImServerOptions
from gateway.lab.mailbox import Mailbox
from gateway.lab.phone import Behaviour, Phone, PhoneOptions
from sipstack.flow import HostPort
from sipstack.net.tracefile import mask
from sipstack.trace import Record, Trace, WireRecord

DOMAIN = "cc.com"
PASSWORDS = {"a": "alice-pw", "c": "carol-pw"}
NAMES = {"a": "Alice", "c": "Carol"}


class Http:
    """A client of the gateway's HTTP face: JSON or XML, Basic, nothing hidden."""

    def __init__(self, session: aiohttp.ClientSession, base: str, user: str = "", password: str = "") -> None:
        self._session = session
        self._base = base
        self._auth = aiohttp.encode_basic_auth(user, password) if user else None

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, **kwargs: Any
    ) -> Answer:
        """Make one call; ``body`` is sent as JSON unless it is text."""
        sent = {"Accept": "application/json", **(headers or {})}
        if self._auth:
            sent["Authorization"] = self._auth
        data = {"data": body.encode()} if isinstance(body, str) else {"json": body} if body is not None else {}
        started = time.monotonic()
        async with self._session.request(method, self._base + path, headers=sent, **data, **kwargs) as response:
            text = await response.text()
            took = time.monotonic() - started
            json = await response.json(content_type=None) if "json" in response.content_type else None
            return Answer(response.status, dict(response.headers), text, json, took)

    async def get(self, path: str, **kwargs: Any) -> Answer:
        """GET."""
        return await self.call("GET", path, **kwargs)

    async def post(self, path: str, body: Any = None, **kwargs: Any) -> Answer:
        """POST."""
        return await self.call("POST", path, body, **kwargs)

    async def delete(self, path: str, **kwargs: Any) -> Answer:
        """DELETE."""
        return await self.call("DELETE", path, **kwargs)

    async def events(self, path: str = "/rcsgw/invitee/events", after: int = 0, wait: float = 0) -> list[Any]:
        """Return the events behind a cursor by a long poll."""
        answer = await self.get(f"{path}?after={after}&wait={wait}")
        assert answer.status == 200, answer
        events: list[Any] = answer.json["events"]
        return events

    async def wait_for_event(self, matches: Callable[[Any], bool], *, timeout: float = 10.0) -> Any:
        """Poll until an event matches; AssertionError with all that came otherwise."""
        deadline, cursor, seen = time.monotonic() + timeout, 0, []
        while (left := deadline - time.monotonic()) > 0:
            for event in await self.events(after=cursor, wait=min(left, 5)):
                cursor = event["cursor"]
                seen.append(event)
                if matches(event):
                    return event
        raise AssertionError(f"no such event within {timeout} s; seen: {seen}")


@dataclass(slots=True)
class Answer:
    """An HTTP answer, read."""

    status: int
    headers: dict[str, str]
    text: str
    json: Any
    took: float
    """Seconds."""


@dataclass
class World:
    """The running network. ``messages`` is what crossed the wire so far, as all actors recorded it."""

    folder: Path
    core: Core | Any = None
    im_server: ImServer | None = None
    mailbox: Mailbox | None = None
    gateway: Gateway | None = None
    phones: dict[str, Phone] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    config_text: str = ""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(aiohttp.ClientSession())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.gateway is not None:
            await self.stop_gateway()
        await self._stack.aclose()

    def trace(self, actor: str) -> Trace:
        """Return a recorder whose records end in :attr:`records`."""
        return Trace(actor, self.records.append, time.time)

    # the gateway

    async def start_gateway(self) -> Gateway:
        """Start a gateway on the world's configuration; a second start finds the first one's store."""
        config = loads(self.config_text, folder=str(self.folder))
        self.gateway = await Gateway(config, trace=self.trace("gateway")).__aenter__()
        return self.gateway

    async def stop_gateway(self) -> None:
        """Drain and stop it."""
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            await gateway.close()

    # clients

    @property
    def url(self) -> str:
        """Base URL of the gateway."""
        assert self.gateway is not None
        return self.gateway.http.url

    def http(self, user: str = "", password: str = "") -> Http:
        """Return a client with Basic credentials."""
        assert self._session is not None
        return Http(self._session, self.url, user, password)

    def inviter(self, uid: str = "a") -> Http:
        """Return A's (or C's) HTTP client."""
        return self.http(uid, PASSWORDS[uid])

    async def phone(self, uid: str = "a", **behaviour: Any) -> Phone:
        """Return a subscriber's phone, registered."""
        host, port = self.core.address
        options = PhoneOptions(
            aor=f"sip:{uid}@{DOMAIN}",
            password=PASSWORDS[uid],
            proxy=f"sip:{host}:{port};transport=tcp;lr",
            display_name=NAMES[uid],
            behaviour=Behaviour(**behaviour),
        )
        phone = Phone(options, trace=self.trace(f"phone {uid}"))
        await self._stack.enter_async_context(phone)
        self.phones[uid] = phone
        return phone

    async def invite(self, uid: str = "a", email: str = "b@cc.com", **fields: Any) -> Guest:
        """Invite by HTTP, wait for the mail, return the guest with the link's secret."""
        answer = await self.inviter(uid).post("/rcsgw/invitee/user", {"email": email, **fields})
        assert answer.status == 201, answer
        return await self.guest_from_mail(email)

    async def guest_from_mail(self, email: str = "b@cc.com", *, after: int = 0) -> Guest:
        """Wait for the newest mail to ``email`` and take the link apart."""
        assert self.mailbox is not None
        mail = await self.mailbox.wait_for(email, after=after)
        link = mail.links()[0]
        path, _, secret = link.replace("#passwd=", "?passwd=").partition("?passwd=")
        account = path.rpartition("/session/")[2]
        return Guest(self, account, secret, link)

    # what crossed the wire

    def wire(self, protocol: str = "SIP", actor: str = "gateway", direction: str | None = None) -> list[str]:
        """Return the bytes that an actor sent or received, masked, as text."""
        return [
            mask(record.data).decode("utf-8", "replace")
            for record in self.records
            if isinstance(record, WireRecord)
            and record.protocol == protocol
            and record.actor == actor
            and direction in (None, record.direction)
        ]

    def sent(self, start: str, *, actor: str = "gateway", protocol: str = "SIP") -> list[str]:
        """Return what an actor sent that begins with ``start``."""
        return [text for text in self.wire(protocol, actor, "out") if text.startswith(start)]


@dataclass(slots=True)
class Guest:
    """An invited person with the secret from the mail."""

    world: World
    account: str
    secret: str
    link: str

    @property
    def user(self) -> str:
        """Account without its scheme, as Basic wants it."""
        return self.account.partition(":")[2]

    @property
    def http(self) -> Http:
        """A client with the guest's credentials."""
        return self.world.http(self.user, self.secret)

    async def login(self) -> Answer:
        """Log in as the web client does."""
        return await self.http.post(f"/rcsgw/invitee/session/{quote(self.account, safe=':@')}")

    async def send(self, text: str, to: str = "sip:a@cc.com", **kwargs: Any) -> Answer:
        """Send a message."""
        return await self.http.post("/rcsgw/invitee/message", {"to": to, "message": text}, **kwargs)

    async def status(self, inviter: str = "sip:a@cc.com") -> Answer:
        """Ask for an inviter's status."""
        return await self.http.get(f"/rcsgw/invitee/status/{inviter}")

    async def logout(self) -> Answer:
        """Log out for good."""
        return await self.http.delete(f"/rcsgw/invitee/session/{quote(self.account, safe=':@')}")

    async def wait_for_text(self, text: str, *, timeout: float = 10.0) -> Any:
        """Wait for a message of an inviter."""
        return await self.http.wait_for_event(
            lambda event: (
                event["kind"] == "message"
                and event["message"]["direction"] == "in"
                and event["message"]["message"] == text
            ),
            timeout=timeout,
        )


@asynccontextmanager
async def embedded_world(folder: Path, settings: str = "") -> AsyncIterator[World]:
    """Run the embedded core, IM server, mailbox and a gateway; ``settings`` is added to the gateway's TOML."""
    async with World(folder) as world:
        stack = world._stack
        im_options = ImServerOptions(
            domain=DOMAIN, members=tuple(f"sip:{uid}@{DOMAIN}" for uid in PASSWORDS), database=folder / "im.db"
        )
        world.im_server = await stack.enter_async_context(ImServer(im_options, trace=world.trace("im server")))
        core_options = CoreOptions(domain=DOMAIN, database=folder / "core.db", im_server=world.im_server.address)
        world.core = await stack.enter_async_context(Core(core_options, trace=world.trace("core")))
        for uid, password in PASSWORDS.items():
            world.core.subscribers.put(subscriber(uid, password))
        world.mailbox = await stack.enter_async_context(Mailbox(trace=world.trace("mailbox")))
        world.config_text = gateway_toml(
            world.core.address,
            world.im_server.address,
            world.mailbox.address,
            provisioning=f'driver = "lab"\nlab = {{ url = "{world.core.admin.url}" }}',
            settings=settings,
        )
        await world.start_gateway()
        yield world


def subscriber(uid: str, password: str) -> Any:
    """Return a row for the core's subscriber table."""
    from gateway.lab.core import parse_subscriber

    return parse_subscriber(f"{uid}:{password}", DOMAIN, DOMAIN)


def gateway_toml(core: HostPort, im_server: HostPort, mailbox: HostPort, *, provisioning: str, settings: str) -> str:
    """Return the configuration of a gateway beside these parts."""
    users = "".join(
        f'[[users.subscriber]]\nuid = "{uid}"\npassword = "{password}"\nidentities = ["sip:{uid}@{DOMAIN}"]\n'
        f'name = "{NAMES[uid]}"\n'
        for uid, password in PASSWORDS.items()
    )
    text = f"""
[gateway]
public_url = "http://127.0.0.1:8080"
drain_timeout = 3
[http]
listen = "127.0.0.1:0"
[core]
domain = "{DOMAIN}"
outbound_proxy = "sip:{core[0]}:{core[1]};transport=tcp;lr"
[sip]
bind = "127.0.0.1:0"
trusted = ["127.0.0.0/8"]
[msrp]
bind = "127.0.0.1:0"
allowed_networks = ["127.0.0.0/8"]
[accounts]
naming = "identifier"
[provisioning]
{provisioning}
[interaction]
driver = "sip"
[interaction.sip]
im = "sip:{im_server[0]}:{im_server[1]};transport=tcp"
identity = "sip:rcsgw@{DOMAIN}"
[delivery.email]
host = "{mailbox[0]}"
port = {mailbox[1]}
sender = "gateway@{DOMAIN}"
"""
    return text + users + settings


async def eventually(check: Callable[[], Any], *, timeout: float = 5.0) -> Any:
    """Wait until ``check`` returns something true, and return it."""
    deadline = time.monotonic() + timeout
    while not (result := check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)
    return result
