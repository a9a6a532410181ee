"""Files over MSRP between a guest and a subscriber's phone, over real sockets: D-FTM-04, D-FTM-05, D-FTM-07,
D-FTM-08, D-FTM-10, D-FTM-12, D-FTM-13."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.files import guestfile
from sipstack.net.fileoffer import IncomingFile
from sipstack.net.filetransfer import FileTransfer
from sipstack.sdp_file import FileAttributes, FileSelector
from tests.gateway.files.house import FileHouse, fetch, file_house
from tests.sipstack.net.filehelpers import Files, MemoryFile, describe
from tests.sipstack.net.helpers import B, until

SMALL = b"hello file"
LARGE = random.Random(1).randbytes(20 << 20)
"""More than the buffers of two sockets hold."""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[FileHouse]:
    async with file_house(tmp_path) as house:
        yield house


# to the inviter


@pytest.mark.parametrize("data", [SMALL, LARGE, b""], ids=["small", "large", "empty"])
async def test_a_file_to_the_inviter(house: FileHouse, data: bytes) -> None:
    """D-FTM-04: name, type, size and hash are in the offer, for all of it was spooled before."""
    view = await house.send(data, content_type="text/plain")
    assert view.state == "sending" and view.hash == hashlib.sha256(data).hexdigest()
    done = await house.state(view.id, "sent")
    assert house.phone.disk.content == data
    assert done.octets == done.size == len(data)
    selector = house.phone.offers[0].attributes.selector
    assert selector == FileSelector("a b.txt", "text/plain", len(data), {"sha-1": hashlib.sha1(data).digest()})
    await house.told("uploading", "sending", "sent")
    assert await fetch(await house.files.content(view.id)) == data, "another client of the guest can have it too"


async def test_progress_is_told_but_not_at_each_octet(house: FileHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guestfile, "TELL_INTERVAL", 0.0)
    await house.send(LARGE)
    await house.told("uploading", "sending", "sent")
    octets = [event.file.octets for event in house.heard if event is not None and event.file is not None]
    sending = octets[octets.index(0, 1) :]
    assert octets[-1] == len(LARGE) and sending == sorted(sending)
    assert 5 < len(octets) <= 2 * guestfile.STEPS + 3


async def test_a_thumbnail_goes_along(house: FileHouse) -> None:
    """D-FTM-10."""
    view = await house.send(SMALL, icon=b"\x89PNG")
    await house.state(view.id, "sent")
    assert house.phone.offers[0].icon == ("image/png", b"\x89PNG")
    content = await house.files.thumbnail(view.id)
    assert (content.content_type, await fetch(content)) == ("image/png", b"\x89PNG")


async def test_a_declined_file(house: FileHouse) -> None:
    """D-FTM-13: 603 is the end of it."""
    house.phone.react_to_file = lambda offer: offer.refuse(603, "no")
    view = await house.send(SMALL)
    declined = await house.state(view.id, "declined")
    assert declined.cause is not None and declined.cause.code == 603
    assert len(house.phone.offers) == 1


async def test_a_busy_device_is_asked_again(house: FileHouse) -> None:
    accept = house.phone.react_to_file
    house.phone.react_to_file = lambda offer: offer.reject(486) if len(house.phone.offers) < 3 else accept(offer)
    view = await house.send(SMALL)
    await house.state(view.id, "sent")
    assert len(house.phone.offers) == 3


async def test_what_is_refused_for_good_fails(house: FileHouse) -> None:
    house.phone.react_to_file = lambda offer: offer.refuse(413, "too large for me")
    view = await house.send(SMALL)
    failed = await house.state(view.id, "failed")
    assert failed.reason and failed.cause is not None and failed.cause.code == 413
    assert failed.cause.warning is not None and failed.cause.warning[0].text == "too large for me"


async def test_an_absent_inviter_is_waited_for_so_long(tmp_path: Path) -> None:
    from gateway.config.types import RetrySection

    retry = RetrySection(first=0.01, longest=0.02, deadline=0.1)
    async with file_house(tmp_path, retry=retry) as house:
        house.phone.react_to_file = lambda offer: offer.reject(480)
        view = await house.send(SMALL)
        failed = await house.state(view.id, "failed")
        assert failed.reason is not None and failed.reason.startswith("Given up")


async def test_the_inviter_cancels(house: FileHouse) -> None:
    """D-FTM-07: 413 from the receiver."""

    def enough(transfer: FileTransfer, octets: int) -> None:
        transfer.cancel()

    house.phone.files.on_progress = enough
    view = await house.send(LARGE)
    cancelled = await house.state(view.id, "cancelled")
    assert cancelled.reason == "By the other side."
    assert len(house.phone.offers) == 1
    await until(lambda: not house.room.spool.path(view.id).exists())
    assert house.room.spool.used == 0


async def test_the_guest_cancels(house: FileHouse) -> None:
    """D-FTM-07: ``#`` from the sender."""
    going = asyncio.Event()
    house.phone.files.on_progress = lambda transfer, octets: going.set()
    view = await house.send(LARGE)
    await going.wait()
    assert (await house.files.cancel(view.id)).state == "cancelled"
    await until(lambda: house.phone.files.ended)
    assert house.phone.files.reason == "cancelled"
    await until(lambda: not house.room.spool.path(view.id).exists())
    await house.told("uploading", "sending", "cancelled")


