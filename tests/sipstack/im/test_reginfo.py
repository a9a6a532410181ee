"""RFC 3680: documents, and the table that a subscriber puts together of them."""

from __future__ import annotations

import pytest

from sipstack.errors import MessageTooLarge, ParseError
from sipstack.im.reginfo import AorInfo, ContactEvent, ContactInfo, RegInfo, RegistrationTable

EXAMPLE = b"""<?xml version="1.0"?>
    <reginfo xmlns="urn:ietf:params:xml:ns:reginfo"
        xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
                 version="0" state="full">
      <registration aor="sip:user@example.com" id="as9"
                    state="active">
        <contact id="76" state="active" event="registered"
                 duration-registered="7322"
                 q="0.8">
                 <uri>sip:user@pc887.example.com</uri>
        </contact>
        <contact id="77" state="terminated" event="expired"
                 duration-registered="3600"
                 q="0.5">
                 <uri>sip:user@university.edu</uri>
        </contact>
      </registration>
    </reginfo>
"""
"""Of section 5.3."""


def contact(id: str, active: bool = True, event: str = "registered") -> ContactInfo:
    return ContactInfo(id, f"sip:{id}@h", active, ContactEvent(event))


def document(version: int, *contacts: ContactInfo, full: bool = False, id: str = "r") -> RegInfo:
    state = "active" if any(item.active for item in contacts) else "terminated"
    return RegInfo(version, full, (AorInfo("sip:u@h", id, state, contacts),))


def test_the_example_of_the_standard() -> None:
    """A-EXT-04: section 5.3."""
    info = RegInfo.parse(EXAMPLE)
    assert (info.version, info.full, len(info.registrations)) == (0, True, 1)
    (registration,) = info.registrations
    assert (registration.aor, registration.id, registration.state) == ("sip:user@example.com", "as9", "active")
    first, second = registration.contacts
    assert (first.uri, first.active, first.event) == ("sip:user@pc887.example.com", True, ContactEvent.REGISTERED)
    assert (second.active, second.event, second.expires) == (False, ContactEvent.EXPIRED, None)


def test_what_is_written_is_read() -> None:
    odd = ContactInfo(
        'a"<&',
        "sip:x@h;a=<b>",
        False,
        ContactEvent.PROBATION,
        7,
        9,
        (("+sip.instance", '"<urn:uuid:1>"'), ("text", "")),
    )
    info = RegInfo(3, False, (AorInfo("sip:u@h", "1", "active", (odd, contact("2"))), AorInfo("tel:+1", "2", "init")))
    assert RegInfo.parse(bytes(info)) == info
    assert odd.param("+SIP.instance") == "<urn:uuid:1>" and odd.param("text") == "" and odd.param("audio") is None


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b"<?xml", b"x<?xml", "not XML"),
        (b'<?xml version="1.0"?>', b'<!DOCTYPE reginfo [<!ENTITY x "y">]>', "DOCTYPE"),
        (b"urn:ietf:params:xml:ns:reginfo", b"urn:other", "root element 'reginfo'"),
        (b'state="full"', b'state="whole"', "state 'whole'"),
        (b'state="full"', b"", "reginfo without state"),
        (b' version="0"', b"", "no version"),
        (b'version="0" ', b'version="-1" ', "reginfo whose version is no number"),
        (b'                    state="active"', b'state="busy"', "registration in the state 'busy'"),
        (b'aor="sip:user@example.com"', b"", "registration without aor"),
        (b'event="expired"', b'event="gone"', "contact with the event 'gone'"),
        (b'event="expired"', b"", "contact without event"),
        (b'id="77"', b'expires="x" id="77"', "contact whose expires is no number"),
    ],
)
def test_what_is_none(old: bytes, new: bytes, fault: str) -> None:
    assert old in EXAMPLE
    with pytest.raises(ParseError, match=fault):
        RegInfo.parse(EXAMPLE.replace(old, new, 1))


def test_limits() -> None:
    many = document(0, *(contact(str(number)) for number in range(600)))
    with pytest.raises(MessageTooLarge, match="too many elements"):
        RegInfo.parse(bytes(many))
    with pytest.raises(MessageTooLarge, match="octets"):
        RegInfo.parse(EXAMPLE + b" " * 65536)
    for number in (b"99999999999", b"9" * 5000):
        assert RegInfo.parse(EXAMPLE.replace(b'version="0" ', b'version="%s" ' % number)).version == 2**32 - 1


def test_strangers_elements_are_passed_over() -> None:
    stranger = EXAMPLE.replace(b"</registration>", b'<x:contact xmlns:x="urn:x"/><gone/></registration>')
    assert RegInfo.parse(stranger) == RegInfo.parse(EXAMPLE)


def test_a_table_of_several_documents() -> None:
    """Section 5.2: partial documents change what they name, full ones everything."""
    table = RegistrationTable()
    assert table.receive(document(4, contact("a"), contact("b"), full=True))
    assert [item.id for item in table.contacts] == ["a", "b"]
    table.receive(document(5, contact("a", False, "expired"), contact("c")))
    assert [item.id for item in table.contacts] == ["b", "c"]
    table.receive(document(6, contact("d"), id="other"))
    assert [item.id for item in table.contacts] == ["b", "c", "d"]
    assert not table.is_stale
    table.receive(document(7, full=True))
    assert list(table.contacts) == []


def test_order_of_documents() -> None:
    """Section 5.2: an old one is discarded; after a gap the full state is wanted, until it comes."""
    table = RegistrationTable()
    table.receive(document(1, contact("a"), full=True))
    assert table.receive(document(0, full=True)) == ()
    assert table.receive(document(1, contact("a"), full=True)) != (), "the same version again, as Kamailio does it"
    assert [item.id for item in table.contacts] == ["a"] and not table.is_stale
    table.receive(document(3, contact("b")))
    assert table.is_stale and table.version == 3
    table.receive(document(4, contact("c")))
    assert table.is_stale
    table.receive(document(5, contact("c"), full=True))
    assert not table.is_stale
