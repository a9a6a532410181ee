"""What the SIP and MSRP side could not do, as the refusal that the HTTP client is told (``translators.status``)."""

from __future__ import annotations

from gateway.services import ServiceError, UpstreamRefused
from sipstack.errors import RequestFailed, TransactionTimeout
from translators import from_msrp, from_sip, status
from translators.model import SipCause
from translators.status import Outcome


def from_exception(error: Exception) -> ServiceError:
    """Return the refusal for what a request into the network raised."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, RequestFailed):
        cause = from_sip.cause_of(error.response)
        return _refusal(status.from_sip(cause.code), f"The network answered {cause.code} {cause.reason}.", cause)
    if isinstance(error, TransactionTimeout | TimeoutError):
        return _refusal(status.TIMEOUT, "No answer came from the network in time.", None)
    return _refusal(status.UNREACHABLE, "The network cannot be reached.", None)


def from_msrp_status(code: int | None) -> ServiceError:
    """Return the refusal for a message that the peer's MSRP side refused; None means that no answer came."""
    if code is None:
        return _refusal(status.TIMEOUT, "The connection ended before the message was acknowledged.", None)
    cause = from_msrp.cause_of(code)
    return _refusal(status.from_msrp(code), f"The other side answered {code} {cause.reason}.", cause)


def _refusal(outcome: Outcome, detail: str, cause: SipCause | None) -> UpstreamRefused:
    return UpstreamRefused(
        outcome.status,
        outcome.type,
        outcome.title,
        detail,
        retryable=outcome.retryable,
        retry_after=cause.retry_after if cause is not None else None,
        sip=cause,
    )
