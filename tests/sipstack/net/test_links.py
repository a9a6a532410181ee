"""Backpressure over real sockets: who may stop the reading of a connection, and what is held in memory meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from sipstack.msrp.message import MessageState, OutgoingMessage
from sipstack.msrp.session import MsrpSession
from sipstack.msrp.stream import IncomingStream, Octets
from sipstack.net import links
from sipstack.net.hub import MsrpHub
from sipstack.net.msrplink import WRITE_BUFFER
from tests.sipstack.net.test_hub import MakeHub, Owner, Settled, join, make_hub, until

__all__ = ["make_hub"]

QUIET = 0.03
"""Seconds in which a message on loopback would have come."""


class Spool:
    """A sink that counts."""

    def __init__(self) -> None:
        self.octets = 0

    def write(self, start: int, data: bytes) -> None:
        """Count ``data``."""
        self.octets += len(data)


class Tap(Octets):
    """A source of which only the first half is there yet."""

    ready = 0

    def read(self, start: int, limit: int) -> bytes | None:
        """Return what is there."""
        end = self.ready or self.size // 2
        return super().read(start, min(limit, end - start)) if start < end else None


def spool(session: MsrpSession) -> Spool:
    """Have the messages of ``session`` go to a spool."""
    sink = Spool()

    def take(stream: IncomingStream) -> Spool:
        return sink

    session.on_stream = take
    return sink


async def test_a_full_spool_stops_its_own_connection(make_hub: MakeHub) -> None:
    left, right = await make_hub(), await make_hub()
    _, active, theirs, passive = join(left, right)
    sink = spool(passive)
    await theirs.until(lambda: theirs.opened == 1)
    assert right.pause(passive) and right.pause(passive)
    done = Settled()
    active.send_stream(Octets(b"x" * 1_000_000), "image/png", on_done=done)
    await asyncio.sleep(QUIET)
    assert sink.octets == 0
    # The queue of commits is full as well, and has room again: the spool has not.
    right.pause()
    right.resume()
    await asyncio.sleep(QUIET)
    assert sink.octets == 0
    right.resume(passive)
    assert await done.wait() is MessageState.SENT
    assert (sink.octets, theirs.received[0].size) == (1_000_000, 1_000_000)
    right.resume(passive)


async def test_the_spool_has_room_before_the_queue_of_commits(make_hub: MakeHub) -> None:
    left, right = await make_hub(), await make_hub()
    _, active, theirs, passive = join(left, right)
    await theirs.until(lambda: theirs.opened == 1)
    right.pause()
    right.pause(passive)
    right.resume(passive)
    done = Settled()
    active.send(b"x", "text/plain", on_done=done)
    await asyncio.sleep(QUIET)
    assert theirs.received == []
    right.resume()
    assert await done.wait() is MessageState.SENT


async def share(one: MsrpHub, other: MsrpHub) -> tuple[Owner, MsrpSession, MsrpSession, MsrpSession]:
    """Return the owner of a chat, its far end, and the near ends of that chat and of another session beside it."""
    _, far, chat, near = join(one, other)
    await chat.until(lambda: chat.opened == 1)
    second = Owner()
    neighbour = other.create_session(second, max_size=1 << 22)
    beside = one.create_session(Owner(), max_size=1 << 22)
    # By the connection that is there, as behind a relay.
    other.open(neighbour, beside.local_path, active=False)
    assert far.connection is not None
    far.connection.attach(beside)
    one.open(beside, neighbour.local_path, active=True)
    beside.send_empty()
    await second.until(lambda: second.opened == 1)
    assert neighbour.connection is near.connection
    return chat, far, near, neighbour


async def test_a_spool_may_stop_chats_for_a_moment_only(make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "SHARED_PAUSE", 3 * QUIET)
    left, right = await make_hub(), await make_hub()
    chat, far, _, file = await share(left, right)
    assert not right.pause(file)
    assert right.pause(file, is_urgent=True)
    done = Settled()
    far.send(b"x", "text/plain", on_done=done)
    await asyncio.sleep(QUIET)
    assert chat.received == []
    assert await done.wait() is MessageState.SENT
    # Both want no more: then nobody is made to wait.
    assert right.pause(file, is_urgent=True)
    right.resume(file)
    far.send(b"y", "text/plain")
    await chat.until(lambda: len(chat.received) == 2)


async def test_two_spools_of_one_connection(make_hub: MakeHub) -> None:
    left, right = await make_hub(), await make_hub()
    chat, far, first, second = await share(left, right)
    assert right.pause(first, is_urgent=True) and right.pause(second)
    right.resume(first)
    far.send(b"x", "text/plain")
    await asyncio.sleep(QUIET)
    assert chat.received == []
    # Who leaves wants nothing any more.
    right.release(second)
    await chat.until(lambda: len(chat.received) == 1)


async def test_no_connection_to_pause(make_hub: MakeHub) -> None:
    hub = await make_hub()
    session = hub.create_session(Owner(), max_size=1)
    assert not hub.pause(session)
    hub.resume(session)


async def test_a_source_is_read_no_faster_than_the_peer_reads(make_hub: MakeHub) -> None:
    left, right = await make_hub(), await make_hub()
    _, active, theirs, passive = join(left, right)
    sink = spool(passive)
    passive.max_size = 1 << 30
    await theirs.until(lambda: theirs.opened == 1)
    right.pause(passive)
    message = active.send_stream(Octets(bytes(50_000_000)), "image/png", on_done=Settled())
    await until(lambda: message.written > WRITE_BUFFER)
    await asyncio.sleep(QUIET)
    before = message.written
    await asyncio.sleep(QUIET)
    # What is written is in the sockets of both ends, but for the transport's own buffer; and the window bounds it.
    assert message.written == before < 10_000_000 and sink.octets == 0
    message.cancel()
    right.resume(passive)


async def test_messages_that_want_no_answer_are_told_of_when_written(make_hub: MakeHub) -> None:
    left, right = await make_hub(), await make_hub()
    ours, active, theirs, _ = join(left, right)
    await ours.until(lambda: ours.opened == 1)
    seen: list[tuple[MessageState, float]] = []

    def on_done(message: OutgoingMessage) -> None:
        seen.append((message.state, asyncio.get_running_loop().time()))

    right.pause()
    active.send(b"x", "text/plain", failure_report="no", on_done=on_done)
    await until(lambda: bool(seen))
    assert seen[0][0] is MessageState.SENT and theirs.received == []
    right.resume()


@pytest.mark.parametrize("limit", ["sipstack.msrp.outbox.RESPONSE_TIMEOUT", "sipstack.msrp.reception.PARTIAL_TIMEOUT"])
async def test_no_time_passes_while_nothing_is_read(
    make_hub: MakeHub, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    # The answer, or the next chunk, has come; it only was not read.
    left, right = await make_hub(), await make_hub()
    ours, active, theirs, passive = join(left, right)
    sink = spool(passive)
    await ours.until(lambda: ours.opened == 1)
    await theirs.until(lambda: theirs.opened == 1)
    monkeypatch.setattr(limit, 2 * QUIET)
    done = Settled()
    message = active.send_stream(Tap(b"x" * 20_000), "image/png", on_done=done)
    await until(lambda: sink.octets == 10_000 and message.confirmed == 10_000)
    left.pause()
    right.pause(passive)
    assert isinstance(message.source, Tap)
    message.source.ready = message.size
    active.source_ready(message)
    await asyncio.sleep(3 * QUIET)
    left.resume()
    right.resume(passive)
    assert await done.wait() is MessageState.SENT and theirs.received[0].size == 20_000
