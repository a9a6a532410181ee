"""Short links: the login secret in fewer letters, and nothing that could be mistaken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.links import secret_of, short_link, short_token
from gateway.secrets import new_login_secret


@given(st.integers(0, 2**128 - 1).map(lambda value: f"{value:032x}"))
def test_a_token_stands_for_its_secret(secret: str) -> None:
    token = short_token(secret)
    assert len(token) == 22 and token.isascii() and token.isalnum()
    assert secret_of(token) == secret


@pytest.mark.parametrize("token", ["", "x" * 21, "x" * 23, "z" * 22, "-" * 22, "０" * 22, "x" * 21 + "é"])
def test_what_is_no_token(token: str) -> None:
    assert secret_of(token) is None


@pytest.mark.parametrize("secret", ["", "x", "1" + "0" * 32])
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError):
        short_token(secret)


@pytest.mark.parametrize("public_url", ["https://gw.example", "https://gw.example/"])
def test_a_short_link_carries_the_secret(public_url: str) -> None:
    secret = new_login_secret()
    link = short_link(public_url, f"https://gw.example/rcsgw/invitee/session/b@cc.com#passwd={secret}")
    assert link.startswith("https://gw.example/i/") and secret_of(link[-22:]) == secret


def test_a_link_without_a_secret_has_no_short_form() -> None:
    assert short_link("https://gw.example", "https://gw.example/x") == "https://gw.example/x"
