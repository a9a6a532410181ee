"""The embedded IMS core: registrar, proxy between registered users, the way of chats and files through their servers.

For labs and tests only. It plays all CSCFs in one process, keeps bindings in memory, believes every source address,
encrypts nothing and charges nobody. Of several devices of a user only the one that registered last rings.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import click
from aiohttp import web

from gateway.lab.coreadmin import build_app
from gateway.lab.interaction import interaction_type
from gateway.lab.node import Node
from gateway.lab.regevents import RegEvents
from gateway.lab.registrar import Change, Registrar
from gateway.lab.run import parse_host_port, ready, serve_until_signal, trace_option
from gateway.lab.subscribers import COLUMNS, Subscriber, SubscriberTable
from sipstack import ids
from sipstack.errors import SipstackError
from sipstack.flow import Flow, HostPort, join_host_port
from sipstack.im.reginfo import ContactEvent
from sipstack.net.tls import SipTls
from sipstack.net.uas import capabilities
from sipstack.sip.address import Address
from sipstack.sip.digest import DigestServer, Stale, Verified
from sipstack.sip.message import Request, Response
from sipstack.sip.privacy import is_anonymous, privacy_values
from sipstack.sip.routing import wanted_transport
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri
from sipstack.trace import Trace

logger = logging.getLogger(__name__)

EXPIRY_PERIOD = 1.0
"""Seconds between two looks for bindings that ran out; a look costs nothing when none did."""


@dataclass(slots=True)
class CoreOptions:
    """How the core is set up."""

    domain: str = "cc.com"
    realm: str = ""
    """Of the digest; empty: the domain."""
    host: str = "127.0.0.1"
    port: int = 0
    """SIP by UDP and TCP; 0: a free port."""
    http_port: int = 0
    """Admin HTTP; 0: a free port."""
    database: Path | str = ":memory:"
    im_server: HostPort | None = None
    """Chats go through it, and it is told who is online; None: chats go straight to the user."""
    file_server: HostPort | None = None
    """The same for files; None: they go where chats go."""
    algorithms: tuple[str, ...] = ("SHA-256", "MD5")
    """Digest algorithms, most preferred first."""
    tls: SipTls | None = None
    """Certificate for SIP over TLS, at a free port; None: there is none."""
    watchers: tuple[str, ...] = ()
    """Accounts that may watch everybody's registration; all others only their own (RFC 3680)."""


