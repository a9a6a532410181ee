"""Sending: chunks, turns, windows, timers (C-BR-01 to C-BR-05, C-BR-13, C-RSP-*)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sipstack import ids
from sipstack.errors import LocalProtocolError
from sipstack.msrp.chunk import Chunk, FailureReport
from sipstack.msrp.events import SessionFailed
from sipstack.msrp.message import MessageState
from sipstack.msrp.outbox import MAX_CHUNK, MAX_WRITE, RESPONSE_TIMEOUT, SMALL, TURN, WINDOW
from sipstack.msrp.reassembly import MAX_RANGES
from sipstack.msrp.reception import RECENT
from sipstack.msrp.uri import MsrpUri
from tests.sipstack.msrp.helpers import (
    OURS,
    THEIRS,
    End,
    acknowledge,
    answer,
    chunks_of,
    frame,
    frames_of,
    messages,
    report,
    send,
)


@pytest.fixture
def end() -> End:
    return End()


def test_small_message_on_the_wire(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    # C-RSP-12, C-BR-05: the headers that RCS clients send, in the order of the samples.
    monkeypatch.setattr(ids, "msrp_transaction_id", lambda: "d93kswow2a")
    session = end.session()
    session.send(b"hello", "text/plain;charset=utf-8", message_id="87652491kzp")
    assert end.wakes == 1
    assert end.output() == frame(
        f"MSRP d93kswow2a SEND\nTo-Path: {THEIRS}\nFrom-Path: {OURS}\nMessage-ID: 87652491kzp\nByte-Range: 1-5/5\n"
        "Success-Report: no\nFailure-Report: yes\nContent-Type: text/plain;charset=utf-8\n",
        b"hello",
        "-------d93kswow2a$",
    )
    assert end.output() == b""


def test_empty_send(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    # C-FRM-07, C-SET-01
    monkeypatch.setattr(ids, "msrp_transaction_id", lambda: "9xq2mmm1")
    session = end.session()
    empty = session.send_empty()
    assert end.output() == frame(
        f"MSRP 9xq2mmm1 SEND\nTo-Path: {THEIRS}\nFrom-Path: {OURS}\nMessage-ID: {empty.message_id}\n"
        "Byte-Range: 1-0/0\n-------9xq2mmm1$\n"
    )
    assert end.receive(answer("9xq2mmm1")) == []
    assert empty.state is MessageState.SENT


def test_path_with_relays(end: End) -> None:
    # C-URI-04: To-Path is the whole path of the peer, in order.
    relay = "msrps://relay.example:2855/x;tcp"
    end.session(remote=f"{relay} {THEIRS}").send(b"x", "text/plain")
    assert chunks_of(end.output())[0].to_path == f"{relay} {THEIRS}"


@pytest.mark.parametrize("size", [0, 1, SMALL])
def test_small_messages_go_in_one_exact_chunk(end: End, size: int) -> None:
    # C-BR-02
    end.session().send(b"x" * size, "text/plain")
    (chunk,) = chunks_of(end.output())
    assert (chunk.start, chunk.end, chunk.total, len(chunk.body), chunk.flag) == (1, size, size, size, "$")


@pytest.mark.parametrize("size", [SMALL + 1, TURN, MAX_CHUNK, MAX_CHUNK + 1, 3 * MAX_CHUNK + 5])
def test_large_messages_go_in_interruptible_chunks(end: End, size: int) -> None:
    # C-BR-01, C-BR-02, C-BR-03, C-BR-05: in order, open end, same ids and types, none but the last below 2048.
    body = bytes(index * 7 % 251 for index in range(size))
    end.session().send(body, "text/plain", message_id="large001")
    chunks = chunks_of(end.output())
    assert b"".join(chunk.body for chunk in chunks) == body
    assert [chunk.start for chunk in chunks] == list(range(1, size + 1, MAX_CHUNK))
    assert {chunk.flag for chunk in chunks[:-1]} <= {"+"} and chunks[-1].flag == "$"
    assert {(chunk.end, chunk.total) for chunk in chunks} == {(None, size)}
    assert {(chunk.message_id, chunk.content_type) for chunk in chunks} == {("large001", "text/plain")}
    assert len({chunk.transaction_id for chunk in chunks}) == len(chunks)


def test_each_call_writes_a_bounded_amount(end: End) -> None:
    end.session().send(b"x" * 1_000_000, "text/plain")
    assert MAX_WRITE <= len(end.connection.data_to_send(0.0)) < MAX_WRITE + TURN


def test_response_overtakes_an_upload(end: End) -> None:
    # C-BR-04: the chunk ends at once, the 200 follows, the upload goes on with the next octet.
    session = end.session()
    session.send(b"x" * 1_000_000, "text/plain", message_id="upload01")
    data = end.connection.data_to_send(0.0)
    (message,) = messages(end.receive(send()))
    message.accept()
    second = end.connection.data_to_send(0.0)
    end_line, _, _ = second.partition(b"+\r\nMSRP d93kswow2a 200 OK\r\n")
    assert end_line.startswith(b"\r\n-------") and len(end_line) < 40
    before, after, *_ = chunks_of(data + second + end.output())
    assert len(before.body) >= SMALL and before.flag == "+"
    assert (after.message_id, after.start) == ("upload01", 1 + len(before.body))


def test_sessions_take_turns(end: End) -> None:
    # C-BR-04: two uploads and a short message share the connection.
    left, right = end.session(), end.session(session_id="second01")
    left.send(b"l" * 100_000, "text/plain", message_id="left0001")
    right.send(b"r" * 100_000, "text/plain", message_id="right001")
    third = end.session(session_id="third001")
    third.send(b"quick", "text/plain", message_id="third001")
    chunks = chunks_of(end.output())
    order = [chunk.message_id for chunk in chunks if chunk.flag]
    assert order[:5] == ["left0001", "right001", "third001", "left0001", "right001"]
    assert all(len(chunk.body) == TURN for chunk in chunks[:2])
    for name, body in (("left0001", b"l"), ("right001", b"r")):
        assert b"".join(chunk.body for chunk in chunks if chunk.message_id == name) == body * 100_000


def test_order_within_a_session(end: End) -> None:
    session = end.session()
    for index in range(4):
        session.send(b"x" * (3000 * (index % 2)), "text/plain", message_id=f"number-{index}")
    assert [chunk.message_id for chunk in chunks_of(end.output())] == [f"number-{index}" for index in range(4)]


def test_end_line_must_not_occur_in_the_body(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    # C-FRM-03: an id whose end-line is in the body, or that is in use, is drawn again.
    draws: Iterator[str] = iter(["evil1234", "good1234", "good1234", "evil1234", "fine1234"])
    monkeypatch.setattr(ids, "msrp_transaction_id", lambda: next(draws))
    session = end.session()
    session.send(b"a\r\n-------evil1234$\r\nb", "text/plain")
    session.send(b"c" * 3000 + b"-------evil1234$", "text/plain")
    assert [chunk.transaction_id for chunk in chunks_of(end.output())] == ["good1234", "fine1234"]


def test_transaction_ids_are_random() -> None:
    # C-FRM-03: 64 bits
    assert len(ids.msrp_transaction_id()) >= 16


def test_window(end: End) -> None:
    # C-RSP-08: so many may be on their way; each answer lets one more go.
    session = end.session()
    for _ in range(WINDOW + 2):
        session.send(b"x", "text/plain", on_done=end.on_done)
    first = end.output_frames()
    assert len(first) == WINDOW
    acknowledge(end, first[:1])
    assert len(end.output_frames()) == 1
    session.send(b"x", "text/plain")
    assert end.output() == b""


def test_sent_when_every_chunk_is_answered(end: End) -> None:
    session = end.session()
    message = session.send(b"x" * (MAX_CHUNK + 1), "text/plain", on_done=end.on_done, tag="mine")
    frames = end.output_frames()
    ends = [one for one in frames if isinstance(one, Chunk) and one.flag]
    acknowledge(end, ends[:1])
    assert end.done == [] and message.state is MessageState.PENDING
    acknowledge(end, ends[1:])
    assert end.done == [(message.message_id, "sent", 200)]
    assert message.body == b"" and message.tag == "mine" and "sent" in repr(message)
    assert end.connection.get_timer() is None


def test_answer_before_the_upload_is_over_does_not_settle_it(end: End) -> None:
    session = end.session()
    message = session.send(b"x" * 200_000, "text/plain")
    first = chunks_of(end.connection.data_to_send(0.0))
    end.receive(answer(first[0].transaction_id))
    assert message.state is MessageState.PENDING


@pytest.mark.parametrize("status", [400, 403, 413, 415, 501, 599])
def test_error_response(end: End, status: int) -> None:
    # C-RSP-09: unknown codes count by class.
    session = end.session()
    message = session.send(b"x", "text/plain", on_done=end.on_done)
    (chunk,) = chunks_of(end.output())
    end.receive(answer(chunk.transaction_id, status, ""))
    assert end.done == [(message.message_id, "failed", status)]
    assert not session.closed


def test_provisional_response_is_ignored(end: End) -> None:
    message = end.session().send(b"x", "text/plain")
    (chunk,) = chunks_of(end.output())
    end.receive(answer(chunk.transaction_id, 100))
    assert message.state is MessageState.PENDING


def test_stray_response_is_ignored(end: End) -> None:
    # C-BAD-06
    message = end.session().send(b"x", "text/plain", on_done=end.on_done)
    (chunk,) = chunks_of(end.output())
    end.receive(answer("zzzz") + answer(chunk.transaction_id) + answer(chunk.transaction_id, 481))
    assert end.done == [(message.message_id, "sent", 200)]


@pytest.mark.parametrize("status", [481, 506])
def test_session_gone(end: End, status: int) -> None:
    # C-RSP-09
    session = end.session()
    session.send(b"x", "text/plain", on_done=end.on_done)
    other = session.send(b"y", "text/plain", on_done=end.on_done)
    first, _ = chunks_of(end.output())
    events = end.receive(answer(first.transaction_id, status))
    failed = [event for event in events if isinstance(event, SessionFailed)]
    assert [event.session for event in failed] == [session] and session.closed
    assert [state for _, state, _ in end.done] == ["failed", "unknown"] and other.status is None
    with pytest.raises(LocalProtocolError):
        session.send(b"z", "text/plain")


def test_timeout(end: End) -> None:
    # C-RSP-01: 30 s after the last octet was written, not before.
    session = end.session()
    session.send(b"x", "text/plain", message_id="mute0001", on_done=end.on_done)
    (chunk,) = chunks_of(end.output())
    assert end.connection.get_timer() == end.clock() + RESPONSE_TIMEOUT
    end.advance(29.9)
    assert end.done == []
    end.advance(0.2)
    assert end.done == [("mute0001", "unknown", 408)]
    assert end.connection.get_timer() is None
    # C-BAD-06: too late
    end.receive(answer(chunk.transaction_id))
    assert len(end.done) == 1


def test_each_transaction_has_its_own_time(end: End) -> None:
    # C-RSP-01
    session = end.session()
    for name in ("first001", "second01"):
        session.send(b"x", "text/plain", message_id=name, on_done=end.on_done)
        end.output()
        end.advance(1)
    end.advance(28.5)
    assert end.done == [("first001", "unknown", 408)]
    end.advance(1)
    assert end.done[1:] == [("second01", "unknown", 408)]


def test_408_is_a_timeout(end: End) -> None:
    end.session().send(b"x", "text/plain", message_id="mute0001", on_done=end.on_done)
    (chunk,) = chunks_of(end.output())
    end.receive(answer(chunk.transaction_id, 408))
    assert end.done == [("mute0001", "unknown", 408)]


def test_timeout_stops_the_rest_of_the_message(end: End) -> None:
    session = end.session()
    message = session.send(b"x" * 10_000_000, "text/plain", on_done=end.on_done)
    end.output()
    assert message.outstanding == WINDOW and message.written < message.size
    end.advance(31)
    assert end.output() == b"" and message.state is MessageState.UNKNOWN


def test_answered_transactions_leave_no_timer(end: End) -> None:
    session = end.session()
    session.send(b"1", "text/plain")
    session.send(b"2", "text/plain")
    frames = end.output_frames()
    acknowledge(end, frames[1:])
    assert end.connection.get_timer() is not None
    acknowledge(end, frames[:1])
    assert end.connection.get_timer() is None


@pytest.mark.parametrize("wish", ["no", "partial"])
def test_messages_without_failure_report_are_sent_when_written(end: End, wish: FailureReport) -> None:
    # C.4: no timer for the sender
    session = end.session()
    message = session.send(b"x" * 3000, "text/plain", failure_report=wish, on_done=end.on_done)
    (chunk,) = [one for one in chunks_of(end.output()) if one.flag]
    assert chunk.failure_report == wish
    end.events()
    assert end.done == [(message.message_id, "sent", None)]
    end.advance(31)
    assert len(end.done) == 1 and session.outstanding == 0


@pytest.mark.parametrize("wish", ["no", "partial", "yes"])
def test_a_stopped_message_leaves_the_window_as_it_was(end: End, wish: FailureReport) -> None:
    session = end.session()
    message = session.send(b"x" * 200_000, "text/plain", failure_report=wish)
    end.connection.data_to_send(end.clock.now)
    message.cancel()
    assert (message.outstanding, session.outstanding) == (0, 0)


def test_error_response_to_a_partial_message(end: End) -> None:
    session = end.session()
    session.send(b"x", "text/plain", failure_report="partial", message_id="partial1", on_done=end.on_done)
    (chunk,) = chunks_of(end.output())
    end.events()
    end.receive(answer(chunk.transaction_id, 413))
    assert end.done == [("partial1", "sent", None), ("partial1", "failed", 413)]


def test_413_in_the_middle_of_an_upload(end: End) -> None:
    # C-RSP-07: "#", and nothing more of this message; the next one goes.
    session = end.session()
    session.send(b"x" * 1_000_000, "text/plain", message_id="refused1", on_done=end.on_done)
    session.send(b"next", "text/plain", message_id="nextnext")
    first = end.connection.data_to_send(0.0)
    tid = first[5:21].decode()
    second_tid = first.rpartition(b"MSRP ")[2][:16].decode()
    end.receive(answer(tid, 413))
    rest = end.output()
    assert rest.startswith(f"\r\n-------{second_tid}#\r\n".encode())
    assert [chunk.message_id for chunk in chunks_of(rest.partition(b"#\r\n")[2])] == ["nextnext"]
    assert end.done == [("refused1", "failed", 413)]
    assert session.outstanding == 1


def test_413_between_two_chunks(end: End) -> None:
    # Nothing under way: the message just goes no further.
    session, other = end.session(), end.session(session_id="second01")
    session.send(b"x" * 1_000_000, "text/plain", message_id="refused1", on_done=end.on_done)
    other.send(b"y" * 10_000, "text/plain")
    first = end.connection.data_to_send(0.0)
    tid = first[5:21].decode()
    other.send(b"z", "text/plain")
    end.connection.data_to_send(0.0)
    end.receive(answer(tid, 413))
    assert all(chunk.message_id != "refused1" for chunk in chunks_of(end.output().partition(b"#\r\n")[2]))


def test_415_bars_the_type_for_the_session(end: End) -> None:
    # C-RSP-09
    session = end.session()
    session.send(b"x", "text/html", on_done=end.on_done)
    waiting = session.send(b"x", "text/plain", on_done=end.on_done)
    first, _ = chunks_of(end.output())
    end.receive(answer(first.transaction_id, 415))
    again = session.send(b"x", "Text/HTML;charset=utf-8", on_done=end.on_done)
    assert (again.state, again.status) == (MessageState.FAILED, 415)
    assert end.output() == b"" and waiting.state is MessageState.PENDING
    session.send(b"x", "text/plain")
    assert end.output()


@pytest.mark.parametrize("content_type", ["message/cpim", "multipart/mixed;boundary=x"])
def test_415_does_not_bar_containers(end: End, content_type: str) -> None:
    session = end.session()
    session.send(b"x", content_type)
    (chunk,) = chunks_of(end.output())
    end.receive(answer(chunk.transaction_id, 415))
    assert session.send(b"y", content_type).state is MessageState.PENDING


def test_limits_of_the_peer(end: End) -> None:
    # C-BR-13, C-SES-04
    session = end.session(accept_types=("message/cpim", "image/*"), remote_max_size=10)
    for body, content_type, status in ((b"x" * 11, "message/cpim", 413), (b"x", "text/plain", 415)):
        message = session.send(body, content_type, on_done=end.on_done)
        assert end.done.pop() == (message.message_id, "failed", status)
        assert session.send(body, content_type).state is MessageState.FAILED
    session.send(b"x" * 10, "image/png")
    assert len(chunks_of(end.output())) == 1


def test_limits_apply_to_what_was_queued_before_the_answer_came(end: End) -> None:
    session = end.session(remote=None, attach=False)
    session.send(b"x" * 11, "text/plain", message_id="toolarge", on_done=end.on_done)
    session.send(b"x", "text/plain", message_id="fitting1", on_done=end.on_done)
    end.connection.attach(session)
    assert end.output() == b""
    session.open((MsrpUri.parse(THEIRS),), max_size=10)
    end.events()
    assert end.done == [("toolarge", "failed", 413)]
    assert [chunk.message_id for chunk in chunks_of(end.output())] == ["fitting1"]


@pytest.mark.parametrize(
    ("content_type", "message_id"),
    [
        ("text/plain\r\nX: y", None),
        ("plain", None),
        ("text/plain", "abc"),
        ("text/plain", "a b c d"),
        ("a/b", "x" * 33),
    ],
)
def test_arguments_that_cannot_be_written(end: End, content_type: str, message_id: str | None) -> None:
    session = end.session()
    with pytest.raises(LocalProtocolError):
        session.send(b"x", content_type, message_id=message_id)


def test_cancel_before_anything_is_written(end: End) -> None:
    session = end.session()
    first = session.send(b"x", "text/plain", on_done=end.on_done)
    first.cancel()
    first.cancel()
    end.events()
    assert end.done == [(first.message_id, "failed", None)]
    assert end.output() == b""
    unbound = end.session(attach=False, session_id="unbound1").send(b"x", "text/plain", on_done=end.on_done)
    unbound.cancel()
    assert len(end.done) == 2


def test_cancel_in_the_middle_of_a_chunk(end: End) -> None:
    # C-BR-08
    session = end.session()
    message = session.send(b"x" * 1_000_000, "text/plain", on_done=end.on_done)
    data = end.connection.data_to_send(0.0)
    message.cancel()
    data += end.output()
    assert chunks_of(data)[-1].flag == "#"
    end.events()
    assert end.done == [(message.message_id, "failed", None)]


def test_cancel_between_two_chunks(end: End) -> None:
    # C-BR-08: an empty chunk tells the peer.
    session, other = end.session(), end.session(session_id="second01")
    message = session.send(b"x" * 1_000_000, "text/plain", message_id="cancel01")
    follower = session.send(b"follower", "text/plain", message_id="follower")
    other.send(b"y" * 1_000_000, "text/plain", message_id="other001")
    data = end.connection.data_to_send(0.0)
    while chunks_of(data)[-1].message_id != "other001":
        data += end.connection.data_to_send(0.0)
    message.cancel()
    aborts = [chunk for chunk in chunks_of(data + end.output()) if chunk.flag == "#"]
    assert [(chunk.message_id, chunk.body, chunk.start) for chunk in aborts] == [("cancel01", b"", message.written + 1)]
    assert follower.written == 8


def test_cancel_after_the_last_octet_does_nothing(end: End) -> None:
    message = end.session().send(b"x", "text/plain")
    end.output()
    message.cancel()
    assert message.state is MessageState.PENDING


def test_success_report(end: End) -> None:
    # C-RSP-02
    session = end.session()
    message = session.send(b"x" * 10, "text/plain", message_id="wanted01", success_report=True, on_done=end.on_done)
    (chunk,) = chunks_of(end.output())
    assert chunk.success_report
    end.receive(answer(chunk.transaction_id))
    assert not message.reported
    end.receive(report("000 200 OK", message_id="wanted01", byte_range="1-4/10"))
    assert not message.reported
    end.receive(report("000 200 OK", message_id="wanted01", byte_range="5-10/10"))
    end.receive(report("000 200 OK", message_id="wanted01", byte_range="1-*/10"))
    assert message.reported
    assert end.done == [("wanted01", "sent", 200)] * 2


def test_success_report_before_the_response(end: End) -> None:
    session = end.session()
    session.send(b"x" * 10, "text/plain", message_id="wanted01", success_report=True, on_done=end.on_done)
    (chunk,) = chunks_of(end.output())
    end.receive(report("000 200 OK", message_id="wanted01"))
    assert end.done == [("wanted01", "pending", None)]
    end.receive(answer(chunk.transaction_id))
    assert end.done[1:] == [("wanted01", "sent", 200)]


@pytest.mark.parametrize("report_first", [True, False])
def test_behind_relays_only_the_report_tells(end: End, report_first: bool) -> None:
    session = end.session(remote=f"msrp://relay:1/x;tcp {THEIRS}")
    message = session.send(b"x", "text/plain", message_id="wanted01", success_report=True, on_done=end.on_done)
    (chunk,) = chunks_of(end.output())
    inputs = [answer(chunk.transaction_id), report("000 200 OK", message_id="wanted01", byte_range="1-1/1")]
    for data in reversed(inputs) if report_first else inputs:
        assert message.state is MessageState.PENDING
        end.receive(data)
    assert message.state is MessageState.SENT
    # Asked for also where the caller did not, unless nobody wants to know.
    plain = session.send(b"x", "text/plain", message_id="wanted02")
    (chunk,) = chunks_of(end.output())
    assert chunk.success_report
    end.receive(answer(chunk.transaction_id))
    assert [plain.state] == [MessageState.PENDING]
    end.receive(report("000 200 OK", message_id="wanted02"))
    assert [plain.state] == [MessageState.SENT]
    assert not session.send(b"x", "text/plain", failure_report="no").success_report


@pytest.mark.parametrize(
    ("status", "state", "code", "closed"),
    [
        ("000 413 Stop", "failed", 413, False),
        ("000 415", "failed", 415, False),
        ("000 408", "unknown", 408, True),
        ("000 500", "failed", 500, True),
    ],
)
def test_failure_report(end: End, status: str, state: str, code: int, closed: bool) -> None:
    # C-RSP-04, C-RSP-05: like a response of that code, also after the 200; octets that got lost end the session.
    session = end.session()
    session.send(b"x", "text/plain", message_id="failing1", on_done=end.on_done)
    acknowledge(end, end.output_frames())
    end.receive(report(status, message_id="failing1", byte_range="1-1/1"))
    assert end.done == [("failing1", "sent", 200), ("failing1", state, code)]
    assert session.closed is closed


def test_reports_that_are_ignored(end: End) -> None:
    # C-RSP-03, C-RSP-05: another namespace, an unknown message, one that has failed, no session; none gets an answer.
    session = end.session()
    session.send(b"x", "text/plain", message_id="failing1", on_done=end.on_done)
    (chunk,) = chunks_of(end.output())
    end.receive(report("001 500", message_id="failing1"))
    end.receive(report("000 500", message_id="unknown1"))
    end.receive(report("000 500", message_id="failing1").replace(OURS.encode(), THEIRS.encode()))
    assert end.done == []
    end.receive(answer(chunk.transaction_id, 400))
    end.receive(report("000 200", message_id="failing1"))
    assert end.done == [("failing1", "failed", 400)]
    assert end.output() == b""


def test_a_report_resolves_what_was_unknown(end: End) -> None:
    end.session().send(b"x", "text/plain", message_id="mute0001", success_report=True, on_done=end.on_done)
    end.output()
    end.advance(31)
    end.receive(report("000 200 OK", message_id="mute0001", byte_range="1-1/1"))
    assert end.done == [("mute0001", "unknown", 408), ("mute0001", "sent", 200)]


def test_only_some_messages_are_remembered(end: End) -> None:
    session = end.session()
    sent = [session.send(b"x", "text/plain") for _ in range(RECENT + 3)]
    frames = end.output_frames()
    acknowledge(end, frames[1:])
    assert session.find_message(sent[1].message_id) is not None, "the oldest is pending"
    acknowledge(end, frames[:1])
    session.send(b"x", "text/plain")
    acknowledge(end, end.output_frames())
    assert session.find_message(sent[0].message_id) is None
    assert session.find_message(sent[-1].message_id) is sent[-1]


def test_release_in_the_middle_of_a_chunk(end: End) -> None:
    # C-SET-06: stop sending; other sessions go on.
    session, other = end.session(), end.session(session_id="second01")
    message = session.send(b"x" * 1_000_000, "text/plain")
    data = end.connection.data_to_send(0.0)
    queued = other.send(b"other", "text/plain")
    end.connection.detach(session, end.clock())
    end.connection.detach(session, end.clock())
    assert session.close() == [message] and message.state is MessageState.UNKNOWN
    data += end.output()
    chunks = chunks_of(data)
    assert chunks[-2].flag == "#" and chunks[-1].body == b"other"
    acknowledge(end, frames_of(data))
    assert queued.state is MessageState.SENT


def test_release_of_a_session_that_waits_for_its_turn(end: End) -> None:
    session, other = end.session(), end.session(session_id="second01")
    session.send(b"x", "text/plain")
    never = other.send(b"y", "text/plain")
    end.connection.detach(other, end.clock())
    assert other.close() == [never] and never.state is MessageState.FAILED
    assert [chunk.body for chunk in chunks_of(end.output())] == [b"x"]


def test_several_types_are_barred(end: End) -> None:
    session = end.session()
    for content_type in ("text/html", "image/png"):
        session.send(b"x", content_type)
        (chunk,) = chunks_of(end.output())
        end.receive(answer(chunk.transaction_id, 415))
    assert session.send(b"x", "text/html").status == 415
    assert session.send(b"x", "image/png").status == 415


def test_queued_before_the_connection_and_before_the_answer(end: End) -> None:
    # C-SET-01: an empty SEND is within any limits of the peer; all goes out once both are known.
    session = end.session(remote=None, attach=False)
    session.send_empty()
    quiet = session.send(b"x" * 20, "text/plain")
    session.open((MsrpUri.parse(THEIRS),), max_size=10)
    assert quiet.status == 413
    session.send(b"x", "text/plain")
    assert end.output() == b""
    end.connection.attach(session)
    assert [len(chunk.body) for chunk in chunks_of(end.output())] == [0, 1]


def test_closed_session(end: End) -> None:
    session = end.session()
    end.connection.detach(session, end.clock())
    assert session.close() == []
    with pytest.raises(LocalProtocolError):
        session.open((MsrpUri.parse(THEIRS),))


def test_error_for_a_partial_message_after_its_session(end: End) -> None:
    session, _ = end.session(), end.session(session_id="second01")
    session.send(b"x", "text/plain", failure_report="partial", on_done=end.on_done)
    (chunk,) = chunks_of(end.output())
    end.events()
    end.connection.detach(session, end.clock())
    session.close()
    end.receive(answer(chunk.transaction_id, 481))
    assert [state for _, state, _ in end.done] == ["sent"]


def test_message_that_wants_no_answers_at_all(end: End) -> None:
    # C.4, H-12: no transaction is kept, and no timer.
    session = end.session()
    message = session.send(b"x", "text/plain", failure_report="no", on_done=end.on_done)
    assert len(chunks_of(end.output())) == 1
    end.events()
    assert end.done == [(message.message_id, "sent", None)]
    assert end.connection.get_timer() is None


def test_chunks_through_relays_are_small() -> None:
    # C-RLY-05: no frame that Kamailio would lose.
    end = End()
    session = end.session(remote=f"msrp://relay:1/x;tcp {THEIRS}")
    session.send(b"x" * 20_000, "text/plain")
    assert [len(chunk.body) for chunk in chunks_of(end.output()) if chunk.flag] == [8192, 8192, 3616]


def test_reports_in_too_many_pieces_are_forgotten(end: End) -> None:
    # Nobody reports octet by octet but who wants our memory; a report about all still counts.
    session = end.session()
    message = session.send(b"x" * 1000, "text/plain", message_id="wanted01", success_report=True)
    acknowledge(end, end.output_frames())
    for number in range(1, 999, 2):
        end.receive(report("000 200 OK", message_id="wanted01", byte_range=f"{number}-{number}/1000"))
        assert message.ranges is not None and len(message.ranges) <= MAX_RANGES + 1
    assert not message.reported
    end.receive(report("000 200 OK", message_id="wanted01", byte_range="1-1000/1000"))
    assert message.reported
