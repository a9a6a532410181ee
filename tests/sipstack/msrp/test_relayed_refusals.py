"""Errors that a sender behind relays hears of: C-RSP-04, C-RSP-07, D-FTM-07, D-FTM-12."""

from __future__ import annotations

import pytest

from sipstack.msrp.chunk import MsrpResponse, Report
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.stream import IncomingStream
from tests.sipstack.msrp.helpers import OURS, THEIRS, End, frames_of, messages, send

RELAYED = f"msrp://relay:1/x;tcp {THEIRS}"


class Nowhere:
    """A sink that forgets."""

    def write(self, start: int, data: bytes) -> None:
        """Forget."""


@pytest.fixture
def end() -> End:
    return End()


def told(end: End) -> list[tuple[str, int]]:
    """Return to whom we say which status, response or report."""
    return [
        (frame.to_path, frame.status) for frame in frames_of(end.output()) if isinstance(frame, MsrpResponse | Report)
    ]


def streamed(end: End, remote: str = RELAYED) -> tuple[MsrpSession, list[IncomingStream]]:
    """Return a session that takes messages as they come, and where they are noted."""
    session, streams = end.session(remote=remote, max_size=1000), list[IncomingStream]()

    def take(stream: IncomingStream) -> Nowhere:
        streams.append(stream)
        return Nowhere()

    session.on_stream = take
    return session, streams


def test_a_message_that_is_rejected_is_reported_too(end: End) -> None:
    """C-RSP-04: the response goes to the relay, the report all the way."""
    end.session(remote=RELAYED)
    (message,) = messages(end.receive(send(by=RELAYED)))
    message.reject(415)
    assert told(end) == [("msrp://relay:1/x;tcp", 415), (RELAYED, 415)]


@pytest.mark.parametrize("wish", ["no", "partial"])
def test_only_who_wants_to_hear_of_failures_does(end: End, wish: str) -> None:
    """C-RSP-04: Failure-Report: no."""
    end.session(remote=RELAYED)
    (message,) = messages(end.receive(send(by=RELAYED, extra=f"Failure-Report: {wish}\n")))
    message.reject(415)
    assert [path for path, _ in told(end)] == ([] if wish == "no" else ["msrp://relay:1/x;tcp", RELAYED])


def test_without_relays_the_response_says_it(end: End) -> None:
    """C-RSP-04: no report beside it."""
    end.session()
    (message,) = messages(end.receive(send()))
    message.reject(415)
    assert told(end) == [(THEIRS, 415)]


def test_a_stream_that_is_stopped_is_reported_once(end: End) -> None:
    """C-RSP-07, D-FTM-07: a receiver that cancels a file."""
    _, streams = streamed(end)
    end.receive(send("tid00001", b"abc", byte_range="1-*/100", by=RELAYED, flag="+"))
    streams[0].stop(413)
    end.receive(send("tid00002", b"def", byte_range="4-*/100", by=RELAYED, flag="+"))
    relay = "msrp://relay:1/x;tcp"
    assert told(end) == [(relay, 200), (RELAYED, 413), (relay, 413)]


def test_what_is_not_taken_at_all_is_reported(end: End) -> None:
    """C-RSP-07: too large, or not wanted."""
    session, _ = streamed(end)
    relay = "msrp://relay:1/x;tcp"
    end.receive(send("tid00001", b"abc", byte_range="1-*/2000", by=RELAYED, flag="+"))
    assert sorted(told(end)) == [(relay, 413), (RELAYED, 413)]
    session.on_stream = lambda stream: 403
    end.receive(send("tid00002", b"abc", message_id="another1", by=RELAYED))
    assert sorted(told(end)) == [(relay, 403), (RELAYED, 403)]
    assert session.local == OURS
