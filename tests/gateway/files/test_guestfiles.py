"""What a guest does with files: uploads that break off and go on, limits, ends, restarts."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.files import guestfile, room
from gateway.fileservices import FileGone, FileTooLarge, FileTypeRefused, NewFile, RangeRefused, Upload
from gateway.services import Conflict, Forbidden, NoRelation, NotFound, ServiceError, Unavailable, Unprocessable
from tests.gateway.files.house import FileHouse, fetch, file_house, relation
from tests.sipstack.net.filehelpers import Files, MemoryFile
from tests.sipstack.net.helpers import until
from translators.model import FileView

DATA = random.Random(3).randbytes(300_000)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[FileHouse]:
    async with file_house(tmp_path) as house:
        yield house


def new(size: int | None = None, name: str | None = "x.txt", content_type: str = "text/plain") -> NewFile:
    return NewFile(name, content_type, size)


async def begin(house: FileHouse, size: int | None = None, key: str | None = None) -> Upload:
    upload = await house.files.begin("a", new(size), key)
    assert not isinstance(upload, FileView)
    return upload


async def test_an_upload_in_parts(house: FileHouse) -> None:
    upload = await begin(house, len(DATA))
    await upload.write(DATA[:100_000])
    view = await upload.finish()
    assert (view.state, view.octets, view.hash) == ("uploading", 100_000, None)
    with pytest.raises(RangeRefused) as caught:
        await house.files.resume(upload.id, 100_001, len(DATA))
    assert caught.value.size == 100_000
    with pytest.raises(Unprocessable, match="said to have"):
        await house.files.resume(upload.id, 0, 5)
    again = await house.files.resume(upload.id, 50_000, len(DATA))
    await again.write(DATA[50_000:])
    view = await again.finish()
    assert view.hash == hashlib.sha256(DATA).hexdigest()
    await house.state(view.id, "sent")
    assert house.phone.disk.content == DATA
    with pytest.raises(Conflict, match="Nothing more"):
        await house.files.resume(upload.id, 0, None)


async def test_an_upload_of_unknown_size(house: FileHouse) -> None:
    upload = await begin(house)
    await upload.write(DATA)
    assert house.room.spool.used == len(DATA)
    view = await upload.finish()
    assert view.size == len(DATA)
    await house.state(view.id, "sent")


async def test_a_size_that_is_told_later(house: FileHouse) -> None:
    upload = await begin(house)
    await upload.write(b"12345")
    await upload.leave()
    again = await house.files.resume(upload.id, 5, 10)
    await again.write(b"67890")
    assert (await again.finish()).size == 10


async def test_more_octets_than_were_announced(house: FileHouse) -> None:
    upload = await begin(house, 5)
    with pytest.raises(FileTooLarge, match="said to have 5"):
        await upload.write(b"123456")
    house.room.limits = type(house.limits)(max_size=8)
    unknown = await begin(house)
    with pytest.raises(FileTooLarge, match=r"files\.max_size is 8"):
        await unknown.write(bytes(9))


async def test_the_newest_connection_counts(house: FileHouse) -> None:
    first = await begin(house, 10)
    await first.write(b"12345")
    second = await house.files.resume(first.id, 3, 10)
    with pytest.raises(Conflict):
        await first.write(b"6")
    await first.leave()
    await second.write(b"4567890")
    view = await second.finish()
    assert view.hash == hashlib.sha256(b"1234567890").hexdigest()


async def test_a_key_makes_a_retry_harmless(house: FileHouse) -> None:
    upload = await begin(house, len(DATA), "k1")
    await upload.write(DATA[:1000])
    await upload.leave()
    again = await begin(house, len(DATA), "k1")
    assert again.id == upload.id
    await again.write(DATA)
    await again.finish()
    repeated = await house.files.begin("a", new(len(DATA)), "k1")
    assert isinstance(repeated, FileView) and repeated.id == upload.id
    await house.state(upload.id, "sent")
    assert house.phone.disk.content == DATA and len(house.phone.offers) == 1
    for another in (new(content_type="image/png"), new(len(DATA) + 1), new(len(DATA), name="another.txt")):
        with pytest.raises(Unprocessable, match="another file"):
            await house.files.begin("a", another, "k1")
    other = await begin(house, 5, "k2")
    with pytest.raises(Unprocessable, match="another file"):
        await house.files.begin("a", new(6), "k2")
    await other.leave()


async def test_who_may_send_what(tmp_path: Path) -> None:
    async with file_house(tmp_path, max_size=100, deny=("application/x-evil",), thumbnail_max_size=10) as house:
        with pytest.raises(NoRelation):
            await house.files.begin("z", new(), None)
        with pytest.raises(FileTooLarge, match=r"files\.max_size is 100"):
            await house.files.begin("a", new(101), None)
        with pytest.raises(FileTypeRefused, match="x-evil"):
            await house.files.begin("a", new(content_type="application/x-evil"), None)
        upload = await begin(house, 1)
        with pytest.raises(FileTooLarge, match=r"files\.thumbnail_max_size is 10"):
            await upload.thumbnail("image/png", bytes(11))
        with pytest.raises(FileTypeRefused):
            await upload.thumbnail("text/html", b"x")
        house.guest.relations["a"].types = ("im",)
        with pytest.raises(Forbidden, match="not for file"):
            await house.files.begin("a", new(), None)


async def test_a_guest_has_so_many_octets(tmp_path: Path) -> None:
    async with file_house(tmp_path, guest_bytes=1000, max_size=1000) as house:
        first = await house.send(bytes(600))
        await house.state(first.id, "sent")
        second = await begin(house, 600)
        assert house.files.state(first.id).state == "sent"
        with pytest.raises(FileGone):
            await house.files.content(first.id)  # what the inviter has makes room
        with pytest.raises(FileTooLarge, match=r"files\.guest_bytes is 1000 octets, of which 600"):
            await begin(house, 600)
        await second.leave()
        unknown = await begin(house)
        with pytest.raises(FileTooLarge, match=r"files\.guest_bytes"):
            await unknown.write(bytes(401))


async def test_a_guest_has_so_many_files(tmp_path: Path) -> None:
    async with file_house(tmp_path, guest_files=2) as house:
        done = await house.send(b"1")
        await house.state(done.id, "sent")
        await begin(house, 5)
        await begin(house, 5)
        with pytest.raises(NotFound):
            house.files.state(done.id)
        with pytest.raises(FileTooLarge, match=r"files\.guest_files is 2"):
            await begin(house, 5)


async def test_a_full_spool(tmp_path: Path) -> None:
    async with file_house(tmp_path, max_spool=1000, guest_bytes=10_000) as house:
        with pytest.raises(Unavailable, match="No room"):
            await begin(house, 1001)
        assert house.views() == [] and house.room.spool.used == 0


async def test_a_disk_that_fails(house: FileHouse) -> None:
    upload = await begin(house, 10)
    house.room.spool.path(upload.id).mkdir()
    await upload.write(b"12345")
    with pytest.raises(Unavailable, match="could not be written"):
        await upload.write(b"67890")
        await upload.finish()
    house.room.spool.path(upload.id).rmdir()


async def test_deleting_files(house: FileHouse) -> None:
    done = await house.send(b"1")
    await house.state(done.id, "sent")
    await house.files.cancel(done.id)
    with pytest.raises(NotFound):
        await house.files.cancel(done.id)
    upload = await begin(house, 10)
    assert (await house.files.cancel(upload.id)).state == "cancelled"
    with pytest.raises(Conflict, match="cancelled"):
        await upload.write(b"1")
    with pytest.raises(FileGone, match="cancelled"):
        await house.files.content(upload.id)
    with pytest.raises(Conflict):
        await house.files.accept(upload.id)
    await until(lambda: list(house.room.spool.folder.iterdir()) == [])


async def test_what_is_not_there_yet(house: FileHouse) -> None:
    upload = await begin(house, 10)
    with pytest.raises(Conflict, match="not there yet"):
        await house.files.content(upload.id)
    with pytest.raises(FileGone, match="no thumbnail"):
        await house.files.thumbnail(upload.id)


async def test_the_end_of_the_invitation_deletes_its_files(house: FileHouse) -> None:
    done = await house.send(b"1", icon=b"icon")
    await house.state(done.id, "sent")
    upload = await begin(house, 10)
    await upload.write(b"12345")
    await house.room.relation_ended(house.guest.account_id, "nobody")
    assert len(house.views()) == 2
    await house.room.relation_ended(house.guest.account_id, "a")
    assert house.views() == []
    await until(lambda: house.states(done.id)[-1:] == house.states(upload.id)[-1:] == ["expired"])
    await until(lambda: list(house.room.spool.folder.iterdir()) == [])
    assert house.room.spool.used == 0


async def test_a_guest_who_is_not_there_loses_files_too(house: FileHouse) -> None:
    done = await house.send(b"1")
    await house.state(done.id, "sent")
    account_id = house.guest.account_id
    await house.files.close()
    await house.room.relation_ended(account_id, None)
    assert list(house.room.spool.folder.iterdir()) == []


async def test_files_whose_time_is_over(house: FileHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    done = await house.send(b"1")
    await house.state(done.id, "sent")
    monkeypatch.setattr(room, "SWEEP", 0.01)
    await house.stop()
    house.now += 8 * 86400
    await house.start()
    await until(lambda: house.files.state(done.id).state == "expired")
    with pytest.raises(FileGone):
        await house.files.content(done.id)
    await until(lambda: list(house.room.spool.folder.iterdir()) == [])


async def test_a_file_ends_in_time(tmp_path: Path) -> None:
    async with file_house(tmp_path, ttl=0.2) as house:
        house.room.clock = time.time
        done = await house.send(b"1")
        await until(lambda: house.states(done.id)[-1:] == ["expired"], 5)
        await until(lambda: list(house.room.spool.folder.iterdir()) == [])


async def test_the_end_of_a_file_while_the_guest_listens(house: FileHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = await begin(house, 10)
    await house.files.expire("unknown")
    await house.files.expire(upload.id)
    await until(lambda: house.states() == ["uploading", "expired"])
    with pytest.raises(Conflict):
        await upload.write(b"1")


async def test_an_upload_goes_on_after_a_restart(house: FileHouse) -> None:
    upload = await begin(house, len(DATA))
    await upload.write(DATA[:1000])
    await house.stop()
    await house.start()
    view = house.files.state(upload.id)
    assert (view.state, view.octets) == ("uploading", 1000)
    again = await house.files.resume(upload.id, 1000, len(DATA))
    await again.write(DATA[1000:])
    await again.finish()
    await house.state(upload.id, "sent")
    assert house.phone.disk.content == DATA


async def test_a_crash_loses_what_was_written_after_the_last_checkpoint(
    house: FileHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guestfile, "CHECKPOINT", 1000)
    upload = await begin(house, len(DATA))
    await upload.write(DATA[:1000])
    await upload.write(DATA[1000:1500])
    await until(lambda: not house.room._tasks)
    record = await house.store.file(upload.id)
    assert record is not None and record.octets == 1000


async def test_sending_goes_on_after_a_restart(house: FileHouse) -> None:
    accept = house.phone.react_to_file
    house.phone.react_to_file = lambda offer: offer.reject(480)
    view = await house.send(DATA)
    await until(lambda: house.phone.offers)
    await house.stop()
    house.phone.react_to_file = accept
    await house.start()
    await house.state(view.id, "sent")
    assert house.phone.disk.content == DATA


async def test_the_guest_stays_logged_in_while_octets_move(house: FileHouse) -> None:
    assert house.guest.is_busy, "a stream is open"
    house.guest.feed._listeners = ()
    assert not house.guest.is_busy
    upload = await begin(house, 10)
    assert house.guest.is_busy
    await upload.leave()
    assert not house.guest.is_busy


async def test_no_files_where_there_are_none(house: FileHouse) -> None:
    house.guest.transfers = None
    with pytest.raises(Forbidden, match="not on offer"):
        _ = house.guest.files


async def test_what_agents_announce(tmp_path: Path) -> None:
    def only_im(house: FileHouse) -> None:
        house.relations = [relation("im")]

    async with file_house(tmp_path, only_im) as house:
        assert "filetransfer" not in house.guest.agent.contact()
        registers = house.around.core.methods().count("REGISTER")
        house.guest.relate(relation("im", "file"))
        assert "filetransfer" in house.guest.agent.contact() and "fthttp" in house.guest.agent.contact()
        await until(lambda: house.around.core.methods().count("REGISTER") > registers)
        house.guest.relate(relation("file"))
        assert "filetransfer" in house.guest.agent.contact() and "sip-im" not in house.guest.agent.contact()


async def test_notifications_bring_a_file_further(house: FileHouse) -> None:
    """D-IMD-14: displayed before delivered is displayed, and nothing goes back."""
    view = await house.send(b"1")
    await house.state(view.id, "sent")
    message_id = house.files.find(view.id).record.message_id
    assert not house.files.notified("a", "unknown", "delivered")
    assert house.files.notified("a", message_id, "displayed")
    assert house.files.notified("a", message_id, "delivered")
    await house.told("uploading", "sending", "sent", "displayed")


async def test_octets_wait_for_the_disk(house: FileHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.files import spool

    monkeypatch.setattr(spool, "HIGH_WATER", 1000)
    monkeypatch.setattr(spool, "LOW_WATER", 500)
    upload = await begin(house, len(DATA))
    await upload.write(DATA)
    assert not house.room.spool.is_pressed
    await upload.finish()


async def test_a_store_that_fails(house: FileHouse) -> None:
    upload = await begin(house, 1)
    await upload.write(b"1")
    await house.store.close()
    with pytest.raises(ServiceError):
        await upload.finish()
    with pytest.raises(ServiceError):
        await begin(house, 1)
    await house.store.open()


async def test_content_can_be_read_while_another_file_comes(house: FileHouse) -> None:
    house.phone.react_to_file = lambda offer: offer.answer(Files(), MemoryFile())
    views = await asyncio.gather(*(house.send(DATA[number:]) for number in range(4)))
    for number, view in enumerate(views):
        assert await fetch(await house.files.content(view.id)) == DATA[number:]
    for view in views:
        await house.state(view.id, "sent")
