"""Files over real sockets: D-FTM-03 to D-FTM-08, D-FTM-10, D-FTM-12, D-FTM-13."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from sipstack.errors import LocalProtocolError, RequestFailed
from sipstack.im.imdn import ImdnRequest
from sipstack.msrp.message import MessageState
from sipstack.net import filereceiver
from sipstack.net.fileoffer import IncomingFile
from sipstack.net.filereceiver import FileReceiver
from sipstack.net.filesender import FileSender
from sipstack.net.filetransfer import FileTransfer
from sipstack.sdp_file import FileAttributes, FileRange, FileSelector
from sipstack.sdp_msrp import MediaRefused
from sipstack.sip.message import Request
from sipstack.sip.transaction import ServerTransaction
from tests.sipstack.net.filehelpers import HUGE, LARGE, SMALL, FilePhone, Files, MemoryFile, describe, file_pair
from tests.sipstack.net.helpers import B, World, until


@pytest.mark.parametrize("octets", [SMALL, LARGE, b""], ids=["small", "large", "empty"])
async def test_a_file_is_pushed(octets: bytes) -> None:
    """D-FTM-04, D-FTM-06, D-FTM-12: sendonly; the sender hangs up when the last octet is acknowledged."""
    async with file_pair() as (_, a, _b, phone):
        files = Files()
        transfer = await a.send_file(B, describe(octets), MemoryFile(octets), files)
        assert transfer.sending and not phone.transfers[0].sending
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.files.reason) == ("done", "done")
        assert phone.disk.content == octets
        assert files.sent == [transfer]
        assert not transfer.is_open
        await until(lambda: not phone.transfers[0].is_open)
        if octets:
            assert files.progress[-1] == phone.files.progress[-1] == len(octets)
        offer = phone.offers[0]
        assert offer.direction == "push"
        assert offer.attributes.selector == describe(octets).selector


@pytest.mark.parametrize(
    "content_type", ["application/vnd.gsma.rcspushlocation+xml", "application/x-nobody-knows", None]
)
async def test_a_type_that_nobody_knows_is_kept(content_type: str | None) -> None:
    """D-FTH-07: a geolocation is an opaque attachment, as any other type; a file may have none."""
    async with file_pair() as (_, a, _b, phone):
        files = Files()
        await a.send_file(B, describe(SMALL, "place.xml", content_type), MemoryFile(SMALL), files)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.disk.content) == ("done", SMALL)
        assert phone.offers[0].attributes.selector.content_type == content_type


async def test_a_file_is_pulled() -> None:
    """D-FTM-05: recvonly with a selector; the answer tells all; the answerer sends and hangs up."""
    async with file_pair() as (around, a, _b, phone):
        file, served = describe(LARGE).selector, Files()
        phone.react_to_file = lambda offer: phone.transfers.append(offer.serve(served, MemoryFile(LARGE), file))
        files, disk = Files(), MemoryFile()
        files.file = disk
        wanted = FileAttributes(FileSelector(hashes=file.hashes))
        transfer = await a.fetch_file(B, wanted, disk, files, limit=2 * len(LARGE))
        assert transfer.attributes.selector == file
        await until(lambda: files.ended and served.ended)
        assert (files.reason, served.reason) == ("done", "done")
        assert disk.content == LARGE
        offer = phone.offers[0]
        assert (offer.direction, offer.attributes.selector) == ("pull", wanted.selector)
        with pytest.raises(LocalProtocolError):
            offer.answer(files, disk)
        await until(lambda: "BYE" in around.core.methods())


async def test_pulls_may_be_refused() -> None:
    """D-FTM-05: no match."""
    async with file_pair() as (_, a, _b, phone):
        phone.react_to_file = lambda offer: offer.refuse(488, "no such file")
        with pytest.raises(RequestFailed, match="488"):
            await a.fetch_file(B, FileAttributes(FileSelector("x")), MemoryFile(), Files())


async def test_what_is_fetched_must_not_be_larger_than_allowed() -> None:
    """D-FTM-05: the answer tells the size."""
    async with file_pair() as (_, a, _b, phone):
        served = Files()

        def serve(offer: IncomingFile) -> None:
            with pytest.raises(MediaRefused, match="1048576 octets"):
                offer.serve(served, MemoryFile(LARGE), describe(LARGE).selector)

        phone.react_to_file = serve
        with pytest.raises(RequestFailed, match="488"):
            await a.fetch_file(B, FileAttributes(FileSelector("notes.txt")), MemoryFile(), Files(), limit=1000)
        assert not served.ended


async def test_the_sender_cancels_in_the_middle() -> None:
    """D-FTM-07: MSRP ``#``, then BYE, at 50 %."""
    async with file_pair() as (around, a, _b, phone):
        files = Files()

        def half(transfer: FileTransfer, octets: int) -> None:
            if octets > len(HUGE) // 2:
                transfer.cancel()
                transfer.cancel()

        files.on_progress = half
        transfer = await a.send_file(B, describe(HUGE), MemoryFile(HUGE), files)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.files.reason) == ("local", "cancelled")
        assert len(HUGE) // 2 < transfer.transferred < len(HUGE)
        await until(lambda: not transfer.is_open and not phone.transfers[0].is_open)
        assert around.core.methods().count("BYE") == 1


