"""What the SIP and MSRP side could not do, as the refusal that the HTTP client is told (``translators.status``)."""

from __future__ import annotations

from gateway.services import ServiceError, UpstreamRefused
from sipstack.errors import RequestFailed, TransactionTimeout
from sipstack.sdp_msrp import MediaRefused
from translators import from_msrp, from_sip, mismatch, status
from translators.model import SipCause
from translators.status import Outcome

NO_ANSWER = SipCause(code=408, reason="Request Timeout")
NO_TRANSPORT = SipCause(code=503, reason="Service Unavailable")
"""What a time-out and a transport error count as (:rfc:`3261#section-8.1.3.1`)."""


def from_exception(error: Exception) -> ServiceError:
    """Return the refusal for what a request into the network raised."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, RequestFailed):
        cause = from_sip.cause_of(error.response)
        detail = f"The network answered {cause.code} {cause.reason}."
        words = mismatch.explain(error.response)
        return _refusal(status.from_sip(cause.code), detail if words is None else f"{detail} {words}", cause)
    if isinstance(error, MediaRefused):
        outcome, cause = status.from_sip(error.status), mismatch.cause_of_refusal(error.warning, str(error))
        return _refusal(outcome, f"The other side's answer is of no use to the gateway: {error}.", cause)
    if isinstance(error, TransactionTimeout | TimeoutError):
        return _refusal(status.TIMEOUT, "No answer came from the network in time.", NO_ANSWER)
    return _refusal(status.UNREACHABLE, "The network cannot be reached.", NO_TRANSPORT)


def from_msrp_status(code: int | None, *, maybe_sent: bool = True) -> ServiceError:
    """Return the refusal for a message that the peer's MSRP side refused; None means that no answer came.

    ``maybe_sent`` tells that some of it was written, so that it may have arrived.
    """
    if code is None and maybe_sent:
        cause = from_msrp.cause_of(408)
        return _refusal(status.TIMEOUT, "The connection ended before the message was acknowledged.", cause)
    if code is None:
        return _refusal(status.UNREACHABLE, "There is no connection to the other side.", NO_TRANSPORT)
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
