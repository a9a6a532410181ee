"""Events of a guest: streams that resume, long polls, JSON and XML."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.e2e.client import EVENTS, Format, kind, text_in
from tests.e2e.conftest import Start, one_core
from tests.e2e.world import World


async def test_a_stream_resumes_where_it_broke_off(start: Start, format: Format) -> None:
    world = await start(format=format)
    phone = await world.phone("a")
    guest = await world.guest("a")
    async with guest.http.stream() as stream:
        await phone.say("sip:b@cc.com", "one")
        first = await stream.wait_for(text_in("one"))
        assert str(first["cursor"]) == stream.last_id
        assert (first["message"]["from"], first["message"]["to"]) == ("sip:a@cc.com", "sip:b@cc.com")
    for text in ("two", "three\nwith <a> line & 你好"):
        assert (await phone.say("sip:b@cc.com", text)).state.value == "sent", "stored while nobody listens"
    async with guest.http.stream(Last_Event_ID=stream.last_id) as resumed:
        texts = [(await resumed.wait_for(kind("message")))["message"]["message"] for _ in range(2)]
        assert texts == ["two", "three\nwith <a> line & 你好"]
        await phone.say("sip:b@cc.com", "four")
        event = await resumed.wait_for(text_in("four"))
    cursors = [event["cursor"] for event in (first, *resumed.seen)]
    assert cursors == sorted(set(cursors)) and cursors[-1] == event["cursor"], "each once, in order"
    # without an id a stream begins now
    async with guest.http.stream() as fresh:
        await phone.say("sip:b@cc.com", "five")
        await fresh.wait_for(text_in("five"))
        assert len(fresh.seen) == 1


async def test_a_long_poll(start: Start, format: Format) -> None:
    world = await start(format=format)
    phone = await world.phone("a")
    guest = await world.guest("a")
    empty = await guest.http.page(after=0)
    assert empty["events"] == []
    waiting = asyncio.ensure_future(guest.http.page(after=0, wait=20))
    await phone.say("sip:b@cc.com", "one")
    page = await waiting
    assert [event["message"]["message"] for event in page["events"]] == ["one"]
    assert page["cursor"] == page["events"][-1]["cursor"]
    await phone.say("sip:b@cc.com", "two")
    page = await guest.http.page(after=page["cursor"], wait=20)
    assert [event["message"]["message"] for event in page["events"]] == ["two"]
    # from the beginning again: cursors never delete
    again = await guest.http.page(after=0)
    assert [event["message"]["message"] for event in again["events"]] == ["one", "two"]
    # a cursor that cannot be: the client starts anew
    assert (await guest.http.page(after=page["cursor"] + 1000))["reset"] in (True, "true")


async def test_all_tabs_see_the_same(world: World) -> None:
    """What B sends in one tab shows in the others, with its state."""
    await world.phone("a")
    guest = await world.guest("a")
    async with guest.http.stream() as one, guest.http.stream() as other:
        id = await guest.say("from a tab")
        for stream in (one, other):
            event = await stream.wait_for(kind("message", id=id))
            assert (event["message"]["direction"], event["message"]["message"]) == ("out", "from a tab")
            await stream.wait_for(text_in("You said: from a tab"))
        assert one.seen == other.seen
    assert [line["message"] for line in await guest.messages()] == ["from a tab", "You said: from a tab"]


@one_core
async def test_an_old_cursor_gets_reset(start: Start) -> None:
    """Events expire by count; who comes back too late is told to fetch the conversation, which does not."""
    world = await start(limits="events_count = 2", policy="message_wait = 1")
    phone = await world.phone("a", on_message="accept", on_invite="ask")
    guest = await world.guest("a")
    answers = await asyncio.gather(*(guest.send(f"text {number}") for number in range(4)))
    assert {answer.status for answer in answers} == {202}
    await phone.wait_for("invited")
    phone.accept("sip:b@cc.com")
    last = 0
    for _ in range(4):
        last = (await guest.wait_for_event(kind("receipt", state="sent"), after=last))["cursor"]
    # the oldest are thrown away now and then, and at every start
    await world.stop_gateway()
    await world.start_gateway()
    while not (page := await guest.http.page(after=0)).get("reset"):
        await asyncio.sleep(0.02)
    assert (page["events"], page["cursor"] >= last) == ([], True)
    lines = await guest.messages()
    assert sorted(line["message"] for line in lines) == [f"text {number}" for number in range(4)]
    async with guest.http.stream(Last_Event_ID="1") as stream:
        event = await stream.next()
        assert event is not None and (event["kind"], event["cursor"]) == ("reset", page["cursor"])
        await phone.say("sip:b@cc.com", "go on")
        await stream.wait_for(text_in("go on"))


@one_core
async def test_streams_are_limited(world: World) -> None:
    """A guest has some tabs, not any number of them."""
    guest = await world.guest("a")
    async with AsyncExitStack() as tabs:
        for _ in range(8):
            await tabs.enter_async_context(guest.http.stream())
        answer = await guest.http.get(EVENTS, headers={"Accept": "text/event-stream"})
        assert (answer.status, "Retry-After" in answer.headers) == (429, True)
        assert (await guest.http.get(f"{EVENTS}?after=0&wait=0")).status == 200
    # tabs that are closed count no more, as soon as the gateway has noticed
    while (await guest.http.get(f"{EVENTS}?after=0&wait=0.01")).status == 429:
        await asyncio.sleep(0.02)
    async with guest.http.stream():
        pass


@one_core
async def test_nonsense_in_a_query_is_refused(world: World) -> None:
    guest = await world.guest("a")
    for query in ("after=x", "after=-1", "wait=-1&after=0", "wait=x&after=0"):
        answer = await guest.http.get(f"{EVENTS}?{query}")
        assert answer.status in (400, 422) and answer.json["field"] in ("after", "wait")
