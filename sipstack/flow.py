"""Where bytes came from and where an answer goes."""

from __future__ import annotations

from dataclasses import dataclass, field

HostPort = tuple[str, int]
"""A numeric address without brackets, and a port."""

RELIABLE = frozenset({"TCP", "TLS", "WS", "WSS"})


@dataclass(frozen=True, slots=True)
class Flow:
    """A transport and the two addresses it joins (RFC 3261 §18, RFC 5626 §2)."""

    transport: str
    """``UDP``, ``TCP``, ``TLS``, ``WS`` or ``WSS``, as in Via."""
    remote: HostPort
    local: HostPort | None = None
    """Our own address as the peer sees it in this flow; None before the connection is up."""
    connection: int | None = field(default=None)
    """Number of the stream connection that the bytes came in by; None for UDP and for flows yet to be opened."""
    name: str = field(default="", compare=False)
    """Whom the certificate of the other end names (:rfc:`5922#section-7`). Where bytes came from: what has been proven,
    empty when nothing has. In a flow yet to be opened: the domain, or address, that has to be proven."""

    @property
    def reliable(self) -> bool:
        """Tell whether the transport retransmits by itself."""
        return self.transport in RELIABLE
