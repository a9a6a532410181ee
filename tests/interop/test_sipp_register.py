"""SIPp registers at Kamailio and at the embedded core: alone, with a wrong password, and by the hundred."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.lab.core import parse_subscriber
from gateway.lab.ports import free_port
from tests.e2e.cores import EmbeddedCore
from tests.e2e.world import DOMAIN, PASSWORDS, World, embedded_world, kamailio_world
from tests.interop.conftest import needs_kamailio
from tests.interop.sipp import Sipp, Transport, run

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("needs_sipp")]

USERS = 300
AT_ONCE = 20
"""Users under way at once: however slow the machine is, nobody is left waiting for a first answer."""
RATE = 150
"""Users a second. Each needs five transactions, one of them to the gateway through core and IM server."""


@pytest.fixture(params=["embedded", "kamailio"])
async def net(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A network with each core. Both ask for MD5 only: SIPp looks at the first challenge, and knows nothing else."""
    if request.param == "embedded":
        async with embedded_world(tmp_path, algorithms=("MD5",)) as world:
            yield world
    else:
        needs_kamailio()
        async with kamailio_world(tmp_path) as world:
            yield world


def registering(world: World, transport: Transport, password: str) -> Sipp:
    """Return a SIPp that registers subscriber a."""
    keys: dict[str, Any] = {"user": "a", "domain": DOMAIN, "contact_port": free_port()}
    return Sipp(world.folder, "register", world.core.address, transport=transport, credentials=("a", password), **keys)


async def test_registers(net: World, transport: Transport) -> None:
    async with registering(net, transport, PASSWORDS["a"]) as sipp:
        await sipp.finish()
    assert await net.core.is_registered("a")


async def test_wrong_password(net: World, transport: Transport) -> None:
    async with registering(net, transport, "guessed") as sipp:
        with pytest.raises(AssertionError, match="401 Unauthorized"):
            await sipp.finish()
    assert not await net.core.is_registered("a")


async def test_hundreds_register_and_ask(net: World, transport: Transport) -> None:
    """They register, ask for the guest, who knows none of them, and de-register."""
    await net.guest("a")
    users = {f"user{number}": f"secret{number}" for number in range(USERS)}
    add_subscribers(net, users)
    injected = net.folder / "users.csv"
    injected.write_text(injection(users))
    arguments = ("-m", str(USERS), "-r", str(RATE), "-inf", str(injected), "-l", str(AT_ONCE))
    await run(
        net.folder,
        "register_many",
        net.core.address,
        transport=transport,
        arguments=arguments,
        domain=DOMAIN,
        guest="b",
        answer=403,
    )
    asked = "".join(net.wire(direction="in"))
    assert len(set(re.findall(r"(?s)OPTIONS sip:[^@\s]+@.*?\r\nCall-ID: (\S+)", asked))) == USERS
    assert not await net.core.is_registered("user0")


def add_subscribers(world: World, users: dict[str, str]) -> None:
    """Give each a subscription at the core."""
    for user, password in users.items():
        if isinstance(world.core, EmbeddedCore):
            world.core.core.subscribers.put(parse_subscriber(f"{user}:{password}", DOMAIN, DOMAIN))
        else:
            world.core.core.add_subscriber(user, password)


def injection(users: dict[str, str]) -> str:
    """Return SIPp's table: a user and their credentials a line."""
    lines = [f"{user};[authentication username={user} password={password}]" for user, password in users.items()]
    return "\n".join(["SEQUENTIAL", *lines, ""])


def test_the_scenarios_are_used() -> None:
    """A scenario that nobody runs proves nothing."""
    folder = Path(__file__).parent
    tests = "".join(path.read_text() for path in folder.glob("test_*.py"))
    assert [path.stem for path in (folder / "sipp").glob("*.xml") if f'"{path.stem}"' not in tests] == []
