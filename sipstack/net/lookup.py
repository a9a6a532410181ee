"""Where a host leads by DNS: NAPTR, SRV, addresses (:rfc:`3263#section-4`), in that order, each where it applies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver

from sipstack.errors import ConnectionClosed
from sipstack.flow import Flow, HostPort
from sipstack.sip.outages import Place
from sipstack.sip.routing import default_port
from sipstack.sip.spread import Server
from sipstack.sip.uri import Uri
from sipstack.valuetype import value_type

QUERY_LIFETIME = 4.0
"""Seconds for one DNS question with all its repetitions; a request that waits for a name should still fail in time."""

NEGATIVE_TTL = 30.0
"""Seconds for which the absence of a record may be believed; its own time is in an SOA that nobody asked for."""

CACHED_NAMES = 1000

SECURE = ("TLS", "WSS")

_SERVICES = {"SIP+D2U": "UDP", "SIP+D2T": "TCP", "SIPS+D2T": "TLS", "SIP+D2W": "WS", "SIPS+D2W": "WSS"}
"""NAPTR services (:rfc:`3263#section-4.1`, :rfc:`7118#section-5.5`)."""
_SRV_PREFIXES = {"UDP": "_sip._udp.", "TCP": "_sip._tcp.", "TLS": "_sips._tcp."}
"""There are none for WebSockets: only a NAPTR can name their SRV records."""


@value_type
class Target:
    """One place to try: a transport as Via writes it, a numeric address, a port."""

    transport: str
    host: str
    port: int
    name: str = field(default="", compare=False)
    """The domain that led here: what a certificate has to show (:rfc:`5922#section-4`)."""
    route: Uri | None = field(default=None, compare=False)
    """The outbound proxy that this is: goes into the request's first Route. None: leave that as it is."""

    @property
    def place(self) -> Place:
        """Where it is, as :class:`~sipstack.sip.outages.Outages` names it."""
        return self.transport, self.host, self.port

    @property
    def flow(self) -> Flow:
        """Where to send: a connection that is there, or a new one."""
        return Flow(self.transport, (self.host, self.port), name=self.name)


@value_type
class Answer:
    """The records of a name, dnspython's, and for how many seconds they count."""

    records: Sequence[Any] = ()
    ttl: float = NEGATIVE_TTL


Query = Callable[[str, str], Awaitable[Answer]]
"""Takes a name and a record type; there may be no record. Raise ConnectionClosed when DNS does not answer."""


class Dns:
    """Asks the name servers of the system, or those it was given. A :data:`Query`."""

    def __init__(self, servers: Sequence[HostPort] = ()) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=not servers)
        self._resolver.cache = dns.resolver.LRUCache(CACHED_NAMES)
        if servers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]

    async def __call__(self, name: str, kind: str) -> Answer:
        try:
            answer = await self._resolver.resolve(name, kind, lifetime=QUERY_LIFETIME)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, UnicodeError):
            return Answer()
        except (dns.exception.DNSException, OSError) as error:
            raise ConnectionClosed(f"DNS does not tell {kind} of {name}: {error}", certain=True) from error
        return Answer(list(answer), max(0.0, answer.expiration - time.time()))


@value_type
class Destination:
    """What of a URI decides where it leads."""

    host: str
    port: int | None
    transport: str | None
    """None: any of ours."""
    secure: bool
    """Whether it has to be TLS: the URI is ``sips``."""


class LookUp:
    """One look-up of one destination. ``ttl``: for how many seconds what it has found counts."""

    def __init__(
        self,
        destination: Destination,
        query: Query,
        *,
        transports: Sequence[str],
        families: Sequence[str],
        known: Callable[[str], list[str] | None],
    ) -> None:
        """``known`` gives the addresses of numeric hosts and of those that need no DNS; ``families``: A, AAAA."""
        self._destination = destination
        self._query = query
        self._transports = transports
        self._families = families
        self._known = known
        self.ttl = float("inf")

    async def run(self) -> tuple[Server[Target], ...]:
        """Return the servers, none when there are none. Raise ConnectionClosed when DNS does not answer, or names no
        transport of ours."""
        to = self._destination
        fallback = to.transport or preferred(self._transports)
        if to.port is not None:
            # A-RES-02: an explicit port leaves nothing for NAPTR and SRV to say.
            return await self._alone(fallback, to.port)
        if to.transport is not None:
            services = [(to.transport, name) for name in self._srv_names(to.transport)]
        else:
            services = await self._naptr()
        servers: list[Server[Target]] = []
        has_records = False
        for index, (transport, name) in enumerate(services):
            for record in await self._ask(name, "SRV"):
                has_records = True
                host = str(record.target).rstrip(".")
                # RFC 2782: a target of "." says that the service is decidedly not there.
                targets = await self._targets(host, record.port, transport) if host else ()
                if targets:
                    label = f"{host}:{record.port}"
                    servers.append(Server(targets, label, (index, record.priority), record.weight))
        return tuple(servers) if has_records else await self._alone(fallback, default_port(fallback))

    async def _naptr(self) -> list[tuple[str, str]]:
        """Return transports and the names of their SRV records, best first."""
        host = self._destination.host
        found: list[tuple[tuple[int, int], str, str]] = []
        is_sip = False
        for record in await self._ask(host, "NAPTR"):
            service = record.service.decode("ascii", "replace").upper()
            is_sip = is_sip or service.startswith(("SIP+", "SIPS+"))
            transport = _SERVICES.get(service, "")
            if transport in self._transports and record.flags.lower() == b"s" and not record.regexp:
                found.append(((record.order, record.preference), transport, str(record.replacement).rstrip(".")))
        if found:
            # RFC 3403 section 4.1: once a record fits, those of higher order must not be considered.
            found.sort(key=lambda service: service[0])
            return [(transport, name) for rank, transport, name in found if rank[0] == found[0][0][0]]
        if is_sip:
            raise ConnectionClosed(
                f"{host} offers none of our transports ({', '.join(self._transports)})", certain=True
            )
        # Without NAPTR there is no way to learn that a sip URI may go by TLS: _sips is asked for sips only.
        wanted = [name for name in self._transports if self._destination.secure or name not in SECURE]
        return [(transport, name) for transport in wanted for name in self._srv_names(transport)]

    def _srv_names(self, transport: str) -> list[str]:
        prefix = _SRV_PREFIXES.get(transport)
        return [prefix + self._destination.host] if prefix is not None else []

    async def _alone(self, transport: str, port: int) -> tuple[Server[Target], ...]:
        targets = await self._targets(self._destination.host, port, transport)
        return (Server(targets, f"{self._destination.host}:{port}"),) if targets else ()

    async def _targets(self, host: str, port: int, transport: str) -> tuple[Target, ...]:
        addresses = self._known(host)
        if addresses is None:
            answers = await asyncio.gather(*(self._ask(host, family) for family in self._families))
            addresses = [record.address for records in answers for record in records]
        return tuple(Target(transport, address, port, self._destination.host) for address in addresses)

    async def _ask(self, name: str, kind: str) -> Sequence[Any]:
        answer = await self._query(name, kind)
        self.ttl = min(self.ttl, answer.ttl)
        return answer.records


def preferred(transports: Sequence[str]) -> str:
    """Return the transport for a URI that asks for none and whose domain says nothing: UDP where we have it, TCP
    before TLS (A-RES-01)."""
    return min(transports, key=_PREFERENCE.index)


_PREFERENCE = ("UDP", "TCP", "TLS", "WS", "WSS")

Hosts = Mapping[str, list[str]]
"""Names in lower case and their addresses, as in a hosts file."""
