"""Event streams and long polls, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from tests.gateway.http.fakes import GUEST, INVITER, House, running

EVENTS = "/rcsgw/invitee/events"
STREAM = GUEST | {"Accept": "text/event-stream"}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with running(http={"stream_ping": 0.2, "stream_timeout": 0.3}) as house:
        house.guest.events.max_listeners = 1000
        yield house


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task is about to do."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


class Reader:
    """Splits a stream into blocks; comments are counted."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.pings = 0

    async def block(self) -> dict[str, str]:
        """Return the fields of the next block that is no comment."""
        fields: dict[str, str] = {}
        while True:
            async with asyncio.timeout(10):
                line = (await self.answer.content.readline()).decode()
            assert line.endswith("\n"), "the stream has ended"
            if line.startswith(":"):
                self.pings += 1
            elif line == "\n":
                if fields:
                    return fields
            else:
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value


async def test_stream(house: House) -> None:
    async with house.client.get(EVENTS, headers=STREAM) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        reader = Reader(answer)
        assert await reader.block() == {"retry": "2000", "id": "0"}
        house.guest.events.publish("first")
        house.guest.events.publish("two\nlines")
        first, second = await reader.block(), await reader.block()
        assert (first["event"], first["id"]) == ("message", "1")
        assert json.loads(first["data"])["message"]["message"] == "first"
        assert json.loads(second["data"])["message"]["message"] == "two\nlines"
        await until(lambda: len(house.server.streams) == 1)
    await until(lambda: not house.guest.events.listeners and len(house.server.streams) == 0)


async def test_stream_in_xml(house: House) -> None:
    for headers, query in (({"Accept": "text/event-stream, application/xml;q=0.5"}, ""), ({}, "?format=xml")):
        async with house.client.get(EVENTS + query, headers=STREAM | headers) as answer:
            reader = Reader(answer)
            await reader.block()
            house.guest.events.publish("two\nlines")
            root = ET.fromstring((await reader.block())["data"])
            assert root.tag == "event"
            assert root.findtext("message/message") == "two\nlines"


async def test_stream_resumes(house: House) -> None:
    feed = house.guest.events
    for number in range(250):
        feed.publish(f"text {number}")
    async with house.client.get(EVENTS, headers=STREAM | {"Last-Event-ID": "3"}) as answer:
        reader = Reader(answer)
        assert (await reader.block())["id"] == "3"
        assert [(await reader.block())["id"] for _ in range(247)] == [str(number) for number in range(4, 251)]
        feed.publish("live")
        assert (await reader.block())["id"] == "251"
    async with house.client.get(EVENTS + "?after=250", headers=STREAM) as answer:
        reader = Reader(answer)
        await reader.block()
        assert (await reader.block())["id"] == "251"


async def test_nothing_is_lost_while_catching_up(house: House) -> None:
    """Events that are published between two reads of the store come in order and once."""
    feed = house.guest.events
    for _ in range(150):
        feed.publish()
    answers = [await house.client.get(EVENTS, headers=STREAM | {"Last-Event-ID": "1"}) for _ in range(5)]
    for _ in range(50):
        feed.publish()
        await asyncio.sleep(0)
    for answer in answers:
        reader = Reader(answer)
        ids = [(await reader.block())["id"] for _ in range(200)]
        assert ids == [str(number) for number in range(1, 201)]
        answer.close()


@pytest.mark.parametrize(("oldest", "last"), [(50, "3"), (1, "1000")])
async def test_stream_resets(house: House, oldest: int, last: str) -> None:
    """A cursor that is too old, or from a life before this one."""
    feed = house.guest.events
    for _ in range(60):
        feed.publish()
    feed.oldest = oldest
    async with house.client.get(EVENTS, headers=STREAM | {"Last-Event-ID": last}) as answer:
        reader = Reader(answer)
        await reader.block()
        reset = await reader.block()
        assert (reset["event"], reset["id"]) == ("reset", "60")
        feed.publish()
        assert (await reader.block())["id"] == "61"