class Core(Node):
    """The core in one object. Its subscribers may change at any time, here or over the admin HTTP."""

    def __init__(self, options: CoreOptions | None = None, *, trace: Trace | None = None) -> None:
        # configuration
        self.options = options = options or CoreOptions()
        self.domain = options.domain.lower()
        servers = {"im": options.im_server, "file": options.file_server}
        self._servers = {kind: address for kind, address in servers.items() if address is not None}
        # what it owns; the rest exists from start() on
        super().__init__("core", options.host, options.port, options.http_port, trace, options.tls)
        self.proxy.way = self._way
        self.subscribers = SubscriberTable(options.database)
        realm = options.realm or options.domain
        self._digest = DigestServer(realm, options.algorithms, secret=ids.token(256).encode())
        # The "original dialog identifier" (TS 24.229 §5.4.3.2): who sends it back to us is an interaction server.
        self._mark = f"odi-{ids.token(96)}"
        self.registrar: Registrar
        self.events: RegEvents

    @property
    def secure_address(self) -> HostPort:
        """Where SIP is spoken by TLS, if it is."""
        uri = self.endpoint.uri(transport="TLS")
        return uri.host_port[0], uri.port or 0

    # life

    def prepare(self) -> None:
        """Have the registrar ready, which names this address."""
        self.registrar = Registrar(
            self.subscribers,
            self._digest,
            domain=self.domain,
            sent_by=self.endpoint.sent_by,
            secure_sent_by=join_host_port(self.secure_address),
        )
        self.events = RegEvents(
            self.endpoint, lambda username: self.registrar.bindings(username, self.endpoint.timers.time())
        )
        self._expire()

    def build_app(self) -> web.Application:
        """Return the admin HTTP."""
        return build_app(self)

    async def close(self) -> None:
        """Stop. The subscriber table stays in its file."""
        await super().close()
        self.subscribers.close()

    @property
    def sip_uri(self) -> str:
        """The URI to use as outbound proxy, without transport parameter."""
        return f"sip:{self.endpoint.sent_by};lr"

    # subscribers

    def remove_subscriber(self, username: str) -> bool:
        """Delete an account and its bindings; False when there is none."""
        self._announce(self.registrar.remove(username), ContactEvent.REJECTED)
        self.events.removed(username)
        return self.subscribers.delete(username)

    def drop(self, username: str, why: ContactEvent, retry_after: int | None = None) -> bool:
        """Remove the bindings of an account as an operator does, and tell why; False when there are none."""
        change = self.registrar.remove(username)
        self._announce(change, why, retry_after)
        return change is not None

    # requests

    def register(self, transaction: ServerTransaction, request: Request) -> None:
        """Let the registrar answer, and tell the interaction servers."""
        answer = self.registrar.register(request, transaction.flow, self.endpoint.timers.time())
        self.endpoint.reply(transaction, answer.status, headers=answer.headers)
        self._announce(answer.change, ContactEvent.UNREGISTERED)

    def take_in_dialog(self, transaction: ServerTransaction, request: Request) -> bool:
        """Refresh and end subscriptions."""
        return self.events.refresh(transaction, request)

    def route(self, transaction: ServerTransaction, request: Request) -> None:
        """Route a request outside of any dialog: who calls, through an interaction server or not, who is called."""
        if request.method == "OPTIONS" and request.uri.user is None and self._is_served(request.uri):
            self.endpoint.reply(transaction, 200, headers=capabilities(self.endpoint.config.supported_options))
            return
        copy = self.proxy.copy(request)
        own = self.proxy.take_routes(copy)
        comes_back = any(uri.user == self._mark for uri in own)
        if copy.routes:
            self.endpoint.reply(transaction, 403, "Preloaded Route denied")  # no open relay
        elif comes_back:
            self._to_user(transaction, copy)
        elif not self._assert_identity(transaction, request, copy):
            return
        elif request.method == "SUBSCRIBE":
            self._subscribe(transaction, request)
        else:
            server = self._server_of(request)
            if server is None:
                self._to_user(transaction, copy)
            else:
                self._to_server(transaction, copy, server)

    def _subscribe(self, transaction: ServerTransaction, request: Request) -> None:
        """Let a user watch a registration, if it is theirs or they may watch all."""
        watched, watcher = self._called(request.uri), self.subscribers.owner(request.from_.uri.aor)
        if watched is None:
            self.endpoint.reply(transaction, 404)
        elif watched != watcher and watcher not in self.options.watchers:
            self.endpoint.reply(transaction, 403)
        else:
            self.events.subscribe(transaction, request, watched)

    def _is_served(self, uri: Uri) -> bool:
        return uri.is_sip and (uri.host.lower() == self.domain or self.endpoint.is_local(uri))

    # who calls

    def _assert_identity(self, transaction: ServerTransaction, request: Request, copy: Request) -> bool:
        """Find out who calls and write it into P-Asserted-Identity (:rfc:`3325#section-5`); answer 407 or 403 else."""
        now = self.endpoint.timers.time()
        aor = self._claimed(request)
        owner = self.subscribers.owner(aor)
        if owner is None or not self.registrar.knows_sender(owner, request, transaction.flow, now):
            verdict = self._digest.verify(request, self.subscribers.ha1, now, proxy=True)
            if not isinstance(verdict, Verified):
                values = self._digest.challenges(now, stale=isinstance(verdict, Stale))
                headers = [("Proxy-Authenticate", value) for value in values]
                self.endpoint.reply(transaction, 407, headers=headers)
                return False
            if owner != verdict.username:
                self.endpoint.reply(transaction, 403, "Identity not yours")
                return False
            copy.headers.remove("Proxy-Authorization")
        copy.headers.remove("P-Asserted-Identity")
        copy.headers.add("P-Asserted-Identity", f"<{self._preferred(request, owner) or aor}>")
        copy.headers.remove("P-Preferred-Identity")
        # Whoever is let in may use every service that there is (RFC 6050 section 4.2).
        services = copy.headers.get_all("P-Preferred-Service")
        for name in ("P-Preferred-Service", "P-Asserted-Service"):
            copy.headers.remove(name)
        for service in services:
            copy.headers.add("P-Asserted-Service", service)
        return True

    @staticmethod
    def _claimed(request: Request) -> str:
        """Return who the caller says to be: From, or who hides there says it to us only (RFC 3323 section 4.1)."""
        preferred = request.headers.get_list("P-Preferred-Identity")
        if preferred and is_anonymous(request):
            return Address.parse(preferred[0]).uri.aor
        return request.from_.uri.aor

    def _preferred(self, request: Request, owner: str) -> str | None:
        """Return the identity that the caller prefers, if it is one of its own."""
        identities = self.subscribers.identities(owner)
        for value in request.headers.get_list("P-Preferred-Identity"):
            preferred = Address.parse(value).uri.aor
            if preferred in identities:
                return preferred
        return None

    # where it goes

    def _server_of(self, request: Request) -> HostPort | None:
        """Return the server of its interaction type; without a file server, files are conversations like others."""
        kind = interaction_type(request)
        if kind == "file" and kind not in self._servers:
            kind = "im"
        return None if kind is None else self._servers.get(kind)

    def _to_server(self, transaction: ServerTransaction, request: Request, server: HostPort) -> None:
        hop = Uri.parse(f"sip:{join_host_port(server)};transport=tcp;lr")
        request.headers.add("Route", f"<{hop}>")
        request.headers.add("Route", f"<sip:{self._mark}@{self.endpoint.sent_by};transport=tcp;lr>")
        if request.method == "INVITE":
            self.proxy.record_route(request, transaction.flow.transport, "TCP")
        self.proxy.relay(transaction, request, hop, unreachable_status=503)

    def _to_user(self, transaction: ServerTransaction, request: Request) -> None:
        username = self._called(request.uri)
        if username is None:
            self.endpoint.reply(transaction, 404)
            return
        binding = self.registrar.newest(username, self.endpoint.timers.time())
        if binding is None:
            self.endpoint.reply(transaction, 480)
            return
        forwarded = Request(request.method, binding.uri, request.headers, request.body)
        forwarded.headers.set("P-Called-Party-ID", f"<{request.uri.aor}>")
        if "id" in privacy_values(request):
            forwarded.headers.remove("P-Asserted-Identity")  # a user is outside the trust domain (RFC 3325 section 7)
        for value in binding.path:
            forwarded.headers.add("Route", value)
        hop = Address.parse(binding.path[0]).uri if binding.path else binding.uri
        if request.method == "INVITE":
            self.proxy.record_route(forwarded, transaction.flow.transport, wanted_transport(hop) or "")
        gone = binding
        self.proxy.relay(
            transaction,
            forwarded,
            hop,
            on_unreachable=lambda: self._announce(self.registrar.drop(username, gone), ContactEvent.DEACTIVATED),
        )

    def _way(self, hop: Uri) -> Uri | Flow:
        """Reach clients with TLS by the connection that they have made."""
        return (self.registrar.flow_to(hop) or hop) if wanted_transport(hop) == "TLS" else hop

    def _called(self, uri: Uri) -> str | None:
        """Return the account that a Request-URI names: by SIP URI, by tel URI, or by a number in a SIP URI."""
        if not uri.is_tel and not self._is_served(uri):
            return None
        aor = uri.aor
        if uri.is_sip and self.endpoint.is_local(uri):
            aor = f"sip:{uri.user}@{self.domain}"
        owner = self.subscribers.owner(aor)
        if owner is None and uri.is_sip and (uri.user or "").startswith("+"):
            owner = self.subscribers.owner(Uri("tel", uri.user).aor)
        return owner

    # third-party registration

    def _expire(self) -> None:
        timers = self.endpoint.timers
        for change in self.registrar.expire(timers.time()):
            self._announce(change, ContactEvent.EXPIRED)
        timers.schedule(timers.time() + EXPIRY_PERIOD, self._expire)

    def _announce(self, change: Change | None, why: ContactEvent, retry_after: int | None = None) -> None:
        """Tell interaction servers (TS 24.229 §5.4.1.7, B-TPR-01) and watchers who came, stays, or went, and why."""
        if change is None:
            return
        owner = self.subscribers.owner(change.aor)
        if owner is not None:
            self.events.changed(owner, why, retry_after)
        for server in self._servers.values():
            uri = Uri.parse(f"sip:{join_host_port(server)};transport=tcp")
            headers = [
                ("From", f"<sip:scscf@{self.domain}>;tag={ids.tag()}"),
                ("To", f"<{change.aor}>"),
                ("Call-ID", ids.call_id()),
                ("CSeq", "1 REGISTER"),
                ("Contact", f"<sip:{self.endpoint.sent_by}>"),
                ("Expires", str(change.expires)),
            ]
            self.endpoint.send(Request("REGISTER", uri, headers), uri, _third_party_answered, _third_party_failed)


