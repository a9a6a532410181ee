"""The network around a gateway that dies: core, IM server, mailbox and A's phone live on in the test's process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gateway.lab.core import Core, CoreOptions, parse_subscriber
from gateway.lab.imserver import ImServer
from gateway.lab.interaction import InteractionOptions
from gateway.lab.mailbox import Mailbox
from gateway.lab.phone import Behaviour, Phone, PhoneOptions
from gateway.lab.ports import free_port
from sipstack.errors import SipstackError
from sipstack.msrp.message import MessageState

DOMAIN = "cc.com"
PASSWORDS = {"a": "alice-pw", "c": "carol-pw"}

UP_WITHIN = 10.0
"""Seconds for a gateway to answer; a tenth of a second on an idle machine."""

PATIENCE = 12.0
"""Seconds for everything to settle after a restart."""

ATTEMPT = 3.0
"""Seconds that A's phone waits for a chat or an answer before it tries again."""


@dataclass(slots=True)
class Told:
    """What a client heard: a status, or 0 where the connection broke before an answer."""

    status: int = 0
    json: Any = None

    @property
    def answered(self) -> bool:
        return self.status != 0


class Launcher:
    """Our end of :mod:`tests.crash.launcher`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, log: Path) -> Launcher:
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.crash.launcher"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        return cls(process)

    async def ask(self, command: dict[str, Any]) -> dict[str, int]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        answer: dict[str, int] = json.loads(await self._process.stdout.readline())
        return answer

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


class Client:
    """Somebody who calls the gateway over HTTP, and lives with broken connections."""

    def __init__(self, site: Site, user: str, password: str) -> None:
        self._site = site
        self._auth = aiohttp.encode_basic_auth(user, password)

    async def call(self, method: str, path: str, body: Any = None, *, key: str = "") -> Told:
        """Make one call."""
        headers = {"Accept": "application/json", "Authorization": self._auth, "Connection": "close"}
        if key:
            headers["Idempotency-Key"] = key
        url = f"http://127.0.0.1:{self._site.http_port}{path}"
        try:
            async with self._site.session.request(method, url, json=body, headers=headers) as response:
                text = await response.text()
                return Told(response.status, json.loads(text) if text else None)
        except (aiohttp.ClientError, OSError):
            return Told()


@dataclass
class Site:
    """The network; ``gateway`` is the process id of the gateway that runs."""

    folder: Path
    core: Core
    im_server: ImServer
    mailbox: Mailbox
    phone: Phone
    session: aiohttp.ClientSession
    launcher: Launcher
    http_port: int = field(default_factory=free_port)
    sip_port: int = field(default_factory=free_port)
    msrp_port: int = field(default_factory=free_port)
    gateway: int | None = None

    # the gateway

    async def start_gateway(self, home: Path, settings: dict[str, str], plan: dict[str, Any] | None = None) -> None:
        """Start a gateway whose store is in ``home``; with ``plan`` one that counts points and may die at one."""
        home.mkdir(exist_ok=True)
        overrides = {
            "gateway.data_dir": str(home),
            "http.listen": f"127.0.0.1:{self.http_port}",
            "sip.bind": f"127.0.0.1:{self.sip_port}",
            "msrp.bind": f"127.0.0.1:{self.msrp_port}",
            **settings,
        }
        arguments = ["serve", "--config", str(self.folder / "gateway.toml")]
        for key, value in overrides.items():
            arguments += ["--set", f"{key}={value}"]
        command = {"start": arguments, "log": str(home / "gateway.log"), "plan": plan}
        self.gateway = (await self.launcher.ask(command))["pid"]
        client = Client(self, "nobody", "")
        deadline = time.monotonic() + UP_WITHIN
        while not (await client.call("GET", "/healthz")).answered:
            assert self.gateway_runs and time.monotonic() < deadline, (home / "gateway.log").read_text()
            await asyncio.sleep(0.01)

    @property
    def gateway_runs(self) -> bool:
        """Tell whether there is a gateway that has not died."""
        return self.gateway is not None and running(self.gateway)

    async def kill_gateway(self) -> bool:
        """Kill the gateway unless it is dead already; tell whether it was."""
        assert self.gateway is not None
        pid, self.gateway = self.gateway, None
        died = not running(pid)
        if not died:
            os.kill(pid, signal.SIGKILL)
        status = (await self.launcher.ask({"wait": pid}))["status"]
        assert status == -signal.SIGKILL, f"the gateway ended with {status}"
        return died

    async def stop_gateway(self) -> None:
        """Stop it as an operator does."""
        pid, self.gateway = self.gateway, None
        if pid is not None:
            if running(pid):
                os.kill(pid, signal.SIGTERM)
            status = (await self.launcher.ask({"wait": pid}))["status"]
            assert status == 0, f"the gateway ended with {status}"

    # people

    def inviter(self, uid: str = "a") -> Client:
        return Client(self, uid, PASSWORDS[uid])

    async def say(self, account: str, text: str, message_id: str) -> None:
        """Let A say something to a guest: again and again with the same id until it is acknowledged."""
        while True:
            try:
                async with asyncio.timeout(ATTEMPT):
                    chat = await self.phone.call(account)
                    message = await chat.deliver(text, message_id=message_id)
                if message.state is MessageState.SENT:
                    return
            except (SipstackError, TimeoutError):
                pass
            await asyncio.sleep(0.03)

    def heard(self, text: str) -> list[str]:
        """Return the ids under which A's phone got a text."""
        return [event.id for event in self.phone.events if event.kind == "message" and event.text == text]

    # what the network knows

    def core_accounts(self) -> set[str]:
        """Private identities of guests in the subscriber table."""
        return set(self.core.subscribers.usernames()) - set(PASSWORDS)

    def bindings(self) -> list[str]:
        """Identities of guests that are registered, once for each binding."""
        now = self.core.endpoint.timers.time()
        aors = [str(row["aor"]) for row in self.core.registrar.dump(now)]
        return sorted(aor for aor in aors if aor not in {f"sip:{uid}@{DOMAIN}" for uid in PASSWORDS})

    def im_accounts(self) -> set[str]:
        """Identities of guests that the IM server serves."""
        return set(self.im_server.accounts.all())

    def im_online(self) -> set[str]:
        """Identities of guests that the IM server takes for online."""
        aors = {aor for aor in self.im_server.online if self.im_server.is_online(aor)}
        return aors - {f"sip:{uid}@{DOMAIN}" for uid in PASSWORDS}


