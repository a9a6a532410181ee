"""One session in place of another: what was not decided goes on (C-SET-05, C-BR-12, C-BAD-13)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.errors import ConnectionClosed
from sipstack.msrp.chunk import MsrpResponse, Report
from sipstack.msrp.connection import MsrpConnection
from sipstack.msrp.events import SessionFailed
from sipstack.msrp.message import IncomingMessage, MessageState
from sipstack.msrp.outbox import MAX_CHUNK, RESPONSE_TIMEOUT
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.succession import adopt, progress, take_over, undecided

from .helpers import OURS, THEIRS, End, answer, chunks_of, frames_of, report, send, transfer

BODY = bytes(range(256)) * 4096


def lose(end: End) -> list[object]:
    """Break the connection, give ``end`` another one, and return what it was told."""
    end.connection.receive_eof()
    events: list[object] = list(end.events())
    end.connection = MsrpConnection(end.table, end.clock())
    return events


def successor_of(end: End, former: MsrpSession, *, attach: bool = True, remote: str | None = THEIRS) -> MsrpSession:
    """Return a new session in place of ``former``, which it does not take over yet."""
    successor = end.session(session_id="second01", attach=False, remote=remote)
    adopt(successor, former)
    if attach:
        end.connection.attach(successor)
    return successor


@pytest.fixture
def end() -> End:
    return End()


@pytest.fixture
def session(end: End) -> MsrpSession:
    session = end.session()
    session.keeps_messages = True
    return session


def test_lost_messages_wait_for_their_owner(end: End, session: MsrpSession) -> None:
    message = session.send(b"hello", "text/plain", on_done=end.on_done)
    assert undecided(session)
    end.output()
    (failed,) = lose(end)
    assert isinstance(failed, SessionFailed)
    assert message.state is MessageState.PENDING and undecided(session) and not session.closed
    session.send(b"later", "text/plain")
    assert [one.state for one in session.close()] == [MessageState.UNKNOWN, MessageState.FAILED]
    assert not undecided(session)


def test_small_messages_are_sent_again(end: End, session: MsrpSession) -> None:
    # C-BR-12: with the same Message-IDs, in the same order, before what is new
    sent = [
        session.send(b"one", "text/plain"),
        session.send(b"two", "text/plain"),
        session.send(b"three", "text/plain"),
    ]
    first, *_ = chunks_of(end.output())
    end.receive(answer(first.transaction_id))
    lose(end)
    waiting = session.send(b"four", "text/plain")
    successor = successor_of(end, session)
    last = successor.send(b"five", "text/plain")
    take_over(successor, session)
    chunks = chunks_of(end.output())
    assert [chunk.body for chunk in chunks] == [b"two", b"three", b"four", b"five"]
    assert [chunk.message_id for chunk in chunks] == [one.message_id for one in (sent[1], sent[2], waiting, last)]
    assert {chunk.from_path for chunk in chunks} == {successor.local}
    for chunk in chunks:
        end.receive(answer(chunk.transaction_id))
    assert {one.state for one in (*sent, waiting, last)} == {MessageState.SENT}
    assert successor.find_message(sent[0].message_id) is sent[0] and session.find_message(sent[1].message_id) is None
    assert session.close() == []


def test_large_message_goes_on_behind_what_is_confirmed(end: End, session: MsrpSession) -> None:
    # C-SET-05: unacknowledged octets are resent
    message = session.send(BODY, "image/png")
    begin, *_ = chunks_of(end.output())
    end.receive(answer(begin.transaction_id))
    assert message.written == len(BODY) and message.confirmed == MAX_CHUNK
    lose(end)
    successor = successor_of(end, session, remote=None)
    take_over(successor, session)
    assert end.output() == b""
    successor.open((end.local,))
    rest = chunks_of(end.output())
    assert rest[0].start == MAX_CHUNK + 1 and b"".join(chunk.body for chunk in rest) == BODY[MAX_CHUNK:]
    assert {chunk.message_id for chunk in rest} == {message.message_id}


def test_relays_confirm_nothing_but_by_reports(end: End) -> None:
    # C-RLY: their 200 is hop by hop
    path = f"msrp://relay.example:2855/abc;tcp {THEIRS}"
    session = end.session(remote=path)
    session.keeps_messages = True
    message, other = session.send(BODY, "image/png"), session.send(BODY, "image/png")
    for chunk in chunks_of(end.output()):
        end.receive(answer(chunk.transaction_id))
    end.receive(report("000 200 OK", message_id=other.message_id, byte_range=f"1-1000/{len(BODY)}"))
    lose(end)
    successor = successor_of(end, session, remote=path)
    take_over(successor, session)
    assert (message.written, other.written) == (0, 1000)


def test_running_session_is_replaced(end: End, session: MsrpSession) -> None:
    """The chunk under way ends without giving up the message; late answers to the former session are nobody's."""
    peer = End(end.clock, local=THEIRS)
    theirs = peer.session(remote=OURS)
    message = session.send(BODY, "image/png")
    begin = end.connection.data_to_send(0.0)
    peer.receive(begin)
    late = peer.output()
    successor = successor_of(end, session, attach=False, remote="msrp://192.0.2.20:7777/third001;tcp")
    their_successor = peer.session(session_id="third001", remote=successor.local, attach=False)
    adopt(their_successor, theirs)
    take_over(successor, session)
    ending = end.output()
    assert ending.endswith(b"+\r\n") and b"#" not in ending
    peer.receive(ending)
    assert [frame.status for frame in frames_of(late + peer.output()) if isinstance(frame, MsrpResponse)] == [200]
    end.connection.detach(session, 0.0)
    end.connection.attach(successor)
    _, events = transfer(end, peer)
    (received,) = [event for event in events if isinstance(event, IncomingMessage)]
    assert received.body == BODY and received.session is their_successor
    assert message.state is MessageState.SENT