def cut(house: FileHouse, transfer: FileTransfer) -> None:
    """Cut the wire of a transfer."""
    connection = transfer.msrp.connection
    if connection is not None:
        asyncio.get_running_loop().call_soon(house.around.a.hub._links[connection].abort)


def forbid_healing(house: FileHouse) -> None:
    """Answer 481 to every re-INVITE, so that a cut wire ends its transfer."""
    take = house.around.core.endpoint.on_request
    assert take is not None

    def refuse(transaction, request):  # type: ignore[no-untyped-def]  # as the endpoint calls it
        if request.method != "INVITE" or request.to.tag is None:
            return take(transaction, request)
        house.around.core.endpoint.reply(transaction, 481)
        return True

    house.around.core.endpoint.on_request = refuse


@pytest.mark.parametrize("healing", [True, False], ids=["re-INVITE", "new transfer"])
async def test_ten_interruptions_on_the_way_out(house: FileHouse, healing: bool) -> None:
    """D-FTM-08: it goes on from the octet where it broke off, with a new transfer id."""
    if not healing:
        forbid_healing(house)
    edges = sorted(random.Random(7).sample(range(1, len(LARGE)), 10))
    cuts: list[int] = []

    def progressed(transfer: FileTransfer, octets: int) -> None:
        if len(cuts) < len(edges) and octets > edges[len(cuts)]:
            while len(cuts) < len(edges) and octets > edges[len(cuts)]:
                cuts.append(octets)
            cut(house, transfer)

    house.phone.files.on_progress = progressed
    accept = house.phone.react_to_file

    def again(offer: IncomingFile) -> None:
        house.phone.files.ended.clear()
        accept(offer)

    house.phone.react_to_file = again
    view = await house.send(LARGE)
    await house.state(view.id, "sent", 60)
    assert house.phone.disk.content == LARGE
    assert len(set(cuts)) > 2
    if not healing:
        ids = [offer.attributes.transfer_id for offer in house.phone.offers]
        assert len(set(ids)) == len(ids) > 2
        assert house.phone.offers[-1].attributes.start > 1


# from the inviter


async def offer(house: FileHouse, data: bytes, **changes: object) -> Files:
    """Offer a file as the inviter's phone; return what the phone is told."""
    files = Files()
    await house.alice.send_file(B, describe(data), MemoryFile(data), files)
    return files


@pytest.mark.parametrize("data", [SMALL, LARGE, b""], ids=["small", "large", "empty"])
async def test_a_file_from_the_inviter(house: FileHouse, data: bytes) -> None:
    """D-FTM-12: ready only when it is durable and its hash is right; then it can be fetched, whole and in parts."""
    told = await offer(house, data)
    await until(lambda: told.ended, 30)
    assert told.reason == "done"
    view = await house.only("ready")
    assert (view.name, view.content_type, view.size) == ("notes.txt", "text/plain", len(data))
    assert view.hash == hashlib.sha256(data).hexdigest()
    await house.told("receiving", "ready")
    content = await house.files.content(view.id)
    assert content.etag == f'"{view.hash}"'
    assert await fetch(content) == data
    await house.told("receiving", "ready", "displayed")
    assert await fetch(await house.files.content(view.id), 3, 5) == data[3:5]


async def test_the_sender_is_told_what_becomes_of_a_file(house: FileHouse) -> None:
    """D-IMD-11: delivered when it is there, displayed when the guest has fetched it; by MESSAGE as no chat is open."""
    files = Files()
    transfer = await house.alice.send_file(B, describe(SMALL), MemoryFile(SMALL), files, notify=True)
    view = await house.only("ready")
    await until(lambda: len(house.phone.pages) == 1)
    await fetch(await house.files.content(view.id))
    await until(lambda: len(house.phone.pages) == 2)
    await fetch(await house.files.content(view.id))
    for page, word in zip(house.phone.pages, (b"<delivered/>", b"<displayed/>"), strict=True):
        assert word in page.body and transfer.message_id.encode() in page.body


async def test_a_file_with_a_wrong_hash(house: FileHouse) -> None:
    """D-FTM-12: the sender is told, and nobody gets it."""
    files, memory = Files(), MemoryFile(SMALL)
    memory.spoil = lambda start, data: b"X" * len(data)
    await house.alice.send_file(B, describe(SMALL), memory, files)
    await until(lambda: files.ended)
    assert files.reason == "refused"
    view = await house.only("failed")
    assert view.reason is not None and "hash" in view.reason
    assert house.room.spool.used == 0


async def refusal(house: FileHouse, attributes: FileAttributes) -> tuple[int, str]:
    """Return status and words with which an offer is refused."""
    from sipstack.errors import RequestFailed

    with pytest.raises(RequestFailed) as caught:
        await house.alice.send_file(B, attributes, MemoryFile(SMALL), Files())
    response = caught.value.response
    return response.status, response.warnings[0].text


