"""sipstack.sip.address: A-MSG-08, A-MSG-09, A-MSG-10."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip.address import Address
from sipstack.sip.uri import Uri
from tests.strategies import addresses


@pytest.mark.parametrize(
    ("text", "name", "uri", "written"),
    [
        ("sip:a@h", None, "sip:a@h", "<sip:a@h>"),
        ("<sip:a@h>", None, "sip:a@h", "<sip:a@h>"),
        ("  <sip:a@h;x?b=c>\t", None, "sip:a@h;x?b=c", "<sip:a@h;x?b=c>"),
        ("Bob <sip:a@h>", "Bob", "sip:a@h", '"Bob" <sip:a@h>'),
        ("Bob  the\tGuest<sip:a@h>", "Bob the Guest", "sip:a@h", '"Bob the Guest" <sip:a@h>'),
        ('"" <sip:a@h>', "", "sip:a@h", '"" <sip:a@h>'),
        (r'"a \"b\" \\ <x>, ;"<sip:a@h>', 'a "b" \\ <x>, ;', "sip:a@h", r'"a \"b\" \\ <x>, ;" <sip:a@h>'),
        ("Jürgen <sip:a@h>", "Jürgen", "sip:a@h", '"Jürgen" <sip:a@h>'),
        ("%Z%45 <tel:+491>", "%Z%45", "tel:+491", '"%Z%45" <tel:+491>'),
        ('"\udcff" <sip:a@h>', "\ufffd", "sip:a@h", '"\ufffd" <sip:a@h>'),
    ],
)
def test_forms(text: str, name: str | None, uri: str, written: str) -> None:
    address = Address.parse(text)
    assert (address.display_name, address.uri, address.parameters) == (name, Uri.parse(uri), ())
    assert str(address) == written


def test_without_brackets_parameters_are_of_the_header() -> None:
    # A-MSG-09
    address = Address.parse("sip:a@h ; x=1 ;tag = abc")
    assert address == Address(Uri.parse("sip:a@h"), None, (("x", "1"), ("tag", "abc")))
    assert address.tag == "abc"
    assert Address.parse("<sip:a@h;tag=no>").tag is None


def test_param_is_without_quotes_and_with_param_adds_them() -> None:
    address = Address.parse('<sip:a@h>;+sip.instance="<urn:uuid:1>";q=0.5;flag')
    assert address.parameters[0] == ("+sip.instance", '"<urn:uuid:1>"')
    assert address.param("+SIP.instance") == "<urn:uuid:1>"
    assert (address.param("flag"), address.param("none")) == ("", None)
    again = Address(address.uri).with_param("+sip.instance", "<urn:uuid:1>").with_param("q", "0.5").with_param("flag")
    assert str(again) == str(address)
    assert str(again.with_param("+sip.instance", '"x"').without_params("Q", "flag")) == '<sip:a@h>;+sip.instance="x"'


def test_line_breaks_never_get_out() -> None:
    with pytest.raises(LocalProtocolError):
        str(Address(Uri("sip", host="h"), "a\r\nb"))
    with pytest.raises(LocalProtocolError):
        str(Address(Uri("sip", host="h")).with_param("x", "a\r\nb"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "Bob",
        "Bob <sip:a@h",
        "<>",
        "< sip:a@h >",  # G-T27
        "Bell, Alexander <sip:a@h>",  # G-T28
        '"Bell <sip:a@h>',  # G-T19
        '"Bell" Alexander <sip:a@h>',
        "sip:a@h?Route=x",  # G-T26
        "sip:a,b@h",
        "<sip:a@h> x",
        "<sip:a@h>;",
        "<sip:a@h>;;x",
        "<sip:a@h>;=x",
        "<sip:a@h>;x=",
        '<sip:a@h>;x="y',
        "<sip:a@h>;x y",
        "<sip:a@h>;tag=1;TAG=2",  # A-MSG-10
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Address.parse(text)


def test_parse_many_splits_only_at_real_commas() -> None:
    # A-MSG-08
    many = Address.parse_many('"Doe, J" <sip:a,b@h>;q=0.5, <sip:c@h>')
    assert [str(address) for address in many] == ['"Doe, J" <sip:a,b@h>;q=0.5', "<sip:c@h>"]
    assert [address.display_name for address in Address.parse_many('"a" <sip:x@h>, "b" <sip:y@h>')] == ["a", "b"]
    assert Address.parse_many(" ") == []
    with pytest.raises(ParseError):
        Address.parse_many("<sip:a@h>,,<sip:b@h>")


@given(addresses())
@settings(max_examples=100)
def test_round_trip(address: Address) -> None:
    assert Address.parse(str(address)) == address
    assert Address.parse_many(f"{address}, {address}") == [address, address]


def test_long_input_takes_no_long_time() -> None:
    for text in (
        "a " * 30_000,
        '"' + "\\a" * 30_000,
        "<sip:a@h>" + " ;a" * 20_000 + "=",
        "<sip:a@h>;a" + " " * 60_000 + "x",
    ):
        with pytest.raises(ParseError):
            Address.parse(text)
