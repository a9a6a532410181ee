"""The lab's IM server: a record-routing proxy which chats go through, and which knows whom it serves.

It serves subscribers (``members``, known beforehand as by an operator's provisioning) and accounts that the gateway has
registered here (the "second registration"): a third-party REGISTER whose From is the gateway. A chat from or to anybody
else gets 403. OPTIONS pass: asking about somebody is not chatting. REGISTERs of the core tell who is online.

For labs only: who says in From that it is the gateway or the core is believed.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import click
from aiohttp import web

from gateway.lab.admin import AdminServer
from gateway.lab.faults import Faults
from gateway.lab.proxy import Proxy
from gateway.lab.run import ready, serve_until_signal, trace_option
from gateway.lab.subscribers import canonical
from sipstack.flow import HostPort
from sipstack.net.client import next_hop
from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.uas import CAPABILITIES
from sipstack.sip.message import Request
from sipstack.sip.transaction import ServerTransaction
from sipstack.trace import Trace

logger = logging.getLogger(__name__)

DEFAULT_EXPIRES = 3600
"""Seconds taken for a REGISTER of the core that names none."""


@dataclass(slots=True)
class ImServerOptions:
    """How the IM server is set up."""

    domain: str = "cc.com"
    host: str = "127.0.0.1"
    port: int = 0
    """SIP by UDP and TCP; 0: a free port."""
    http_port: int = 0
    database: Path | str = ":memory:"
    """Keeps second registrations over a restart."""
    gateways: tuple[str, ...] = ()
    """From of second registrations; empty: ``sip:rcsgw@domain``."""
    cores: tuple[str, ...] = ()
    """From of the core's REGISTERs; empty: ``sip:scscf@domain``."""
    members: tuple[str, ...] = ()
    """Identities served without second registration: the subscribers."""
    open: bool = False
    """Serve everybody: for a gateway whose interaction driver is ``none``."""


class AccountTable:
    """Accounts of second registrations, in SQLite."""

    def __init__(self, path: Path | str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "CREATE TABLE IF NOT EXISTS account (uri TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;"
        )

    def add(self, aor: str) -> None:
        """Serve ``aor`` from now on."""
        self._database.execute("INSERT OR IGNORE INTO account VALUES (?)", (aor,))

    def remove(self, aor: str) -> None:
        """Serve ``aor`` no more."""
        self._database.execute("DELETE FROM account WHERE uri = ?", (aor,))

    def __contains__(self, aor: object) -> bool:
        return self._database.execute("SELECT 1 FROM account WHERE uri = ?", (aor,)).fetchone() is not None

    def all(self) -> list[str]:
        """Return all accounts, sorted."""
        return [row[0] for row in self._database.execute("SELECT uri FROM account ORDER BY uri")]

    def close(self) -> None:
        """Close the file."""
        self._database.close()


