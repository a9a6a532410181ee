"""What a client does about news of its own registration (:rfc:`3680`, TS 24.229 §5.1.1.3, B-REG-08)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sipstack.errors import ParseError
from sipstack.im.reginfo import AorInfo, ContactEvent, ContactInfo
from sipstack.sip.address import Address
from sipstack.sip.uri import Uri

PROBATION = 30.0
"""Seconds until the next REGISTER after ``probation`` without ``retry-after``."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The registrar has removed our binding."""

    reason: str
    """The event of :rfc:`3680`."""
    again_in: float | None
    """Seconds after which to register again; None: not by ourselves."""


@dataclass(frozen=True, slots=True)
class Shortened:
    """The binding lasts only this many seconds from now on."""

    seconds: int


def news_of(registrations: Iterable[AorInfo], aor: Uri, contact: Address) -> Dropped | Shortened | None:
    """Return what a document says about the binding of ``contact``, which we have registered for ``aor``.

    Only what is said counts: a contact that is not named may stand under another URI, as an edge proxy wrote it.
    """
    for info in registrations:
        if _same_aor(info.aor, aor):
            return _news(info, contact)
    return None


def _news(info: AorInfo, contact: Address) -> Dropped | Shortened | None:
    ours = next((item for item in info.contacts if is_contact(item, contact)), None)
    if ours is None:
        # Nothing is bound at all, so ours is not either.
        return None if info.state == "active" or info.contacts else Dropped(ContactEvent.EXPIRED.value, 0.0)
    if not ours.active:
        return Dropped(ours.event.value, _pause(ours))
    if ours.event is ContactEvent.SHORTENED and ours.expires is not None:
        return Shortened(ours.expires)
    return None


def _pause(ours: ContactInfo) -> float | None:
    """Whoever is logged in wants to be reachable: all but a rejection is followed by another REGISTER."""
    if ours.event is ContactEvent.REJECTED:
        return None
    if ours.event is ContactEvent.PROBATION:
        return PROBATION if ours.retry_after is None else float(ours.retry_after)
    return 0.0


def is_contact(info: ContactInfo, contact: Address) -> bool:
    """Tell whether a document speaks of this contact: by its instance, else by its URI."""
    instance = contact.param("+sip.instance")
    theirs = info.param("+sip.instance")
    if instance is not None and theirs is not None:
        return theirs == instance.strip('"')
    try:
        return Uri.parse(info.uri).matches(contact.uri)
    except ParseError:
        return False


def _same_aor(text: str, aor: Uri) -> bool:
    try:
        return Uri.parse(text).aor == aor.aor
    except ParseError:
        return False
