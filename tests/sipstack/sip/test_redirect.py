"""Which URIs a redirected request is tried at (A-UAC-08)."""

from __future__ import annotations

import pytest

from sipstack.sip.message import Response
from sipstack.sip.redirect import REDIRECT_LIMIT, Redirects
from sipstack.sip.uri import Uri


def moved(*contacts: str) -> Response:
    return Response(302, None, [("Contact", contact) for contact in contacts])


def tried(uri: str, *responses: Response) -> list[str]:
    """Return where a request to ``uri`` goes when these are the answers, in this order."""
    redirects, found = Redirects(Uri.parse(uri)), []
    for response in responses:
        redirects.add(response)
        while (following := redirects.next()) is not None:
            found.append(str(following))
    return found


@pytest.mark.parametrize(
    ("uri", "contacts", "expected"),
    [
        ("sip:a@x", ["<sip:low@x>;q=0.1", "<sip:best@x>", "<sip:high@x>;q=0.9"], ["best", "high", "low"]),
        ("sip:a@x", ["<sip:a@x>", "<sip:b@x>, <sip:b@X;transport=udp>"], ["b", "b"]),
        ("sip:a@x", ["<sip:odd@x>;q=often", "<sip:b@x>;q=0.1"], ["b", "odd"]),
        ("sip:a@x", ["<tel:+1>", "<mailto:a@x>", "<sips:b@x>"], ["b"]),
        ("sips:a@x", ["<sip:b@x>", "<sips:c@x>"], ["c"]),
        ("sip:a@x", ["<sip:b"], []),
        ("sip:a@x", [], []),
    ],
)
def test_the_best_first_and_none_twice(uri: str, contacts: list[str], expected: list[str]) -> None:
    assert [Uri.parse(found).user for found in tried(uri, moved(*contacts))] == expected


def test_what_a_request_uri_must_not_have_is_left_out() -> None:
    contact = "<sip:b:secret@x:5070;method=BYE;transport=tcp?Subject=hi>"
    assert tried("sip:a@x", moved(contact)) == ["sip:b@x:5070;transport=tcp"]


def test_a_loop_ends() -> None:
    """A UAC must not try one URI twice (:rfc:`3261#section-8.1.3.4`)."""
    assert tried("sip:a@x", moved("<sip:b@x>"), moved("<sip:a@x>", "<sip:b@x>")) == ["sip:b@x"]


def test_an_endless_way_ends_too() -> None:
    answers = [moved(f"<sip:a{number}@x>") for number in range(10)]
    assert tried("sip:a@x", *answers) == [f"sip:a{number}@x" for number in range(REDIRECT_LIMIT)]
