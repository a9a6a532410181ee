"""Runs ``smsc.pl``, a short message centre on Debian's Net::SMPP, and tells what it has seen."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections import deque
from pathlib import Path
from typing import Any, Self

from gateway.lab.ports import free_port

SCRIPT = Path(__file__).with_name("smsc.pl")

HOST = "127.0.0.1"
PASSWORD = "geheim"

PATIENCE = 15.0
"""Seconds that something may take to happen."""


def is_available() -> bool:
    """Tell whether Perl has Net::SMPP (Debian: libnet-smpp-perl)."""
    perl = shutil.which("perl")
    return perl is not None and subprocess.run([perl, "-MNet::SMPP", "-e1"], capture_output=True).returncode == 0


class Smsc:
    """One run of the centre. ``async with`` starts it and kills it at the end; :meth:`kill` does so before."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port(HOST)
        self._process: asyncio.subprocess.Process | None = None
        self._seen: deque[dict[str, Any]] = deque()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start, or start again on the same port."""
        self._process = await asyncio.create_subprocess_exec(
            "perl", str(SCRIPT), str(self.port), PASSWORD, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._seen.clear()
        await self.next("ready")

    async def kill(self) -> None:
        """End it at once, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def tell(self, do: str, **arguments: Any) -> None:
        """Give an order; return when it is carried out."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        await self.next("done")

    async def next(self, event: str) -> dict[str, Any]:
        """Wait for the next event of a kind, past others."""
        for seen in list(self._seen):
            if seen["event"] == event:
                self._seen.remove(seen)
                return seen
        assert self._process is not None and self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := await self._process.stdout.readline():
                seen = json.loads(line)
                if seen["event"] == event:
                    return dict(seen)
                self._seen.append(seen)
        raise AssertionError("the centre has ended")
