"""Offers and answers for MSRP: C-SET-02, -03, C-SES-*, C-URI-06, A-OA-01, B-CHT-07."""

from __future__ import annotations

from typing import Literal

import pytest

from sipstack.msrp.uri import MsrpUri, parse_path
from sipstack.sdp import SessionDescription
from sipstack.sdp_msrp import (
    TCP_MSRP,
    TLS_MSRP,
    MediaRefused,
    Setup,
    answer_setup,
    is_active,
    msrp_answer,
    msrp_media,
    msrp_offer,
)
from tests.sipstack.test_sdp import MINIMUM, SAMPLE

OURS = parse_path("msrp://192.0.2.20:7777/s2bQ81xT;tcp")
PATH = "msrp://192.0.2.10:2855/aV7pKe03;tcp"
ACCEPT = ("message/cpim", "text/plain")


def offer(setup: Literal["actpass", "active"] = "actpass") -> SessionDescription:
    """Return an offer of ours."""
    return msrp_offer(
        local=("192.0.2.20", 7777),
        path=OURS,
        setup=setup,
        accept_types=ACCEPT,
        accept_wrapped_types=("text/plain", "image/*"),
        max_size=1_048_576,
        session_id=3975,
        version=1,
    )


def answer(
    text: str, *, setup: Literal["passive", "active"] = "passive", accept_types: tuple[str, ...] = ACCEPT
) -> SessionDescription:
    """Return our answer to the offer that consists of ``text`` behind the mandatory lines."""
    return msrp_answer(
        SessionDescription.parse(MINIMUM + text),
        local=("192.0.2.20", 7777),
        path=OURS,
        setup=setup,
        accept_types=accept_types,
        session_id=1,
        version=1,
    )


def message(attributes: str = "", *, port: int = 2855, types: str = "message/cpim text/plain") -> str:
    """Return an MSRP medium of a peer."""
    accept = f"a=accept-types:{types}\n" if types else ""
    return f"m=message {port} TCP/MSRP *\n{accept}a=path:{PATH}\n{attributes}"


def test_offer_on_the_wire() -> None:
    # C-SES-02, C-URI-06, D-CPM-10, C-SET-03: no a=connection.
    assert str(offer()) == (
        "v=0\r\no=- 3975 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n"
        "m=message 7777 TCP/MSRP *\r\na=accept-types:message/cpim text/plain\r\n"
        "a=accept-wrapped-types:text/plain image/*\r\na=max-size:1048576\r\na=setup:actpass\r\n"
        "a=path:msrp://192.0.2.20:7777/s2bQ81xT;tcp\r\na=sendrecv\r\n"
    )


def test_offer_from_where_nobody_can_connect_to() -> None:
    # C-SET-02
    medium = offer("active").media[0]
    assert (medium.port, medium.attribute("setup")) == (9, "active")


def test_offer_is_understood_by_ourselves() -> None:
    media = msrp_media(offer())
    assert media.path == OURS and media.setup == "actpass" and media.max_size == 1_048_576
    assert (media.host, media.port, media.index, media.direction) == ("192.0.2.20", 7777, 0, "sendrecv")
    assert media.prefers_cpim
    assert media.accepts("text/plain;charset=utf-8") and not media.accepts("image/png")
    assert media.accepts_wrapped("image/png") and media.accepts_wrapped("message/cpim")
    assert not media.accepts_wrapped("video/mp4")


def test_sample() -> None:
    media = msrp_media(SessionDescription.parse(SAMPLE))
    assert media.accept_types == ("message/cpim", "application/im-iscomposing+xml")
    assert media.accept_wrapped_types[1] == "message/imdn+xml"
    assert media.max_size is None


