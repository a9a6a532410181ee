"""What tests ask of a core, whichever it is."""

from __future__ import annotations

from gateway.lab.core import Core
from gateway.lab.kamailio import Kamailio, KamailioError
from gateway.lab.subscribers import Subscriber
from sipstack.flow import HostPort


class EmbeddedCore:
    """The embedded core."""

    name = "embedded"

    def __init__(self, core: Core) -> None:
        self.core = core
        self.address: HostPort = core.address

    def put(self, user: str, password: str, identities: tuple[str, ...] = ()) -> None:
        """Insert or replace a subscriber."""
        core = self.core
        core.subscribers.put(Subscriber.from_password(user, password, core.domain, identities))

    def remove(self, user: str) -> None:
        """Delete a subscriber."""
        self.core.remove_subscriber(user)

    def accounts(self) -> set[str]:
        """Return the private identities that the core knows."""
        return set(self.core.subscribers.usernames())

    async def is_registered(self, user: str) -> bool:
        """Tell whether an account has a binding."""
        return self.core.registrar.newest(user, self.core.endpoint.timers.time()) is not None


class KamailioCore:
    """Kamailio."""

    name = "kamailio"

    def __init__(self, core: Kamailio) -> None:
        self.core = core
        self.address: HostPort = (core.host, core.sip_port)

    def put(self, user: str, password: str, identities: tuple[str, ...] = ()) -> None:
        """Insert or replace a subscriber."""
        self.core.add_subscriber(user, password, identities)

    def remove(self, user: str) -> None:
        """Delete a subscriber."""
        self.core.remove_subscriber(user)

    def accounts(self) -> set[str]:
        """Return the private identities in its subscriber table."""
        return set(self.core.subscribers())

    async def is_registered(self, user: str) -> bool:
        """Tell whether an account has a binding."""
        try:
            return bool(await self.core.rpc("ul.lookup", "location", f"{user}@{self.core.domain}"))
        except KamailioError:
            return False
