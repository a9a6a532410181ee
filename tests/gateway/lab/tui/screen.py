"""The phone's screen as a test reads it and types on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.lab.inviter import Inviter
from gateway.lab.phone import Phone, PhoneOptions
from gateway.lab.phonecli import MODES
from gateway.lab.tui.book import ContactFile
from sipstack.trace import Trace

if TYPE_CHECKING:
    from textual.pilot import Pilot

PATIENCE = 15.0
"""Seconds to wait for what should stand there at once; only a loaded machine needs them."""

SIZE = (130, 40)


@dataclass
class Screen:
    """A phone on a screen."""

    app: Any
    pilot: Pilot[str]
    contacts: ContactFile | None

    def text(self) -> str:
        """Return all that stands on the screen now."""
        strips = self.app.screen._compositor.render_strips()  # as the terminal gets it
        return "\n".join(strip.text.rstrip() for strip in strips)

    async def shows(self, *words: str) -> None:
        """Wait until all words stand on the screen; spaces count as one, however wide they are."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            seen = " ".join(self.text().split())
            if all(" ".join(word.split()) in seen for word in words):
                return
            assert asyncio.get_running_loop().time() < deadline, f"{words} not in\n{self.text()}"
            await self.pilot.pause(0.05)

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type text where the cursor is."""
        await self.pilot.press(*text)

    async def enter(self, text: str) -> None:
        """Type a line, at once."""
        self.app.query_one("#entry").value = text
        await self.pilot.press("enter")

    async def left(self) -> None:
        """Wait until the program has ended."""
        async with asyncio.timeout(PATIENCE):
            while self.app.return_value is None:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def on_screen(
    options: PhoneOptions, inviter: Inviter | None = None, contacts: ContactFile | None = None
) -> AsyncIterator[Screen]:
    """Run a phone as ``rcsgw phone`` does, with its screen."""
    from gateway.lab.tui.app import PhoneApp
    from gateway.lab.tui.ladder import Tape

    options.behaviour = MODES["screen"]
    tape = Tape()
    async with Phone(options, trace=Trace("phone", tape, time.time)) as phone:
        app = PhoneApp(phone, tape, inviter=inviter, contacts=contacts)
        async with app.run_test(size=SIZE) as pilot:
            yield Screen(app, pilot, contacts)
