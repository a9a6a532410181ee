"""Who is online: one probe for each inviter, whoever of the guests watches, told only as far as it differs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from sipstack.errors import SipstackError
from sipstack.net.useragent import UserAgent
from sipstack.sip.uri import Uri
from translators.from_sip import PeerStatus, status_of, status_of_failure

if TYPE_CHECKING:
    from gateway.guest import GuestSession

log = logging.getLogger("rcsgw.presence")

FRESH = 2.0
"""Seconds for which a result answers further status calls, so that a burst of them costs one OPTIONS (B-CAP-07)."""


class Watch:
    """One inviter, the guests who watch, and the last result."""

    __slots__ = ("checked_at", "guests", "probing", "sip", "status", "timer")

    def __init__(self, sip: str) -> None:
        self.sip = sip
        self.guests: dict[GuestSession, str] = {}
        """Guest → uid of the inviter as that guest's invitation has it."""
        self.status: PeerStatus | None = None
        self.checked_at = float("-inf")
        self.probing: asyncio.Future[PeerStatus] | None = None
        self.timer: asyncio.TimerHandle | None = None


class Presence:
    """Probes inviters by OPTIONS: at once when asked, then every ``interval`` seconds while somebody watches.

    The probe goes out as ``service`` where one is configured, else as one of the registered guests who watch.
    """

    def __init__(self, interval: float, timeout: float, service: UserAgent | None = None) -> None:
        self.interval = interval
        self.timeout = timeout
        self.service = service
        self._watches: dict[str, Watch] = {}

    async def ask(self, guest: GuestSession, uid: str, sip: str) -> PeerStatus:
        """Return the status of an inviter and watch it for this guest from now on."""
        watch = self._watches.get(sip)
        if watch is None:
            watch = self._watches[sip] = Watch(sip)
        known = watch.status
        if known is None or not known.is_knowledge or asyncio.get_running_loop().time() - watch.checked_at > FRESH:
            status = await self._probe(watch, guest.agent)
        else:
            status = known
        # only now: the answer tells this guest, no event has to
        watch = self._watches.setdefault(sip, watch)
        watch.guests[guest] = uid
        if watch.timer is None and watch.probing is None:
            self._arm(watch)  # the last one who watched had left while we asked
        return status

    def known(self, sip: str) -> PeerStatus | None:
        """Return what an inviter's device said last, as long as somebody watches; None where nothing is known."""
        watch = self._watches.get(sip)
        status = watch.status if watch is not None else None
        return status if status is not None and status.is_knowledge else None

    def leave(self, guest: GuestSession, sip: str) -> None:
        """Stop watching an inviter for this guest; the last one ends the probes."""
        watch = self._watches.get(sip)
        if watch is None:
            return
        watch.guests.pop(guest, None)
        if not watch.guests:
            del self._watches[sip]
            if watch.timer is not None:
                watch.timer.cancel()
                watch.timer = None

    def close(self) -> None:
        """End all probes."""
        for watch in self._watches.values():
            if watch.timer is not None:
                watch.timer.cancel()
            if watch.probing is not None:
                watch.probing.cancel()
        self._watches.clear()

    def _probe(self, watch: Watch, agent: UserAgent | None) -> Awaitable[PeerStatus]:
        """Send one OPTIONS however many ask for it."""
        if watch.probing is None:
            self._start(watch, agent)
        assert watch.probing is not None
        return asyncio.shield(watch.probing)

    def _start(self, watch: Watch, agent: UserAgent | None) -> None:
        watch.probing = asyncio.ensure_future(self._options(watch, self.service or agent))
        watch.probing.add_done_callback(self._probed(watch))

    def _probed(self, watch: Watch) -> Callable[[asyncio.Future[PeerStatus]], None]:
        def done(future: asyncio.Future[PeerStatus]) -> None:
            loop = asyncio.get_running_loop()
            watch.probing = None
            watch.checked_at = loop.time()
            if watch.timer is not None:
                watch.timer.cancel()
                watch.timer = None
            if self._watches.get(watch.sip) is watch:
                self._arm(watch)
            if future.cancelled() or future.exception() is not None:
                return
            watch.status = future.result()
            for guest, uid in list(watch.guests.items()):
                guest.status_changed(uid, watch.status)

        return done

    def _arm(self, watch: Watch) -> None:
        watch.timer = asyncio.get_running_loop().call_later(self.interval, self._tick, watch)

    def _tick(self, watch: Watch) -> None:
        watch.timer = None
        if not watch.guests:
            self._watches.pop(watch.sip, None)
        elif watch.probing is None:
            self._start(watch, self._watcher(watch))

    async def _options(self, watch: Watch, agent: UserAgent | None) -> PeerStatus:
        if agent is None:
            return watch.status or status_of_failure(None)
        try:
            async with asyncio.timeout(self.timeout):
                response = await agent.options(Uri.parse(watch.sip))
        except (SipstackError, OSError, TimeoutError) as error:
            log.info("no answer to OPTIONS for %s: %s", watch.sip, str(error) or type(error).__name__)
            return status_of_failure(error)
        return status_of(response)

    @staticmethod
    def _watcher(watch: Watch) -> UserAgent | None:
        """Return the agent of a registered guest; the first one who watches is as good as any."""
        for guest in watch.guests:
            if guest.agent.registered:
                return guest.agent
        return None
