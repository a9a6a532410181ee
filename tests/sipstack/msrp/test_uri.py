"""MSRP URIs and paths: C-URI-01 to C-URI-04."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import ParseError
from sipstack.msrp.uri import DEFAULT_PORT, MsrpUri, canonical_host, parse_path
from tests.strategies import hosts

TOKEN = st.text(string.ascii_letters + string.digits + "-.!%*_+`'~#$&^|{}", min_size=1, max_size=6)
URIS = st.builds(
    MsrpUri,
    scheme=st.sampled_from(["msrp", "msrps"]),
    host=hosts(),
    port=st.none() | st.integers(1, 65535),
    session_id=st.none() | st.text(string.ascii_letters + string.digits + "-._~+=/", min_size=1, max_size=20),
    transport=st.sampled_from(["tcp", "TCP", "ws"]),
    parameters=st.lists(st.tuples(TOKEN, st.none() | TOKEN), max_size=3).map(tuple),
    user=st.none() | st.from_regex(r"[A-Za-z0-9._~%-]{1,8}", fullmatch=True),
)


@settings(max_examples=100)
@given(URIS)
def test_round_trip(uri: MsrpUri) -> None:
    assert MsrpUri.parse(str(uri)) == uri
    assert uri.matches(uri)


def test_fields() -> None:
    uri = MsrpUri.parse("MSRPS://relay@[2001:DB8::1]:2855/aV7pKe03;tcp;x=1;y")
    assert uri.scheme == "msrps" and uri.secure
    assert uri.user == "relay"
    assert uri.host_port == ("2001:DB8::1", 2855)
    assert uri.session_id == "aV7pKe03"
    assert uri.parameters == (("x", "1"), ("y", None))
    assert MsrpUri.parse("msrp://h/x;tcp").host_port == ("h", DEFAULT_PORT)


@pytest.mark.parametrize(
    "text",
    [
        "msrp://host:2855/abc",  # C-URI-01: the transport is mandatory
        "msrp://host:2855/abc;",
        "http://host:2855/abc;tcp",
        "msrp://:2855/abc;tcp",
        "msrp://host:0/abc;tcp",
        "msrp://host:65536/abc;tcp",
        "msrp://host:2855/a b;tcp",
        "msrp://host:2855/a\r\nX;tcp",
        "msrp://host:2855/abc;tcp;=x",
        "",
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(ParseError) as caught:
        MsrpUri.parse(text)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("MSRP://Host:1/a;TCP", "msrp://host:1/a;tcp", True),
        ("msrp://host:1/A;tcp", "msrp://host:1/a;tcp", False),
        ("msrp://host:1/a;tcp", "msrp://host/a;tcp", False),
        ("msrp://host:1/a;tcp", "msrps://host:1/a;tcp", False),
        ("msrp://host:1/a;tcp", "msrp://host:1/a;ws", False),
        ("msrp://host:1/a;tcp;x=1", "msrp://me@host:1/a;tcp", True),
        ("msrp://[2001:db8::1]:1/a;tcp", "msrp://[2001:DB8:0:0::1]:1/a;tcp", True),
        ("msrp://192.0.2.1:1/a;tcp", "msrp://192.0.2.2:1/a;tcp", False),
    ],
)
def test_equality(left: str, right: str, equal: bool) -> None:
    # C-URI-02
    assert MsrpUri.parse(left).matches(MsrpUri.parse(right)) is equal


def test_canonical_host() -> None:
    assert canonical_host("[::0001]") == "::1"
    assert canonical_host("Example.COM") == "example.com"


def test_path_of_three() -> None:
    # C-URI-04, C-WS-01: the nearest hop first; hops behind it may use unknown transports.
    path = parse_path("msrp://r1:1/a;tcp msrps://r2.invalid:2/b;ws msrp://p:3/c;tcp")
    assert [uri.host for uri in path] == ["r1", "r2.invalid", "p"]


@pytest.mark.parametrize("text", ["", "  ", " ".join(["msrp://h:1/a;tcp"] * 11)])
def test_path_limits(text: str) -> None:
    # C-FRM-12
    with pytest.raises(ParseError):
        parse_path(text)
