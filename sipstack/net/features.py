"""The feature tags of a client for chat and files (RFC 3840, RFC 3841; the table of B-CAP)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

from sipstack.errors import ParseError
from sipstack.sip.address import Address
from sipstack.sip.grammar import parse_parameters
from sipstack.sip.message import Request
from sipstack.sip.uri import Parameters

KEPT = 64
"""Sets of features that are kept written out: the user agents of a program have few, and tell them in every message."""

CPM_SESSION = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session"

CPM_FILE = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.filetransfer"

CPM_GROUP = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session.group"

CPM_MESSAGE = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.msg"

FT_HTTP = "urn:urn-7:3gpp-application.ims.iari.rcs.fthttp"

IARI_CHAT = "urn:urn-7:3gpp-application.ims.iari.rcse.im"

IARI_FILE = "urn:urn-7:3gpp-application.ims.iari.rcse.ft"

SIMPLE_IM_TAG, ICSI_TAG, IARI_TAG = "+g.oma.sip-im", "+g.3gpp.icsi-ref", "+g.3gpp.iari-ref"

MSRP_TAG = "+sip.message"
"""Messages over MSRP in plain SIP (RFC 4569)."""


def reference(service: str) -> str:
    """Return a service as the value of a reference tag: the tag's own grammar knows no raw colons (B-CAP-04)."""
    return f'"{service.replace(":", "%3A", 2)}"'


CHAT_FEATURES: Parameters = ((SIMPLE_IM_TAG, None), (ICSI_TAG, reference(CPM_SESSION)))
"""Chat over MSRP, as SIMPLE IM and as CPM say it."""

FILE_FEATURES: Parameters = ((ICSI_TAG, reference(CPM_FILE)),)
"""Files over MSRP, as CPM says it (D-FTM-13)."""

FT_HTTP_FEATURES: Parameters = ((IARI_TAG, reference(FT_HTTP)),)
"""Files by links in the chat (RCC.07)."""

PAGER_FEATURES: Parameters = ((ICSI_TAG, reference(CPM_MESSAGE)),)
"""Standalone messages by SIP MESSAGE, without sessions."""


def joined(*several: Parameters) -> Parameters:
    """Return the features of all: each name once, with the values of all in one list (:rfc:`3840#section-9`)."""
    found: dict[str, list[str]] = {}
    for name, value in (feature for features in several for feature in features):
        values = found.setdefault(name, [])
        values += [item for item in _bare(value).split(",") if item and item not in values]
    return tuple((name, f'"{",".join(values)}"' if values else None) for name, values in found.items())


def _bare(value: str | None) -> str:
    """Return the value of a feature tag without its quotes, "" for one that has none."""
    return (value or "").strip('"')


@lru_cache(KEPT)
def feature_text(features: Parameters) -> str:
    """Return ``features`` as they follow a URI or ``*``: ``;name;name="value"``."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in features)


def accept_contact(features: Parameters) -> str:
    """Return an Accept-Contact that prefers devices with any of ``features`` (one value each, RFC 3841 §9.2)."""
    return ", ".join(f"*{feature_text((feature,))}" for feature in features)


def feature_values(contacts: Iterable[Address]) -> frozenset[str]:
    """Return the feature tags of ``contacts``, comparable: lower case, list values one by one, unescaped (B-CAP-04).

    ``+g.oma.sip-im`` stays a name, ``+g.3gpp.icsi-ref="a,b"`` gives ``+g.3gpp.icsi-ref=a`` and ``…=b``.
    """
    found: set[str] = set()
    for contact in contacts:
        for name, _ in contact.parameters:
            value = contact.param(name)
            if not value:
                found.add(name.lower())
                continue
            for item in value.split(","):
                found.add(f"{name.lower()}={unquote(item.strip()).lower()}")
    return frozenset(found)


def offers_chat(contacts: Iterable[Address]) -> bool:
    """Tell whether a peer with these Contacts says that it can chat."""
    return not feature_values(contacts).isdisjoint(_CHAT_VALUES)


def offers_files(contacts: Iterable[Address]) -> bool:
    """Tell whether a peer with these Contacts says that it takes files over MSRP."""
    return not feature_values(contacts).isdisjoint(_FILE_VALUES)


@lru_cache(KEPT)
def takes_files(features: Parameters) -> bool:
    """Tell whether these, which are our own, say that we take files over MSRP."""
    return any(service in unquote(value or "") for _, value in features for service in (CPM_FILE, IARI_FILE))


def preferred_services(request: Request) -> tuple[str, ...]:
    """Return the services that the caller prefers to reach, by Accept-Contact (:rfc:`3841#section-9.2`), lower case."""
    services: list[str] = []
    for value in request.headers.get_list("Accept-Contact"):
        try:
            tags = parse_parameters(value, len(value.partition(";")[0]), "Accept-Contact")
        except ParseError:
            continue
        for name, text in tags:
            if name.lower() in (ICSI_TAG, IARI_TAG):
                services += [unquote(item.strip().strip("<>")).lower() for item in _bare(text).split(",")]
    return tuple(services)


_FILE_VALUES = frozenset(
    {
        f"{ICSI_TAG}={CPM_FILE}",
        f"{IARI_TAG}={IARI_FILE}",
    }
)

_CHAT_VALUES = frozenset(
    {
        SIMPLE_IM_TAG,
        MSRP_TAG,
        f"{ICSI_TAG}={CPM_SESSION}",
        f"{IARI_TAG}={IARI_CHAT}",
    }
)
