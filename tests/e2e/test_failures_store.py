"""When the store fails or is full: nothing is acknowledged that is not kept, and all works again afterwards."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest

from gateway.delivery import worker
from gateway.lab.mailbox import Mail
from sipstack.sip.uri import Uri
from tests.e2e.client import EVENTS, INVITER_EVENTS, MESSAGE, text_in
from tests.e2e.conftest import Start
from tests.e2e.trouble import LOAD, WITHIN, Disk, disk, refused
from tests.e2e.world import World, eventually

__all__ = ["disk"]

USER = "/rcsgw/invitee/user"


@pytest.fixture
def core() -> str:
    """The store is the same with every core."""
    return "embedded"


async def test_disk_full_at_a_message_of_the_guest(disk: Disk, world: World) -> None:
    """503; the retry with the same key has the same id, so that A knows the message if it came through before."""
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    await guest.say("before")
    async with guest.http.stream() as stream:
        disk.full = True
        failed = await guest.send("during", headers={"Idempotency-Key": "k"})
        refused(failed, 503, "unavailable")
        assert failed.json["retryable"] and failed.json["message_id"]
        assert [line["message"] for line in await guest.messages()] == ["before"]
        disk.full = False
        again = await guest.send("during", headers={"Idempotency-Key": "k"})
        assert (again.status, again.json["id"]) == (200, failed.json["message_id"])
        event = await stream.next()
        assert event is not None and event["message"]["message"] == "during", "what was not kept was not shown"
    assert [line["message"] for line in await guest.messages()] == ["before", "during"]
    ids = {event.id for event in phone.events if event.kind == "message" and event.text == "during"}
    assert ids == {again.json["id"]}, "a repeat can be told by its id"


async def test_disk_full_at_a_message_of_a(disk: Disk, world: World) -> None:
    """A's client is told that its message was not taken; sent again it arrives, once."""
    phone = await world.phone("a")
    guest = await world.guest("a")
    assert (await phone.say(guest.account, "before")).state.value == "sent"
    disk.full = True
    lost = await phone.say(guest.account, "during")
    assert lost.state.value != "sent" and lost.status == 408
    page = await phone.agent.message(Uri.parse(guest.account), b"during", timeout=10)
    assert page.status == 500
    assert [event["message"]["message"] for event in await guest.http.events()] == ["before"]
    disk.full = False
    assert (await phone.say(guest.account, "after")).state.value == "sent"
    assert (await phone.agent.message(Uri.parse(guest.account), b"page")).status == 200
    await guest.wait_for_text("page")
    assert [line["message"] for line in await guest.messages()] == ["before", "after", "page"]


async def test_disk_full_at_login(disk: Disk, world: World) -> None:
    """Nobody is logged in without the store knowing it."""
    guest = await world.invite("a")
    disk.full = True
    for answer in await asyncio.gather(guest.login(), guest.status(), guest.login()):
        refused(answer, 503, "unavailable")
    assert not await world.core.is_registered("b")
    assert world.gateway is not None and len(world.gateway.guests) == 0
    disk.full = False
    assert (await guest.login()).status == 200
    assert await world.core.is_registered("b")