async def test_the_receiver_cancels_in_the_middle() -> None:
    """D-FTM-07: 413, then BYE of the sender, at 50 %."""
    async with file_pair() as (around, a, _b, phone):
        files = Files()

        def half(transfer: FileTransfer, octets: int) -> None:
            if octets > len(LARGE) // 2:
                transfer.cancel()

        phone.files.on_progress = half
        transfer = await a.send_file(B, describe(LARGE), MemoryFile(LARGE), files)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.files.reason) == ("cancelled", "local")
        await until(lambda: not transfer.is_open and not phone.transfers[0].is_open)
        assert around.core.methods().count("BYE") == 1
        assert phone.transfers[0].transferred < len(LARGE)


async def test_a_file_is_cancelled_while_it_is_checked() -> None:
    """D-FTM-07: the last chunk is not answered yet, so it gets the 413; a verdict that comes later changes nothing."""
    async with file_pair() as (_, a, _b, phone):
        phone.files.hold, files = True, Files()
        await a.send_file(B, describe(SMALL), MemoryFile(SMALL), files)
        await until(lambda: phone.files.received)
        phone.transfers[0].cancel()
        phone.files.received[0].accept()
        phone.files.received[0].reject()
        phone.files.received[0].withdraw()
        await until(lambda: files.ended)
        assert (files.reason, phone.files.reason) == ("cancelled", "local")


async def test_a_bye_in_the_middle_is_told_apart() -> None:
    """D-FTM-07: the peer may have lost its connection."""
    async with file_pair() as (_, a, _b, phone):
        files = Files()
        files.on_progress = lambda transfer, octets: transfer.hang_up()
        await a.send_file(B, describe(HUGE), MemoryFile(HUGE), files)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.files.reason) == ("local", "remote")


async def test_the_rest_of_a_file_is_sent() -> None:
    """D-FTM-08, D-FTM-03: resume from 5001 with a new id; MSRP counts from 1 anew."""
    async with file_pair() as (_, a, _b, phone):
        phone.disk.write(0, LARGE[:5000])
        files, told = Files(), replace(describe(LARGE), transfer_id="q8WnT2pLzvYx0b4R")
        transfer = await a.send_file(B, told, MemoryFile(LARGE), files, start=5001)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.files.reason) == ("done", "done")
        assert phone.disk.content == LARGE
        attributes = phone.offers[0].attributes
        assert attributes.range == FileRange(5001)
        assert attributes.transfer_id == transfer.attributes.transfer_id != "q8WnT2pLzvYx0b4R"
        assert min(phone.files.progress) > 5000
        assert files.progress[-1] == len(LARGE)


async def test_a_sender_that_never_begins_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """D-FTM-07: RFC 5547 section 8.4 wants measures against states that hang."""
    monkeypatch.setattr(filereceiver, "START_TIMEOUT", 0.05)
    monkeypatch.setattr(FileSender, "session_opened", lambda self, session: None)
    async with file_pair() as (_, a, _b, phone):
        files = Files()
        transfer = await a.send_file(B, describe(LARGE), MemoryFile(LARGE), files)
        assert transfer.resumable == 0
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.files.reason) == ("remote", "timeout")


