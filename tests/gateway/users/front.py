"""The HTTP face before real invitations and a users driver: what clients of subscribers see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gateway.http.app import HttpServer
from gateway.services import Services
from gateway.users.base import UsersDriver
from tests.gateway.http.fakes import Guests, Health, basic
from tests.gateway.invitation_helpers import House
from tests.gateway.users.places import PASSWORDS

USER = "/rcsgw/invitee/user"


@dataclass(frozen=True)
class Told:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def type(self) -> str:
        """Last part of a problem's type."""
        return str(self.body.get("type", "")).rpartition("/")[2]

    @property
    def after(self) -> int | None:
        """Seconds of Retry-After."""
        return int(self.headers["Retry-After"]) if "Retry-After" in self.headers else None


@dataclass
class Front:
    """A gateway's public face, as one client sees it."""

    house: House
    client: aiohttp.ClientSession

    async def call(self, method: str, path: str, user: str, password: str | None = None, **body: Any) -> Told:
        """Call as a subscriber, with the right password unless another is given."""
        headers = basic(user, PASSWORDS[user] if password is None else password)
        async with self.client.request(method, path, json=body or None, headers=headers) as answer:
            text = await answer.read()
            content = await answer.json(content_type=None) if text else {}
            return Told(answer.status, dict(answer.headers), content)

    async def invite(self, user: str, email: str = "b@cc.com") -> Told:
        """Invite somebody."""
        return await self.call("POST", USER, user, email=email)


@asynccontextmanager
async def front(folder: Path, driver: UsersDriver, **settings: Any) -> AsyncIterator[Front]:
    """Run a gateway without network; ``settings`` are keys of the configuration with ``__`` for dots."""
    folder.mkdir(parents=True, exist_ok=True)
    house = House(folder, **settings)
    house.driver = driver
    await house.start()
    config = house.config
    server = HttpServer(
        Services(house.invitations, Guests(), Health()),
        config.http.__class__(listen="127.0.0.1:0"),
        config.throttle,
    )
    await server.start()
    try:
        async with aiohttp.ClientSession(server.url) as client:
            yield Front(house, client)
    finally:
        await server.close()
        await house.stop()
