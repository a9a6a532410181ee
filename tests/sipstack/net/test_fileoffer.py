"""What is said about files before they go: D-FTM-01, D-FTM-03 to D-FTM-06, D-FTM-10, D-FTM-11, D-FTM-13."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sipstack.errors import LocalProtocolError, RequestFailed
from sipstack.net import filetransfer
from sipstack.net.features import CHAT_FEATURES, FILE_FEATURES, joined
from sipstack.net.fileoffer import MAX_ICON, IncomingFile
from sipstack.net.filereceiver import FileReceiver
from sipstack.net.filetransfer import FileTransfer
from sipstack.net.media import Taken
from sipstack.net.useragent import SilentAgent, UserAgent
from sipstack.sdp import MediaDescription, SessionDescription
from sipstack.sdp_file import FileAttributes, FileSelector, describe_file
from sipstack.sdp_msrp import Direction, MediaRefused
from sipstack.sip.message import Response
from tests.sipstack.net.certificates import make_tls
from tests.sipstack.net.filehelpers import HUGE, LARGE, SMALL, Files, MemoryFile, describe, file_pair
from tests.sipstack.net.helpers import B, World, until


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


@pytest.mark.parametrize(
    ("types", "wrapped", "form"),
    [
        (("message/cpim",), ("*",), "wrapped"),
        (("message/cpim", "text/plain"), ("text/*",), "wrapped"),
        (("text/*", "message/cpim"), ("*",), "bare"),
        (("text/plain",), (), "bare"),
    ],
)
async def test_the_file_goes_in_the_form_that_the_peer_prefers(
    monkeypatch: pytest.MonkeyPatch, types: tuple[str, ...], wrapped: tuple[str, ...], form: str
) -> None:
    """D-FTM-13: as negotiated."""
    monkeypatch.setattr(FileReceiver, "taken", lambda self: Taken(types, wrapped, None))
    async with file_pair() as (_, a, _b, phone):
        files = Files()
        await a.send_file(B, describe(SMALL), MemoryFile(SMALL), files)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.disk.content) == ("done", SMALL)
        received = phone.transfers[0]
        assert isinstance(received, FileReceiver) and (received.wrapper is not None) == (form == "wrapped")


@pytest.mark.parametrize(("types", "wrapped"), [(("message/cpim",), ("image/*",)), (("message/cpim",), ())])
async def test_a_file_is_not_sent_in_a_form_that_the_peer_does_not_take(
    monkeypatch: pytest.MonkeyPatch, types: tuple[str, ...], wrapped: tuple[str, ...]
) -> None:
    """D-FTM-13: the answer decides; the dialog ends at once."""
    monkeypatch.setattr(FileReceiver, "taken", lambda self: Taken(types, wrapped, None))
    async with file_pair() as (_, a, _b, phone):
        with pytest.raises(MediaRefused, match="does not take text/plain"):
            await a.send_file(B, describe(SMALL), MemoryFile(SMALL), Files())
        await until(lambda: phone.files.ended)
        assert phone.files.reason == "remote"


async def test_an_answer_without_a_word_about_the_file_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """D-FTM-04: be liberal in what is read; but the rest of a file is not sent to who may take it for all of it."""
    monkeypatch.setattr(filetransfer, "describe_file", say_nothing_in_answers)
    async with file_pair() as (_, a, _b, phone):
        files = Files()
        await a.send_file(B, describe(SMALL), MemoryFile(SMALL), files)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.disk.content) == ("done", SMALL)
        with pytest.raises(MediaRefused, match="another range"):
            await a.send_file(B, describe(SMALL), MemoryFile(SMALL), Files(), start=5)


def say_nothing_in_answers(medium: MediaDescription, file: FileAttributes, direction: Direction) -> None:
    """Describe a file in offers only."""
    if direction == "sendonly":
        describe_file(medium, file, direction)


async def test_an_answer_about_another_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """D-FTM-04: name, type and size are copied."""
    other = FileSelector("other.txt", "text/plain", 11)
    monkeypatch.setattr(FileAttributes, "answer", lambda self: replace(self, selector=other))
    async with file_pair() as (_, a, _b, phone):
        with pytest.raises(MediaRefused, match="another file"):
            await a.send_file(B, describe(SMALL), MemoryFile(SMALL), Files())


async def test_files_go_by_tls_too(tmp_path: Path) -> None:
    """D-FTM-06: a file is an MSRP session as any other."""
    tls = [{"msrp_tls": make_tls(tmp_path, name), "msrp_security": "offer"} for name in "ab"]
    async with file_pair(a=tls[0], b=tls[1]) as (_, a, _b, phone):
        files = Files()
        transfer = await a.send_file(B, describe(LARGE), MemoryFile(LARGE), files)
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.disk.content == LARGE) == ("done", True)
        assert transfer.msrp.local_uri.secure


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


async def test_a_file_that_the_peer_has_no_room_for_is_not_sent() -> None:
    """D-FTM-06, D-FTM-13: max-size must not be exceeded."""
    async with file_pair() as (_, a, _b, phone):
        unsaid = replace(describe(LARGE), selector=replace(describe(LARGE).selector, size=None))
        phone.react_to_file = lambda offer: offer.answer(phone.files, phone.disk, limit=1000)
        with pytest.raises(MediaRefused, match="the peer takes 17384"):
            await a.send_file(B, unsaid, MemoryFile(LARGE), Files())
        await until(lambda: phone.files.ended)
        assert phone.files.reason == "remote"


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
