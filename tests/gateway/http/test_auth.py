"""Basic credentials (RFC 7617)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http.auth import parse_basic, parse_networks
from gateway.services import NotAuthenticated
from translators.from_http import FieldError


def basic(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return "Basic " + base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("header", "user", "password"),
    [
        ("Basic Z3Vlc3QtYXBwOnMzY3JldA==", "guest-app", "s3cret"),  # E-AUT-01
        (basic("a:p:w:é"), "a", "p:w:é"),
        (basic("b@CC.com:x"), "sip:b@cc.com", "x"),
        (basic("sip:b@cc.com:x:y"), "sip:b@cc.com", "x:y"),
        (basic("SIPS:b@cc.com:"), "sips:b@cc.com", ""),
        (basic("tel:+4915112345678:x"), "tel:+4915112345678", "x"),
        (basic("+4915112345678:x"), "tel:+4915112345678", "x"),
        (basic("sip:x"), "sip", "x"),
        ("bAsIc   " + base64.b64encode(b"a:b").decode() + " ", "a", "b"),
    ],
)
def test_credentials(header: str, user: str, password: str) -> None:
    assert parse_basic(header) == (user, password)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Bearer abc",
        basic("nocolon"),
        basic(":x"),
        basic(b"\xff:x"),
        basic("a:" + "x" * 2000),
    ],
)
def test_no_credentials(header: str | None) -> None:
    with pytest.raises(NotAuthenticated):
        parse_basic(header)


@settings(max_examples=100)
@given(st.text(max_size=20), st.sampled_from("\r\n\0\x1b\x7f\x85"))
def test_control_characters_are_refused(text: str, evil: str) -> None:
    with pytest.raises(FieldError) as caught:
        parse_basic(basic(f"{text.encode(errors='replace').decode()}{evil}:x"))
    assert caught.value.field == "Authorization"


def test_networks() -> None:
    assert [str(network) for network in parse_networks(["10.1.2.3/8", "::1"])] == ["10.0.0.0/8", "::1/128"]
    with pytest.raises(ValueError, match="nonsense"):
        parse_networks(["nonsense"])
