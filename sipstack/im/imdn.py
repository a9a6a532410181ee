"""Disposition notifications: what was asked about a message, and what is told of it (:rfc:`5438`)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from sipstack.errors import LocalProtocolError, ParseError
from sipstack.im import xmltree
from sipstack.im.cpim import IMDN, CpimMessage, unescape

CONTENT_TYPE = "message/imdn+xml"
NAMESPACE = "urn:ietf:params:xml:ns:imdn"
DISPOSITION = ("Content-Disposition", "notification")
"""Stands beside the Content-Type of every notification (D-IMD-05)."""

POSITIVE_DELIVERY = "positive-delivery"
NEGATIVE_DELIVERY = "negative-delivery"
PROCESSING = "processing"
DISPLAY = "display"
_REQUESTS = (POSITIVE_DELIVERY, NEGATIVE_DELIVERY, PROCESSING, DISPLAY)

REQUEST_HEADER = "imdn.Disposition-Notification"
RCS_REQUEST = (REQUEST_HEADER, f"{POSITIVE_DELIVERY}, {DISPLAY}")
"""CPIM header that asks for what RCS asks for (D-IMD-13)."""

MAX_ROUTES = 16
"""Hops of an IMDN-Record-Route that are answered through; more make no sense and would blow up the answer."""

Kind = Literal["delivery", "processing", "display"]


class Disposition(Enum):
    """What became of a message; the values are element names of :rfc:`5438#section-11.1.7`."""

    DELIVERED = "delivered"
    FAILED = "failed"
    DISPLAYED = "displayed"
    PROCESSED = "processed"
    STORED = "stored"
    FORBIDDEN = "forbidden"
    ERROR = "error"
    UNKNOWN = "unknown"
    """An element that the RFC does not know (D-IMD-04)."""


_ALLOWED: dict[Kind, tuple[Disposition, ...]] = {
    "delivery": (Disposition.DELIVERED, Disposition.FAILED, Disposition.FORBIDDEN, Disposition.ERROR),
    "processing": (Disposition.PROCESSED, Disposition.STORED, Disposition.FORBIDDEN, Disposition.ERROR),
    "display": (Disposition.DISPLAYED, Disposition.FORBIDDEN, Disposition.ERROR),
}


@dataclass(frozen=True, slots=True)
class Imdn:
    """The content of one notification."""

    message_id: str
    """``imdn.Message-ID`` of the message that it is about."""
    kind: Kind
    disposition: Disposition
    datetime: str | None = None
    """DateTime of that message, RFC 3339; peers forget it (D-IMD-12)."""
    recipient_uri: str | None = None
    original_recipient_uri: str | None = None
    subject: str | None = None

    @classmethod
    def parse(cls, data: bytes) -> Imdn:
        """Return the notification in ``data``. Raise :exc:`ParseError`, with status 413 beyond the limits."""
        root = xmltree.parse("IMDN", data)
        if (root.namespace, root.name) != (NAMESPACE, "imdn"):
            raise ParseError("IMDN", f"has the root element {root.name[:40]!r} of {root.namespace[:80]!r}")
        message_id = root.value("message-id")
        if message_id is None:
            raise ParseError("IMDN message-id", "is missing")
        found = [(kind, element) for kind in _ALLOWED for element in root.all(f"{kind}-notification")]
        if len(found) != 1:
            raise ParseError("IMDN", f"has {len(found)} notifications instead of one")
        kind, notification = found[0]
        return cls(
            message_id,
            kind,
            _disposition(kind, notification),
            datetime=root.value("datetime"),
            recipient_uri=root.value("recipient-uri"),
            original_recipient_uri=root.value("original-recipient-uri"),
            subject=root.value("subject"),
        )

    def __bytes__(self) -> bytes:
        """Return the document. Raise LocalProtocolError for a disposition that its kind does not have."""
        if self.disposition not in _ALLOWED[self.kind]:
            raise LocalProtocolError(f"a {self.kind} notification cannot say {self.disposition.value}")
        members = [
            ("message-id", self.message_id),
            ("datetime", self.datetime),
            ("recipient-uri", self.recipient_uri),
            ("original-recipient-uri", self.original_recipient_uri),
            ("subject", self.subject),
        ]
        lines = [f'{xmltree.DECLARATION}<imdn xmlns="{NAMESPACE}">\n']
        lines += [f"  <{name}>{xmltree.write(value)}</{name}>\n" for name, value in members if value is not None]
        name = f"{self.kind}-notification"
        lines.append(f"  <{name}><status><{self.disposition.value}/></status></{name}>\n</imdn>")
        return "".join(lines).replace("\n", "\r\n").encode()


@dataclass(frozen=True, slots=True)
class ImdnRequest:
    """What the sender of a message wants to know about it, and all that an answer has to repeat."""

    message_id: str
    wanted: frozenset[str]
    """Of ``positive-delivery``, ``negative-delivery``, ``processing``, ``display``."""
    datetime: str | None = None
    original_to: str | None = None
    routes: tuple[str, ...] = ()
    """IMDN-Record-Route, as written, in order."""

    @classmethod
    def of(cls, cpim: CpimMessage | None) -> ImdnRequest | None:
        """Return what a received message asks for; None when it asks for nothing that could be answered.

        A message without an id cannot be named, and nothing is told about a notification (D-IMD-06).
        """
        if cpim is None:
            return None
        value = cpim.get("Disposition-Notification", IMDN)
        message_id = cpim.imdn_message_id
        if value is None or not message_id or _is_notification(cpim):
            return None
        wanted = frozenset(item.strip().lower() for item in value.split(",")).intersection(_REQUESTS)
        if not wanted:
            return None
        routes = tuple(
            unescape(header.value)
            for header in cpim.headers
            if header.name == "IMDN-Record-Route" and header.namespace == IMDN
        )
        return cls(message_id, wanted, cpim.datetime, cpim.get("Original-To", IMDN), routes[:MAX_ROUTES])

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """CPIM headers of the answer: the way back, in the same order (D-IMD-09)."""
        return tuple(("imdn.IMDN-Route", route) for route in self.routes)

    def delivered(self) -> Imdn | None:
        """Return the notification of delivery, None when nobody wants it."""
        return self._answer(POSITIVE_DELIVERY, "delivery", Disposition.DELIVERED)

    def displayed(self) -> Imdn | None:
        """Return the notification that somebody saw it, None when nobody wants it."""
        return self._answer(DISPLAY, "display", Disposition.DISPLAYED)

    def failed(self) -> Imdn | None:
        """Return the notification of a failure after a positive answer (D-IMD-07), None when nobody wants it."""
        return self._answer(NEGATIVE_DELIVERY, "delivery", Disposition.FAILED)

    def _answer(self, wanted: str, kind: Kind, disposition: Disposition) -> Imdn | None:
        if wanted not in self.wanted:
            return None
        original = self.original_to
        if original is not None and original.endswith(">"):
            original = original.rpartition("<")[2][:-1]
        return Imdn(self.message_id, kind, disposition, self.datetime, original_recipient_uri=original)


def is_notification_type(content_type: str) -> bool:
    """Tell whether a media type, with or without parameters, is that of a notification."""
    return content_type.partition(";")[0].strip().lower() == CONTENT_TYPE


def request(wanted: Collection[str]) -> tuple[str, str]:
    """Return the CPIM header that asks for these. Raise LocalProtocolError for what cannot be asked for."""
    if not wanted or not set(wanted) <= set(_REQUESTS):
        raise LocalProtocolError(f"notifications that cannot be asked for: {', '.join(wanted)}")
    return REQUEST_HEADER, ", ".join(name for name in _REQUESTS if name in wanted)


def _is_notification(cpim: CpimMessage) -> bool:
    return is_notification_type(cpim.content_type)


def _disposition(kind: Kind, notification: xmltree.Element) -> Disposition:
    """Return the first status of the RFC in a notification; extensions beside it refine it only (D-IMD-13)."""
    status = next(notification.all("status"), None)
    known = {disposition.value: disposition for disposition in _ALLOWED[kind]}
    for child in status.children if status is not None else ():
        if child.namespace == NAMESPACE and child.name in known:
            return known[child.name]
    return Disposition.UNKNOWN
