"""Where to connect behind middleboxes: C-CEM-01, C-CEM-02, C-CEM-03 (RFC 6714 sections 4.2 to 4.4)."""

from __future__ import annotations

from typing import Literal

import pytest

from sipstack import sdp_cema
from sipstack.msrp.uri import parse_path
from sipstack.sdp import SessionDescription
from sipstack.sdp_cema import Route
from sipstack.sdp_msrp import MsrpMedia, Setup, answer_setup, msrp_answer, msrp_media, msrp_offer
from tests.sipstack.test_sdp import MINIMUM

DIRECT = "msrp://192.0.2.10:2855/a;tcp"
RELAYED = f"msrp://192.0.2.99:2855/r;tcp {DIRECT}"
OURS = "msrp://192.0.2.20:7777/b;tcp"
OURS_RELAYED = f"msrp://192.0.2.98:2855/s;tcp {OURS}"


def peer(
    path: str = DIRECT,
    *,
    c: str | None = "IN IP4 192.0.2.10",
    port: int = 2855,
    setup: Setup | None = "actpass",
    cema: bool = True,
) -> MsrpMedia:
    """Return what a peer's description says."""
    lines = [f"m=message {port} TCP/MSRP *"]
    if c is not None:
        lines.append(f"c={c}")
    lines += ["a=accept-types:text/plain", f"a=path:{path}"]
    if setup is not None:
        lines.append(f"a=setup:{setup}")
    if cema:
        lines.append("a=msrp-cema")
    return msrp_media(SessionDescription.parse(MINIMUM + "\n".join(lines)))


def ours(path: str = OURS, setup: Literal["actpass", "active"] = "actpass") -> SessionDescription:
    """Return an offer of ours."""
    uris = parse_path(path)
    return msrp_offer(
        local=uris[0].host_port, path=uris, setup=setup, accept_types=["text/plain"], session_id=1, version=1
    )


@pytest.mark.parametrize(
    ("path", "c", "port", "same"),
    [
        (DIRECT, "IN IP4 192.0.2.10", 2855, True),
        (DIRECT, "IN IP4 198.51.100.1", 2855, False),
        (DIRECT, "IN IP4 192.0.2.10", 2856, False),
        # any URI of the path: without middlebox it may be that of the endpoint or that of its relay
        (RELAYED, "IN IP4 192.0.2.10", 2855, True),
        (RELAYED, "IN IP4 192.0.2.99", 2855, True),
        (RELAYED, "IN IP4 192.0.2.98", 2855, False),
        # C-CEM-03: IPv6 in whatever way it is written
        ("msrp://[2001:DB8:0:0::10]:1/a;tcp", "IN IP6 2001:db8::10", 1, True),
        ("msrp://[2001:db8::10]:1/a;tcp", "IN IP6 2001:db8::11", 1, False),
        ("msrp://Phone.Example:1/a;tcp", "IN IP4 phone.example", 1, True),
        # no place to connect to
        (DIRECT, "IN IP4 198.51.100.1", 9, True),
        (DIRECT, "IN IP4 0.0.0.0", 2856, True),
        (DIRECT, "IN IP6 ::", 2856, True),
        (DIRECT, None, 2856, True),
    ],
)
def test_the_same_address_without_names(path: str, c: str | None, port: int, same: bool) -> None:
    medium = peer(path, c=c, port=port)
    assert sdp_cema.matches(medium) is same
    assert sdp_cema.unresolved_names(medium) == ()


@pytest.mark.parametrize(
    ("path", "c", "names", "addresses", "same"),
    [
        ("msrp://a.example:1/a;tcp", "IN IP4 192.0.2.1", ["a.example"], {"a.example": ["192.0.2.1"]}, True),
        # at least one of all records
        ("msrp://a.example:1/a;tcp", "IN IP4 192.0.2.1", ["a.example"], {"a.example": ["10.1.1.1", "192.0.2.1"]}, True),
        ("msrp://a.example:1/a;tcp", "IN IP4 192.0.2.1", ["a.example"], {"a.example": ["192.0.2.2"]}, False),
        ("msrp://a.example:1/a;tcp", "IN IP4 192.0.2.1", ["a.example"], {}, False),
        ("msrp://192.0.2.1:1/a;tcp", "IN IP4 B.example", ["b.example"], {"b.example": ["192.0.2.1"]}, True),
        (
            "msrp://a.example:1/a;tcp",
            "IN IP6 b.example",
            ["a.example", "b.example"],
            {"a.example": ["2001:db8::1"], "b.example": ["192.0.2.1", "2001:db8::1"]},
            True,
        ),
        # Where the port differs, no look-up changes anything.
        ("msrp://a.example:2/a;tcp", "IN IP4 192.0.2.1", [], {"a.example": ["192.0.2.1"]}, False),
        (
            "msrp://r.example:1/r;tcp msrp://a.example:2/a;tcp",
            "IN IP4 192.0.2.1",
            ["r.example"],
            {"r.example": ["192.0.2.1"]},
            True,
        ),
    ],
)
def test_the_same_address_by_name(
    path: str, c: str, names: list[str], addresses: dict[str, list[str]], same: bool
) -> None:
    # C-CEM-03: compared after DNS.
    medium = peer(path, c=c, port=1)
    assert list(sdp_cema.unresolved_names(medium)) == names
    assert not sdp_cema.matches(medium)
    assert sdp_cema.matches(medium, addresses) is same


@pytest.mark.parametrize(
    ("c", "cema", "refused"),
    [
        ("192.0.2.10", False, False),
        ("192.0.2.10", True, False),
        ("198.51.100.1", True, False),
        ("198.51.100.1", False, True),
    ],
)
def test_offers_that_a_middlebox_changed_for_somebody_unprepared(c: str, cema: bool, refused: bool) -> None:
    # C-CEM-03: refused, as the middlebox does not translate.
    assert sdp_cema.must_refuse(peer(c=f"IN IP4 {c}", cema=cema)) is refused


