"""B-REG-08: NOTIFY variants, and what follows from them."""

from __future__ import annotations

import pytest

from sipstack.im.reginfo import AorInfo, ContactEvent, ContactInfo
from sipstack.sip.address import Address
from sipstack.sip.dropped import Dropped, Shortened, is_contact, news_of
from sipstack.sip.uri import Uri

MINE = "sip:k7@192.0.2.1:5070;transport=tcp"
AOR = Uri.parse("sip:g@cc.com")
CONTACT = Address.parse(f'<{MINE}>;+sip.instance="<urn:uuid:1>"')


def info(
    event: str, *, active: bool = False, uri: str = "sip:k7@192.0.2.1:5070;transport=tcp", **times: int
) -> AorInfo:
    contact = ContactInfo("1", uri, active, ContactEvent(event), times.get("expires"), times.get("retry_after"))
    return AorInfo("sip:g@cc.com", "r", "active" if active else "terminated", (contact,))


@pytest.mark.parametrize(
    ("registration", "news"),
    [
        (info("deactivated"), Dropped("deactivated", 0.0)),
        (info("expired"), Dropped("expired", 0.0)),
        (info("unregistered"), Dropped("unregistered", 0.0)),
        (info("rejected"), Dropped("rejected", None)),
        (info("probation"), Dropped("probation", 30.0)),
        (info("probation", retry_after=7), Dropped("probation", 7.0)),
        (info("shortened", active=True, expires=60), Shortened(60)),
        (info("shortened", active=True), None),
        (info("refreshed", active=True, expires=60), None),
        (info("registered", active=True), None),
        (info("created", active=True), None),
        (info("rejected", uri="sip:other@192.0.2.9"), None),
        (info("rejected", uri="nonsense"), None),
        (AorInfo("sip:g@cc.com", "r", "init"), Dropped("expired", 0.0)),
        (AorInfo("sip:g@cc.com", "r", "terminated"), Dropped("expired", 0.0)),
        (AorInfo("sip:g@cc.com", "r", "active"), None),
        (AorInfo("sip:else@cc.com", "r", "terminated"), None),
        (AorInfo("<>", "r", "terminated"), None),
    ],
)
def test_news(registration: AorInfo, news: Dropped | Shortened | None) -> None:
    others = AorInfo("tel:+49151", "t", "terminated")
    assert news_of([others, registration], AOR, CONTACT) == news


def test_a_contact_is_known_by_its_instance() -> None:
    """An edge proxy may have written another URI; another device may have the same."""
    instance = (("+sip.instance", '"<urn:uuid:1>"'),)
    moved = ContactInfo("1", "sip:edge@198.51.100.1", True, ContactEvent.REGISTERED, parameters=instance)
    assert is_contact(moved, CONTACT)
    other = ContactInfo("1", str(CONTACT.uri), True, ContactEvent.REGISTERED, parameters=(("+sip.instance", '"<x>"'),))
    assert not is_contact(other, CONTACT)
    assert is_contact(ContactInfo("1", str(CONTACT.uri), True, ContactEvent.REGISTERED), CONTACT)
    assert is_contact(other, Address.parse(f"<{CONTACT.uri}>"))
