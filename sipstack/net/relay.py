"""The paths that user agents have through MSRP relays (:rfc:`4976`).

All user agents of a hub share one connection to the first relay; each has an AUTH of its own on it, because its
credentials are its own. A path is asked for when a chat needs one, refreshed while there are chats, and left to expire
when there are none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol, assert_never

from sipstack import ids
from sipstack.errors import ConnectionClosed, RemoteProtocolError, SipstackError
from sipstack.msrp.chunk import MsrpResponse
from sipstack.msrp.relay import RelayClient, RelayDigest, RelayExpired, RelayFailed, RelayReady
from sipstack.msrp.uri import MsrpUri

from .msrplink import Cancellable, MsrpLink

logger = logging.getLogger(__name__)

MARGIN = 10.0
"""Seconds that a path must still live to be used for a new chat."""

RECONNECT_DELAYS = (0.5, 1.0, 2.0, 4.0)
"""Seconds, more or less, between attempts to connect again to a relay that we had a path through and lost: it may be
starting anew, and sessions wait for it."""
SPREAD = 0.2
"""How much more or less, as a part of them: not all who had a path come at once."""

Done = Callable[[SipstackError | None], None]
"""Called with None when there is a path, else with what went wrong."""


def reconnect_time() -> float:
    """Return how many seconds at the most are between the loss of a path and the last attempt to get another one."""
    return sum(RECONNECT_DELAYS) * (1 + SPREAD)


class RelayHub(Protocol):
    """What this needs of the hub."""

    def relay_link(self, relay: MsrpUri) -> MsrpLink:
        """Return the connection to a relay, made when there is none."""

    def relay_uri(self, relay: MsrpUri) -> MsrpUri:
        """Return a URI of our own to speak to ``relay`` with."""

    def schedule(self, due: float, callback: Callable[[], None]) -> Cancellable:
        """Call back at a time of the loop."""


class RelayUser(Protocol):
    """Who has a path: what it needs to be told, and to tell."""

    @property
    def has_sessions(self) -> bool:
        """Whether there are sessions, for which the path is to be kept alive."""

    def path_changed(self, error: SipstackError | None) -> None:
        """Take notice that the path is another one now, or that there is none, because of ``error``.

        The sessions that go by the old one have to be moved.
        """


class RelayAccess:
    """The path of one user agent."""

    __slots__ = (
        "_client",
        "_expires_at",
        "_failures",
        "_hub",
        "_is_overdue",
        "_link",
        "_relays",
        "_timer",
        "_use_path",
        "_user",
        "_waiting",
    )

    def __init__(self, hub: RelayHub, relays: Sequence[MsrpUri], digest: RelayDigest, user: RelayUser) -> None:
        self._hub = hub
        self._relays = tuple(relays)
        self._user = user
        self._client = RelayClient(relays, hub.relay_uri(relays[0]), digest)
        # state
        self._use_path: tuple[MsrpUri, ...] = ()
        self._expires_at = 0.0
        self._is_overdue = False
        """Nobody needed the path when it was time to refresh it."""
        self._failures: int | None = None
        """Attempts to connect that failed since the path was lost; None while there was no path yet."""
        self._link: MsrpLink | None = None
        self._timer: Cancellable | None = None
        self._waiting: list[Done] = []

    @property
    def nearest(self) -> MsrpUri:
        """The relay that we connect to."""
        return self._relays[0]

    @property
    def use_path(self) -> tuple[MsrpUri, ...]:
        """Nearest relay first; empty while there is no path."""
        return self._use_path if self._now() < self._expires_at else ()

    @property
    def link(self) -> MsrpLink | None:
        """The connection to the first relay, by which all goes that uses the path."""
        return self._link

    def acquire(self, done: Done) -> None:
        """Get a path; ``done`` is called at once when there is one."""
        if (
            self.use_path
            and self._link is not None
            and self._link.is_usable
            and self._now() + MARGIN < self._expires_at
        ):
            if self._is_overdue:
                self._go_on()
            done(None)
            return
        self._waiting.append(done)
        if len(self._waiting) == 1:
            self._connect()

    def refresh(self) -> None:
        """Ask for the path again now, before its time; nothing happens while there is none."""
        if self.use_path and not self._waiting:
            self._client.start(self._now())
            self._run()

    def _connect(self) -> None:
        self._cancel_timer()
        link = self._hub.relay_link(self._relays[0])
        if self._link is not None and self._link is not link:
            # It is just being lost: of that nobody needs to hear any more.
            self._link.forget(self._link_up)
            self._forget_path()
        self._link = link
        link.when_up(self._link_up, self._link_down)

    async def ready(self) -> None:
        """:meth:`acquire`, and wait. Raise ConnectionClosed or RemoteProtocolError (with the relay's status)."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(error: SipstackError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self.acquire(done)
        await future

    def close(self) -> None:
        """Want the path no more: it expires."""
        self._cancel_timer()
        if self._link is not None:
            self._link.forget(self._link_up)
            self._link = None
        self._finish(ConnectionClosed("the user agent is closed", certain=True))

    def _link_up(self) -> None:
        if self._waiting:
            self._client.start(self._now())
            self._run()

    def _link_down(self, error: SipstackError) -> None:
        # What goes by the connection hears of its end from the hub.
        self._forget_path()
        failures = self._failures
        if not self._waiting or failures is None or failures == len(RECONNECT_DELAYS):
            self._finish(error)
            return
        self._failures = failures + 1
        delay = RECONNECT_DELAYS[failures] * ids.uniform(1 - SPREAD, 1 + SPREAD)
        self._timer = self._hub.schedule(self._now() + delay, self._connect)

    def _forget_path(self) -> None:
        self._cancel_timer()
        self._client.forget_path()
        self._use_path = ()
        self._is_overdue = False

    def _response_received(self, response: MsrpResponse) -> None:
        self._client.receive_response(response, self._now())
        self._run()

    def _run(self) -> None:
        """Write what the machine wants sent, set the timer, tell what happened."""
        link = self._link
        data = self._client.data_to_send()
        if data and link is not None:
            link.send_request(self._client.transaction_id, data, self._response_received)
        self._cancel_timer()
        due = self._client.get_timer()
        if due is not None:
            self._timer = self._hub.schedule(due, self._timed_out)
        while (event := self._client.next_event()) is not None:
            match event:
                case RelayReady():
                    self._renew(event)
                case RelayFailed():
                    self._fail(event)
                case RelayExpired():
                    self._use_path = ()
                    self._user.path_changed(ConnectionClosed("the path by the MSRP relay has expired"))
                case _:
                    assert_never(event)

    def _renew(self, event: RelayReady) -> None:
        former, self._use_path = self._use_path, event.use_path
        self._expires_at = event.expires_at
        self._failures = 0
        self._finish(None)
        if former and former != event.use_path:
            logger.info("the path by the MSRP relay %s is another one now", self.nearest)
            self._user.path_changed(None)

    def _fail(self, event: RelayFailed) -> None:
        logger.warning("no path by the MSRP relay %s: %d %s", self.nearest, event.status, event.reason)
        self._finish(RemoteProtocolError(f"MSRP relay: {event.reason}", status=event.status))

    def _timed_out(self) -> None:
        self._timer = None
        if self._client.is_waiting or self._user.has_sessions:
            self._go_on()
        else:
            self._is_overdue = True

    def _go_on(self) -> None:
        self._is_overdue = False
        self._client.handle_timer(self._now())
        self._run()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _finish(self, error: SipstackError | None) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(error)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