async def test_pings(house: House) -> None:
    async with house.client.get(EVENTS, headers=STREAM) as answer:
        reader = Reader(answer)
        await reader.block()
        await asyncio.sleep(0.5)
        house.guest.events.publish()
        await reader.block()
        assert reader.pings >= 1


async def test_stream_ends_with_the_feed(house: House) -> None:
    async with house.client.get(EVENTS, headers=STREAM) as answer:
        reader = Reader(answer)
        await reader.block()
        house.guest.events.publish("last")
        house.guest.events.end()
        assert json.loads((await reader.block())["data"])["message"]["message"] == "last"
        assert await answer.content.read() == b""
    assert house.guest.events.listeners == []


async def test_stream_ends_with_the_server() -> None:
    async with running() as house:
        answer = await house.client.get(EVENTS, headers=STREAM)
        await Reader(answer).block()
        poll = asyncio.create_task(house.client.get(EVENTS + "?after=0&wait=30", headers=GUEST).__aenter__())
        await until(lambda: len(house.guest.events.listeners) == 2)
        await house.server.close()
        assert (await poll).status == 200
        assert await answer.content.read() == b""
        answer.close()


async def test_store_failure_ends_the_stream(house: House) -> None:
    house.guest.events.publish()
    house.guest.events.error = OSError("disk is gone")
    async with house.client.get(EVENTS, headers=STREAM | {"Last-Event-ID": "0"}) as answer:
        await Reader(answer).block()
        assert await answer.content.read() == b""
    assert house.guest.events.listeners == []


