"""What the rooms of the gateway are to each other: the errors they raise and the calls that HTTP makes.

``gateway.http`` knows nothing but these protocols and the models of ``translators.model``; ``gateway.invitations``
and ``gateway.sessions`` fulfil them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from translators.model import (
    ComposingRequest,
    Event,
    InvitationView,
    InviteRequest,
    LoginAnswer,
    LookupAnswer,
    MessageAnswer,
    MessageRequest,
    Messages,
    ReceiptRequest,
    SipCause,
    StatusAnswer,
)

if TYPE_CHECKING:
    from gateway.deliveryservices import LinkService, ReportService
    from gateway.fileservices import ContentService, FileAccess


class ServiceError(Exception):
    """A refusal that the HTTP client is told about as problem details (RFC 9457).

    ``type`` is the stable name behind ``/problems/``; ``title`` is fixed for it; the text of the exception is the
    detail for humans. ``retry_after`` is in seconds.
    """

    status = 500
    type = "internal"
    title = "Internal error"
    retryable = False

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after: int | None = None,
        sip: SipCause | None = None,
        message_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.sip = sip
        self.message_id = message_id

    def about(self, message_id: str) -> Self:
        """Return the same refusal as that of one message: several may fail for one reason."""
        copy = type(self).__new__(type(self))
        copy.args = self.args
        copy.__dict__.update(self.__dict__)
        copy.message_id = message_id
        return copy


class NotAuthenticated(ServiceError):
    """Credentials are missing or wrong; unknown accounts look the same."""

    status, type, title = 401, "not-authenticated", "Credentials are missing or wrong"


class Forbidden(ServiceError):
    """The caller is known and may not do this."""

    status, type, title = 403, "forbidden", "Not allowed"


class NoRelation(Forbidden):
    """The guest was not invited by this subscriber."""

    type, title = "no-relation", "No invitation joins the two"


class NotFound(ServiceError):
    """No such thing, or not the caller's."""

    status, type, title = 404, "not-found", "Not found"


class AlreadySubscriber(ServiceError):
    """The person to invite has an account of the network already; ``sip_uri`` tells which."""

    status, type, title = 409, "already-subscriber", "This person is a subscriber already"

    def __init__(self, detail: str, sip_uri: str) -> None:
        super().__init__(detail)
        self.sip_uri = sip_uri


class PeerOffline(ServiceError):
    """``require_online`` is set and the subscriber is not online."""

    status, type, title, retryable = 409, "peer-offline", "The other side is not online", True


class Conflict(ServiceError):
    """The state of the resource forbids this now."""

    status, type, title, retryable = 409, "conflict", "Not possible in this state", True


class Ended(ServiceError):
    """The invitation was valid once and is over; only the holder of its secret is told."""

    status, type, title = 410, "ended", "The invitation is over"


class TooLarge(ServiceError):
    """The message exceeds a limit of ours or of the peer's."""

    status, type, title = 413, "too-large", "Too large"


class Unprocessable(ServiceError):
    """The request is well formed and makes no sense; the detail names the field."""

    status, type, title = 422, "invalid", "The request is not valid"


class NoChannel(Unprocessable):
    """Nothing can bring a link to this identifier."""

    type, title = "no-channel", "No channel reaches this person"


class TooManyRequests(ServiceError):
    """Throttled; ``retry_after`` says how long."""

    status, type, title, retryable = 429, "too-many-requests", "Too many requests", True


class TooManyLookups(TooManyRequests):
    """The subscriber has looked up as many people as one may."""

    type, title = "too-many-lookups", "Too many look-ups"


class UpstreamRefused(ServiceError):
    """A SIP or MSRP answer decided; ``status``, ``type`` and ``title`` come from ``translators.status``."""

    def __init__(
        self,
        status: int,
        type: str,
        title: str,
        detail: str,
        *,
        retryable: bool,
        retry_after: int | None = None,
        sip: SipCause | None = None,
        message_id: str | None = None,
    ) -> None:
        super().__init__(detail, retry_after=retry_after, sip=sip, message_id=message_id)
        self.status = status
        self.type = type
        self.title = title
        self.retryable = retryable


class Unavailable(ServiceError):
    """Something that we need is not there now: the core, the store, a driver."""

    status, type, title, retryable = 503, "unavailable", "Not available now", True


class NoAccountLeft(Unavailable):
    """Whoever allocates accounts has none left; ``retry_after`` says when one may come free, where that is known."""

    type, title = "no-account-left", "No account is free for this person"


