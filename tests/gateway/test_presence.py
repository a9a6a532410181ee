from __future__ import annotations

import asyncio
from typing import cast

import pytest

from gateway.guest import GuestSession
from gateway.presence import Presence
from gateway.services import Ended, NoRelation
from sipstack.errors import ConnectionClosed, TransactionTimeout
from sipstack.net.useragent import UserAgent
from tests.gateway.guest_helpers import FakeAgent, House, listen, relation, turns
from translators.from_sip import PeerStatus

A = "sip:a@cc.com"


class Watcher:
    """A guest as presence sees it."""

    def __init__(self, *, registered: bool = True) -> None:
        self.fake = FakeAgent()
        self.fake.registered = registered
        self.agent = cast(UserAgent, self.fake)
        self.told: list[tuple[str, str]] = []

    def status_changed(self, uid: str, status: PeerStatus) -> None:
        self.told.append((uid, status.status))


def watcher(*, registered: bool = True) -> tuple[Watcher, GuestSession]:
    """Return a watcher, and the same for calls that want a guest."""
    made = Watcher(registered=registered)
    return made, cast(GuestSession, made)


async def test_one_probe_however_many_ask() -> None:
    presence = Presence(60, 1)
    guests = [watcher() for _ in range(5)]
    guests[0][0].fake.gate.clear()
    asking = asyncio.gather(*(presence.ask(guest, "a", A) for _, guest in guests))
    await turns()
    guests[0][0].fake.gate.set()
    assert {status.status for status in await asking} == {"online"}
    assert [len(made.fake.asked) for made, _ in guests] == [1, 0, 0, 0, 0]
    assert all(made.told == [] for made, _ in guests), "who asked is told by the answer"
    await presence.ask(guests[1][1], "a", A)
    assert len(guests[1][0].fake.asked) == 0, "what is fresh answers"
    presence.close()


async def test_probes_go_on_and_tell_whoever_watches() -> None:
    presence = Presence(0.02, 1)
    (first, one), (second, two) = watcher(), watcher()
    await presence.ask(one, "a", A)
    await presence.ask(two, "alice", A)
    first.fake.options_status = 480
    async with asyncio.timeout(5):
        while not second.told:
            await asyncio.sleep(0.005)
    assert first.told[-1] == ("a", "offline") and second.told[-1] == ("alice", "offline")
    assert second.fake.asked == [], "one of them probes"
    first.fake.registered = False
    presence.leave(one, A)
    async with asyncio.timeout(5):
        while not second.fake.asked:
            await asyncio.sleep(0.005)
    presence.leave(two, A)
    asked = len(second.fake.asked)
    await asyncio.sleep(0.06)
    assert len(second.fake.asked) == asked, "nobody watches, nobody asks"
    presence.leave(two, A)
    presence.close()


async def test_the_service_account_asks_where_there_is_one() -> None:
    service, made = FakeAgent(), watcher()
    presence = Presence(60, 1, cast(UserAgent, service))
    assert (await presence.ask(made[1], "a", A)).status == "online"
    assert service.asked == [A] and made[0].fake.asked == []
    presence.close()


@pytest.mark.parametrize("error", [TransactionTimeout("no"), ConnectionClosed("no")])
async def test_no_answer_is_not_kept(error: Exception) -> None:
    presence = Presence(60, 1)
    made, guest = watcher()
    made.fake.options_failure = error  # type: ignore[assignment]  # both are
    assert (await presence.ask(guest, "a", A)).status == "not-reachable"
    made.fake.options_failure = None
    assert (await presence.ask(guest, "a", A)).status == "online", "the cause is gone, and the next try works"
    presence.close()


async def test_a_probe_has_an_end() -> None:
    presence = Presence(60, 0.02)
    made, guest = watcher()
    made.fake.gate.clear()
    assert (await presence.ask(guest, "a", A)).status == "not-reachable"
    presence.close()


async def test_the_last_watcher_leaves_while_another_asks() -> None:
    """The newcomer's watch goes on being probed."""
    presence = Presence(0.02, 1)
    (first, one), (second, two) = watcher(), watcher()
    first.fake.options_status = 503
    await presence.ask(one, "a", A)
    second.fake.gate.clear()
    asking = asyncio.ensure_future(presence.ask(two, "a", A))
    await turns()
    presence.leave(one, A)
    second.fake.gate.set()
    await asking
    asked = len(second.fake.asked)
    async with asyncio.timeout(5):
        while len(second.fake.asked) == asked:
            await asyncio.sleep(0.005)
    presence.close()


async def test_nobody_registered_keeps_what_was_known() -> None:
    presence = Presence(0.01, 1)
    made, guest = watcher()
    await presence.ask(guest, "a", A)
    made.fake.registered = False
    await asyncio.sleep(0.05)
    assert len(made.fake.asked) == 1
    assert {status for _, status in made.told} <= {"online"}
    presence.close()


async def test_closing_ends_a_probe_under_way() -> None:
    presence = Presence(60, 1)
    made, guest = watcher()
    made.fake.gate.clear()
    asking = asyncio.ensure_future(presence.ask(guest, "a", A))
    await turns()
    presence.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_what_an_inviter_s_device_says_by_itself() -> None:
    """B-CAP-03: an OPTIONS of theirs is as good as a 200 to ours; B-CAP-05: services outlive the connection."""
    presence = Presence(60, 1)
    made, guest = watcher()
    presence.heard(A, ("im",))  # nobody watches
    made.fake.options_status = 480
    assert (await presence.ask(guest, "a", A)).services == ()
    presence.heard(A, ())
    presence.heard(A, ("file", "im"))
    assert made.told == [("a", "online")] and presence.known(A) == PeerStatus("online", ("file", "im"))
    presence._watches[A].checked_at = float("-inf")
    again = await presence.ask(guest, "a", A)
    assert (again.status, again.services) == ("offline", ("file", "im"))
    assert again.cause is not None and again.cause.code == 480
    presence.close()


# with a whole guest


async def test_a_guest_is_told_only_what_differs() -> None:
    house = House(probe_interval=0.02)
    guest = await house.login()
    heard = listen(guest)
    assert (await guest.status("a")).status == "online"
    await asyncio.sleep(0.1)
    assert heard == [], "the same again is no news"
    house.agent.options_status = 480
    async with asyncio.timeout(5):
        while not heard:
            await asyncio.sleep(0.005)
    house.agent.options_status = 200
    async with asyncio.timeout(5):
        while len(heard) < 2:
            await asyncio.sleep(0.005)
    assert [event.status.status for event in heard if event and event.status] == ["offline", "online"]
    house.presence.close()


async def test_no_relation_no_probe() -> None:
    house = House()
    guest = await house.login()
    with pytest.raises(NoRelation):
        await guest.status("sip:c@cc.com")
    assert house.agent.asked == []


async def test_the_relation_ends_while_its_status_is_asked() -> None:
    house = House(relation("a"), relation("c", id=2), probe_interval=0.01)
    guest = await house.login()
    house.agent.gate.clear()
    asking = asyncio.ensure_future(guest.status("a"))
    await turns()
    await guest.end_relation("a", "revoked")
    house.agent.gate.set()
    with pytest.raises(Ended):
        await asking
    asked = len(house.agent.asked)
    await asyncio.sleep(0.05)
    assert len(house.agent.asked) == asked, "nobody is left who watches"
    house.presence.close()
