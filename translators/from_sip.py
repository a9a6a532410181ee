"""From SIP answers to what the HTTP side says about a peer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote

from sipstack.errors import ParseError, RequestFailed
from sipstack.sip.address import Address
from sipstack.sip.message import Response

from .model import PeerState, SipCause, SipReason, SipWarning
from .status import retry_after

MAX_TEXT = 200
"""Characters of a peer's own words that are passed on."""

_CHAT_TAGS = ("+g.oma.sip-im", "+sip.message")
"""SIMPLE IM, and MSRP in plain SIP (RFC 4569)."""

_REFERENCES = {
    "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.session": "im",
    "urn:urn-7:3gpp-application.ims.iari.rcse.im": "im",
    "urn:urn-7:3gpp-application.ims.iari.rcs.fullsfgroupchat": "group-chat",
    "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.msg": "standalone",
    "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.largemsg": "standalone",
    "urn:urn-7:3gpp-application.ims.iari.rcse.ft": "file",
    "urn:urn-7:3gpp-service.ims.icsi.oma.cpm.filetransfer": "file",
    "urn:urn-7:3gpp-application.ims.iari.rcs.fthttp": "file-http",
    "urn:urn-7:3gpp-application.ims.iari.rcs.ftthumb": "file-thumbnail",
    "urn:urn-7:3gpp-application.ims.iari.rcs.geopush": "location",
    "urn:urn-7:3gpp-application.ims.iari.gsma-is": "image-share",
    "urn:urn-7:3gpp-service.ims.icsi.mmtel": "call",
    "urn:urn-7:3gpp-application.ims.iari.rcs.chatbot": "chatbot",
    "urn:urn-7:3gpp-application.ims.iari.rcs.chatbot.sa": "chatbot",
}
"""Communication service and application references (B.3) → names of services; several mean the same."""

_ANSWERED: dict[int, PeerState] = {
    404: "not-rcs",
    408: "offline",
    430: "not-reachable",
    480: "offline",
    503: "not-reachable",
    504: "not-reachable",
    604: "not-rcs",
}
"""B-CAP-05. Where that table has no knowledge and the way to the peer is what failed, we say ``not-reachable``."""


class PeerStatus(NamedTuple):
    """What is known about a peer."""

    status: PeerState
    services: tuple[str, ...] = ()
    cause: SipCause | None = None
    """The answer to OPTIONS that says so; None where none came, or where the core has told it otherwise."""

    @property
    def is_knowledge(self) -> bool:
        """Tell whether the network really said something about the peer; else what was known before still holds."""
        return self.status not in ("unknown", "not-reachable")

    def after(self, before: PeerStatus | None) -> PeerStatus:
        """Return this with the services that were known before, unless it says itself what there is (B-CAP-05).

        Who is offline or out of reach has the services all the same; who has no RCS has none.
        """
        if before is None or self.services or self.status in ("online", "not-rcs"):
            return self
        return self._replace(services=before.services)


def status_of(response: Response, *, rcs: bool = True) -> PeerStatus:
    """Read the final answer to an OPTIONS by the table of B-CAP-05.

    ``automata`` beside the chat tag means that the network's store answered for a client that is off. Not ``rcs``: in
    a plain SIP network whoever answers is online, with tags or without.
    """
    cause = cause_of(response)
    if not response.is_success:
        return PeerStatus(_ANSWERED.get(response.status, "unknown"), cause=cause)
    try:
        contacts = response.contacts
    except ParseError:
        return PeerStatus("unknown", cause=cause)
    services = services_of(contacts)
    if not services and rcs:
        return PeerStatus("not-rcs", cause=cause)
    stored = any(contact.param("automata") is not None for contact in contacts)
    return PeerStatus("offline" if stored else "online", services, cause)


def status_of_failure(error: Exception | None) -> PeerStatus:
    """Return the status for an OPTIONS without a final answer; None when none could be sent."""
    if isinstance(error, RequestFailed) and isinstance(error.response, Response):
        return status_of(error.response)
    return PeerStatus("unknown" if error is None else "not-reachable")


def services_of(contacts: Iterable[Address]) -> tuple[str, ...]:
    """Return the names of the RCS services that feature tags announce, sorted (B-CAP-04)."""
    services = set()
    for contact in contacts:
        if any(contact.param(tag) is not None for tag in _CHAT_TAGS):
            services.add("im")
        for name in ("+g.3gpp.icsi-ref", "+g.3gpp.iari-ref"):
            services.update(_referenced(contact.param(name) or ""))
    return tuple(sorted(services))


def _referenced(value: str) -> Iterable[str]:
    """Read the quoted list of a reference tag; compared without regard to case after unescaping."""
    for item in value.strip('"').split(","):
        service = _REFERENCES.get(unquote(item.strip().strip("<>")).lower())
        if service is not None:
            yield service


def cause_of(response: Response) -> SipCause:
    """Return what a SIP peer answered, with its Retry-After, Warning and Reason (E-MAP-02, E-MAP-03)."""
    after = response.retry_after
    warnings = [
        SipWarning(code=item.code, agent=plain(item.agent), text=plain(item.text)) for item in response.warnings
    ]
    reasons = [
        SipReason(protocol=plain(item.protocol), cause=item.cause, text=plain(item.text) if item.text else None)
        for item in response.reasons
    ]
    return SipCause(
        code=response.status,
        reason=plain(response.reason),
        retry_after=retry_after(after.seconds if after is not None else None),
        warning=warnings or None,
        reason_header=reasons or None,
    )


def plain(text: str) -> str:
    """Return a peer's own words, cut, with a space for what does not print."""
    return "".join(character if character.isprintable() else " " for character in text[:MAX_TEXT])
