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
    """``UDP`` or ``TCP``, as in Via."""
    remote: HostPort
    local: HostPort | None = None
    """Our own address as the peer sees it in this flow; None before the connection is up."""
    connection: int | None = field(default=None)
    """Number of the stream connection that the bytes came in by; None for UDP and for flows yet to be opened."""

    @property
    def reliable(self) -> bool:
        """Tell whether the transport retransmits by itself."""
        return self.transport in RELIABLE