def test_nothing_but_empty_sends_to_take_over(end: End, session: MsrpSession) -> None:
    session.send_empty()
    done = session.send(b"hello", "text/plain")
    for chunk in chunks_of(end.output())[1:]:
        end.receive(answer(chunk.transaction_id))
    assert done.state is MessageState.SENT and not undecided(session)
    lose(end)
    successor = successor_of(end, session)
    take_over(successor, session)
    assert end.output() == b"" and successor.find_message(done.message_id) is done
    # a second time, with something there already
    third = end.session(session_id="third001")
    adopt(third, successor)
    mine = third.send(b"mine", "text/plain")
    take_over(third, successor)
    assert third.find_message(done.message_id) is done and third.find_message(mine.message_id) is mine
    assert [chunk.body for chunk in chunks_of(end.output())] == [b"mine"]


def test_message_under_way_in_the_successor_goes_first(end: End, session: MsrpSession) -> None:
    former = session.send(b"former", "text/plain")
    lose(end)
    successor = successor_of(end, session)
    begun = successor.send(BODY, "image/png")
    octets = end.connection.data_to_send(0.0)
    assert begun.written
    take_over(successor, session)
    chunks = chunks_of(octets + end.output())
    assert [chunk.message_id for chunk in chunks][-1] == former.message_id
    assert b"".join(chunk.body for chunk in chunks[:-1]) == BODY


def test_successor_of_a_peer_that_takes_less(end: End, session: MsrpSession) -> None:
    """C-BR-13: what its new description forbids fails."""
    message = session.send(BODY, "image/png", on_done=end.on_done)
    end.connection.data_to_send(0.0)
    lose(end)
    successor = end.session(session_id="second01", remote_max_size=10)
    adopt(successor, session)
    take_over(successor, session)
    end.events()
    assert message.state is MessageState.FAILED and message.status == 413


