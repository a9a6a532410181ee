"""What crosses the HTTP face: one struct a body, the same for JSON, for XML and for the OpenAPI page.

Fields without a default are always written; a field that may be absent has the default None and is then left out.
Times are RFC 3339 strings in UTC, made by :func:`format_time`; durations are seconds, sizes octets.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from .body import Body as Body
from .body import SipCause as SipCause
from .body import SipReason as SipReason
from .body import SipWarning as SipWarning
from .body import format_time as format_time

MAX_IDENTIFIER = 320
"""Characters of an e-mail address, a number or a URI: 64 + "@" + 255 (RFC 5321 §4.5.3.1)."""

MAX_SECRET = 256
"""Characters of a login secret or password."""

MAX_NOTE = 500
"""Characters of the inviter's own words in an invitation: what still fits a few SMS."""

MAX_VALIDITY = 10 * 365 * 86400
"""Seconds; the gateway's policy is stricter, this only keeps dates within reason."""

MAX_TYPES = 8
"""Interaction types of one invitation; there are two so far."""

MAX_MESSAGE_ID = 128
"""Characters of an idempotency key or message id."""

PLAIN_TEXT = "text/plain"
"""Default media type of a message. Only this very object is left out of what is sent."""

InteractionType = Literal["im", "file"]
ComposingState = Literal["active", "idle"]
InvitationState = Literal["preparing", "active", "ending", "ended", "failed"]
DeliveryState = Literal["queued", "sent", "delivered", "failed"]
PeerState = Literal["online", "offline", "not-reachable", "not-rcs", "unknown"]
MessageState = Literal["pending", "sent", "delivered", "displayed", "failed", "unknown"]
FileState = Literal[
    "uploading",
    "offered",
    "sending",
    "receiving",
    "ready",
    "sent",
    "delivered",
    "displayed",
    "failed",
    "declined",
    "cancelled",
    "expired",
]
Direction = Literal["in", "out"]
Known = Literal["yes", "no", "unknown"]
EventKind = Literal["message", "composing", "receipt", "status", "file", "session", "invitation", "reset"]
SessionState = Literal["ended", "expired", "revoked", "closed", "idle", "failed", "restored", "ringing", "refused"]

Identity = Annotated[str, Meta(min_length=1, max_length=MAX_IDENTIFIER)]
Text = Annotated[str, Meta(max_length=MAX_NOTE)]
MessageId = Annotated[str, Meta(min_length=1, max_length=MAX_MESSAGE_ID)]
Secret = Annotated[str, Meta(min_length=1, max_length=MAX_SECRET)]
Language = Annotated[str, Meta(min_length=2, max_length=35)]
Channel = Annotated[str, Meta(min_length=1, max_length=32)]
Seconds = Annotated[float, Meta(gt=0, le=MAX_VALIDITY)]


class InviteRequest(Body, kw_only=True):
    """A invites a person: by exactly one of ``email`` and ``phone``."""

    element: ClassVar[str] = "invite"

    email: Identity | None = None
    phone: Identity | None = None
    types: Annotated[list[InteractionType], Meta(min_length=1, max_length=MAX_TYPES)] | None = None
    """What A and B may do together; the gateway's policy says what stands for none."""
    valid_for: Seconds | None = None
    note: Text | None = None
    """A's own words, one line, carried in the mail."""
    language: Language | None = None
    """Language tag (BCP 47) of what is sent."""
    via: Channel | None = None
    """The only channel to use, instead of all that reach such an identifier."""


class TriedView(Body, kw_only=True):
    """A channel that could not bring the link to B."""

    element: ClassVar[str] = "channel"

    channel: str
    attempts: int
    error: str


class DeliveryView(Body, kw_only=True):
    """How far the link has come on its way to B."""

    element: ClassVar[str] = "delivery"

    channel: str
    """The channel in use: the last one that was tried, or that will be."""
    state: DeliveryState
    attempts: int = 0
    """By this channel."""
    error: str | None = None
    """Why it failed; with ``queued``, what the last attempt failed with."""
    tried: list[TriedView] | None = None
    """Channels that were tried before, and failed."""


class InvitationView(Body, kw_only=True):
    """An invitation as its inviter sees it; never holds a secret."""

    element: ClassVar[str] = "invitation"

    account: str
    """SIP URI of the temporary account."""
    identifier: str
    """E-mail address or number of the invited person."""
    state: InvitationState
    types: list[str]
    created_at: str
    valid_until: str
    delivery: DeliveryView | None = None
    reason: str | None = None
    """Why it has ended or cannot be prepared."""
    note: str | None = None


class Invitations(Body, kw_only=True):
    """The invitations of one inviter, oldest first."""

    element: ClassVar[str] = "list"

    invitations: list[InvitationView]


class LookupAnswer(Body, kw_only=True):
    """Whether a person is a subscriber of the network; ``sip`` is there when the answer is yes."""

    element: ClassVar[str] = "user"

    identifier: str
    known: Known
    sip: str | None = None


class LogoutAnswer(Body, kw_only=True):
    """How many invitations have ended with the inviter's logout."""

    element: ClassVar[str] = "logout"

    ended: int


class LoginRequest(Body, kw_only=True):
    """Login secret in the body, for clients that do not send Basic."""

    element: ClassVar[str] = "login"

    passwd: Secret | None = None


class InviterView(Body, kw_only=True):
    """An inviter to whom the guest may talk."""

    element: ClassVar[str] = "inviter"

    uid: str
    sip: str
    types: list[str]
    until: str
    """When the invitation ends."""
    name: str | None = None