@dataclass
class Rows:
    """What the store holds."""

    tables: dict[str, list[dict[str, Any]]]

    def __getattr__(self, table: str) -> list[dict[str, Any]]:
        return self.tables[table]

    @property
    def settled(self) -> bool:
        """Nothing is under way."""
        return (
            all(row["state"] == "active" for row in self.tables["invitation"])
            and all(row["state"] not in ("queued", "held") for row in self.tables["delivery"])
            and all(row["state"] != "pending" for row in self.tables["entry"])
        )


def read_store(home: Path) -> Rows:
    """Read all tables as another process would."""
    names = ("account", "invitation", "registration", "delivery", "entry", "tombstone", "lease")
    with closing(sqlite3.connect(f"file:{home / 'rcsgw.db'}?mode=ro", uri=True, timeout=5)) as database:
        database.row_factory = sqlite3.Row
        database.execute("BEGIN")
        return Rows({name: [dict(row) for row in database.execute(f"SELECT * FROM {name}")] for name in names})


def running(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def eventually(check: Callable[[], Any], what: Callable[[], Any]) -> None:
    """Wait until ``check`` is true; AssertionError with ``what`` else."""
    deadline = time.monotonic() + PATIENCE
    while not check():
        assert time.monotonic() < deadline, what()
        await asyncio.sleep(0.01)


@asynccontextmanager
async def site_in(folder: Path) -> AsyncIterator[Site]:
    """Run the network without a gateway."""
    async with AsyncExitStack() as stack:
        members = tuple(f"sip:{uid}@{DOMAIN}" for uid in PASSWORDS)
        im_server = await stack.enter_async_context(ImServer(InteractionOptions(domain=DOMAIN, members=members)))
        core = await stack.enter_async_context(Core(CoreOptions(domain=DOMAIN, im_server=im_server.address)))
        for uid, password in PASSWORDS.items():
            core.subscribers.put(parse_subscriber(f"{uid}:{password}", DOMAIN, DOMAIN))
        mailbox = await stack.enter_async_context(Mailbox())
        options = PhoneOptions(
            aor=f"sip:a@{DOMAIN}",
            password=PASSWORDS["a"],
            proxy=f"sip:{core.address[0]}:{core.address[1]};transport=tcp;lr",
            behaviour=Behaviour(on_message="accept", receipts="none"),
        )
        phone = await stack.enter_async_context(Phone(options))
        (folder / "gateway.toml").write_text(gateway_toml(core, im_server, mailbox))
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)))
        launcher = await Launcher.start(folder / "launcher.log")
        stack.push_async_callback(launcher.close)
        site = Site(folder, core, im_server, mailbox, phone, session, launcher)
        try:
            yield site
        finally:
            if site.gateway is not None:
                os.kill(site.gateway, signal.SIGKILL)
                await launcher.ask({"wait": site.gateway})


def gateway_toml(core: Core, im_server: ImServer, mailbox: Mailbox) -> str:
    """Return the configuration of a gateway beside these parts."""
    users = "".join(
        f'[[users.subscriber]]\nuid = "{uid}"\npassword = "{password}"\nidentities = ["sip:{uid}@{DOMAIN}"]\n'
        for uid, password in PASSWORDS.items()
    )
    return f"""
[gateway]
public_url = "http://127.0.0.1:8080"
drain_timeout = 3
[core]
domain = "{DOMAIN}"
outbound_proxy = "sip:{core.address[0]}:{core.address[1]};transport=tcp;lr"
[sip]
trusted = ["127.0.0.0/8"]
[msrp]
allowed_networks = ["127.0.0.0/8"]
[accounts]
naming = "identifier"
[provisioning]
driver = "lab"
[provisioning.lab]
url = "{core.admin.url}"
[interaction]
driver = "sip"
[interaction.sip]
im = "sip:{im_server.address[0]}:{im_server.address[1]};transport=tcp"
identity = "sip:rcsgw@{DOMAIN}"
[delivery.email]
host = "{mailbox.address[0]}"
port = {mailbox.address[1]}
sender = "gateway@{DOMAIN}"
{users}"""
