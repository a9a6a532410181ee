"""Policies about who may come in by a link, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.services import Ended, NotAuthenticated
from tests.gateway.invitation_helpers import ALICE, CAROL, House
from translators.model import InviteRequest

B = "sip:b@cc.com"


async def invited(house: House) -> str:
    """Invite B; return the secret."""
    sent = len(house.mailbox.orders)
    await house.invitations.invite(ALICE, InviteRequest(email="b@cc.com"))
    await house.until(lambda: len(house.mailbox.orders) > sent)
    return house.mailbox.secret


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = await House(tmp_path, policy__single_use=True, policy__never_came=100, interaction__driver="none").start()
    yield house
    await house.stop()


async def test_a_secret_is_good_for_the_first_client_only(house: House) -> None:
    secret = await invited(house)
    check = house.invitations.check_secret
    with pytest.raises(NotAuthenticated):
        await check(B, "0" * 32, "elsewhere")  # whoever guesses wrong uses nothing up
    assert (await check(B, secret, "laptop")).account.uri == B
    with pytest.raises(Ended, match="used"):
        await check(B, secret, "phone")
    await house.restart()
    check = house.invitations.check_secret
    assert (await check(B, secret, "laptop")).account.uri == B
    with pytest.raises(Ended, match="used"):
        await check(B, secret, "phone")


async def test_of_two_at_once_one_comes_in(house: House) -> None:
    secret = await invited(house)
    results = await asyncio.gather(
        *(house.invitations.check_secret(B, secret, f"client {number}") for number in range(8)), return_exceptions=True
    )
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert all(isinstance(result, Ended) for result in results if isinstance(result, BaseException))


async def test_a_new_link_is_good_for_another_client(house: House) -> None:
    first = await invited(house)
    await house.invitations.check_secret(B, first, "laptop")
    await house.invitations.resend(ALICE, B)
    await house.until(lambda: len(house.mailbox.orders) == 2)
    await house.invitations.check_secret(B, house.mailbox.secret, "phone")
    with pytest.raises(Ended, match="replaced"):
        await house.invitations.check_secret(B, first, "laptop")


async def test_what_nobody_came_by_ends_early(house: House) -> None:
    """The one who came stays, and so does everything that was sent lately."""
    await house.invitations.invite(CAROL, InviteRequest(email="d@cc.com"))
    await house.until(lambda: len(house.mailbox.orders) == 1)
    secret = await invited(house)
    await house.invitations.check_secret(B, secret, "laptop")
    await house.until(lambda: len(house.mailbox.orders) == 2)
    house.ahead = 99.0
    await house.restart()
    assert len(await house.store.accounts()) == 2
    house.ahead = 101.0
    await house.restart()
    async with asyncio.timeout(5):
        while len(await house.store.accounts()) > 1:
            await asyncio.sleep(0.005)
    assert ("account", "sip:d@cc.com", "never-came") in house.guests.told
    assert [account.uri for account in await house.store.accounts()] == [B]
    told = await house.invitations.feed(CAROL).read(0)
    assert told is not None and told[-1].invitation is not None and told[-1].invitation.reason == "never-came"


async def test_without_policies_any_client_may_come_at_any_time(tmp_path: Path) -> None:
    house = await House(tmp_path).start()
    secret = await invited(house)
    for client in ("laptop", "phone"):
        assert (await house.invitations.check_secret(B, secret, client)).account.uri == B
    await house.stop()
