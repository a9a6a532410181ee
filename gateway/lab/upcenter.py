"""The lab's UP Center: subscribers, their states, and temporary accounts, by the HTTP contract of docs/up-center.md.

    python -m gateway.lab.upcenter --port 8070 --subscriber a:a-secret --token t --core http://127.0.0.1:5061

serves one subscriber, ``sip:a@cc.com``, and makes accounts known to the embedded core whose administration is there;
``--server`` does the same for interaction servers.
``PUT /admin/subscribers/a`` with ``{"state": "suspended"}`` changes one while it runs.

For labs only: everything is in memory, passwords too, and the administration is open.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import click
import msgspec
from aiohttp import web

from gateway.lab.admin import AdminServer, read_json
from gateway.lab.part import Part
from gateway.lab.run import ready, serve_until_signal
from sipstack import ids

EDITABLE = frozenset({"password", "name", "state", "level", "may_invite"})
"""What the administration may change of a subscriber."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """One of the operator's people."""

    uid: str
    password: str = field(repr=False)
    identities: tuple[str, ...]
    """SIP and tel URIs; the first SIP URI is the default one."""
    name: str | None = None
    state: str = "active"
    level: int = 0
    may_invite: bool = True
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()

    @property
    def sip(self) -> str:
        """The default identity."""
        return next(uri for uri in self.identities if uri.startswith("sip:"))

    def view(self) -> dict[str, Any]:
        """Return what the contract tells of a subscriber."""
        return {
            "uid": self.uid,
            "sip": self.sip,
            "identities": list(self.identities),
            "name": self.name,
            "state": self.state,
            "level": self.level,
            "may_invite": self.may_invite,
        }


@dataclass(frozen=True, slots=True)
class Account:
    """A temporary account that was allocated."""

    sip: str
    impi: str
    password: str = field(repr=False)


AccountChange = Callable[[Account], Awaitable[None]]
"""Makes an account known to the network, or unknown."""


async def _nothing(_: Account) -> None:
    """Change nothing: for a lab whose core makes accounts of its own."""


@dataclass(slots=True)
class UpCenterOptions:
    """How the UP Center is set up."""

    domain: str = "cc.com"
    host: str = "127.0.0.1"
    port: int = 0
    subscribers: tuple[Subscriber, ...] = ()
    token: str = ""
    """What the gateway has to show as Bearer; empty: nothing is asked for."""
    accounts: int = 1000
    """Temporary accounts that may be out at the same time."""
    made: AccountChange = _nothing
    gone: AccountChange = _nothing


