"""The lab's content server as a device uses it: D-FTH-03, D-FTH-04, D-FTH-05."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import ClientSession, DigestAuthMiddleware, FormData

from gateway.lab.contentserver import ContentOptions, ContentServer
from sipstack.im.fthttp import CONTENT_TYPE, FtHttp, ResumeInfo
from tests.gateway.lab.test_alone import run

TID = "f7fbc9ae-9c1a-4a4b-8a45-0d7c3c4c2d1e"
DATA = os.urandom(300_000)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ContentServer]:
    async with ContentServer() as server:
        yield server


@pytest_asyncio.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


def form(data: bytes = DATA, *, thumbnail: bool = True) -> FormData:
    made = FormData()
    made.add_field("tid", TID, content_type="text/plain")
    if thumbnail:
        made.add_field("Thumbnail", b"tiny", filename="t.jpg", content_type="image/jpeg")
    made.add_field("File", data, filename="bäch.jpg", content_type="image/jpeg")
    return made


async def upload(http: ClientSession, server: ContentServer, data: bytes = DATA) -> FtHttp:
    async with http.post(server.url, data=form(data)) as answer:
        assert (answer.status, answer.content_type) == (200, CONTENT_TYPE)
        return FtHttp.parse(await answer.read())


async def test_upload_and_download(server: ContentServer, http: ClientSession) -> None:
    async with http.post(server.url) as answer:
        assert answer.status == 204
    told = await upload(http, server)
    assert (told.file.size, told.file.name, told.file.content_type) == (len(DATA), "bäch.jpg", "image/jpeg")
    assert told.file.until is not None and told.thumbnail is not None
    async with http.get(told.file.url) as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, "image/jpeg", DATA)
    async with http.get(told.thumbnail.url) as answer:
        assert await answer.read() == b"tiny"
    for wanted, part in (("bytes=100-", DATA[100:]), ("bytes=5-9", DATA[5:10]), ("bytes=-7", DATA[-7:])):
        async with http.get(told.file.url, headers={"Range": wanted}) as answer:
            assert (answer.status, await answer.read()) == (206, part)
            first = len(DATA) - 7 if wanted == "bytes=-7" else int(wanted[6:].partition("-")[0])
            assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{len(DATA)}"
    async with http.get(told.file.url, headers={"Range": f"bytes={len(DATA)}-"}) as answer:
        assert answer.status == 416
    server.expire()
    assert (await http.get(told.file.url)).status == 410
    assert (await http.get(f"{told.file.url}x")).status == 404


async def test_upload_that_breaks_off(server: ContentServer, http: ClientSession) -> None:
    server.cuts += [180_001, 1000]
    with pytest.raises(aiohttp.ClientError):
        await upload(http, server)
    ask = f"{server.url}?tid={TID}&get_upload_info"
    async with http.get(ask) as answer:
        there = ResumeInfo.parse(await answer.read())
    assert (there.start, there.end) == (0, 180_000)
    assert (await http.get(f"{server.url}?tid={TID}&get_download_info")).status == 404
    for begin in (there.end + 1, there.end + 1 + 1000):
        headers = {"Content-Range": f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}"}
        try:
            async with http.put(there.url, data=DATA[begin:], headers=headers) as answer:
                assert answer.status == 200 and not server.cuts
        except aiohttp.ClientError:
            async with http.get(ask) as answer:
                assert ResumeInfo.parse(await answer.read()).end == 180_000 + 1000
    async with http.get(f"{server.url}?tid={TID}&get_download_info") as answer:
        told = FtHttp.parse(await answer.read())
    async with http.get(told.file.url) as answer:
        assert await answer.read() == DATA
    assert server.requests[0] == ("POST", 0)


async def test_download_that_breaks_off(server: ContentServer, http: ClientSession) -> None:
    told = await upload(http, server)
    server.cuts.append(100_000)
    got = b""
    with pytest.raises(aiohttp.ClientError):
        async with http.get(told.file.url) as answer:
            async for piece in answer.content.iter_any():
                got += piece
    async with http.get(told.file.url, headers={"Range": f"bytes={len(got)}-"}) as answer:
        assert got + await answer.read() == DATA


async def test_who_may_upload(http: ClientSession) -> None:
    async with ContentServer(ContentOptions(credentials={"a": "secret"})) as server:
        async with http.post(server.url) as answer:
            assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Digest realm=")
        for password, status in (("secret", 204), ("wrong", 401)):
            async with ClientSession(middlewares=[DigestAuthMiddleware("a", password)]) as session:
                assert (await session.post(server.url)).status == status
                if status == 204:
                    assert (await upload(session, server)).file.size == len(DATA)


async def test_refusals(server: ContentServer, http: ClientSession) -> None:
    server.busy = 1
    async with http.post(server.url) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    nameless = FormData()
    nameless.add_field("File", b"x", filename="x", content_type="text/plain")
    assert (await http.post(server.url, data=nameless)).status == 400
    assert (await http.get(server.url)).status == 404
    assert (await http.get(f"{server.url}?tid=nothing&get_upload_info")).status == 404
    assert (await http.put(f"{server.url}/u/nothing", data=b"x")).status == 404
    await upload(http, server, b"hello")
    headers = {"Content-Range": "bytes 9-9/10"}
    assert (await http.put(f"{server.url}/u/{TID}", data=b"x", headers=headers)).status == 416


async def test_as_a_process() -> None:
    async with run("gateway.lab.contentserver", "--port", "0") as ready, ClientSession() as session:
        assert (await session.post(ready["url"])).status == 204
