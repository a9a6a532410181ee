"""The whole lab in one process: core, IM, file and content server, mailbox and A's phone, on given or free ports.

For tests, the demonstration and ``rcsgw lab``. Each part also runs alone: ``python -m gateway.lab.core``,
``gateway.lab.imserver``, ``gateway.lab.fileserver``, ``gateway.lab.contentserver``, ``gateway.lab.mailbox``,
``gateway.lab.phone``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click

from gateway.lab.behaviour import Behaviour
from gateway.lab.contentserver import ContentOptions, ContentServer
from gateway.lab.core import Core, CoreOptions
from gateway.lab.fileserver import FileServer
from gateway.lab.imserver import ImServer
from gateway.lab.interaction import InteractionOptions
from gateway.lab.mailbox import Mailbox
from gateway.lab.part import Part
from gateway.lab.phone import Phone, PhoneOptions
from gateway.lab.run import ready, serve_until_signal
from gateway.lab.subscribers import Subscriber
from sipstack.flow import join_host_port
from sipstack.trace import Trace


@dataclass(frozen=True, slots=True)
class LabUser:
    """A subscriber of the lab."""

    username: str
    password: str
    identities: tuple[str, ...] = ()
    """Public identities; empty: ``sip:username@domain``."""


@dataclass(slots=True)
class LabOptions:
    """What the lab consists of. Ports 0 are free ones."""

    domain: str = "cc.com"
    host: str = "127.0.0.1"
    users: tuple[LabUser, ...] = (LabUser("a", "a-secret"),)
    """The first one has the phone."""
    folder: Path | None = None
    """Keeps subscribers, second registrations and mails over a restart; None: in memory."""
    core_port: int = 0
    core_http_port: int = 0
    im_port: int = 0
    im_http_port: int = 0
    file_port: int = 0
    file_http_port: int = 0
    content_port: int = 0
    smtp_port: int = 0
    mailbox_http_port: int = 0
    gateways: tuple[str, ...] = ()
    """From of second registrations; empty: ``sip:rcsgw@domain``."""
    watchers: tuple[str, ...] = ()
    """Accounts that may watch everybody's registration."""
    open: bool = False
    """Let IM server and file server serve everybody: for the interaction driver ``none``."""
    with_servers: bool = True
    """Have IM server and file server; without them everything goes straight to the user."""
    with_phone: bool = True
    transport: str = "tcp"
    """How the phone reaches the core."""
    cutter: bool = False
    """The phone's MSRP goes over a wire that can be cut."""
    behaviour: Behaviour = field(default_factory=Behaviour)


