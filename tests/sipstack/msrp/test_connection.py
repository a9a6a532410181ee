"""Receiving: binding, answers, reports, faults, timers (C-URI-05, C-BR-06 to -11, C-RSP-*, C-SET-*, C-BAD-*)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import ConnectionClosed, LocalProtocolError, ParseError, RemoteProtocolError, UnexpectedMessage
from sipstack.msrp.chunk import MsrpResponse, Report
from sipstack.msrp.connection import LINGER, MAX_FAULTS, OWN_RELAY_LINGER, UNCLAIMED_TIMEOUT, MsrpConnection
from sipstack.msrp.events import SessionBound
from sipstack.msrp.message import MessageState
from sipstack.msrp.reception import MAX_PARTIALS, PARTIAL_TIMEOUT, RECENT
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.succession import adopt
from sipstack.msrp.uri import MsrpUri, parse_path
from tests.sipstack.msrp.helpers import (
    OURS,
    THEIRS,
    End,
    answer,
    failures,
    frame,
    messages,
    pair,
    report,
    send,
    transfer,
)
from tests.utils import every_chunking


@pytest.fixture
def end() -> End:
    return End()


def statuses(end: End) -> list[int]:
    """Return the codes of the responses that are to be sent."""
    return [one.status for one in end.output_frames() if isinstance(one, MsrpResponse)]


def test_message_and_its_answer(end: End) -> None:
    # C-RSP-06: nothing is answered behind the owner's back.
    end.session()
    (message,) = messages(end.receive(send(extra="X-Foo: 1\n")))
    assert (message.body, message.content_type, message.headers) == (b"hello", "text/plain", (("X-Foo", "1"),))
    assert "87652491kzp" in repr(message)
    assert end.output() == b""
    message.accept()
    assert end.output() == frame(f"MSRP d93kswow2a 200 OK\nTo-Path: {THEIRS}\nFrom-Path: {OURS}\n-------d93kswow2a$\n")
    with pytest.raises(LocalProtocolError):
        message.accept()


def test_a_few_frames_at_a_time(end: End) -> None:
    end.session()
    names = [f"message-{number}" for number in range(5)]
    data = b"".join(send(f"tid-{name}", message_id=name) for name in names)
    got, is_more = [], True
    while is_more:
        is_more = end.connection.receive_data(data, end.clock(), 2)
        got.append([message.message_id for message in messages(end.events())])
        data = b""
    assert got == [names[:2], names[2:4], names[4:]]


def test_answers_in_any_cut() -> None:
    data = send() + send("tid00002", message_id="message2") + answer("nobody00") + send("tid00003", body=None)

    def feed(chunks: list[bytes]) -> tuple[list[bytes], list[str]]:
        end = End()
        end.session()
        bodies = []
        for chunk in chunks:
            for message in messages(end.receive(chunk)):
                bodies.append(message.body)
                message.accept()
        # The empty SEND may be answered before the owner of the messages is asked.
        return bodies, sorted(map(repr, end.output_frames()))

    bodies, _ = every_chunking(data, feed)
    assert bodies == [b"hello", b"hello"]


def test_response_goes_to_the_previous_hop_and_the_report_to_all(end: End) -> None:
    # C-RSP-02, C-RSP-03, C-RSP-06, C-RLY-06
    end.session()
    relayed = f"msrp://relay:1/x;tcp {THEIRS}"
    (message,) = messages(end.receive(send(by=relayed, extra="Success-Report: yes\n")))
    message.accept()
    response, success = end.output_frames()
    assert isinstance(response, MsrpResponse) and response.to_path == "msrp://relay:1/x;tcp"
    assert isinstance(success, Report)
    assert (success.to_path, success.from_path, success.message_id) == (relayed, OURS, "87652491kzp")
    assert (success.start, success.end, success.total) == (1, 5, 5)
    assert (success.namespace, success.status, success.comment) == ("000", 200, "OK")


@pytest.mark.parametrize(
    ("wish", "on_success", "on_error"), [("yes", [200], [415]), ("partial", [], [415]), ("no", [], [])]
)
def test_failure_report_decides_about_answers(end: End, wish: str, on_success: list[int], on_error: list[int]) -> None:
    # C.4 table, H-12
    end.session()
    (first,) = messages(end.receive(send(extra=f"Failure-Report: {wish}\n")))
    first.accept()
    assert statuses(end) == on_success
    (second,) = messages(end.receive(send(message_id="second01", extra=f"Failure-Report: {wish}\n")))
    second.reject(415, "")
    assert statuses(end) == on_error
    with pytest.raises(LocalProtocolError):
        second.reject(200)


def test_late_answer(end: End) -> None:
    end.session()
    (first,) = messages(end.receive(send()))
    (second,) = messages(end.receive(send("tid00002", message_id="second01")))
    second.reject(413, "Inbox is full")
    first.accept()
    refused, accepted = end.output_frames()
    assert isinstance(refused, MsrpResponse) and (refused.status, refused.comment) == (413, "Inbox is full")
    assert isinstance(accepted, MsrpResponse) and accepted.transaction_id == "d93kswow2a"


def test_empty_send_is_answered_and_no_event(end: End) -> None:
    # C-SET-09
    end.session()
    assert end.receive(send(body=None)) == []
    assert statuses(end) == [200]


def test_empty_message_with_a_type_is_a_message(end: End) -> None:
    end.session()
    (message,) = messages(end.receive(send(body=b"", byte_range="1-0/0")))
    assert message.body == b""


def test_body_without_content_type(end: End) -> None:
    end.session()
    assert end.receive(send(content_type=None)) == []
    end.receive(send(message_id="chunked1", content_type=None, flag="+", byte_range="1-*/10"))
    end.receive(send(message_id="chunked1", content_type=None, byte_range="6-10/10"))
    assert statuses(end) == [400, 200, 400]


def test_same_transaction_id_twice(end: End) -> None:
    # C-BAD-07
    end.session()
    for message in messages(end.receive(send() + send(message_id="second01"))):
        message.accept()
    assert statuses(end) == [200, 200]


# Chunks


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=3),
    st.lists(st.integers(1, 39), max_size=4),
    st.randoms(),
    st.integers(1, 500),
)
def test_any_chunking_interleaving_and_cut_gives_the_same_messages(
    bodies: list[bytes], cuts: list[int], order: random.Random, read_size: int
) -> None:
    # C-BR-03, C-BR-06, G-O08
    end = End()
    end.session()
    chunks: list[bytes] = []
    for number, body in enumerate(bodies):
        edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
        for start, stop in zip(edges, edges[1:], strict=False):
            flag = "$" if stop == len(body) else "+"
            ranges = f"{start + 1}-*/{order.choice(['*', str(len(body))])}"
            chunks.append(
                send(
                    f"tid-{len(chunks)}", body[start:stop], message_id=f"message{number}", byte_range=ranges, flag=flag
                )
            )
    order.shuffle(chunks)
    stream = b"".join(chunks)
    received = {}
    for start in range(0, len(stream), read_size):
        for message in messages(end.receive(stream[start : start + read_size])):
            received[message.message_id] = message.body
            message.accept()
    assert received == {f"message{number}": body for number, body in enumerate(bodies)}
    assert sorted(one.transaction_id for one in end.output_frames() if isinstance(one, MsrpResponse)) == sorted(
        f"tid-{number}" for number in range(len(chunks))
    )


def test_chunks_that_complete_nothing_are_answered_at_once(end: End) -> None:
    end.session()
    assert end.receive(send("tid00001", b"abc", byte_range="1-*/6", flag="+")) == []
    assert statuses(end) == [200]
    (message,) = messages(end.receive(send("tid00002", b"def", byte_range="4-*/6")))
    assert message.body == b"abcdef" and end.output() == b""
    message.accept()
    assert statuses(end) == [200]


def test_last_chunk_first(end: End) -> None:
    # C-BR-06
    end.session()
    assert end.receive(send("tid00002", b"def", byte_range="4-6/6")) == []
    (message,) = messages(end.receive(send("tid00001", b"abc", byte_range="1-3/6", flag="+")))
    assert message.body == b"abcdef"


def test_aborted_message(end: End) -> None:
    # C-BR-08
    session = end.session()
    end.receive(send("tid00001", b"abc", byte_range="1-*/6", flag="+"))
    assert session.partial_touched("87652491kzp") is not None
    assert end.receive(send("tid00002", b"d", byte_range="4-*/6", flag="#")) == []
    assert session.partial_touched("87652491kzp") is None
    assert statuses(end) == [200, 200]
    assert end.receive(send("tid00003", b"d", message_id="unheard1", flag="#")) == []
    # The same message may be sent anew.
    (message,) = messages(end.receive(send()))
    assert message.body == b"hello"


def test_too_large(end: End) -> None:
    # C-BR-13, C-BR-11: by its announcement, by its octets, by its position.
    end.session(max_size=10)
    assert end.receive(send("tid00001", b"x", message_id="large001", byte_range="1-*/11", flag="+")) == []
    assert end.receive(send("tid00002", b"x" * 11, message_id="large002")) == []
    assert end.receive(send("tid00003", b"x", message_id="large003", byte_range="11-*/*", flag="+")) == []
    assert statuses(end) == [413, 413, 413]
    assert end.receive(send("tid00004", b"x", message_id="large001", byte_range="2-*/*", flag="+")) == []
    assert statuses(end) == [413]
    (message,) = messages(end.receive(send("tid00005", b"x" * 10, message_id="fitting1")))
    assert message.body == b"x" * 10


def test_too_large_is_told_before_the_chunk_ends(end: End) -> None:
    end.session(max_size=1000)
    octets = send(body=b"x" * 5000, byte_range="1-*/*")
    end.receive(octets[:3000])
    assert statuses(end) == [413]
    end.receive(octets[3000:4000])
    end.receive(octets[4000:])
    assert end.output() == b""
    (message,) = messages(end.receive(send("d93kswow2a", message_id="next0001")))
    assert message.body == b"hello"


def test_memory_of_unfinished_messages(end: End) -> None:
    # C-FRM-12
    end.session(max_size=1000)
    for number in range(2):
        end.receive(send(f"tid{number:05}", b"x" * 900, message_id=f"part{number:04}", byte_range="1-*/*", flag="+"))
    assert statuses(end) == [200, 200]
    end.receive(send("tid00002", b"x" * 900, message_id="part0002", byte_range="1-*/*", flag="+"))
    assert statuses(end) == [413]


def test_number_of_unfinished_messages(end: End) -> None:
    end.session()
    for number in range(MAX_PARTIALS + 1):
        end.receive(send(f"tid{number:05}", message_id=f"part{number:04}", byte_range="1-*/*", flag="+"))
    assert statuses(end) == [200] * MAX_PARTIALS + [413]


def test_message_in_too_many_pieces(end: End) -> None:
    end.session()
    for number in range(70):
        end.receive(send(f"tid{number:05}", b"x", byte_range=f"{2 * number + 1}-*/*", flag="+"))
    assert statuses(end) == [200] * 64 + [413] * 6


def test_unfinished_message_is_dropped_in_time(end: End) -> None:
    # C-BR-11
    session = end.session()
    end.receive(send("tid00001", b"abc", byte_range="1-*/9", flag="+"))
    end.receive(send("tid00002", b"z", message_id="finished", byte_range="1-*/2", flag="+"))
    (message,) = messages(end.receive(send("tid00003", b"z", message_id="finished", byte_range="2-*/2")))
    message.accept()
    end.advance(40)
    end.receive(send("tid00004", b"def", byte_range="4-*/9", flag="+"))
    end.advance(30)
    assert session.partial_touched("87652491kzp") is not None
    end.advance(PARTIAL_TIMEOUT)
    assert session.partial_touched("87652491kzp") is None
    assert end.connection.get_timer() is None


def test_stale_beginning_is_not_continued(end: End) -> None:
    end.session()
    end.receive(send("tid00001", b"abc", byte_range="1-*/6", flag="+"))
    end.clock.advance(PARTIAL_TIMEOUT + 1)
    assert end.receive(send("tid00002", b"def", byte_range="4-*/6")) == []


@pytest.mark.parametrize(("pause", "resumed"), [(50, True), (70, False)])
def test_resume_in_another_session(end: End, pause: float, resumed: bool) -> None:
    # C-BAD-13, C-BR-12: what came before the connection broke counts, also of the chunk that was under way.
    session = end.session()
    end.receive(send("tid00001", b"x" * 1000, byte_range="1-*/2000", flag="+")[:-30])
    end.connection.receive_eof()
    end.clock.advance(pause)
    table = end.table
    end.connection = MsrpConnection(table, end.clock())
    successor = end.session(session_id="second01")
    adopt(successor, session)
    had = successor.partial_touched("87652491kzp")
    assert had is not None
    received = 1000 - 30 + len("\r\n-------tid00001+\r\n") - len("\r\n-------tid00001") - 2
    events = end.receive(
        send("tid00002", b"x" * (2000 - received), byte_range=f"{received + 1}-*/2000", to=successor.local)
    )
    assert [message.body for message in messages(events)] == ([b"x" * 2000] if resumed else [])


# Repetitions


def test_repeated_message_is_told_once(end: End) -> None:
    # C-BR-11
    end.session()
    (message,) = messages(end.receive(send("tid00001")))
    assert end.receive(send("tid00002")) == []
    octets = send("tid00003", body=b"x" * 99)
    assert end.receive(octets[:-50]) + end.receive(octets[-50:]) == []
    assert end.output() == b""
    message.accept()
    assert statuses(end) == [200, 200, 200]
    assert end.receive(send("tid00004")) == []
    assert end.receive(send("tid00005", b"he", byte_range="1-*/5", flag="+")) == []
    assert statuses(end) == [200, 200]


def test_refused_message_may_be_tried_again(end: End) -> None:
    end.session()
    (message,) = messages(end.receive(send()))
    message.reject(413)
    (again,) = messages(end.receive(send("tid00002")))
    again.accept()
    assert statuses(end) == [413, 200]


def test_only_the_last_repetitions_are_known(end: End) -> None:
    end.session()
    pending = messages(end.receive(b"".join(send(message_id=f"number-{n}") for n in range(RECENT + 1))))
    assert len(pending) == RECENT + 1
    for message in pending:
        message.accept()
    assert len(messages(end.receive(send(message_id="number-0")))) == 1


# Binding


def test_first_request_binds_the_session(end: End) -> None:
    # C-SET-01, C-URI-05
    session = end.session(attach=False)
    assert not session.is_bound
    bound, message = end.receive(send())
    assert isinstance(bound, SessionBound) and bound.session is session and session.is_bound
    assert messages([message])
    assert end.connection.get_timer() is None


def test_unknown_session_on_a_new_connection(end: End) -> None:
    # C-URI-05, C-SET-07: 481, and the connection is closed.
    end.session(attach=False, session_id="another1")
    assert end.receive(send()) == []
    assert statuses(end) == [481]
    assert end.connection.is_closing and isinstance(end.connection.error, UnexpectedMessage)
    end.session()
    assert end.receive(send()) == []


def test_unknown_session_on_a_shared_connection(end: End) -> None:
    end.session()
    octets = send(to=OURS.replace("aV7", "xxx"), body=b"x" * 99)
    end.receive(octets[:-50])
    end.receive(octets[-50:])
    end.receive(send(to=f"{OURS} {OURS}"))
    assert statuses(end) == [481, 481]
    assert not end.connection.is_closing


def test_session_of_another_connection(end: End) -> None:
    # C-URI-05
    session = end.session()
    second = End(end.clock)
    second.connection = MsrpConnection(end.table, end.clock())
    second.receive(send())
    assert statuses(second) == [506]
    assert session.connection is end.connection


def test_other_spelling_of_our_uri(end: End) -> None:
    # C-URI-02
    end.session()
    assert len(messages(end.receive(send(to=OURS.replace("msrp:", "MSRP:"))))) == 1


@pytest.mark.parametrize("by", ["msrp://192.0.2.20:7777/s2bQ81xT", "nonsense"])
def test_from_path_that_is_no_path(end: End, by: str) -> None:
    # C-URI-01
    end.session()
    octets = send(by=by, body=b"x" * 99)
    end.receive(octets[:-50])
    assert statuses(end) == [400]
    end.receive(octets[-50:])
    end.receive(send(to="nonsense"))
    assert statuses(end) == [400]


def test_many_sessions_share_a_connection(end: End) -> None:
    # C-SET-04
    sessions = [end.session(session_id=f"number{index}") for index in range(50)]
    for session in sessions:
        (message,) = messages(end.receive(send(to=session.local)))
        assert message.session is session
        message.accept()
    assert statuses(end) == [200] * 50


def test_unclaimed_connection_times_out(end: End) -> None:
    # C-SET-07
    assert end.connection.get_timer() == end.clock() + UNCLAIMED_TIMEOUT
    end.advance(UNCLAIMED_TIMEOUT - 1)
    assert not end.connection.is_closing
    end.advance(1)
    assert end.connection.is_closing


def test_connection_lingers_after_its_last_session(end: End) -> None:
    # C-SET-06
    first, second = end.session(), end.session(session_id="second01")
    end.connection.detach(first, end.clock())
    assert end.connection.get_timer() is None
    end.connection.detach(second, end.clock())
    end.advance(LINGER - 1)
    end.connection.attach(second)
    end.advance(LINGER)
    assert not end.connection.is_closing
    end.connection.detach(second, end.clock())
    end.advance(LINGER)
    assert end.connection.is_closing


def test_lost_connection(end: End) -> None:
    # C-SET-05
    first, second = end.session(), end.session(session_id="second01")
    written = first.send(b"x", "text/plain", on_done=end.on_done)
    (incoming,) = messages(end.receive(send(extra="Success-Report: yes\n")))
    end.output()
    unwritten = second.send(b"y", "text/plain", on_done=end.on_done)
    end.connection.receive_eof(ConnectionClosed("reset"))
    failed = failures(end.events())
    assert {event.session for event in failed} == {first, second} and first.closed and second.closed
    assert all(str(event.error) == "reset" for event in failed)
    assert (written.state, unwritten.state) == (MessageState.UNKNOWN, MessageState.FAILED)
    assert len(end.done) == 2
    assert end.output() == b""
    # An answer that comes too late is not written anywhere, and does no harm.
    incoming.accept()
    assert end.output() == b""
    end.connection.receive_eof()
    assert end.events() == []


def test_report_is_not_sent_for_a_session_that_is_over(end: End) -> None:
    session, _ = end.session(), end.session(session_id="second01")
    (message,) = messages(end.receive(send(extra="Success-Report: yes\n")))
    end.connection.detach(session, end.clock())
    message.accept()
    assert [type(one) for one in end.output_frames()] == [MsrpResponse]


# Faults


def test_faults_are_answered(end: End) -> None:
    # C-BAD-02, C-BAD-03
    end.session()
    end.receive(send(byte_range="x"))
    end.receive(frame(f"MSRP abcd SEND\nFrom-Path: {THEIRS}\nMessage-ID: 12345678\n-------abcd$\n"))
    first, second = end.output_frames()
    assert isinstance(first, MsrpResponse) and (first.status, first.from_path) == (400, OURS)
    assert isinstance(second, MsrpResponse) and second.from_path.startswith("msrp://unknown.invalid")


def test_faults_are_not_answered_to_who_wants_silence(end: End) -> None:
    # C-BAD-11
    end.session()
    end.receive(send(byte_range="x", extra="Failure-Report: no\n"))
    assert end.output() == b""


def test_five_faults_in_a_row(end: End) -> None:
    # C-BAD-10
    session = end.session()
    for _ in range(MAX_FAULTS - 1):
        end.receive(send(byte_range="x"))
    end.receive(send(body=None))
    for _ in range(MAX_FAULTS - 1):
        end.receive(send(byte_range="x"))
    assert not end.connection.is_closing
    end.receive(send(byte_range="x") + send(message_id="toolate1"))
    assert end.connection.is_closing and isinstance(end.connection.error, RemoteProtocolError)
    assert statuses(end) == [400] * 4 + [200] + [400] * 5
    end.connection.receive_eof()
    (failed,) = failures(end.events())
    assert failed.session is session and failed.error is end.connection.error


def test_garbage_closes_the_connection(end: End) -> None:
    # C-BAD-01
    end.session()
    end.receive(b"GET / HTTP/1.1\r\n\r\n")
    assert end.connection.is_closing and isinstance(end.connection.error, ParseError)
    assert end.output() == b""


def test_endless_header_is_answered_before_the_connection_closes(end: End) -> None:
    # C-BAD-04, C-FRM-12
    end.session()
    end.receive(send(extra="X: " + "y" * 100_000 + "\n"))
    assert end.connection.is_closing and statuses(end) == [400]


def test_other_methods_and_reports(end: End) -> None:
    # C-FRM-11, C-RSP-03
    end.session()
    end.receive(send(body=None).replace(b" SEND", b" AUTH"))
    end.receive(report("000 200 OK", message_id="unknown1"))
    end.receive(send(body=None, extra="FooBar\n").replace(b" SEND", b" REPORT"))
    assert statuses(end) == [501]


# Both ends together


def test_both_ways() -> None:
    left, ours, right, theirs = pair()
    first = ours.send(b"a" * 200_000, "text/plain", success_report=True)
    second = theirs.send(b"b" * 300_000, "text/plain")
    seen_left, seen_right = transfer(left, right)
    assert [message.body for message in messages(seen_right)] == [b"a" * 200_000]
    assert [message.body for message in messages(seen_left)] == [b"b" * 300_000]
    assert first.state is MessageState.SENT and first.reported
    assert second.state is MessageState.SENT and not second.reported
    assert ours.local_path == (ours.local_uri,) and OURS in repr(ours)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40_000)), max_size=8))
def test_whatever_is_sent_arrives(sizes: list[tuple[int, int]]) -> None:
    # G-O08: several sessions, small and large messages at once.
    left, right = End(), End(local=THEIRS)
    sessions = []
    for index in range(3):
        ours = left.session(session_id=f"left{index}", remote=f"msrp://192.0.2.20:7777/right{index};tcp")
        right.session(session_id=f"right{index}", remote=ours.local)
        sessions.append(ours)
    sent = [sessions[index].send(bytes([index]) * size, "text/plain") for index, size in sizes]
    _, seen = transfer(left, right)
    assert all(message.state is MessageState.SENT for message in sent)
    for index in range(3):
        arrived = [message.body for message in messages(seen) if message.session.local.endswith(f"right{index};tcp")]
        assert arrived == [bytes([index]) * size for number, size in sizes if number == index]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 250))
def test_any_octets_are_survived(octets: bytes, at: int) -> None:
    # G-O08: every outcome is an event, an answer or a closed connection, never another exception.
    end = End()
    end.session()
    stream = send(body=b"x" * 50)
    end.receive(stream[:at] + octets)
    end.receive(octets)
    end.output()
    end.connection.receive_eof()
    end.events()


@pytest.mark.parametrize("secure", [False, True])
def test_tls_and_plain_never_share(secure: bool) -> None:
    # C-SET-04: a session of the other kind is not found, even under its exact URI.
    end = End(local=OURS if secure else OURS.replace("msrp:", "msrps:"))
    end.connection = MsrpConnection(end.table, end.clock(), secure=secure)
    session = end.session(attach=False)
    end.receive(send(to=session.local))
    (response,) = end.output_frames()
    assert isinstance(response, MsrpResponse) and response.status == 481
    assert session.connection is None
    alike = End(local=OURS if not secure else OURS.replace("msrp:", "msrps:"))
    alike.connection = MsrpConnection(alike.table, alike.clock(), secure=secure)
    session = alike.session(attach=False)
    assert messages(alike.receive(send(to=session.local)))


def test_connection_to_a_relay() -> None:
    # C-RLY-05: it stays for an hour while it has no session, and a late message to a past one closes nothing.
    end = End()
    connection = end.connection
    connection.hold(end.clock())
    responses: list[MsrpResponse] = []
    end.receive(answer("abcd1234"))
    connection.on_response = responses.append
    end.advance(UNCLAIMED_TIMEOUT)
    assert not connection.is_closing
    end.receive(send())
    assert statuses(end) == [481] and not connection.is_closing
    connection.send_frame(b"MSRP abcd1234 AUTH\r\n")
    assert end.output() == b"MSRP abcd1234 AUTH\r\n"
    end.receive(answer("abcd1234", 401))
    assert [response.status for response in responses] == [401]
    session = end.session()
    connection.hold(end.clock())
    end.advance(2 * OWN_RELAY_LINGER)
    assert not connection.is_closing
    connection.detach(session, end.clock())
    end.advance(OWN_RELAY_LINGER - 1)
    assert not connection.is_closing
    end.advance(1)
    assert connection.is_closing


def test_session_behind_relays() -> None:
    # C-RLY-02: Use-Path "B C", peer "D E F": SDP says C B A, requests go to B C D E F.
    relays = parse_path("msrp://b:1/b;tcp msrp://c:1/c;tcp")
    session = MsrpSession(MsrpUri.parse(OURS), max_size=1, use_path=relays)
    assert [uri.host for uri in session.local_path] == ["c", "b", "192.0.2.10"]
    session.open(parse_path(f"msrp://d:1/d;tcp msrp://e:1/e;tcp {THEIRS}"))
    assert session.remote is not None and session.relayed
    assert [uri.host for uri in parse_path(session.remote)] == ["b", "c", "d", "e", "192.0.2.20"]


def test_a_peer_that_sends_but_does_not_read(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    # What it is answered would fill the memory: the connection is given up, whatever else comes is not looked at.
    monkeypatch.setattr("sipstack.msrp.connection.MAX_UNREAD", 10)
    end.session()
    for number in range(10):
        end.receive(send(f"tid{number:05}", body=None, message_id=f"empty{number:03}"))
    assert not end.connection.is_closing
    end.receive(send(body=None))
    assert end.connection.is_closing and isinstance(end.connection.error, ConnectionClosed)
