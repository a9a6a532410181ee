"""What a client shows: everything once, states never back, whatever comes first."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from gateway.clients.book import ORDER, Book, Line, advance
from gateway.clients.tui.render import status_words
from translators.model import (
    Composing,
    Event,
    FileView,
    InviterView,
    LoginAnswer,
    MessageAnswer,
    MessageView,
    Receipt,
    SessionChange,
    SipCause,
    StatusAnswer,
)

AT = "2026-03-01T09:30:00.000Z"


def inviter(uid: str) -> InviterView:
    return InviterView(uid=uid, sip=f"sip:{uid}@cc.com", types=["im"], until=AT)


@pytest.fixture
def book() -> Book:
    return Book(LoginAnswer(account="sip:b@cc.com", expires_at=AT, inviters=[inviter("a"), inviter("c")]))


def message(id: str, text: str, *, own: bool = False, state: Any = "delivered", uid: str = "a") -> MessageView:
    direction: Any = "out" if own else "in"
    return MessageView(id=id, from_="x", to="y", direction=direction, message=text, state=state, at=AT, uid=uid)


def event(**field: Any) -> Event:
    [kind] = field
    return Event(cursor=1, kind=kind, at=AT, **field)  # type: ignore[arg-type]  # the name of a field is a kind


def told(book: Book, uid: str = "a") -> list[tuple[str, str]]:
    return [(line.text, line.state) for line in book.conversations[uid].lines.values()]


def test_history_events_and_answers_in_any_order_show_each_message_once(book: Book) -> None:
    own = message("m1", "mine", own=True, state="sent")
    steps = {
        "load": lambda book: book.load([own, message("m2", "theirs")]),
        "answer": lambda book: book.answered("a", "k1", MessageAnswer(id="m1", state="pending")),
        "event": lambda book: book.apply(event(message=own)),
        "news": lambda book: book.apply(event(message=message("m2", "theirs"))),
        "receipt": lambda book: book.apply(event(receipt=Receipt(id="m1", state="delivered", uid="a"))),
    }
    for order in permutations(steps):
        if order.index("receipt") < order.index("event") and order.index("receipt") < order.index("load"):
            continue  # nobody is told of a message that they do not know
        book = Book(LoginAnswer(account="b", expires_at=AT, inviters=[inviter("a")]))
        book.sending("a", "k1", "mine", AT)
        for step in order:
            steps[step](book)
        assert sorted(told(book)) == [("mine", "delivered"), ("theirs", "delivered")], order


@pytest.mark.parametrize("former", ORDER)
@pytest.mark.parametrize("state", ORDER)
def test_states_never_go_back(former: str, state: str) -> None:
    line = Line("m", "text", True, former)
    advance(line, state)
    if former == "failed" or ORDER[former] < ORDER[state] and not (state == "failed" and ORDER[former] >= 4):
        assert line.state == state
    else:
        assert line.state == former


def test_unread_messages_are_counted_until_they_are_seen(book: Book) -> None:
    book.apply(event(composing=Composing(uid="c", state="active")))
    assert book.conversations["c"].is_typing
    for id in ("m1", "m2", "m2"):
        book.apply(event(message=message(id, id, uid="c")))
    conversation = book.conversations["c"]
    assert (conversation.unread, conversation.is_typing, book.conversations["a"].unread) == (2, False, 0)
    assert book.seen("c") == ["m1", "m2"]
    assert (book.seen("c"), conversation.unread) == ([], 0)


def test_refusals_and_failures_have_words(book: Book) -> None:
    book.sending("a", "k", "hello", AT)
    book.failed("a", "k", "busy")
    book.failed("a", "unknown", "busy")
    line = book.conversations["a"].lines["k"]
    assert (line.state, line.why, line.key) == ("failed", "busy", "k")
    book.load([message("m3", "other", own=True, state="sent")])
    cause = SipCause(code=413, reason="Stop Sending", protocol="MSRP")
    changed = book.apply(event(receipt=Receipt(id="m3", state="failed", cause=cause)))
    assert changed is book.conversations["a"]
    assert changed.lines["m3"].why == "Stop Sending"


def test_status_files_and_the_end(book: Book) -> None:
    status = StatusAnswer(sip="sip:a@cc.com", uid="a", status="online", services=["im"], at=AT)
    assert book.apply(event(status=status)) is book.conversations["a"]
    cause = SipCause(code=480, reason="Gone\x1b[2J")
    book.apply(event(status=StatusAnswer(sip="s", uid="a", status="offline", services=[], at=AT, cause=cause)))
    words = status_words(book.conversations["a"])
    assert words.startswith("offline: messages may not arrive now (SIP 480 Gone") and "\x1b" not in words
    book.apply(event(status=status))
    assert status_words(book.conversations["a"]) == "online"
    file = FileView(
        id="f1", from_="x", to="y", direction="in", name="n", content_type="a/b", octets=0, state="offered",
        at=AT, until=AT, uid="a",
    )  # fmt: skip
    book.load_files([file])
    book.apply(event(file=file))
    assert (book.conversations["a"].files, book.conversations["a"].unread) == ({"f1": file}, 0)
    book.apply(event(session=SessionChange(state="failed")))
    assert book.is_lost
    book.apply(event(session=SessionChange(state="restored")))
    book.apply(event(session=SessionChange(state="revoked", uid="a")))
    assert (book.is_lost, book.conversations["a"].ended, book.conversations["c"].ended, book.ended) == (
        False,
        "revoked",
        "",
        "",
    )
    book.renew(LoginAnswer(account="b", expires_at=AT, inviters=[inviter("a"), inviter("d")]))
    assert (book.conversations["a"].ended, list(book.conversations)) == ("", ["a", "c", "d"])
    book.apply(event(session=SessionChange(state="expired")))
    assert book.ended == "expired"


def test_what_belongs_to_nobody_is_left_alone(book: Book) -> None:
    book.load([message("m", "x", uid="stranger")])
    stray = [
        event(message=message("m", "x", uid="stranger")),
        event(receipt=Receipt(id="none", state="sent")),
        event(composing=Composing(uid="stranger", state="idle")),
        Event(cursor=3, kind="reset", at=AT),
    ]
    assert [book.apply(item) for item in stray] == [None] * 4
    book.answered("a", "never sent", MessageAnswer(id="m", state="sent"))
    assert told(book) == []


def test_the_last_answer_of_an_upload_does_not_take_back_what_events_have_told(book: Book) -> None:
    def view(state: Any) -> FileView:
        return FileView(
            id="f1", from_="x", to="y", direction="out", name="n", content_type="a/b", octets=0, state=state,
            at=AT, until=AT, uid="a",
        )  # fmt: skip

    states = []
    for told in ("uploading", "sending"):
        book.uploading("a", view(told))
        states.append(book.conversations["a"].files["f1"].state)
    book.apply(event(file=view("delivered")))
    book.uploading("a", view("sending"))
    states.append(book.conversations["a"].files["f1"].state)
    assert states == ["uploading", "sending", "delivered"]
