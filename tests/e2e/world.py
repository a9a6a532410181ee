"""A whole small network for end-to-end tests: core, IM server, mailbox, A's phones and the gateway, on loopback.

Everything speaks over real sockets; only the processes are joined into one, so that a test can look inside. The core
is the embedded one or Kamailio.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote, unquote

import aiohttp

from gateway.app import Gateway
from gateway.config.load import loads
from gateway.lab.core import Core, CoreOptions
from gateway.lab.fileserver import FileServer
from gateway.lab.imserver import ImServer
from gateway.lab.interaction import InteractionOptions
from gateway.lab.kamailio import Kamailio
from gateway.lab.mailbox import Mailbox
from gateway.lab.phone import Behaviour, Phone, PhoneOptions
from sipstack.net.tls import SipTls
from sipstack.net.tracefile import mask
from sipstack.trace import Record, Trace, WireRecord
from tests.e2e.client import MESSAGE, PATIENCE, SESSION, Answer, Event, Format, Http, Matches, kind, text_in
from tests.e2e.cores import EmbeddedCore, KamailioAtServer, KamailioCore, SubscriberTables
from tests.sipstack.net.certificates import write_certificate

DOMAIN = "cc.com"
PASSWORDS = {"a": "alice-pw", "c": "carol-pw"}
NAMES = {"a": "Alice", "c": "Carol"}
SECURE = ("tls", "wss")

Transport = Literal["tcp", "udp", "tls", "ws", "wss"]

T = TypeVar("T")


@dataclass
class World:
    """The running network. ``records`` is what crossed the wire so far, as all actors recorded it."""

    folder: Path
    format: Format = "json"
    transport: Transport = "tcp"
    """How gateway and phones speak to the core; UDP goes over to TCP where messages are long."""
    host: str = "127.0.0.1"
    """Where all but HTTP and mail is."""
    core: EmbeddedCore | KamailioCore = field(init=False)
    im_server: ImServer = field(init=False)
    file_server: FileServer = field(init=False)
    mailbox: Mailbox = field(init=False)
    gateway: Gateway | None = None
    address: str = ""
    """Base URL of a gateway that is a process of its own."""
    phones: dict[str, Phone] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    config_text: str = ""
    relays: tuple[str, ...] = ()
    """MSRP relays of gateway and phones."""
    authorities: Path | None = None
    """Who signs the certificates of relays and core."""
    content_server: str = ""
    """Where phones leave files whose links they send."""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _session: aiohttp.ClientSession = field(init=False)

    async def __aenter__(self) -> Self:
        self._session = await self._stack.enter_async_context(aiohttp.ClientSession())
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.stop_gateway()
        finally:
            await self._stack.aclose()

    async def enter(self, part: AbstractAsyncContextManager[T]) -> T:
        """Start a part that lives as long as the world."""
        return await self._stack.enter_async_context(part)

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

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Return what stands in a table of the gateway's store: its file, not its memory."""
        with contextlib.closing(sqlite3.connect(self.folder / "data" / "rcsgw.db", timeout=PATIENCE)) as connection:
            return connection.execute(f"SELECT * FROM {table}").fetchall()

    # clients

    @property
    def url(self) -> str:
        """Base URL of the gateway."""
        if self.address:
            return self.address
        assert self.gateway is not None
        return self.gateway.http.url

    def http(self, user: str = "", password: str = "") -> Http:
        """Return a client with Basic credentials, in the world's format."""
        return Http(self._session, self.url, user, password, self.format)

    def inviter(self, uid: str = "a") -> Http:
        """Return A's (or C's) HTTP client."""
        return self.http(uid, PASSWORDS[uid])

    @property
    def proxy(self) -> str:
        """URI of the core as outbound proxy."""
        # By name where Kamailio's certificate has it, by address otherwise: the embedded core has no name.
        host = "localhost" if self.transport in SECURE and self.core.name == "kamailio" else at(self.host)
        transport = "" if self.transport == "udp" else f"transport={self.transport};"
        return f"sip:{host}:{self.core.port(self.transport)};{transport}lr"

    async def phone(self, uid: str = "a", *, identity: str = "", cutter: bool = False, **behaviour: Any) -> Phone:
        """Return a subscriber's phone, registered; ``identity`` is one of theirs besides the first, and a ``cutter``
        can break its MSRP.

        It tells nothing of what it has received unless the test says so: then states stay what the answers made them.
        It takes files where the test says so.
        """
        behaviour = {"receipts": "none", "files": "none", **behaviour}
        options = PhoneOptions(
            aor=identity or f"sip:{uid}@{DOMAIN}",
            username=uid,
            password=PASSWORDS[uid],
            proxy=self.proxy,
            display_name=NAMES[uid],
            host=self.host,
            cutter=cutter,
            relays=self.relays,
            authorities=self.authorities,
            content_server=self.content_server,
            behaviour=Behaviour(**behaviour),
        )
        phone = await self.enter(Phone(options, trace=self.trace(f"phone {uid}")))
        self.phones[uid] = phone
        return phone

    async def invite(self, uid: str = "a", email: str = "b@cc.com", **fields: Any) -> Guest:
        """Invite by HTTP, wait for the mail, return the guest with the link's secret."""
        after = self.newest_mail
        answer = await self.inviter(uid).post("/rcsgw/invitee/user", {"email": email, **fields}, root="invite")
        assert answer.status == 201, answer
        return await self.guest_from_mail(email, after=after)

    async def guest(self, uid: str = "a", email: str = "b@cc.com", **fields: Any) -> Guest:
        """Invite somebody who logs in."""
        guest = await self.invite(uid, email, **fields)
        answer = await guest.login()
        assert answer.status == 200, answer
        return guest

    @property
    def newest_mail(self) -> int:
        """Number of the mail that came last."""
        return max((mail.id for mail in self.mailbox.mails), default=0)

    async def guest_from_mail(self, email: str = "b@cc.com", *, after: int = 0) -> Guest:
        """Wait for a mail to ``email`` and take the link apart."""
        mail = await self.mailbox.wait_for(email, after=after, timeout=PATIENCE)
        link = mail.links()[0]
        path, _, secret = link.replace("#passwd=", "?passwd=").partition("?passwd=")
        return Guest(self, unquote(path.rpartition("/session/")[2]), secret, link)

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

    def received(self, start: str, *, actor: str = "gateway", protocol: str = "SIP") -> list[str]:
        """Return what an actor received that begins with ``start``."""
        return [text for text in self.wire(protocol, actor, "in") if text.startswith(start)]

    def msrp_connections(self, actor: str = "gateway") -> int:
        """Return how many MSRP connections an actor has had."""
        return len(
            {
                (record.local, record.remote)
                for record in self.records
                if isinstance(record, WireRecord) and record.protocol == "MSRP" and record.actor == actor
            }
        )


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

    @property
    def session(self) -> str:
        """Path of the guest's session."""
        return SESSION + quote(self.account, safe=":@")

    async def login(self) -> Answer:
        """Log in as the web client does."""
        return await self.http.post(self.session)

    async def send(self, text: str, to: str = "sip:a@cc.com", **kwargs: Any) -> Answer:
        """Send a message."""
        return await self.http.post(MESSAGE, {"to": to, "message": text}, root="message", **kwargs)

    async def say(self, text: str, to: str = "sip:a@cc.com") -> str:
        """Send a message that has to arrive; return its id."""
        answer = await self.send(text, to)
        if answer.status == 202:  # a loaded machine
            await self.wait_for_event(kind("receipt", id=answer.json["id"], state="sent"))
        else:
            assert (answer.status, answer.json["state"]) == (200, "sent"), answer
        id: str = answer.json["id"]
        return id

    async def status(self, inviter: str = "sip:a@cc.com") -> Answer:
        """Ask for an inviter's status."""
        return await self.http.get(f"/rcsgw/invitee/status/{inviter}")

    async def messages(self, **query: str) -> list[Any]:
        """Return the conversation so far."""
        answer = await self.http.get("/rcsgw/invitee/messages", params=query)
        assert answer.status == 200, answer
        messages: list[Any] = answer.json["messages"]
        return messages

    async def logout(self) -> Answer:
        """Log out for good."""
        return await self.http.delete(self.session)

    async def wait_for_event(self, matches: Matches, *, after: int = 0) -> Event:
        """Wait for an event of this guest."""
        return await self.http.wait_for_event(matches, after=after)

    async def wait_for_text(self, text: str, *, timeout: float = PATIENCE) -> Event:
        """Wait for a message of an inviter."""
        return await self.http.wait_for_event(text_in(text), timeout=timeout)