async def test_disk_full_when_a_mail_is_out(disk: Disk, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail server has it and the store cannot note that: the mail does not go out again and again."""
    monkeypatch.setattr(worker, "STORE_PAUSE", 0.05)
    add = world.mailbox.add

    def fill(sender: str, recipients: tuple[str, ...], raw: bytes) -> Mail:
        disk.full = True
        return add(sender, recipients, raw)

    monkeypatch.setattr(world.mailbox, "add", fill)
    guest = await world.invite("a")
    await asyncio.sleep(0.3)
    disk.full = False
    await world.inviter().wait_for_event(
        lambda event: event["invitation"]["delivery"]["state"] == "sent", path=INVITER_EVENTS
    )
    assert len(world.mailbox.mails) == 1
    assert (await guest.login()).status == 200


async def test_disk_full_at_an_invitation(disk: Disk, world: World) -> None:
    disk.full = True
    refused(await world.inviter().post(USER, {"email": "b@cc.com"}), 503, "unavailable")
    assert (await world.http().get("/readyz")).status == 503
    disk.full = False
    assert world.rows("account") == []
    assert "b" not in world.core.accounts() and world.mailbox.mails == []
    await world.guest("a")
    assert (await world.http().get("/readyz")).status == 200


async def test_disk_full_at_the_end(disk: Disk, world: World) -> None:
    """The end is not confirmed, and nothing of it has begun."""
    guest = await world.guest("a")
    disk.full = True
    refused(await guest.logout(), 503, "unavailable")
    refused(await world.inviter().delete(f"{USER}/{guest.account}"), 503, "unavailable")
    disk.full = False
    assert await world.core.is_registered("b")
    assert (await guest.status()).status == 200
    assert (await guest.logout()).status == 204
    assert "b" not in world.core.accounts()


async def test_slow_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even 202 before the commit: 503 when that takes too long; what is committed in the end is not sent twice."""
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    await guest.say("before")
    goes_on = threading.Event()
    assert world.gateway is not None
    writer = world.gateway.store._writer
    assert writer is not None

    def slow(connection: sqlite3.Connection) -> None:
        goes_on.wait(20)
        connection.execute("COMMIT")

    monkeypatch.setattr(writer, "_commit", slow)
    try:
        late = await guest.send("slow", headers={"Idempotency-Key": "k"})
    finally:
        goes_on.set()
    refused(late, 503, "unavailable")
    await eventually(lambda: len(world.rows("entry")) == 2)
    again = await guest.send("slow", headers={"Idempotency-Key": "k"})
    assert (again.status, again.json) == (200, {"id": late.json["message_id"], "state": "sent"})
    assert [event.text for event in phone.events if event.kind == "message"] == ["before", "slow"]
    assert [line["state"] for line in await guest.messages()] == ["sent", "sent"]


async def test_locked_store(start: Start) -> None:
    """Somebody else holds the file for longer than we wait."""
    world = await start()
    guest = await world.guest("a")
    other = sqlite3.connect(world.folder / "data" / "rcsgw.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        answer = await guest.http.post(MESSAGE, {"to": "a", "message": "hello"})
        assert answer.status in (409, 503), answer
        assert answer.took < WITHIN + LOAD
    finally:
        other.close()
    await world.phone("a", on_message="accept")
    await guest.say("hello")


async def test_inbox_full(start: Start) -> None:
    """413 to A until the guest has read."""
    world = await start("[limits]\ninbox_count = 3\n")
    phone = await world.phone("a")
    guest = await world.guest("a")
    for number in range(3):
        assert (await phone.say(guest.account, f"{number}")).state.value == "sent"
    full = await phone.say(guest.account, "too much")
    assert (full.state.value, full.status) == ("failed", 413)
    assert (await phone.agent.message(Uri.parse(guest.account), b"too much")).status == 480
    events = await guest.http.events()
    assert [event["message"]["message"] for event in events] == ["0", "1", "2"]
    assert (await phone.say(guest.account, "again")).state.value == "sent"
    async with guest.http.stream() as stream:
        for number in range(5):
            await asyncio.gather(phone.say(guest.account, f"live {number}"), stream.wait_for(text_in(f"live {number}")))
    assert len(await guest.http.events(EVENTS)) == 9


async def test_a_full_inbox_stops_nobody_else(start: Start) -> None:
    """The messages of many guests may share a connection: what one of them does not fetch holds up no other."""
    world = await start("[limits]\ninbox_count = 3\n")
    phone = await world.phone("a")
    slow, quick = await world.guest("a", "b@cc.com"), await world.guest("a", "d@cc.com")
    async with quick.http.stream() as stream:
        for number in range(3):
            assert (await phone.say(slow.account, f"{number}")).state.value == "sent"
        assert (await phone.say(quick.account, "both chats are open")).state.value == "sent"
        assert world.msrp_connections() == 1
        refusals, text = [], "x" * 100_000
        for number in range(10):
            refused_one, arrived = await asyncio.gather(
                phone.say(slow.account, text), phone.say(quick.account, f"live {number}")
            )
            refusals.append((refused_one.state.value, refused_one.status))
            assert arrived.state.value == "sent"
            await stream.wait_for(text_in(f"live {number}"))
        assert refusals == [("failed", 413)] * 10
    assert world.msrp_connections() == 1
    assert [event["message"]["message"] for event in await slow.http.events()] == ["0", "1", "2"]


async def test_inbox_full_by_bytes(start: Start) -> None:
    world = await start("[limits]\ninbox_bytes = 1000\n")
    phone = await world.phone("a")
    guest = await world.guest("a")
    assert (await phone.say(guest.account, "x" * 900)).state.value == "sent"
    full = await phone.say(guest.account, "y" * 200)
    assert (full.state.value, full.status) == ("failed", 413)
    assert (await phone.say(guest.account, "z" * 50)).state.value == "sent"
