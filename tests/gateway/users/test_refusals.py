"""Item 5: who may not invite is refused with a problem type of its own, whichever driver knows it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.users.front import USER, Front, Told, front
from tests.gateway.users.places import Place

Act = Callable[[Front], Awaitable[Told]]


def invites(user: str) -> Act:
    return lambda place: place.invite(user)


async def invites_a_second(place: Front) -> Told:
    assert (await place.invite("a", "d@cc.com")).status == 201
    return await place.invite("a")


async def invites_after_a_revocation_and_a_restart_of_the_store(place: Front) -> Told:
    first = await place.invite("a", "d@cc.com")
    assert (await place.call("DELETE", f"{USER}/{first.body['account']}", "a")).status == 204
    await place.house.gone()
    await place.house.store.close()
    await place.house.store.open()
    return await place.invite("a")


async def resends(place: Front) -> Told:
    account = (await place.invite("a", "d@cc.com")).body["account"]
    assert (await place.invite("a", "d@cc.com")).body["account"] == account, "the same person is no new invitation"
    return await place.call("POST", f"{USER}/{account}/resend", "a")


async def looks_up(place: Front) -> Told:
    for _ in range(2):
        assert (await place.call("GET", "/rcsgw/user/sip:nobody@cc.com", "a")).status in (200, 404)
    return await place.call("GET", "/rcsgw/user/sip:nobody@cc.com", "a")


async def looks_up_while_suspended(place: Front) -> Told:
    return await place.call("GET", "/rcsgw/user/sip:a@cc.com", "s")


@dataclass(frozen=True)
class Case:
    act: Act
    status: int
    type: str
    after: range | None = None
    """Where Retry-After has to be; None: there is none, because time heals nothing."""
    settings: dict[str, Any] = field(default_factory=dict)
    needs_state: bool = False
    """Only for drivers that tell states and levels."""


CASES = {
    "suspended": Case(invites("s"), 403, "subscriber-suspended", needs_state=True),
    "lost": Case(invites("l"), 403, "subscriber-lost", needs_state=True),
    "without permission": Case(invites("no"), 403, "not-permitted", needs_state=True),
    "level": Case(
        invites("low"),
        403,
        "level-too-low",
        settings={"policy__invite": "level", "policy__min_level": 3},
        needs_state=True,
    ),
    "at a time": Case(
        invites_a_second,
        409,
        "too-many-invitations",
        range(86_390, 86_401),
        {"policy__max_invitations": 1},
    ),
    "a day": Case(
        invites_after_a_revocation_and_a_restart_of_the_store,
        429,
        "daily-quota",
        range(86_300, 86_401),
        {"policy__max_per_day": 1},
    ),
    "a minute": Case(invites_a_second, 429, "inviting-too-fast", range(1, 61), {"policy__max_per_minute": 1}),
    "resend": Case(resends, 429, "resent-too-soon", range(1, 601), {"policy__resend_pause": "10m"}),
    "look-ups": Case(
        looks_up,
        429,
        "too-many-lookups",
        range(1, 3601),
        {"throttle__lookups": 2, "throttle__lookup_window": "2h"},
    ),
    "look-up while suspended": Case(looks_up_while_suspended, 403, "subscriber-suspended", needs_state=True),
}


async def test_refusals(users_place: Place, tmp_path: Path) -> None:
    """Every case; the driver lives on from one to the next, as its database or registrar does."""
    types = set()
    for number, (name, case) in enumerate(CASES.items()):
        if case.needs_state and not users_place.tells:
            continue
        async with front(tmp_path / str(number), users_place.driver, **case.settings) as place:
            told = await case.act(place)
            accounts = await place.house.store.accounts()
        assert (told.status, told.type) == (case.status, case.type), (name, told)
        assert told.body["retryable"] is (case.after is not None), name
        assert told.after in case.after if case.after is not None else told.after is None, (name, told)
        assert "b@cc.com" not in [account.identifier for account in accounts], name
        types.add(told.type)
    assert len(types) == (9 if users_place.tells else 5)


async def test_who_may(users_place: Place, tmp_path: Path) -> None:
    """The same subscribers, the same policy, nothing in the way."""
    settings = {"policy__invite": "level", "policy__min_level": 3} if users_place.tells else {}
    async with front(tmp_path / "front", users_place.driver, **settings) as place:
        assert (await place.invite("a")).status == 201


@pytest.mark.parametrize("place_name", ["local", "http"])
@pytest.mark.parametrize("uid", ["s", "l"])
async def test_what_the_suspended_have_stays_theirs(users_place: Place, tmp_path: Path, uid: str) -> None:
    """They see, revoke and end their invitations; they neither invite nor resend."""
    async with front(tmp_path / "front", users_place.driver) as place:
        assert (await place.call("GET", USER, uid)).status == 200
        assert (await place.call("DELETE", f"{USER}/sip:b@cc.com", uid)).status == 404
        assert (await place.call("DELETE", "/rcsgw/inviter/session", uid)).status == 200
        refused = await place.call("POST", f"{USER}/sip:b@cc.com/resend", uid)
        assert refused.status == 403 and refused.type.startswith("subscriber-")
