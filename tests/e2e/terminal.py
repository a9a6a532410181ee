"""A real terminal for the programs that need one."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Self

from tests.e2e.client import PATIENCE
from tests.e2e.world import eventually

RCSGW = str(Path(sys.executable).with_name("rcsgw"))
"""The program, as it is installed."""

KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "ctrl+q": "\x11",
    "f2": "\x1bOQ",
    "f3": "\x1bOR",
    "f4": "\x1bOS",
    "f5": "\x1b[15~",
    "f6": "\x1b[17~",
    "f7": "\x1b[18~",
}
"""What a terminal sends for keys that are no characters."""


_CONTROL = re.compile(r"\x1b(?:\[[0-9;:?>=]*[ -/]*[@-~]|[()][A-Z0-9]|.)")


class Terminal:
    """A program in a terminal of its own: what it drew so far, and keys for it. Use as ``async with``."""

    def __init__(self, *command: str, columns: int = 100, rows: int = 30, **environment: str) -> None:
        self.drawn = b""
        self._seen = self._read_to = 0
        self._text = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        # who runs these tests beside each other tells them a width that is not this terminal's
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        variables = {**inherited, "TERM": "xterm-256color", **environment}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=variables)
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        try:
            self.drawn += os.read(self._master, 65536)
        except OSError:  # the program has left
            asyncio.get_running_loop().remove_reader(self._master)

    @property
    def text(self) -> str:
        """All that was drawn since :meth:`look_away`, without what moves the cursor and colours."""
        if len(self.drawn) != self._read_to:
            self._read_to = len(self.drawn)
            self._text = _CONTROL.sub("", self.drawn[self._seen :].decode("utf-8", "replace"))
        return self._text

    def look_away(self) -> None:
        """Count from here on only what is drawn anew."""
        self._seen = self._read_to = len(self.drawn)
        self._text = ""

    def press(self, *keys: str) -> None:
        """Press keys by name; anything else is typed."""
        os.write(self._master, "".join(KEYS.get(key, key) for key in keys).encode())

    async def shows(self, *words: str) -> None:
        """Wait until all these words were drawn."""
        try:
            await eventually(lambda: all(word in self.text for word in words), timeout=2 * PATIENCE)
        except AssertionError:
            raise AssertionError(f"{words} not in {self.text[-4000:]!r}") from None

    async def ended(self) -> int:
        """Wait until the program has left; return its exit status."""
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
