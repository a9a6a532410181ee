"""Inviters who are suspended or lost while their invitations run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.drivers import DriverError
from gateway.services import Ended
from gateway.standing import Standing
from gateway.storage.errors import StoreError
from gateway.users.base import STATES_AT_ONCE
from tests.gateway.invitation_helpers import ALICE, CAROL, House
from translators.model import InviteRequest

B, D = "sip:b@cc.com", "sip:d@cc.com"


async def opened(folder: Path, **policy: Any) -> House:
    """Return a house in which Alice has invited two people and Carol one of them."""
    options = {f"policy__{key}": value for key, value in policy.items()}
    house = await House(folder, **options).start()
    house.users.changed["c"] = "active"
    for inviter, email in ((ALICE, "b@cc.com"), (ALICE, "d@cc.com"), (CAROL, "b@cc.com")):
        await house.invitations.invite(inviter, InviteRequest(email=email))
    return house


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = await opened(tmp_path, on_suspend="end", suspend_check=0.01)
    yield house
    await house.stop()


@pytest.mark.parametrize(
    ("state", "reason"), [("suspended", "inviter-suspended"), ("lost", "inviter-lost"), (None, "inviter-lost")]
)
async def test_their_invitations_end(house: House, state: str | None, reason: str) -> None:
    """As if revoked: what only they had made is taken down, what others have stays, and everybody is told why."""
    await house.until(lambda: len(house.mailbox.orders) == 3)
    secret = next(order.link for order in house.mailbox.orders if order.address == "d@cc.com").partition("passwd=")[2]
    house.users.changed["a"] = state
    await house.until(lambda: D not in house.core.accounts and ("relation", B, "a", reason) in house.guests.told)
    assert ("account", D, reason) in house.guests.told and B in house.core.accounts
    with pytest.raises(Ended, match=reason):
        await house.invitations.check_secret(D, secret)
    events = await house.invitations.feed(ALICE).read(0)
    assert events is not None
    ends = [event.invitation for event in events if event.invitation and event.invitation.state == "ended"]
    assert {(view.account, view.reason) for view in ends} == {(B, reason), (D, reason)}
    assert [view.state for view in await house.invitations.list(CAROL)] == ["active"]


@pytest.mark.parametrize("state", ["active", "unknown"])
async def test_others_go_on(house: House, state: str) -> None:
    house.users.changed["a"] = state
    asked = house.faults.names().count("states")
    await house.until(lambda: house.faults.names().count("states") > asked + 3)
    assert len(await house.invitations.list(ALICE)) == 2


async def test_nothing_ends_while_the_up_center_does_not_answer(house: House) -> None:
    house.faults.fail("states", times=5)
    house.faults.fail("states", temporary=False, times=5)
    house.users.changed["a"] = "lost"
    await house.until(lambda: 0 < len(house.faults.errors["states"]) < 5)
    assert len(await house.invitations.list(ALICE)) == 2
    await house.until(lambda: D not in house.core.accounts)


async def test_who_was_suspended_while_we_were_away(tmp_path: Path) -> None:
    house = await opened(tmp_path, on_suspend="end", suspend_check=3600.0)
    house.users.changed["a"] = "suspended"
    assert D in house.core.accounts
    await house.restart()
    await house.until(lambda: D not in house.core.accounts)
    await house.stop()


async def test_nobody_is_asked_where_invitations_go_on(tmp_path: Path) -> None:
    """The default."""
    house = await opened(tmp_path)
    house.users.changed["a"] = "lost"
    await house.restart()
    await house.until(lambda: len(house.mailbox.orders) == 3)
    assert "states" not in house.faults.names()
    assert len(await house.invitations.list(ALICE)) == 2
    await house.stop()


async def test_a_driver_that_tells_no_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path, policy__on_suspend="end")
    monkeypatch.setattr(house, "driver", object())
    with pytest.raises(DriverError, match="tells states"):
        await house.start()
    await house.store.close()


class Inviters:
    """A store of many inviters, a users driver that counts, and a life cycle that has nothing to do."""

    def __init__(self, count: int) -> None:
        self.uids = [f"u{number:03d}" for number in range(count)]
        self.asked: list[list[str]] = []
        self.broken = False

    async def inviters(self) -> list[str]:
        if self.broken:
            self.broken = False
            raise StoreError("no store")
        return self.uids

    async def states(self, uids: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(list(uids))
        return dict.fromkeys(uids, "active")


async def test_a_round_is_a_few_calls_spread_over_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    many = Inviters(2 * STATES_AT_ONCE + 50)
    many.broken = True
    pauses: list[float] = []
    finished = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            finished.set()
            await asyncio.Event().wait()

    monkeypatch.setattr("gateway.standing.asyncio.sleep", sleep)
    # two methods of a store and none of a life cycle are called here
    standing = Standing(many, many, many, 300.0)  # type: ignore[arg-type]
    standing.start()
    async with asyncio.timeout(5):
        await finished.wait()
    await standing.close()
    assert pauses == [300.0, 100.0, 100.0, 100.0]
    assert [len(uids) for uids in many.asked] == [100, 100, 50]
    assert sorted(uid for uids in many.asked for uid in uids) == many.uids
