"""Who a user agent is, and whom it tells what comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sipstack import ids
from sipstack.net.fileoffer import IncomingFile
from sipstack.net.invitation import IncomingInvitation, IncomingPage
from sipstack.sip.digest import Credentials
from sipstack.sip.registration import RegistrationEvent
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.useragent import UserAgent


@dataclass(slots=True)
class Identity:
    """Who a user agent is. Token and instance id should stay the same over restarts: they name the binding."""

    aor: Uri
    credentials: Credentials | None = None
    display_name: str | None = None
    contact_token: str = ""
    """User part of the Contact; made up when empty."""
    instance_id: str = ""
    """A URN for ``+sip.instance`` (RFC 5626 §4.1); made up when empty."""

    def __post_init__(self) -> None:
        self.contact_token = self.contact_token or ids.contact_token()
        self.instance_id = self.instance_id or ids.instance_id()


class AgentHandler(Protocol):
    """What a user agent tells its owner; synchronous, called from the loop. Inherit from it to get the defaults."""

    def registration_changed(self, agent: UserAgent, event: RegistrationEvent) -> None:
        """The registrar answered, or did not: Registered (each refresh too), RegistrationFailed, Unregistered."""
        return

    def chat_invited(self, agent: UserAgent, invitation: IncomingInvitation) -> None:
        """Somebody wants to chat: answer or reject ``invitation``, now or later."""
        invitation.reject(480)

    def file_offered(self, agent: UserAgent, offer: IncomingFile) -> None:
        """Somebody has a file for us, or wants one: answer, serve or refuse ``offer``, now or later."""
        offer.refuse(488, "no files are taken here")

    def message_received(self, agent: UserAgent, message: IncomingPage) -> None:
        """A SIP MESSAGE: accept or reject it, now or later."""
        message.reject(480)


class SilentAgent(AgentHandler):
    """Refuses everything: for user agents that only call out."""
