"""Who is typing: D-ISC-01 to D-ISC-04."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import ParseError
from sipstack.im.iscomposing import (
    DEFAULT_REFRESH,
    FLAPPING,
    IDLE_AFTER,
    MAX_REFRESH,
    MIN_REFRESH,
    ComposingReceiver,
    ComposingSender,
    ComposingState,
    IsComposing,
    is_composing_type,
)
from tests.utils import lf2crlf

ACTIVE, IDLE = ComposingState.ACTIVE, ComposingState.IDLE
SAMPLE = lf2crlf(
    """<?xml version="1.0" encoding="UTF-8"?>
<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing">
  <state>active</state>
  <contenttype>text/plain</contenttype>
  <refresh>90</refresh>
</isComposing>"""
)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1).filter(
    lambda text: text == text.strip()
)


def document(body: str) -> bytes:
    """Return a status message with this inside."""
    return f'<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing">{body}</isComposing>'.encode()


def test_the_sample_both_ways() -> None:
    status = IsComposing(ACTIVE, "text/plain", 90)
    assert IsComposing.parse(SAMPLE) == status
    assert bytes(status) == SAMPLE


@given(st.sampled_from(ComposingState), st.none() | TEXTS, st.none() | st.integers(0, MAX_REFRESH), st.none() | TEXTS)
@settings(max_examples=60)
def test_what_is_written_is_read(
    state: ComposingState, content_type: str | None, refresh: int | None, last_active: str | None
) -> None:
    status = IsComposing(state, content_type, refresh, last_active)
    assert IsComposing.parse(bytes(status)) == status


@given(st.binary(max_size=60))
def test_anything_is_a_status_or_an_error(octets: bytes) -> None:
    with pytest.raises(ParseError):
        IsComposing.parse(octets)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # D-ISC-01
        ("<state>paused</state>", IsComposing(IDLE)),
        ("<state> active </state><refresh>soon</refresh>", IsComposing(ACTIVE)),
        ("<state>active</state><refresh>99999999999999</refresh>", IsComposing(ACTIVE, refresh=MAX_REFRESH)),
        (
            "<state>idle</state><lastactive>2026-11-22T10:15:30Z</lastactive><x>y</x>",
            IsComposing(IDLE, None, None, "2026-11-22T10:15:30Z"),
        ),
    ],
)
def test_what_peers_write(body: str, expected: IsComposing) -> None:
    assert IsComposing.parse(document(body)) == expected


@pytest.mark.parametrize("octets", [document(""), document("<state/>"), b"<isComposing/>", b"<x/>"])
def test_what_is_no_status(octets: bytes) -> None:
    with pytest.raises(ParseError):
        IsComposing.parse(octets)


def test_media_type() -> None:
    assert is_composing_type("Application/IM-isComposing+xml;charset=utf-8") and not is_composing_type("text/plain")


def test_a_sender_from_idle_to_active_and_back() -> None:
    # D-ISC-02: the four transitions
    sender = ComposingSender()
    assert (sender.data_to_send(), sender.get_timer()) == (None, None)
    sender.composing(100.0)
    assert sender.data_to_send() == IsComposing(ACTIVE, "text/plain", MIN_REFRESH)
    assert sender.get_timer() == 100.0 + IDLE_AFTER
    sender.handle_timer(114.0)
    assert (sender.data_to_send(), sender.state) == (None, ACTIVE)
    sender.handle_timer(115.0)
    assert (sender.data_to_send(), sender.state) == (IsComposing(IDLE, "text/plain"), IDLE)
    sender.handle_timer(130.0)
    assert (sender.data_to_send(), sender.get_timer()) == (None, None)
    # content says enough
    sender.composing(140.0)
    sender.content_sent()
    assert (sender.data_to_send(), sender.state) == (None, IDLE)
    sender.composing(140.5)
    assert sender.data_to_send() is not None, "the next message begins"


def test_a_sender_does_not_repeat_itself() -> None:
    # D-ISC-03
    sender = ComposingSender(refresh=10)
    sent = []
    for tenth in range(650):
        sender.composing(tenth / 10)
        sent.append(sender.data_to_send())
    assert [index for index, status in enumerate(sent) if status is not None] == [0, 600], "60 s at least"
    # somebody who stops and begins again and again is told of once
    sender = ComposingSender()
    sent = []
    for tenth in range(50):
        sender.composing(tenth / 10)
        sent.append(sender.data_to_send())
        sender.stopped()
        sent.append(sender.data_to_send())
    assert [status.state for status in sent if status is not None] == [ACTIVE, IDLE]
    sender.composing(FLAPPING)
    assert sender.data_to_send() is not None


@pytest.mark.parametrize(("refresh", "lasts"), [(None, DEFAULT_REFRESH), (90, 90), (0, DEFAULT_REFRESH)])
def test_a_receiver_stops_believing(refresh: int | None, lasts: int) -> None:
    # D-ISC-04
    receiver = ComposingReceiver()
    assert receiver.get_timer() is None and not receiver.handle_timer(0.0)
    assert receiver.receive(IsComposing(ACTIVE, refresh=refresh), 100.0)
    assert receiver.get_timer() == 100.0 + lasts
    assert not receiver.receive(IsComposing(ACTIVE, refresh=refresh), 110.0), "a refresh"
    assert not receiver.handle_timer(109.0 + lasts)
    assert receiver.handle_timer(110.0 + lasts)
    assert receiver.get_timer() is None


def test_a_receiver_takes_idle_and_content() -> None:
    # D-ISC-04
    receiver = ComposingReceiver()
    assert not receiver.content_received()
    receiver.receive(IsComposing(ACTIVE), 0.0)
    assert receiver.receive(IsComposing(IDLE), 1.0)
    receiver.receive(IsComposing(ACTIVE), 2.0)
    assert receiver.content_received() and not receiver.content_received()
