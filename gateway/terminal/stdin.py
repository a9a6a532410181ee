"""Lines from standard input, beside everything else that a program does."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator


async def standard_input() -> AsyncGenerator[str]:
    """Yield lines as they come. A thread reads them, since standard input may be a file, a pipe or a terminal."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    # A daemon: a thread that waits for a line can't be told to stop.
    threading.Thread(target=read, name="stdin", daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line