async def test_the_rest_of_a_file_is_fetched() -> None:
    """D-FTM-08: the range that the receiver asks for."""
    async with file_pair() as (_, a, _b, phone):
        served, file = Files(), describe(LARGE)
        phone.react_to_file = lambda offer: offer.serve(served, MemoryFile(LARGE), file.selector)
        files, disk = Files(), MemoryFile(LARGE[:70000])
        files.file = disk
        await a.fetch_file(B, file, disk, files, start=70001)
        await until(lambda: files.ended and served.ended)
        assert (files.reason, disk.content) == ("done", LARGE)
        # a part in the middle
        files, disk = Files(), MemoryFile()
        await a.fetch_file(B, replace(file, range=FileRange(11, 20), transfer_id=""), disk, files)
        await until(lambda: files.ended)
        assert (files.reason, disk.content) == ("done", bytes(10) + LARGE[10:20])


async def test_a_corrupt_octet_fails_the_file() -> None:
    """D-FTM-12: corrupt octet → failed on both sides."""
    async with file_pair() as (_, a, _b, phone):
        source, files = MemoryFile(LARGE), Files()
        source.spoil = lambda start, data: b"X" + data[1:] if start > 50000 else data
        await a.send_file(B, describe(LARGE), source, files)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.files.reason) == ("refused", "refused")
        assert "sha-1" in str(phone.files.ended[0][1])


async def test_another_size_than_announced_fails_the_file() -> None:
    """D-FTM-12: the other selectors; too much is stopped, too little is found at the end."""
    async with file_pair() as (_, a, _b, phone):
        for octets, reason, told in ((LARGE[:-1], "mismatch", "refused"), (LARGE + b"x", "refused", "cancelled")):
            phone.files, files = Files(), Files()
            await a.send_file(B, describe(LARGE), MemoryFile(octets), files)
            await until(lambda: files.ended, 20)  # noqa: B023
            assert files.reason == told
            await until(lambda: not phone.transfers[-1].is_open)
            assert [found for found, _ in phone.files.ended] in ([reason], ["remote"])


async def test_a_source_that_fails_ends_the_transfer() -> None:
    """D-FTM-07: the peer is told to drop what it has."""
    async with file_pair() as (_, a, _b, phone):
        source, files = MemoryFile(LARGE), Files()

        def fail(start: int, data: bytes) -> bytes:
            if start > 100000:
                raise OSError("the disk is gone")
            return data

        source.spoil = fail
        await a.send_file(B, describe(LARGE), source, files)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, str(files.ended[0][1])) == ("unreadable", "the disk is gone")
        assert phone.files.reason == "cancelled"


async def test_two_files_are_two_sessions_on_one_connection() -> None:
    """D-FTM-06: one file per session; one TCP connection is enough."""
    async with file_pair() as (around, a, _b, phone):
        disks = [MemoryFile(), MemoryFile()]
        phone.react_to_file = lambda offer: phone.transfers.append(
            offer.answer(phone.files, disks[len(phone.transfers)])
        )
        phone.files.file = None
        files = [Files(), Files()]
        octets = [LARGE, LARGE[::-1]]
        transfers = await asyncio.gather(
            *(a.send_file(B, describe(data), MemoryFile(data), told) for data, told in zip(octets, files, strict=True))
        )
        assert transfers[0].msrp is not transfers[1].msrp
        assert len({transfer.msrp.connection for transfer in transfers}) == 1
        await until(lambda: all(told.ended for told in files) and len(phone.files.ended) == 2)
        assert [told.reason for told in files] == ["done", "done"]
        assert {disk.content for disk in disks} == set(octets)


async def test_nothing_else_goes_by_the_session_of_a_file() -> None:
    """D-FTM-06: never a second file or chat text on it, neither way."""
    async with file_pair() as (_, a, _b, phone):
        phone.files.hold, files = True, Files()
        transfer = await a.send_file(B, describe(SMALL), MemoryFile(SMALL), files)
        await until(lambda: phone.files.received)
        for session in (transfer.msrp, phone.transfers[0].msrp):
            message = session.send(b"hello", "text/plain", is_control=True)
            await until(lambda: message.state is MessageState.FAILED)  # noqa: B023  # awaited in the same turn
            assert message.status == 403
        phone.files.received[0].accept()
        await until(lambda: files.ended)
        assert (files.reason, phone.files.reason) == ("done", "done")


