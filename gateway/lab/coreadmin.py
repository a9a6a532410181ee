"""The admin HTTP of the embedded core: the subscriber table, who is registered, what fails on purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.lab.admin import read_json
from gateway.lab.subscribers import COLUMNS, MAX_IDENTITIES, IdentityTaken, Subscriber, canonical
from sipstack.errors import ParseError
from sipstack.im.reginfo import ContactEvent

if TYPE_CHECKING:
    from gateway.lab.core import Core

ENDS = frozenset(
    {
        ContactEvent.DEACTIVATED,
        ContactEvent.EXPIRED,
        ContactEvent.PROBATION,
        ContactEvent.REJECTED,
        ContactEvent.UNREGISTERED,
    }
)
"""Why a registration may end."""

MAX_NOTE = 256
"""Characters that may be written beside an account."""


def build_app(core: Core) -> web.Application:
    """Return the application. Bodies are JSON; hashes go in and never come out."""
    admin = CoreAdmin(core)
    app = web.Application()
    app.add_routes(
        [
            web.get("/health", admin.health),
            web.get("/subscribers", admin.list_subscribers),
            web.get("/subscribers/{user}", admin.get_subscriber),
            web.put("/subscribers/{user}", admin.put_subscriber),
            web.delete("/subscribers/{user}", admin.delete_subscriber),
            web.get("/registrations", admin.registrations),
            web.delete("/registrations/{user}", admin.drop_registration),
        ]
    )
    return app


class CoreAdmin:
    """The handlers; ``{user}`` is the private identity."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def health(self, _: web.Request) -> web.Response:
        """Tell that the core runs, and how many accounts are online."""
        return web.json_response({"status": "ok", "online": len(self._core.registrar)})

    async def list_subscribers(self, _: web.Request) -> web.Response:
        """Return all private identities, and the notes of those that have one."""
        table = self._core.subscribers
        return web.json_response({"subscribers": table.usernames(), "notes": table.notes()})

    async def get_subscriber(self, request: web.Request) -> web.Response:
        """Return one account without its hashes."""
        subscriber = self._core.subscribers.get(request.match_info["user"])
        if subscriber is None:
            raise web.HTTPNotFound(text="no such subscriber")
        return web.json_response(view(subscriber))

    async def put_subscriber(self, request: web.Request) -> web.Response:
        """Insert (201) or replace (200) an account; 400 for a bad body, 409 for an identity of another account."""
        try:
            subscriber = read_subscriber(request.match_info["user"], await read_json(request), self._core.domain)
            created = self._core.subscribers.put(subscriber)
        except IdentityTaken as error:
            raise web.HTTPConflict(text=str(error)) from None
        except (ParseError, TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return web.json_response(view(subscriber), status=201 if created else 200)

    async def delete_subscriber(self, request: web.Request) -> web.Response:
        """Delete an account and its bindings; 404 when there is none."""
        if not self._core.remove_subscriber(request.match_info["user"]):
            raise web.HTTPNotFound(text="no such subscriber")
        return web.Response(status=204)

    async def registrations(self, _: web.Request) -> web.Response:
        """Return all bindings."""
        now = self._core.endpoint.timers.time()
        return web.json_response({"registrations": self._core.registrar.dump(now)})

    async def drop_registration(self, request: web.Request) -> web.Response:
        """Remove the bindings of an account; ``?event=`` is why (RFC 3680), ``retry-after=`` seconds for ``probation``.

        404 when there is none, 400 for an event that ends nothing.
        """
        after = request.query.get("retry-after", "")
        try:
            why = ContactEvent(request.query.get("event", ContactEvent.DEACTIVATED.value))
            seconds = int(after) if after else None
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        if why not in ENDS:
            raise web.HTTPBadRequest(text=f"event: {why.value} ends no registration")
        if not self._core.drop(request.match_info["user"], why, seconds):
            raise web.HTTPNotFound(text="not registered")
        return web.Response(status=204)


def view(subscriber: Subscriber) -> dict[str, object]:
    """Return what may be shown of an account."""
    return {
        "username": subscriber.username,
        "domain": subscriber.domain,
        "realm": subscriber.realm,
        "impus": list(subscriber.impus),
        "algorithms": sorted(subscriber.ha1),
        "note": subscriber.note,
    }


def read_subscriber(username: str, body: dict[str, Any], default_domain: str) -> Subscriber:
    """Make an account from ``{"realm", "domain", "impus", "note", "ha1": {"MD5": …}}`` or ``{"password": …}`` for ha1.

    ValueError naming the key for what makes no sense.
    """
    unknown = set(body) - {"realm", "domain", "impus", "note", "ha1", "password"}
    if unknown:
        raise ValueError(f"unknown key: {', '.join(sorted(unknown))}")
    domain = str(body.get("domain") or default_domain)
    realm = str(body.get("realm") or domain)
    impus = body.get("impus", [])
    if not isinstance(impus, list) or len(impus) > MAX_IDENTITIES:
        raise ValueError(f"impus: a list of at most {MAX_IDENTITIES} URIs")
    note = str(body.get("note", ""))
    if len(note) > MAX_NOTE:
        raise ValueError(f"note: at most {MAX_NOTE} characters")
    if "password" in body:
        return replace(Subscriber.from_password(username, str(body["password"]), domain, impus, realm), note=note)
    hashes = body.get("ha1")
    if not isinstance(hashes, dict) or not hashes or not set(hashes) <= set(COLUMNS):
        raise ValueError(f"ha1: an object with one or more of {', '.join(COLUMNS)}")
    ha1 = {algorithm: str(value).lower() for algorithm, value in hashes.items()}
    for algorithm, value in ha1.items():
        if len(value) != (32 if algorithm == "MD5" else 64) or not set(value) <= set("0123456789abcdef"):
            raise ValueError(f"ha1: {algorithm} is no hash in hexadecimal")
    identities = canonical(impus) or (f"sip:{username.partition('@')[0]}@{domain}",)
    return Subscriber(username, domain, realm, ha1, identities, note)
