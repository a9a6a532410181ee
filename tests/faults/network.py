"""A network in one SQLite file that gateways of other processes use through drivers, and its faults.

The gateway loads the drivers by ``tests.faults.network:Class``. What is no driver (the gateway's own commits, REGISTER
of guests) is wrapped in the process that loads them.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.config.provisioning import HttpCallSection, HttpListSection, HttpServiceSection
from gateway.database import Database
from gateway.delivery.base import DeliveryOrder
from gateway.drivers import DriverError
from gateway.httpservice import HttpService
from gateway.provisioning.base import Audit, CoreAccount
from gateway.provisioning.http import HttpProvisioning
from gateway.provisioning.kamailio import KamailioProvisioning
from gateway.provisioning.lab import LabProvisioning
from gateway.storage.errors import StoreError
from gateway.storage.sqlite import SqliteStore
from sipstack.errors import TransactionTimeout
from sipstack.net.useragent import UserAgent
from sipstack.sip.registration_events import Registered

SLOW = 0.4
"""Seconds that a slow answer takes."""

TABLES = """
CREATE TABLE core (name TEXT PRIMARY KEY);
CREATE TABLE server (uri TEXT, kind TEXT, PRIMARY KEY (uri, kind));
CREATE TABLE binding (uri TEXT PRIMARY KEY);
CREATE TABLE mail (message_id TEXT, address TEXT, link TEXT);
CREATE TABLE fault (step TEXT, kind TEXT);
CREATE TABLE passed (step TEXT);
"""

STORE_STEPS = {"begin_invitation": "allocate", "activate": "activate", "come": "come", "delete_account": "delete"}
"""Commits of the gateway that are steps of an invitation's life."""


