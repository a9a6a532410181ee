"""One registration by several flows at once, one for each outbound proxy (:rfc:`5626#section-4.2`)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sipstack.errors import SipstackError
from sipstack.net.binding import Binding
from sipstack.sip.registration import Pacer, Registered, RegistrationEvent

if TYPE_CHECKING:
    from sipstack.net.lookup import Target
    from sipstack.net.useragent import UserAgent
    from sipstack.sip.uri import Uri


class Flows:
    """Looks like one :class:`~sipstack.net.binding.Binding`. The first flow that works carries our requests.

    The others are made once the registrar has taken the first one as a flow: without that they would all be the same
    binding.
    """

    __slots__ = ("_agent", "_bindings")

    def __init__(self, agent: UserAgent, proxies: tuple[Uri, ...]) -> None:
        """``proxies`` are at least two. A flow has its place among them as its number, which has to stay the same over
        restarts, and so must they."""
        self._agent = agent
        self._bindings = [Binding(agent, proxy, number) for number, proxy in enumerate(proxies, 1)]
        for binding in self._bindings:
            binding.on_event = self._changed

    # what a Binding has

    @property
    def current(self) -> Binding:
        """The flow that carries our requests."""
        return next((binding for binding in self._bindings if binding.active), self._bindings[0])

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """All flows, in the order of their proxies."""
        return tuple(self._bindings)

    @property
    def active(self) -> bool:
        """Whether any flow is registered."""
        return self.current.active

    @property
    def home(self) -> Target | None:
        """The server that took the last REGISTER of the flow that carries our requests."""
        return self.current.home

    @property
    def may_exist(self) -> bool:
        """Tell whether the registrar may have a binding of ours."""
        return any(binding.may_exist for binding in self._bindings)

    @property
    def outbound(self) -> bool:
        """Whether the registrar takes our registrations as those of flows."""
        return self.current.outbound

    @property
    def service_route(self) -> tuple[Uri, ...]:
        """That of the flow that carries our requests."""
        return self.current.service_route

    @property
    def associated_uris(self) -> tuple[Uri, ...]:
        """Identities that we may use."""
        return self.current.associated_uris

    @property
    def pub_gruu(self) -> Uri | None:
        """A URI that leads to this device; it is the same for all flows (:rfc:`5627#section-5.1`)."""
        return self.current.pub_gruu

    @property
    def temp_gruu(self) -> Uri | None:
        """The newest one that tells nobody who we are."""
        return self.current.temp_gruu

    async def register(self) -> Registered:
        """Register or refresh by the first flow, or the next one where that fails; raise what became of the first."""
        failure: SipstackError | None = None
        for binding in self._bindings:
            try:
                return await binding.register()
            except SipstackError as error:
                failure = failure or error
        assert failure is not None
        raise failure

    def register_later(self, not_before: float) -> None:
        """Register in the background, not before that time."""
        self._bindings[0].register_later(not_before)

    def move(self, pacer: Pacer) -> bool:
        """Do nothing: each flow has a proxy of its own, and recovers by itself."""
        return False

    async def unregister(self, timeout: float, *, left_behind: bool = False) -> None:
        """Remove the bindings of all flows; wait for the answers, ``timeout`` seconds at most."""
        leaving = [
            binding.unregister(timeout, left_behind=left_behind)
            for binding in self._bindings
            if binding.may_exist or left_behind
        ]
        await asyncio.gather(*leaving)

    def close(self) -> None:
        """Send and report nothing more."""
        for binding in self._bindings:
            binding.close()

    # what its flows tell

    def _changed(self, event: RegistrationEvent) -> None:
        """Make the other flows once one stands, and tell the owner what concerns all of them together."""
        agent, working = self._agent, [binding for binding in self._bindings if binding.active]
        agent.outbound_proxy = self.current.proxy
        for binding in self._bindings:
            binding.tell_others_work(any(other is not binding for other in working))
        if isinstance(event, Registered):
            if event.outbound:
                self._complete()
        elif working:
            return  # one flow less: who has another is as reachable as before
        agent.handler.registration_changed(agent, event)

    def _complete(self) -> None:
        """Have the flows made that were never tried."""
        pacer, now = self._agent.endpoint.locator.pacer, self._agent.endpoint.timers.time()
        for binding in self._bindings:
            if binding.is_untried:
                binding.register_later(pacer.reserve(now))