class UpCenter(Part):
    """The service in one object. Tests make it fail by :attr:`answer`, and look at :attr:`calls`."""

    def __init__(self, options: UpCenterOptions | None = None) -> None:
        self.options = options or UpCenterOptions()
        self.subscribers = {subscriber.uid: subscriber for subscriber in self.options.subscribers}
        self.accounts: dict[tuple[str, str], Account] = {}
        """Kind and value of an identifier → the account that is out for it."""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        """Path and body of what was asked; passwords are left out."""
        self.connections = 0
        """TCP connections that calls came by."""
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None
        """What a test answers instead, unless that is None."""
        self._seen: set[int] = set()
        self._serial = 0
        self._http = AdminServer(self._build_app(), self.options.host, self.options.port)

    @property
    def url(self) -> str:
        """Base of the contract's calls."""
        return self._http.url

    async def start(self) -> None:
        """Listen. OSError when the port is taken."""
        await self._http.start()

    async def close(self) -> None:
        """Stop."""
        await self._http.close()

    def change(self, uid: str, **values: Any) -> None:
        """Change a subscriber, such as their ``state``."""
        self.subscribers[uid] = replace(self.subscribers[uid], **values)

    # the contract

    def _build_app(self) -> web.Application:
        app = web.Application(middlewares=[self._checked])
        calls = ("authenticate", "lookup", "taken", "states", "allocate", "release")
        app.add_routes([web.post(f"/{name}", self._handler(getattr(self, f"_{name}"))) for name in calls])
        app.add_routes([web.put("/admin/subscribers/{uid}", self._put_subscriber)])
        return app

    @web.middleware
    async def _checked(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let the gateway in, and note what it asks."""
        if id(request.transport) not in self._seen:
            self._seen.add(id(request.transport))
            self.connections += 1
        shown = request.headers.get("Authorization", "")
        if self.options.token and not hmac.compare_digest(shown.encode(), f"Bearer {self.options.token}".encode()):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        if self.answer is not None:
            instead = await self.answer(request)
            if instead is not None:
                return instead
        return await handler(request)

    def _handler(
        self, call: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            body = await read_json(request)
            self.calls.append((request.path, {key: value for key, value in body.items() if key != "password"}))
            try:
                return web.json_response(await call(body))
            except (KeyError, TypeError) as error:
                raise web.HTTPBadRequest(text=f"{type(error).__name__}: {error}") from None

        return handle

    async def _authenticate(self, body: dict[str, Any]) -> dict[str, Any]:
        found = self._by_name(body["user"])
        expected = found.password if found is not None else "\0"
        right = hmac.compare_digest(expected.encode(), body["password"].encode("utf-8", "surrogatepass"))
        return {"user": found.view() if found is not None and right else None}

    async def _lookup(self, body: dict[str, Any]) -> dict[str, Any]:
        kind, value = body["kind"], body["value"]
        for subscriber in self.subscribers.values():
            names: dict[str, Iterable[str]] = {
                "email": (email.lower() for email in subscriber.emails),
                "phone": (*subscriber.phones, *(uri.removeprefix("tel:") for uri in subscriber.identities)),
                "sip": subscriber.identities,
            }
            if (value.lower() if kind == "email" else value) in names[kind]:
                return {"known": "yes", "sip": subscriber.sip}
        return {"known": "no"}

    async def _taken(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body["sip"]
        out = any(account.sip == name for account in self.accounts.values())
        return {"taken": out or self._by_name(name) is not None}

    async def _states(self, body: dict[str, Any]) -> dict[str, Any]:
        known = (self.subscribers.get(uid) for uid in body["uids"])
        return {"states": {subscriber.uid: subscriber.state for subscriber in known if subscriber is not None}}

    async def _allocate(self, body: dict[str, Any]) -> dict[str, Any]:
        key = body["identifier"]["kind"], body["identifier"]["value"]
        account = self.accounts.get(key)
        if account is None:
            if len(self.accounts) >= self.options.accounts:
                return {"account": None}
            self._serial += 1
            name = f"guest-{self._serial}"
            account = Account(f"sip:{name}@{self.options.domain}", name, ids.token(128))
            await self.options.made(account)
            self.accounts[key] = account
        return {"account": {"sip": account.sip, "impi": account.impi, "password": account.password}}

    async def _release(self, body: dict[str, Any]) -> dict[str, Any]:
        for key, account in list(self.accounts.items()):
            if account.sip == body["sip"]:
                await self.options.gone(account)
                del self.accounts[key]
        return {}

    def _by_name(self, name: str) -> Subscriber | None:
        """Return the subscriber of a UID or an identity."""
        for subscriber in self.subscribers.values():
            if name == subscriber.uid or name in subscriber.identities:
                return subscriber
        return None

    # the administration

    async def _put_subscriber(self, request: web.Request) -> web.Response:
        uid, values = request.match_info["uid"], await read_json(request)
        if uid not in self.subscribers:
            raise web.HTTPNotFound(text="no such subscriber")
        if not set(values) <= EDITABLE:
            raise web.HTTPBadRequest(text=f"only {', '.join(sorted(EDITABLE))} can be changed")
        self.change(uid, **values)
        return web.json_response(self.subscribers[uid].view())


class NetworkAccounts:
    """Makes accounts known to the embedded core and the lab's interaction servers, by their administrations."""

    def __init__(self, core: str, servers: Iterable[str] = ()) -> None:
        """URLs, that of the core may be empty."""
        self._core = core.rstrip("/")
        self._servers = tuple(server.rstrip("/") for server in servers)

    async def made(self, account: Account) -> None:
        """Put it everywhere."""
        body = {"password": account.password, "impus": [account.sip]}
        for url in self._urls(account):
            await self._call("PUT", url, body)

    async def gone(self, account: Account) -> None:
        """Delete it, where it was put last first."""
        for url in reversed(self._urls(account)):
            await self._call("DELETE", url)

    def _urls(self, account: Account) -> list[str]:
        core = [f"{self._core}/subscribers/{quote(account.impi, safe='')}"] if self._core else []
        return core + [f"{server}/accounts/{quote(account.sip, safe='')}" for server in self._servers]

    async def _call(self, method: str, url: str, body: dict[str, Any] | None = None) -> None:
        try:
            async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as response:
                status = response.status
        except (aiohttp.ClientError, OSError) as error:
            raise web.HTTPBadGateway(text=f"{url}: {error}") from None
        if status not in (200, 201, 204, 404):
            raise web.HTTPBadGateway(text=f"{url} answers {status}")


def read_subscribers(path: Path) -> tuple[Subscriber, ...]:
    """Read a JSON file: a list of objects with the fields of :class:`Subscriber`. OSError, msgspec.DecodeError."""
    return msgspec.json.decode(path.read_bytes(), type=tuple[Subscriber, ...])


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8070, show_default=True, help="HTTP port; 0: a free one.")
@click.option("--domain", default="cc.com", show_default=True, help="Home domain.")
@click.option("--subscriber", "pairs", multiple=True, metavar="UID:PASSWORD", help="Subscriber sip:UID@DOMAIN.")
@click.option("--file", type=click.Path(path_type=Path, exists=True), help="JSON list of subscribers, with all fields.")
@click.option("--token", default="", help="Bearer that the gateway has to show.")
@click.option("--accounts", default=1000, show_default=True, help="Temporary accounts at a time.")
@click.option("--core", default="", metavar="URL", help="Administration of the embedded core, for temporary accounts.")
@click.option("--server", "servers", multiple=True, metavar="URL", help="That of an IM or file server, likewise.")
def main(
    host: str,
    port: int,
    domain: str,
    pairs: tuple[str, ...],
    file: Path | None,
    token: str,
    accounts: int,
    core: str,
    servers: tuple[str, ...],
) -> None:
    """Run the lab's UP Center until SIGTERM. Writes one JSON line when it is ready."""
    subscribers = [
        Subscriber(uid, password, (f"sip:{uid}@{domain}",))
        for uid, _, password in (pair.partition(":") for pair in pairs)
    ]
    try:
        subscribers += read_subscribers(file) if file is not None else ()
    except (OSError, msgspec.DecodeError) as error:
        raise click.ClickException(f"{file}: {error}") from None
    options = UpCenterOptions(domain, host, port, tuple(subscribers), token, accounts)
    network = NetworkAccounts(core, servers)
    options.made, options.gone = network.made, network.gone
    center = UpCenter(options)
    serve_until_signal(center, lambda: ready("up-center", url=center.url))


if __name__ == "__main__":
    main()
