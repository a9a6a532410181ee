"""Files over real sockets: D-FTM-03 to D-FTM-08, D-FTM-10, D-FTM-12, D-FTM-13."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sipstack.errors import LocalProtocolError, RequestFailed
from sipstack.im.imdn import ImdnRequest
from sipstack.msrp.message import MessageState
from sipstack.net import filereceiver
from sipstack.net.features import CHAT_FEATURES, FILE_FEATURES, joined
from sipstack.net.fileoffer import MAX_ICON, IncomingFile
from sipstack.net.filereceiver import FileReceiver
from sipstack.net.filesender import FileSender
from sipstack.net.filetransfer import FileTransfer
from sipstack.net.useragent import SilentAgent, UserAgent
from sipstack.sdp import SessionDescription
from sipstack.sdp_file import FileAttributes, FileRange, FileSelector
from sipstack.sdp_msrp import MediaRefused
from sipstack.sip.message import Request, Response
from sipstack.sip.transaction import ServerTransaction
from tests.sipstack.net.filehelpers import FilePhone, Files, MemoryFile, describe
from tests.sipstack.net.helpers import B, World, until, world

SMALL = b"hello file"
LARGE = bytes(range(256)) * 4096
HUGE = LARGE * 32
"""More than all the buffers between two programs hold."""


@asynccontextmanager
async def file_pair(**options: Any) -> AsyncIterator[tuple[World, UserAgent, UserAgent, FilePhone]]:
    """Start a world in which a and b are registered; b takes files."""
    async with world("tcp", **options) as around:
        phone = FilePhone()
        a, b = around.agent(around.a, "a"), around.agent(around.b, "b", phone)
        await a.register()
        await b.register()
        try:
            yield around, a, b, phone
        finally:
            await a.close()
            await b.close()


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


async def test_a_declined_file_is_a_failed_request() -> None:
    """D-FTM-13: decline = 603, with words."""
    async with file_pair() as (_, a, _b, phone):
        phone.react_to_file = lambda offer: offer.refuse(603, "not now")
        files = Files()
        with pytest.raises(RequestFailed) as caught:
            await a.send_file(B, describe(SMALL), MemoryFile(SMALL), files)
        assert caught.value.response.status == 603
        assert caught.value.response.warnings[0].text == "not now"
        assert not files.ended


async def test_who_takes_no_files_says_so() -> None:
    """D-FTM-13: an m-line that is refused → 488 in words."""
    async with file_pair() as (_, a, b, _phone):
        b.handler = SilentAgent()
        with pytest.raises(RequestFailed) as caught:
            await a.send_file(B, describe(SMALL), MemoryFile(SMALL), Files())
        assert caught.value.response.status == 488
        assert "no files" in caught.value.response.warnings[0].text


async def test_a_file_that_is_offered_says_what_it_has_to() -> None:
    """D-FTM-04, D-FTM-13: sendonly, all three selectors and the name, an id; tags of file transfer."""
    async with file_pair() as (around, a, _b, phone):
        files = Files()
        await a.send_file(B, describe(SMALL), MemoryFile(SMALL), files)
        await until(lambda: files.ended)
        invite = next(request for request in around.core.requests if request.method == "INVITE")
        assert "urn%3Aurn-7%3A3gpp-service.ims.icsi.oma.cpm.filetransfer" in (
            invite.headers.get("Accept-Contact") or ""
        )
        medium = SessionDescription.parse(invite.body).media[0]
        assert medium.attribute("sendonly") == ""
        offered = FileAttributes.of(medium)
        assert offered is not None and len(offered.transfer_id) == 32
        assert offered == replace(describe(SMALL), transfer_id=offered.transfer_id)
        assert phone.offers[0].attributes == offered


async def test_a_file_that_says_nothing_is_not_offered() -> None:
    """D-FTM-01, D-FTM-05: at least one selector; a push at least type, size or hash."""
    async with file_pair() as (_, a, _b, _phone):
        with pytest.raises(LocalProtocolError, match="type, its size or a hash"):
            await a.send_file(B, FileAttributes(FileSelector("x")), MemoryFile(), Files())
        with pytest.raises(LocalProtocolError, match="name, type, size or hash"):
            await a.fetch_file(B, FileAttributes(FileSelector()), MemoryFile(), Files())
        with pytest.raises(LocalProtocolError, match="an icon has"):
            await a.send_file(B, describe(SMALL), MemoryFile(), Files(), icon=("image/png", bytes(MAX_ICON + 1)))


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


async def test_a_preview_goes_with_the_offer() -> None:
    """D-FTM-10: multipart/related, found by its Content-ID."""
    async with file_pair() as (around, a, _b, phone):
        files = Files()
        await a.send_file(B, describe(SMALL), MemoryFile(SMALL), files, icon=("image/png", b"\x89PNG"))
        await until(lambda: files.ended)
        assert phone.offers[0].icon == ("image/png", b"\x89PNG")
        invite = next(request for request in around.core.requests if request.method == "INVITE")
        assert invite.content_type is not None and invite.content_type.full == "multipart/related"


async def test_a_peer_that_knows_no_multipart_gets_the_offer_without_preview() -> None:
    """D-FTM-10: 415 → once more as plain SDP."""
    async with file_pair() as (_, a, _b, phone):
        accept = phone.react_to_file

        def simple(offer: IncomingFile) -> None:
            if offer.attributes.icon is not None:
                offer.refuse(415, "application/sdp only")
            else:
                accept(offer)

        phone.react_to_file = simple
        files = Files()
        await a.send_file(B, describe(SMALL), MemoryFile(SMALL), files, icon=("image/png", b"\x89PNG"))
        await until(lambda: files.ended)
        assert files.reason == "done"
        assert [offer.icon is None for offer in phone.offers] == [False, True]
        phone.react_to_file = lambda offer: offer.refuse(415, "nothing")
        with pytest.raises(RequestFailed, match="415"):
            await a.send_file(B, describe(SMALL), MemoryFile(SMALL), Files())


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


async def test_a_file_that_the_peer_has_no_room_for_is_not_sent() -> None:
    """D-FTM-06, D-FTM-13: max-size must not be exceeded."""
    async with file_pair() as (_, a, _b, phone):
        unsaid = replace(describe(LARGE), selector=replace(describe(LARGE).selector, size=None))
        phone.react_to_file = lambda offer: offer.answer(phone.files, phone.disk, limit=1000)
        with pytest.raises(MediaRefused, match="the peer takes 17384"):
            await a.send_file(B, unsaid, MemoryFile(LARGE), Files())
        await until(lambda: phone.files.ended)
        assert phone.files.reason == "remote"


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


async def test_an_answer_to_options_tells_that_files_are_understood() -> None:
    """D-FTM-11: ``a=file-selector`` with no selectors, where SDP is asked for and files are taken."""
    async with file_pair() as (_, a, b, _phone):
        assert (await a.options(B)).body == b""
        b.features = joined(CHAT_FEATURES, FILE_FEATURES)
        response = await a.options(B)
        medium = SessionDescription.parse(response.body).media[0]
        assert (medium.port, medium.attribute("file-selector")) == (0, "")
        assert FileAttributes.of(medium) == FileAttributes(FileSelector())


OFFER = (
    "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=message 9 TCP/MSRP *\n"
    "a=accept-types:message/cpim text/plain\na=setup:active\na=path:msrp://127.0.0.1:9/x;tcp\n"
)


async def offer_by_hand(a: UserAgent, attributes: str) -> Response:
    """Send an INVITE whose medium has these attributes too, and return the final response."""
    body = (OFFER + attributes).replace("\n", "\r\n").encode()
    invite = a.create_request("INVITE", B, headers=[("Content-Type", "application/sdp")], body=body)
    return await a.endpoint.request(invite, digest=a.digest)


async def test_an_offer_of_a_chat_may_tell_of_that_too() -> None:
    """D-FTM-11: a selector without selectors makes no file."""
    async with file_pair() as (_, a, _b, phone):
        phone.react = lambda invitation: invitation.reject(486)
        assert (await offer_by_hand(a, "a=file-selector\n")).status == 486
        assert len(phone.invitations) == 1 and not phone.offers


async def test_malformed_offers_of_files_are_refused_in_words() -> None:
    """D-FTM-01, D-FTM-13: 488 with a Warning."""
    async with file_pair() as (_, a, _b, phone):
        response = await offer_by_hand(a, "a=sendonly\na=file-selector:size:many\n")
        assert (response.status, response.warnings[0].text) == (
            488,
            "file-selector size is no number of octets: 'many'",
        )
        assert not phone.offers


async def test_directions_must_fit() -> None:
    """D-FTM-04: a file for us is sendonly; nothing is transferred when nobody sends."""
    async with file_pair() as (_, a, _b, phone):
        told = "a=file-selector:size:10\na=file-transfer-id:x1\n"
        caught: list[Exception] = []

        def answer(offer: IncomingFile) -> None:
            with pytest.raises(MediaRefused, match="inactive") as error:
                offer.answer(phone.files, phone.disk)
            caught.append(error.value)

        phone.react_to_file = answer
        response = await offer_by_hand(a, f"a=inactive\n{told}")
        assert (response.status, len(caught)) == (488, 1)


async def test_a_peer_that_tells_no_transfer_id_gets_none() -> None:
    """D-FTM-03: copied into the answer; an old peer that has none is served all the same."""
    async with file_pair() as (around, a, _b, phone):
        response = await offer_by_hand(a, "a=sendonly\na=file-selector:size:10\n")
        assert response.status == 200
        medium = SessionDescription.parse(response.body).media[0]
        assert medium.attribute("recvonly") == ""
        assert FileAttributes.of(medium) == FileAttributes(FileSelector(size=10))
        phone.transfers[0].cancel()
        assert phone.files.reason == "local"


async def offer_again(around: World, transfer: FileTransfer, port: int | None = None) -> Response:
    """Send a re-INVITE with what the transfer says of itself, at this port, and return the final response."""
    offer, dialog = transfer.make_offer(active=True), transfer.dialog
    assert dialog is not None
    if port is not None:
        offer.media[0].port = port
    headers = [("Contact", transfer.agent.contact()), ("Content-Type", "application/sdp")]
    request = dialog.create_request("INVITE", headers=headers, body=bytes(offer))
    response = await around.a.request(request)
    dialog.receive_response(request, response)
    if response.is_success:
        around.a.send_stateless(dialog.create_ack(request.cseq.number), dialog.next_hop)
    return response


async def test_a_refusal_inside_a_session_mirrors_the_file() -> None:
    """D-FTM-03, D-FTM-07: a re-INVITE with port 0 ends the transfer; the answer has port 0, selector and id."""
    async with file_pair() as (around, a, _b, phone):
        files, source = Files(), MemoryFile(HUGE)
        transfer = await a.send_file(B, describe(HUGE), source, files)
        await until(lambda: phone.files.progress)
        response = await offer_again(around, transfer, port=0)
        medium = SessionDescription.parse(response.body).media[0]
        assert medium.port == 0
        assert medium.attribute("file-transfer-id") == transfer.attributes.transfer_id
        assert FileAttributes.of(medium) is not None
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.files.reason) == ("remote", "remote")


async def test_the_same_file_offered_again_is_no_new_transfer() -> None:
    """D-FTM-03: re-INVITE repeats the id: the same again; a new id or another file by the same id is refused."""
    async with file_pair() as (around, a, _b, phone):
        files = Files()
        transfer = await a.send_file(B, describe(HUGE), MemoryFile(HUGE), files)
        await until(lambda: phone.files.progress)
        known = transfer.attributes
        response = await offer_again(around, transfer)
        medium = SessionDescription.parse(response.body).media[0]
        assert medium.attribute("file-transfer-id") == known.transfer_id
        transfer.attributes = replace(known, transfer_id="another")
        assert (await offer_again(around, transfer)).status == 488
        assert transfer.is_open and not phone.files.ended
        transfer.attributes = replace(known, selector=replace(known.selector, size=7))
        assert (await offer_again(around, transfer)).status == 488
        # RFC 5547 section 8.1: this is considered an error, and the answerer must abort.
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.files.reason) == ("cancelled", "local")