def _third_party_answered(response: Response) -> None:
    if not response.is_success and response.is_final:
        logger.warning("an interaction server refused a third-party REGISTER: %d %s", response.status, response.reason)


def _third_party_failed(error: SipstackError) -> None:
    # The user stays registered (B-TPR-02): the default handling of an application server that is down.
    logger.warning("an interaction server was not told of a registration: %s", error)


def parse_subscriber(text: str, domain: str, realm: str) -> Subscriber:
    """Make an account from ``USER:PASSWORD`` or ``USER:PASSWORD=URI,URI``; click's error when it is none."""
    username, colon, rest = text.partition(":")
    password, _, identities = rest.partition("=")
    if not (username and colon and password):
        raise click.BadParameter(f"{text!r} is not USER:PASSWORD[=URI,URI]")
    return Subscriber.from_password(username, password, domain, filter(None, identities.split(",")), realm)


@click.command()
@click.option("--domain", default="cc.com", show_default=True, help="Home domain.")
@click.option("--realm", default="", help="Realm of the digest; the domain when not given.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=5060, show_default=True, help="SIP port (UDP and TCP); 0: a free one.")
@click.option("--http-port", default=5061, show_default=True, help="Port of the admin HTTP; 0: a free one.")
@click.option("--database", type=click.Path(path_type=Path), help="Subscriber table; in memory when not given.")
@click.option("--im-server", metavar="HOST:PORT", help="IM server that chats go through.")
@click.option("--file-server", metavar="HOST:PORT", help="File server that files go through.")
@click.option(
    "--algorithm", "algorithms", multiple=True, type=click.Choice(list(COLUMNS)), help="Most preferred first."
)
@click.option("--watcher", "watchers", multiple=True, metavar="USER", help="May watch everybody's registration.")
@click.option("--subscriber", "subscribers", multiple=True, metavar="USER:PASSWORD[=URI,URI]", help="Put this account.")
@trace_option("core")
def main(
    domain: str,
    realm: str,
    host: str,
    port: int,
    http_port: int,
    database: Path | None,
    im_server: str | None,
    file_server: str | None,
    algorithms: tuple[str, ...],
    watchers: tuple[str, ...],
    subscribers: tuple[str, ...],
    trace: Trace | None,
) -> None:
    """Run the embedded core until SIGTERM. Writes one JSON line when it is ready."""
    options = CoreOptions(domain, realm, host, port, http_port, database or ":memory:")
    options.im_server = parse_host_port(im_server) if im_server else None
    options.file_server = parse_host_port(file_server) if file_server else None
    options.algorithms = algorithms or options.algorithms
    options.watchers = watchers
    core = Core(options, trace=trace)
    for text in subscribers:
        core.subscribers.put(parse_subscriber(text, domain, realm or domain))
    serve_until_signal(core, lambda: ready("core", sip=core.address, http=core.admin.address))


if __name__ == "__main__":
    main()
