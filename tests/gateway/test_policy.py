"""Who may invite, for what, how long and how often."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.settings import PolicySection
from gateway.policy import check_inviter, check_resend, check_state, interaction_types, over_quota, quota, validity
from gateway.services import Forbidden, Inviter, ServiceError
from gateway.storage.errors import OverQuota, QuotaKind
from gateway.storage.invitationstore import Quota
from translators.from_http import FieldError


def policy(**values: Any) -> PolicySection:
    return PolicySection(**values)


@pytest.mark.parametrize(
    "invite, state, level, refused",
    [
        ("any", "active", None, None),
        ("any", "unknown", None, None),
        ("any", "suspended", None, "subscriber-suspended"),
        ("any", "lost", None, "subscriber-lost"),
        ("active", "active", None, None),
        ("active", "unknown", None, "state-unknown"),
        ("active", "suspended", 9, "subscriber-suspended"),
        ("active", "lost", 9, "subscriber-lost"),
        ("level", "active", 3, None),
        ("level", "active", 2, "level-too-low"),
        ("level", "active", None, "level-too-low"),
        ("level", "unknown", 3, "state-unknown"),
        ("level", "lost", 3, "subscriber-lost"),
    ],
)
@pytest.mark.parametrize("may_invite", [None, True, False])
def test_who_may_invite(
    invite: str, state: str, level: int | None, refused: str | None, may_invite: bool | None
) -> None:
    inviter = Inviter("a", "sip:a@cc.com", state=state, level=level, may_invite=may_invite)
    rules = policy(invite=invite, min_level=3 if invite == "level" else 0)
    if may_invite is False and state not in ("suspended", "lost"):
        refused = "not-permitted"
    if refused is None:
        check_inviter(inviter, rules)
        check_state(inviter)
        return
    with pytest.raises(Forbidden) as caught:
        check_inviter(inviter, rules)
    assert (caught.value.type, caught.value.status, caught.value.retry_after) == (refused, 403, None)


@pytest.mark.parametrize(
    "kind, type, status, after",
    [
        ("open", "too-many-invitations", 409, 91),
        ("day", "daily-quota", 429, 91),
        ("minute", "inviting-too-fast", 429, 91),
    ],
)
def test_over_a_quota(kind: QuotaKind, type: str, status: int, after: int) -> None:
    rules = policy(max_invitations=7, max_per_day=8, max_per_minute=9)
    assert quota(rules) == Quota(7, 8, 9)
    refusal: ServiceError = over_quota(OverQuota(kind, 1090.5), rules, 1000.0)
    assert (refusal.type, refusal.status, refusal.retry_after, refusal.retryable) == (type, status, after, True)
    assert f"At most {dict(open=7, day=8, minute=9)[kind]} " in refusal.detail
    assert over_quota(OverQuota(kind, 900.0), rules, 1000.0).retry_after == 1


def test_resending() -> None:
    rules = policy(resend_pause=60.0)
    with pytest.raises(ServiceError) as caught:
        check_resend(1000.0, rules, 1010.5)
    assert (caught.value.type, caught.value.status, caught.value.retry_after) == ("resent-too-soon", 429, 50)
    check_resend(1000.0, rules, 1060.0)
    check_resend(1000.0, policy(resend_pause=0.0), 1000.0)


def test_validity() -> None:
    rules = policy(valid_for=60.0, max_valid_for=100.0)
    assert validity(None, rules) == 60 and validity(100, rules) == 100 and validity(0.5, rules) == 0.5
    for wrong in (0, -1, 101, float("nan"), float("inf")):
        with pytest.raises(FieldError, match="at most 100 seconds") as caught:
            validity(wrong, rules)
        assert caught.value.field == "valid_for"


def test_types() -> None:
    rules = policy(types=("im", "file"))
    assert interaction_types(None, rules) == ("im", "file")
    assert interaction_types(["file", "file"], rules) == ("file",)
    assert interaction_types([], rules) == ("im", "file")
    with pytest.raises(Forbidden, match="file"):
        interaction_types(["file"], policy(types=("im",)))
