"""sipstack.sip.values: CSeq, media types, Retry-After, Warning, Reason, credentials."""

from __future__ import annotations

import pytest

from sipstack.errors import ParseError
from sipstack.sip.values import CSeq, MediaType, Reason, RetryAfter, WarningValue, parse_auth_params


def test_cseq() -> None:
    # A-MSG-21
    assert CSeq.parse("0009 INVITE") == CSeq(9, "INVITE")
    assert CSeq.parse(" 4294967295\tFOO") == CSeq(2**32 - 1, "FOO")
    assert str(CSeq(1, "BYE")) == "1 BYE"
    for text in ("", "1", "INVITE 1", "-1 INVITE", "1 INVITE x", "4294967296 INVITE", "9" * 5000 + " INVITE"):
        with pytest.raises(ParseError, match="CSeq"):
            CSeq.parse(text)


def test_media_type() -> None:
    media = MediaType.parse('Multipart / Mixed ; Boundary="a b";charset=utf-8; x')
    assert media.full == "multipart/mixed"
    assert (media.param("boundary"), media.param("x"), media.param("y")) == ("a b", "", None)
    assert str(media) == 'Multipart/Mixed;Boundary="a b";charset=utf-8;x'
    assert str(MediaType("message", "cpim")) == "message/cpim"
    for text in ("", "text", "text/", "/plain", "text/plain x", "text/plain;;"):
        with pytest.raises(ParseError, match="media type"):
            MediaType.parse(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("120", RetryAfter(120)),
        ("18000;duration=3600", RetryAfter(18000, 3600)),
        ("120 (I'm in a (long) meeting)", RetryAfter(120, None, "I'm in a (long) meeting")),
        (r"5 (a \) b);duration=7", RetryAfter(5, 7, r"a \) b")),
    ],
)
def test_retry_after(text: str, value: RetryAfter) -> None:
    assert RetryAfter.parse(text) == value
    assert str(value) == text


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1 (", "1 (a", r"1 (\)", "1 (a) b", "1;duration=x", "949302838503028349304023988"]
)
def test_retry_after_refused(text: str) -> None:
    with pytest.raises(ParseError):
        RetryAfter.parse(text)


def test_warning() -> None:
    value = WarningValue.parse(r'399 gw.lab.example:5060 "no \"chat\" here, sorry"')
    assert value == WarningValue(399, "gw.lab.example:5060", 'no "chat" here, sorry')
    assert WarningValue.parse(str(value)) == value
    for text in ("", '1812 overture "x"', '399 "x"', "399 gw x", '399 gw "x'):
        with pytest.raises(ParseError, match="Warning"):
            WarningValue.parse(text)


def test_reason() -> None:
    value = Reason.parse('SIP ;cause=200 ;text="Call completed elsewhere"')
    assert value == Reason("SIP", 200, "Call completed elsewhere")
    assert str(value) == 'SIP;cause=200;text="Call completed elsewhere"'
    assert str(Reason.parse("Q.850")) == "Q.850"
    assert Reason.parse("preemption;cause=1;text=gone;x") == Reason("preemption", 1, "gone")
    for text in ("", ";cause=1", "SIP;cause=x", "SIP;cause=1000", "SIP cause=1"):
        with pytest.raises(ParseError, match="Reason"):
            Reason.parse(text)


def test_auth_params() -> None:
    scheme, parameters = parse_auth_params(
        'Digest realm="a, \\"b\\"", Nonce = "x=" ,qop="auth,auth-int", algorithm=MD5, nc=00000001,, opaque=""'
    )
    assert scheme == "Digest"
    assert parameters == {
        "realm": 'a, "b"',
        "nonce": "x=",
        "qop": "auth,auth-int",
        "algorithm": "MD5",
        "nc": "00000001",
        "opaque": "",
    }
    assert parse_auth_params("NoOneKnows opaque-data=here") == ("NoOneKnows", {"opaque-data": "here"})


@pytest.mark.parametrize(
    "text", ["", "Digest", "Basic dXNlcjpwYXNz", 'Digest realm="a', "Digest a=1, A=2", "Digest a=b c", "Digest =b, c=d"]
)
def test_auth_params_refused(text: str) -> None:
    with pytest.raises(ParseError):
        parse_auth_params(text)
