"""Event streams: whatever pieces they come in, the same events."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clients import sse
from gateway.clients.errors import Unreachable
from gateway.clients.sse import ServerEvent, StreamParser

STREAM = (
    b"\xef\xbb\xbfretry: 2000\nid: 41\n\n"
    b": a comment\n\n"
    b"event: message\r\nid: 42\r\ndata: {\r\ndata:  }\r\n\r\n"
    b"data\rdata:x\r\runknown: 1\nid: 4\x003\nretry: soon\n\n"
    b"event: lost\n\n"
    b"data: unfinished\n"
)
EVENTS = [
    ServerEvent("message", b"", "41"),
    ServerEvent("message", b"{\n }", "42"),
    ServerEvent("message", b"\nx", "42"),
]


def parse(pieces: list[bytes]) -> list[ServerEvent]:
    parser = StreamParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    assert parser.retry == 2.0
    return events


def test_whole_and_octet_by_octet() -> None:
    assert parse([STREAM]) == EVENTS
    assert parse([STREAM[i : i + 1] for i in range(len(STREAM))]) == EVENTS


@settings(max_examples=100)
@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_any_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    assert parse([STREAM[a:b] for a, b in zip(places, places[1:], strict=False)]) == EVENTS


def test_a_line_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_LINE", 10)
    parser = StreamParser()
    parser.feed(b"data: 1234")
    with pytest.raises(Unreachable, match="without end"):
        parser.feed(b"5")