async def test_offers_that_are_refused(house: FileHouse) -> None:
    house.room.limits = type(house.limits)(max_size=5, deny=("application/*",))
    assert await refusal(house, describe(SMALL)) == (
        413,
        "The file has 10 octets; the limit files.max_size is 5.",
    )
    status, words = await refusal(house, describe(b"x", content_type="application/zip"))
    assert status == 488 and "application/zip" in words
    assert house.views() == []


async def test_no_more_than_a_guest_may_have(tmp_path: Path) -> None:
    async with file_house(tmp_path, guest_bytes=15, guest_files=2) as house:
        await offer(house, SMALL)
        await house.only("ready")
        status, words = await refusal(house, describe(SMALL + b"x"))
        assert status == 413 and "files.guest_bytes" in words


async def test_only_with_an_invitation_for_files(tmp_path: Path) -> None:
    from tests.gateway.files.house import relation

    def only_im(house: FileHouse) -> None:
        house.relations = [relation("im")]

    async with file_house(tmp_path, only_im) as house:
        assert (await refusal(house, describe(SMALL)))[0] == 403


async def test_files_are_not_pulled(house: FileHouse) -> None:
    """D-FTM-05."""
    from sipstack.errors import RequestFailed

    with pytest.raises(RequestFailed, match="488"):
        await house.alice.fetch_file(B, FileAttributes(FileSelector("x")), MemoryFile(), Files())


async def test_a_guest_who_is_asked(tmp_path: Path) -> None:
    async with file_house(tmp_path, accept="ask") as house:
        offering = asyncio.ensure_future(offer(house, SMALL))
        await house.told("offered")
        view = house.views()[0]
        assert not offering.done()
        assert (await house.files.accept(view.id)).state == "receiving"
        await offering
        await house.state(view.id, "ready")
        await house.told("offered", "receiving", "ready")


async def test_a_guest_who_declines(tmp_path: Path) -> None:
    async with file_house(tmp_path, accept="ask") as house:
        asking = asyncio.ensure_future(refusal(house, describe(SMALL)))
        await house.told("offered")
        view = house.views()[0]
        assert (await house.files.cancel(view.id)).state == "declined"
        assert (await asking)[0] == 603


async def test_a_guest_who_does_not_answer(tmp_path: Path) -> None:
    async with file_house(tmp_path, accept="ask", answer_timeout=0.1) as house:
        with pytest.raises(Exception, match="480"):
            await offer(house, SMALL)
        await house.only("failed")


async def test_an_inviter_who_gives_up_asking(tmp_path: Path) -> None:
    async with file_house(tmp_path, accept="ask") as house:
        asking = asyncio.ensure_future(offer(house, SMALL))
        await house.told("offered")
        asking.cancel()
        await house.only("cancelled")


async def test_the_inviter_cancels_a_file_to_the_guest(house: FileHouse) -> None:
    """D-FTM-07: ``#`` frees what came."""
    files = Files()
    files.on_progress = lambda transfer, octets: transfer.cancel()
    await house.alice.send_file(B, describe(LARGE), MemoryFile(LARGE), files)
    view = await house.only("cancelled")
    await until(lambda: not house.room.spool.path(view.id).exists())
    assert house.room.spool.used == 0


async def test_the_guest_cancels_a_file_of_the_inviter(house: FileHouse) -> None:
    """D-FTM-07: 413 to the sender."""
    files = Files()
    going = asyncio.Event()
    files.on_progress = lambda transfer, octets: going.set()
    await house.alice.send_file(B, describe(LARGE), MemoryFile(LARGE), files)
    await going.wait()
    await house.files.cancel(house.views()[0].id)
    await until(lambda: files.ended)
    assert files.reason == "cancelled"
    await house.told("receiving", "cancelled")


async def test_ten_interruptions_on_the_way_in(house: FileHouse) -> None:
    """D-FTM-08: what broke off is gone on with by an offer of the rest, and is whole at the end."""
    forbid_healing(house)
    edges = sorted(random.Random(8).sample(range(1, len(LARGE)), 10))
    there, transfers = 0, 0
    while True:
        files = Files()
        edge = next((edge for edge in edges if edge > there), None)

        def progressed(transfer: FileTransfer, octets: int, edge: int | None = edge) -> None:
            if edge is not None and octets > edge:
                cut(house, transfer)

        files.on_progress = progressed
        transfer = await house.alice.send_file(B, describe(LARGE), MemoryFile(LARGE), files, start=there + 1)
        transfers += 1
        await until(lambda files=files: files.ended, 30)  # type: ignore[misc]  # a lambda with a default
        if files.reason == "done":
            break
        there = transfer.transferred
    assert transfers > 3
    view = await house.only("ready")
    assert await fetch(await house.files.content(view.id)) == LARGE
    await house.told("receiving", "ready", "displayed")


async def test_a_part_of_an_unknown_file_is_refused(house: FileHouse) -> None:
    from sipstack.errors import RequestFailed

    with pytest.raises(RequestFailed, match="488"):
        await house.alice.send_file(B, describe(SMALL), MemoryFile(SMALL), Files(), start=5)