@pytest.mark.parametrize(
    ("offered", "preferred", "answered", "we_connect"),
    [
        ("active", "passive", "passive", False),
        ("active", "active", "passive", False),
        ("actpass", "passive", "passive", False),
        ("actpass", "active", "active", True),
        ("passive", "passive", "active", True),
        (None, "active", None, False),
        ("holdconn", "active", None, False),
    ],
)
def test_who_connects(
    offered: str | None, preferred: Literal["passive", "active"], answered: Setup | None, we_connect: bool
) -> None:
    # C-SET-02, C-SET-03
    text = message("" if offered is None else f"a=setup:{offered}\na=connection:existing\n")
    description = answer(text, setup=preferred)
    assert description.media[0].attribute("setup") == answered
    assert description.media[0].attribute("connection") is None
    remote, local = msrp_media(SessionDescription.parse(MINIMUM + text)), msrp_media(description)
    assert is_active(local, remote, offerer=False) is we_connect
    assert is_active(remote, local, offerer=True) is not we_connect


def test_answer_without_setup_makes_the_offerer_connect() -> None:
    # C-SET-02: a peer that knows RFC 4975 only.
    local, remote = msrp_media(offer()), msrp_media(SessionDescription.parse(MINIMUM + message()))
    assert is_active(local, remote, offerer=True)
    assert answer_setup(None, "active") is None


def test_other_media_are_refused_in_place() -> None:
    # A-OA-01, C-SES-02
    audio = "m=audio 49170 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
    description = answer(audio + message(port=0) + message("a=setup:actpass\n") + message())
    assert [medium.m_line for medium in description.media] == [
        "audio 0 RTP/AVP 0",
        "message 0 TCP/MSRP *",
        "message 7777 TCP/MSRP *",
        "message 0 TCP/MSRP *",
    ]
    assert description.media[0].lines == []
    assert msrp_media(description).index == 2


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("", 304),
        ("m=audio 49170 RTP/AVP 0\n", 304),
        (message(port=0), 304),
        (message(types=""), 306),  # C-SES-03
        (message(types="image/png"), 304),  # C-SES-04
        (message().replace(";tcp", ""), 306),  # C-URI-01
        (message().replace(":2855/", "/"), 306),  # C-URI-03
        (message().replace(f"a=path:{PATH}\n", ""), 306),
        (message().replace(";tcp", ";ws"), 306),
        (message().replace("TCP/MSRP", "TCP/TLS/MSRP"), 302),
    ],
)
def test_refused(text: str, warning: int) -> None:
    with pytest.raises(MediaRefused) as caught:
        answer(text)
    assert (caught.value.status, caught.value.warning) == (488, warning)


def test_only_cpim_is_wanted() -> None:
    # B-CHT-07
    with pytest.raises(MediaRefused) as caught:
        answer(message(types="text/plain"), accept_types=("message/cpim",))
    assert caught.value.warning == 304
    assert not msrp_media(answer(message(types="text/plain"), accept_types=("text/plain",))).prefers_cpim


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("*", "message/cpim"), ("text/*", "text/plain"), ("image/png", "image/*"), ("Message/CPIM", "message/cpim")],
)
def test_wildcards(theirs: str, ours: str) -> None:
    # C-SES-03
    assert msrp_media(answer(message(types=theirs), accept_types=(ours,))).accept_types == (ours,)