@pytest.mark.parametrize(
    ("offer", "preferred", "relayed", "role", "says_so"),
    [
        (peer(), "passive", False, "passive", True),
        (peer(), "active", False, "active", True),
        (peer(setup="active"), "active", False, "passive", True),
        (peer(cema=False), "passive", False, "passive", False),
        (peer(cema=False), "active", True, "active", False),
        (peer(setup=None), "active", False, "passive", False),
        # with a relay of ours: the offerer connects
        (peer(), "active", True, "passive", True),
        (peer(setup="active"), "active", True, "passive", True),
        (peer(setup="passive"), "passive", True, "active", False),
        # with a relay of the offerer: it does, and not by CEMA, unless it is we
        (peer(RELAYED), "passive", False, "passive", False),
        (peer(RELAYED), "active", False, "active", True),
        (peer(RELAYED, c="IN IP4 198.51.100.1"), "passive", False, "active", True),
        (peer(RELAYED, setup="active", c="IN IP4 198.51.100.1"), "passive", False, "passive", False),
        # with both: RFC 4975 and RFC 4976
        (peer(RELAYED), "passive", True, "passive", False),
        (peer(RELAYED, c="IN IP4 198.51.100.1"), "active", True, "active", False),
    ],
)
def test_answers(
    offer: MsrpMedia, preferred: Literal["active", "passive"], relayed: bool, role: str, says_so: bool
) -> None:
    # C-CEM-01, RFC 6714 section 4.3
    setup = answer_setup(offer.setup, sdp_cema.answer_role(offer, preferred, relayed=relayed))
    assert (setup or "passive") == role
    assert sdp_cema.takes_part(offer, active=role == "active", relayed=relayed) is says_so


MOVED = "IN IP4 198.51.100.1"


@pytest.mark.parametrize(
    ("answer", "active", "relayed", "expected"),
    [
        # C-CEM-01: the active side connects by c= and m=, changed or not
        (peer(setup="passive"), True, False, Route.ADDRESS),
        (peer(setup="passive", c=MOVED), True, False, Route.ADDRESS),
        (peer(RELAYED, setup="passive", c=MOVED), True, False, Route.ADDRESS),
        (peer(setup="active", c=MOVED, port=9), False, False, Route.PATH),
        (peer(setup="passive", c=MOVED), True, True, Route.PATH),
        (peer(setup="passive", port=9), True, False, Route.PATH),
        # C-CEM-02: an answer without msrp-cema
        (peer(cema=False), True, False, Route.PATH),
        (peer(RELAYED, cema=False), True, False, Route.PATH),
        (peer(cema=False), False, False, Route.PATH),
        (peer(cema=False, c=MOVED), False, False, Route.FALL_BACK),
        (peer(cema=False, c=MOVED), True, True, Route.FALL_BACK),
        (peer(RELAYED, cema=False, c=MOVED), True, False, Route.FALL_BACK),
        # in all other cases
        (peer(cema=False, c=MOVED), True, False, Route.ADDRESS),
    ],
)
def test_after_the_answer(answer: MsrpMedia, active: bool, relayed: bool, expected: Route) -> None:
    assert sdp_cema.route(answer, active=active, relayed=relayed) is expected


def test_names_count_after_the_answer() -> None:
    answer = peer("msrp://a.example:2855/a;tcp", c=MOVED, cema=False)
    assert sdp_cema.route(answer, active=False, relayed=False) is Route.FALL_BACK
    addresses = {"a.example": ["198.51.100.1"]}
    assert sdp_cema.route(answer, active=False, relayed=False, addresses=addresses) is Route.PATH


def test_our_offers() -> None:
    # C-CEM-01: msrp-cema and setup always; c= and m= of the relay, where there is one.
    for path, setup in ((OURS, "actpass"), (OURS, "active"), (OURS_RELAYED, "actpass")):
        description = ours(path, setup)  # type: ignore[arg-type]  # mypy widens the literals of the tuple
        assert sdp_cema.mark_offer(description)
        medium = msrp_media(description)
        assert medium.cema and medium.setup == setup
        assert sdp_cema.matches(medium)
    assert sdp_cema.anchor(msrp_media(ours(OURS_RELAYED))) == ("192.0.2.98", 2855)
    # Behind a relay we have to leave the other side the choice.
    description = ours(OURS_RELAYED, "active")
    assert not sdp_cema.mark_offer(description)
    assert not msrp_media(description).cema


def test_our_offers_without() -> None:
    description = ours(OURS, "active")
    assert description.media[0].port == 9
    sdp_cema.repeat_path(description)
    assert description.media[0].port == 7777
    description = ours("msrp://192.0.2.20/b;tcp", "active")
    sdp_cema.repeat_path(description)
    assert description.media[0].port == 9


def test_our_answers() -> None:
    text = MINIMUM + "m=audio 1 RTP/AVP 0\nm=message 1 TCP/MSRP *\na=accept-types:*\na=setup:actpass\na=path:" + DIRECT
    uris = parse_path(OURS)
    offer = SessionDescription.parse(text + "\na=msrp-cema")
    answer = msrp_answer(
        offer, local=uris[0].host_port, path=uris, accept_types=["text/plain"], session_id=1, version=1
    )
    sdp_cema.mark_answer(answer)
    assert [medium.attribute("msrp-cema") for medium in answer.media] == [None, ""]
    assert b"\r\na=msrp-cema\r\n" in bytes(answer)
