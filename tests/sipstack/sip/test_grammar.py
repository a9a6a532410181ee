"""sipstack.sip.grammar: tokens, quoting, parameters, comma lists."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.sip.grammar import (
    MAX_UINT32,
    clean,
    find_parameter,
    format_parameters,
    is_token,
    parse_number,
    parse_parameters,
    parse_seconds,
    quote,
    refuse_line_breaks,
    split_list,
    unquote,
)
from tests.strategies import texts


@given(texts())
@settings(max_examples=60)
def test_quote_and_unquote(text: str) -> None:
    assert unquote(quote(text)) == text
    assert split_list(f"{quote(text)},x") == [quote(text), "x"]


def test_quote_refuses_line_breaks() -> None:
    for text in ("a\rb", "a\nb"):
        with pytest.raises(LocalProtocolError):
            quote(text)
    assert quote("a\x00") == '"a\\\x00"'


@pytest.mark.parametrize(
    ("text", "meaning"), [("abc", "abc"), ('"', '"'), ('"a', '"a'), ('""', ""), (r'"a\"\\"', 'a"\\')]
)
def test_unquote(text: str, meaning: str) -> None:
    assert unquote(text) == meaning


def test_refuse_line_breaks() -> None:
    refuse_line_breaks('"BEL:\\\x07 NUL:\\\x00"', "To")
    for text in ("a\r\nb", "a\nb", "a\rb", "a\x00b"):
        with pytest.raises(LocalProtocolError, match="To"):
            refuse_line_breaks(text, "To")


def test_clean() -> None:
    assert clean("a\udcffb") == "a\ufffdb"
    assert clean("plain") == "plain"
    assert clean("好") == "好"


def test_tokens() -> None:
    assert is_token("a-.!%*_+`'~0")
    assert not any(map(is_token, ["", "a b", "a\n", "ä", "a:"]))


def test_numbers() -> None:
    assert parse_number("0009", "CSeq") == 9
    assert parse_number("0" * 5000 + "4294967295", "CSeq") == 2**32 - 1
    for text in ("", "-1", "+1", "4294967296", "1" * 5000, "1 ", "\u0661"):
        with pytest.raises(ParseError, match="CSeq"):
            parse_number(text, "CSeq")
    with pytest.raises(ParseError):
        parse_number("256", "Max-Forwards", 255)


def test_seconds() -> None:
    assert [parse_seconds(text) for text in ("0", "600", "00600", "4294967296", "9" * 5000)] == [
        0,
        600,
        600,
        MAX_UINT32,
        MAX_UINT32,
    ]
    assert [parse_seconds(text) for text in (None, "", "-1", "soon", "\u0663")] == [None] * 5


def test_parameters() -> None:
    parameters = parse_parameters('h ; a = "x;\\"y" ;B;c=1 ', 1, "X")
    assert parameters == (("a", '"x;\\"y"'), ("B", None), ("c", "1"))
    assert format_parameters(parameters) == ';a="x;\\"y";B;c=1'
    assert format_parameters((("a", "b c"), ("d", ""), ("e", "ü"))) == ';a="b c";d="";e="ü"'
    assert (find_parameter(parameters, "b"), find_parameter(parameters, "d")) == ("", None)
    assert parse_parameters("h  ", 1, "X") == ()
    with pytest.raises(ParseError) as caught:
        parse_parameters("h;a;;b", 1, "X")
    assert caught.value.offset == 3


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("", []),
        (" \t", []),
        (" a ", ["a"]),
        ("a,b , c", ["a", "b", "c"]),
        (",", ["", ""]),
        ("a,,b", ["a", "", "b"]),
        ('"a,b", c', ['"a,b"', "c"]),
        (r'"a\",b", c', [r'"a\",b"', "c"]),
        ("<sip:a,b@h>,c", ["<sip:a,b@h>", "c"]),
        ("a > b, c", ["a > b", "c"]),
    ],
)
def test_split_list(value: str, items: list[str]) -> None:
    assert split_list(value) == items


@pytest.mark.parametrize("value", ['"a,b', "a, <b", 'a, "b', r'a, "b\"'])
def test_split_list_refuses_what_has_no_end(value: str) -> None:
    with pytest.raises(ParseError, match="open quote or bracket"):
        split_list(value)


@given(st.text(',"<>\\ab ', max_size=30))
@settings(max_examples=100)
def test_split_list_loses_nothing(value: str) -> None:
    try:
        items = split_list(value)
    except ParseError:
        return
    assert "".join(items).replace(" ", "").count("a") == value.count("a")
