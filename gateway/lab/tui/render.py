"""What stands on the phone's screen, as text with styles. Nothing of others is ever taken for markup or a control."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rich.text import Text

from gateway.lab.phone import Phone
from gateway.lab.phonecommands import STATUSES
from gateway.lab.phonefiles import PhoneFile
from gateway.lab.tui.book import Contact, Line
from gateway.terminal.text import clock, file_text, harmless, message_text, person_text, progress

OFFERED = "is offered: F5 takes it, F6 declines"


def me_text(phone: Phone) -> Text:
    """Return whose phone it is, and whether it is online."""
    text = Text()
    text.append("● " if phone.agent.registered else "○ ", "green" if phone.agent.registered else "red")
    if phone.options.display_name:
        text.append(f"{harmless(phone.options.display_name)} ", "bold")
    text.append(phone.options.aor.removeprefix("sip:"))
    text.append("" if phone.agent.registered else " offline", "red")
    return text


def contact_text(contact: Contact, phone: Phone) -> Text:
    """Return a contact's line in the list."""
    mark, style, _ = _standing(contact, phone)
    return person_text(contact.name, mark, style, contact.unread)


def head_text(contact: Contact, phone: Phone) -> Text:
    """Return what stands above a conversation."""
    mark, style, words = _standing(contact, phone)
    text = Text()
    text.append(harmless(contact.name), "bold")
    if contact.name not in contact.uri:
        text.append(f"  {contact.uri}", "dim")
    text.append(f"  {mark} {words}", style)
    if contact.is_typing:
        text.append("  typing…", "italic")
    return text


def _standing(contact: Contact, phone: Phone) -> tuple[str, str, str]:
    """Return mark, style and words of how things stand with a person."""
    if contact.uri in phone.invitations:
        return "☎", "bold yellow", "wants to chat: F5 accepts, F6 declines"
    if any(phone.files.all[id].peer == contact.uri for id in phone.files.offers):
        return "☎", "bold yellow", "has a file: F5 takes it, F6 declines"
    if contact.uri in phone.chats:
        return "●", "green", "the chat is open"
    match contact.status:
        case None:
            return "·", "dim", "no chat"
        case 200:
            return "○", "green", "online, no chat"
        case status:
            return "○", "dim", f"{STATUSES.get(status, 'not reachable')}, no chat"


def lines(contact: Contact, phone: Phone, limit: int) -> list[tuple[str, Text]]:
    """Return the newest messages, notes and files by time, each with a key that stays the same."""
    items: list[tuple[str, str, Callable[[], Text]]] = [
        (line.at, f"line {key}", partial(_line, line, contact.name)) for key, line in contact.lines.items()
    ]
    items += [
        (at, f"file {id}", partial(_file, file, at, contact.name, number))
        for number, (id, at) in enumerate(contact.files.items(), 1)
        if (file := phone.files.all.get(id)) is not None
    ]
    items.sort(key=lambda item: item[0])
    return [(key, text()) for _, key, text in items[-limit:]]


def _line(line: Line, name: str) -> Text:
    if line.is_note:
        return Text(f"{clock(line.at)} {harmless(name)}: {harmless(line.text)}", "dim")
    return message_text(line.at, name, line.text, line.state, line.why)


def _file(file: PhoneFile, at: str, name: str, number: int) -> Text:
    is_own, why = file.direction == "out", ""
    match file.state:
        case "offered":
            words = "is offered" if is_own else OFFERED
        case "moving":
            words = "sending" if is_own else "coming in"
        case "done":
            words = "sent" if is_own else f"here: {file.path}"
        case _:
            words, why = "has not arrived", file.state
    how_much = progress(file.octets, file.size, is_moving=file.state == "moving")
    return file_text(at, name, number, file.name, how_much, words, is_own=is_own, why=why)
