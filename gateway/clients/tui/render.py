"""What stands on the screen, as text with styles. Nothing that a peer wrote is ever taken for markup or a control."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from rich.text import Text

from gateway.clients.book import Conversation, Line
from translators.model import FileView

STATES = {
    "sending": ("…", "dim", "on its way to the gateway"),
    "pending": ("…", "dim", "waiting for the other side"),
    "sent": ("✓", "dim", "sent"),
    "delivered": ("✓✓", "dim", "delivered"),
    "displayed": ("✓✓", "green", "seen"),
    "failed": ("✗", "bold red", "not delivered"),
    "unknown": ("?", "yellow", "perhaps delivered: no answer came"),
}
"""State of an own message → mark, style, words."""

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


def harmless(text: str) -> str:
    """Return text in which no character moves the cursor, hides or reorders what stands around it."""
    kept = (
        " "
        if char == "\t"
        else char
        if char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cs") or char in "\u200c\u200d"
        else "\ufffd"
        for char in text
    )
    return "".join(kept)


def clock(at: str) -> str:
    """Return the local time of day of an RFC 3339 date, empty when it can't be read."""
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%H:%M")
    except ValueError:
        return "     "


def line_text(line: Line, name: str) -> Text:
    """Return a message."""
    text = Text()
    text.append(f"{clock(line.at)} ", "dim")
    text.append(harmless("you" if line.is_own else name), "bold cyan" if line.is_own else "bold magenta")
    text.append(f"  {harmless(line.text)}")
    if line.is_own:
        mark, style, words = STATES.get(line.state, ("?", "dim", line.state))
        text.append(f"  {mark}", style)
        if line.state in ("failed", "unknown"):
            why = harmless(line.why) or words
            text.append(f" {why} — /again to send it once more", style)
    return text


def file_text(view: FileView, number: int, name: str) -> Text:
    """Return a file with its progress."""
    who = "you" if view.direction == "out" else name
    text = Text()
    text.append(f"{clock(view.at)} ", "dim")
    text.append(harmless(who), "bold cyan" if view.direction == "out" else "bold magenta")
    text.append(f"  [{number}] {harmless(view.name)} ", "bold")
    text.append(_progress(view), "dim")
    text.append(" " + FILE_STATES.get(view.state, view.state).format(number=number))
    if view.reason:
        text.append(f": {harmless(view.reason)}", "red")
    return text


def _progress(view: FileView) -> str:
    if view.size is None:
        return amount(view.octets)
    if view.state in ("uploading", "sending", "receiving") and view.size:
        return f"{amount(view.octets)} of {amount(view.size)}, {100 * view.octets // view.size} %"
    return amount(view.size)


def amount(octets: int) -> str:
    """Return a number of octets for people."""
    value = float(octets)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def entry_text(conversation: Conversation) -> Text:
    """Return a conversation's line in the list."""
    mark, style, _ = _status(conversation)
    text = Text()
    text.append(f"{mark} ", style)
    text.append(harmless(conversation.name), "strike" if conversation.ended else "")
    if conversation.unread:
        text.append(f" ({conversation.unread})", "bold yellow")
    return text


def head_text(conversation: Conversation) -> Text:
    """Return what stands above a conversation."""
    mark, style, words = _status(conversation)
    if conversation.ended:
        mark, style, words = "○", "red", f"the invitation has ended ({conversation.ended})"
    text = Text()
    text.append(harmless(conversation.name), "bold")
    text.append(f"  {mark} {words}", style)
    text.append(f"  · until {_day(conversation.inviter.until)}", "dim")
    text.append("  · chat and files" if conversation.takes_files else "  · chat", "dim")
    if conversation.is_typing:
        text.append("  typing…", "italic")
    return text


def _status(conversation: Conversation) -> tuple[str, str, str]:
    known = "unknown" if conversation.status is None else conversation.status.status
    return STATUS.get(known, STATUS["unknown"])


def _day(at: str) -> str:
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return at
