"""Where to connect when something between the endpoints carries their connections: CEMA (:rfc:`6714`).

Such a middlebox puts its own address into ``c=`` and ``m=`` and leaves ``a=path`` alone. Who knows CEMA connects to the
former, and goes on to speak of sessions by the latter. Everything here is decided from descriptions; the addresses of
names, where they matter, are the caller's to find (:func:`unresolved_names`).
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Collection, Mapping
from typing import Literal

from sipstack.flow import HostPort
from sipstack.msrp.uri import MsrpUri, canonical_host
from sipstack.sdp import MediaDescription, SessionDescription
from sipstack.sdp_msrp import DISCARD_PORT, MsrpMedia

ATTRIBUTE = "msrp-cema"

Addresses = Mapping[str, Collection[str]]
"""Numeric addresses of the names that were looked up, as :func:`~sipstack.msrp.uri.canonical_host` writes them."""


class Route(enum.Enum):
    """How an offerer gets the connection that the answer to it speaks of (:rfc:`6714#section-4.2`)."""

    PATH = "by a=path, as in RFC 4975"
    ADDRESS = "by c= and m="
    FALL_BACK = "not at all: a new offer without msrp-cema is due"


def anchor(remote: MsrpMedia) -> HostPort | None:
    """Return host and port of ``c=`` and ``m=``; None when they name no place to connect to."""
    host = remote.host
    if host is None or remote.port == DISCARD_PORT:
        return None
    try:
        if ipaddress.ip_address(host).is_unspecified:
            return None
    except ValueError:
        pass  # a name
    return canonical_host(host), remote.port


def unresolved_names(remote: MsrpMedia) -> tuple[str, ...]:
    """Return the names whose addresses :func:`matches` has to know; none when it can tell without."""
    place = anchor(remote)
    if place is None or matches(remote):
        return ()
    # Only where the ports are the same can the addresses decide.
    hosts = {canonical_host(uri.host) for uri in remote.path if uri.port == place[1]}
    if not hosts:
        return ()
    return tuple(sorted(host for host in {*hosts, place[0]} if not _is_numeric(host)))


def matches(remote: MsrpMedia, addresses: Addresses | None = None) -> bool:
    """Tell whether ``c=`` and ``m=`` say the same as a URI of ``a=path`` (:rfc:`6714#section-4.4`).

    So they do where they name no place at all.
    """
    place = anchor(remote)
    if place is None:
        return True
    known = addresses or {}
    here = _addresses(place[0], known)
    return any(_leads_to(uri, place, here, known) for uri in remote.path)


def must_refuse(offer: MsrpMedia, addresses: Addresses | None = None) -> bool:
    """Tell whether an offer has to be refused: a middlebox changed it, and the offerer is not prepared (C-CEM-03)."""
    return not offer.cema and not matches(offer, addresses)


def answer_role(
    offer: MsrpMedia, preferred: Literal["active", "passive"], *, relayed: bool
) -> Literal["active", "passive"]:
    """Return what we are where ``offer`` leaves the choice; ``relayed``: we are behind relays.

    Who is behind relays is best connected to. But relays of the offerer reach us well without CEMA, so we connect to
    them only when a middlebox is between us.
    """
    if not offer.cema:
        return preferred
    if relayed:
        return preferred if len(offer.path) > 1 else "passive"
    return "active" if len(offer.path) > 1 and not matches(offer) else preferred


def takes_part(offer: MsrpMedia, *, active: bool, relayed: bool) -> bool:
    """Tell whether the answer to ``offer`` says ``msrp-cema`` (:rfc:`6714#section-4.3`).

    ``active``: it says that we connect. It repeats what the offer says, unless whoever connects does so by a relay.
    """
    if not offer.cema or offer.setup is None:
        return False
    if relayed:
        return not active and len(offer.path) == 1
    return active or len(offer.path) == 1


def route(answer: MsrpMedia, *, active: bool, relayed: bool, addresses: Addresses | None = None) -> Route:
    """Return how to go on after the answer to an offer of ours with ``msrp-cema`` (C-CEM-01, C-CEM-02).

    ``active``: we connect. ``relayed``: our offer named relays of ours.
    """
    if answer.cema:
        return Route.ADDRESS if active and not relayed and anchor(answer) is not None else Route.PATH
    if matches(answer, addresses):
        return Route.PATH
    if not active or relayed or len(answer.path) > 1:
        return Route.FALL_BACK
    return Route.ADDRESS


def mark_offer(description: SessionDescription) -> bool:
    """Add ``msrp-cema`` to our offer; return whether that could be.

    Who is behind relays must offer ``actpass`` for it, because who connects by a relay can do so by its path only.
    """
    medium = _our_medium(description)
    if len((medium.attribute("path") or "").split()) > 1 and medium.attribute("setup") != "actpass":
        return False
    medium.lines.insert(0, ("a", ATTRIBUTE))
    return True


def mark_answer(description: SessionDescription) -> None:
    """Add ``msrp-cema`` to our answer."""
    _our_medium(description).lines.insert(0, ("a", ATTRIBUTE))


def repeat_path(description: SessionDescription) -> None:
    """Make ``m=`` of our offer repeat the path.

    Without ``msrp-cema`` any difference looks like a middlebox to those who know CEMA.
    """
    medium = _our_medium(description)
    port = MsrpUri.parse((medium.attribute("path") or "").split()[0]).port
    if port is not None:
        medium.port = port


def _our_medium(description: SessionDescription) -> MediaDescription:
    return next(medium for medium in description.media if medium.media == "message" and medium.port)


def _leads_to(uri: MsrpUri, place: HostPort, here: Collection[str], addresses: Addresses) -> bool:
    host = canonical_host(uri.host)
    if uri.port != place[1]:
        return False
    return host == place[0] or any(address in here for address in _addresses(host, addresses))


def _addresses(host: str, addresses: Addresses) -> Collection[str]:
    return (host,) if _is_numeric(host) else addresses.get(host, ())


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
