"""Who may invite, for what and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy import check_inviter, interaction_types, validity
from gateway.services import Forbidden, Inviter
from gateway.settings import PolicySection
from translators.from_http import FieldError


def policy(**values: Any) -> PolicySection:
    return PolicySection(**values)


@pytest.mark.parametrize(
    "invite, state, level, allowed",
    [
        ("any", "active", None, True),
        ("any", "unknown", None, True),
        ("any", "suspended", None, True),
        ("any", "lost", None, True),
        ("active", "active", None, True),
        ("active", "unknown", None, False),
        ("active", "suspended", 9, False),
        ("level", "active", 3, True),
        ("level", "active", 2, False),
        ("level", "active", None, False),
        ("level", "unknown", 3, False),
    ],
)
def test_who_may_invite(invite: str, state: str, level: int | None, allowed: bool) -> None:
    inviter = Inviter("a", "sip:a@cc.com", state=state, level=level)
    rules = policy(invite=invite, min_level=3 if invite == "level" else 0)
    if allowed:
        check_inviter(inviter, rules)
    else:
        with pytest.raises(Forbidden):
            check_inviter(inviter, rules)


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
