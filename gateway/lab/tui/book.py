"""What the phone's screen shows: contacts, and what was said with each. No screen, no network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.lab.phonelog import PhoneEvent
from sipstack.errors import ParseError
from sipstack.sip.uri import Uri

ORDER: Final = {"sending": 0, "pending": 1, "unknown": 2, "sent": 3, "delivered": 4, "displayed": 5, "failed": 6}
"""States of an own message as they may follow each other."""

NOTES: Final = {
    "invited": "wants to chat",
    "cancelled": "gave up",
    "chat": "the chat is open",
    "closed": "the chat is over",
}
"""Kind of an event → how the conversation tells it."""


@dataclass(slots=True)
class Line:
    """A message, or a note about the chat."""

    text: str
    at: str
    state: str = ""
    """Of an own message; empty for the other side's."""
    why: str = ""
    """Why it failed, in words."""
    is_note: bool = False


@dataclass(slots=True)
class Contact:
    """A person, and the conversation with them."""

    uri: str
    """Address of record."""
    name: str
    lines: dict[str, Line] = field(default_factory=dict)
    """By id, in order of time."""
    files: dict[str, str] = field(default_factory=dict)
    """Id of a file → since when."""
    unread: int = 0
    is_typing: bool = False
    status: int | None = None
    """Last answer to OPTIONS; None before there is one."""


class PhoneBook:
    """All contacts by address of record, and what events told of them."""

    def __init__(self) -> None:
        self.contacts: dict[str, Contact] = {}
        self._early: dict[str, str] = {}
        """Receipts that came before what they are about."""

    def add(self, uri: str, name: str = "") -> Contact:
        """Return a contact, made if there is none; ``name`` is for one who has none yet. Raise ParseError."""
        aor = Uri.parse(uri).aor
        nameless = aor.removeprefix("sip:")
        contact = self.contacts.setdefault(aor, Contact(aor, nameless))
        if name and contact.name == nameless:
            contact.name = name
        return contact

    # what comes

    def apply(self, event: PhoneEvent, at: str) -> Contact | None:
        """Take an event that happened at a time; return whom it is about, None where that is nobody."""
        if not event.peer:
            return None
        contact = self.add(event.peer)
        match event.kind:
            case "message" | "page":
                contact.lines[event.id or f"event {event.serial}"] = Line(event.text, at)
                contact.unread += 1
                contact.is_typing = False
            case "sending":
                self._sending(contact, event, at)
            case "sent" | "receipt" if event.id in contact.lines:
                advance(contact.lines[event.id], event.text)
            case "receipt":
                self._early[event.id] = event.text
            case "composing":
                contact.is_typing = event.text == "active"
            case "file-offered" | "file-sending":
                contact.files[event.id] = at
                contact.unread += event.kind == "file-offered"
            case kind if kind in NOTES:
                why = f" ({event.text})" if event.text else ""
                contact.lines[f"event {event.serial}"] = Line(NOTES[kind] + why, at, is_note=True)
                contact.is_typing = False
                contact.unread += kind == "invited"
            case _:
                pass  # the file or the chat itself is what is shown
        return contact

    def _sending(self, contact: Contact, event: PhoneEvent, at: str) -> None:
        known = contact.lines.get(event.id)
        if known is not None:  # once more
            known.state, known.why = "sending", ""
            return
        line = contact.lines[event.id] = Line(event.text, at, "sending")
        if event.id in self._early:
            advance(line, self._early.pop(event.id))

    def failed(self, uri: str, message_id: str, why: str) -> None:
        """Note that a message did not get away."""
        line = self.add(uri).lines.get(message_id)
        if line is not None:
            line.state, line.why = "failed", why


def advance(line: Line, state: str) -> None:
    """Bring a message to another state, never back."""
    if ORDER.get(state, 0) > ORDER.get(line.state, 0):
        line.state = state


class ContactFile:
    """The contacts that a person has chosen to keep, a line ``URI NAME`` each. OSError when it can't be written."""

    def __init__(self, path: Path) -> None:
        """Read it, if it is there. Raise ValueError that names a wrong line; OSError when it can't be read."""
        self.path = path
        self.people: dict[str, str] = {}
        """Address of record → name."""
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for number, line in enumerate(lines, 1):
            uri, _, name = line.partition(" ")
            if not uri or uri.startswith("#"):
                continue
            try:
                self.people[Uri.parse(uri).aor] = name.strip()
            except ParseError as error:
                raise ValueError(f"{path.name}:{number}: {error}") from None

    def keep(self, contact: Contact) -> None:
        """Add a contact, or its new name."""
        self.people[contact.uri] = contact.name
        self.path.write_text("".join(f"{uri} {name}\n" for uri, name in self.people.items()), encoding="utf-8")
