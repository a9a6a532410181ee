"""Where a URI leads: transports, addresses and ports in the order to try them (RFC 3263, RFC 2782)."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
from collections.abc import Sequence
from pathlib import Path

from sipstack.errors import ConnectionClosed
from sipstack.flow import HostPort
from sipstack.net.lookup import SECURE, Destination, Dns, Hosts, LookUp, Query, Target, preferred
from sipstack.sip.routing import default_port, wanted_transport
from sipstack.sip.spread import Server, spread
from sipstack.sip.uri import Uri

__all__ = ["Resolver", "Servers", "Target", "numeric_host", "read_hosts"]

TARGET_LIMIT = 8
"""Targets of one name that are tried at most."""

KEPT_DESTINATIONS = 256
"""Destinations whose servers are kept, so that most requests wait for no look-up; a core has a few."""

LONGEST_KEPT = 300.0
"""Seconds after which a destination is looked up again, whatever its records say: who moves a core waits no longer."""

KEPT_LONGER = 5.0
"""Seconds for which the old servers count once more when DNS does not answer; then it is asked again."""

HOSTS_FILE = Path("/etc/hosts")

Servers = tuple[Server[Target], ...]


def numeric_host(host: str) -> str | None:
    """Return ``host`` without brackets when it is an IP address, else None."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return None
    return bare


def read_hosts(path: Path = HOSTS_FILE) -> dict[str, list[str]]:
    """Return the addresses of each name in a hosts file, names lower case; nothing when there is no such file."""
    hosts: dict[str, list[str]] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            address, *names = line.partition("#")[0].split() or [""]
            for name in names:
                if numeric_host(address) is not None:
                    hosts.setdefault(name.lower(), []).append(address)
    return hosts


class Resolver:
    """Turns URIs into servers and targets. ``transports`` are those we have, as Via writes them.

    ``families``: ``A``, ``AAAA`` or both, as our sockets speak; other addresses are left out. ``name_servers`` are
    asked instead of the system's; ``query`` and ``hosts`` replace DNS and ``/etc/hosts`` in tests.
    """

    def __init__(
        self,
        *,
        transports: tuple[str, ...] = ("UDP", "TCP"),
        families: tuple[str, ...] = ("A",),
        name_servers: Sequence[HostPort] = (),
        query: Query | None = None,
        hosts: Hosts | None = None,
    ) -> None:
        self.transports = transports
        self.families = families
        self._name_servers = name_servers
        self._query = query
        self._hosts = read_hosts() if hosts is None else hosts
        self._kept: dict[Destination, tuple[float, Servers]] = {}
        self._asking: dict[Destination, asyncio.Task[Servers]] = {}

    async def resolve(self, uri: Uri, key: str | None = None) -> list[Target]:
        """Return the targets of ``uri``, best first, at least one. ``key`` as in :func:`~sipstack.sip.spread.spread`.

        Raise ConnectionClosed when there is none.
        """
        return spread(await self.servers(uri), key)[:TARGET_LIMIT]

    def servers_now(self, uri: Uri) -> Servers | None:
        """Return the servers of a URI whose host is numeric, in the hosts file or was asked for lately; None when DNS
        has to be asked.

        Raise ConnectionClosed when there can be none: a scheme or a transport that we don't have.
        """
        to = self._destination(uri)
        kept = self._kept.get(to)
        if kept is not None and asyncio.get_running_loop().time() < kept[0]:
            return kept[1]
        addresses = self._known(to.host)
        if addresses is None:
            return None
        # A-RES-01: a numeric host without transport parameter means UDP, which is first where we have it.
        transport = to.transport or preferred(self.transports)
        port = to.port or default_port(transport)
        targets = tuple(Target(transport, address, port, to.host) for address in addresses)
        return self._keep(to, (Server(targets, f"{to.host}:{port}"),), math.inf)

    async def servers(self, uri: Uri) -> Servers:
        """Return the servers of ``uri``, at least one with at least one target.

        Raise ConnectionClosed when there is none. A DNS that does not answer changes nothing of what is known.
        """
        known = self.servers_now(uri)
        if known is not None:
            return known
        to = self._destination(uri)
        task = self._asking.get(to)
        if task is None:
            task = self._asking[to] = asyncio.ensure_future(self._look_up(to))
            task.add_done_callback(lambda task: self._asked(to, task))
        return await asyncio.shield(task)

    def _asked(self, to: Destination, task: asyncio.Task[Servers]) -> None:
        del self._asking[to]
        if not task.cancelled():
            task.exception()  # seen, even if everybody who waited has gone

    async def close(self) -> None:
        """Call off what is being asked."""
        for task in self._asking.values():
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking.values())

    async def _look_up(self, to: Destination) -> Servers:
        if self._query is None:
            self._query = Dns(self._name_servers)
        look_up = LookUp(to, self._query, transports=self._usable(to.secure), families=self.families, known=self._known)
        try:
            servers, ttl = await look_up.run(), look_up.ttl
        except ConnectionClosed:
            if to not in self._kept:
                raise
            servers, ttl = self._kept[to][1], KEPT_LONGER
        if not servers:
            raise ConnectionClosed(f"{to.host} has no address", certain=True)
        return self._keep(to, servers, asyncio.get_running_loop().time() + min(ttl, LONGEST_KEPT))

    def _keep(self, to: Destination, servers: Servers, until: float) -> Servers:
        if len(self._kept) >= KEPT_DESTINATIONS:
            del self._kept[next(iter(self._kept))]
        self._kept[to] = until, servers
        return servers

    def _destination(self, uri: Uri) -> Destination:
        if uri.scheme not in ("sip", "sips"):
            raise ConnectionClosed(f"there is no route to a {uri.scheme} URI", certain=True)
        transport, secure = wanted_transport(uri), uri.scheme == "sips"
        usable = self._usable(secure)
        if transport is not None and transport not in usable:
            raise ConnectionClosed(f"there is no transport {uri.param('transport')} for {uri.scheme}", certain=True)
        if not usable:
            raise ConnectionClosed("there is no TLS for a sips URI", certain=True)
        host, port = uri.host_port
        if secure and transport is None and (port is not None or numeric_host(host) is not None):
            transport = preferred(usable)
        return Destination((uri.param("maddr") or host).lower(), port, transport, secure)

    def _usable(self, secure: bool) -> tuple[str, ...]:
        return tuple(name for name in self.transports if name in SECURE) if secure else self.transports

    def _known(self, host: str) -> list[str] | None:
        numeric = numeric_host(host)
        if numeric is not None:
            return [numeric]
        addresses = self._hosts.get(host.lower())
        if addresses is None:
            return None
        return [address for address in addresses if ("AAAA" if ":" in address else "A") in self.families] or None
