from __future__ import annotations

import pytest

from sipstack.sip.message import Response
from translators.mismatch import cause_of_refusal, explain
from translators.status import WARNINGS, is_mismatch

SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
TLS = "m=message 2855 TCP/TLS/MSRP *\r\na=accept-types:message/cpim\r\na=path:msrps://192.0.2.1:2855/x;tcp\r\n"
TYPES = "m=message 2855 TCP/MSRP *\r\na=accept-types:image/png message/cpim image/png\r\n"


def refused(status: int, *headers: tuple[str, str], body: str = "") -> str | None:
    """Return what is said of a refusal."""
    fields = [*headers, ("Content-Type", "application/sdp")] if body else list(headers)
    return explain(Response(status, headers=fields, body=body.encode()))


@pytest.mark.parametrize("status", [406, 415, 420, 488, 606])
def test_without_any_word(status: int) -> None:
    assert is_mismatch(status)
    assert refused(status) == "The other side does not support this, and does not say why."


@pytest.mark.parametrize("status", [403, 480, 486, 503, 603])
def test_other_refusals_say_nothing_of_capabilities(status: int) -> None:
    assert refused(status, ("Warning", '304 x "no"')) is None


@pytest.mark.parametrize("code", sorted(WARNINGS))
def test_warnings_in_words(code: int) -> None:
    """A-UAS-11: each code has its words; what the peer says itself follows."""
    assert refused(488, ("Warning", f'{code} phone "only TLS here"')) == f"{WARNINGS[code]} It says: “only TLS here”."


def test_what_has_only_the_peers_own_words() -> None:
    assert refused(488, ("Warning", '399 phone "no chats\tat all"')) == "It says: “no chats at all”."
    assert refused(606, ("Warning", '399 phone " ", 305 phone ""')) == WARNINGS[305]


def test_headers_that_tell_what_is_missing() -> None:
    assert refused(420, ("Unsupported", "timer, x")) == "The other side does not know what is needed: timer, x."
    assert refused(415, ("Accept", "text/plain")) == "The other side takes only text/plain."
    assert refused(488, ("Accept", "text/plain")) == "The other side does not support this, and does not say why."


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (SDP, "It takes no messages over MSRP at all."),
        (SDP + "m=audio 4000 RTP/AVP 0\r\n", "It takes no messages over MSRP at all."),
        (SDP + TLS, "It requires MSRP over TLS."),
        (SDP + TYPES, "It takes only image/png, message/cpim."),
        (SDP + "m=message 2855 TCP/MSRP *\r\n", "The other side does not support this, and does not say why."),
        ("nonsense", "The other side does not support this, and does not say why."),
    ],
)
def test_the_peers_own_description(body: str, words: str) -> None:
    """RFC 3261 §21.4.26: a 488 may describe what would have been taken."""
    assert refused(488, body=body) == words


def test_words_and_description() -> None:
    assert refused(488, ("Warning", '302 p "TLS"'), body=SDP + TLS) == (
        f"{WARNINGS[302]} It requires MSRP over TLS. It says: “TLS”."
    )
    other = Response(488, headers=[("Content-Type", "text/plain")], body=b"x")
    assert explain(other) == "The other side does not support this, and does not say why."


def test_answers_that_we_refuse() -> None:
    cause = cause_of_refusal(306, "a=path\tis missing")
    assert (cause.code, cause.reason) == (488, "Not Acceptable Here")
    assert [(item.code, item.text) for item in cause.warning or ()] == [(306, "a=path is missing")]
