"""CEMA for a session that speaks MSRP: what its descriptions say of it, and where it connects (:rfc:`6714`).

The rules are in :mod:`sipstack.sdp_cema`; here they meet configuration and DNS.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

from sipstack import sdp_cema
from sipstack.net.dial import resolve
from sipstack.sdp_cema import Addresses
from sipstack.sdp_msrp import MediaRefused, MsrpMedia, msrp_media

if TYPE_CHECKING:
    from sipstack.net.config import EndpointConfig
    from sipstack.net.endpoint import Endpoint
    from sipstack.sdp import SessionDescription

MISMATCH = "c= and m= differ from a=path, and there is no msrp-cema"


def word_offer(config: EndpointConfig, description: SessionDescription, *, plain: bool) -> bool:
    """Finish our offer; return whether it says ``msrp-cema``. ``plain``: it must not, for we fell back (C-CEM-02)."""
    if not config.msrp_cema:
        return False
    if not plain:
        return sdp_cema.mark_offer(description)
    sdp_cema.repeat_path(description)
    return False


def word_answer(
    config: EndpointConfig, description: SessionDescription, offer: MsrpMedia, *, active: bool, relayed: bool
) -> bool:
    """Finish our answer; return whether it says ``msrp-cema`` (C-CEM-01)."""
    says_so = config.msrp_cema and sdp_cema.takes_part(offer, active=active, relayed=relayed)
    if says_so:
        sdp_cema.mark_answer(description)
    return says_so


def answer_role(config: EndpointConfig, offer: MsrpMedia, *, relayed: bool) -> Literal["active", "passive"]:
    """Return what we are where ``offer`` leaves the choice."""
    preferred: Literal["active", "passive"] = "active" if config.msrp_setup == "active" else "passive"
    if not config.msrp_cema:
        return preferred
    return sdp_cema.answer_role(offer, preferred, relayed=relayed)


def check_offer(config: EndpointConfig, offer: MsrpMedia, addresses: Addresses | None = None) -> None:
    """Raise MediaRefused (488) when a middlebox has changed an offer of somebody who is not prepared (C-CEM-03).

    Names that nobody has looked up pass: without ``msrp-cema`` nothing is connected by them.
    """
    if not config.msrp_cema or (addresses is None and sdp_cema.unresolved_names(offer)):
        return
    if sdp_cema.must_refuse(offer, addresses):
        raise MediaRefused(MISMATCH)


def check_invitation(
    endpoint: Endpoint, description: SessionDescription | None, done: Callable[[MediaRefused | None], None]
) -> None:
    """:func:`check_offer`, names looked up, for an INVITE; ``done`` is called at once where there is no name.

    An offer without an MSRP medium passes: whoever answers it finds out.
    """
    config = endpoint.config
    try:
        if description is None or not config.msrp_cema:
            raise MediaRefused("nothing to check")
        offer = msrp_media(description, protocols=config.msrp_protocols)
    except MediaRefused:
        done(None)
        return

    def found(addresses: Addresses) -> None:
        try:
            check_offer(config, offer, addresses)
        except MediaRefused as error:
            done(error)
        else:
            done(None)

    names = () if offer.cema else sdp_cema.unresolved_names(offer)
    if names:
        look_up(endpoint, names, found)
    else:
        found({})


def look_up(endpoint: Endpoint, names: Iterable[str], found: Callable[[Addresses], None]) -> None:
    """Call ``found`` with the addresses of names, later; with fewer where DNS does not answer."""
    endpoint.spawn(_look_up(tuple(names), endpoint.config.msrp_connect_timeout, found))


async def _look_up(names: tuple[str, ...], timeout: float, found: Callable[[Addresses], None]) -> None:
    addresses: dict[str, list[str]] = {}

    async def ask(name: str) -> None:
        with contextlib.suppress(OSError):
            async with asyncio.timeout(timeout):
                addresses[name] = await resolve(name, 0)

    await asyncio.gather(*map(ask, names))
    found(addresses)


def decide(
    endpoint: Endpoint,
    answer: MsrpMedia,
    decided: Callable[[sdp_cema.Route], None],
    *,
    active: bool,
    relayed: bool,
) -> None:
    """Call ``decided`` with how to go on after the answer to an offer with ``msrp-cema``; at once, without names."""

    def found(addresses: Addresses) -> None:
        decided(sdp_cema.route(answer, active=active, relayed=relayed, addresses=addresses))

    names = () if answer.cema else sdp_cema.unresolved_names(answer)
    if names:
        look_up(endpoint, names, found)
    else:
        found({})
