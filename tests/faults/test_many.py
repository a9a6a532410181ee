"""Many invitations through a mail server that rejects one in ten and a core that drops one request in ten."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway.drivers import DriverError
from gateway.lab.ports import free_port
from tests.faults.course import Course, launching

AT_ONCE = 40
"""Inviting calls under way at a time."""

SETTLED_WITHIN = 300.0
"""Seconds for all that has been begun to be finished or undone."""

GROWTH = 24 * 1024
"""KiB that the gateway may have grown between the second round and the last, with a thousand invitations in each."""

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
max_invitations = 1000000
max_per_day = 0
max_per_minute = 0
[throttle]
lookups = 1000000000
[storage]
synchronous = "normal"
[[users.subscriber]]
uid = "a"
password = "pa"
identities = ["sip:a@cc.com"]
[provisioning]
driver = "http"
[provisioning.retry]
first = 0.1
longest = 1
[provisioning.http]
url = "{core}"
[provisioning.http.create]
path = "/accounts/{{impi}}"
json = {{sip = "{{uri}}", md5 = "{{ha1_md5}}"}}
[provisioning.http.delete]
path = "/accounts/{{impi}}"
[provisioning.http.exists]
path = "/accounts/{{impi}}"
[provisioning.http.list]
path = "/accounts"
items = "accounts"
uri = "sip"
[delivery.email]
host = "127.0.0.1"
port = {smtp}
sender = "gateway@cc.com"
[log]
level = "ERROR"
"""


class Core:
    """Keeps accounts. One request in ten is dropped: before anything was done, or before that was answered."""

    def __init__(self) -> None:
        self.accounts: dict[str, str] = {}
        self.dropped = 0
        self._chance = random.Random(5)
        app = web.Application()
        app.router.add_route("*", "/accounts{rest:.*}", self._handle)
        self.server = TestServer(app)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        number = self._chance.randrange(20)
        if number > 0:
            answer = await self._do(request)
            if number > 1:
                return answer
        self.dropped += 1
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _do(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["rest"].removeprefix("/")
        if request.method in ("PUT", "POST"):
            self.accounts[name] = (await request.json())["sip"]
            return web.Response(status=201)
        if not name:
            return web.json_response({"accounts": [{"sip": uri} for uri in self.accounts.values()]})
        if name not in self.accounts:
            return web.Response(status=404)
        if request.method == "DELETE":
            del self.accounts[name]
            return web.Response(status=204)
        return web.Response()


class MailServer:
    """Counts mails and their repetitions, and rejects whose number ends with 7."""

    def __init__(self) -> None:
        self.mails: dict[str, int] = {}
        self.port = 0
        self._server: asyncio.Server

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: SMTP(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if rejected(address):
            return "550 5.1.1 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        found = re.search(rb"^Message-ID: (\S+)", content, re.MULTILINE | re.IGNORECASE)
        assert found is not None
        self.mails[found[1].decode()] = self.mails.get(found[1].decode(), 0) + 1
        return "250 OK"


def rejected(address: str) -> bool:
    """Tell whether the mail server has no such person."""
    return address.partition("@")[0].endswith("7")


@dataclass
class Many(Course):
    """A gateway between a core that drops and a mail server that rejects."""

    core: Core = field(default_factory=Core)
    mail: MailServer = field(default_factory=MailServer)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.config = self.folder / "gateway.toml"
        core = str(self.core.server.make_url("")).rstrip("/")
        ports = {"http": self.port, "sip": free_port(), "msrp": free_port(), "smtp": self.mail.port}
        self.config.write_text(CONFIG.format(core=core, **ports))

    async def invite_all(self, numbers: range) -> None:
        """Invite, some at a time, again where the answer says that this may help."""
        await self.start()
        slots = asyncio.Semaphore(AT_ONCE)

        async def invite(number: int) -> None:
            async with slots:
                told = await self.call("POST", "/rcsgw/invitee/user", "a", "pa", {"email": f"b{number}@cc.com"})
                assert told.status in (200, 201, 202), told

        await asyncio.gather(*map(invite, numbers))

    def select(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "data" / "rcsgw.db", timeout=10)) as connection:
            return connection.execute(query).fetchall()

    async def wait_for(self, query: str) -> None:
        """Wait until a query finds nothing."""
        async with asyncio.timeout(SETTLED_WITHIN):
            while self.select(f"{query} LIMIT 1"):
                assert self.runs, self.log
                await asyncio.sleep(0.1)

    async def compared(self) -> None:
        """No account is missing, none is left over; asked again where the core drops the question."""
        while True:
            try:
                assert await self.audit() == ((), [])
                return
            except DriverError as error:
                assert error.temporary

    @property
    def memory(self) -> int:
        """KiB that the gateway holds."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1])


async def _round(many: Many, numbers: range) -> None:
    """Invite; everything has come to a true state; let A log out; nothing is left."""
    many.mail.mails.clear()
    await many.invite_all(numbers)
    await many.wait_for(
        "SELECT 1 FROM invitation JOIN delivery ON invitation_id = invitation.id "
        "WHERE invitation.state <> 'active' OR delivery.state NOT IN ('sent', 'failed')"
    )
    rows = many.select(
        "SELECT identifier, provisioned, delivery.state, message_id, sealed_link FROM invitation "
        "JOIN account ON account.id = account_id JOIN delivery ON invitation_id = invitation.id"
    )
    assert sorted(row[0] for row in rows) == sorted(f"b{number}@cc.com" for number in numbers)
    for identifier, provisioned, state, message_id, sealed_link in rows:
        assert provisioned and sealed_link is None
        assert state == ("failed" if rejected(identifier) else "sent"), identifier
        assert many.mail.mails.get(message_id, 0) == (0 if rejected(identifier) else 1)
    assert len(many.mail.mails) == sum(not rejected(row[0]) for row in rows)
    assert sorted(many.core.accounts.values()) == sorted(f"sip:{row[0]}" for row in rows)
    await many.compared()
    told = await many.call("DELETE", "/rcsgw/inviter/session", "a", "pa")
    assert told.status in (200, 204), told
    await many.wait_for("SELECT 1 FROM account")
    assert not many.core.accounts and not many.select("SELECT 1 FROM delivery UNION SELECT 1 FROM registration")
    await many.compared()


async def _run(folder: Path, rounds: int, each: int) -> list[int]:
    """Run; return the gateway's memory after each round, in KiB."""
    core, mail, memory = Core(), MailServer(), list[int]()
    await core.server.start_server()
    await mail.start()
    async with launching(folder) as (launcher, session):
        many = Many(folder / "many", launcher, session, "http", core=core, mail=mail)
        try:
            for number in range(rounds):
                await _round(many, range(number * each, (number + 1) * each))
                memory.append(many.memory)
            assert core.dropped > rounds * each / 20, "the core has dropped nearly nothing"
            await many.stop()
        finally:
            await many.kill()
            await mail.close()
            await core.server.close()
    assert "Traceback" not in many.log, many.log
    return memory


async def test_three_hundred_invitations(tmp_path: Path) -> None:
    await _run(tmp_path, rounds=2, each=150)


@pytest.mark.full
@pytest.mark.timeout(1500)
async def test_ten_thousand_invitations(tmp_path: Path) -> None:
    memory = await _run(tmp_path, rounds=10, each=1000)
    (tmp_path / "memory").write_text(f"{memory}\n")
    assert memory[-1] - memory[1] < GROWTH, memory
