"""What goes through a chat beside the conversation: disposition notifications and typing status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sipstack import ids
from sipstack.errors import LocalProtocolError
from sipstack.im import imdn, iscomposing
from sipstack.im.cpim import CpimTemplate
from sipstack.im.multipart import ALTERNATIVE, MIXED
from sipstack.msrp.message import MessageState, OutgoingMessage
from sipstack.sdp_msrp import MsrpMedia

if TYPE_CHECKING:
    from sipstack.net.chat import ChatSession

CPIM = "message/cpim"

ANONYMOUS_URI = "sip:anonymous@anonymous.invalid"
"""In a chat of two the SIP dialog says who they are; RCS clients name nobody in CPIM (B-FBK-05)."""

ANONYMOUS = CpimTemplate(ANONYMOUS_URI, ANONYMOUS_URI)
ASKING = CpimTemplate(ANONYMOUS_URI, ANONYMOUS_URI, headers=[imdn.RCS_REQUEST])
"""The same for messages that want to be answered by notifications: all of it made once."""

ACCEPT_TYPES = (CPIM, "text/plain", iscomposing.CONTENT_TYPE, MIXED, ALTERNATIVE)
ACCEPT_WRAPPED_TYPES = ("text/plain", imdn.CONTENT_TYPE, iscomposing.CONTENT_TYPE)
"""What a chat announces whose handler understands notifications and typing."""


def takes_notifications(media: MsrpMedia) -> bool:
    """Tell whether the peer can be sent, and so presumably sends, notifications in CPIM."""
    return media.accepts(CPIM) and media.accepts_wrapped(imdn.CONTENT_TYPE)


def takes_composing(media: MsrpMedia, *, wraps: bool) -> bool:
    """Tell whether the peer lists typing status, inside CPIM or bare, as we would send it (D-ISC-05)."""
    return media.accepts_wrapped(iscomposing.CONTENT_TYPE) if wraps else media.accepts(iscomposing.CONTENT_TYPE)


def send_notification(
    chat: ChatSession, notification: imdn.Imdn, headers: Sequence[tuple[str, str]] = ()
) -> OutgoingMessage | None:
    """Send a notification; ``headers`` are those that its request wants. Return None where the chat cannot take it."""
    if not (chat.is_open and chat.takes_notifications):
        return None
    wrapped = wrap_notification(ANONYMOUS, notification, chat.agent.endpoint.date(), headers)
    try:
        return chat.msrp.send(wrapped, CPIM, is_control=True)
    except LocalProtocolError:  # the connection has just gone
        return None


def wrap_notification(
    template: CpimTemplate, notification: imdn.Imdn, date: str, headers: Sequence[tuple[str, str]] = ()
) -> bytes:
    """Return a notification as it travels, in MSRP and in SIP alike: with an id of its own, asking for nothing."""
    return template.render(
        imdn.CONTENT_TYPE,
        bytes(notification),
        datetime=date,
        message_id=ids.message_id(),
        headers=headers,
        content_headers=(imdn.DISPOSITION,),
    )


def send_composing(chat: ChatSession, status: iscomposing.IsComposing) -> OutgoingMessage | None:
    """Send a typing status; a peer that refuses the type gets no further one. None where the chat cannot take it."""
    if not (chat.is_open and chat.takes_composing):
        return None

    def done(message: OutgoingMessage) -> None:
        if message.state is MessageState.FAILED and message.status == 415:
            chat.takes_composing = False

    content_type, body = iscomposing.CONTENT_TYPE, bytes(status)
    if chat.wraps:
        body = ANONYMOUS.render(content_type, body, datetime=chat.agent.endpoint.date())
        content_type = CPIM
    try:
        return chat.msrp.send(body, content_type, is_control=True, on_done=done)
    except LocalProtocolError:
        return None
