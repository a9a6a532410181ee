"""Status of inviters: one probe for many guests, pushed on change only, none without relation."""

from __future__ import annotations

import asyncio

from sipstack.trace import WireRecord
from tests.e2e.client import Event, Format, kind
from tests.e2e.conftest import Start
from tests.e2e.world import World, eventually

INTERVAL = 0.25
"""Seconds between probes in these tests."""

PROBING = f'bind = "127.0.0.1:0"\ntrusted = ["127.0.0.0/8"]\nprobe_interval = {INTERVAL}'
A_IS_ASKED = "OPTIONS sip:a@cc.com"


def probe_times(world: World) -> list[float]:
    """Return when the gateway sent OPTIONS for A, wall seconds."""
    return [
        record.at
        for record in world.records
        if isinstance(record, WireRecord)
        and (record.actor, record.direction) == ("gateway", "out")
        and record.data.startswith(A_IS_ASKED.encode())
    ]


async def more_probes(world: World, count: int) -> None:
    """Wait until the gateway has probed A so many times more."""
    wanted = len(probe_times(world)) + count
    await eventually(lambda: len(probe_times(world)) >= wanted)


def statuses(events: list[Event]) -> list[str]:
    """Return the states told by status events."""
    return [event["status"]["status"] for event in events if event["kind"] == "status"]


async def test_a_subscriber_who_is_not_there(start: Start, format: Format) -> None:
    world = await start(format=format)
    guest = await world.guest("a")
    status = await guest.status()
    assert (status.status, status.json["sip"], status.json["status"]) == (200, "sip:a@cc.com", "offline")
    assert status.json["services"] == []
    assert (status.json["cause"]["code"], bool(status.json["cause"]["reason"])) == (480, True)


async def test_one_probe_for_many_guests(start: Start) -> None:
    world = await start(sip=PROBING)
    phone = await world.phone("a")
    guests = [await world.guest("a", f"{name}@cc.com") for name in ("b", "d", "e")]
    answers = await asyncio.gather(*(guest.status() for guest in guests), *(guest.status() for guest in guests))
    assert {answer.json["status"] for answer in answers} == {"online"}
    assert len(probe_times(world)) == 1
    await more_probes(world, 4)
    times = probe_times(world)
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert min(gaps) > INTERVAL * 0.9, "three guests watch, one probe an interval"
    # nothing changed, nobody is told anything
    for guest in guests:
        assert await guest.http.events() == []
    # each is told once of each change
    await phone.go_offline()
    for guest in guests:
        await guest.wait_for_event(kind("status", status="offline"))
    await more_probes(world, 2)
    await phone.go_online()
    for guest in guests:
        event = await guest.wait_for_event(kind("status", status="online"))
        assert (event["status"]["uid"], event["status"]["services"]) == ("a", ["im"])
    await more_probes(world, 2)
    for guest in guests:
        assert statuses(await guest.http.events()) == ["offline", "online"]


async def test_a_guest_is_told_what_differs_from_what_that_guest_knows(start: Start) -> None:
    """Who asked after the change is not told of it again."""
    world = await start(sip=PROBING)
    phone = await world.phone("a")
    early, late = await world.guest("a", "b@cc.com"), await world.guest("a", "d@cc.com")
    assert (await early.status()).json["status"] == "online"
    await phone.go_offline()
    await early.wait_for_event(kind("status", status="offline"))
    assert (await late.status()).json["status"] == "offline"
    await more_probes(world, 2)
    assert statuses(await early.http.events()) == ["offline"]
    assert statuses(await late.http.events()) == []


async def test_no_probe_without_relation(start: Start) -> None:
    world = await start(sip=PROBING)
    await world.phone("a")
    carol = await world.phone("c")
    guest = await world.guest("a")
    assert (await guest.status("sip:c@cc.com")).status == 403
    assert world.sent("OPTIONS") == [], "and none before the first status call"
    assert (await guest.status()).json["status"] == "online"
    await more_probes(world, 2)
    # with the relation the probes end
    by_carol = await world.guest("c", "d@cc.com")
    assert (await by_carol.status("c")).json["status"] == "online"
    assert (await world.inviter().delete("/rcsgw/invitee/user/sip:b@cc.com")).status == 204
    probes = len(probe_times(world))
    seen = len(world.sent("OPTIONS sip:c@cc.com"))
    await eventually(lambda: len(world.sent("OPTIONS sip:c@cc.com")) >= seen + 3)
    assert len(probe_times(world)) == probes
    assert len(carol.events) == 1, "OPTIONS are nothing that a phone shows"


async def test_a_probe_goes_on_with_the_guests_who_stay(start: Start) -> None:
    """The probe went out as the guest who asked first; when that one leaves, another takes over."""
    world = await start(sip=PROBING)
    phone = await world.phone("a")
    first, second = await world.guest("a", "b@cc.com"), await world.guest("a", "d@cc.com")
    for guest in (first, second):
        assert (await guest.status()).json["status"] == "online"
    assert "\r\nFrom: <sip:b@cc.com>" in world.sent(A_IS_ASKED)[0]
    assert (await first.logout()).status == 204
    await more_probes(world, 2)
    assert "\r\nFrom: <sip:d@cc.com>" in world.sent(A_IS_ASKED)[-1]
    await phone.go_offline()
    await second.wait_for_event(kind("status", status="offline"))


async def test_probes_of_a_service_account(start: Start) -> None:
    """Where one is configured, the probes go out as it, and guests' names stay out of them."""
    service = '\nservice_account = "sip:c@cc.com"\nservice_password = "carol-pw"'
    world = await start(sip=PROBING, more_core=service)
    await world.phone("a")
    await eventually(lambda: [text for text in world.received("SIP/2.0 200") if "\r\nTo: <sip:c@cc.com>" in text])
    guest = await world.guest("a")
    assert (await guest.status()).json["status"] == "online"
    await more_probes(world, 1)
    assert all("\r\nFrom: <sip:c@cc.com>" in text for text in world.sent(A_IS_ASKED))


async def test_require_online(start: Start) -> None:
    """By policy nobody is called who is not there: 409, and no INVITE."""
    world = await start('[policy]\nrequire_online = "gateway"\n')
    guest = await world.guest("a")
    answer = await guest.send("hello?")
    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (409, "peer-offline")
    assert world.sent("INVITE") == []
    phone = await world.phone("a")
    # a fresh result answers further calls for a moment (B-CAP-07)
    deadline = asyncio.get_running_loop().time() + 20
    while (answer := await guest.send("hello")).status == 409:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)
    assert answer.status in (200, 202)
    assert (await phone.wait_for("message")).text == "hello"