@asynccontextmanager
async def embedded_world(
    folder: Path,
    settings: str = "",
    *,
    format: Format = "json",
    transport: Transport = "tcp",
    host: str = "127.0.0.1",
    algorithms: tuple[str, ...] = ("SHA-256", "MD5"),
    watchers: tuple[str, ...] = (),
    **sections: str,
) -> AsyncIterator[World]:
    """Run the embedded core, IM server, mailbox and a gateway; ``settings`` is added to the gateway's TOML, and
    ``sections`` take the place of some of its tables, see :func:`gateway_toml`."""
    async with World(folder, format, transport, host) as world:
        servers = await _servers_around(world)
        options = CoreOptions(domain=DOMAIN, host=host, database=folder / "core.db", algorithms=algorithms, **servers)
        if transport == "tls":
            world.authorities, key = write_certificate(folder, "core", host=host)
            options.tls = SipTls(world.authorities, key)
        options.watchers = watchers
        core = await world.enter(Core(options, trace=world.trace("core")))
        world.core = EmbeddedCore(core)
        provisioning = f'driver = "lab"\nlab = {{ url = "{core.admin.url}" }}'
        await _gateway(world, settings, {"provisioning": provisioning, **sections})
        yield world


@asynccontextmanager
async def kamailio_world(
    folder: Path,
    settings: str = "",
    *,
    format: Format = "json",
    transport: Transport = "tcp",
    host: str = "127.0.0.1",
    algorithm: str = "MD5",
    relay: Literal["", "msrp", "msrps", "ws"] = "",
    tables: SubscriberTables | None = None,
    **sections: str,
) -> AsyncIterator[World]:
    """Run the same with Kamailio, as Debian has it and with the configuration of config/kamailio; where ``relay`` is a
    scheme, gateway and phones have Kamailio's MSRP relay between them. ``ws``: the gateway reaches it by WebSocket, and
    phones by TLS. ``tables`` are Kamailio's subscribers where these are not in a file of its own."""
    async with World(folder, format, transport, host) as world:
        options: dict[str, Any] = {"domain": DOMAIN, "algorithm": algorithm, "host": host}
        options |= await _servers_around(world)
        if transport not in ("tcp", "udp"):
            world.authorities, key = write_certificate(folder, "core", host="localhost")
            options |= {"tls": True, "websocket": True, "certificate": world.authorities, "key": key}
        if relay:
            world.authorities, key = write_certificate(folder, "relay")
            options |= {"msrp": True, "certificate": world.authorities, "key": key}
        if tables is not None:
            options["database_url"] = tables.kamailio_url
        core = await world.enter(Kamailio(folder / "kamailio", **options))
        world.core = KamailioCore(core) if tables is None else KamailioAtServer(core, tables)
        if relay:
            place = (
                f"msrp://{core.host}:{core.msrp_port}" if relay == "msrp" else f"msrps://{core.host}:{core.msrps_port}"
            )
            world.relays = (f"{place};tcp",)
            ours = [f"msrps://{core.host}:{core.msrpws_port};ws"] if relay == "ws" else list(world.relays)
            sections = {"more_msrp": f'relays = {ours}\nca_file = "{world.authorities}"', **sections}
        database = core.database if tables is None else tables.url
        table = f'{{ database = "{database}", algorithm = "{algorithm}" }}'
        await _gateway(world, settings, {"provisioning": f'driver = "kamailio"\nkamailio = {table}', **sections})
        yield world