class Network:
    """The file. All calls are short transactions; any process may make them."""

    def __init__(self, path: str | Path) -> None:
        self._path = path

    def make(self) -> None:
        """Begin with nothing."""
        with closing(self._connect()) as connection:
            connection.executescript(TABLES)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        connection.execute("PRAGMA synchronous = off")  # processes die, the machine does not
        return connection

    def do(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement; return its rows."""
        with closing(self._connect()) as connection:
            return connection.execute(statement, values).fetchall()

    def break_next(self, step: str, kind: str) -> None:
        """Let the next call of a step fail: ``temporary``, ``final``, ``slow``, ``kill-before`` or ``kill-after``."""
        self.do("INSERT INTO fault VALUES (?, ?)", step, kind)

    def pending(self) -> list[tuple[Any, ...]]:
        """Return the faults that have not struck."""
        return self.do("SELECT step, kind FROM fault")

    def column(self, table: str, column: str) -> list[str]:
        """Return what stands in a column."""
        return [row[0] for row in self.do(f"SELECT {column} FROM {table} ORDER BY 1")]

    async def pass_through(
        self, step: str, work: Callable[[], Awaitable[Any]], refusal: Callable[..., Exception]
    ) -> Any:
        """Do ``work``, or what the fault of this step wants instead; ``refusal(text, temporary)`` makes its error."""
        fault = self.do("DELETE FROM fault WHERE step = ? RETURNING kind", step)
        kind = fault[0][0] if fault else ""
        self.do("INSERT INTO passed VALUES (?)", step)
        if kind == "kill-before":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind in ("temporary", "final"):
            raise refusal(f"{step} fails", temporary=kind == "temporary")
        if kind == "slow":
            await asyncio.sleep(SLOW)
        result = await work()
        if kind == "kill-after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    # what is no driver

    def install(self) -> None:
        """Wrap the gateway's commits and the registrations of its guests, in this process."""
        for method, step in STORE_STEPS.items():
            setattr(SqliteStore, method, self._commit(step, getattr(SqliteStore, method)))

        async def register(agent: UserAgent) -> Registered:
            async def bind() -> Registered:
                self.do("INSERT OR REPLACE INTO binding VALUES (?)", str(agent.identity.aor))
                return Registered(3600, (), ())

            result: Registered = await self.pass_through("login", bind, _no_answer)
            return result

        async def unregister(agent: UserAgent, timeout: float = 0, *, left_behind: bool = False) -> None:
            self.do("DELETE FROM binding WHERE uri = ?", str(agent.identity.aor))

        end = UserAgent.close

        async def close(agent: UserAgent, timeout: float = 0) -> None:
            await unregister(agent)
            await end(agent, timeout)

        for name, replacement in (("register", register), ("unregister", unregister), ("close", close)):
            setattr(UserAgent, name, replacement)

    def _commit(self, step: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(method)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            return await self.pass_through(step, lambda: method(*args, **kwargs), _disk_full)

        return wrapped


def _no_answer(text: str, *, temporary: bool) -> Exception:
    return TransactionTimeout(text)


def _disk_full(text: str, *, temporary: bool) -> Exception:
    return StoreError(text)


class FileProvisioning:
    """A core that keeps names."""

    def __init__(self, path: str) -> None:
        self.network = Network(path)

    async def taken(self, uri: str, impi: str, realm: str) -> bool:
        return bool(await self.network.pass_through("name", lambda: self._taken(uri, impi, realm), DriverError))

    async def provision(self, account: CoreAccount) -> None:
        await self.network.pass_through("provision", lambda: self._provision(account), DriverError)

    async def deprovision(self, account: CoreAccount) -> None:
        await self.network.pass_through("deprovision", lambda: self._deprovision(account), DriverError)

    async def _taken(self, uri: str, impi: str, realm: str) -> bool:
        return bool(self.network.do("SELECT 1 FROM core WHERE name = ?", uri))

    async def _provision(self, account: CoreAccount) -> None:
        self.network.do("INSERT OR REPLACE INTO core VALUES (?)", account.uri)

    async def _deprovision(self, account: CoreAccount) -> None:
        self.network.do("DELETE FROM core WHERE name = ?", account.uri)

    async def audit(self, accounts: Sequence[CoreAccount]) -> Audit:
        known, wanted = set(self.network.column("core", "name")), {account.uri for account in accounts}
        return Audit(tuple(sorted(wanted - known)), tuple(sorted(known - wanted)))

    async def remove(self, name: str) -> None:
        self.network.do("DELETE FROM core WHERE name = ?", name)

    async def close(self) -> None:
        pass


class FaultyKamailio(FileProvisioning):
    """The driver for Kamailio on a real table, with the same faults around it."""

    def __init__(self, path: str, database: str, key: str) -> None:
        super().__init__(path)
        self._kamailio = KamailioProvisioning(Database(database), mark=lambda name: f"rcsgw-{key}-{name}"[:25])

    async def _taken(self, uri: str, impi: str, realm: str) -> bool:
        return await self._kamailio.taken(uri, impi, realm)

    async def _provision(self, account: CoreAccount) -> None:
        await self._kamailio.provision(account)

    async def _deprovision(self, account: CoreAccount) -> None:
        await self._kamailio.deprovision(account)

    async def audit(self, accounts: Sequence[CoreAccount]) -> Audit:
        return await self._kamailio.audit(accounts)

    async def remove(self, name: str) -> None:
        await self._kamailio.remove(name)

    async def close(self) -> None:
        await self._kamailio.close()


class FaultyLab(FileProvisioning):
    """The driver for the embedded core, which outlives the gateways, with the same faults around it."""

    def __init__(self, path: str, url: str, key: str) -> None:
        super().__init__(path)
        self._lab = LabProvisioning(url, mark=lambda name: f"rcsgw-{key}-{name}")

    async def _taken(self, uri: str, impi: str, realm: str) -> bool:
        return await self._lab.taken(uri, impi, realm)

    async def _provision(self, account: CoreAccount) -> None:
        await self._lab.provision(account)

    async def _deprovision(self, account: CoreAccount) -> None:
        await self._lab.deprovision(account)

    async def audit(self, accounts: Sequence[CoreAccount]) -> Audit:
        return await self._lab.audit(accounts)

    async def remove(self, name: str) -> None:
        await self._lab.remove(name)

    async def close(self) -> None:
        await self._lab.close()


class FaultyHttp(FileProvisioning):
    """The driver for services over HTTP, in front of :class:`AccountService`, with the same faults around it."""

    def __init__(self, path: str, url: str) -> None:
        super().__init__(path)
        call = HttpCallSection(path="/accounts/{uri}")
        section = HttpServiceSection(
            url=url,
            create=msgspec.structs.replace(call, json={"realm": "{realm}", "ha1": "{ha1_md5}"}),
            delete=call,
            exists=call,
            list=HttpListSection(path="/accounts"),
        )
        self._http = HttpProvisioning(HttpService(section), private=lambda uri: (uri, "cc.com"))

    async def _taken(self, uri: str, impi: str, realm: str) -> bool:
        return await self._http.taken(uri, impi, realm)

    async def _provision(self, account: CoreAccount) -> None:
        await self._http.provision(account)

    async def _deprovision(self, account: CoreAccount) -> None:
        await self._http.deprovision(account)

    async def audit(self, accounts: Sequence[CoreAccount]) -> Audit:
        audit = await self._http.audit(accounts)
        assert audit is not None
        return audit

    async def remove(self, name: str) -> None:
        await self._http.remove(name)

    async def close(self) -> None:
        await self._http.close()


class AccountService:
    """An operator's service that keeps accounts in the network's table ``core``; it outlives the gateways."""

    def __init__(self, network: Network) -> None:
        self._network = network
        app = web.Application()
        app.router.add_route("*", "/accounts{rest:.*}", self._handle)
        self.server = TestServer(app)

    async def _handle(self, request: web.Request) -> web.Response:
        name, known = request.match_info["rest"].removeprefix("/"), self._network.column("core", "name")
        if not name:
            return web.json_response([{"uri": uri} for uri in known])
        if request.method == "PUT":
            self._network.do("INSERT OR REPLACE INTO core VALUES (?)", name)
        elif request.method == "DELETE":
            self._network.do("DELETE FROM core WHERE name = ?", name)
        return web.Response(status=200 if name in known or request.method == "PUT" else 404)


class FileInteraction:
    """An interaction server that keeps names; loading it installs the faults of what is no driver."""

    def __init__(self, path: str) -> None:
        self.network = Network(path)
        if getattr(sys.modules["__main__"].__spec__, "name", "") == "tests.crash.launcher":
            self.network.install()  # in a gateway, that is, and not in the process of the tests

    async def register(self, uri: str, kind: str) -> None:
        async def put() -> None:
            self.network.do("INSERT OR REPLACE INTO server VALUES (?, ?)", uri, kind)

        await self.network.pass_through("register", put, DriverError)

    async def deregister(self, uri: str, kind: str) -> None:
        async def drop() -> None:
            self.network.do("DELETE FROM server WHERE uri = ? AND kind = ?", uri, kind)

        await self.network.pass_through("deregister", drop, DriverError)

    async def audit(self, uris: Sequence[str], kind: str) -> Audit | None:
        known = {row[0] for row in self.network.do("SELECT uri FROM server WHERE kind = ?", kind)}
        return Audit(tuple(sorted(set(uris) - known)), tuple(sorted(known - set(uris))))

    async def close(self) -> None:
        pass


class FileDelivery:
    """A mail server that keeps what it gets."""

    def __init__(self, path: str) -> None:
        self.network = Network(path)

    async def send(self, order: DeliveryOrder) -> tuple[str, ...]:
        async def put() -> None:
            self.network.do("INSERT INTO mail VALUES (?, ?, ?)", order.message_id, order.address, order.link)

        await self.network.pass_through("deliver", put, DriverError)
        return ()

    async def close(self) -> None:
        pass
