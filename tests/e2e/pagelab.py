"""One network and one browser for all tests of a module: the gateway as a process that can be killed, on a wire that
can be cut, and the guest's page in a tab of Chromium."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import struct
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selenium import webdriver

from gateway.lab.cutter import Cutter
from gateway.lab.phone import Phone
from gateway.lab.ports import free_port
from gateway.lab.processes import Child
from sipstack.msrp.message import MessageState
from tests.e2e.process import LISTEN, is_ready
from tests.e2e.world import DOMAIN, WORLDS, Guest, World
from tests.gateway.browser import PATIENCE, Browser

PICTURES = Path(__file__).parents[2] / "build" / "screenshots"

SETTINGS = {
    "policy": 'types = ["im", "file"]\nmax_per_minute = 0\nrequire_online = "no"',
    "client": 'name = "Lab"',
    "limits": "inbox_count = 20000",
}

SIZES = {"phone": (360, 640, True), "desk": (1280, 800, False)}
"""Width and height in CSS pixels, and whether it is a phone."""

LINES = """
return [...document.querySelectorAll('#log li p.text')].map((node) => {
  const copy = node.cloneNode(true);
  copy.querySelector('.unseen').remove();
  return copy.textContent;
});
"""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = b"\x89PNG\r\n\x1a\n" + b"".join(
    _chunk(kind, data)
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", 120, 80, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress((b"\0" + b"\x2e\x86\xc1" * 120) * 80)),
        (b"IEND", b""),
    )
)
"""A picture, 120 × 80, blue."""


@dataclass
class PageLab:
    """The network. The gateway is a process of its own; what browsers see of it is the other end of :attr:`wire`."""

    world: World
    wire: Cutter
    config: Path
    driver: webdriver.Chrome
    gateway: Child | None = None
    _guests: int = 0

    # the gateway

    async def start_gateway(self) -> None:
        """Start it, or start it again on the same store."""
        command = (sys.executable, "-m", "gateway.cli", "serve", "--config", str(self.config))
        self.gateway = Child("gateway", command, self.world.folder / "gateway.log")
        await self.gateway.start()
        await self.gateway.until(lambda: is_ready(self.world.address))

    async def kill_gateway(self) -> None:
        """End it as a power cut does."""
        assert self.gateway is not None and self.gateway.pid is not None
        os.kill(self.gateway.pid, signal.SIGKILL)
        await self.gateway.stop()
        self.gateway = None

    # people

    @property
    def phone(self) -> Phone:
        """A's phone."""
        return self.world.phones["a"]

    async def invite(self, uid: str = "a", guest: Guest | None = None, **fields: Any) -> Guest:
        """Invite somebody new, or a guest of somebody else; return what stands in the mail that came."""
        self._guests += guest is None
        return await self.world.invite(uid, guest.user if guest else f"b{self._guests}@{DOMAIN}", **fields)

    async def is_logged_in(self, guest: Guest) -> bool:
        """Tell whether the core has a binding of a guest's account."""
        return await self.world.core.is_registered(guest.user.partition("@")[0])

    async def tab(self, guest: Guest, **wanted: Any) -> Page:
        """Open a guest's link in the browser and wait for the conversation."""
        if self.gateway is None:  # after a test that failed
            await self.start_gateway()
        page = Page(self, guest.account)
        await page.settle(**wanted)
        await page.open(guest.link)
        await page.shows("online", "#inviters")
        return page

    async def say(self, guest: Guest, text: str, uid: str = "a") -> None:
        """Let an inviter say something; the gateway has taken it then."""
        message = await self.world.phones[uid].say(guest.account, text)
        assert message.state is MessageState.SENT, f"{text!r} is {message.state}"

    def heard(self, account: str, phone: Phone | None = None) -> list[str]:
        """Return what a guest has said to a phone: what a device shows, which knows repeats by their id."""
        said = {
            event.id: event.text
            for event in (phone or self.phone).events
            if event.kind == "message" and event.peer == account
        }
        return list(said.values())


