"""Files by links between two phones: D-FTH-01, D-FTH-03 to D-FTH-06."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.lab.contentserver import ContentOptions, ContentServer
from gateway.lab.lab import Lab
from gateway.lab.phone import Phone
from gateway.lab.phonelinks import TransferFailed
from sipstack.im.fthttp import CONTENT_TYPE, FileInfo, FtHttp
from tests.gateway.lab.conftest import B
from tests.gateway.lab.test_contentserver import DATA

ICON = ("image/png", b"\x89PNG tiny")
TO_A = "sip:a@cc.com"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ContentServer]:
    async with ContentServer(ContentOptions(credentials={"b": "b-secret"})) as server:
        yield server


@pytest_asyncio.fixture
async def b(lab: Lab, server: ContentServer) -> AsyncIterator[Phone]:
    """The phone that has the file, and may leave it on the content server."""
    async with lab.make_phone(B) as phone:
        phone.links.content_server = server.url
        yield phone


async def test_a_file_arrives_by_its_link(server: ContentServer, a: Phone, b: Phone) -> None:
    """D-FTH-03, D-FTH-06: digest, multipart, the document in the chat; displayed only after the file was fetched."""
    message = await b.links.send(TO_A, DATA, name="bäch.jpg", content_type="image/jpeg", thumbnail=ICON)
    assert message.state.value == "sent"
    event = await a.wait_for("file")
    came = a.files.all[event.id]
    assert event.text == came.sha256 == hashlib.sha256(DATA).hexdigest()
    assert (came.name, came.selector.content_type, came.icon, came.content) == ("bäch.jpg", "image/jpeg", ICON, DATA)
    delivered = await b.wait_for("receipt")
    displayed = await b.wait_for("receipt", after=delivered.serial)
    assert [delivered.text, displayed.text] == ["delivered", "displayed"]
    assert {delivered.id, displayed.id} == {message.message_id}
    assert server.requests[:3] == [("POST", 401), ("POST", 204), ("POST", 200)]


async def test_what_breaks_off_is_gone_on_with(server: ContentServer, a: Phone, b: Phone) -> None:
    """D-FTH-04, D-FTH-05: Content-Range, Range, and busy servers."""
    b.behave(receipts="none")
    server.cuts.extend([100_000, 50_000])
    await b.links.send(TO_A, DATA, name="x.bin")
    assert ("PUT", 200) in server.requests
    server.cuts.extend([100_000, 100_000])
    server.busy = 1
    event = await a.wait_for("file")
    assert a.files.all[event.id].content == DATA
    assert not server.cuts


async def test_links_that_lead_nowhere(server: ContentServer, a: Phone, b: Phone) -> None:
    """D-FTH-05: 410 = expired, another size, no server at all."""
    document = await b.links.upload(b.files.new_path("x"), "x", "text/plain")
    larger = FtHttp(FileInfo(document.file.url, 5, "text/plain"))
    await b.say(TO_A, bytes(larger).decode(), CONTENT_TYPE)
    assert (await a.wait_for("file-ended")).text == "the server has 0 octets instead of 5"
    server.expire()
    await b.say(TO_A, bytes(document).decode(), CONTENT_TYPE)
    assert (await a.wait_for("file-ended", after=a.serial)).text == "expired"
    b.links.content_server = ""
    with pytest.raises(TransferFailed, match="no content server"):
        await b.links.send(TO_A, b"x")


async def test_who_may_not_upload(server: ContentServer, b: Phone) -> None:
    """D-FTH-03: 401 with the wrong password."""
    server.options.credentials = {"b": "another"}
    with pytest.raises(TransferFailed, match="401"):
        await b.links.send(TO_A, b"x")


async def test_a_document_that_makes_no_sense_is_refused(a: Phone, b: Phone) -> None:
    """D-FTH-01: one file each."""
    message = await b.say(TO_A, "<file/>", CONTENT_TYPE)
    assert (message.state.value, message.status) == ("failed", 400)


async def test_a_phone_that_takes_no_links_shows_the_text(a: Phone, b: Phone) -> None:
    """D-FTH-02: without the service it is a message as any other."""
    a.behave(files="msrp")
    document = FtHttp(FileInfo("https://h/f", 1))
    await b.say(TO_A, bytes(document).decode(), CONTENT_TYPE)
    assert (await a.wait_for("message")).text.startswith("<?xml")