@pytest.mark.parametrize(
    ("offered", "answered"),
    [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
)
def test_direction(offered: str, answered: str) -> None:
    # C-SES-05
    assert msrp_media(answer(message(f"a={offered}\n"))).direction == answered
    session_level = answer(f"a={offered}\n" + message())
    assert msrp_media(session_level).direction == answered
    remote = msrp_media(SessionDescription.parse(MINIMUM + message(f"a={offered}\n")))
    assert remote.may_receive is (offered in ("sendrecv", "recvonly"))


def test_details() -> None:
    # C-WS-01, C-URI-04, C-URI-06
    path = f"msrp://relay:2855/a;tcp msrps://x.invalid:2855/b;ws {PATH}"
    text = f"a=setup:ACTIVE\nm=message 1 tcp/msrp *\nc=IN IP4 198.51.100.1\na=accept-types:*\na=path:{path}\n"
    text += "a=max-size:x\n"
    media = msrp_media(SessionDescription.parse(MINIMUM + text))
    assert media.path[0] == MsrpUri.parse("msrp://relay:2855/a;tcp") and len(media.path) == 3
    assert (media.host, media.port, media.setup, media.max_size) == ("198.51.100.1", 1, "active", None)


BOTH = (TCP_MSRP, TLS_MSRP)
SECURE = parse_path("msrps://192.0.2.20:7778/s2bQ81xT;tcp")
HASH = ":".join(["AB"] * 32)


def secure_offer(path: tuple[MsrpUri, ...] = SECURE) -> SessionDescription:
    """Return an offer of ours by TLS."""
    return msrp_offer(
        local=("192.0.2.20", 7778),
        path=path,
        setup="actpass",
        accept_types=ACCEPT,
        session_id=1,
        version=1,
        fingerprint=HASH,
    )


def secure_message(attributes: str = "") -> str:
    """Return a medium of a peer by TLS."""
    return message(attributes).replace("TCP/MSRP", "TCP/TLS/MSRP").replace("msrp://", "msrps://")


def test_tls() -> None:
    # C-SET-08
    text = str(secure_offer())
    assert "m=message 7778 TCP/TLS/MSRP *\r\n" in text
    assert f"a=setup:actpass\r\na=fingerprint:SHA-256 {HASH}\r\na=path:msrps:" in text
    media = msrp_media(secure_offer(), protocols=BOTH)
    assert media.secure and media.fingerprints == (HASH,)
    assert not msrp_media(offer(), protocols=BOTH).secure
    # behind a relay the certificate that a peer sees is not ours
    behind = secure_offer(parse_path(f"msrps://relay:2855/a;tcp {SECURE[0]}"))
    assert "fingerprint" not in str(behind)


def test_answer_by_tls() -> None:
    offered = SessionDescription.parse(MINIMUM + message() + secure_message(f"a=fingerprint:sha-256 {HASH.lower()}\n"))
    answered = msrp_answer(
        offered,
        local=("192.0.2.20", 7778),
        path=SECURE,
        accept_types=ACCEPT,
        session_id=1,
        version=1,
        fingerprint=HASH,
    )
    assert [(medium.port, medium.protocol) for medium in answered.media] == [(0, TCP_MSRP), (7778, TLS_MSRP)]
    assert answered.media[1].attribute("fingerprint") == f"SHA-256 {HASH}"
    assert msrp_media(offered, protocols=(TLS_MSRP,)).fingerprints == (HASH,)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], ()),
        ([f"SHA-1 {HASH[:59]}", f"SHA-256 {HASH}"], (HASH,)),
        ([f"SHA-256 {HASH}", "SHA-256 CD:EF"], (HASH, "CD:EF")),
    ],
)
@pytest.mark.parametrize("level", ["session", "medium"])
def test_fingerprints(values: list[str], found: tuple[str, ...], level: str) -> None:
    lines = "".join(f"a=fingerprint:{value}\n" for value in values)
    text = MINIMUM + (secure_message(lines) if level == "medium" else lines + secure_message())
    assert msrp_media(SessionDescription.parse(text), protocols=BOTH).fingerprints == found


@pytest.mark.parametrize(
    "text",
    [
        secure_message(f"a=fingerprint:SHA-1 {HASH[:59]}\n"),
        secure_message("a=fingerprint:SHA-256 nonsense\n"),
        message().replace("TCP/MSRP", "TCP/TLS/MSRP"),
        message().replace("msrp://", "msrps://"),
    ],
    ids=["other hash", "no hash", "path without TLS", "path with TLS"],
)
def test_tls_that_contradicts_itself(text: str) -> None:
    with pytest.raises(MediaRefused) as refusal:
        msrp_media(SessionDescription.parse(MINIMUM + text), protocols=BOTH)
    assert refusal.value.warning == 306
