"""What stands on the screen, as text with styles. Nothing that a peer wrote is ever taken for markup or a control."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rich.text import Text

from gateway.clients.book import Conversation, Line
from gateway.terminal.text import day, file_text, harmless, message_text, person_text, progress
from translators.model import FileView

STATUS = {
    "online": ("●", "green", "online"),
    "offline": ("○", "dim", "offline: messages may not arrive now"),
    "not-reachable": ("○", "red", "not reachable now"),
    "not-rcs": ("○", "red", "has no chat on this device"),
    "unknown": ("○", "dim", "status unknown"),
}
"""Status of an inviter → mark, style, words."""

FILE_STATES = {
    "uploading": "sending to the gateway",
    "offered": "offered: /accept {number} or /cancel {number}",
    "sending": "sending",
    "receiving": "coming in",
    "ready": "here: /save {number}",
    "sent": "sent",
    "delivered": "delivered",
    "displayed": "opened",
    "failed": "failed",
    "declined": "declined",
    "cancelled": "cancelled",
    "expired": "expired",
}

MOVING = ("uploading", "sending", "receiving")
"""States of a file whose octets are on their way."""


def line_text(line: Line, name: str) -> Text:
    """Return a message."""
    return message_text(line.at, name, line.text, line.state if line.is_own else "", line.why)


def file_line(view: FileView, number: int, name: str) -> Text:
    """Return a file with its progress."""
    how_much = progress(view.octets, view.size, is_moving=view.state in MOVING)
    words = FILE_STATES.get(view.state, view.state).format(number=number)
    is_own, why = view.direction == "out", view.reason or ""
    return file_text(view.at, name, number, view.name, how_much, words, is_own=is_own, why=why)


def lines(conversation: Conversation, limit: int) -> list[tuple[str, Text]]:
    """Return the newest messages and files by time, each with a key that stays the same."""
    name = conversation.name
    items: list[tuple[str, str, Callable[[], Text]]] = [
        (line.at, f"message {key}", partial(line_text, line, name)) for key, line in conversation.lines.items()
    ]
    items += [
        (view.at, f"file {view.id}", partial(file_line, view, number, name))
        for number, view in enumerate(conversation.files.values(), 1)
    ]
    items.sort(key=lambda item: item[0])
    return [(key, text()) for _, key, text in items[-limit:]]


def entry_text(conversation: Conversation) -> Text:
    """Return a conversation's line in the list."""
    mark, style, _ = _status(conversation)
    return person_text(conversation.name, mark, style, conversation.unread, is_gone=bool(conversation.ended))


def me_text(account: str) -> Text:
    """Return what stands above the list: as whom the guest is logged in."""
    return Text(harmless(account.removeprefix("sip:")), "dim")


def head_text(conversation: Conversation) -> Text:
    """Return what stands above a conversation."""
    mark, style, words = _status(conversation)
    if conversation.ended:
        mark, style, words = "○", "red", f"the invitation has ended ({conversation.ended})"
    text = Text()
    text.append(harmless(conversation.name), "bold")
    text.append(f"  {mark} {words}", style)
    text.append(f"  · until {day(conversation.inviter.until)}", "dim")
    text.append("  · chat and files" if conversation.takes_files else "  · chat", "dim")
    if conversation.is_typing:
        text.append("  typing…", "italic")
    return text


def status_words(conversation: Conversation) -> str:
    """Return what is known of whether the other side is there."""
    return _status(conversation)[2]


def _status(conversation: Conversation) -> tuple[str, str, str]:
    """Return mark, style, and words with the SIP code that is behind them, where it was no success."""
    known = conversation.status
    mark, style, words = STATUS.get("unknown" if known is None else known.status, STATUS["unknown"])
    if known is not None and known.cause is not None and known.cause.code >= 300:
        words += f" (SIP {known.cause.code} {harmless(known.cause.reason)})"
    return mark, style, words
