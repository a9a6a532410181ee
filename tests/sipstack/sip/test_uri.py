"""sipstack.sip.uri: A-URI-*, A-MSG-15, A-MSG-16."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import ParseError
from sipstack.sip.uri import Uri, escape_user, unescape
from tests.strategies import uris


def test_all_parts_are_told_apart_and_kept_as_written() -> None:
    uri = Uri.parse("SIP:al%69ce;x=1:pa$s@Example.COM:5070;transport=tcp;lr?Subject=hi%20there&Empty=")
    assert uri == Uri(
        "sip",
        "al%69ce;x=1",
        "pa$s",
        "Example.COM",
        5070,
        (("transport", "tcp"), ("lr", None)),
        (("Subject", "hi%20there"), ("Empty", "")),
    )
    assert str(uri) == "sip:al%69ce;x=1:pa$s@Example.COM:5070;transport=tcp;lr?Subject=hi%20there&Empty="
    assert uri.is_sip and not uri.is_tel
    assert (uri.param("Transport"), uri.param("LR"), uri.param("maddr")) == ("tcp", "", None)


@pytest.mark.parametrize(
    "text",
    [
        "sip:ims.lab.example",
        "sips:bob@h",
        "sip:bob:@h",
        "sip:[2001:db8::10]:5070",
        "sip:[2001:db8::10:5070]",  # G-V03: the port is part of the address
        "sip:user;par=u%40example.net@example.com",
        "sip:under_score.lab.",
        "tel:+49-151.(123)",
        "tel:911;phone-context=+49",
        "tel:*21#;phone-context=ims.lab.example",
        "urn:service:sos",
        "soap.beep://192.0.2.103:3002",
    ],
)
def test_str_gives_back_what_was_parsed(text: str) -> None:
    assert str(Uri.parse(text)) == text


@given(uris())
@settings(max_examples=100)
def test_round_trip(uri: Uri) -> None:
    assert Uri.parse(str(uri)) == uri
    assert uri.matches(Uri.parse(str(uri)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip",
        ":",
        "<sip:a@h>",
        "1sip:a@h",
        "sip:",
        "sip:@h",
        "sip:a@",
        "sip:a b@h",
        "sip:a@h h",
        "sip:a%4@h",
        "sip:a@b@h",
        "sip:a:b:c@h",
        'sip:"a"@h',
        "sip:ä@h",
        "sip:a@h..lab",
        "sip:a@.h",
        "sip:a@h:",
        "sip:a@h:65536",
        "sip:a@h:123456",
        "sip:a@h:5060x",
        "sip:2001:db8::10",  # G-V02
        "sip:a@[2001:db8::10",
        "sip:a@h;",
        "sip:a@h;;lr",
        "sip:a@h;x=",
        "sip:a@h; lr",  # G-T21
        "sip:a@h;x=1;X=2",  # A-MSG-10
        "sip:a@h?",
        "sip:a@h?Route",
        "sip:a@h?a=b&",
        "sip:a@h\r\nVia: x",
        "tel:",
        "tel:+",
        "tel:+49x",
        "tel:--",
        "tel:+49;",
        "other:",
        "other:a b",
        "other:<a>",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ParseError, match="URI"):
        Uri.parse(text)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        # the examples of A-URI-01
        ("sip:a@h", "sip:a@h:5060", False),
        ("sip:a@h;x=1", "sip:a@h", True),
        ("sip:a@h;transport=udp", "sip:a@h", False),
        ("sip:%61@h", "sip:a@h", True),
        ("sip:a@H", "sip:a@h", True),
        # RFC 3261 section 19.1.4
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", True),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", True),
        ("sip:a@h;x=1", "sip:a@h;x=2", False),
        ("sip:a@h;a;b=1", "sip:a@h;B=1;A", True),
        ("sip:a@h?to=x&subject=y", "sip:a@h?Subject=y&To=x", True),
        ("sip:a@h?subject=y", "sip:a@h", False),
        ("SIP:ALICE@h;transport=udp", "sip:alice@h;transport=UDP", False),
        ("sip:a@h", "sips:a@h", False),
        ("sip:a@h", "sip:h", False),
        ("sip:a:x@h", "sip:a:X@h", False),
        ("sip:a:x@h", "sip:a:%78@h", True),
        # a reserved character is not its escape
        ("sip:a%3Bb@h", "sip:a;b@h", False),
        ("sip:a%3bb@h", "sip:a%3Bb@h", True),
        # A-URI-03
        ("tel:+49-151-123", "tel:+49151123", True),
        ("tel:911;phone-context=+49", "tel:911", False),
        ("tel:0a;phone-context=LAB", "tel:0-A;phone-context=lab", True),
        ("tel:+1", "sip:+1@h;user=phone", False),
        ("urn:service:sos", "urn:service:sos", True),
        ("urn:service:sos", "urn:service:fire", False),
    ],
)
def test_matches(left: str, right: str, equal: bool) -> None:
    assert Uri.parse(left).matches(Uri.parse(right)) is equal
    assert Uri.parse(right).matches(Uri.parse(left)) is equal


@pytest.mark.parametrize(
    ("text", "aor"),
    [
        ("sip:%61lice:pw@IMS.Lab.Example:5060;lr?a=b", "sip:alice@ims.lab.example"),
        ("sip:b%3bc%c3%a4@h", "sip:b%3Bc%C3%A4@h"),
        ("sips:IMS.lab.example", "sips:ims.lab.example"),
        ("tel:+49-(151).123;ext=4", "tel:+49151123"),
        ("tel:9-11;phone-context=LAB.example", "tel:911;phone-context=lab.example"),
        ("urn:service:sos", "urn:service:sos"),
    ],
)
def test_aor(text: str, aor: str) -> None:
    assert Uri.parse(text).aor == aor


def test_host_port() -> None:
    assert Uri.parse("sip:a@[2001:db8::10]:5070").host_port == ("2001:db8::10", 5070)
    assert Uri.parse("sip:a@h").host_port == ("h", None)


def test_parameters_can_be_set_and_removed() -> None:
    uri = Uri.parse("sip:a@h;x=1;lr")
    assert str(uri.with_param("X", "2").with_param("ob")) == "sip:a@h;x=2;lr;ob"
    assert str(uri.without_params("LR", "x", "none")) == "sip:a@h"


def test_built_without_host_or_user() -> None:
    assert str(Uri("tel", "+491")) == "tel:+491"
    assert str(Uri("sip", host="h")) == "sip:h"
    assert not Uri("sip", host="h").is_tel


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
@settings(max_examples=100)
def test_escape_user_makes_any_text_a_user_part(text: str) -> None:
    assert unescape(escape_user(text)) == text
    if text:
        assert Uri.parse(f"sip:{escape_user(text)}@h").user == escape_user(text)


def test_unescape_cuts_nothing_off() -> None:
    assert unescape("a%00b") == "a\x00b"  # A-MSG-15, escnull
    assert unescape("user;par=u%40example.net") == "user;par=u@example.net"  # A-MSG-16
    assert unescape("%e4%bd%a0%ff") == "你\ufffd"
    assert unescape("100%") == "100%"


def test_long_input_takes_no_long_time() -> None:
    for text in (
        "sip:" + "a" * 60_000,
        "sip:" + "a;b" * 20_000 + " @h",
        "tel:" + "-" * 60_000,
        "sip:h" + ";a=b" * 9_000,
    ):
        with pytest.raises(ParseError):
            Uri.parse(text + "\x7f")


def test_leading_zeros_of_a_port() -> None:
    # RFC 3261 section 25.1: port = 1*DIGIT
    assert Uri.parse("sip:guest01@lab.example:00045061").port == 45061
