"""Files through Kamailio's MSRP relay, over TCP and TLS, both ways, and what memory the gateway takes for them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

from gateway.lab.phone import Phone
from tests.e2e.client import text_in
from tests.e2e.files import FILE, POLICY, A, B, incoming, until
from tests.e2e.process import Memory, gateway_process
from tests.e2e.world import Guest, World, kamailio_world
from tests.interop.conftest import needs_kamailio

pytestmark = pytest.mark.interop

logger = logging.getLogger(__name__)

MIB = 1 << 20

MORE = 64 * MIB
"""Octets that the gateway may take at most beyond what it has when idle."""

PATIENCE = 240.0
"""Seconds for the largest file on a busy machine."""

Scheme = Literal["msrp", "msrps"]


@asynccontextmanager
async def relayed(folder: Path, scheme: Scheme) -> AsyncIterator[tuple[World, Memory, Phone, Guest]]:
    """A network in which all MSRP goes by the relay, with the gateway as a process; A and B have chatted already."""
    needs_kamailio()
    async with kamailio_world(folder, POLICY, relay=scheme) as world, gateway_process(world) as memory:
        phone = await world.phone("a", files="msrp")
        guest = await world.guest("a")
        await guest.say("hello")
        await guest.wait_for_text("You said: hello")
        yield world, memory, phone, guest


def write_file(path: Path, size: int) -> str:
    """Write a file that does not repeat itself; return its SHA-256."""
    digest, block = hashlib.sha256(), hashlib.sha512(b"file").digest() * (MIB // 64)
    with path.open("wb") as file:
        for number in range(-(-size // MIB)):
            piece = (number.to_bytes(64) + block[64:])[: size - number * MIB]
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


async def pieces(path: Path) -> AsyncIterator[bytes]:
    """Yield a file's octets."""
    with path.open("rb") as file:
        while piece := file.read(MIB // 4):
            yield piece


async def fetched(guest: Guest, id: str) -> str:
    """Download a file in two ranges; return its SHA-256."""
    digest = hashlib.sha256()
    async with guest.http.open(f"{FILE}/{id}", headers={"Range": f"bytes=0-{MIB - 1}"}) as answer:
        assert answer.status == 206
        digest.update(await answer.read())
    async with guest.http.open(f"{FILE}/{id}", headers={"Range": f"bytes={MIB}-"}) as answer:
        assert answer.status == 206
        async for piece in answer.content.iter_chunked(MIB):
            digest.update(piece)
    return digest.hexdigest()


async def both_ways(folder: Path, scheme: Scheme, size: int) -> None:
    """Send a file to A and one to B, with a chat going on beside; check hashes and memory, and write figures down."""
    path = folder / "large.bin"
    sha256 = write_file(path, size)
    async with relayed(folder, scheme) as (_, memory, phone, guest):
        for direction in ("to A", "to B"):
            memory.forget_peak()
            idle, started = memory.resident(), time.monotonic()
            if direction == "to A":
                headers = {"Content-Type": "application/zip"}
                answer = await guest.http.post(f"{FILE}?to={A}&name=large.zip", pieces(path), headers=headers)
                assert answer.status == 202, answer
                chatting = asyncio.create_task(chat(guest))
                assert (await phone.wait_for("file", timeout=PATIENCE)).text == sha256
                await until(guest, answer.json["id"], "sent")
            else:
                chatting = asyncio.create_task(chat(guest))
                assert (await phone.files.send(B, path, name="large.zip")).state == "done"
                file = await incoming(guest, "ready")
                assert file["hash"] == sha256 == await fetched(guest, file["id"])
            took, more, waited = time.monotonic() - started, memory.peak() - idle, await chatting
            logger.info(
                "%s %s: %d MiB in %.1f s, a message and its echo in %.1f s, idle %.1f MiB, peak %.1f MiB more",
                *(scheme, direction, size // MIB, took, waited, idle / MIB, more / MIB),
            )
            assert waited < 10, "chats go on beside files"
            assert more < MORE


async def chat(guest: Guest) -> float:
    """Exchange a message and its echo; return the seconds that it took."""
    started = time.monotonic()
    text = f"beside the file, {started}"
    await guest.say(text)
    await guest.http.wait_for_event(text_in(f"You said: {text}"))
    return time.monotonic() - started


@pytest.mark.parametrize("scheme", ["msrp", "msrps"])
async def test_a_file_both_ways(tmp_path: Path, scheme: Scheme) -> None:
    await both_ways(tmp_path, scheme, 8 * MIB)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scheme", ["msrp", "msrps"])
async def test_a_file_of_100_mib_both_ways(tmp_path: Path, scheme: Scheme) -> None:
    await both_ways(tmp_path, scheme, 100 * MIB)
