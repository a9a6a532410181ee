"""Words and marks that both terminals use, and what makes foreign text harmless."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from rich.text import Text

STATES = {
    "sending": ("…", "dim", "on its way"),
    "pending": ("…", "dim", "waiting for the other side"),
    "sent": ("✓", "dim", "sent"),
    "delivered": ("✓✓", "dim", "delivered"),
    "displayed": ("✓✓", "green", "seen"),
    "failed": ("✗", "bold red", "not delivered"),
    "unknown": ("?", "yellow", "perhaps delivered: no answer came"),
}
"""State of an own message → mark, style, words."""

OWN, OTHER = "bold cyan", "bold magenta"
"""Styles of the names in front of messages."""


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
    """Return the local time of day of an RFC 3339 date, spaces when it can't be read."""
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%H:%M")
    except ValueError:
        return "     "


def day(at: str) -> str:
    """Return the local day and time of an RFC 3339 date, or what it is when it can't be read."""
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return harmless(at)


def amount(octets: int) -> str:
    """Return a number of octets for people."""
    value = float(octets)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def progress(octets: int, size: int | None, *, is_moving: bool) -> str:
    """Return how much of a file is there: while it moves of how much, else its size."""
    if size is None:
        return amount(octets)
    if is_moving and size:
        return f"{amount(octets)} of {amount(size)}, {100 * octets // size} %"
    return amount(size)


def message_text(at: str, name: str, text: str, state: str = "", why: str = "") -> Text:
    """Return a line of a conversation; ``state`` is that of an own message, and empty for the other side's."""
    line = _beginning(at, name, is_own=bool(state))
    line.append(f"  {harmless(text)}")
    if state:
        mark, style, words = STATES.get(state, ("?", "dim", state))
        line.append(f"  {mark}", style)
        if state in ("failed", "unknown"):
            line.append(f" {harmless(why) or words} — /again to send it once more", style)
    return line


def file_text(
    at: str, name: str, number: int, file: str, how_much: str, words: str, *, is_own: bool, why: str = ""
) -> Text:
    """Return a file as a line of a conversation; ``number`` is what commands call it by."""
    line = _beginning(at, name, is_own=is_own)
    line.append(f"  [{number}] {harmless(file)} ", "bold")
    line.append(how_much, "dim")
    line.append(f" {harmless(words)}")
    if why:
        line.append(f": {harmless(why)}", "red")
    return line


def _beginning(at: str, name: str, *, is_own: bool) -> Text:
    line = Text()
    line.append(f"{clock(at)} ", "dim")
    line.append("you" if is_own else harmless(name), OWN if is_own else OTHER)
    return line


def person_text(name: str, mark: str, style: str, unread: int, *, is_gone: bool = False) -> Text:
    """Return a person as a line of the list."""
    line = Text()
    line.append(f"{mark} ", style)
    line.append(harmless(name), "strike" if is_gone else "")
    if unread:
        line.append(f" ({unread})", "bold yellow")
    return line
