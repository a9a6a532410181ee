"""Who may invite whom for how long, and which hosts peers may make us talk to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from gateway.services import Forbidden, Inviter, Unprocessable
from gateway.settings import PolicySection


def check_inviter(inviter: Inviter, policy: PolicySection) -> None:
    """Raise :class:`Forbidden` when this subscriber may not invite."""
    if inviter.state in ("suspended", "lost"):
        raise Forbidden(f"The subscriber is {inviter.state}.")
    if policy.invite == "any":
        return
    if inviter.state != "active":
        raise Forbidden("Only active subscribers may invite.")
    if policy.invite == "level" and (inviter.level is None or inviter.level < policy.min_level):
        raise Forbidden(f"Only subscribers of level {policy.min_level} and above may invite.")


def validity(asked: float | None, policy: PolicySection) -> float:
    """Return for how many seconds an invitation is valid. Raises :class:`Unprocessable` for more than is allowed."""
    if asked is None:
        return policy.valid_for
    if not 0 < asked <= policy.max_valid_for:
        raise Unprocessable(f"valid_for must be more than 0 and at most {policy.max_valid_for:.0f} seconds.")
    return asked


def interaction_types(asked: Iterable[str] | None, policy: PolicySection) -> tuple[str, ...]:
    """Return the interaction types of an invitation, each once. Raises :class:`Forbidden` for one not on offer."""
    if asked is None:
        return policy.types
    types = tuple(dict.fromkeys(asked))
    for kind in types:
        if kind not in policy.types:
            raise Forbidden(f"Interaction type {kind} is not on offer here.")
    return types or policy.types


class AllowedPeers:
    """Tells whether an address that a peer put into SDP may be connected to.

    Without networks everything is allowed that is not loopback, link-local, unspecified or multicast; with networks
    only what lies in one of them. The port must lie in one of the ranges.
    """

    def __init__(self, networks: Iterable[str], ports: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)
        self._ports = tuple(_port_range(text) for text in ports)

    def __call__(self, host: str, port: int) -> bool:
        """Tell whether this numeric address and port may be connected to; a name never may."""
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if not any(port in ports for ports in self._ports):
            return False
        if self._networks:
            return any(address in network for network in self._networks)
        return not (address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast)


def _port_range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)
