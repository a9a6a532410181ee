"""Who may invite, for what, how long, how often; each refusal has a problem type of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gateway.config.settings import PolicySection
from gateway.services import Conflict, Forbidden, Inviter, ServiceError, TooManyRequests
from gateway.storage.errors import OverQuota
from gateway.storage.invitationstore import Quota
from translators.from_http import FieldError


class NotPermitted(Forbidden):
    """The UP Center says that this subscriber may not invite."""

    type, title = "not-permitted", "This subscriber may not invite"


class Suspended(Forbidden):
    """The subscriber is suspended."""

    type, title = "subscriber-suspended", "This subscriber is suspended"


class Lost(Forbidden):
    """The subscriber has reported the account or the device as lost."""

    type, title = "subscriber-lost", "This subscriber is reported as lost"


class StateUnknown(Forbidden):
    """The policy wants to know the state, and the UP Center doesn't tell it."""

    type, title = "state-unknown", "It is not known whether this subscriber is active"


class LevelTooLow(Forbidden):
    """The subscriber's level is below ``policy.min_level``."""

    type, title = "level-too-low", "The level of this subscriber is too low"


class TooManyInvitations(Conflict):
    """The inviter has ``policy.max_invitations`` at a time."""

    type, title = "too-many-invitations", "This subscriber has as many invitations as one may have"


class DailyQuota(TooManyRequests):
    """The inviter has made ``policy.max_per_day`` invitations within a day."""

    type, title = "daily-quota", "This subscriber has invited as often as one may in a day"


class InvitingTooFast(TooManyRequests):
    """The inviter has made ``policy.max_per_minute`` invitations within a minute."""

    type, title = "inviting-too-fast", "Invitations come too fast"


class ResentTooSoon(TooManyRequests):
    """The link went out less than ``policy.resend_pause`` ago."""

    type, title = "resent-too-soon", "The link has been sent just now"


NOT_ACTIVE: dict[str, type[Forbidden]] = {"suspended": Suspended, "lost": Lost}
"""States in which nobody invites, whatever the policy says."""


def check_state(inviter: Inviter) -> None:
    """Raise :class:`Suspended` or :class:`Lost`: such subscribers learn nothing about others and invite nobody."""
    refusal = NOT_ACTIVE.get(inviter.state)
    if refusal is not None:
        raise refusal(f"{refusal.title}.")


def check_inviter(inviter: Inviter, policy: PolicySection) -> None:
    """Raise the refusal, a kind of :class:`Forbidden`, when this subscriber may not invite."""
    check_state(inviter)
    if inviter.may_invite is False:
        raise NotPermitted("The UP Center does not allow this subscriber to invite.")
    if policy.invite == "any":
        return
    if inviter.state != "active":
        raise StateUnknown("Only subscribers who are known to be active may invite.")
    if policy.invite == "level" and (inviter.level is None or inviter.level < policy.min_level):
        raise LevelTooLow(f"Only subscribers of level {policy.min_level} and above may invite.")


def quota(policy: PolicySection) -> Quota:
    """Return what the store counts."""
    return Quota(policy.max_invitations, policy.max_per_day, policy.max_per_minute)


def over_quota(error: OverQuota, policy: PolicySection, now: float) -> ServiceError:
    """Return what an inviter is told who is over a quota, and when there is room again."""
    seconds = max(math.ceil(error.heals_at - now), 1)
    match error.kind:
        case "open":
            detail = f"At most {policy.max_invitations} invitations at a time; one ends by itself or is revoked first."
            return TooManyInvitations(detail, retry_after=seconds)
        case "day":
            return DailyQuota(f"At most {policy.max_per_day} invitations within a day.", retry_after=seconds)
        case "minute":
            detail = f"At most {policy.max_per_minute} invitations within a minute."
            return InvitingTooFast(detail, retry_after=seconds)


def check_resend(sent_at: float, policy: PolicySection, now: float) -> None:
    """Raise :class:`ResentTooSoon` when the link was last on its way less than ``resend_pause`` ago."""
    wait = sent_at + policy.resend_pause - now
    if wait > 0:
        text = f"The same link may go out again after {policy.resend_pause:.0f} seconds."
        raise ResentTooSoon(text, retry_after=math.ceil(wait))


def validity(asked: float | None, policy: PolicySection) -> float:
    """Return for how many seconds an invitation is valid. Raises :class:`FieldError` for more than is allowed."""
    if asked is None:
        return policy.valid_for
    if not 0 < asked <= policy.max_valid_for:
        raise FieldError("valid_for", f"must be more than 0 and at most {policy.max_valid_for:.0f} seconds")
    return asked


def interaction_types(asked: Iterable[str] | None, policy: PolicySection) -> tuple[str, ...]:
    """Return the interaction types of an invitation, each once. Raises :class:`Forbidden` for one not on offer."""
    if asked is None:
        return policy.types
    types = tuple(dict.fromkeys(asked))
    for kind in types:
        if kind not in policy.types:
            raise Forbidden(f"Interaction type {kind} is not on offer here.")
    return types or policy.types
