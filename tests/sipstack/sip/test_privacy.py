from __future__ import annotations

import pytest

from sipstack.sip.message import Request
from sipstack.sip.privacy import is_anonymous, privacy_values


def request(*privacy: str, sender: str = "<sip:a@cc.com>;tag=1") -> Request:
    return Request("INVITE", "sip:b@cc.com", [("From", sender), *(("Privacy", value) for value in privacy)])


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ((), set()),
        (("id",), {"id"}),
        (("Header;USER ; critical",), {"header", "user", "critical"}),
        (("id", "session"), {"id", "session"}),
        (("id,header",), {"id", "header"}),
        ((" ; ",), set()),
    ],
)
def test_values(values: tuple[str, ...], found: set[str]) -> None:
    """RFC 3323 section 4.2; commas, which some write, are understood."""
    assert privacy_values(request(*values)) == found


@pytest.mark.parametrize(
    ("values", "sender", "anonymous"),
    [
        ((), "<sip:a@cc.com>", False),
        (("id",), "<sip:a@cc.com>", True),
        (("user;critical",), "<sip:a@cc.com>", True),
        (("header",), "<sip:a@cc.com>", True),
        (("session;critical",), "<sip:a@cc.com>", False),
        (("history",), "<sip:a@cc.com>", False),
        (("none",), '"Anonymous" <sip:anonymous@anonymous.invalid>', False),
        ((), '"Anonymous" <sip:Anonymous@ANONYMOUS.invalid>', True),
        ((), "<sip:x@hidden.anonymous.invalid>", True),
        ((), "<sip:anonymous@cc.com>", False),
        ((), "nonsense", False),
    ],
)
def test_who_hides(values: tuple[str, ...], sender: str, anonymous: bool) -> None:
    """B-CHT-05, RFC 3325 section 9.3."""
    assert is_anonymous(request(*values, sender=f"{sender};tag=1")) is anonymous
