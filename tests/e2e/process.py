"""The gateway of a world as a process of its own, so that its memory can be told from the test's."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from gateway.lab.ports import free_port
from gateway.lab.processes import Child, Children
from tests.e2e.world import World

LISTEN = 'listen = "127.0.0.1:0"'


class Memory:
    """What the kernel tells about the memory of a process, in octets."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)

    def resident(self) -> int:
        """Return what it has now."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """Return the most that it has had since :meth:`forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Begin a new peak at what it has now."""
        (self._folder / "clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith(f"{name}:")]
        return int(line.split()[1]) * 1024


@asynccontextmanager
async def gateway_process(world: World) -> AsyncIterator[Memory]:
    """Run the world's gateway as a process instead of inside the test; its trace is lost."""
    await world.stop_gateway()
    world.address = f"http://127.0.0.1:{free_port()}"
    config = world.folder / "gateway.toml"
    config.write_text(world.config_text.replace(LISTEN, f'listen = "{world.address.removeprefix("http://")}"'))
    async with Children(world.folder) as children:
        child = await children.start("gateway", (sys.executable, "-m", "gateway.cli", "serve", "--config", str(config)))
        await child.until(lambda: is_ready(world.address))
        yield Memory(_pid(child))
    world.address = ""


def _pid(child: Child) -> int:
    assert child.pid is not None
    return child.pid


async def is_ready(url: str) -> bool:
    """Tell whether the gateway there can serve."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
