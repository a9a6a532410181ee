"""Finds the targets of a URI for callers that cannot wait, at once wherever no name has to be looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from sipstack.errors import ConnectionClosed
from sipstack.net.resolver import Resolver, Target
from sipstack.sip.uri import Uri

Use = Callable[[list[Target]], None]
Fail = Callable[[ConnectionClosed], object]


class Locator:
    """A :class:`~sipstack.net.resolver.Resolver` with callbacks; owns the look-ups that are under way."""

    __slots__ = ("_resolver", "_tasks")

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, uri: Uri, use: Use, fail: Fail) -> None:
        """Call ``use`` with the targets of ``uri``: from in here for addresses, later for names. ``fail`` is later."""
        try:
            targets = self._resolver.resolve_now(uri)
        except ConnectionClosed as error:
            asyncio.get_running_loop().call_soon(fail, error)
            return
        if targets is not None:
            use(targets)
            return
        self.spawn(self._look_up(uri, use, fail))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` as a task that :meth:`close` ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Call off what is under way; neither callback comes any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _look_up(self, uri: Uri, use: Use, fail: Fail) -> None:
        try:
            targets = await self._resolver.resolve(uri)
        except ConnectionClosed as error:
            fail(error)
        else:
            use(targets)