class ImServer:
    """The IM server in one object."""

    def __init__(self, options: ImServerOptions | None = None, *, trace: Trace | None = None) -> None:
        self.options = options = options or ImServerOptions()
        self.faults = Faults()
        self.accounts = AccountTable(options.database)
        self.members = set(canonical(options.members))
        self.open = options.open
        # identity → monotonic seconds until when the core says that it is online
        self.online: dict[str, float] = {}
        self._gateways = canonical(options.gateways or (f"sip:rcsgw@{options.domain}",))
        self._cores = canonical(options.cores or (f"sip:scscf@{options.domain}",))
        config = EndpointConfig(
            bind_host=options.host, bind_port=options.port, msrp=False, user_agent="rcsgw lab IM server"
        )
        self.endpoint = Endpoint(config, trace=trace)
        self._proxy = Proxy(self.endpoint)
        self.admin = AdminServer(self._build_app(), options.host, options.http_port)

    # life

    async def start(self) -> None:
        """Listen for SIP and HTTP. OSError when a port is taken."""
        self.endpoint.on_request = self._request_received
        await self.endpoint.start()
        await self.admin.start()

    async def close(self) -> None:
        """Stop. Second registrations stay in the file."""
        await self.admin.close()
        await self.endpoint.close()
        self.accounts.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def address(self) -> HostPort:
        """Where SIP is spoken, by UDP and TCP."""
        return self.endpoint.local

    def add_members(self, uris: Iterable[str]) -> None:
        """Serve these subscribers."""
        self.members.update(canonical(uris))

    def serves(self, aor: str) -> bool:
        """Tell whether chats of this identity pass."""
        return self.open or aor in self.members or aor in self.accounts

    def is_online(self, aor: str) -> bool:
        """Tell what the core said last, if it still holds."""
        return self.online.get(aor, 0.0) > self.endpoint.timers.time()

    # requests

    def _request_received(self, transaction: ServerTransaction, request: Request) -> bool:
        if self.faults.take(self.endpoint, transaction, request):
            return True
        if request.method == "REGISTER":
            self._register(transaction, request)
        elif request.to.tag is not None:
            self._proxy.relay_in_dialog(transaction, request)
        elif not self._proxy.refuse_loop(transaction, request):
            self._initial(transaction, request)
        return True

    def _register(self, transaction: ServerTransaction, request: Request) -> None:
        """Take a third-party REGISTER; it is no binding, so the 200 has no Contact (B-TPR-01)."""
        sender, aor = request.from_.uri.aor, request.to.uri.aor
        expires = DEFAULT_EXPIRES if request.expires is None else request.expires
        if sender in self._gateways:
            if expires:
                self.accounts.add(aor)
            else:
                self.accounts.remove(aor)
            logger.info("second registration of %s %s", aor, "made" if expires else "ended")
        elif sender in self._cores:
            if expires:
                self.online[aor] = self.endpoint.timers.time() + expires
            else:
                self.online.pop(aor, None)
        else:
            self.endpoint.reply(transaction, 403)
            return
        self.endpoint.reply(transaction, 200, headers=[("Expires", str(expires))])

    def _initial(self, transaction: ServerTransaction, request: Request) -> None:
        copy = self._proxy.copy(request)
        self._proxy.take_routes(copy)
        hop = next_hop(copy)
        if self.endpoint.is_local(hop):
            if request.method == "OPTIONS":
                self.endpoint.reply(transaction, 200, headers=CAPABILITIES)
            else:
                self.endpoint.reply(transaction, 404)
            return
        if not copy.routes:
            self.endpoint.reply(transaction, 403, "Only from the core")  # who comes without Route went around it
            return
        if request.method in ("INVITE", "MESSAGE"):
            asserted = request.asserted_identities
            caller = (asserted[0] if asserted else request.from_).uri.aor
            if not self.serves(caller) or not self.serves(request.uri.aor):
                self.endpoint.reply(transaction, 403, "Not registered with the IM server")
                return
        if request.method == "INVITE":
            tcp = transaction.flow.transport == "TCP" and (hop.param("transport") or "").lower() == "tcp"
            self._proxy.record_route(copy, tcp=tcp)
        self._proxy.relay(transaction, copy, hop, unreachable_status=503)

    # HTTP

    def _build_app(self) -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/health", self._get_health), web.get("/accounts", self._get_accounts)])
        self.faults.add_routes(app)
        return app

    async def _get_health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _get_accounts(self, _: web.Request) -> web.Response:
        self.online = {uri: until for uri, until in self.online.items() if self.is_online(uri)}
        known = {*self.accounts.all(), *self.members, *self.online}
        accounts = [
            {
                "uri": uri,
                "member": uri in self.members,
                "registered": uri in self.accounts,
                "online": self.is_online(uri),
            }
            for uri in sorted(known)
        ]
        return web.json_response({"accounts": accounts})


@click.command()
@click.option("--domain", default="cc.com", show_default=True, help="Home domain.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5080, show_default=True, help="SIP port (UDP and TCP); 0: a free one.")
@click.option("--http-port", default=5081, show_default=True, help="Port of the admin HTTP; 0: a free one.")
@click.option("--database", type=click.Path(path_type=Path), help="Second registrations; in memory when not given.")
@click.option("--gateway", "gateways", multiple=True, metavar="URI", help="From of second registrations.")
@click.option("--core", "cores", multiple=True, metavar="URI", help="From of the core's REGISTERs.")
@click.option("--member", "members", multiple=True, metavar="URI", help="Subscriber served without registration.")
@click.option("--open", "everybody", is_flag=True, help="Serve everybody.")
@trace_option("im server")
def main(
    domain: str,
    host: str,
    port: int,
    http_port: int,
    database: Path | None,
    gateways: tuple[str, ...],
    cores: tuple[str, ...],
    members: tuple[str, ...],
    everybody: bool,
    trace: Trace | None,
) -> None:
    """Run the lab's IM server until SIGTERM. Writes one JSON line when it is ready."""
    options = ImServerOptions(
        domain, host, port, http_port, database or ":memory:", gateways, cores, members, everybody
    )
    server = ImServer(options, trace=trace)
    serve_until_signal(server, lambda: ready("im-server", sip=server.address, http=server.admin.address))


if __name__ == "__main__":
    main()
