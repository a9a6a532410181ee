"""Traces of other programs read by ours: what dumpcap and SIPp have seen, and what the gateway has recorded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.lab.ladder import Arrow
from gateway.lab.trace.conversations import Conversation, join
from gateway.lab.trace.losses import Losses
from gateway.lab.trace.reading import read_any
from sipstack.flow import HostPort
from sipstack.trace import WireRecord
from tests.e2e.world import DOMAIN, World
from tests.interop.capture import CannotCapture, Capture, is_available
from tests.interop.sipp import run

pytestmark = pytest.mark.interop


def read(path: Path) -> list[Conversation]:
    losses = Losses()
    conversations = join(read_any(path, losses))
    assert not losses, str(losses)
    return conversations


def labels(conversation: Conversation, ends: set[HostPort]) -> list[str]:
    """Return what went over the gateway's hops, in order: the labels of its column."""
    return [
        seen.part.label
        for seen in conversation.seen
        if not seen.again and {seen.record.local, seen.record.remote} & ends
    ]


def by_call(conversations: list[Conversation]) -> dict[str, Conversation]:
    return {one.id: one for one in conversations if "INVITE" in one.methods}


async def test_capture_and_own_trace_give_the_same_ladder(kamailio_net: World, tmp_path: Path) -> None:
    if not is_available():
        pytest.skip("tshark and dumpcap are not installed")
    world = kamailio_net
    phone = await world.phone(on_message="echo")
    guest = await world.guest("a")
    assert world.gateway is not None
    ours = {record.local for record in world.records if isinstance(record, WireRecord) and record.actor == "gateway"}
    ports = {place[1] for place in ours if place is not None} | {world.core.address[1], phone.endpoint.hub.port}
    try:
        async with Capture(tmp_path, sorted(ports)) as capture:
            before = len(world.records)
            await guest.say("seen twice")
            await guest.wait_for_text("You said: seen twice")
            await guest.logout()
            await asyncio.sleep(0.2)
    except CannotCapture as error:
        pytest.skip(f"loopback cannot be captured: {error}")
    own = [item for item in world.records[before:] if isinstance(item, WireRecord) and item.actor == "gateway"]
    ends = {item.local for item in own if item.protocol in ("SIP", "MSRP") and item.local is not None}
    [(call, recorded)] = by_call(join(own)).items()
    captured = by_call(read(capture.file))[call]
    assert sorted(labels(captured, ends)) == sorted(labels(recorded, ends))
    assert (captured.outcome, captured.protocols) == (recorded.outcome, recorded.protocols) == ("200", ["SIP", "MSRP"])
    assert sum(isinstance(line, Arrow) for line in captured.ladder().lines) > len(labels(recorded, ends))


@pytest.mark.usefixtures("needs_sipp")
async def test_message_log_of_sipp(kamailio_net: World) -> None:
    await run(
        kamailio_net.folder,
        "uac_request",
        kamailio_net.core.address,
        user="a",
        domain=DOMAIN,
        guest="nobody",
        method="OPTIONS",
        text="",
        answer=407,
        shows="407",
    )
    [conversation] = read(next(kamailio_net.folder.glob("sipp-*/*.messages")))
    assert (conversation.methods, conversation.outcome) == (["OPTIONS"], "407")
    assert {seen.record.actor for seen in conversation.seen} == {"peer"}