WORLDS: dict[str, Callable[..., AbstractAsyncContextManager[World]]] = {
    "embedded": embedded_world,
    "kamailio": kamailio_world,
}


async def _servers_around(world: World) -> dict[str, Any]:
    """Start IM server, file server and mailbox; return what the core has to know of them."""
    members = tuple(f"sip:{uid}@{DOMAIN}" for uid in PASSWORDS)
    options = InteractionOptions(domain=DOMAIN, host=world.host, members=members)
    im, file = replace(options, database=world.folder / "im.db"), replace(options, database=world.folder / "file.db")
    world.im_server = await world.enter(ImServer(im, trace=world.trace("im server")))
    world.file_server = await world.enter(FileServer(file, trace=world.trace("file server")))
    world.mailbox = await world.enter(Mailbox(trace=world.trace("mailbox")))
    return {"im_server": world.im_server.address, "file_server": world.file_server.address}


async def _gateway(world: World, settings: str, sections: dict[str, str]) -> None:
    for uid, password in PASSWORDS.items():
        world.core.put(uid, password)
    world.config_text = gateway_toml(world, sections) + settings
    await world.start_gateway()


def gateway_toml(world: World, sections: dict[str, str]) -> str:
    """Return the configuration of a gateway in this world; ``sections`` replace tables of :func:`_defaults`, or add
    to them if their names begin with ``more_``; ``__`` stands for a dot."""
    tables = _defaults(world)
    for name, body in sections.items():
        if name.startswith("more_"):
            tables[name.removeprefix("more_")] += f"\n{body}"
        else:
            tables[name] = body
    users = tables.pop("users")
    text = "".join(f"[{name.replace('__', '.')}]\n{body}\n" for name, body in tables.items())
    return text + (users or subscribers())


