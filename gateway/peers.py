"""Which addresses we trust and which ones MSRP may connect to: addresses in SDP are chosen by peers (design: §6)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache

from sipstack.flow import Flow

CACHED_ADDRESSES = 4096
"""Addresses whose verdict is remembered; a lab has a few, a border element one."""


def trusted_flows(networks: Iterable[str], names: Iterable[str] = ()) -> Callable[[Flow], bool]:
    """Return the test for flows whose P-Asserted-Identity counts: a certificate for one of ``names``, or a source in
    ``networks``.

    UDP sources can be spoofed, so an operator who lists a network declares the interface private. TLS alone says
    nothing: strangers have certificates, too.
    """
    is_inside = _inside(networks)
    proven = frozenset(name.lower() for name in names)

    def trusted(flow: Flow) -> bool:
        return flow.name.lower() in proven or is_inside(flow.remote[0])

    return trusted


def reachable_peers(networks: Iterable[str], ports: Iterable[str]) -> Callable[[str, int], bool]:
    """Return the test for the numeric addresses and ports that MSRP may connect to.

    Without ``networks`` everything is allowed that is no loopback, link-local, multicast or unspecified address; those
    need to be listed, as a lab on one machine does.
    """
    networks = tuple(networks)
    is_inside = _inside(networks)
    ranges = tuple(_port_range(text) for text in ports)

    @lru_cache(CACHED_ADDRESSES)
    def is_public(host: str) -> bool:
        address = _address(host)
        return address is not None and not (
            address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
        )

    def allowed(host: str, port: int) -> bool:
        return any(port in ports for ports in ranges) and (is_inside(host) if networks else is_public(host))

    return allowed


def reachable_servers(networks: Iterable[str], ports: Iterable[str]) -> Callable[[str, int], bool]:
    """Return the test for the numeric addresses and ports that files may be fetched from (D-FTH-05).

    Without ``networks`` only what is globally reachable: a link must not lead into the operator's own network.
    """
    networks = tuple(networks)
    is_inside = _inside(networks)
    ranges = tuple(_port_range(text) for text in ports)

    @lru_cache(CACHED_ADDRESSES)
    def is_global(host: str) -> bool:
        address = _address(host)
        return address is not None and address.is_global and not address.is_multicast

    def allowed(host: str, port: int) -> bool:
        return any(port in ports for ports in ranges) and (is_inside(host) if networks else is_global(host))

    return allowed


def _port_range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _inside(networks: Iterable[str]) -> Callable[[str], bool]:
    parsed = tuple(ipaddress.ip_network(network) for network in networks)

    @lru_cache(CACHED_ADDRESSES)
    def inside(host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in parsed)

    return inside


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a connection really goes to: ``::ffff:127.0.0.1`` is loopback, whatever its family."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address
