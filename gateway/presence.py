"""Who is online: one probe for each inviter, whoever of the guests watches, told only as far as it differs.

Where the core tells of registrations (RFC 3680) who leaves is offline at once, and who comes is asked at once. That is
about status only: an inviter who goes off line has not logged out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from sipstack.errors import SipstackError
from sipstack.im.reginfo import AorInfo
from sipstack.net.regwatch import RegistrationWatch
from sipstack.net.useragent import UserAgent
from sipstack.sip.subscription import SubscriptionEnded
from sipstack.sip.uri import Uri
from translators.from_sip import PeerStatus, status_of, status_of_failure

if TYPE_CHECKING:
    from gateway.guest import GuestSession

log = logging.getLogger("rcsgw.presence")

FRESH = 2.0
"""Seconds for which a result answers further status calls, so that a burst of them costs one OPTIONS (B-CAP-07)."""


class Watch:
    """One inviter, the guests who watch, and the last result."""

    __slots__ = ("checked_at", "guests", "probing", "registration", "sip", "status", "timer", "was_bound")

    def __init__(self, sip: str) -> None:
        self.sip = sip
        self.guests: dict[GuestSession, str] = {}
        """Guest → uid of the inviter as that guest's invitation has it."""
        self.status: PeerStatus | None = None
        self.checked_at = float("-inf")
        self.probing: asyncio.Future[PeerStatus] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.registration: RegistrationWatch | None = None
        """What the core tells of the inviter's devices."""
        self.was_bound: bool | None = None
        """Whether there was one when it told last; None before it did."""

    def let_go(self) -> None:
        """Ask and hear no more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.registration is not None:
            self.registration.stop()
            self.registration = None


class Presence:
    """Probes inviters by OPTIONS: at once when asked, then every ``interval`` seconds while somebody watches.

    The probe goes out as ``service`` where one is configured, else as one of the registered guests who watch.
    """

    def __init__(
        self,
        interval: float,
        timeout: float,
        service: UserAgent | None = None,
        *,
        follow: bool = False,
        rcs: bool = True,
    ) -> None:
        """``follow``: have the core tell ``service`` of inviters' registrations. Not ``rcs``: in a plain SIP network
        devices have no tags."""
        self.interval = interval
        self.timeout = timeout
        self.service = service
        self.follow = follow
        self.rcs = rcs
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
        self._follow(watch)
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
            watch.let_go()

    def heard(self, sip: str, services: tuple[str, ...]) -> None:
        """Take what an inviter's device has told of itself by asking for a guest (B-CAP-03)."""
        watch = self._watches.get(sip)
        if watch is not None and services:
            self._learn(watch, PeerStatus("online", services))

    def close(self) -> None:
        """End all probes."""
        for watch in self._watches.values():
            watch.let_go()
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
            self._learn(watch, future.result())

        return done

    def _learn(self, watch: Watch, status: PeerStatus) -> None:
        watch.status = status
        for guest, uid in list(watch.guests.items()):
            guest.status_changed(uid, status)

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
            return status_of_failure(error).after(watch.status)
        return status_of(response, rcs=self.rcs).after(watch.status)

    # what the core tells by itself

    def _follow(self, watch: Watch) -> None:
        """Have the core tell when the inviter's devices come and go, if it does that."""
        if not self.follow or self.service is None or watch.registration is not None:
            return

        def told(said: tuple[AorInfo, ...]) -> None:
            if watch.registration is not None:
                self._registration_changed(watch, watch.registration)

        def ended(end: SubscriptionEnded) -> None:
            watch.was_bound = None
            if end.retry_at is None:
                log.info("the core tells nothing of %s: %s; probes go on", watch.sip, end.reason)

        watch.registration = RegistrationWatch(self.service, Uri.parse(watch.sip), told, ended)
        watch.registration.start()

    def _registration_changed(self, watch: Watch, registration: RegistrationWatch) -> None:
        bound, before = any(registration.table.contacts), watch.was_bound
        watch.was_bound = bound
        if not bound:
            self._learn(watch, PeerStatus("offline").after(watch.status))
        elif before is False and watch.probing is None:
            self._start(watch, self._watcher(watch))

    @staticmethod
    def _watcher(watch: Watch) -> UserAgent | None:
        """Return the agent of a registered guest; the first one who watches is as good as any."""
        for guest in watch.guests:
            if guest.agent.registered:
                return guest.agent
        return None
