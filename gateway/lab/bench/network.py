"""The network that is measured: core, peer and gateway, each a process of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gateway.lab.guest import read_link
from gateway.lab.mailbox import Mailbox
from gateway.lab.processes import Child, Children
from sipstack.flow import HostPort

PASSWORD = "bench-pw"
FSYNC = "full"
ATTEMPTS = 5
"""How often an invitation is tried that the gateway puts off: all parts share the cores of one machine."""


POLICY = "[policy]\nmax_per_day = 0\nmax_per_minute = 0\n"
"""One subscriber invites all guests, as fast as the gateway can take it."""


@dataclass(slots=True)
class Network:
    """Where everything is."""

    gateway: Child
    url: str
    mailbox: Mailbox
    session: aiohttp.ClientSession
    phone: str
    proxy: str

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the gateway's HTTP side."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    async def invite(self, emails: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Invite people and read their mails; return e-mail → account and secret."""
        auth = {"Authorization": basic("a", PASSWORD)}
        url = f"{self.url}/rcsgw/invitee/user"
        limit = asyncio.Semaphore(16)

        async def one(email: str) -> None:
            for attempt in range(1, ATTEMPTS + 1):
                async with limit:
                    answer = await self.session.post(url, json={"email": email}, headers=auth)
                if answer.status in (201, 202):
                    return
                if answer.status not in (429, 503) or attempt == ATTEMPTS:
                    raise RuntimeError(f"{email}: {answer.status} {await answer.text()}")
                await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))

        await asyncio.gather(*(one(email) for email in emails))
        found: dict[str, tuple[str, str]] = {}
        async with asyncio.timeout(60 + len(emails) / 20):
            while len(found) < len(emails):
                await asyncio.sleep(0.1)
                for mail in self.mailbox.mails:
                    found[mail.recipients[0]] = read_link(mail.links()[0])[1:]
                self.mailbox.mails.clear()
        return found


def basic(user: str, password: str) -> str:
    """Return the value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user.partition(':')[2] or user}:{password}".encode()).decode()


@contextlib.asynccontextmanager
async def network(folder: Path, settings: str = POLICY, *, on_message: str = "accept") -> AsyncIterator[Network]:
    """Start all processes; ``settings`` is added to the gateway's configuration, ``on_message`` is what A does."""
    async with Children(folder) as children, aiohttp.ClientSession() as session, Mailbox() as mailbox:
        lab = await children.start(
            "lab",
            module(
                "gateway.lab.lab",
                "--no-phone",
                "--user",
                f"a:{PASSWORD}",
                *ports("sip", "im", "file", "content", "smtp", "mailbox", "core"),
            ),
        )
        places = await lab.ready()
        proxy = f"sip:{places['sip']};transport=tcp;lr"
        phone = await children.start(
            "phone",
            module("gateway.lab.phone", "--password", PASSWORD, "--proxy", proxy, "--on-message", on_message)
            + ["--receipts", "none", "--control", "127.0.0.1:0", "--quiet"],
        )
        phone_places = await phone.ready()
        config = folder / "gateway.toml"
        config.write_text(gateway_config(places, mailbox.address, settings))
        gateway = await children.start(
            "gateway", [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)]
        )
        url = await until_listening(gateway, folder)
        yield Network(gateway, url, mailbox, session, phone_places["http"], proxy)


def module(name: str, *arguments: str) -> list[str]:
    """Return the command line of one of our modules."""
    return [sys.executable, "-m", name, *arguments]


def ports(*names: str) -> list[str]:
    """Return options that ask for free ports."""
    return [item for name in names for item in (f"--{name}-port", "0")]


async def until_listening(gateway: Child, folder: Path) -> str:
    """Wait for the gateway's log line with its address."""
    url = ""

    async def listens() -> bool:
        nonlocal url
        for line in gateway.log.read_text(errors="replace").splitlines():
            if "listening for HTTP on " in line:
                url = line.rpartition(" ")[2]
        return bool(url)

    await gateway.until(listens)
    return url


def gateway_config(places: dict[str, Any], smtp: HostPort, settings: str) -> str:
    """Return the configuration of the gateway that is measured: durable store, second registration, e-mail."""
    return f"""
[http]
listen = "127.0.0.1:0"
[core]
domain = "cc.com"
outbound_proxy = "sip:{places["sip"]};transport=tcp;lr"
[sip]
bind = "127.0.0.1:0"
trusted = ["127.0.0.0/8"]
[msrp]
bind = "127.0.0.1:0"
allowed_networks = ["127.0.0.0/8"]
[storage]
synchronous = "{FSYNC}"
[[users.subscriber]]
uid = "a"
password = "{PASSWORD}"
identities = ["sip:a@cc.com"]
[provisioning]
driver = "lab"
lab = {{ url = "http://{places["core"]}" }}
[interaction]
driver = "sip"
[interaction.sip]
im = "sip:{places["im_sip"]};transport=tcp"
identity = "sip:rcsgw@cc.com"
[delivery]
parallel = 8
[delivery.email]
host = "{smtp[0]}"
port = {smtp[1]}
sender = "gateway@cc.com"
{settings}
"""
