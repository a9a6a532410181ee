"""The feature tags of a client for chat and files (RFC 3840, RFC 3841; the table of B-CAP)."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from sipstack.sip.address import Address
from sipstack.sip.uri import Parameters

CPM_SESSION = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session"

CPM_FILE = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.filetransfer"

CHAT_FEATURES: Parameters = (
    ("+g.oma.sip-im", None),
    # The colons are escaped because the tag's own grammar knows no raw ones (B-CAP-04).
    ("+g.3gpp.icsi-ref", f'"{CPM_SESSION.replace(":", "%3A", 2)}"'),
)
"""Chat over MSRP, as SIMPLE IM and as CPM say it."""

FILE_FEATURES: Parameters = (("+g.3gpp.icsi-ref", f'"{CPM_FILE.replace(":", "%3A", 2)}"'),)
"""Files over MSRP, as CPM says it (D-FTM-13)."""

FT_HTTP = "urn:urn-7:3gpp-application.ims.iari.rcs.fthttp"

FT_HTTP_FEATURES: Parameters = (("+g.3gpp.iari-ref", f'"{FT_HTTP.replace(":", "%3A", 2)}"'),)
"""Files by links in the chat (RCC.07)."""


CPM_MESSAGE = "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.msg"

PAGER_FEATURES: Parameters = (("+g.3gpp.icsi-ref", f'"{CPM_MESSAGE.replace(":", "%3A", 2)}"'),)
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


def takes_files(features: Parameters) -> bool:
    """Tell whether :data:`FILE_FEATURES` are among these, which are our own."""
    return any(CPM_FILE in unquote(value or "") for name, value in features)


_FILE_VALUES = frozenset(
    {
        f"+g.3gpp.icsi-ref={CPM_FILE}",
        "+g.3gpp.iari-ref=urn:urn-7:3gpp-application.ims.iari.rcse.ft",
    }
)

_CHAT_VALUES = frozenset(
    {
        "+g.oma.sip-im",
        f"+g.3gpp.icsi-ref={CPM_SESSION}",
        "+g.3gpp.iari-ref=urn:urn-7:3gpp-application.ims.iari.rcse.im",
    }
)