@dataclass
class Page(Browser):
    """The guest's page in the tab that is in front."""

    lab: PageLab
    account: str
    driver: webdriver.Chrome = field(init=False)

    def __post_init__(self) -> None:
        super().__init__(self.lab.driver)

    async def cdp(self, command: str, **parameters: Any) -> Any:
        """Call Chromium's own interface."""
        return await asyncio.to_thread(self.driver.execute_cdp_cmd, command, parameters)

    async def settle(self, size: str = "desk", scheme: str = "light", language: str = "en-US") -> None:
        """Give the tab a size, a colour scheme, a language and a network; what earlier tests chose is forgotten."""
        await self.offline(False)
        width, height, mobile = SIZES[size]
        await self.cdp(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        await self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        agent = await self.run("return navigator.userAgent")
        await self.cdp("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)
        await self.cdp("Storage.clearDataForOrigin", origin=origin(self.lab), storageTypes="local_storage")

    async def lines(self) -> list[str]:
        """Return the texts on the screen, in order."""
        lines: list[str] = await self.run(LINES)
        return lines

    async def has(self, *texts: str) -> None:
        """Wait until the conversation is exactly these texts, in this order; then check that it stays so."""
        await self.eventually(self.lines, lambda lines: lines == list(texts))

    async def holds(self, texts: set[str]) -> None:
        """Wait until each of these texts is there, and nothing else; none twice."""
        await self.eventually(self.lines, lambda lines: sorted(lines) == sorted(texts))

    async def eventually(self, look: Callable[[], Any], wanted: Callable[[Any], Any], patience: float = 0) -> Any:
        """Wait until ``wanted(await look())`` is true; return what was seen."""
        end = time.monotonic() + (patience or 2 * PATIENCE)
        while not wanted(seen := await look()):
            assert time.monotonic() < end, f"at the end there was {seen!r}"
            await asyncio.sleep(0.05)
        return seen

    async def say(self, text: str) -> None:
        """Type a message and send it."""
        await self.type(f"{text}\n")

    async def offline(self, lost: bool = True) -> None:
        """Take the device off its network, or bring it back."""
        await asyncio.to_thread(self.driver.set_network_conditions, offline=lost, latency=0, throughput=-1)

    async def picture(self, name: str) -> None:
        """Keep what the tab looks like."""
        taken = await self.cdp("Page.captureScreenshot", format="png")
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"{name}.png").write_bytes(base64.b64decode(taken["data"]))

    async def errors(self) -> list[str]:
        """Return what the console has complained of: breaches of the policy, errors of scripts."""
        log = await asyncio.to_thread(self.driver.get_log, "browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE" and "net::ERR_" not in entry["message"]]


def origin(lab: PageLab) -> str:
    """Return where the browser finds the gateway."""
    return f"http://127.0.0.1:{lab.wire.address[1]}"


@asynccontextmanager
async def page_lab(
    folder: Path, driver: webdriver.Chrome, core: str = "embedded", **settings: str
) -> AsyncIterator[PageLab]:
    """Run the network; A and C have phones that take messages and files, and tell that they have shown them.

    ``settings`` take the place of tables of the configuration.
    """
    wire = Cutter("127.0.0.1")
    await wire.start()
    port = free_port()
    wire.target = ("127.0.0.1", port)
    sections = {
        "gateway": f'public_url = "http://127.0.0.1:{wire.address[1]}"\ndrain_timeout = 5',
        **SETTINGS,
        **settings,
    }
    try:
        async with WORLDS[core](folder, **sections) as world:
            await world.stop_gateway()
            world.address = f"http://127.0.0.1:{port}"
            config = folder / "gateway.toml"
            config.write_text(world.config_text.replace(LISTEN, f'listen = "127.0.0.1:{port}"'))
            for uid in ("a", "c"):
                await world.phone(uid, on_message="accept", receipts="display", files="msrp")
            lab = PageLab(world, wire, config, driver)
            await lab.start_gateway()
            try:
                yield lab
            finally:
                if lab.gateway is not None:
                    await lab.gateway.stop()
                world.address = ""
    finally:
        await wire.close()
