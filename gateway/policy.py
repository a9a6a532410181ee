"""Who may invite, for what and for how long."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.services import Forbidden, Inviter
from gateway.settings import PolicySection
from translators.from_http import FieldError


def check_inviter(inviter: Inviter, policy: PolicySection) -> None:
    """Raise :class:`Forbidden` when this subscriber may not invite."""
    if policy.invite == "any":
        return
    if inviter.state != "active":
        raise Forbidden(f"Only active subscribers may invite; this one is {inviter.state}.")
    if policy.invite == "level" and (inviter.level is None or inviter.level < policy.min_level):
        raise Forbidden(f"Only subscribers of level {policy.min_level} and above may invite.")


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
