"""PJSUA as A: registers, asks, calls the guest and is called. It knows no MSRP, so it is a peer for signalling."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from gateway.lab.core import parse_subscriber
from sipstack.net.uas import ALLOW
from tests.e2e.cores import EmbeddedCore
from tests.e2e.world import DOMAIN, PASSWORDS, Guest, World, embedded_world, eventually, kamailio_world
from tests.interop.conftest import needs_kamailio
from tests.interop.sipp import Transport

pytest.importorskip("pjsua2", reason="pjsua2-python is not installed: no wheel for this Python or machine")

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[2]

PATIENCE = 20.0
"""Seconds to wait for an event; the library itself is quick."""

PRIVATE = "private-a@ims.cc.com"
"""A's IMPI at the embedded core: neither the user part nor the domain of sip:a@cc.com."""

CHAT = """\
v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=message 9 TCP/MSRP *
a=accept-types:message/cpim text/plain
a=accept-wrapped-types:text/plain
a=setup:active
a=path:msrp://127.0.0.1:9/pjsua;tcp
""".replace("\n", "\r\n")

Event = dict[str, Any]


class Pjsua:
    """The process of :mod:`tests.interop.pjsua_peer`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.events: list[Event] = []

    def do(self, what: str, **arguments: str) -> None:
        """Give a command."""
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps({"do": what, **arguments}) + "\n").encode())

    async def wait_for(self, event: str, **fields: object) -> Event:
        """Return the next event of this kind with these fields."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := await self._process.stdout.readline():
                if not line.startswith(b"{"):
                    continue  # the library's own log, before it can be told to be silent
                told: Event = json.loads(line)
                self.events.append(told)
                if told["event"] == event and all(told[name] == value for name, value in fields.items()):
                    return told
        raise AssertionError(f"PJSUA has ended; it told {self.events}")


@asynccontextmanager
async def pjsua() -> AsyncIterator[Pjsua]:
    """Run PJSUA; it is told to quit at the end, and killed when it does not."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.interop.pjsua_peer"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    peer = Pjsua(process)
    try:
        await peer.wait_for("ready")
        yield peer
        peer.do("quit")
        async with asyncio.timeout(PATIENCE):
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture(params=["embedded", "kamailio"])
async def net(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A network with each core; at the embedded one A's private identity differs from the public one."""
    if request.param == "embedded":
        async with embedded_world(tmp_path) as world:
            assert isinstance(world.core, EmbeddedCore)
            subscribers = world.core.core.subscribers
            subscribers.delete("a")
            subscribers.put(parse_subscriber(f"{PRIVATE}:{PASSWORDS['a']}=sip:a@{DOMAIN}", DOMAIN, DOMAIN))
            yield world
    else:
        needs_kamailio()
        async with kamailio_world(tmp_path) as world:
            yield world


@asynccontextmanager
async def registered(
    world: World, transport: Transport | Literal["TLS"], password: str = PASSWORDS["a"]
) -> AsyncIterator[Pjsua]:
    """Run PJSUA as A, who has tried to register."""
    name = transport.lower()
    host, port = "localhost" if name == "tls" else world.core.address[0], world.core.port(name)
    async with pjsua() as peer:
        peer.do(
            "register",
            aor=f"sip:a@{DOMAIN}",
            username=PRIVATE if world.core.name == "embedded" else "a",
            password=password,
            proxy=f"sip:{host}:{port};transport={name};lr",
            transport=name,
            **{"authorities": str(world.authorities)} if world.authorities else {},
        )
        yield peer


async def test_signalling(net: World, transport: Transport) -> None:
    """One run of the program for all: starting it takes longer than what it does."""
    guest = await net.guest("a")
    async with registered(net, transport) as peer:
        assert (await peer.wait_for("registration"))["status"] == 200
        await eventually(lambda: net.im_server.is_online(f"sip:a@{DOMAIN}"))
        await asks(peer)
        await calls_for_a_chat(net, peer)
        await calls_by_voice(peer)
        await is_asked_and_written_to(net, peer, guest)
    await eventually(lambda: not net.im_server.is_online(f"sip:a@{DOMAIN}"))
    if net.core.name == "embedded":  # which offers SHA-256 first; Kamailio asks for MD5
        used = [text for text in net.received("REGISTER", actor="core") if f'username="{PRIVATE}"' in text]
        assert used and all("algorithm=SHA-256" in text for text in used)


async def test_tls(tmp_path: Path) -> None:
    """Both ends of the core by TLS: version 1.2 is the most that this library has."""
    needs_kamailio("tls", "websocket")
    async with kamailio_world(tmp_path, transport="tls") as world:
        guest = await world.guest("a")
        async with registered(world, "TLS") as peer:
            assert (await peer.wait_for("registration"))["status"] == 200
            await eventually(lambda: world.im_server.is_online(f"sip:a@{DOMAIN}"))
            await asks(peer)
            await calls_for_a_chat(world, peer)
            await is_asked_and_written_to(world, peer, guest)
        assert any(text.startswith("INVITE") and "Via: SIP/2.0/TLS" in text for text in world.received("INVITE"))


async def asks(peer: Pjsua) -> None:
    peer.do("options", uri=f"sip:b@{DOMAIN}")
    answer = await peer.wait_for("answer")
    assert answer["status"] == 200
    assert "+g.oma.sip-im" in answer["text"] and "cpm.session" in answer["text"]
    assert f"\r\nAllow: {ALLOW}\r\n" in answer["text"]


async def calls_for_a_chat(net: World, peer: Pjsua) -> None:
    """The gateway answers 200 with MSRP; PJSUA can do nothing with that and hangs up."""
    peer.do("call", uri=f"sip:b@{DOMAIN}", sdp=CHAT)
    await peer.wait_for("call", state="CONFIRMED", status=200)
    await peer.wait_for("call", state="DISCONNECTED")
    await eventually(lambda: re.search(r"(?m)^BYE sip:", "".join(net.wire(direction="in"))))
    [answer] = [text for text in net.sent("SIP/2.0 200") if " INVITE\r\n" in text]
    assert "\r\nm=message " in answer and "\r\na=setup:passive\r\n" in answer


async def calls_by_voice(peer: Pjsua) -> None:
    peer.do("call", uri=f"sip:b@{DOMAIN}", sdp="")
    assert (await peer.wait_for("call", state="DISCONNECTED"))["status"] == 488


async def is_asked_and_written_to(net: World, peer: Pjsua, guest: Guest) -> None:
    """A client without chats: the guest learns that; what they write comes as SIP MESSAGE."""
    status = (await guest.status()).json
    assert status["status"] == "not-rcs" and status["services"] == []
    await guest.say("hello")
    message = await peer.wait_for("message")
    assert message["content_type"].startswith(("text/plain", "message/cpim")) and "hello" in message["text"]


async def test_wrong_password(net: World) -> None:
    async with registered(net, "UDP", "guessed") as peer:
        assert (await peer.wait_for("registration"))["status"] == 401


async def test_sha_256_at_kamailio(tmp_path: Path) -> None:
    needs_kamailio()
    async with kamailio_world(tmp_path, algorithm="SHA-256") as world, registered(world, "TCP") as peer:
        assert (await peer.wait_for("registration"))["status"] == 200
        assert await world.core.is_registered("a")
