"""The gateway as content server, over real HTTP: D-FTH-03, D-FTH-04, D-FTH-05."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config.settings import FilesSection
from gateway.config.users import Subscriber
from gateway.files.contentserver import ContentServer
from gateway.files.room import FileRoom
from gateway.secrets import Sealer
from gateway.storage.sqlite import SqliteStore
from gateway.users.local import LocalUsers
from sipstack.im.fthttp import CONTENT_TYPE, FtHttp, ResumeInfo
from sipstack.sip.digest import Challenge, digest_response, format_authorization
from sipstack.sip.digest_hash import compute_ha1
from tests.gateway.http.fakes import INVITER, House, running
from tests.gateway.storage.test_files import record

CONTENT = "/rcsgw/content"
TID = "123e4567-e89b-12d3-a456-426614174000"
DATA = bytes(range(256)) * 400


class Place:
    """A content server and what stands behind it."""

    def __init__(self, house: House, server: ContentServer, room: FileRoom, store: SqliteStore) -> None:
        self.house = house
        self.server = server
        self.room = room
        self.store = store
        self.client = house.client


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    store = SqliteStore(tmp_path / "rcsgw.db")
    await store.open()
    room = FileRoom(store, FilesSection(max_size=1 << 20), tmp_path / "files")
    await room.start()
    users = LocalUsers([Subscriber(uid="a", password="pw", identities=("sip:a@cc.com",))])
    server = ContentServer(room, Sealer({b"0123": bytes(32)}), users, "cc.com", "http://gw.example")
    async with running(content=server, http={"max_body": 1000}) as house:
        yield Place(house, server, room, store)
    await room.close()
    await store.close()


async def keep(place: Place, data: bytes = DATA, **changes: Any) -> str:
    """Put a file into the spool; return the path of its link."""
    kept = replace(
        record("f" * 24), size=len(data), octets=len(data), state="sending", until=place.room.clock() + 100, **changes
    )
    writer = place.room.spool.writer(kept.id)
    writer.write(0, data)
    kept.sha256 = (await writer.finish()).sha256
    await place.store.add_file(kept)
    return place.server.link(kept.id).removeprefix("http://gw.example")


async def test_a_link_gives_the_file_and_its_parts(place: Place) -> None:
    """D-FTH-05: a plain GET, Range to resume, no credentials."""
    path = await keep(place)
    async with place.client.get(path) as answer:
        assert answer.status == 200 and await answer.read() == DATA
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a b.jpg"'
        etag = answer.headers["ETag"]
    async with place.client.get(path, headers={"Range": "bytes=1000-", "If-Range": etag}) as answer:
        assert answer.status == 206 and await answer.read() == DATA[1000:]


async def test_links_cannot_be_guessed(place: Place) -> None:
    path = await keep(place)
    for wrong in (path[:-1] + ("0" if path[-1] != "0" else "1"), f"{CONTENT}/{'f' * 24}", f"{CONTENT}/x"):
        async with place.client.get(wrong) as answer:
            assert answer.status == 404


async def test_links_that_were_right_once_are_gone(place: Place) -> None:
    """D-FTH-05: 410 is expired, 503 with Retry-After is to wait for."""
    path = await keep(place)
    async with place.client.get(f"{path}/thumbnail") as answer:
        assert answer.status == 410
    kept = await place.store.file("f" * 24)
    assert kept is not None
    await place.store.update_file(replace(kept, state="uploading"))
    async with place.client.get(path) as answer:
        assert answer.status == 503 and answer.headers["Retry-After"] == "5"
    await place.store.update_file(replace(kept, until=1.0))
    async with place.client.get(path) as answer:
        assert answer.status == 410
    await place.store.delete_files([kept.id])
    async with place.client.get(path) as answer:
        assert answer.status == 410


def form(data: bytes = DATA, *, tid: str = TID, icon: bytes | None = b"icon") -> aiohttp.FormData:
    fields = aiohttp.FormData(quote_fields=False)
    fields.add_field("tid", tid, content_type="text/plain")
    if icon is not None:
        fields.add_field("Thumbnail", icon, content_type="image/jpeg", filename="t.jpg")
    fields.add_field("File", data, content_type="image/jpeg", filename="../beach.jpg")
    return fields


async def test_an_upload(place: Place) -> None:
    """D-FTH-03: an empty POST is challenged or not, then comes the form, and the answer is the document."""
    async with place.client.post(CONTENT) as answer:
        assert answer.status == 401
        challenges = answer.headers.getall("WWW-Authenticate")
        assert [value.split()[0] for value in challenges] == ["Digest", "Digest", "Basic"]
    async with place.client.post(CONTENT, headers=INVITER) as answer:
        assert answer.status == 204
    async with place.client.post(CONTENT, data=form(), headers=INVITER) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        document = FtHttp.parse(await answer.read())
    assert (document.file.name, document.file.size, document.file.content_type) == (
        "beach.jpg",
        len(DATA),
        "image/jpeg",
    )
    assert document.thumbnail is not None and document.thumbnail.size == 4
    for info, data in ((document.file, DATA), (document.thumbnail, b"icon")):
        async with place.client.get(info.url.removeprefix("http://gw.example")) as answer:
            assert await answer.read() == data
    assert place.server.id_of(document.file.url) is not None
    assert place.server.id_of("http://elsewhere/x") is None


def digest(
    answer: aiohttp.ClientResponse, method: str, uri: str, password: str = "pw", count: int = 1
) -> dict[str, str]:
    """Return the credentials that answer a challenge."""
    challenge = Challenge.parse(answer.headers.getall("WWW-Authenticate")[0])
    ha1 = compute_ha1("a", challenge.realm, password, challenge.algorithm or "MD5")
    nc = f"{count:08x}"
    response = digest_response(
        ha1=ha1,
        method=method,
        uri=uri,
        nonce=challenge.nonce,
        algorithm=challenge.algorithm,
        qop="auth",
        nc=nc,
        cnonce="c",
    )
    return {"Authorization": format_authorization("a", challenge, uri, response, "auth", nc, "c")}


async def test_digest(place: Place) -> None:
    """D-FTH-03: 401 with a digest challenge."""
    async with place.client.post(CONTENT) as challenged:
        pass
    async with place.client.post(CONTENT, headers=digest(challenged, "POST", CONTENT)) as answer:
        assert answer.status == 204
    second = digest(challenged, "POST", CONTENT, count=2)
    async with place.client.post(CONTENT, data=form(), headers=second) as answer:
        assert answer.status == 200
    async with place.client.post(CONTENT, headers=digest(challenged, "POST", CONTENT, "wrong", 3)) as answer:
        assert answer.status == 401
    async with place.client.post(CONTENT, headers={"Authorization": "Digest x"}) as answer:
        assert answer.status == 422


async def test_an_upload_that_breaks_off_at_sixty_percent(place: Place) -> None:
    """D-FTH-04: get_upload_info, PUT of the rest, get_download_info."""
    data = DATA * 9
    part = len(data) * 6 // 10
    head = (
        f'--b\r\nContent-Disposition: form-data; name="tid"\r\n\r\n{TID}\r\n'
        '--b\r\nContent-Disposition: form-data; name="File"; filename="x.bin"\r\n\r\n'
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", place.house.server.port)
    request = (
        f"POST {CONTENT} HTTP/1.1\r\nHost: x\r\nAuthorization: {INVITER['Authorization']}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(head) + len(data) + 7}\r\n\r\n"
    )
    writer.write(request.encode() + head + data[:part])
    await writer.drain()
    info = f"{CONTENT}?tid={TID}&get_upload_info"
    came = 0
    while came < part - 100_000:
        async with place.client.get(info, headers=INVITER) as answer:
            if answer.status == 200:
                came = ResumeInfo.parse(await answer.read()).end + 1
        await asyncio.sleep(0.01)
    writer.close()
    await asyncio.sleep(0.05)
    async with place.client.get(info, headers=INVITER) as answer:
        resume = ResumeInfo.parse(await answer.read())
    assert resume.start == 0 and 0 < resume.end + 1 <= part
    url = resume.url.removeprefix("http://gw.example")
    download = f"{CONTENT}?tid={TID}&get_download_info"
    async with place.client.get(download, headers=INVITER) as answer:
        assert answer.status == 409
    begin = resume.end + 1
    gap = INVITER | {"Content-Range": f"bytes {begin + 5}-{len(data) - 1}/{len(data)}"}
    async with place.client.put(url, data=data[begin + 5 :], headers=gap) as answer:
        assert answer.status == 416
    rest = INVITER | {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
    async with place.client.put(url, data=data[begin:], headers=rest) as answer:
        assert answer.status == 200, await answer.text()
    async with place.client.get(download, headers=INVITER) as answer:
        document = FtHttp.parse(await answer.read())
    async with place.client.get(document.file.url.removeprefix("http://gw.example")) as answer:
        assert hashlib.sha256(await answer.read()).digest() == hashlib.sha256(data).digest()
    async with place.client.put(url, data=data[begin:], headers=rest) as answer:
        assert answer.status == 409
    del reader


async def test_uploads_that_are_refused(place: Place) -> None:
    place.room.limits = FilesSection(max_size=1000)
    async with place.client.post(CONTENT, data=form(), headers=INVITER) as answer:
        assert answer.status == 413
    async with place.client.post(CONTENT, data=form(tid="x"), headers=INVITER) as answer:
        assert answer.status == 422 and (await answer.json())["field"] == "tid"
    for query, status in (("", 422), (f"?tid={TID}", 422), (f"?tid={TID[:-1]}1&get_upload_info", 404)):
        async with place.client.get(f"{CONTENT}{query}", headers=INVITER) as answer:
            assert answer.status == status
    for method in ("GET", "PUT"):
        async with place.client.request(method, CONTENT) as answer:
            assert answer.status == 401
    async with place.client.put(f"{CONTENT}?tid={TID}", data=b"x", headers=INVITER) as answer:
        assert answer.status == 422
    short = INVITER | {"Content-Range": "bytes 0-9/10"}
    async with place.client.put(f"{CONTENT}?tid={TID}", data=b"x", headers=short) as answer:
        assert answer.status == 411


async def test_a_full_spool_asks_to_wait(place: Place) -> None:
    """D-FTH-03: 503 with Retry-After."""
    place.room.spool.max_bytes = 10
    async with place.client.post(CONTENT, data=form(icon=None), headers=INVITER) as answer:
        assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0
