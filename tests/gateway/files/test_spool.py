"""The spool: octets to the disk and back, whatever their order, never more of them in memory than allowed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.files import spool as module
from gateway.files.reading import WINDOW, SpoolSource
from gateway.files.spool import Spool, SpoolFull
from gateway.files.writing import SpoolWriter

DATA = random.Random(5).randbytes(3 * WINDOW + 1234)
SHA1, SHA256 = hashlib.sha1(DATA).hexdigest(), hashlib.sha256(DATA).hexdigest()


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    spool = Spool(tmp_path / "files", 1 << 30)
    await spool.open({})
    yield spool
    await spool.close()


def cuts(seed: int, overlap: int = 0) -> list[tuple[int, bytes]]:
    """Return :data:`DATA` in pieces of any length, which may repeat what lies before them."""
    chance = random.Random(seed)
    edges = sorted({0, len(DATA), *(chance.randrange(len(DATA)) for _ in range(100))})
    return [(max(0, a - overlap), DATA[max(0, a - overlap) : b]) for a, b in zip(edges, edges[1:], strict=False)]


async def test_folder_is_private_and_tidied(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for name in ("known", "known.thumbnail", "orphan", "orphan.thumbnail"):
        (tmp_path / "files" / name).write_bytes(b"12345")
    spool = Spool(tmp_path / "files", 100)
    assert await spool.open({"known": 50, "gone": 20}) == {"known"}
    assert sorted(os.listdir(spool.folder)) == ["known", "known.thumbnail"]
    assert spool.used == 50
    await spool.close()
    fresh = Spool(tmp_path / "new" / "files", 100)
    await fresh.open({})
    assert stat.S_IMODE(fresh.folder.stat().st_mode) == 0o700
    await fresh.close()


async def test_promises_are_kept_and_bounded(spool: Spool) -> None:
    spool.max_bytes = 100
    spool.reserve("a", 60)
    spool.reserve("a", 70)
    with pytest.raises(SpoolFull):
        spool.reserve("b", 31)
    spool.reserve("b", 30)
    await spool.delete("a", "never there")
    assert spool.used == 30


async def test_octets_in_order_are_hashed_on_the_way(spool: Spool) -> None:
    writer = spool.writer("a")
    for start, data in cuts(1):
        writer.write(start, data)
    assert writer.prefix == len(DATA)
    assert await writer.finish() == (len(DATA), SHA1, SHA256)
    assert spool.path("a").read_bytes() == DATA
    assert stat.S_IMODE(spool.path("a").stat().st_mode) == 0o600


async def test_octets_in_any_order_and_twice(spool: Spool) -> None:
    writer = spool.writer("a")
    pieces = cuts(2, overlap=500)
    random.Random(3).shuffle(pieces)
    for start, data in pieces:
        writer.write(start, data)
        await asyncio.sleep(0)
    assert await writer.finish() == (len(DATA), SHA1, SHA256)
    assert spool.path("a").read_bytes() == DATA


async def test_the_last_octets_count(spool: Spool) -> None:
    writer = spool.writer("a")
    writer.write(0, b"hello world")
    await writer.flush()
    writer.write(0, b"HELLO")
    assert (await writer.finish()).sha1 == hashlib.sha1(b"HELLO world").hexdigest()


async def test_a_gap_ends_what_can_be_resumed_from(spool: Spool) -> None:
    writer = spool.writer("a")
    writer.write(0, b"1234")
    writer.write(6, b"7890")
    assert writer.prefix == 4
    writer.write(2, b"3456")
    assert writer.prefix == 6
    await writer.close()


async def test_going_on_after_a_restart_cuts_off_what_is_not_trusted(spool: Spool) -> None:
    first = spool.writer("a")
    first.write(0, DATA[:1000] + b"garbage")
    await first.close()
    second = spool.writer("a", 1000)
    second.write(1000, DATA[1000:2000])
    await second.close()
    second.write(2000, DATA[2000:])
    assert await second.finish() == (len(DATA), SHA1, SHA256)


async def test_an_empty_file(spool: Spool) -> None:
    assert await spool.writer("a").finish() == (0, hashlib.sha1().hexdigest(), hashlib.sha256().hexdigest())
    assert spool.path("a").read_bytes() == b""


async def test_whoever_brings_more_waits_for_the_disk(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HIGH_WATER", 1000)
    monkeypatch.setattr(module, "LOW_WATER", 500)
    told: list[bool] = []
    stop = spool.watch(told.append)
    writer = spool.writer("a")
    writer.write(0, bytes(2000))
    assert told == [True] and spool.is_pressed
    late: list[bool] = []
    stop_late = spool.watch(late.append)
    await spool.room()
    assert told == [True, False] and late == [True, False] and not spool.is_pressed
    stop()
    stop_late()
    writer.write(2000, bytes(2000))
    await writer.finish()
    assert told == [True, False]


async def test_a_disk_that_fails(spool: Spool) -> None:
    spool.path("a").mkdir()
    writer = spool.writer("a")
    writer.write(0, bytes(10))
    writer.write(10, bytes(10))
    with pytest.raises(IsADirectoryError):
        await writer.finish()
    with pytest.raises(IsADirectoryError):
        writer.write(20, b"x")
    await writer.close()
    assert not spool.is_pressed


class Pull:
    """Takes what a source has, as MSRP does."""

    def __init__(self, spool: Spool, id: str, size: int) -> None:
        self._ready = asyncio.Event()
        self.source: SpoolSource = spool.source(id, size, self._ready.set)

    async def octets(self, start: int, limit: int) -> bytes:
        taken = b""
        while start + len(taken) < self.source.size:
            octets = self.source.read(start + len(taken), limit)
            if octets is None:
                self._ready.clear()
                await self._ready.wait()
                continue
            assert 0 < len(octets) <= limit
            taken += octets
        return taken


async def write(spool: Spool, id: str, data: bytes) -> SpoolWriter:
    writer = spool.writer(id)
    writer.write(0, data)
    await writer.finish()
    return writer


@pytest.mark.parametrize("limit", [2048, 10_000, 65_536, 1 << 20])
async def test_a_source_gives_all_octets(spool: Spool, limit: int) -> None:
    await write(spool, "a", DATA)
    pull = Pull(spool, "a", len(DATA))
    assert await pull.octets(0, limit) == DATA
    assert await pull.octets(WINDOW + 77, limit) == DATA[WINDOW + 77 :]
    pull.source.close()
    with pytest.raises(OSError, match="closed"):
        pull.source.read(0, 10)


async def test_a_source_that_lost_its_file(spool: Spool) -> None:
    await write(spool, "a", b"short")
    with pytest.raises(OSError, match="shorter"):
        await Pull(spool, "a", 10).octets(0, 5)
    with pytest.raises(FileNotFoundError):
        await Pull(spool, "b", 10).octets(0, 5)


async def test_a_closed_source_is_not_told_more(spool: Spool) -> None:
    await write(spool, "a", DATA)
    pull = Pull(spool, "a", len(DATA))
    assert pull.source.read(0, 10) is None
    pull.source.close()
    await spool.run(lambda: None)
    await asyncio.sleep(0.05)
    assert not pull._ready.is_set()


async def test_parts_for_a_client(spool: Spool) -> None:
    await write(spool, "a", DATA)
    reader = await spool.reader("a")
    assert reader.size == len(DATA)
    parts = [part async for part in reader.read(5, len(DATA) + 100)]
    assert b"".join(parts) == DATA[5:] and len(parts) > 1
    assert [part async for part in reader.read(3, 3)] == []
    reader.close()
    reader.close()
    with pytest.raises(FileNotFoundError):
        await spool.reader("b")


async def test_thumbnails_and_second_names(spool: Spool) -> None:
    await write(spool, "a", b"octets")
    await spool.put_thumbnail("a", b"small")
    assert await spool.thumbnail("a") == b"small"
    assert await spool.link("a", "b") and await spool.link("a", "b")
    assert not await spool.link("none", "c")
    await spool.delete("a")
    assert spool.path("b").read_bytes() == b"octets" and await spool.thumbnail("b") == b"small"
    with pytest.raises(FileNotFoundError):
        await spool.thumbnail("a")
    await write(spool, "plain", b"octets")
    assert await spool.link("plain", "other")
