"""Invite links in every form."""

from __future__ import annotations

import pytest

from gateway.clients.link import InviteLink

GATEWAY = "https://gw.example"


@pytest.mark.parametrize(
    "text",
    [
        "https://gw.example/rcsgw/invitee/session/sip:b@cc.com#s3cret",
        "https://gw.example/rcsgw/invitee/session/sip%3Ab%40cc.com#passwd=s3cret",
        "https://gw.example/rcsgw/invitee/session/sip:b@cc.com?passwd=s3cret",
        "  rcsgw://gw.example/rcsgw/invitee/session/sip:b@cc.com#s3cret\n",
        "HTTPS://gw.example/rcsgw/invitee/session/sip:b@cc.com#s3cret",
    ],
)
def test_forms(text: str) -> None:
    link = InviteLink.parse(text)
    assert (link.gateway, link.account, link.secret) == (GATEWAY, "sip:b@cc.com", "s3cret")
    assert InviteLink.parse(str(link)) == link
    assert "s3cret" not in repr(link)


def test_a_gateway_behind_a_path_and_without_tls() -> None:
    link = InviteLink.parse("rcsgw+http://lab:8080/chat/rcsgw/invitee/session/tel:+4915112345678#x%2Fy")
    assert (link.gateway, link.account, link.secret) == ("http://lab:8080/chat", "tel:+4915112345678", "x/y")
    assert InviteLink.parse(str(link)) == link


def test_without_a_secret() -> None:
    for text in ("https://gw.example/rcsgw/invitee/session/sip:b@cc.com", f"{GATEWAY}/rcsgw/invitee/session/b#utm=1"):
        assert InviteLink.parse(text).secret == ""


def test_short_links() -> None:
    link = InviteLink.parse("https://gw.example/i/AbC123")
    assert (link.gateway, link.token, link.account) == (GATEWAY, "AbC123", "")
    assert InviteLink.parse(str(link)) == link
    assert "AbC123" not in repr(link)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begins with"),
        ("ftp://gw.example/rcsgw/invitee/session/b#x", "begins with"),
        ("https:///rcsgw/invitee/session/b#x", "begins with"),
        ("https://gw.example/", "an account"),
        ("https://gw.example/rcsgw/invitee/session/", "an account"),
        ("https://me:pw@gw.example/rcsgw/invitee/session/b#x", "user name"),
    ],
)
def test_what_is_no_link(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        InviteLink.parse(text)
