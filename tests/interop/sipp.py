"""Runs SIPp with the scenarios beside this file, on loopback and free ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from gateway.lab.ports import free_port
from sipstack.flow import HostPort

SCENARIOS = Path(__file__).parent / "sipp"

HOST = "127.0.0.1"

PATIENCE = 30
"""Seconds after which SIPp gives up by itself."""

Transport = Literal["UDP", "TCP"]
TRANSPORTS: tuple[Transport, ...] = ("UDP", "TCP")

LISTENING = "0A"
"""State of a listening socket in /proc/net/tcp."""


def is_available() -> bool:
    """Tell whether the program is installed."""
    return shutil.which("sipp") is not None


class Sipp:
    """One run of one scenario. ``async with`` starts it, and kills it if it still runs at the end.

    SIPp knows ``[keywords]`` in messages only; ``keys`` are filled in everywhere, also in status codes and regular
    expressions. ``serial`` names the files of this run in ``folder``.
    """

    def __init__(
        self,
        folder: Path,
        scenario: str,
        core: HostPort,
        *,
        transport: Transport = "UDP",
        port: int = 0,
        credentials: tuple[str, str] | None = None,
        arguments: tuple[str, ...] = ("-m", "1"),
        patience: int = PATIENCE,
        **keys: Any,
    ) -> None:
        self.port = port or free_port(HOST)
        self.scenario = scenario
        self.transport = transport
        self._folder = folder / f"sipp-{self.port}"
        self._folder.mkdir(parents=True, exist_ok=True)
        text = (SCENARIOS / f"{scenario}.xml").read_text()
        for name, value in keys.items():
            text = text.replace(f"[{name}]", str(value))
        filled = self._folder / f"{scenario}.xml"
        filled.write_text(text)
        self._errors, self._messages = self._folder / f"{scenario}.errors", self._folder / f"{scenario}.messages"
        self._command = [
            *("sipp", f"{core[0]}:{core[1]}", "-sf", str(filled), "-i", HOST, "-p", str(self.port)),
            *("-t", "u1" if transport == "UDP" else "t1", "-nostdin", *arguments),
            *("-timeout", str(patience), "-timeout_error", "-trace_err", "-error_file", str(self._errors)),
            *("-trace_msg", "-message_file", str(self._messages)),
        ]
        if credentials is not None:
            self._command += ["-au", credentials[0], "-ap", credentials[1]]
        if "domain" in keys:  # else the digest is about the core's address, which is not what the request asks for
            self._command += ["-auth_uri", str(keys["domain"])]
        self._process: asyncio.subprocess.Process | None = None

    @property
    def messages(self) -> str:
        """All that SIPp sent and received so far."""
        return self._messages.read_text(errors="replace") if self._messages.exists() else ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it; a scenario that waits for calls listens when this returns."""
        with (self._folder / f"{self.scenario}.screen").open("wb") as screen:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=self._folder,
                env={**os.environ, "TERM": "vt100"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=screen,
                stderr=screen,
            )
        if self.scenario.startswith("uas_"):
            async with asyncio.timeout(PATIENCE):
                while not is_bound(self.port, self.transport):
                    assert self._process.returncode is None, self._failure()
                    await asyncio.sleep(0.01)

    async def finish(self) -> None:
        """Wait for its end; AssertionError unless each call went as the scenario says."""
        assert self._process is not None
        code = await asyncio.wait_for(self._process.wait(), PATIENCE * 2)
        assert code == 0, f"{self.scenario} by {self.transport} ended with {code}: {self._failure()}"

    async def stop(self) -> None:
        """Kill it if it still runs."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _failure(self) -> str:
        errors = self._errors.read_text(errors="replace")[-3000:] if self._errors.exists() else ""
        screen = (self._folder / f"{self.scenario}.screen").read_text(errors="replace")[-500:]
        return f"{errors or screen}\n{self.messages[-6000:]}"


def is_bound(port: int, transport: Transport) -> bool:
    """Tell by /proc whether somebody has this port; asking over the wire would be a message to SIPp."""
    for line in Path(f"/proc/net/{transport.lower()}").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port and (transport == "UDP" or state == LISTENING):
            return True
    return False


async def run(folder: Path, scenario: str, core: HostPort, **options: Any) -> Sipp:
    """Run a scenario to its good end; options as of :class:`Sipp`."""
    async with Sipp(folder, scenario, core, **options) as sipp:
        await sipp.finish()
    return sipp
