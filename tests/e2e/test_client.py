"""The guest's library against the whole network: nothing is lost or doubled, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.clients.codec import Codec, Json, Xml
from gateway.clients.errors import ClientError, Over, Refused, Unreachable, WrongSecret
from gateway.clients.events import EventReader
from gateway.clients.link import InviteLink
from gateway.clients.rcsguest import RcsGuest, is_end
from gateway.lab.ports import free_port
from tests.e2e.conftest import Start, one_core
from tests.e2e.world import DOMAIN, Guest, World, eventually
from translators.model import Event


def client_of(world: World, guest: Guest, codec: Codec | None = None) -> RcsGuest:
    """Return a client that is not logged in."""
    return RcsGuest(InviteLink(world.url, guest.account, guest.secret), codec=codec)


@asynccontextmanager
async def reading(reader: EventReader) -> AsyncIterator[list[Event]]:
    """Collect events in the background."""
    events: list[Event] = []

    async def read() -> None:
        async for event in reader:
            events.append(event)

    task = asyncio.create_task(read())
    try:
        async with asyncio.timeout(10):
            await reader.ready()
        yield events
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def texts(events: list[Event]) -> list[str]:
    return [event.message.message for event in events if event.message is not None and event.message.direction == "in"]


@one_core
@pytest.mark.parametrize("codec", [Json(), Xml()], ids=["json", "xml"])
@pytest.mark.parametrize("polls", [False, True], ids=["stream", "polls"])
async def test_a_conversation(world: World, codec: Codec, polls: bool) -> None:
    phone = await world.phone("a")
    invited = await world.invite("a")
    async with client_of(world, invited, codec) as guest:
        assert [inviter.uid for inviter in guest.inviters] == ["a"]
        assert (await guest.status("a")).status == "online"
        async with reading(guest.events(polls=polls)) as events:
            answer = await guest.send("a", "first <&> 🙂", key="k1")
            assert (answer.state, await guest.send("a", "first <&> 🙂", key="k1")) == ("sent", answer)
            await phone.say(f"sip:b@{DOMAIN}", "grüß dich")
            await eventually(lambda: "grüß dich" in texts(events))
            await guest.typing("a")
            await guest.typing("a")
            await guest.typing("a", stopped=True)
        history = [message.message async for message in guest.history("a")]
        assert history[-1] == "first <&> 🙂" and "grüß dich" in history
        await guest.logout()
        with pytest.raises(Over):
            await guest.send("a", "too late")
    assert len(world.received("MSRP", actor="phone a", protocol="MSRP")) > 0


@one_core
async def test_refusals_are_told_apart(world: World) -> None:
    invited = await world.invite("a")
    async with client_of(world, invited) as guest:
        with pytest.raises(Refused) as refused:
            await guest.send("stranger", "hello")
        assert (refused.value.status, refused.value.kind) == (403, "no-relation")
    with pytest.raises(WrongSecret):
        async with RcsGuest(InviteLink(world.url, invited.account, "wrong")):
            pass
    with pytest.raises(ClientError, match="does not carry"):
        async with RcsGuest(InviteLink(world.url, invited.account)):
            pass
    with pytest.raises(Unreachable):
        async with RcsGuest(InviteLink(f"http://127.0.0.1:{free_port()}", invited.account, "x")):
            pass


@one_core
async def test_a_restart_of_the_gateway_loses_and_doubles_nothing(start: Start) -> None:
    world = await start(http=f'listen = "127.0.0.1:{free_port()}"')
    phone = await world.phone("a", on_message="accept")
    invited = await world.invite("a")
    connections: list[bool] = []
    async with client_of(world, invited) as guest:
        reader = guest.events(on_connection=connections.append)
        reader._pause = 0.1
        async with reading(reader) as events:
            await phone.say(f"sip:b@{DOMAIN}", "before")
            await eventually(lambda: texts(events) == ["before"])
            await world.stop_gateway()
            await eventually(lambda: connections == [True, False])
            sending = asyncio.create_task(guest.send("a", "typed while it was away"))
            await asyncio.sleep(0)
            await world.start_gateway()
            assert (await sending).state in ("sent", "pending")
            await phone.say(f"sip:b@{DOMAIN}", "after")
            await eventually(lambda: texts(events) == ["before", "after"])
            assert connections == [True, False, True]
    cursors = [event.cursor for event in events]
    assert cursors == sorted(set(cursors))
    assert [event.text for event in phone.events if event.kind == "message"] == ["typed while it was away"]


@one_core
async def test_the_end_is_told(world: World) -> None:
    await world.phone("a")
    invited = await world.invite("a")
    async with client_of(world, invited) as guest:
        async with reading(guest.events()) as events:
            assert (await world.inviter("a").delete(f"/rcsgw/invitee/user/{invited.account}")).status == 204
            await eventually(lambda: any(event.session is not None for event in events))
        with pytest.raises(Over):
            async for event in guest.events():
                assert not is_end(event)


@one_core
async def test_files_both_ways(start: Start, tmp_path: Path) -> None:
    world = await start(policy='types = ["im", "file"]')
    phone = await world.phone("a", files="msrp")
    invited = await world.invite("a", types=["im", "file"])
    there, back = os.urandom(3_000_000), os.urandom(1_500_000)
    source = tmp_path / "holiday.bin"
    source.write_bytes(there)
    async with client_of(world, invited) as guest, reading(guest.events()) as events:
        seen: list[int] = []
        view = await guest.send_file("a", source, on_progress=lambda view: seen.append(view.octets))
        assert (view.name, view.size) == ("holiday.bin", len(there)) and len(seen) >= 3
        assert (await phone.wait_for("file")).text == hashlib.sha256(there).hexdigest()
        await eventually(lambda: ("sent", "out") in states(events))
        await phone.files.send(f"sip:b@{DOMAIN}", back, name="reply.bin")
        await eventually(lambda: ("ready", "in") in states(events))
        ready = next(event.file for event in events if event.file is not None and event.file.state == "ready")
        # a part of it is there from an earlier attempt
        (tmp_path / "reply.bin.part").write_bytes(back[:1000])
        path = await guest.fetch_file(ready, tmp_path / ready.name)
        assert path.read_bytes() == back
        (tmp_path / "reply.bin.part").write_bytes(b"x" * 1000)
        with pytest.raises(ClientError, match="damaged"):
            await guest.fetch_file(ready, path)
        await guest.calls.cancel_file(ready.id)
        with pytest.raises(Refused):
            await guest.fetch_file(ready, path)


def states(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.file.state, event.file.direction) for event in events if event.file is not None]