def _defaults(world: World) -> dict[str, str]:
    mailbox, host = world.mailbox.address, at(world.host)
    (_, im_port), (_, file_port) = world.im_server.address, world.file_server.address
    network = f"{world.host}/128" if ":" in world.host else "127.0.0.0/8"
    authorities = f'\nca_file = "{world.authorities}"' if world.transport in SECURE else ""
    return {
        "gateway": 'public_url = "http://127.0.0.1:8080"\ndrain_timeout = 5',
        "http": 'listen = "127.0.0.1:0"',
        "core": f'domain = "{DOMAIN}"\noutbound_proxy = "{world.proxy}"',
        "sip": f'bind = "{host}:0"\ntrusted = ["{network}"]{authorities}',
        "msrp": f'bind = "{host}:0"\nallowed_networks = ["{network}"]',
        "accounts": 'naming = "identifier"',
        "interaction": 'driver = "sip"',
        "interaction__sip": (
            f'im = "sip:{host}:{im_port};transport=tcp"\n'
            f'file = "sip:{host}:{file_port};transport=tcp"\nidentity = "sip:rcsgw@{DOMAIN}"'
        ),
        "delivery__email": f'host = "{mailbox[0]}"\nport = {mailbox[1]}\nsender = "gateway@{DOMAIN}"',
        "users": "",
    }


def at(host: str) -> str:
    """Return a host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def subscribers() -> str:
    """Return the table of the ``local`` users driver."""
    return "".join(
        f'[[users.subscriber]]\nuid = "{uid}"\npassword = "{password}"\nidentities = ["sip:{uid}@{DOMAIN}"]\n'
        f'name = "{NAMES[uid]}"\n'
        for uid, password in PASSWORDS.items()
    )


async def eventually(check: Callable[[], Any], *, timeout: float = PATIENCE) -> Any:
    """Wait until ``check`` returns something true, and return it."""
    deadline = time.monotonic() + timeout
    while not (result := check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
    return result
