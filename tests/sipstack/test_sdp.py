"""Session descriptions: A-OA-01, -02, -04."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import ParseError
from sipstack.sdp import MAX_LINES, MediaDescription, Origin, SessionDescription, address_type
from tests.utils import lf2crlf

VECTORS = Path(__file__).parents[1] / "vectors" / "sdp"
SAMPLE = (VECTORS / "chat-offer.dat").read_bytes()
MINIMUM = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nt=0 0\n"

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-/.", min_size=1, max_size=8)
LINES = st.lists(st.tuples(st.sampled_from("abckiuepztr"), st.text("abc :/=1é", max_size=12)), max_size=5)
MEDIA = st.builds(
    MediaDescription,
    media=st.sampled_from(["message", "audio", "video"]),
    port=st.integers(0, 65535),
    protocol=st.sampled_from(["TCP/MSRP", "RTP/AVP"]),
    formats=st.lists(WORDS, max_size=3).map(tuple),
    lines=LINES,
    port_count=st.none() | st.integers(1, 9),
)


def expected() -> list[tuple[str, dict[str, object]]]:
    """Return the vectors with what is to come of them."""
    return sorted(tomllib.loads((VECTORS / "expected.toml").read_text()).items())


@pytest.mark.parametrize(("name", "outcome"), expected())
def test_vector(name: str, outcome: dict[str, object]) -> None:
    octets = (VECTORS / f"{name}.dat").read_bytes()
    if "error" in outcome:
        with pytest.raises(ParseError) as caught:
            SessionDescription.parse(octets)
        assert caught.value.what == outcome["error"]
        return
    description = SessionDescription.parse(octets)
    assert [medium.m_line for medium in description.media] == outcome["media"]
    assert SessionDescription.parse(str(description)) == description


def test_every_vector_is_expected() -> None:
    assert {path.stem for path in VECTORS.glob("*.dat")} == {name for name, _ in expected()}


@settings(max_examples=60)
@given(LINES, st.lists(MEDIA, max_size=3))
def test_round_trip(lines: list[tuple[str, str]], media: list[MediaDescription]) -> None:
    # G-O08: order and unknown lines are kept.
    description = SessionDescription([("v", "0"), ("o", "- 1 1 IN IP4 192.0.2.1"), ("s", "-"), *lines], media)
    assert SessionDescription.parse(bytes(description)) == description


@settings(max_examples=100)
@given(st.binary(max_size=100) | st.text(max_size=60).map(lambda text: lf2crlf(MINIMUM + text)))
def test_any_octets_give_a_description_or_a_parse_error(octets: bytes) -> None:
    try:
        description = SessionDescription.parse(octets)
    except ParseError:
        return
    assert SessionDescription.parse(str(description)) == description


def test_sample_is_written_as_it_was_read() -> None:
    description = SessionDescription.parse(SAMPLE)
    assert bytes(description) == SAMPLE
    assert description.origin == Origin(3975, 1, "192.0.2.10")
    assert description.connection == "192.0.2.10"
    (medium,) = description.media
    assert medium.connection is None
    assert medium.attribute("setup") == "actpass"
    assert medium.attribute("sendrecv") == ""
    assert medium.attribute("msrp-cema") is None
    assert medium.attributes("path") == ["msrp://192.0.2.10:2855/aV7pKe03;tcp"]


def test_created_description_has_its_lines_in_order() -> None:
    # A-OA-04
    description = SessionDescription.create(
        Origin(1, 2, "2001:db8::1", address_type=address_type("2001:db8::1")),
        [MediaDescription("audio", 0, "X", ("1",))],
    )
    assert str(description) == (
        "v=0\r\no=- 1 2 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\nm=audio 0 X 1\r\n"
    )
    assert description.attribute("setup") is None


def test_connection_line_with_ttl_or_nonsense() -> None:
    assert SessionDescription.parse(MINIMUM + "c=IN IP4 224.2.1.1/127\n").connection == "224.2.1.1"
    assert SessionDescription.parse(MINIMUM + "c=x\n").connection is None


def test_port_count_and_refusal() -> None:
    medium = MediaDescription.parse("video 49170/2 RTP/AVP 31 32")
    assert medium.m_line == "video 49170/2 RTP/AVP 31 32"
    assert medium.refused().m_line == "video 0 RTP/AVP 31 32"


def test_too_many_lines() -> None:
    with pytest.raises(ParseError):
        SessionDescription.parse(MINIMUM + "a=x\n" * MAX_LINES)
