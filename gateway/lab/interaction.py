"""The lab's interaction servers, one a type (chats, files): record-routing proxies which know whom they serve.

A server serves subscribers (``members``, known beforehand as by an operator's provisioning) and accounts that the
gateway has registered there (the "second registration"): a third-party REGISTER whose From is the gateway. What comes
from or goes to anybody else gets 403. OPTIONS pass: asking about somebody is no conversation. REGISTERs of the core
tell who is online.

For labs only: who says in From that it is the gateway or the core is believed.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from aiohttp import web

from gateway.lab.node import Node
from gateway.lab.run import ready, serve_until_signal, trace_option
from gateway.lab.subscribers import canonical
from sipstack.errors import ParseError
from sipstack.net.client import next_hop
from sipstack.net.uas import capabilities
from sipstack.sip.message import Request
from sipstack.sip.routing import wanted_transport
from sipstack.sip.transaction import ServerTransaction
from sipstack.trace import Trace

logger = logging.getLogger(__name__)

Kind = Literal["im", "file"]

DEFAULT_EXPIRES = 3600
"""Seconds taken for a REGISTER of the core that names none."""


def interaction_type(request: Request) -> Kind | None:
    """Return whose server a request outside of any dialog goes by; None: nobody's.

    Files are INVITEs that offer MSRP with a file selector (:rfc:`5547#section-6`); chats are all others that offer
    MSRP, and all OPTIONS and MESSAGE.
    """
    if request.method == "INVITE":
        if b"\nm=message " not in request.body:
            return None
        return "file" if b"\na=file-selector" in request.body else "im"
    return "im" if request.method in ("OPTIONS", "MESSAGE") else None


@dataclass(slots=True)
class InteractionOptions:
    """How an interaction server is set up."""

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


class InteractionServer(Node):
    """The server of one type; ``kinds`` are those that it carries, ``name`` is for people."""

    name = "interaction server"
    kinds: tuple[Kind, ...] = ()

    def __init__(self, options: InteractionOptions | None = None, *, trace: Trace | None = None) -> None:
        self.options = options = options or InteractionOptions()
        super().__init__(self.name, options.host, options.port, options.http_port, trace)
        self.accounts = AccountTable(options.database)
        self.members = set(canonical(options.members))
        self.open = options.open
        # identity → monotonic seconds until when the core says that it is online
        self.online: dict[str, float] = {}
        self._gateways = canonical(options.gateways or (f"sip:rcsgw@{options.domain}",))
        self._cores = canonical(options.cores or (f"sip:scscf@{options.domain}",))

    async def close(self) -> None:
        """Stop. Second registrations stay in the file."""
        await super().close()
        self.accounts.close()

    def add_members(self, uris: Iterable[str]) -> None:
        """Serve these subscribers."""
        self.members.update(canonical(uris))

    def serves(self, aor: str) -> bool:
        """Tell whether conversations of this identity pass."""
        return self.open or aor in self.members or aor in self.accounts

    def is_online(self, aor: str) -> bool:
        """Tell what the core said last, if it still holds."""
        return self.online.get(aor, 0.0) > self.endpoint.timers.time()

    # gateway.lab.node.Node

    def register(self, transaction: ServerTransaction, request: Request) -> None:
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

    def route(self, transaction: ServerTransaction, request: Request) -> None:
        """Hand back to the core what we serve."""
        copy = self.proxy.copy(request)
        self.proxy.take_routes(copy)
        hop = next_hop(copy)
        if self.endpoint.is_local(hop):
            if request.method == "OPTIONS":
                self.endpoint.reply(transaction, 200, headers=capabilities(self.endpoint.config.supported_options))
            else:
                self.endpoint.reply(transaction, 404)
            return
        if not copy.routes:
            self.endpoint.reply(transaction, 403, "Only from the core")  # who comes without Route went around it
            return
        refusal = self._refusal(request)
        if refusal:
            self.endpoint.reply(transaction, 403, refusal)
            return
        if request.method == "INVITE":
            self.proxy.record_route(copy, transaction.flow.transport, wanted_transport(hop) or "")
        self.proxy.relay(transaction, copy, hop, unreachable_status=503)

    def _refusal(self, request: Request) -> str:
        """Say why a request is not carried; empty: it is."""
        if request.method not in ("INVITE", "MESSAGE"):
            return ""
        if interaction_type(request) not in self.kinds:
            return f"Not for the {self.name}"
        asserted = request.asserted_identities
        caller = (asserted[0] if asserted else request.from_).uri.aor
        if not self.serves(caller) or not self.serves(request.uri.aor):
            return f"Not registered with the {self.name}"
        return ""

    def build_app(self) -> web.Application:
        """Return the admin HTTP."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/health", self._get_health),
                web.get("/accounts", self._get_accounts),
                web.put("/accounts/{uri}", self._put_account),
                web.delete("/accounts/{uri}", self._delete_account),
            ]
        )
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

    async def _put_account(self, request: web.Request) -> web.Response:
        """Serve an account that an UP Center has made: what the gateway does for its own by REGISTER."""
        self.accounts.add(_account(request))
        return web.Response(status=204)

    async def _delete_account(self, request: web.Request) -> web.Response:
        """Serve it no more."""
        self.accounts.remove(_account(request))
        return web.Response(status=204)


def _account(request: web.Request) -> str:
    """Return the address-of-record in the path; 400 when it is none."""
    try:
        return canonical([request.match_info["uri"]])[0]
    except ParseError as error:
        raise web.HTTPBadRequest(text=str(error)) from None


def command(server: type[InteractionServer], port: int) -> click.Command:
    """Return the program of a server; ``port`` is its usual SIP port, its admin HTTP has the next one."""

    @click.command(help=f"Run the lab's {server.name} until SIGTERM. Writes one JSON line when it is ready.")
    @click.option("--domain", default="cc.com", show_default=True, help="Home domain.")
    @click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
    @click.option("--port", default=port, show_default=True, help="SIP port (UDP and TCP); 0: a free one.")
    @click.option("--http-port", default=port + 1, show_default=True, help="Port of the admin HTTP; 0: a free one.")
    @click.option("--database", type=click.Path(path_type=Path), help="Second registrations; in memory when not given.")
    @click.option("--gateway", "gateways", multiple=True, metavar="URI", help="From of second registrations.")
    @click.option("--core", "cores", multiple=True, metavar="URI", help="From of the core's REGISTERs.")
    @click.option("--member", "members", multiple=True, metavar="URI", help="Subscriber served without registration.")
    @click.option("--open", is_flag=True, help="Serve everybody.")
    @trace_option(server.name.lower())
    def main(trace: Trace | None, database: Path | None, **options: object) -> None:
        make: Callable[..., InteractionOptions] = InteractionOptions
        running = server(make(database=database or ":memory:", **options), trace=trace)
        name = server.name.lower().replace(" ", "-")
        serve_until_signal(running, lambda: ready(name, sip=running.address, http=running.admin.address))

    return main
