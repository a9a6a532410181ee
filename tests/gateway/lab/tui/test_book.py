"""What the phone's screen knows of people, from events alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.lab.phonelog import PhoneEvent
from gateway.lab.tui.book import Contact, ContactFile, PhoneBook

B = "sip:b@cc.com"


class Told:
    """A book that is told one event after the other, each a second later."""

    def __init__(self) -> None:
        self.book = PhoneBook()
        self.serial = 0

    def __call__(self, kind: str, text: str = "", id: str = "", peer: str = B) -> Contact | None:
        self.serial += 1
        return self.book.apply(PhoneEvent(self.serial, kind, peer, text, id), f"2026-03-01T09:30:{self.serial:02}Z")


def test_a_conversation() -> None:
    told = Told()
    assert told("registered", peer="") is None
    told("invited")
    told("chat")
    told("composing", "active")
    bob = told("message", "hi", "m1")
    assert bob is not None
    assert (bob.uri, bob.name, bob.unread, bob.is_typing) == (B, "b@cc.com", 2, False)
    told("sending", "hello", "m2")
    told("sent", "sent", "m2")
    told("receipt", "displayed", "m2")
    told("receipt", "delivered", "m2")
    told("closed", "remote")
    assert [(line.text, line.state, line.is_note) for line in bob.lines.values()] == [
        ("wants to chat", "", True),
        ("the chat is open", "", True),
        ("hi", "", False),
        ("hello", "displayed", False),
        ("the chat is over (remote)", "", True),
    ]


def test_a_receipt_before_its_message_and_a_second_attempt() -> None:
    told = Told()
    told("receipt", "delivered", "m1")
    bob = told("sending", "hello", "m1")
    assert bob is not None and bob.lines["m1"].state == "delivered"
    told("sending", "again", "m2")
    told.book.failed(B, "m2", "486 Busy Here")
    told.book.failed(B, "m9", "never seen")
    assert (bob.lines["m2"].state, bob.lines["m2"].why) == ("failed", "486 Busy Here")
    told("sending", "again", "m2")
    assert (bob.lines["m2"].state, bob.lines["m2"].why, len(bob.lines)) == ("sending", "", 2)


def test_files_stand_where_they_came() -> None:
    told = Told()
    told("file-offered", "a.txt", "f1")
    bob = told("file-sending", "b.txt", "f2")
    told("file", "00ff", "f1")
    assert bob is not None
    assert (list(bob.files), bob.unread) == (["f1", "f2"], 1)


def test_contacts_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "contacts"
    empty = ContactFile(path)
    assert empty.people == {}
    empty.keep(PhoneBook().add("sip:B@cc.com;transport=tcp", "Bob Brown"))
    path.write_text(path.read_text() + "# a comment\n\ntel:+4915112345\n")
    again = ContactFile(path)
    assert list(again.people.values()) == ["Bob Brown", ""]
    path.write_text("sip:b@cc.com Bob\nnobody\n")
    with pytest.raises(ValueError, match="^contacts:2: "):
        ContactFile(path)