class Lab(Part):
    """All parts; each is an attribute from :meth:`start` on. ``trace`` makes the trace of an actor by its name."""

    def __init__(
        self, options: LabOptions | None = None, *, trace: Callable[[str], Trace | None] = lambda actor: None
    ) -> None:
        self.options = options or LabOptions()
        self._trace = trace
        self._parts = contextlib.AsyncExitStack()
        self.im_server: ImServer | None = None
        self.file_server: FileServer | None = None
        self.core: Core
        self.content_server: ContentServer
        self.mailbox: Mailbox
        self.phone: Phone | None = None

    async def start(self) -> None:
        """Start the parts in the order in which they need each other; what was started is closed if one fails."""
        async with contextlib.AsyncExitStack() as parts:
            await self._start(parts)
            self._parts = parts.pop_all()

    async def _start(self, parts: contextlib.AsyncExitStack) -> None:
        options = self.options
        if options.with_servers:
            self.im_server = await parts.enter_async_context(self._make_im_server())
            self.file_server = await parts.enter_async_context(self._make_file_server())
        self.core = await parts.enter_async_context(self._make_core())
        for user in options.users:
            self.add_user(user)
        contents = ContentOptions(options.host, options.content_port, self._path("content"))
        self.content_server = await parts.enter_async_context(ContentServer(contents))
        self.mailbox = Mailbox(
            host=options.host,
            smtp_port=options.smtp_port,
            http_port=options.mailbox_http_port,
            folder=self._path("mails"),
            trace=self._trace("mailbox"),
        )
        await parts.enter_async_context(self.mailbox)
        if options.with_phone and options.users:
            self.phone = await parts.enter_async_context(self.make_phone(options.users[0]))

    def _path(self, name: str) -> Path | None:
        folder = self.options.folder
        return None if folder is None else folder / name

    def _make_im_server(self) -> ImServer:
        options = self._server_options(self.options.im_port, self.options.im_http_port, "imserver.db")
        return ImServer(options, trace=self._trace("im server"))

    def _make_file_server(self) -> FileServer:
        options = self._server_options(self.options.file_port, self.options.file_http_port, "fileserver.db")
        return FileServer(options, trace=self._trace("file server"))

    def _server_options(self, port: int, http_port: int, database: str) -> InteractionOptions:
        options = self.options
        return InteractionOptions(
            domain=options.domain,
            host=options.host,
            port=port,
            http_port=http_port,
            database=self._path(database) or ":memory:",
            gateways=options.gateways,
            open=options.open,
        )

    def _make_core(self) -> Core:
        options = self.options
        if options.folder is not None:
            options.folder.mkdir(parents=True, exist_ok=True)
        return Core(
            CoreOptions(
                domain=options.domain,
                host=options.host,
                port=options.core_port,
                http_port=options.core_http_port,
                database=self._path("core.db") or ":memory:",
                im_server=None if self.im_server is None else self.im_server.address,
                file_server=None if self.file_server is None else self.file_server.address,
                watchers=options.watchers,
            ),
            trace=self._trace("core"),
        )

    def add_user(self, user: LabUser) -> None:
        """Make a subscriber known to core, IM server and file server."""
        subscriber = Subscriber.from_password(user.username, user.password, self.options.domain, user.identities)
        self.core.subscribers.put(subscriber)
        for server in (self.im_server, self.file_server):
            if server is not None:
                server.add_members(subscriber.impus)

    def make_phone(self, user: LabUser, actor: str = "A's phone") -> Phone:
        """Return a phone for a user, not started."""
        identities = user.identities or (f"sip:{user.username}@{self.options.domain}",)
        options = PhoneOptions(
            aor=identities[0],
            password=user.password,
            username=user.username,
            proxy=self.proxy_uri,
            host=self.options.host,
            cutter=self.options.cutter,
            content_server=self.content_server.url,
            behaviour=self.options.behaviour,
        )
        return Phone(options, trace=self._trace(actor))

    @property
    def proxy_uri(self) -> str:
        """The outbound proxy for clients of this lab."""
        return f"sip:{join_host_port(self.core.address)};transport={self.options.transport};lr"

    async def close(self) -> None:
        """Close all parts, the phone first."""
        await self._parts.aclose()

    def addresses(self) -> dict[str, str]:
        """Return where everything is, as ``host:port`` by name."""
        found = {
            "sip": self.core.address,
            "core": self.core.admin.address,
            "content": self.content_server.address,
            "smtp": self.mailbox.address,
            "mailbox": self.mailbox.http.address,
        }
        for name, server in (("im", self.im_server), ("file", self.file_server)):
            if server is not None:
                found |= {f"{name}_sip": server.address, name: server.admin.address}
        if self.phone is not None:
            found["phone"] = self.phone.address
        return {name: join_host_port(address) for name, address in found.items()}


@click.command()
@click.option("--domain", default="cc.com", show_default=True, help="Home domain and realm.")
@click.option("--user", "users", multiple=True, metavar="USER:PASSWORD", help="Subscriber; the first has the phone.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep state here; in memory when not given.")
@click.option("--sip-port", default=5060, show_default=True, help="SIP port of the core; 0: a free one.")
@click.option("--im-port", default=5080, show_default=True, help="SIP port of the IM server; 0: a free one.")
@click.option("--file-port", default=5082, show_default=True, help="SIP port of the file server; 0: a free one.")
@click.option("--content-port", default=8028, show_default=True, help="Port of the content server; 0: a free one.")
@click.option("--smtp-port", default=2525, show_default=True, help="Port of the mail server; 0: a free one.")
@click.option("--mailbox-port", default=8025, show_default=True, help="Port of the mailbox's page; 0: a free one.")
@click.option("--core-port", default=5061, show_default=True, help="Port of the core's admin HTTP; 0: a free one.")
@click.option("--no-phone", is_flag=True, help="Leave A's phone out.")
@click.option("--open", "everybody", is_flag=True, help="IM server and file server serve everybody.")
def main(
    domain: str,
    users: tuple[str, ...],
    folder: Path | None,
    sip_port: int,
    im_port: int,
    file_port: int,
    content_port: int,
    smtp_port: int,
    mailbox_port: int,
    core_port: int,
    no_phone: bool,
    everybody: bool,
) -> None:
    """Run core, IM, file and content server, mailbox and A's phone in one process; write one JSON line when ready."""
    options = LabOptions(domain=domain, folder=folder, with_phone=not no_phone, open=everybody)
    if users:
        pairs = [user.partition(":") for user in users]
        options.users = tuple(LabUser(name, password) for name, _, password in pairs)
    options.core_port, options.im_port, options.core_http_port = sip_port, im_port, core_port
    options.file_port, options.content_port = file_port, content_port
    options.smtp_port, options.mailbox_http_port = smtp_port, mailbox_port
    lab = Lab(options)
    serve_until_signal(lab, lambda: ready("lab", **lab.addresses()))


if __name__ == "__main__":
    main()
