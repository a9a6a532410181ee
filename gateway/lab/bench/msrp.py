"""MSRP by itself: the parser, acknowledged messages, and a file, each beside its baseline in the same run."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.lab.bench.msrppeer import MESSAGE_SIZE
from gateway.lab.bench.network import module
from gateway.lab.processes import Child, Children, ProcessFailed
from sipstack import ids
from sipstack.msrp.chunk import Chunk, MsrpResponse
from sipstack.msrp.parser import ChunkParser

FILE_SIZE = 100 << 20
READ = 65_536
"""Octets that the parser gets at a time, as a busy socket gives them."""
FRAMES = 2000
"""Messages, each with the response to another one behind it, that the parser reads again and again."""
OURS = "msrp://192.0.2.10:2855/aV7pKe03Qm1s;tcp"
THEIRS = "msrp://192.0.2.20:7777/s2bQ81xTc9Yw;tcp"


@dataclass(frozen=True, slots=True)
class Rates:
    """What our stack does in a second, and what the baseline does."""

    value: float
    baseline: float


def parse_rates(seconds: float) -> Rates:
    """Return frames a second of :class:`ChunkParser`, and of bare splitting of the same octets.

    The baseline finds each frame's end-line, splits its headers at line breaks and colons, and cuts out the body:
    what any reader has to do, without any check.
    """
    octets = _frames()
    reads = [octets[start : start + READ] for start in range(0, len(octets), READ)]
    totals = [0.0, 0.0]
    spent = [0.0, 0.0]
    while sum(spent) < seconds:
        for number, read in enumerate((_parse, _split)):
            started = time.perf_counter()
            count = read(reads)
            spent[number] += time.perf_counter() - started
            assert count == 2 * FRAMES, count
            totals[number] += count
    return Rates(totals[0] / spent[0], totals[1] / spent[1])


def _frames() -> bytes:
    body = os.urandom(MESSAGE_SIZE)
    frames = bytearray()
    for _ in range(FRAMES):
        transaction_id, size = ids.msrp_transaction_id(), MESSAGE_SIZE
        frames += bytes(
            Chunk(transaction_id, OURS, THEIRS, ids.message_id(), 1, size, size, False, "yes", "message/cpim", body)
        )
        frames += bytes(MsrpResponse(ids.msrp_transaction_id(), 200, "OK", OURS, THEIRS))
    return bytes(frames)


def _parse(reads: list[bytes]) -> int:
    parser, count = ChunkParser(), 0
    for data in reads:
        parser.receive_data(data)
        while (frame := parser.next_frame()) is not None:
            count += not isinstance(frame, Chunk) or frame.flag != ""
    return count


def _split(reads: list[bytes]) -> int:
    rest, count = b"", 0
    for data in reads:
        rest, position = rest + data, 0
        while True:
            line = rest.find(b"\r\n", position)
            mark = b"\r\n-------" + rest[position:line].split(b" ")[1] if line >= 0 else b"\r\n-------"
            end = rest.find(mark, position)
            if line < 0 or end < 0 or len(rest) < end + len(mark) + 3:
                break
            blank = rest.find(b"\r\n\r\n", position, end)
            head = rest[line + 2 : blank if blank >= 0 else end].decode()
            headers = dict(field.split(": ", 1) for field in head.split("\r\n"))
            body = rest[blank + 4 : end] if blank >= 0 else b""
            position = end + len(mark) + 3
            count += "To-Path" in headers and len(body) in (0, MESSAGE_SIZE)
        rest = rest[position:]
    return count


async def message_rates(folder: Path, seconds: float) -> Rates:
    """Return acknowledged messages of 500 octets a second, 64 outstanding, and bare records there and back."""
    return await _load(folder, lambda places: ["--echo", places["echo"], "--seconds", str(seconds)])


async def file_rates(folder: Path, turns: int) -> Rates:
    """Return MiB a second of a file of 100 MiB, from disk to disk with its hash checked, and of a bare stream."""
    path = folder / "file"
    path.write_bytes(os.urandom(FILE_SIZE))
    rates = await _load(
        folder, lambda places: ["--stream", places["stream"], "--file", str(path), "--turns", str(turns)]
    )
    return Rates(rates.value / (1 << 20), rates.baseline / (1 << 20))


async def _load(folder: Path, options: Callable[[dict[str, Any]], list[str]]) -> Rates:
    """Run receiver and sender, processes of their own, and return what the sender measures."""
    result: asyncio.Future[Rates] = asyncio.get_running_loop().create_future()

    def on_event(event: dict[str, Any]) -> None:
        if event.get("event") == "rates":
            result.set_result(Rates(event["value"], event["baseline"]))

    async with Children(folder) as children:
        peer = await children.start("msrp-peer", module("gateway.lab.bench.msrppeer", str(folder)))
        places = await peer.ready()
        command = module("gateway.lab.bench.msrpload", "--control", places["control"], *options(places))
        load = await children.start("msrp-load", command, on_event)
        return await _outcome(load, result)


async def _outcome(load: Child, result: asyncio.Future[Rates]) -> Rates:
    while not result.done():
        if not load.running:
            raise ProcessFailed(f"{load.name} has ended\n{load.log_end()}")
        await asyncio.sleep(0.1)
    return result.result()
