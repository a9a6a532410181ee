"""Where bytes came from and where an answer goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from sipstack.valuetype import value_type

HostPort = tuple[str, int]
"""A numeric address without brackets, and a port."""

MAPPED = "::ffff:"
"""How a socket for both families writes an address of the older one (:rfc:`4291#section-2.5.5.2`)."""


def host_port(address: Sequence[Any]) -> HostPort:
    """Return host and port of what the socket module tells of a peer, IPv4 as such whatever the socket's family."""
    host, port = address[:2]
    return (host[len(MAPPED) :], port) if host.startswith(MAPPED) and "." in host else (host, port)


def join_host_port(address: HostPort) -> str:
    """Return ``host:port``, an IPv6 address in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


RELIABLE = frozenset({"TCP", "TLS", "WS", "WSS"})


@value_type
class Flow:
    """A transport and the two addresses it joins (RFC 3261 §18, RFC 5626 §2)."""

    transport: str
    """``UDP``, ``TCP``, ``TLS``, ``WS`` or ``WSS``, as in Via."""
    remote: HostPort
    local: HostPort | None = None
    """Our own address as the peer sees it in this flow; None before the connection is up."""
    connection: int | None = None
    """Number of the stream connection that the bytes came in by; None for UDP and for flows yet to be opened."""
    name: str = field(default="", compare=False)
    """Whom the certificate of the other end names (:rfc:`5922#section-7`). Where bytes came from: what has been proven,
    empty when nothing has. In a flow yet to be opened: the domain, or address, that has to be proven."""

    @property
    def reliable(self) -> bool:
        """Tell whether the transport retransmits by itself."""
        return self.transport in RELIABLE
