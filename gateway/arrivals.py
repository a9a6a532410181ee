"""Messages of inviters that do not come over MSRP, seen by a conversation as if they did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sipstack import ids
from sipstack.im.cpim import CpimMessage
from sipstack.im.imdn import CONTENT_TYPE as NOTIFICATION
from sipstack.im.iscomposing import CONTENT_TYPE as COMPOSING
from sipstack.im.multipart import ALTERNATIVE, MIXED
from sipstack.net.chatmessage import unwrap
from sipstack.net.invitation import IncomingInvitation, IncomingPage
from translators.from_msrp import CHAT_TYPES

SIP_STATUS = {408: 500, 413: 480}
"""What an MSRP code is in SIP: not stored, inbox full (B-PGR-03). The others mean the same in both."""

TYPES = (*sorted(CHAT_TYPES), NOTIFICATION, COMPOSING)
"""What is taken out of a body of several parts."""
ACCEPT = ", ".join(("message/cpim", *TYPES, MIXED, ALTERNATIVE))


class Arrival(Protocol):
    """A message of an inviter, by whatever way; answered once, with MSRP codes."""

    message_id: str
    content_type: str
    body: bytes
    cpim: CpimMessage | None
    """The wrapper it came in."""

    def accept(self) -> None:
        """Confirm it: it is stored."""

    def reject(self, code: int, comment: str = "") -> None:
        """Refuse it: 403, 408 (not stored), 413, 415."""


class Page:
    """A SIP MESSAGE, bare or in CPIM. Making one raises RemoteProtocolError for a malformed wrapper."""

    __slots__ = ("_page", "body", "content_type", "cpim", "message_id")

    def __init__(self, page: IncomingPage) -> None:
        content = unwrap(page.content_type, page.body, TYPES)
        self._page = page
        self.message_id = content.message_id or ids.message_id()
        self.content_type = content.content_type
        self.body = content.body
        self.cpim = content.cpim

    def accept(self) -> None:
        """Answer 200."""
        self._page.accept()

    def reject(self, code: int, comment: str = "") -> None:
        """Answer the SIP status that says the same."""
        self._page.reject(SIP_STATUS.get(code, code), headers=[("Accept", ACCEPT)] if code == 415 else [])


class FirstMessage:
    """The message that an INVITE brought along (B-CHT-14): the 200 that opens the chat says that it is stored.

    ``begin`` answers the INVITE. Making one raises RemoteProtocolError for a malformed wrapper.
    """

    __slots__ = ("_begin", "_invitation", "body", "content_type", "cpim", "message_id")

    def __init__(
        self, invitation: IncomingInvitation, content_type: str, body: bytes, begin: Callable[[], None]
    ) -> None:
        content = unwrap(content_type, body, TYPES)
        self._invitation = invitation
        self._begin = begin
        self.message_id = content.message_id or ids.message_id()
        self.content_type = content.content_type
        self.body = content.body
        self.cpim = content.cpim

    def accept(self) -> None:
        """Open the chat."""
        self._begin()

    def reject(self, code: int, comment: str = "") -> None:
        """Refuse message and chat: with a chat but without the message something would be lost unseen."""
        self._invitation.reject(SIP_STATUS.get(code, code))
