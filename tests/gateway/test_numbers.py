"""Numbers as people write them, with and without country code."""

from __future__ import annotations

import pytest

from gateway.numbers import is_region, read_identifier, read_number
from translators.from_http import FieldError
from translators.identifiers import Identifier, Kind


@pytest.mark.parametrize(
    "text, region, expected",
    [
        ("+49 (0)151 123/456-78", "", "+4915112345678"),
        ("0049 151 12345678", "", "+4915112345678"),
        ("0049 151 12345678", "DE", "+4915112345678"),
        ("011 49 151 12345678", "US", "+4915112345678"),
        ("0151 12345678", "DE", "+4915112345678"),
        ("138 0013 8000", "CN", "+8613800138000"),
        ("+86 138 0013 8000", "DE", "+8613800138000"),
        ("+1 555 000 1234", "", "+15550001234"),
    ],
)
def test_numbers(text: str, region: str, expected: str) -> None:
    assert read_number(text, region) == read_identifier(text, region) == Identifier(Kind.PHONE, expected)


@pytest.mark.parametrize(
    "text, region, why",
    [
        ("0151 12345678", "", "country code"),
        ("+999123456789", "", "no country code that exists"),
        ("112", "DE", "no area code"),
        ("+4915", "", "no area code|too short"),
        ("+4915112345678901234", "", "too long"),
        ("+4915112345678 ext. 7", "", "cannot|can be sent"),
        ("hello", "DE", "not a number"),
        ("", "", "country code"),
        ("+", "", "not a number"),
    ],
)
def test_what_is_none(text: str, region: str, why: str) -> None:
    with pytest.raises(FieldError, match=why) as caught:
        read_number(text, region, field="number")
    assert caught.value.field == "number"
    assert read_identifier(text, region) is None


def test_other_identifiers_and_regions() -> None:
    assert read_identifier("b@cc.com", "DE") == Identifier(Kind.EMAIL, "b@cc.com")
    assert read_identifier("sip:b@cc.com", "DE") == Identifier(Kind.SIP, "sip:b@cc.com")
    assert read_identifier("tel:+4915112345678", "DE") == Identifier(Kind.PHONE, "+4915112345678")
    assert is_region("DE") and not is_region("de") and not is_region("XX")
