"""Where a URI leads: transports, addresses and ports in the order to try them (RFC 3263, RFC 2782)."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.resolver

from sipstack import ids
from sipstack.errors import ConnectionClosed
from sipstack.flow import Flow
from sipstack.sip.uri import Uri

DEFAULT_PORT = 5060

QUERY_LIFETIME = 4.0
"""Seconds for one DNS question with all its repetitions; a request that waits for a name should still fail in time."""

TARGET_LIMIT = 8
"""Targets of one name that are tried at most."""

HOSTS_FILE = Path("/etc/hosts")

Query = Callable[[str, str], Awaitable[Sequence[Any]]]
"""Takes a name and a record type, returns the rdata (dnspython's), empty when there is none."""

_NAPTR_SERVICES = {"SIP+D2U": "UDP", "SIP+D2T": "TCP"}
_SRV_PREFIXES = {"UDP": "_sip._udp.", "TCP": "_sip._tcp."}


@dataclass(frozen=True, slots=True)
class Target:
    """One place to try: ``UDP`` or ``TCP``, a numeric address, a port."""

    transport: str
    host: str
    port: int

    @property
    def flow(self) -> Flow:
        """Where to send: a connection that is there, or a new one."""
        return Flow(self.transport, (self.host, self.port))


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
    """Turns URIs into targets. ``transports`` are those we have, the preferred one first.

    ``ipv6`` tells whether our sockets speak it; addresses of the other family are left out. ``query`` and ``hosts``
    replace DNS and ``/etc/hosts`` in tests.
    """

    def __init__(
        self,
        *,
        transports: tuple[str, ...] = ("UDP", "TCP"),
        ipv6: bool = False,
        query: Query | None = None,
        hosts: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.transports = transports
        self.ipv6 = ipv6
        self._query = query
        self._hosts = read_hosts() if hosts is None else hosts
        self._dns: dns.asyncresolver.Resolver | None = None

    def resolve_now(self, uri: Uri) -> list[Target] | None:
        """Return the targets of a URI whose host is numeric or in the hosts file; None when DNS has to be asked.

        Raise ConnectionClosed when there can be none: a scheme or a transport that we don't have.
        """
        host, port = self._destination(uri)
        addresses = self._known(host)
        if addresses is None:
            return None
        # A-RES-01: a numeric host without transport parameter means UDP, which is first where we have it.
        transport = self._transport(uri) or self.transports[0]
        return [Target(transport, address, port or DEFAULT_PORT) for address in addresses]

    async def resolve(self, uri: Uri) -> list[Target]:
        """Return the targets of ``uri``, best first, at least one. Raise ConnectionClosed when there is none."""
        known = self.resolve_now(uri)
        if known is not None:
            return known
        host, port = self._destination(uri)
        wanted = self._transport(uri)
        if port is not None:
            # A-RES-02: an explicit port leaves nothing for SRV to say.
            targets = await self._addresses(host, port, wanted or self.transports[0])
        else:
            targets = await self._services(host, wanted)
        if not targets:
            raise ConnectionClosed(f"{host} has no address", certain=True)
        return targets[:TARGET_LIMIT]

    def _destination(self, uri: Uri) -> tuple[str, int | None]:
        if uri.scheme != "sip":
            raise ConnectionClosed(f"there is no route to a {uri.scheme} URI", certain=True)
        host, port = uri.host_port
        return uri.param("maddr") or host, port

    def _transport(self, uri: Uri) -> str | None:
        wanted = uri.param("transport")
        if not wanted:
            return None
        if wanted.upper() not in self.transports:
            raise ConnectionClosed(f"there is no transport {wanted}", certain=True)
        return wanted.upper()

    def _known(self, host: str) -> list[str] | None:
        numeric = numeric_host(host)
        if numeric is not None:
            return [numeric]
        addresses = self._hosts.get(host.lower())
        if addresses is None:
            return None
        return [address for address in addresses if (":" in address) == self.ipv6] or None

    async def _services(self, host: str, wanted: str | None) -> list[Target]:
        names = [(wanted, _SRV_PREFIXES[wanted] + host)] if wanted else await self._naptr(host)
        targets: list[Target] = []
        for transport, name in names:
            for service in _srv_order(await self._ask(name, "SRV")):
                server = str(service.target).rstrip(".")
                targets += await self._addresses(server, service.port, transport)
        return targets or await self._addresses(host, DEFAULT_PORT, wanted or self.transports[0])

    async def _naptr(self, host: str) -> list[tuple[str, str]]:
        records = sorted(await self._ask(host, "NAPTR"), key=lambda record: (record.order, record.preference))
        found = []
        for record in records:
            transport = _NAPTR_SERVICES.get(record.service.decode("ascii", "replace").upper())
            if transport in self.transports and record.flags.lower() == b"s":
                found.append((transport, str(record.replacement).rstrip(".")))
        return found or [(transport, _SRV_PREFIXES[transport] + host) for transport in self.transports]

    async def _addresses(self, host: str, port: int, transport: str) -> list[Target]:
        addresses = self._known(host)
        if addresses is None:
            addresses = [record.address for record in await self._ask(host, "AAAA" if self.ipv6 else "A")]
        return [Target(transport, address, port) for address in addresses]

    async def _ask(self, name: str, kind: str) -> Sequence[Any]:
        if self._query is not None:
            return await self._query(name, kind)
        if self._dns is None:
            self._dns = dns.asyncresolver.Resolver()
            self._dns.cache = dns.resolver.LRUCache(1000)
        try:
            return list(await self._dns.resolve(name, kind, lifetime=QUERY_LIFETIME))
        except (dns.exception.DNSException, OSError, UnicodeError):
            return []


def _srv_order(records: Sequence[Any]) -> list[Any]:
    """Order SRV records by priority, and at random by weight within one (RFC 2782)."""
    waiting = sorted(records, key=lambda record: (record.priority, record.weight))
    ordered = []
    while waiting:
        same = [record for record in waiting if record.priority == waiting[0].priority]
        mark = ids.uniform(0, sum(record.weight for record in same))
        chosen = same[-1]
        for record in same:
            mark -= record.weight
            if mark <= 0:
                chosen = record
                break
        waiting.remove(chosen)
        ordered.append(chosen)
    return ordered
