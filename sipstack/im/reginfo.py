"""Registration information, :rfc:`3680`: which contacts of an address-of-record are bound, and why others are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from sipstack.errors import ParseError
from sipstack.im.xmltree import DECLARATION, Element, parse, write, write_value
from sipstack.sip.grammar import parse_seconds

REGINFO = "application/reginfo+xml"
NAMESPACE = "urn:ietf:params:xml:ns:reginfo"

MAX_OCTETS = 64 * 1024
"""Octets of a document; a contact with the feature tags of a phone has some 2000."""

MAX_ELEMENTS = 1024
"""Elements of a document: eight devices of an account with three identities, thirty tags each."""

_WHAT = "reginfo"


class ContactEvent(Enum):
    """Why a contact is in its state (:rfc:`3680#section-4.7.1`)."""

    REGISTERED = "registered"
    CREATED = "created"
    REFRESHED = "refreshed"
    SHORTENED = "shortened"
    EXPIRED = "expired"
    DEACTIVATED = "deactivated"
    PROBATION = "probation"
    UNREGISTERED = "unregistered"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class ContactInfo:
    """One contact of an address-of-record."""

    id: str
    uri: str
    active: bool
    event: ContactEvent
    expires: int | None = None
    """Seconds that are left of it."""
    retry_after: int | None = None
    """With ``probation``: seconds after which to register again."""
    parameters: tuple[tuple[str, str], ...] = ()
    """Contact parameters that :rfc:`3261` does not have: feature tags, the instance. No value is the empty string."""

    def param(self, name: str) -> str | None:
        """Return a parameter's value without quotes, None where there is none."""
        wanted = name.lower()
        return next((value.strip('"') for key, value in self.parameters if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class AorInfo:
    """One address-of-record: ``init`` (nothing was ever bound, or not any more), ``active`` or ``terminated``."""

    aor: str
    id: str
    state: str
    contacts: tuple[ContactInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class RegInfo:
    """A whole document."""

    version: int
    full: bool
    """All contacts of all registrations; else what has changed only."""
    registrations: tuple[AorInfo, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> RegInfo:
        """Read a document. Raise :exc:`ParseError` for what is none, MessageTooLarge for one beyond the limits."""
        root = parse(_WHAT, data, max_octets=MAX_OCTETS, max_elements=MAX_ELEMENTS)
        if root.name != "reginfo" or root.namespace != NAMESPACE:
            raise ParseError(_WHAT, f"has a root element {root.name[:40]!r}")
        state = _attribute(root, "state")
        if state not in ("full", "partial"):
            raise ParseError(_WHAT, f"has the state {state[:40]!r}")
        version = _number(root, "version")
        if version is None:
            raise ParseError(_WHAT, "has no version")
        return cls(version, state == "full", tuple(_registration(item) for item in root.all("registration")))

    def __bytes__(self) -> bytes:
        state = "full" if self.full else "partial"
        lines = [f'{DECLARATION}<reginfo xmlns="{NAMESPACE}" version="{self.version}" state="{state}">']
        for item in self.registrations:
            lines.append(
                f'<registration aor="{write_value(item.aor)}" id="{write_value(item.id)}" state="{item.state}">'
            )
            lines += [_write_contact(contact) for contact in item.contacts]
            lines.append("</registration>")
        return "\n".join([*lines, "</reginfo>\n"]).encode()


def _registration(element: Element) -> AorInfo:
    state = _attribute(element, "state")
    if state not in ("init", "active", "terminated"):
        raise ParseError(_WHAT, f"has a registration in the state {state[:40]!r}")
    contacts = tuple(_contact(item) for item in element.all("contact"))
    return AorInfo(_attribute(element, "aor"), _attribute(element, "id"), state, contacts)


def _contact(element: Element) -> ContactInfo:
    try:
        event = ContactEvent(_attribute(element, "event"))
    except ValueError:
        raise ParseError(_WHAT, f"has a contact with the event {element.attributes['event'][:40]!r}") from None
    return ContactInfo(
        id=_attribute(element, "id"),
        uri=element.value("uri") or "",
        active=_attribute(element, "state") == "active",
        event=event,
        expires=_number(element, "expires"),
        retry_after=_number(element, "retry-after"),
        parameters=tuple((item.attributes.get("name", ""), item.text.strip()) for item in element.all("unknown-param")),
    )


def _attribute(element: Element, name: str) -> str:
    value = element.attributes.get(name)
    if value is None:
        raise ParseError(_WHAT, f"has a {element.name} without {name}")
    return value


def _number(element: Element, name: str) -> int | None:
    value = element.attributes.get(name)
    if value is None:
        return None
    number = parse_seconds(value)
    if number is None:
        raise ParseError(_WHAT, f"has a {element.name} whose {name} is no number")
    return number


def _write_contact(contact: ContactInfo) -> str:
    numbers = (("expires", contact.expires), ("retry-after", contact.retry_after))
    extra = "".join(f' {name}="{value}"' for name, value in numbers if value is not None)
    state = "active" if contact.active else "terminated"
    params = "".join(
        f'<unknown-param name="{write_value(name)}">{write(text)}</unknown-param>' for name, text in contact.parameters
    )
    return (
        f'<contact id="{write_value(contact.id)}" state="{state}" event="{contact.event.value}"{extra}>'
        f"<uri>{write(contact.uri)}</uri>{params}</contact>"
    )


@dataclass(slots=True)
class RegistrationTable:
    """What a subscriber knows, put together of all documents (:rfc:`3680#section-5.2`)."""

    version: int | None = None
    is_stale: bool = False
    """A document was missed: ask for the full state."""
    registrations: dict[str, AorInfo] = field(default_factory=dict)
    """Registration id → what is known, without contacts that have ended."""

    def receive(self, document: RegInfo) -> tuple[AorInfo, ...]:
        """Take a document; return what it says, nothing for one that is older than what is known.

        Kamailio's ``pua_reginfo`` gives all documents of a subscription the same version; the RFC tells to discard
        lower ones only, and NOTIFY has an order of its own.
        """
        if self.version is not None and document.version < self.version:
            return ()
        missed = self.version is not None and document.version > self.version + 1
        self.is_stale = not document.full and (missed or self.is_stale)
        self.version = document.version
        if document.full:
            self.registrations.clear()
        for item in document.registrations:
            known = self.registrations.get(item.id)
            contacts = {contact.id: contact for contact in (*(known.contacts if known else ()), *item.contacts)}
            bound = tuple(contact for contact in contacts.values() if contact.active)
            self.registrations[item.id] = AorInfo(item.aor, item.id, item.state, bound)
        return document.registrations

    @property
    def contacts(self) -> Iterable[ContactInfo]:
        """All contacts that are bound."""
        return (contact for item in self.registrations.values() for contact in item.contacts)
