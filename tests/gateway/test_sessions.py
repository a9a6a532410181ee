"""Who is logged in: log-ins that race, that fail, guests who go away and come back."""

from __future__ import annotations

import asyncio

import pytest

from gateway.services import Ended, NotAuthenticated, ServiceError, Unavailable, UpstreamRefused
from sipstack.errors import ConnectionClosed
from tests.gateway.guest_helpers import ACCOUNT, SECRET, FakeAgent, House, refusal, relation, send, turns


async def test_login_and_header() -> None:
    house = House(relation("a"), relation("o", ends_in=-1, id=2))
    answer = await house.guests.login(ACCOUNT, SECRET, "")
    assert answer.account == ACCOUNT
    assert [inviter.uid for inviter in answer.inviters] == ["a"], "who is over is not listed"
    assert house.guests.known("Basic x") is None
    guest = await house.login("Basic x")
    assert house.guests.known("Basic x") is guest
    assert len(house.agents) == 1 and house.agent.registers == 1
    with pytest.raises(NotAuthenticated):
        await house.login("Basic y", "wrong")
    assert house.guests.known("Basic y") is None


async def test_two_tabs_log_in_at_once() -> None:
    house = House()
    house.prepare_agent = lambda agent: agent.gate.clear()
    tabs = [asyncio.ensure_future(house.login(f"Basic {number}")) for number in range(3)]
    await turns(20)
    assert len(house.agents) == 1
    house.agent.gate.set()
    assert len({id(guest) for guest in await asyncio.gather(*tabs)}) == 1
    assert house.agent.registers == 1
    assert all(house.guests.known(f"Basic {number}") for number in range(3))


async def test_a_tab_that_gives_up_takes_nobody_along() -> None:
    house = House()
    house.prepare_agent = lambda agent: agent.gate.clear()
    first, second = asyncio.ensure_future(house.login("1")), asyncio.ensure_future(house.login("2"))
    await turns(20)
    first.cancel()
    await turns()
    house.agent.gate.set()
    guest = await second
    assert house.guests.known("2") is guest and house.guests.known("1") is None


@pytest.mark.parametrize(("error", "status"), [(refusal(403), 403), (refusal(401), 502), (ConnectionClosed("no"), 502)])
async def test_a_login_that_the_core_refuses_leaves_nothing(error: ServiceError, status: int) -> None:
    house = House()

    def fail(agent: FakeAgent) -> None:
        agent.failure = error  # type: ignore[assignment]  # all are SipstackErrors

    house.prepare_agent = fail
    for outcome in await asyncio.gather(house.login("1"), house.login("2"), return_exceptions=True):
        assert isinstance(outcome, UpstreamRefused) and outcome.status == status
    assert len(house.guests) == 0 and house.guests.known("1") is None
    assert len(house.agents) == 1 and house.agent.closed == [0], "nobody waits for the core again"
    assert house.store.logged_in[-1:] != [True]
    house.prepare_agent = lambda agent: None
    await house.login("1")
    assert len(house.guests) == 1


