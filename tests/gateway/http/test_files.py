"""The calls about files, over real sockets."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.gateway.http.fakes import GUEST, House, running
from tests.gateway.http.file_fakes import MemoryContent, MemoryFiles, view

FILE = "/rcsgw/invitee/file"
DATA = bytes(range(256)) * 40


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with running(http={"max_body": 1000}) as house:
        yield house


@pytest.fixture
def files(house: House) -> MemoryFiles:
    house.guest.files.contents["f1"] = MemoryContent("a b.jpg", "image/jpeg", DATA)
    return house.guest.files


async def test_a_body_alone(house: House, files: MemoryFiles) -> None:
    """Files may be larger than other bodies (``max_body`` is 1000 here)."""
    headers = GUEST | {
        "Content-Type": "image/JPEG",
        "Content-Disposition": "attachment; filename*=UTF-8''%C3%A9.jpg",
        "Idempotency-Key": "k1",
    }
    async with house.client.post(f"{FILE}?to=a", data=DATA, headers=headers) as answer:
        assert answer.status == 202
        assert answer.headers["Location"] == f"{FILE}/f1"
        assert (await answer.json())["state"] == "sending"
    to, new, key = files.begun[0]
    assert (to, new.name, new.content_type, new.size, key) == ("a", "é.jpg", "image/jpeg", len(DATA), "k1")
    assert files.uploads[0].data == DATA


async def test_a_body_of_unknown_length_and_xml(house: House, files: MemoryFiles) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield DATA
        await asyncio.sleep(0)
        yield DATA

    headers = GUEST | {"Accept": "application/xml", "Content-Type": "text/plain"}
    async with house.client.post(f"{FILE}?to=a&name=x.txt", data=pieces(), headers=headers) as answer:
        assert answer.status == 202
        root = ET.fromstring(await answer.read())
    assert root.tag == "file" and root.findtext("octets") == str(2 * len(DATA))
    assert files.begun[0][1].size is None and files.begun[0][1].name == "x.txt"


async def test_a_file_in_several_bodies(house: House, files: MemoryFiles) -> None:
    async with house.client.post(f"{FILE}?to=a&size=20&name=x", headers=GUEST) as answer:
        assert answer.status == 201
        body = await answer.json()
    assert (body["state"], body["octets"], body["size"]) == ("uploading", 0, 20)
    one = f"{FILE}/{body['id']}"
    for first, status in ((0, 200), (10, 202)):
        headers = GUEST | {"Content-Range": f"bytes {first}-{first + 9}/20"}
        async with house.client.put(one, data=bytes([first]) * 10, headers=headers) as answer:
            assert answer.status == status
    assert files.uploads[0].data == bytes(10) + bytes([10]) * 10
    async with house.client.put(one, data=b"x", headers=GUEST | {"Content-Range": "bytes 50-50/51"}) as answer:
        assert answer.status == 416
        assert answer.headers["Content-Range"] == "bytes */20"
        assert (await answer.json())["type"].endswith("/problems/range")
    async with house.client.put(one, data=b"0" * 20, headers=GUEST) as answer:
        assert answer.status == 202
    assert files.uploads[0].data == b"0" * 20


@pytest.mark.parametrize(
    ("headers", "status", "field"),
    [
        ({"Content-Range": "bytes 0-9/20"}, 422, "Content-Range"),
        ({"Content-Range": "items 0-9/20"}, 422, "Content-Range"),
    ],
)
async def test_parts_that_make_no_sense(
    house: House, files: MemoryFiles, headers: dict[str, str], status: int, field: str | None
) -> None:
    async with house.client.put(f"{FILE}/f1", data=b"12345", headers=GUEST | headers) as answer:
        assert answer.status == status
        assert (await answer.json()).get("field") == field


async def test_a_part_needs_its_length(house: House, files: MemoryFiles) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"12345"

    headers = GUEST | {"Content-Range": "bytes 0-4/20"}
    async with house.client.put(f"{FILE}/f1", data=pieces(), headers=headers) as answer:
        assert answer.status == 411


async def test_a_form(house: House, files: MemoryFiles) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("to", "sip:a@cc.com")
    form.add_field("comment", "is skipped")
    form.add_field("thumbnail", b"small", content_type="image/png", filename="t.png")
    form.add_field("file", DATA, content_type="image/jpeg", filename="é.jpg")
    async with house.client.post(FILE, data=form, headers=GUEST) as answer:
        assert answer.status == 202, await answer.text()
    to, new, _ = files.begun[0]
    assert (to, new.name, new.content_type, new.size) == ("sip:a@cc.com", "é.jpg", "image/jpeg", None)
    assert files.uploads[0].data == DATA and files.uploads[0].icon == ("image/png", b"small")
    assert files.uploads[0].left == 0


async def test_a_form_with_its_thumbnail_at_the_end(house: House, files: MemoryFiles) -> None:
    form = aiohttp.FormData()
    form.add_field("file", b"x", filename="x")
    form.add_field("thumbnail", b"small", content_type="image/png", filename="t")
    async with house.client.post(f"{FILE}?to=a", data=form, headers=GUEST) as answer:
        assert answer.status == 202, await answer.text()
    assert files.uploads[0].icon == ("image/png", b"small")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("to", b"a")], 422),
        ([("file", b"x")], 422),
        ([("to", b"a"), ("thumbnail", b"x" * 101)], 413),
        ([("to", b"a" * 2000)], 413),
        ([("to", b"c"), ("file", b"x")], 403),
        ([("to", b"a"), ("file", b"x"), ("file", b"y")], 422),
        ([("x", b"")] * 20, 400),
    ],
)
async def test_forms_that_are_refused(
    house: House, files: MemoryFiles, fields: list[tuple[str, bytes]], status: int
) -> None:
    form = aiohttp.FormData()
    for name, value in fields:
        form.add_field(name, value, filename="x")
    async with house.client.post(FILE, data=form, headers=GUEST) as answer:
        assert answer.status == status, await answer.text()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"no boundary here"),
        ("multipart/form-data; boundary=b", b"--b\r\nbroken header\r\n\r\nx\r\n--b--\r\n"),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n",
        ),
    ],
)
async def test_what_is_no_form(house: House, files: MemoryFiles, content_type: str, body: bytes) -> None:
    headers = GUEST | {"Content-Type": content_type}
    async with house.client.post(f"{FILE}?to=a", data=body, headers=headers) as answer:
        assert answer.status in (400, 422), await answer.text()
        assert (await answer.json())["status"] == answer.status


async def test_who_is_not_let_through(house: House, files: MemoryFiles) -> None:
    async with house.client.post(f"{FILE}?to=a", data=b"x") as answer:
        assert answer.status == 401
    async with house.client.post(f"{FILE}?to=c", data=b"x", headers=GUEST) as answer:
        assert answer.status == 403 and "not for file" in (await answer.json())["detail"]
    async with house.client.post(FILE, data=b"x", headers=GUEST) as answer:
        assert answer.status == 422 and (await answer.json())["field"] == "to"
    evil = GUEST | {"Content-Type": "application/x-evil"}
    async with house.client.post(f"{FILE}?to=a", data=b"x", headers=evil) as answer:
        assert answer.status == 415 and (await answer.json())["type"].endswith("/file-type-refused")
    files.max_size = 100
    async with house.client.post(f"{FILE}?to=a", data=bytes(101), headers=GUEST) as answer:
        assert answer.status == 413 and "files.max_size" in (await answer.json())["detail"]


async def test_a_repeat_tells_what_came_of_it(house: House, files: MemoryFiles) -> None:
    files.again = view("f9", "sent", direction="out")
    async with house.client.post(f"{FILE}?to=a", data=DATA, headers=GUEST | {"Idempotency-Key": "k"}) as answer:
        assert answer.status == 200 and (await answer.json())["id"] == "f9"
    form = aiohttp.FormData()
    form.add_field("file", DATA, filename="x")
    async with house.client.post(f"{FILE}?to=a", data=form, headers=GUEST | {"Idempotency-Key": "k"}) as answer:
        assert answer.status == 200 and (await answer.json())["id"] == "f9"


async def test_a_client_that_goes_away_can_come_back(house: House, files: MemoryFiles) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    head = (
        f"POST {FILE}?to=a HTTP/1.1\r\nHost: x\r\nAuthorization: {GUEST['Authorization']}\r\nContent-Length: 99\r\n\r\n"
    )
    writer.write(head.encode() + b"12345")
    await writer.drain()
    while not (files.uploads and files.uploads[0].data):
        await asyncio.sleep(0.01)
    writer.close()
    await writer.wait_closed()
    while not files.uploads[0].left:
        await asyncio.sleep(0.01)
    assert files.uploads[0].data == b"12345"
    del reader


async def test_a_client_that_stands_still(house: House, files: MemoryFiles) -> None:
    files.stall_timeout = 0.05

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(0.5)

    async with house.client.post(f"{FILE}?to=a", data=pieces(), headers=GUEST) as answer:
        assert answer.status == 408
    assert files.uploads[0].left == 1


async def test_fetching_a_file(house: House, files: MemoryFiles) -> None:
    async with house.client.get(f"{FILE}/f1", headers=GUEST) as answer:
        assert answer.status == 200
        assert await answer.read() == DATA
        headers = answer.headers
    assert headers["Content-Type"] == "image/jpeg"
    assert headers["Content-Length"] == str(len(DATA))
    assert headers["Content-Disposition"] == 'attachment; filename="a b.jpg"'
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["ETag"] == '"tag"' and headers["Accept-Ranges"] == "bytes"
    assert "no-store" in headers["Cache-Control"]
    content = files.contents["f1"]
    assert content.is_taken and content.closed == 1


async def test_fetching_a_part(house: House, files: MemoryFiles) -> None:
    content = files.contents["f1"]
    for value, start, end in (("bytes=5-9", 5, 10), ("bytes=-5", len(DATA) - 5, len(DATA))):
        async with house.client.get(f"{FILE}/f1", headers=GUEST | {"Range": value}) as answer:
            assert answer.status == 206
            assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
            assert await answer.read() == DATA[start:end]
    assert content.is_taken, "the end was fetched"
    async with house.client.get(f"{FILE}/f1", headers=GUEST | {"Range": "bytes=999999-"}) as answer:
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"
    for condition, status in (('"tag"', 206), (answer_date(), 206), ('"other"', 200)):
        wanted = GUEST | {"Range": "bytes=0-0", "If-Range": condition}
        async with house.client.get(f"{FILE}/f1", headers=wanted) as answer:
            assert answer.status == status


def answer_date() -> str:
    return "Fri, 15 Jan 2027 08:00:00 GMT"


async def test_head_of_a_file(house: House, files: MemoryFiles) -> None:
    async with house.client.head(f"{FILE}/f1", headers=GUEST) as answer:
        assert answer.status == 200 and answer.headers["Content-Length"] == str(len(DATA))
        assert await answer.read() == b""
    assert not files.contents["f1"].is_taken and files.contents["f1"].closed == 1


@pytest.mark.parametrize(
    ("content_type", "shown"), [("image/png", True), ("text/html", False), ("image/svg+xml", False)]
)
async def test_what_a_browser_may_show(house: House, files: MemoryFiles, content_type: str, shown: bool) -> None:
    files.contents["x"] = MemoryContent("é", content_type, b"data")
    async with house.client.get(f"{FILE}/x?inline", headers=GUEST) as answer:
        assert answer.headers["Content-Disposition"].startswith("inline" if shown else "attachment")


async def test_a_file_that_breaks_off_is_no_whole_answer(house: House, files: MemoryFiles) -> None:
    files.contents["f1"].breaks_at = 3000
    with pytest.raises(aiohttp.ClientError):
        async with house.client.get(f"{FILE}/f1", headers=GUEST) as answer:
            await answer.read()
    content = files.contents["f1"]
    assert not content.is_taken and content.closed == 1
    content.breaks_at, content.size = None, len(DATA) + 5
    content.data = DATA
    with pytest.raises(aiohttp.ClientError):
        async with house.client.get(f"{FILE}/f1", headers=GUEST) as answer:
            await answer.read()


async def test_what_is_not_there(house: House, files: MemoryFiles) -> None:
    async with house.client.get(f"{FILE}/nope", headers=GUEST) as answer:
        assert answer.status == 404
    async with house.client.get(f"{FILE}/gone", headers=GUEST) as answer:
        assert answer.status == 410 and (await answer.json())["type"].endswith("/file-gone")


async def test_thumbnail_state_list_accept_cancel(house: House, files: MemoryFiles) -> None:
    files.contents["f1-thumbnail"] = MemoryContent("t", "image/png", b"small")
    async with house.client.get(f"{FILE}/f1/thumbnail", headers=GUEST) as answer:
        assert answer.status == 200 and await answer.read() == b"small"
        assert answer.headers["Content-Disposition"].startswith("inline")
    async with house.client.get(f"{FILE}/f1/state", headers=GUEST) as answer:
        body = await answer.json()
        assert (body["state"], body["octets"], body["size"]) == ("receiving", 7, 10)
    async with house.client.get("/rcsgw/invitee/files?with=a", headers=GUEST | {"Accept": "application/xml"}) as answer:
        root = ET.fromstring(await answer.read())
    assert root.tag == "files" and [item.findtext("state") for item in root] == ["ready", "failed"]
    async with house.client.get("/rcsgw/invitee/files", headers=GUEST) as answer:
        assert [item["id"] for item in (await answer.json())["files"]] == ["f1", "f2"]
    async with house.client.post(f"{FILE}/f1/accept", headers=GUEST) as answer:
        assert answer.status == 200 and (await answer.json())["state"] == "receiving"
    async with house.client.post(f"{FILE}/over/accept", headers=GUEST) as answer:
        assert answer.status == 409
    async with house.client.delete(f"{FILE}/f1", headers=GUEST) as answer:
        assert answer.status == 204
    assert files.calls == [("list", "a"), ("list", ""), ("cancel", "f1")]
