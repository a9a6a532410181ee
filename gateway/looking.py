"""The shape of what looks after something for as long as the gateway runs: one task, begun and stopped."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod


class Looking(ABC):
    """Runs :meth:`_run` from :meth:`start` to :meth:`close`."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with the first round at once."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop where it is; what is not done is found again by the next start."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @abstractmethod
    async def _run(self) -> None:
        """Look, wait, and look again; errors that pass are logged, not raised."""