async def test_a_core_without_answer_costs_one_wait() -> None:
    house = House(register_timeout=0.05)
    house.prepare_agent = lambda agent: agent.gate.clear()
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*(house.login(f"{number}") for number in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert len(house.agents) == 1 and len(house.guests) == 0


async def test_a_login_that_the_store_refuses_leaves_nothing() -> None:
    house = House()
    house.store.broken = True
    with pytest.raises(Unavailable):
        await house.login()
    assert len(house.guests) == 0
    assert all(agent.closed for agent in house.agents)


async def test_the_account_ends_while_its_guest_logs_in() -> None:
    house = House()
    house.prepare_agent = lambda agent: agent.gate.clear()
    entering = asyncio.ensure_future(house.login("1"))
    await turns(20)
    ending = asyncio.ensure_future(house.guests.account_ended(ACCOUNT, "revoked"))
    await turns()
    house.agent.gate.set()
    await asyncio.gather(entering, return_exceptions=True)  # in or not: in either case it is over at once
    await ending
    assert house.agent.closed
    assert len(house.guests) == 0 and house.guests.known("1") is None


async def test_a_login_waits_for_the_last_session_to_leave() -> None:
    """Two user agents of one account at a time would de-register each other."""
    house = House()
    guest = await house.login("1")
    house.agent.leaving = asyncio.Event()
    ending = asyncio.ensure_future(house.guests.account_ended(ACCOUNT, "logout"))
    await turns()
    entering = asyncio.ensure_future(house.login("2"))
    await turns(20)
    assert len(house.agents) == 1 and not entering.done()
    house.agent.leaving.set()
    await ending
    assert await entering is not guest
    assert len(house.agents) == 2


async def test_the_last_session_was_the_last_one() -> None:
    house = House()
    await house.login("1")
    house.agent.leaving = asyncio.Event()
    ending = asyncio.ensure_future(house.guests.account_ended(ACCOUNT, "logout"))
    await turns()
    entering = asyncio.ensure_future(house.login("2"))
    await turns(20)
    house.lifecycle.relations = ()
    house.agent.leaving.set()
    await ending
    with pytest.raises(Ended):
        await entering
    assert len(house.guests) == 0


# idleness


async def test_an_idle_guest_is_parked_and_comes_back() -> None:
    house = House(guest_idle=0.04)
    await house.guests.start()
    guest = await house.login("1")
    await send(guest, "hello")
    async with asyncio.timeout(5):
        while len(house.guests):
            await asyncio.sleep(0.005)
    await turns(20)
    assert house.agent.chats[0].closed and house.agent.closed == [house.settings.register_timeout]
    assert house.store.logged_in[-1] is False
    assert house.guests.known("1") is None
    house.lifecycle.cursor = 1
    again = await house.login("1")
    assert again is not guest and house.store.logged_in[-1] is True
    await house.guests.close(1)


async def test_a_guest_with_an_open_stream_is_not_idle() -> None:
    house = House(guest_idle=0.02)
    await house.guests.start()
    guest = await house.login()
    stop = guest.feed.subscribe(lambda event: None)
    await asyncio.sleep(0.1)
    assert len(house.guests) == 1
    stop()
    async with asyncio.timeout(5):
        while len(house.guests):
            await asyncio.sleep(0.005)
    await house.guests.close(1)


async def test_a_guest_who_comes_back_in_the_last_moment_stays() -> None:
    house = House(guest_idle=0.0)
    guest = await house.login()
    house.guests._check_idle()
    guest.feed.subscribe(lambda event: None)
    await turns()
    assert len(house.guests) == 1
    await house.guests.close(1)


# ends


async def test_a_secret_that_ended_opens_nothing_more() -> None:
    house = House()
    guest = await house.login("1")
    house.guests.secret_ended(ACCOUNT, 2)
    assert house.guests.known("1") is guest
    house.guests.secret_ended(ACCOUNT, 1)
    assert house.guests.known("1") is None
    assert len(house.guests) == 1, "other secrets may open it"


async def test_a_secret_that_dies_while_its_holder_logs_in_is_not_remembered() -> None:
    house = House(relation("a"), relation("c", id=2))
    house.prepare_agent = lambda agent: agent.gate.clear()
    entering = asyncio.ensure_future(house.login("1"))
    await turns()
    house.guests.secret_ended(ACCOUNT, 1)
    house.lifecycle.secret = "new"
    house.agent.gate.set()
    with pytest.raises(NotAuthenticated):
        await entering
    assert house.guests.known("1") is None and len(house.guests) == 1
    guest = await house.login("2", "new")
    assert house.guests.known("2") is guest


async def test_headers_of_one_guest_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sessions.AUTHORIZATIONS", 2)
    house = House()
    guests = [await house.login(header) for header in ("1", "2", "3")]
    assert [house.guests.known(header) for header in ("1", "2", "3")] == [None, *guests[1:]]


async def test_one_inviter_of_two_ends() -> None:
    house = House(relation("a"), relation("c", id=2))
    guest = await house.login("1")
    await send(guest, "hello")
    await send(guest, "hello", to="c")
    await house.guests.relation_ended(ACCOUNT, "c", "revoked")
    first, second = house.agent.chats
    assert second.closed == ["revoked"] and first.closed == []
    assert house.guests.known("1") is guest
    await house.guests.relation_ended(ACCOUNT, "a", "revoked")
    assert house.guests.known("1") is None
    house.guests.relation_changed(ACCOUNT, relation("a"))
    assert (await send(guest, "hello again")).state == "sent"


async def test_shutdown_ends_what_is_open() -> None:
    house = House()
    guest = await house.login("1")
    heard: list[object] = []
    guest.feed.subscribe(heard.append)
    await send(guest, "hello")
    await house.guests.close(1)
    assert heard[-1] is None and house.agent.chats[0].closed == ["shutdown"] and house.agent.closed
    assert house.store.logged_in[-1] is True, "after the restart the guest is registered again"


async def test_shutdown_does_not_wait_for_ever() -> None:
    house = House()
    await house.login("1")
    house.agent.leaving = asyncio.Event()
    async with asyncio.timeout(5):
        await house.guests.close(0.02)


async def test_a_restart_registers_whoever_was_logged_in() -> None:
    house = House()
    house.store.logged_in = [True]
    await house.guests.start()
    await turns(30)
    assert len(house.guests) == 1 and house.agent.registered
    guest = await house.login("1")
    assert house.agent.registers == 1 and guest.account == ACCOUNT
    await house.guests.close(1)


async def test_a_store_that_cannot_be_read_yet_delays_the_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sessions.STORE_PAUSE", 0.0)
    house = House()
    house.store.logged_in = [True]
    house.store.broken = True
    await house.guests.start()
    await turns()
    assert len(house.guests) == 0
    house.store.broken = False
    await turns()
    assert len(house.guests) == 1
    await house.guests.close(1.0)


async def test_a_guest_who_is_quicker_than_the_restart() -> None:
    """Both want the one session that an account may have."""
    house = House()
    house.store.logged_in = [True]
    house.prepare_agent = lambda agent: agent.gate.clear()
    entering = asyncio.ensure_future(house.login("1"))
    await turns(2)
    await house.guests.start()
    await turns(30)
    assert len(house.agents) == 1
    house.agent.gate.set()
    assert (await entering).account == ACCOUNT
    await house.guests.close(1)
