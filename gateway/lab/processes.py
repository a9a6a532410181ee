"""Parts of the lab, and the gateway, as processes of their own: started, waited for, listened to, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

START_SECONDS = 20.0
"""How long a process may take to say that it is ready; a second on an idle machine."""

STOP_SECONDS = 15.0
"""How long it may take to stop after SIGTERM; the gateway drains for ten."""

LOG_TAIL = 3000
"""Octets of a log that are shown when a process fails."""


class ProcessFailed(Exception):
    """A process ended, or did not get ready; the text ends with what it wrote last."""


class Child:
    """One process. What it writes goes to ``log``; lines of JSON on its standard output are events."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self._on_event = on_event
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[dict[str, Any]]

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and return at once."""
        self._ready = asyncio.get_running_loop().create_future()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is for us; we stop the others in order
            )
        self._reader = asyncio.create_task(self._read(self._process))

    async def ready(self) -> dict[str, Any]:
        """Return the fields of its event ``ready``. Raises ProcessFailed when there is none in time."""
        try:
            async with asyncio.timeout(START_SECONDS):
                return await asyncio.shield(self._ready)
        except TimeoutError:
            raise ProcessFailed(f"{self.name} is not ready after {START_SECONDS:.0f} s\n{self.log_end()}") from None

    async def until(self, check: Callable[[], Any]) -> None:
        """Wait until ``await check()`` is true. Raises ProcessFailed when it ends first or takes too long."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await check():
                    if not self.running:
                        raise ProcessFailed(f"{self.name} has ended\n{self.log_end()}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise ProcessFailed(f"{self.name} is not ready after {START_SECONDS:.0f} s\n{self.log_end()}") from None

    async def wait(self) -> int:
        """Return its exit code when it ends by itself. Raises ProcessFailed when it does not in time."""
        assert self._process is not None
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            raise ProcessFailed(f"{self.name} did not end within {STOP_SECONDS:.0f} s\n{self.log_end()}") from None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        with self.log.open("ab") as log:
            async for line in process.stdout:
                log.write(line)
                log.flush()
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    self._take(event)
        if not self._ready.done():
            self._ready.set_exception(ProcessFailed(f"{self.name} has ended\n{self.log_end()}"))
            self._ready.exception()  # nobody may be waiting

    def _take(self, event: dict[str, Any]) -> None:
        if event.get("event") == "ready" and not self._ready.done():
            self._ready.set_result(event)
        elif self._on_event is not None:
            self._on_event(event)

    def log_end(self) -> str:
        """Return the last lines that it wrote."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:].strip()

    async def stop(self) -> int | None:
        """Stop it by SIGTERM, by SIGKILL when that does not help; return its exit code."""
        process = self._process
        if process is None:
            return None
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._reader is not None:
            await self._reader
            self._reader = None
        return process.returncode


class Children:
    """Processes that are stopped together, the youngest first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []

    async def start(
        self, name: str, command: Sequence[str], on_event: Callable[[dict[str, Any]], None] | None = None
    ) -> Child:
        """Start a process whose log is ``NAME.log`` in the folder."""
        child = Child(name, command, self._folder / f"{name.replace(' ', '-')}.log", on_event)
        self._children.append(child)
        await child.start()
        return child

    async def stop(self) -> None:
        """Stop all that run."""
        for child in reversed(self._children):
            await child.stop()
        self._children.clear()

    async def __aenter__(self) -> Children:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