class LoginAnswer(Body, kw_only=True):
    """A guest is logged in."""

    element: ClassVar[str] = "session"

    account: str
    expires_at: str
    """When the last of the invitations ends."""
    inviters: list[InviterView]


class StatusAnswer(Body, kw_only=True):
    """Status of an inviter as the network tells it."""

    element: ClassVar[str] = "status"

    sip: str
    uid: str
    status: PeerState
    services: list[str]
    at: str
    """When the network said so."""
    cause: SipCause | None = None
    """The answer that led to this status, where there was one."""


class MessageRequest(Body, kw_only=True):
    """A message to an inviter; ``to`` is a UID or any identity of the inviter."""

    element: ClassVar[str] = "message"

    to: Identity
    message: str
    id: MessageId | None = None
    """Makes a retry harmless; the header Idempotency-Key does the same."""


class MessageAnswer(Body, kw_only=True):
    """A message was taken; ``state`` is ``sent`` (200) or ``pending`` (202)."""

    element: ClassVar[str] = "message"

    id: str
    state: MessageState


class MessageView(Body, kw_only=True, rename={"from_": "from"}):
    """One line of the conversation. ``direction`` is ``in`` from the inviter to the guest."""

    element: ClassVar[str] = "message"

    id: str
    from_: str
    to: str
    direction: Direction
    message: str
    state: MessageState
    at: str
    uid: str | None = None
    """UID of the inviter at the other end."""
    content_type: str = PLAIN_TEXT
    """Left out for ``text/plain``."""
    cause: SipCause | None = None
    """Why it failed."""


class Messages(Body, kw_only=True):
    """A page of the conversation, oldest message first; ``before`` asks for the page in front of it."""

    element: ClassVar[str] = "conversation"

    messages: list[MessageView]
    before: int | None = None


class ComposingRequest(Body, kw_only=True):
    """The guest types a message to an inviter, or has stopped; ``to`` is a UID or any identity."""

    element: ClassVar[str] = "composing"

    to: Identity
    state: ComposingState


class ReceiptRequest(Body, kw_only=True):
    """The guest has seen a message of an inviter."""

    element: ClassVar[str] = "receipt"

    id: MessageId


class Composing(Body, kw_only=True):
    """An inviter types, or has stopped."""

    element: ClassVar[str] = "composing"

    uid: str
    state: ComposingState
    until: str | None = None
    """With ``active``: when to take it for over if nothing else is heard."""


class Receipt(Body, kw_only=True):
    """The state of a message has changed: of the guest's own, or ``displayed`` of one that the guest has seen."""

    element: ClassVar[str] = "receipt"

    id: str
    state: MessageState
    uid: str | None = None
    cause: SipCause | None = None
    detail: str | None = None
    """Why a message failed, in words."""


class FileView(Body, kw_only=True, rename={"from_": "from"}):
    """A file between the guest and an inviter, and how far it has come."""

    element: ClassVar[str] = "file"

    id: str
    from_: str
    to: str
    direction: Direction
    name: str
    content_type: str
    octets: int
    """Octets so far: in the spool while it comes in, at the other end while it goes out."""
    state: FileState
    at: str
    until: str
    """When it is deleted."""
    size: int | None = None
    """Absent while it is not known."""
    uid: str | None = None
    hash: str | None = None
    """SHA-256 in hex, once all octets are there."""
    thumbnail: str | None = None
    """Media type of the thumbnail, absent where there is none."""
    reason: str | None = None
    """Why it failed, in words."""
    cause: SipCause | None = None


class Files(Body, kw_only=True):
    """The files between a guest and the inviters, oldest first."""

    element: ClassVar[str] = "files"

    files: list[FileView]


class SessionChange(Body, kw_only=True):
    """The end of a relation or of the whole login.

    With ``uid``, only what joins the guest to that inviter is over; without, the guest's session is.
    """

    element: ClassVar[str] = "session"

    state: SessionState
    uid: str | None = None
    reason: str | None = None


class Event(Body, kw_only=True):
    """Something that happened; the field named like ``kind`` holds it.

    ``reset`` has no field: what lay behind the client's cursor is gone, and the client should fetch the conversation.
    """

    element: ClassVar[str] = "event"

    cursor: int
    kind: EventKind
    at: str
    message: MessageView | None = None
    composing: Composing | None = None
    receipt: Receipt | None = None
    status: StatusAnswer | None = None
    file: FileView | None = None
    session: SessionChange | None = None
    invitation: InvitationView | None = None


class EventPage(Body, kw_only=True):
    """Answer to a long poll: ``cursor`` is what to send as ``after`` next time."""

    element: ClassVar[str] = "page"

    events: list[Event]
    cursor: int
    reset: bool | None = None
    """True when events between the client's cursor and these are gone."""


class Health(Body, kw_only=True):
    """Answer to the operator's probes; ``checks`` tells each component's state."""

    element: ClassVar[str] = "health"

    status: Literal["ok", "unavailable"]
    checks: dict[str, str] | None = None


class Problem(Body, kw_only=True):
    """Problem details (RFC 9457) with this gateway's extension members."""

    element: ClassVar[str] = "problem"

    type: str
    title: str
    status: int
    instance: str
    retryable: bool
    trace: str
    """Correlation id, 32 hex digits."""
    detail: str | None = None
    field: str | None = None
    """The field of the request that is refused."""
    sip: SipCause | None = None
    message_id: str | None = None
    sip_uri: str | None = None
    """With ``already-subscriber``: whom to call instead of inviting."""
