"""Long messages behind relays: what is reported before the end, and how far a sender goes (C-RSP-02, C-RLY-05)."""

from __future__ import annotations

import pytest

from sipstack.msrp.chunk import Report
from sipstack.msrp.events import Event
from sipstack.msrp.outbox import REPORT_PATIENCE, UNREPORTED
from sipstack.msrp.reassembly import FIRST_REPORT, REPORT_EVERY
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.stream import Octets
from sipstack.msrp.uri import parse_path
from tests.sipstack.msrp.helpers import OURS, THEIRS, End, acknowledge, chunks_of, frames_of, messages, report, send

RELAYED = f"msrp://relay.example:9000/jui787s2f;tcp {THEIRS}"


def relayed() -> tuple[End, MsrpSession]:
    """Return an end with a session whose peer is behind a relay."""
    end = End()
    return end, end.session(remote=RELAYED)


def test_reports_on_the_way() -> None:
    """C-RSP-02: the beginning of a long message is reported before its end comes, but never the whole."""
    end = relayed()[0]
    body, size = bytes(2048), 2048 * 100
    reports: list[Report] = []
    found: list[Event] = []
    for number in range(100):
        start = number * 2048 + 1
        byte_range, flag = f"{start}-{start + 2047}/{size}", "$" if number == 99 else "+"
        extra = "Success-Report: yes\n"
        data = send(f"tid{number:05}", body, byte_range=byte_range, by=RELAYED, extra=extra, flag=flag)
        found += end.receive(data)
        reports += [one for one in frames_of(end.output()) if isinstance(one, Report)]
    assert [(one.start, one.end, one.total, one.status) for one in reports] == [
        (1, end, size, 200) for end in (FIRST_REPORT, FIRST_REPORT + REPORT_EVERY, FIRST_REPORT + 2 * REPORT_EVERY)
    ]
    assert reports[0].to_path == RELAYED
    (message,) = messages(found)
    message.accept()
    assert [one.end for one in frames_of(end.output()) if isinstance(one, Report)] == [size]


@pytest.mark.parametrize(
    ("total", "extra"),
    [
        pytest.param("*", "Success-Report: yes\n", id="a length that is not known"),
        pytest.param("40000", "Success-Report: yes\n", id="all but the end-line"),
        pytest.param("50000", "", id="nobody asks"),
    ],
)
def test_no_reports_on_the_way(total: str, extra: str) -> None:
    """C-RSP-02: who hears that all has come takes the message for accepted."""
    end = relayed()[0]
    range = f"1-*/{total}"
    end.receive(send(body=bytes(40_000), byte_range=range, by=RELAYED, extra=extra, flag="+"))
    assert not any(isinstance(one, Report) for one in frames_of(end.output()))


def test_no_reports_on_the_way_without_relays() -> None:
    """There our answers say as much."""
    end = End()
    end.session()
    end.receive(send(body=bytes(40_000), byte_range="1-*/50000", extra="Success-Report: yes\n", flag="+"))
    assert not any(isinstance(one, Report) for one in frames_of(end.output()))


SIZE = 5 * UNREPORTED


class Sending:
    """A file that is being sent by a relay, which answers at once, whatever its next hop does."""

    def __init__(self) -> None:
        self.end, self.session = relayed()
        self.message = self.session.send_stream(
            Octets(bytes(SIZE)), "image/png", message_id="file0001", on_done=self.end.on_done
        )

    def written(self) -> int:
        """Write, answered by the relay, until nothing more comes; return how much is written now."""
        while chunks := chunks_of(self.end.output()):
            acknowledge(self.end, chunks)
        return self.message.written

    def report(self, size: int) -> int:
        """Have the receiver report on the first ``size`` octets; return how much is written then."""
        self.end.receive(report("000 200 OK", message_id="file0001", byte_range=f"1-{size}/{SIZE}"))
        return self.written()


@pytest.fixture
def sending() -> Sending:
    sending = Sending()
    acknowledge(sending.end, chunks_of(sending.end.connection.data_to_send(sending.end.clock())))
    return sending


def test_no_more_is_on_the_way_than_the_receiver_is_behind(sending: Sending) -> None:
    """C-RLY-05: a relay closes the connection when it has to keep too much for a receiver that is slow."""
    for size in (16_384, 100_000, SIZE // 2):
        assert sending.report(size) == size + UNREPORTED
    assert sending.report(SIZE - 1) == SIZE
    assert not sending.end.done
    sending.report(SIZE)
    assert sending.end.done == [("file0001", "sent", 200)]


def test_a_receiver_that_reports_at_the_end(sending: Sending) -> None:
    """RFC 4975 section 7.1.3 leaves that to it: nothing waits for what may never come."""
    assert sending.written() == SIZE and not sending.end.done
    sending.report(SIZE)
    assert sending.end.done == [("file0001", "sent", 200)]


def test_a_receiver_that_reports_less_often_than_we_do(sending: Sending) -> None:
    """It gets everything nevertheless: twice as much is on its way after each time of waiting."""
    sending.report(16_384)
    for factor in (2, 4):
        sending.end.advance(REPORT_PATIENCE - 1)
        assert sending.written() == 16_384 + factor * UNREPORTED // 2
        sending.end.advance(1)
        assert sending.written() == 16_384 + factor * UNREPORTED
    assert sending.report(SIZE // 2) == SIZE


def test_others_go_on_while_one_waits_for_reports(sending: Sending) -> None:
    """The connection and its time are not its own; a source that has more does not hurry it."""
    sending.report(16_384)
    other = sending.end.session(session_id="another01")
    other.send(b"hello", "text/plain", on_done=sending.end.on_done, message_id="text0001")
    acknowledge(sending.end, chunks_of(sending.end.output()))
    assert sending.end.done == [("text0001", "sent", 200)]
    sending.session.source_ready(sending.message)
    assert sending.written() == 16_384 + UNREPORTED
    sending.end.advance(REPORT_PATIENCE - 1)
    # What stands behind it in its own session can be taken back, and another one may begin to wait.
    sending.session.send_stream(Octets(bytes(9)), "image/png").cancel()
    late = sending.end.session(session_id="late0001", remote=RELAYED)
    message = late.send_stream(Octets(bytes(SIZE)), "image/png", message_id="file0002")
    acknowledge(sending.end, chunks_of(sending.end.connection.data_to_send(sending.end.clock())))
    first = report("000 200 OK", message_id="file0002", byte_range=f"1-9/{SIZE}")
    sending.end.receive(first.replace(OURS.encode(), late.local.encode()))
    sending.written()
    assert message.written == 9 + UNREPORTED
    sending.end.advance(1)
    assert sending.written() == 16_384 + 2 * UNREPORTED


@pytest.mark.parametrize("end", ["cancelled", "refused", "released", "refused by what the peer says now"])
def test_the_end_of_a_message_that_waits_for_reports(sending: Sending, end: str) -> None:
    """Nothing is due any more."""
    sending.report(16_384)
    if end == "cancelled":
        sending.message.cancel()
    elif end == "refused":
        sending.end.receive(report("000 413 Stop", message_id="file0001"))
    elif end == "released":
        sending.end.connection.detach(sending.session, sending.end.clock())
    else:
        sending.session.open(parse_path(THEIRS), max_size=10)
    sending.written()
    sending.end.advance(REPORT_PATIENCE)
    assert sending.end.output() == b""
