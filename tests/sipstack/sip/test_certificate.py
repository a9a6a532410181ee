"""RFC 5922 section 7: whom a certificate speaks for."""

from __future__ import annotations

from typing import Any

import pytest

from sipstack.sip.certificate import identities, proves

SUBJECT = ((("countryName", "DE"),), (("commonName", "Old.Example"),))


def certificate(*names: tuple[str, str]) -> dict[str, Any]:
    """Return what Python's ssl tells of a certificate with these alternative names."""
    return {"subject": SUBJECT, "subjectAltName": names}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # Section 7.1: a DNS name counts if and only if no SIP URI does.
        ([("DNS", "Core.Example")], ("core.example",)),
        ([("DNS", "host.example"), ("URI", "SIP:Core.Example")], ("core.example",)),
        ([("URI", "sip:core.example"), ("URI", "sip:other.example")], ("core.example", "other.example")),
        # Other schemes are no identities, nor is a URI of one user, nor what is none at all.
        ([("URI", "sips:core.example"), ("DNS", "host.example")], ("host.example",)),
        ([("URI", "sip:alice@core.example"), ("DNS", "host.example")], ("host.example",)),
        ([("URI", "sip:<"), ("DNS", "host.example")], ("host.example",)),
        ([("email", "a@core.example")], ()),
        ([("IP Address", "192.0.2.1"), ("IP Address", "2001:DB8:0:0:0:0:0:1")], ("192.0.2.1", "2001:db8::1")),
        # "If and only if the subjectAltName does not appear": the common name.
        ([], ("old.example",)),
    ],
)
def test_identities(names: list[tuple[str, str]], expected: tuple[str, ...]) -> None:
    assert identities(certificate(*names)) == expected


def test_nothing_at_all() -> None:
    assert identities({}) == ()


@pytest.mark.parametrize(
    ("shown", "name", "good"),
    [
        ("core.example", "core.example", True),
        ("core.example", "CORE.example", True),
        # Section 7.2: names match in their entirety, and wildcards match nothing.
        ("core.example", "a.core.example", False),
        ("a.core.example", "core.example", False),
        ("*.core.example", "a.core.example", False),
    ],
)
def test_names_match_as_a_whole(shown: str, name: str, good: bool) -> None:
    assert proves(certificate(("DNS", shown)), name) is good


def test_addresses() -> None:
    shown = certificate(("IP Address", "2001:DB8:0:0:0:0:0:1"), ("DNS", "core.example"))
    assert proves(shown, "2001:db8::1") and proves(shown, "2001:DB8::0:1")
    assert not proves(shown, "2001:db8::2") and proves(shown, "core.example")