@dataclass(frozen=True, slots=True)
class Inviter:
    """A subscriber who has proven who they are."""

    uid: str
    sip: str
    """Default public identity, a SIP URI."""
    identities: tuple[str, ...] = ()
    """All public identities, ``sip`` among them."""
    name: str | None = None
    state: str = "unknown"
    """``active``, ``suspended``, ``lost``, or ``unknown`` where the driver cannot tell."""
    level: int | None = None
    may_invite: bool | None = None
    """What the UP Center says about that; None where it says nothing, and the policy decides alone."""


class EventFeed(Protocol):
    """The events of one account or one inviter: a cursor into the store, and a call when there is more.

    Cursors are counters that only grow. An event is offered after its commit.
    """

    def latest(self) -> int:
        """Return the cursor of the newest event, 0 when there was never one."""

    async def read(self, after: int, limit: int = 100) -> Sequence[Event] | None:
        """Return events behind ``after``, oldest first; None when ``after`` is older than what is kept (``reset``)."""

    def subscribe(self, listener: Callable[[Event | None], None]) -> Callable[[], None]:
        """Call ``listener`` with each new event, with None when the feed ends; return the call that stops it.

        Raises :class:`TooManyRequests` when the account has as many streams as it may have.
        """


class GuestAccess(Protocol):
    """What a logged-in guest may do: the guest's half of ``gateway.sessions``."""

    @property
    def account(self) -> str:
        """SIP URI of the temporary account."""

    @property
    def feed(self) -> EventFeed:
        """Everything that happens to the guest."""

    @property
    def files(self) -> FileAccess:
        """The guest's files."""

    async def status(self, inviter: str) -> StatusAnswer:
        """Return the status of an inviter; raises :class:`NoRelation` before anything is sent to the core."""

    async def send(self, request: MessageRequest, key: str | None) -> MessageAnswer:
        """Send a message; ``state`` is ``sent``, or ``pending`` when no answer came within ``message_wait``."""

    def composing(self, request: ComposingRequest) -> None:
        """Tell an inviter that the guest types, or has stopped."""

    async def receipt(self, request: ReceiptRequest) -> None:
        """Note that the guest has seen a message; raises :class:`NotFound` when there is none with this id."""

    async def messages(self, peer: str | None, before: int | None, limit: int) -> Messages:
        """Return the conversation so far, newest page first, oldest message of the page first."""

    async def logout(self) -> None:
        """End all relations of the guest; returns when it is done."""


class GuestService(Protocol):
    """Log-in and look-up of guests."""

    @property
    def single_use(self) -> bool:
        """Tell whether a secret is good for one client only: then what :meth:`known` is asked names the client, too."""

    async def login(self, account: str, secret: str, client: str) -> LoginAnswer:
        """Check the secret for a client (any text that tells it from others), register at the core.

        Raises NotAuthenticated, Ended, TooManyRequests, UpstreamRefused.
        """

    def known(self, authorization: str) -> GuestAccess | None:
        """Return the guest whom this Authorization header has proven before: one dictionary look-up."""

    async def authenticate(self, authorization: str, account: str, secret: str, client: str) -> GuestAccess:
        """Check credentials that are not known yet and remember the header; logs in again after a restart."""


class InviterService(Protocol):
    """What a subscriber may do: flow 1."""

    async def authenticate(self, user_id: str, password: str, address: str) -> Inviter:
        """Prove who A is by the users driver; raises NotAuthenticated, TooManyRequests, Unavailable."""

    async def lookup(self, inviter: Inviter, identifier: str) -> LookupAnswer:
        """Ask the UP Center whether an e-mail address, a number or a SIP URI is a subscriber's."""

    async def invite(self, inviter: Inviter, request: InviteRequest) -> InvitationView:
        """Invite; ``state`` of the answer is ``active`` (201), or ``preparing`` while a step is retried (202)."""

    async def list(self, inviter: Inviter) -> list[InvitationView]:
        """Return the invitations of this inviter with their states, oldest first."""

    async def resend(self, inviter: Inviter, account: str) -> InvitationView:
        """Make a new login secret, kill the old one, send the link again."""

    async def revoke(self, inviter: Inviter, account: str) -> None:
        """End the invitation that joins this inviter and the account."""

    async def logout(self, inviter: Inviter) -> int:
        """End all invitations of the inviter; return how many there were."""

    def feed(self, inviter: Inviter) -> EventFeed:
        """Return what happens to the invitations of this inviter."""


class Health(Protocol):
    """Readiness as the operator's probes ask for it."""

    async def ready(self) -> dict[str, str]:
        """Return a component → ``ok`` or what is wrong, for ``core`` and ``store``."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the HTTP face is given."""

    inviters: InviterService
    guests: GuestService
    health: Health
    content: ContentService | None = None
    """The gateway as content server; None where it is none."""
    links: LinkService | None = None
    reports: ReportService | None = None
    """Receipts of deliveries; None where no channel has any."""
