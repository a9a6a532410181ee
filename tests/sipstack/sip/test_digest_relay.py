"""Digest for MSRP relays: C-RLY-04, with a vector computed by hand from RFC 2617's formula."""

from __future__ import annotations

import hashlib

import pytest

from sipstack.sip.digest import Credentials
from sipstack.sip.digest_relay import RelayCredentials
from sipstack.sip.values import parse_auth_params

URI = "msrps://intra.example.com;tcp"
CHALLENGE = 'Digest realm="intra.example.com", qop="auth", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'


def md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()


HA1 = md5("Alice", "intra.example.com", "secret")


@pytest.fixture
def digest() -> RelayCredentials:
    return RelayCredentials(Credentials.from_password("Alice", "secret"))


def answer(digest: RelayCredentials) -> dict[str, str]:
    """Return the parameters of the next Authorization."""
    value = digest.authorize(URI)
    assert value is not None
    assert ", qop=auth, " in value and 'uri="' in value  # quotes: RFC 4976 §9.1
    return parse_auth_params(value)[1]


def proof(sent: dict[str, str]) -> str:
    """Return what a relay that knows the password says."""
    return md5(HA1, sent["nonce"], sent["nc"], sent["cnonce"], "auth", md5("", URI))


def test_answer(digest: RelayCredentials) -> None:
    # C-RLY-04
    assert digest.authorize(URI) is None
    assert digest.receive_challenge(URI, ["Basic realm=x", CHALLENGE])
    sent = answer(digest)
    assert (sent["username"], sent["uri"], sent["nc"]) == ("Alice", URI, "00000001")
    expected = md5(HA1, sent["nonce"], sent["nc"], sent["cnonce"], "auth", md5("AUTH", URI))
    assert sent["response"] == expected
    assert digest.authorize("msrps://other;tcp") is None


def test_proof_and_next_nonce(digest: RelayCredentials) -> None:
    # C-RLY-04
    digest.receive_challenge(URI, [CHALLENGE])
    sent = answer(digest)
    info = f'rspauth="{proof(sent)}", cnonce="{sent["cnonce"]}", nc=00000001, qop=auth'
    assert digest.receive_success(URI, info)
    assert answer(digest)["nc"] == "00000002"
    digest.receive_challenge(URI, [CHALLENGE])
    sent = answer(digest)
    assert digest.receive_success(URI, f'nextnonce="n2", rspauth="{proof(sent)}"')
    sent = answer(digest)
    assert (sent["nonce"], sent["nc"]) == ("n2", "00000001")


def test_wrong_proof(digest: RelayCredentials) -> None:
    digest.receive_challenge(URI, [CHALLENGE])
    answer(digest)
    assert not digest.receive_success(URI, f'rspauth="{"0" * 32}"')
    assert not digest.receive_success(URI, "nonsense")
    # who was never asked for a password proves nothing
    assert digest.receive_success("msrps://other;tcp", 'rspauth="0"')


def test_refused_for_good(digest: RelayCredentials) -> None:
    assert digest.receive_challenge(URI, [CHALLENGE])
    answer(digest)
    assert not digest.receive_challenge(URI, [CHALLENGE.replace("dcd", "abc")])
    assert digest.receive_challenge(URI, [CHALLENGE + ", stale=true"])
    answer(digest)
    answer(digest)
    # it served twice: it may be old
    assert digest.receive_challenge(URI, [CHALLENGE])


@pytest.mark.parametrize(
    "challenge",
    [
        "Basic realm=x",
        CHALLENGE.replace('"auth"', '"auth-int"'),
        CHALLENGE.replace('qop="auth", ', ""),
        CHALLENGE + ", algorithm=MD5-sess",
        CHALLENGE + ", algorithm=unknown",
    ],
)
def test_forbidden_challenges(digest: RelayCredentials, challenge: str) -> None:
    # C-RLY-04: auth only, and no MD5-sess.
    assert not digest.receive_challenge(URI, [challenge])
    assert digest.authorize(URI) is None