def test_message_that_came_twice_is_reported_twice(end: End, session: MsrpSession) -> None:
    """RFC 4975 §5.4: acknowledgements are needed for duplicates too."""
    wish = "Success-Report: yes\n"
    (message,) = [one for one in end.receive(send(extra=wish)) if isinstance(one, IncomingMessage)]
    message.accept()
    end.output()
    lose(end)
    successor = successor_of(end, session)
    assert end.receive(send("tid00002", to=successor.local, extra=wish)) == []
    frames = frames_of(end.output())
    (again,) = [frame for frame in frames if isinstance(frame, Report)]
    assert (again.message_id, again.end, again.from_path) == (message.message_id, 5, successor.local)
    assert [frame.status for frame in frames if isinstance(frame, MsrpResponse)] == [200]
    assert end.receive(send("tid00003", to=successor.local)) == []
    assert not [frame for frame in frames_of(end.output()) if isinstance(frame, Report)]


def test_session_that_never_received(end: End, session: MsrpSession) -> None:
    session.drop_partials(ConnectionClosed("over"))
    assert session.reception is None and not session.has_partials


def test_progress_of_messages(end: End, session: MsrpSession) -> None:
    """What is equal at two losses has not moved in between."""
    assert progress(session) == ()
    session.send(BODY, "image/png")
    begin, *_ = chunks_of(end.output())
    end.receive(send(body=b"hel", byte_range="1-*/5", flag="+"))
    first = progress(session)
    assert first and progress(session) == first
    end.receive(answer(begin.transaction_id))
    second = progress(session)
    end.receive(send("tid00002", body=b"l", byte_range="4-*/5", flag="+"))
    assert len({first, second, progress(session)}) == 3


def test_an_interrupted_chunk_holds_up_no_timer(end: End, session: MsrpSession) -> None:
    """C-RSP-01: the transaction of a chunk that another session goes on with never begins to count."""
    session.send(BODY, "image/png", failure_report="partial")
    end.connection.data_to_send(end.clock())
    take_over(successor_of(end, session), session)
    end.session(session_id="third001").send(b"x", "text/plain", message_id="mute0001", on_done=end.on_done)
    end.output()
    end.advance(RESPONSE_TIMEOUT + 0.1)
    assert end.done == [("mute0001", "unknown", 408)]


def test_nothing_to_take_over(end: End, session: MsrpSession) -> None:
    session.send_empty()
    lose(end)
    successor = successor_of(end, session)
    take_over(successor, session)
    assert successor.messages is None and end.output() == b""


@given(
    text=st.binary(min_size=1, max_size=200_000),
    cuts=st.lists(st.tuples(st.integers(0, 300_000), st.booleans()), max_size=10),
    small=st.lists(st.binary(max_size=50), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_any_interruptions(text: bytes, cuts: list[tuple[int, bool]], small: list[bytes]) -> None:
    """C-SET-05, C-BAD-13: wherever connections break, each message arrives once, whole and in order.

    A cut is after how many octets to the peer, and whether the peer's answers to them came back.
    """
    one, two = End(), End(local=THEIRS)
    sender, taker = one.session(), two.session(remote=OURS)
    sender.keeps_messages = taker.keeps_messages = True
    sent = [sender.send(body, "text/plain") for body in (*small, text, *small)]
    got: list[bytes] = []

    def receive(octets: bytes) -> None:
        for event in two.receive(octets):
            if isinstance(event, IncomingMessage):
                got.append(event.body)
                event.accept()

    for number, (cut, answered) in enumerate((*cuts, (1 << 24, True))):
        left = cut
        while left and (octets := one.connection.data_to_send(0.0)):
            receive(octets[:left])
            left -= min(left, len(octets))
            answers = two.output()
            if answered and left:
                one.receive(answers)
        if number == len(cuts):
            break
        lose(one)
        lose(two)
        ours, theirs = f"ours{number:04}", f"them{number:04}"
        successor = one.session(session_id=ours, remote=f"msrp://192.0.2.20:7777/{theirs};tcp", attach=False)
        their_successor = two.session(session_id=theirs, remote=successor.local, attach=False)
        adopt(successor, sender)
        adopt(their_successor, taker)
        take_over(their_successor, taker)
        take_over(successor, sender)
        assert sender.close() == taker.close() == []
        sender, taker = successor, their_successor
        sender.keeps_messages = taker.keeps_messages = True
        one.connection.attach(sender)
        two.connection.attach(taker)
    assert [message.state for message in sent] == [MessageState.SENT] * len(sent)
    assert got == [*small, text, *small]