async def test_the_owner_may_take_its_time_over_the_end_of_the_dialog() -> None:
    """D-FTM-12: a file that is whole waits for its check, whatever becomes of the session."""
    async with file_pair() as (_, a, _b, phone):
        phone.files.hold, files = True, Files()
        transfer = await a.send_file(B, describe(SMALL), MemoryFile(SMALL), files)
        await until(lambda: phone.files.received)
        await transfer.close()
        await until(lambda: not phone.transfers[0].is_open)
        assert not phone.files.ended
        phone.files.received[0].accept()
        assert phone.files.reason == "done"


async def test_whoever_asks_for_notifications_wraps_the_file() -> None:
    """D-FTM-13: message/cpim-wrapped or bare, as negotiated."""
    async with file_pair() as (_, a, _b, phone):
        files = Files()
        transfer = await a.send_file(B, describe(LARGE), MemoryFile(LARGE), files, notify=True)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.disk.content) == ("done", LARGE)
        received = phone.transfers[0]
        assert isinstance(received, FileReceiver) and received.wrapper is not None
        asked = ImdnRequest.of(received.wrapper)
        assert asked is not None and asked.message_id == transfer.message_id
        assert received.wrapper.content_type == "text/plain"


def cut_at(around: World, phone: FilePhone, octets: int, then: Callable[[], None] = lambda: None) -> None:
    """Cut the wire once, when the receiver has so many octets."""
    phone.files.on_progress = lambda transfer, there: cut() if there > octets else None

    def cut() -> None:
        phone.files.on_progress = lambda transfer, there: None
        connection = phone.transfers[-1].msrp.connection
        if connection is not None:
            asyncio.get_running_loop().call_soon(around.b.hub._links[connection].abort)
        then()


@pytest.mark.parametrize("seed", [5547, 4975])
async def test_a_wire_that_is_cut_ten_times_is_healed_as_often(seed: int) -> None:
    """D-FTM-08: re-INVITEs bring new connections, on which the transfer goes on; no octet is lost."""
    async with file_pair() as (around, a, _b, phone):
        files, places = Files(), sorted(Random(seed).sample(range(len(HUGE)), 10))

        def cut_next() -> None:
            if places:
                cut_at(around, phone, places.pop(0), cut_next)

        cut_next()
        await a.send_file(B, describe(HUGE), MemoryFile(HUGE), files)
        await until(lambda: files.ended and phone.files.ended, 60)
        assert (files.reason, phone.files.reason, phone.disk.content == HUGE) == ("done", "done", True)
        assert 2 <= around.core.methods().count("INVITE") <= 11 and not places


async def test_a_transfer_that_broke_off_is_resumed_by_another() -> None:
    """D-FTM-03, D-FTM-08: a new transfer from the byte where the last one broke."""
    async with file_pair() as (around, a, _b, phone):
        files = Files()
        cut_at(around, phone, len(HUGE) // 2)
        take = around.core.endpoint.on_request
        assert take is not None

        def refuse(transaction: ServerTransaction, request: Request) -> bool:
            if request.method != "INVITE" or request.to.tag is None:
                return take(transaction, request)
            around.core.endpoint.reply(transaction, 481)
            return True

        around.core.endpoint.on_request = refuse
        transfer = await a.send_file(B, describe(HUGE), MemoryFile(HUGE), files)
        await until(lambda: files.ended and phone.files.ended)
        assert {files.reason, phone.files.reason} <= {"connection-lost", "remote"}
        there, phone.files.ended = transfer.resumable, []
        assert there <= phone.transfers[0].resumable == phone.transfers[0].transferred
        assert 0 < there < len(HUGE)
        files = Files()
        again = await a.send_file(B, transfer.attributes, MemoryFile(HUGE), files, start=there + 1)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.files.reason, phone.disk.content == HUGE) == ("done", "done", True)
        assert again.attributes.transfer_id != transfer.attributes.transfer_id
