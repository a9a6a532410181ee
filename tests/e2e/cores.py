"""What tests ask of a core, whichever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.lab.core import Core
from gateway.lab.kamailio import CONFIG_FOLDER, Kamailio, KamailioError
from gateway.lab.subscribers import Subscriber
from sipstack.flow import HostPort
from sipstack.sip.digest import compute_ha1
from tests.servers import SqlServer


class EmbeddedCore:
    """The embedded core."""

    name = "embedded"

    def __init__(self, core: Core) -> None:
        self.core = core
        self.address: HostPort = core.address

    def port(self, transport: str) -> int:
        """Return where it speaks SIP by a transport."""
        return self.core.secure_address[1] if transport == "tls" else self.address[1]

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

    def port(self, transport: str) -> int:
        """Return where it speaks SIP by a transport."""
        ports = {"tls": self.core.sips_port, "ws": self.core.ws_port, "wss": self.core.wss_port}
        return ports.get(transport, self.core.sip_port)

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


class KamailioAtServer(KamailioCore):
    """Kamailio with its subscribers in a database server."""

    def __init__(self, core: Kamailio, tables: SubscriberTables) -> None:
        super().__init__(core)
        self.tables = tables

    def put(self, user: str, password: str, identities: tuple[str, ...] = ()) -> None:
        """Insert or replace a subscriber."""
        domain = self.core.domain
        ha1, ha1b = (compute_ha1(name, domain, password, self.core.algorithm) for name in (user, f"{user}@{domain}"))
        self.tables.run(
            f"DELETE FROM subscriber WHERE username = '{user}' AND domain = '{domain}';"
            "INSERT INTO subscriber (username, domain, ha1, ha1b, impus) "
            f"VALUES ('{user}', '{domain}', '{ha1}', '{ha1b}', '{','.join(identities)}')"
        )

    def accounts(self) -> set[str]:
        """Return the private identities in its subscriber table."""
        return {str(user) for (user,) in self.tables.run("SELECT username FROM subscriber")}


class SubscriberTables:
    """The tables of a Kamailio in a database server, as Kamailio's own scripts make them, and our one column."""

    PASSWORD = "kamailiorw"

    def __init__(self, server: SqlServer) -> None:
        self._server = server
        scripts = Path("/usr/share/kamailio") / server.kamailio
        files = (scripts / "standard-create.sql", scripts / "auth_db-create.sql", CONFIG_FOLDER / "impus.sql")
        self._name = server.new_database("\n".join(file.read_text() for file in files), self.PASSWORD)

    def run(self, script: str) -> list[tuple[Any, ...]]:
        """Run statements; return the rows of the last one."""
        return self._server.run(self._name, script, self.PASSWORD)

    @property
    def url(self) -> str:
        """Where the gateway finds them."""
        return self._server.url(self._name, self.PASSWORD)

    @property
    def kamailio_url(self) -> str:
        """Where Kamailio finds them."""
        return self.url.replace(self._server.kind, self._server.kamailio, 1)
