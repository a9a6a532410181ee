"""What a client shows: conversations as they stand after all that was fetched, sent and told. No screen, no network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

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
    StatusAnswer,
)

ORDER: Final = {"sending": 0, "pending": 1, "unknown": 2, "sent": 3, "delivered": 4, "displayed": 5, "failed": 6}
"""States of an own message as they may follow each other; ``sending``: the gateway has not answered yet."""


@dataclass(slots=True)
class Line:
    """A message in a conversation."""

    id: str
    """Of the gateway; the idempotency key as long as that is not known."""
    text: str
    is_own: bool
    state: str
    at: str = ""
    why: str = ""
    """Why it failed, in words."""
    key: str = ""
    """Idempotency key, for own messages of this client: to send it once more is no new message."""


@dataclass(slots=True)
class Conversation:
    """One inviter, and what was said."""

    inviter: InviterView
    status: StatusAnswer | None = None
    is_typing: bool = False
    unread: int = 0
    ended: str = ""
    """Why there is nothing more to say; empty while there is."""
    lines: dict[str, Line] = field(default_factory=dict)
    """By id, in order of time."""
    files: dict[str, FileView] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        """UID of the inviter."""
        return self.inviter.uid

    @property
    def name(self) -> str:
        """What to call the inviter."""
        return self.inviter.name or self.inviter.sip.removeprefix("sip:")

    @property
    def takes_files(self) -> bool:
        """Tell whether the invitation is for files too."""
        return "file" in self.inviter.types


class Book:
    """All conversations of one guest. Everything may be told twice: it counts once."""

    def __init__(self, session: LoginAnswer) -> None:
        self.conversations: dict[str, Conversation] = {}
        self.ended = ""
        """Why the guest's session is over; empty while it is not."""
        self.is_lost = False
        """The gateway has lost the core, and with it the inviters."""
        self.renew(session)

    def renew(self, session: LoginAnswer) -> None:
        """Take the answer to another log-in: inviters may have come."""
        for inviter in session.inviters:
            known = self.conversations.get(inviter.uid)
            if known is None:
                self.conversations[inviter.uid] = Conversation(inviter)
            else:
                known.inviter, known.ended = inviter, ""

    def load(self, messages: Iterable[MessageView]) -> None:
        """Take a stretch of history, oldest message first; it goes in front of what is known already."""
        fresh: dict[str, dict[str, Line]] = {}
        for message in messages:
            conversation = self.conversations.get(message.uid or "")
            if conversation is None:
                continue
            known = conversation.lines.get(message.id)
            if known is None:
                fresh.setdefault(conversation.uid, {})[message.id] = _line(message)
            else:
                advance(known, message.state)
        for uid, lines in fresh.items():
            conversation = self.conversations[uid]
            conversation.lines = {**lines, **conversation.lines}

    def load_files(self, files: Iterable[FileView]) -> None:
        """Take the list of files."""
        for view in files:
            self._file(view, is_news=False)

    def uploading(self, uid: str, view: FileView) -> None:
        """Take how far an upload is. When all of it is up events tell, and may be quicker than the last answer."""
        files = self.conversations[uid].files
        if view.state == "uploading" or view.id not in files or files[view.id].state == "uploading":
            files[view.id] = view

    # own messages

    def sending(self, uid: str, key: str, text: str, at: str) -> Line:
        """Show a message that is being sent."""
        line = self.conversations[uid].lines[key] = Line(key, text, True, "sending", at, key=key)
        return line

    def answered(self, uid: str, key: str, answer: MessageAnswer) -> None:
        """Take the gateway's answer, before or behind the events about the same message."""
        lines = self.conversations[uid].lines
        line = lines.pop(key, None)
        if line is None:
            return
        if answer.id in lines:  # its event was quicker
            advance(lines[answer.id], answer.state)
            return
        line.id = answer.id
        advance(line, answer.state)
        lines[answer.id] = line

    def failed(self, uid: str, key: str, why: str) -> None:
        """Note that a message was not taken; its key may be used again."""
        line = self.conversations[uid].lines.get(key)
        if line is not None:
            line.state, line.why = "failed", why

    # what comes

    def apply(self, event: Event) -> Conversation | None:
        """Take an event; return the conversation that it changes, None where it is none or all of them."""
        if event.message is not None:
            return self._message(event.message)
        if event.receipt is not None:
            return self._receipt(event.receipt)
        if event.composing is not None:
            return self._composing(event.composing)
        if event.status is not None:
            return self._status(event.status)
        if event.file is not None:
            return self._file(event.file, is_news=True)
        if event.session is not None:
            return self._session(event.session)
        return None

    def _message(self, message: MessageView) -> Conversation | None:
        conversation = self.conversations.get(message.uid or "")
        if conversation is None:
            return None
        known = conversation.lines.get(message.id)
        if known is not None:
            advance(known, message.state)
            return conversation
        conversation.lines[message.id] = _line(message)
        if message.direction == "in":
            conversation.unread += 1
            conversation.is_typing = False
        return conversation

    def _receipt(self, receipt: Receipt) -> Conversation | None:
        for conversation in self.conversations.values():
            line = conversation.lines.get(receipt.id)
            if line is not None:
                advance(line, receipt.state, "" if receipt.cause is None else receipt.cause.reason)
                return conversation
        return None

    def _composing(self, composing: Composing) -> Conversation | None:
        conversation = self.conversations.get(composing.uid)
        if conversation is not None:
            conversation.is_typing = composing.state == "active"
        return conversation

    def _status(self, status: StatusAnswer) -> Conversation | None:
        conversation = self.conversations.get(status.uid)
        if conversation is not None:
            conversation.status = status
        return conversation

    def _file(self, view: FileView, *, is_news: bool) -> Conversation | None:
        conversation = self.conversations.get(view.uid or "")
        if conversation is not None:
            if is_news and view.direction == "in" and view.id not in conversation.files:
                conversation.unread += 1
            conversation.files[view.id] = view
        return conversation

    def _session(self, change: SessionChange) -> Conversation | None:
        if change.state in ("failed", "restored"):
            self.is_lost = change.state == "failed"
            return None
        if change.uid is None:
            self.ended = change.state
            return None
        conversation = self.conversations.get(change.uid)
        if conversation is not None:
            conversation.ended = change.state
        return conversation

    def seen(self, uid: str) -> list[str]:
        """Note that the guest has all of a conversation before them; return the messages to send receipts for."""
        conversation = self.conversations[uid]
        conversation.unread = 0
        fresh = [line for line in conversation.lines.values() if not line.is_own and line.state != "displayed"]
        for line in fresh:
            line.state = "displayed"
        return [line.id for line in fresh]


def advance(line: Line, state: str, why: str = "") -> None:
    """Bring a message to another state, never back: a failure comes only before the peer had the message shown."""
    if state == "failed" and ORDER.get(line.state, 0) >= ORDER["delivered"]:
        return
    if ORDER.get(state, 0) > ORDER.get(line.state, 0) or line.state == "failed" != state:
        line.state, line.why = state, why


def _line(message: MessageView) -> Line:
    why = "" if message.cause is None else message.cause.reason
    return Line(message.id, message.message, message.direction == "out", message.state, message.at, why)