async def _raw_stream(house: House, receive_buffer: int) -> socket.socket:
    """Open a stream on a socket that takes little and reads nothing by itself."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", house.server.port))
    request = (
        f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: {GUEST['Authorization']}"
    )
    await loop.sock_sendall(sock, request.encode() + b"\r\n\r\n")
    await until(lambda: bool(house.guest.events.listeners))
    return sock


async def test_slow_client_is_cut_off(house: House) -> None:
    """Nobody else waits for a client that takes nothing, and nothing piles up for it."""
    feed = house.guest.events
    sock = await _raw_stream(house, 4096)
    async with house.client.get(EVENTS, headers=STREAM) as answer:
        reader = Reader(answer)
        await reader.block()
        for number in range(400):
            feed.publish("x" * 65536)
            assert (await reader.block())["id"] == str(number + 1)
        assert house.server.streams.slow or len(feed.listeners) == 1
        await until(lambda: len(feed.listeners) == 1)
    sock.close()


async def test_slow_client_catches_up() -> None:
    """A client that was slow for a while gets everything, from the store."""
    async with running(http={"stream_timeout": 60.0}) as house:
        feed = house.guest.events
        sock = await _raw_stream(house, 1 << 18)
        for _ in range(200):
            feed.publish("x" * 65536)
        await until(lambda: bool(house.server.streams.slow))
        loop = asyncio.get_running_loop()
        data = bytearray()
        async with asyncio.timeout(30):
            while data.count(b"\n\n") < 201:
                data += await loop.sock_recv(sock, 1 << 20)
        ids = [line for line in data.split(b"\n") if line.startswith(b"id: ")]
        assert ids == [b"id: %d" % number for number in range(201)]
        assert feed.reads > 0
        sock.close()


async def test_too_many_streams(house: House) -> None:
    house.guest.events.max_listeners = 1
    async with house.client.get(EVENTS, headers=STREAM) as answer:
        await Reader(answer).block()
        async with house.client.get(EVENTS, headers=STREAM) as refused:
            assert refused.status == 429
            assert refused.headers["Retry-After"] == "5"


async def test_streams_of_the_process_are_limited(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.events.MAX_OPEN", 0)
    async with house.client.get(EVENTS, headers=STREAM) as answer:
        assert answer.status == 503


async def test_client_that_goes_at_once(house: House) -> None:
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        writer.write(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n".encode())
        writer.write(f"Authorization: {GUEST['Authorization']}\r\n\r\n".encode())
        writer.transport.abort()
    await asyncio.sleep(0.1)
    await until(lambda: not house.guest.events.listeners)
    assert len(house.server.streams) == 0


async def test_stream_ignores_what_the_client_says(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n".encode())
    writer.write(f"Authorization: {GUEST['Authorization']}\r\n\r\n".encode())
    await reader.readuntil(b"id: 0\n\n")
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    house.guest.events.publish()
    assert b'"cursor":1' in await reader.readuntil(b"}}\n\n")
    writer.close()


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ("?after=x", {}, "after"),
        ("?wait=x", {}, "wait"),
        ("?wait=-1", {}, "wait"),
        ("?wait=nan", {}, "wait"),
        ("?format=yaml", STREAM, "format"),
        ("", STREAM | {"Last-Event-ID": "abc"}, "Last-Event-ID"),
    ],
)
async def test_bad_parameters(house: House, query: str, headers: dict[str, str], field: str) -> None:
    async with house.client.get(EVENTS + query, headers=GUEST | headers) as answer:
        assert answer.status == 422
        assert (await answer.json())["field"] == field


async def test_poll(house: House) -> None:
    feed = house.guest.events
    async with house.client.get(EVENTS, headers=GUEST) as answer:
        assert await answer.json() == {"events": [], "cursor": 0}
    feed.publish("one")
    async with house.client.get(EVENTS + "?after=0", headers=GUEST) as answer:
        page = await answer.json()
    assert page["cursor"] == 1
    assert page["events"][0]["message"]["message"] == "one"
    async with house.client.get(EVENTS + "?after=1&wait=0", headers=GUEST) as answer:
        assert await answer.json() == {"events": [], "cursor": 1}
    assert feed.listeners == []


async def test_poll_waits(house: House) -> None:
    feed = house.guest.events
    poll = asyncio.create_task(house.client.get(EVENTS + "?after=0&wait=20", headers=GUEST).__aenter__())
    await until(lambda: bool(feed.listeners))
    feed.publish("now")
    answer = await poll
    assert (await answer.json())["events"][0]["message"]["message"] == "now"
    assert feed.listeners == []
    started = time.monotonic()
    async with house.client.get(EVENTS + "?after=1&wait=0.05", headers=GUEST) as answer:
        assert await answer.json() == {"events": [], "cursor": 1}
    assert time.monotonic() - started < 5


async def test_poll_in_xml(house: House) -> None:
    house.guest.events.publish("one")
    async with house.client.get(EVENTS + "?after=0", headers=GUEST | {"Accept": "application/xml"}) as answer:
        root = ET.fromstring(await answer.read())
    assert root.tag == "page"
    assert [event.findtext("kind") for event in root.findall("events")] == ["message"]


@pytest.mark.parametrize("after", [0, 1000])
async def test_poll_resets(house: House, after: int) -> None:
    for _ in range(60):
        house.guest.events.publish()
    house.guest.events.oldest = 50
    async with house.client.get(f"{EVENTS}?after={after}", headers=GUEST) as answer:
        assert await answer.json() == {"events": [], "cursor": 60, "reset": True}


async def test_poll_of_a_client_that_has_gone(house: House) -> None:
    poll = asyncio.create_task(house.client.get(EVENTS + "?after=0&wait=30", headers=GUEST).__aenter__())
    await until(lambda: bool(house.guest.events.listeners))
    poll.cancel()
    await until(lambda: not house.guest.events.listeners)


async def test_inviter_events(house: House) -> None:
    house.inviters.events.publish()
    async with house.client.get("/rcsgw/inviter/events?after=0", headers=INVITER) as answer:
        assert (await answer.json())["cursor"] == 1
    async with house.client.get("/rcsgw/inviter/events", headers=INVITER | {"Accept": "text/event-stream"}) as answer:
        reader = Reader(answer)
        assert (await reader.block())["id"] == "1"
        house.inviters.events.publish()
        assert (await reader.block())["id"] == "2"
