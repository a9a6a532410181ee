"""What a :class:`~sipstack.sip.transaction.TransactionLayer` tells its user (the TU of :rfc:`3261#section-17`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipstack.sip.client_transaction import ClientTransaction
    from sipstack.sip.message import Request, Response
    from sipstack.sip.server_transaction import ServerTransaction


@dataclass(slots=True)
class RequestReceived:
    """A request other than ACK and CANCEL began a server transaction; the user owes it a final response."""

    transaction: ServerTransaction
    request: Request


@dataclass(slots=True)
class AckReceived:
    """An ACK for a 2xx (:rfc:`6026#section-7.1`)."""

    request: Request
    transaction: ServerTransaction | None
    """The INVITE that it acknowledges; None if that is not known (any more)."""
    repeated: bool = False
    """True when the transaction had an ACK already: endpoints ignore this one, proxies forward it."""


@dataclass(slots=True)
class CancelReceived:
    """A CANCEL. The user answers it, 200 or 481, and if ``invite`` has no final response yet that one with 487."""

    transaction: ServerTransaction
    request: Request
    invite: ServerTransaction | None
    """The INVITE to be cancelled (:rfc:`3261#section-9.2`); None if there is none."""


@dataclass(slots=True)
class ResponseReceived:
    """A provisional or final response; after the first 2xx to an INVITE also each further 2xx."""

    transaction: ClientTransaction
    response: Response


@dataclass(slots=True)
class RequestTimedOut:
    """No final response came in 64*T1; to be treated like a 408 (:rfc:`3261#section-8.1.3.1`)."""

    transaction: ClientTransaction


@dataclass(slots=True)
class TransportFailed:
    """The transport of a transaction broke. A client transaction is over; a server transaction stays."""

    transaction: ClientTransaction | ServerTransaction


@dataclass(slots=True)
class AckMissing:
    """A final response to an INVITE was not acknowledged in 64*T1 (:rfc:`3261#section-17.2.1`)."""

    transaction: ServerTransaction
    success: bool = True
    """It was a 2xx: the user sends a BYE (:rfc:`3261#section-13.3.1.4`); after a failure there is nothing to do."""


@dataclass(slots=True)
class TransactionTerminated:
    """The layer has forgotten the transaction; always the last event of it."""

    transaction: ClientTransaction | ServerTransaction


TransactionEvent = (
    RequestReceived
    | AckReceived
    | CancelReceived
    | ResponseReceived
    | RequestTimedOut
    | TransportFailed
    | AckMissing
    | TransactionTerminated
)
