"""One invitation from beginning to end in a gateway that is a real process, with one fault on its way."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gateway.accounts import opened
from gateway.audit import Finding
from gateway.config.load import load
from gateway.lab.core import Core, CoreOptions
from gateway.lab.ports import free_port
from tests.crash.site import Launcher, Told, read_store, running
from tests.e2e.cores import SubscriberTables
from tests.faults.network import AccountService, Network
from tests.servers import SqlServer

PHONE = "+4915112345678"
ACCOUNT = "sip:+4915112345678@cc.com"

UP_WITHIN = 15.0
"""Seconds for a gateway to answer."""

PATIENCE = 15.0
"""Seconds for everything to settle."""

KAMAILIO = Path(__file__).resolve().parents[2] / "config" / "kamailio" / "schema.sql"

CONFIG = """
[gateway]
data_dir = "data"
drain_timeout = 1
[http]
listen = "127.0.0.1:{http}"
[core]
domain = "cc.com"
[sip]
bind = "127.0.0.1:{sip}"
[msrp]
bind = "127.0.0.1:{msrp}"
[accounts]
naming = "identifier"
[policy]
max_per_minute = 0
[[users.subscriber]]
uid = "a"
password = "pa"
identities = ["sip:a@cc.com"]
[provisioning]
{provisioning}
[provisioning.retry]
first = 0.05
longest = 0.1
[interaction]
driver = "tests.faults.network:FileInteraction"
[interaction.options]
path = "{network}"
[delivery.retry]
first = 0.05
longest = 0.1
[delivery.sms]
driver = "tests.faults.network:FileDelivery"
[delivery.sms.options]
path = "{network}"
"""

DRIVERS = {
    # "server" stands for a Kamailio whose tables are in a database server
    "file": 'driver = "tests.faults.network:FileProvisioning"\n[provisioning.options]\npath = "{network}"',
    "kamailio": 'driver = "tests.faults.network:FaultyKamailio"\n[provisioning.options]\npath = "{network}"\n'
    'database = "{database}"\nkey = "k"',
    "server": 'driver = "tests.faults.network:FaultyKamailio"\n[provisioning.options]\npath = "{network}"\n'
    'database = "{tables}"\nkey = "k"',
    "lab": 'driver = "tests.faults.network:FaultyLab"\n[provisioning.options]\npath = "{network}"\n'
    'url = "{core}"\nkey = "k"',
    "http": 'driver = "tests.faults.network:FaultyHttp"\n[provisioning.options]\npath = "{network}"\nurl = "{service}"',
    "pool": 'driver = "pool"\n[provisioning.pool]\nfile = "{pool}"\nquarantine = 0',
}


@dataclass
class Course:
    """A gateway, its network in a file, and the people who use both."""

    folder: Path
    launcher: Launcher
    session: aiohttp.ClientSession
    driver: str
    service: str = ""
    """URL of an :class:`AccountService`, for the driver ``http``."""
    lab: Core | None = None
    """For the driver ``lab``."""
    tables: SubscriberTables | None = None
    """For the driver ``server``."""
    port: int = field(default_factory=free_port)
    pid: int | None = None
    kills: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.network = Network(self.folder / "network.db")
        self.network.make()
        table = Network(self.folder / "kamailio.db")
        if self.driver == "kamailio":
            for statement in KAMAILIO.read_text().split(";\n"):
                table.do(statement)
        self.table = table
        # one account, so that who follows gets none before it was given back
        (self.folder / "pool.csv").write_text(f"uri,password\n{ACCOUNT},secret\n")
        (self.folder / "pool.csv").chmod(0o600)
        files = {"network": "network.db", "database": "kamailio.db", "pool": "pool.csv"}
        names = {name: self.folder / file for name, file in files.items()}
        text = CONFIG.format(
            http=self.port,
            sip=free_port(),
            msrp=free_port(),
            provisioning=DRIVERS[self.driver].format(
                **names,
                service=self.service,
                core="" if self.lab is None else self.lab.admin.url,
                tables="" if self.tables is None else self.tables.url,
            ),
            network=names["network"],
        )
        self.config = self.folder / "gateway.toml"
        self.config.write_text(text)

    # the gateway

    @property
    def runs(self) -> bool:
        return self.pid is not None and running(self.pid)

    @property
    def log(self) -> str:
        return (self.folder / "gateway.log").read_text()

    async def start(self) -> None:
        """Start it unless it runs."""
        if self.runs:
            return
        if self.pid is not None:
            pid, self.pid = self.pid, None
            assert (await self.launcher.ask({"wait": pid}))["status"] == -signal.SIGKILL, self.log
            self.kills += 1
        command = {
            "start": ["serve", "--config", str(self.config)],
            "log": str(self.folder / "gateway.log"),
            "plan": None,
        }
        self.pid = (await self.launcher.ask(command))["pid"]
        deadline = time.monotonic() + UP_WITHIN
        while not (await self._once("GET", "/healthz", "nobody", "")).answered:
            if not self.runs:
                return  # killed again before it could answer
            assert time.monotonic() < deadline, self.log
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop it as an operator does."""
        assert self.pid is not None
        os.kill(self.pid, signal.SIGTERM)
        pid, self.pid = self.pid, None
        status = (await self.launcher.ask({"wait": pid}))["status"]
        assert status == 0, self.log

    async def kill(self) -> None:
        """End it whatever it does."""
        if self.pid is not None:
            if self.runs:
                os.kill(self.pid, signal.SIGKILL)
            await self.launcher.ask({"wait": self.pid})
            self.pid = None

    # people

    async def call(self, method: str, path: str, user: str, password: str, body: Any = None) -> Told:
        """Call until there is an answer, from another gateway if one dies of the call; and again if told so."""
        deadline = time.monotonic() + PATIENCE
        while True:
            await self.start()
            told = await self._once(method, path, user, password, body)
            if told.answered and told.status not in (409, 503, 504):
                return told
            assert time.monotonic() < deadline, (told, self.log)
            await asyncio.sleep(0.02)

    async def _once(self, method: str, path: str, user: str, password: str, body: Any = None) -> Told:
        headers = {"Accept": "application/json", "Authorization": aiohttp.encode_basic_auth(user, password)}
        headers["Connection"] = "close"
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            async with self.session.request(method, url, json=body, headers=headers) as response:
                return Told(response.status, await response.json() if await response.read() else None)
        except (aiohttp.ClientError, OSError):
            return Told()

    async def invite(self) -> Told:
        return await self.call("POST", "/rcsgw/invitee/user", "a", "pa", {"phone": PHONE})

    async def invitations(self) -> list[dict[str, Any]]:
        """Return what A sees."""
        told = await self.call("GET", "/rcsgw/invitee/user", "a", "pa")
        found: list[dict[str, Any]] = told.json["invitations"]
        return found

    async def log_in(self) -> Told:
        """Log in by the link that came."""
        secret = self.network.column("mail", "link")[-1].rpartition("passwd=")[2]
        return await self.call("POST", f"/rcsgw/invitee/session/{ACCOUNT}", ACCOUNT.removeprefix("sip:"), secret)

    async def revoke(self) -> Told:
        return await self.call("DELETE", f"/rcsgw/invitee/user/{ACCOUNT}", "a", "pa")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so, with a gateway that is started again whenever it dies."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, (self.left(), self.log)
            await self.start()
            await asyncio.sleep(0.02)

    # what there is

    @property
    def in_core(self) -> list[str]:
        if self.driver == "pool":
            return [str(row["key"]) for row in read_store(self.folder / "data").lease if row["free_at"] is None]
        if self.driver == "kamailio":
            return sorted(row[0] for row in self.table.do("SELECT username FROM subscriber"))
        if self.tables is not None:
            return sorted(str(row[0]) for row in self.tables.run("SELECT username FROM subscriber"))
        if self.lab is not None:
            return self.lab.subscribers.usernames()
        return self.network.column("core", "name")

    @property
    def settled(self) -> bool:
        """Nothing is under way."""
        rows = read_store(self.folder / "data")
        return all(row["state"] == "active" for row in rows.invitation) and not any(
            row["state"] in ("held", "queued") for row in rows.delivery
        )

    def left(self) -> list[Any]:
        """Return whatever there still is of anybody."""
        rows = read_store(self.folder / "data")
        left: list[Any] = [*rows.account, *rows.invitation, *rows.registration, *rows.delivery, *rows.entry]
        return [*left, *self.in_core, *self.network.do("SELECT * FROM server"), *self.network.column("binding", "uri")]

    async def audit(self, *, fix: bool = False) -> tuple[tuple[Finding, ...], list[Finding]]:
        """Return what the operator's audit finds, and what is left of that."""
        async with opened(load(self.config)) as accounts:
            comparison, left = await accounts.audit(fix=fix)
        return comparison.findings, list(left)


@asynccontextmanager
async def on_course(
    folder: Path,
    launcher: Launcher,
    session: aiohttp.ClientSession,
    driver: str,
    server: SqlServer | None = None,
) -> AsyncIterator[Course]:
    """Make a course, and end whatever is left of it; ``server`` has the tables for the driver ``server``."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(AccountService(Network(folder / "network.db")).server)
        lab = await stack.enter_async_context(Core(CoreOptions())) if driver == "lab" else None
        tables = SubscriberTables(server) if server is not None else None
        url = str(service.make_url("")).rstrip("/")
        course = Course(folder, launcher, session, driver, service=url, lab=lab, tables=tables)
        try:
            yield course
        finally:
            await course.kill()


@asynccontextmanager
async def launching(folder: Path) -> AsyncIterator[tuple[Launcher, aiohttp.ClientSession]]:
    """Run what starts gateways."""
    launcher = await Launcher.start(folder / "launcher.log")
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
            yield launcher, session
    finally:
        await launcher.close()
