"""Transfers that stand still, break off for good, or outlive the process: D-FTM-08, D-FTM-12, D-FTH-05."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from gateway.config.types import RetrySection
from gateway.files import writing
from gateway.lab.contentserver import ContentServer
from gateway.services import Conflict, Unavailable
from sipstack.errors import RequestFailed
from sipstack.net.fileoffer import IncomingFile
from sipstack.net.filetransfer import FileTransfer
from tests.gateway.files.house import FileHouse, fetch, file_house
from tests.gateway.files.test_links import alice, link_house, upload
from tests.gateway.files.test_transfers import LARGE, cut, forbid_healing, offer
from tests.sipstack.net.filehelpers import Files, MemoryFile, describe
from tests.sipstack.net.helpers import B, until

SHORT = RetrySection(first=0.01, longest=0.02, deadline=0.2)


async def test_a_transfer_that_stands_still_is_begun_anew(tmp_path: Path) -> None:
    async with file_house(tmp_path, stall_timeout=0.2) as house:
        house.phone.files.hold = True  # the phone never answers the last chunk
        view = await house.send(b"small")
        await until(lambda: len(house.phone.offers) >= 2)
        house.phone.files.hold = False
        await house.state(view.id, "sent")


async def test_a_device_that_does_not_go_on_in_the_middle(tmp_path: Path) -> None:
    """D-FTM-08: then the whole file is offered again."""
    async with file_house(tmp_path) as house:
        forbid_healing(house)
        accept = house.phone.react_to_file

        def only_whole(offer: IncomingFile) -> None:
            house.phone.files.ended.clear()
            if offer.attributes.start > 1:
                offer.refuse(488, "from the beginning only")
            else:
                accept(offer)

        house.phone.react_to_file = only_whole
        edge = len(LARGE) // 2

        def progressed(transfer: FileTransfer, octets: int) -> None:
            if octets > edge:
                house.phone.files.on_progress = lambda transfer, octets: None
                cut(house, transfer)

        house.phone.files.on_progress = progressed
        view = await house.send(LARGE)
        await house.state(view.id, "sent", 40)
        starts = [offer.attributes.start for offer in house.phone.offers]
        assert starts[0] == starts[-1] == 1 and max(starts) > 1
        assert house.phone.disk.content == LARGE


async def broken(house: FileHouse) -> int:
    """Let a file of the inviter break off in the middle; return how many octets its sender may go on behind."""
    forbid_healing(house)
    files = Files()
    files.on_progress = lambda transfer, octets: cut(house, transfer) if octets > len(LARGE) // 2 else None
    transfer = await house.alice.send_file(B, describe(LARGE), MemoryFile(LARGE), files)
    await until(lambda: files.ended)
    await until(lambda: house.files.all()[0].mover is None)
    return transfer.resumable


async def test_a_file_of_the_inviter_goes_on_after_a_restart(tmp_path: Path) -> None:
    """D-FTM-08: what came before the restart needs not come again."""
    async with file_house(tmp_path) as house:
        there = await broken(house)
        await house.stop()
        await house.start()
        files = Files()
        await house.alice.send_file(B, describe(LARGE), MemoryFile(LARGE), files, start=there + 1)
        await until(lambda: files.ended)
        assert files.reason == "done"
        view = await house.only("ready")
        assert await fetch(await house.files.content(view.id)) == LARGE


async def test_a_file_that_nobody_goes_on_with_fails(tmp_path: Path) -> None:
    async with file_house(tmp_path, retry=SHORT) as house:
        await broken(house)
        view = await house.only("failed")
        assert view.reason == "The transfer broke off and was not gone on with."
        await until(lambda: list(house.room.spool.folder.iterdir()) == [])


async def test_octets_missing_in_front_of_the_rest(tmp_path: Path) -> None:
    """D-FTM-08: refused, so that the sender begins anew."""
    async with file_house(tmp_path) as house:
        there = await broken(house)
        with pytest.raises(RequestFailed, match="488"):
            await house.alice.send_file(B, describe(LARGE), MemoryFile(LARGE), Files(), start=len(LARGE) - 5)
        assert there < len(LARGE) - 6


async def test_a_question_does_not_outlive_the_process(tmp_path: Path) -> None:
    async with file_house(tmp_path, accept="ask") as house:
        asking = asyncio.ensure_future(offer(house, b"small"))
        await house.told("offered")
        await house.stop()
        await asyncio.gather(asking, return_exceptions=True)
        await house.start()
        assert house.views()[0].state == "failed"


async def test_so_many_files_at_once(tmp_path: Path) -> None:
    async with file_house(tmp_path, guest_transfers=1) as house:
        going = asyncio.Event()
        files = Files()
        files.on_progress = lambda transfer, octets: going.set()
        first = await house.alice.send_file(B, describe(LARGE), MemoryFile(LARGE), files)
        await until(lambda: house.files.all() and house.files.all()[0].mover is not None)
        with pytest.raises(RequestFailed, match="486"):
            await house.alice.send_file(B, describe(b"other"), MemoryFile(b"other"), Files())
        first.cancel()


async def test_a_full_disk_while_a_file_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D-FTM-12: nothing is acknowledged that is not kept."""
    async with file_house(tmp_path) as house:

        def full(descriptor: int, pieces: list[bytes], start: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(writing, "_write_all", full)
        files = Files()
        await house.alice.send_file(B, describe(b"small"), MemoryFile(b"small"), files)
        await until(lambda: files.ended)
        assert files.reason != "done"
        await house.only("failed")


async def test_a_disk_that_takes_less_than_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(4).randbytes(10_000)
    path = tmp_path / "x"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    whole = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda descriptor, pieces, start: whole(descriptor, [pieces[0][:7]], start))
    writing._write_all(descriptor, [data[:4000], data[4000:]], 0)
    os.close(descriptor)
    assert path.read_bytes() == data


async def test_a_download_that_the_guest_cancels(tmp_path: Path) -> None:
    """D-FTH-05."""
    async with ContentServer() as operator, link_house(tmp_path, operator.url) as house, alice(house) as sender:
        operator.cuts.append(1000)
        await sender.send(upload(operator))
        view = await house.only("offered")
        content = await house.files.content(view.id)
        reading = asyncio.ensure_future(fetch(content))
        await house.files.cancel(view.id)
        with pytest.raises(Conflict):
            await reading
        assert house.files.state(view.id).state in ("cancelled", "declined")
        await until(lambda: house.room.spool.used == 0)


@pytest.mark.full
async def test_a_server_that_is_gone(tmp_path: Path) -> None:
    """D-FTH-05: after some tries the guest is told to come back, and the file is still there to be fetched."""
    async with ContentServer() as operator, link_house(tmp_path, operator.url) as house, alice(house) as sender:
        operator.cuts.extend([0] * 20)
        await sender.send(upload(operator))
        view = await house.only("offered")
        content = await house.files.content(view.id)
        with pytest.raises(Unavailable):
            await fetch(content)
        operator.cuts.clear()
        assert len(await fetch(await house.files.content(view.id))) == view.size
