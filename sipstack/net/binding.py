"""Runs the registration of one user agent: REGISTER out, answers in, one timer in the endpoint's heap."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from sipstack import ids
from sipstack.errors import ConnectionClosed, RequestFailed, SipstackError, TransactionTimeout
from sipstack.im.reginfo import AorInfo
from sipstack.net import uas
from sipstack.net.regwatch import RegistrationWatch
from sipstack.sip.address import Address
from sipstack.sip.dropped import Dropped, Shortened, news_of
from sipstack.sip.message import Response
from sipstack.sip.registration import (
    Pacer,
    Registered,
    Registration,
    RegistrationEvent,
    RegistrationFailed,
    RegistrationState,
    Unregistered,
)
from sipstack.sip.routing import agreed_keep_alive
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipstack.net.client import ClientRequest
    from sipstack.net.lookup import Target
    from sipstack.net.timers import Timer
    from sipstack.net.useragent import UserAgent
    from sipstack.sip.outages import Place

logger = logging.getLogger(__name__)


class Binding:
    """The adapter between a :class:`~sipstack.sip.registration.Registration` and its endpoint."""

    __slots__ = (
        "_agent",
        "_closed",
        "_flow",
        "_failure",
        "_joiners",
        "_leavers",
        "_registration",
        "_request",
        "_timer",
        "_watch",
        "active",
        "associated_uris",
        "home",
        "on_event",
        "outbound",
        "proxy",
        "pub_gruu",
        "service_route",
        "temp_gruu",
    )

    def __init__(self, agent: UserAgent, proxy: Uri | None, reg_id: int | None = None) -> None:
        """``proxy`` is the outbound proxy to register by; with ``reg_id`` this is to be a flow (RFC 5626)."""
        identity = agent.identity
        self._agent = agent
        self.proxy = proxy
        self._registration = Registration(
            aor=identity.aor,
            registrar=agent.domain,
            contact=Address.parse(agent.plain_contact()),
            call_id=ids.call_id(),
            expires=agent.expires,
            credentials=identity.credentials,
            initial_authorization=agent.initial_authorization,
            reg_id=reg_id,
            gruu=agent.gruu,
            recovery=agent.endpoint.config.recovery,
        )
        self.on_event: Callable[[RegistrationEvent], None] | None = None
        """Told in place of the agent's handler; None: the handler."""
        self._timer: Timer | None = None
        self._closed = False
        self._failure: SipstackError | None = None
        self._request: ClientRequest | None = None
        self._watch: RegistrationWatch | None = None
        # what the registrar said
        self.active = False
        self.service_route: tuple[Uri, ...] = ()
        self.associated_uris: tuple[Uri, ...] = ()
        self.home: Target | None = None
        """The server that took the last REGISTER."""
        self.outbound = False
        """Whether it is the registration of a flow."""
        self.pub_gruu: Uri | None = None
        self.temp_gruu: Uri | None = None
        self._flow: Place | None = None
        # who waits for it
        self._joiners: list[asyncio.Future[Registered]] | None = None
        self._leavers: list[asyncio.Future[None]] | None = None

    @property
    def may_exist(self) -> bool:
        """Tell whether the registrar may have a binding of ours, be it one that could not be refreshed."""
        return self._registration.expires_at is not None

    @property
    def is_untried(self) -> bool:
        """Tell whether nobody has asked for this registration yet."""
        return self._registration.state is RegistrationState.UNREGISTERED

    async def register(self) -> Registered:
        """Register or refresh now, and wait for the outcome."""
        future: asyncio.Future[Registered] = asyncio.get_running_loop().create_future()
        if self._joiners is None:
            self._joiners = []
        self._joiners.append(future)
        self._tell_features()
        self._registration.register(self._now())
        self._run()
        return await future

    def register_later(self, not_before: float) -> None:
        """Register in the background, not before that time."""
        self._tell_features()
        self._registration.register(self._now(), not_before=not_before)
        self._run()

    def move(self, pacer: Pacer) -> bool:
        """Register where requests go now, in turn, if that is another server than the one which has our binding, or if
        we have none because no server was there. Return whether that is so."""
        registration, locator = self._registration, self._agent.endpoint.locator
        first, home = locator.first(self._hop, lambda: self._agent.identity.aor.aor), self.home
        # A REGISTER too long for a datagram went to the same server by TCP.
        is_there = first is not None and home is not None and first.place[1:] == home.place[1:]
        if first is None or not registration.is_wanted or (self.active and is_there):
            return False
        self.register_later(max(pacer.reserve(self._now()), registration.held_until))
        return True

    def _tell_features(self) -> None:
        """Let the next REGISTER say what the user agent can do now."""
        self._registration.change_contact(Address.parse(self._agent.plain_contact()))

    async def unregister(self, timeout: float, *, left_behind: bool = False) -> None:
        """Remove the binding; wait for the answer, ``timeout`` seconds at most."""
        if left_behind:
            self._registration.assume_bound(self._now())
        if self._watch is not None:
            self._watch.stop()  # we know of what comes now
            self._watch = None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._leavers is None:
            self._leavers = []
        self._leavers.append(future)
        self._registration.unregister(self._now())
        self._run()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await future

    def close(self) -> None:
        """Send and report nothing more; who waits gets ConnectionClosed."""
        self._closed = True
        self.active = False
        self._arm(None)
        self._use_flow(None)
        if self._watch is not None:
            self._watch.stop()
        self._settle(None, ConnectionClosed("the user agent is closed"))

    def flow_failed(self) -> None:
        """Make a new flow in place of one that is dead, in turn (:rfc:`5626#section-4.5`)."""
        if self._registration.is_wanted and not self._closed:
            now = self._now()
            turn = self._agent.endpoint.locator.pacer.reserve(now)
            self.register_later(max(turn, self._registration.held_until))

    def tell_others_work(self, others_work: bool) -> None:
        """Say whether the user agent has other flows that work."""
        self._registration.others_work = others_work

    @property
    def _hop(self) -> Uri:
        return self.proxy or self._agent.domain

    def _now(self) -> float:
        return self._agent.endpoint.timers.time()

    def _run(self) -> None:
        endpoint = self._agent.endpoint
        for request in self._registration.data_to_send():
            if self.proxy is not None:
                request.headers.insert("Route", f"<{self.proxy}>")
            request.headers.add("Allow", uas.ALLOW)
            request.headers.add("User-Agent", endpoint.config.user_agent)
            self._request = endpoint.send(request, self._hop, self._answered, self._failed)
        while (event := self._registration.next_event()) is not None:
            self._changed(event)
        self._arm(self._registration.get_timer())

    def _arm(self, deadline: float | None) -> None:
        self._timer = self._agent.endpoint.timers.move(self._timer, deadline, self._due)

    def _due(self) -> None:
        self._timer = None
        self._registration.handle_timer(self._now())
        self._run()

    def _answered(self, response: Response) -> None:
        if self._closed:
            return
        self._failure = None
        if self._request is not None and response.is_final:
            self.home, self._request = self._request.target, None
        agreed = agreed_keep_alive(response) if response.is_success else None
        if agreed is not None and self.home is not None:
            self._agent.endpoint.keep_alive(self.home.flow, agreed or None)
        self._registration.receive_response(response, self._now())
        self._run()

    def _failed(self, error: SipstackError) -> None:
        if self._closed:
            return
        self._failure = error
        certain = isinstance(error, ConnectionClosed) and error.certain
        self._registration.request_failed(self._now(), certain=certain)
        self._run()

    # what the registrar tells by itself (B-REG-08)

    def _follow(self) -> None:
        """Have the registrar tell us when it changes our binding."""
        agent = self._agent
        if self._watch is None and agent.watch_registration:
            self._watch = RegistrationWatch(agent, agent.identity.aor, self._told, lambda ended: None)
            self._watch.start()

    def _told(self, said: tuple[AorInfo, ...]) -> None:
        if self._closed:
            return
        registration, now = self._registration, self._now()
        match news_of(said, self._agent.identity.aor, registration.contact):
            case Dropped(reason=reason, again_in=again_in):
                logger.info("%s: the registrar has ended the registration: %s", self._agent.identity.aor, reason)
                registration.dropped(now, reason, again_in)
            case Shortened(seconds=seconds):
                registration.shorten(now, seconds)
            case None:
                return
        self._run()

    def _changed(self, event: RegistrationEvent) -> None:
        aor, was_active, trace = self._agent.identity.aor, self.active, self._agent.endpoint.trace
        if trace is not None:
            trace.state(f"registration {aor}", type(event).__name__)
        self.active = isinstance(event, Registered)
        match event:
            case Registered():
                # Thousands of user agents get the same route: they share one.
                self.service_route = self._agent.endpoint.shared_route(event.service_route)
                self.associated_uris = event.associated_uris
                self.pub_gruu, self.temp_gruu = event.pub_gruu, event.temp_gruu
                self.outbound = event.outbound
                self._tie(event)
                if not was_active:
                    logger.info("%s is registered for %d s", aor, event.expires)
                self._settle(event, None)
                self._follow()
            case RegistrationFailed(response=response, reason=reason):
                error: SipstackError = self._failure or TransactionTimeout("no answer to REGISTER")
                if reason:
                    error = ConnectionClosed(f"the registrar has ended it: {reason}")
                if response is not None:
                    error = RequestFailed(response)
                logger.info("%s is not registered: %s", aor, error)
                self._settle(None, error)
            case Unregistered():
                self.service_route = ()
                self.pub_gruu = self.temp_gruu = None
                self._use_flow(None)
                if was_active:
                    logger.info("%s is no longer registered", aor)
                leavers, self._leavers = self._leavers, None
                for leaver in leavers or ():
                    if not leaver.done():
                        leaver.set_result(None)
        if self.on_event is not None:
            self.on_event(event)
        else:
            self._agent.handler.registration_changed(self._agent, event)

    def _tie(self, event: Registered) -> None:
        """Depend on the flow that we are registered by, if the registrar does, or if nobody could reach us without."""
        endpoint, home = self._agent.endpoint, self.home
        if home is None or (endpoint.addresses.is_reachable_by(home.transport) and not event.outbound):
            self._use_flow(None)
            return
        self._use_flow(home)
        if event.outbound:
            endpoint.keep_alive(home.flow, event.flow_timer)

    def _use_flow(self, home: Target | None) -> None:
        """Hear when the flow is dead; None: there is none any more."""
        endpoint = self._agent.endpoint
        if self._flow is not None and (home is None or home.place != self._flow):
            endpoint.locator.leave(self, self._flow)
            self._flow = None
        if home is not None and self._flow is None:
            self._flow = home.place
            endpoint.locator.use(self, self._flow)

    def _settle(self, event: Registered | None, error: SipstackError | None) -> None:
        joiners, self._joiners = self._joiners, None
        for joiner in joiners or ():
            if joiner.done():
                continue
            if event is not None:
                joiner.set_result(event)
            elif error is not None:
                joiner.set_exception(error)
