"""The same subscribers behind every users driver, and how much work each has been made to do.

``a`` is active and of level 3, ``s`` is suspended, ``l`` lost, ``low`` of level 1, ``no`` may not invite.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.config.users import State, Subscriber
from gateway.database import Connection
from gateway.lab import upcenter
from gateway.users.base import UsersDriver
from gateway.users.http import HttpUsers
from gateway.users.local import LocalUsers
from gateway.users.register import RegisterUsers
from gateway.users.service import JsonService
from sipstack.sip.digest import compute_ha1
from sipstack.sip.uri import Uri
from tests.gateway.sip_helpers import Registrar, pair
from tests.gateway.users.tables import ROWS, SCHEMA, Tables, users

PASSWORDS = {"a": "pä:ss", "s": "ps", "l": "pl", "low": "pw", "no": "pn"}
STATES: dict[str, State] = {"s": "suspended", "l": "lost"}
LEVELS = {"a": 3, "low": 1}
NUMBER = "+12015550100"
"""A number of ``a``."""

NAMES = ("local", "kamailio-sqlite", "kamailio-mariadb", "kamailio-postgresql", "http", "register")


@dataclass
class Place:
    """A users driver and what is behind it."""

    name: str
    driver: UsersDriver
    tells: bool = True
    """It knows states and levels."""
    work: Callable[[], Counter[str]] = field(default=Counter)
    """How many hashes, statements or requests there have been."""


class Counting:
    """Stands for a module and counts the calls of its functions."""

    def __init__(self, module: Any, counter: Counter[str]) -> None:
        self._module = module
        self._counter = counter

    def __getattr__(self, name: str) -> Any:
        return counted(getattr(self._module, name), self._counter, name)


def counted(function: Callable[..., Any], counter: Counter[str], name: str) -> Callable[..., Any]:
    """Return a function that counts its calls."""

    def call(*arguments: Any, **named: Any) -> Any:
        counter[name] += 1
        return function(*arguments, **named)

    return call


def count_hashes(patch: pytest.MonkeyPatch, counter: Counter[str]) -> None:
    """Count hashes of passwords and comparisons in the drivers that make any themselves."""
    for module in ("gateway.users.local", "gateway.users.kamailio"):
        patch.setattr(f"{module}.hmac", Counting(hmac, counter))
        patch.setattr(f"{module}.compute_ha1", counted(compute_ha1, counter, "ha1"))
    patch.setattr(Connection, "rows", counted(Connection.rows, counter, "rows"))


@asynccontextmanager
async def place(name: str, patch: pytest.MonkeyPatch, tables: Tables | None) -> AsyncIterator[Place]:
    """Run a driver by its name in :data:`NAMES`; ``tables`` is where those of Kamailio are made."""
    counter: Counter[str] = Counter()
    count_hashes(patch, counter)
    if name == "local":
        yield Place(name, local(), work=lambda: counter.copy())
    elif name == "http":
        async with _http() as found:
            yield found
    elif name == "register":
        async with _register() as found:
            yield found
    else:
        assert tables is not None
        driver = users(tables(SCHEMA + ROWS), secrets="passwords")
        try:
            await driver.taken("sip:x@cc.com")  # which tables there are is looked up once
            yield Place(name, driver, work=lambda: counter.copy())
        finally:
            await driver.close()


def local() -> LocalUsers:
    """Return the table of the configuration."""
    return LocalUsers(
        Subscriber(
            uid=uid,
            password=password,
            identities=(f"sip:{uid}@cc.com", *((f"tel:{NUMBER}",) if uid == "a" else ())),
            state=STATES.get(uid, "active"),
            level=LEVELS.get(uid, 5),
            may_invite=uid != "no",
            emails=("alice@mail.example",) if uid == "a" else (),
        )
        for uid, password in PASSWORDS.items()
    )


@asynccontextmanager
async def _http() -> AsyncIterator[Place]:
    subscribers = tuple(
        upcenter.Subscriber(
            uid,
            password,
            (f"sip:{uid}@cc.com", *((f"tel:{NUMBER}",) if uid == "a" else ())),
            state=STATES.get(uid, "active"),
            level=LEVELS.get(uid, 5),
            may_invite=uid != "no",
            emails=("alice@mail.example",) if uid == "a" else (),
        )
        for uid, password in PASSWORDS.items()
    )
    async with upcenter.UpCenter(upcenter.UpCenterOptions(subscribers=subscribers)) as center:
        driver = HttpUsers(JsonService(center.url, timeout=10.0, connections=4), realm="cc.com", cache=0.0)
        try:
            yield Place("http", driver, work=lambda: Counter(path for path, _ in center.calls))
        finally:
            await driver.close()


@asynccontextmanager
async def _register() -> AsyncIterator[Place]:
    async with pair() as (ours, peer):
        Registrar(peer, "cc.com", PASSWORDS)
        driver = RegisterUsers(
            ours,
            domains=("cc.com",),
            realm="cc.com",
            outbound_proxy=Uri.parse(f"{peer.endpoint.uri()};transport=tcp;lr"),
            cache=0.0,
            timeout=10.0,
        )
        try:
            yield Place("register", driver, False, lambda: Counter(request.method for request in peer.requests))
        finally:
            await driver.close()
