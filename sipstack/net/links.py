"""All MSRP connections of a hub: those that peers made, those that we make, and who may stop reading from them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from sipstack.errors import ConnectionClosed
from sipstack.msrp.connection import MsrpConnection
from sipstack.msrp.session import MsrpSession

from .dial import Hop, dial
from .msrplink import Cancellable, MsrpLink, Schedule
from .tls import Tls
from .unclaimed import HubLimits, Unclaimed

CLOSE_TIMEOUT = 2.0
"""Seconds that closing waits for peers to take what is still to be written."""
SHARED_PAUSE = 5.0
"""Seconds for which one session may stop the reading of a connection that others use too. Their peers wait 30 s for
answers; a disk that is busy for longer has the message refused instead."""

Allowed = Callable[[str, int], bool] | None
"""Asked about each numeric address and port that we would connect to."""


class MsrpLinks:
    """Connects, keeps and closes them. ``make`` makes a link, for a hop of ours or for a peer that connects."""

    def __init__(
        self,
        make: Callable[[Hop | None, bool], MsrpLink],
        schedule: Schedule,
        *,
        tls: Tls | None,
        limits: HubLimits,
        connect_timeout: float,
    ) -> None:
        self._make = make
        self._schedule = schedule
        self._tls = tls
        self._connect_timeout = connect_timeout
        self._links: dict[MsrpConnection, MsrpLink] = {}
        self._outgoing: dict[Hop, MsrpLink] = {}
        self._dials: dict[asyncio.Task[None], MsrpLink] = {}
        self.unclaimed = Unclaimed(limits)
        # who wants no reading
        self._all_paused = False
        self._pauses: dict[MsrpSession, tuple[MsrpLink, Cancellable | None]] = {}

    def __len__(self) -> int:
        return len(self._links)

    def __getitem__(self, connection: MsrpConnection) -> MsrpLink:
        return self._links[connection]

    def values(self) -> Iterator[MsrpLink]:
        """Yield every link."""
        return iter(tuple(self._links.values()))

    # Coming and going

    def to(self, hop: Hop, allowed: Allowed) -> MsrpLink:
        """Return the link that leads there, made when there is none; it may still be connecting (C-SET-04)."""
        link = self._outgoing.get(hop)
        if link is not None and link.is_usable:
            return link
        link = self._make(hop, hop.scheme == "msrps")
        self._links[link.connection] = self._outgoing[hop] = link
        task = asyncio.get_running_loop().create_task(self._dial(link, hop, allowed))
        self._dials[task] = link
        task.add_done_callback(self._dials.pop)
        return link

    async def _dial(self, link: MsrpLink, hop: Hop, allowed: Allowed) -> None:
        """Connect ``link``; on failure its sessions surely have sent nothing."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                await dial(lambda: link, hop, self._tls, allowed)
        except (OSError, asyncio.CancelledError) as error:
            reason = str(error) or type(error).__name__
            link.fail(ConnectionClosed(f"no MSRP connection to {hop.host}:{hop.port}: {reason}", certain=True))

    def add(self, link: MsrpLink) -> bool:
        """Note that a link has its transport. Return False when there are too many that nobody claims."""
        if self._all_paused:
            # Not at once: a transport of uvloop begins to read when this is over, whatever was asked of it before.
            asyncio.get_running_loop().call_soon(self._pause_late, link)
        if link.key is not None:
            return True
        self._links[link.connection] = link
        return self.unclaimed.add(link, link.remote[0] if link.remote else "")

    def claim(self, connection: MsrpConnection) -> None:
        """Note that a session uses a connection."""
        self.unclaimed.discard(self._links[connection])

    def remove(self, link: MsrpLink) -> None:
        """Forget a link that is gone."""
        self._links.pop(link.connection, None)
        self.unclaimed.discard(link)
        if link.key is not None and self._outgoing.get(link.key) is link:
            del self._outgoing[link.key]

    async def close(self) -> None:
        """Write what is due and close every connection."""
        for task, link in tuple(self._dials.items()):
            if link.transport is None:
                task.cancel()
        if self._dials:
            await asyncio.wait(self._dials)
        for link in self.values():
            link.close()
        await self._wait_until_gone()
        for link in self.values():
            link.abort()
        await self._wait_until_gone()

    async def _wait_until_gone(self) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + CLOSE_TIMEOUT
        while self._links and clock() < deadline:
            await asyncio.sleep(0.001)

    # Backpressure

    def pause_all(self) -> None:
        """Read from no connection until :meth:`resume_all`."""
        self._all_paused = True
        for link in self._links.values():
            link.pause_reading()

    def _pause_late(self, link: MsrpLink) -> None:
        if self._all_paused:
            link.pause_reading()

    def resume_all(self) -> None:
        """Read again, but for the connections that a session wants nothing from."""
        self._all_paused = False
        paused = [link for link, _ in self._pauses.values()]
        for link in self._links.values():
            if link not in paused:
                link.resume_reading()

    def pause(self, session: MsrpSession, *, is_urgent: bool = False) -> bool:
        """Read nothing from the connection of ``session``; return whether that is so now. See :meth:`MsrpHub.pause`."""
        if session.connection is None:
            return False
        link = self._links[session.connection]
        bound = link.connection.bound.values()
        is_shared = link.connection.is_held or any(
            other is not session and other not in self._pauses for other in bound
        )
        if is_shared and not is_urgent:
            return False
        if session not in self._pauses:
            timer = None
            if is_shared:
                due = asyncio.get_running_loop().time() + SHARED_PAUSE
                timer = self._schedule(due, lambda: self.resume(session))
            self._pauses[session] = link, timer
            link.pause_reading()
        return True

    def resume(self, session: MsrpSession) -> None:
        """Undo :meth:`pause`."""
        pause = self._pauses.pop(session, None)
        if pause is None:
            return
        link, timer = pause
        if timer is not None:
            timer.cancel()
        if not self._all_paused and all(other is not link for other, _ in self._pauses.values()):
            link.resume_reading()
