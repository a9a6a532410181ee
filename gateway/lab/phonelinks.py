"""The phone's files by HTTP (GSMA RCC.07): what it leaves on a content server, and the links that it gets in chats."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import ClientResponse, ClientSession, ClientTimeout, DigestAuthMiddleware, FormData

from gateway.lab.phonefiles import UNTYPED, PhoneFile
from sipstack import ids
from sipstack.errors import SipstackError
from sipstack.im.cpim import CpimMessage
from sipstack.im.fthttp import CONTENT_TYPE, FtHttp, ResumeInfo
from sipstack.im.imdn import ImdnRequest
from sipstack.msrp.mediatype import bare_type
from sipstack.msrp.message import OutgoingMessage
from sipstack.net.fileoffer import Icon
from sipstack.net.filetransfer import DONE
from sipstack.sdp_file import FileSelector

if TYPE_CHECKING:
    from gateway.lab.pages import SentPage
    from gateway.lab.phone import Phone

PIECE = 64 * 1024
"""Octets read or written at a time."""

TRIES = 20
"""How often a transfer is begun or gone on with."""

PAUSE = 0.2
"""Seconds before going on with what broke off."""

MAX_RETRY_AFTER = 30.0
"""Seconds that a busy server (503) is waited for at most, each time."""

MAX_REDIRECTS = 3
"""A content server redirects once, to where the file lies."""

IDLE = ClientTimeout(total=None, sock_connect=10, sock_read=30)

EXPIRED = "expired"
"""State of a file that its server has forgotten (404, 410)."""


class TransferFailed(SipstackError):
    """A content server did not take or give a file."""


class Links:
    """Files that go and come by links. ``content_server`` is where uploads go; empty: the phone can only fetch."""

    def __init__(self, phone: Phone, content_server: str = "") -> None:
        self.content_server = content_server
        self._phone = phone
        self._session: ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    # what goes

    async def send(
        self,
        uri: str,
        content: bytes | Path,
        *,
        name: str = "",
        content_type: str = UNTYPED,
        thumbnail: Icon | None = None,
    ) -> OutgoingMessage | SentPage:
        """Leave a file on the content server, send its link, and return the message when its state is decided.

        Raise TransferFailed when the server does not take it; else as :meth:`Phone.say`.
        """
        path = content if isinstance(content, Path) else self._phone.files.new_path(name)
        if isinstance(content, bytes):
            path.write_bytes(content)
        document = await self.upload(path, name or path.name, content_type, thumbnail)
        return await self._phone.say(uri, bytes(document).decode(), CONTENT_TYPE)

    async def upload(self, path: Path, name: str, content_type: str, thumbnail: Icon | None = None) -> FtHttp:
        """Leave a file on the content server (D-FTH-03), going on where it breaks off (D-FTH-04).

        Raise TransferFailed.
        """
        if not self.content_server:
            raise TransferFailed("no content server was named")
        # Also answers the challenge, if there is one, before anything large is sent.
        async with self._ask("POST", self.content_server) as answer:
            _check(answer, 204)
        tid = str(uuid.UUID(hex=ids.token(128), version=4))
        for _ in range(TRIES):
            try:
                return await self._begin(tid, path, name, content_type, thumbnail)
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(PAUSE)
            document = await self._go_on(tid, path)
            if document is not None:
                return document
        raise TransferFailed(f"the upload broke off {TRIES} times")

    async def _begin(self, tid: str, path: Path, name: str, content_type: str, thumbnail: Icon | None) -> FtHttp:
        with path.open("rb") as file:
            form = FormData()
            form.add_field("tid", tid, content_type="text/plain")
            if thumbnail is not None:
                form.add_field("Thumbnail", thumbnail[1], filename="thumbnail", content_type=thumbnail[0])
            form.add_field("File", file, filename=name, content_type=content_type)
            async with self._http.post(self.content_server, data=form) as answer:
                _check(answer, 200)
                return FtHttp.parse(await answer.read())

    async def _go_on(self, tid: str, path: Path) -> FtHttp | None:
        """Bring the rest of an upload and return what the server says of the file; None when it has to begin anew."""
        size, query = path.stat().st_size, f"{self.content_server}?tid={tid}"
        for _ in range(TRIES):
            try:
                async with self._ask("GET", f"{query}&get_upload_info") as answer:
                    if answer.status != 200:
                        return None
                    there = ResumeInfo.parse(await answer.read())
                start = there.end + 1
                if start < size:
                    headers = {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
                    async with self._ask("PUT", there.url, data=_octets(path, start), headers=headers) as answer:
                        if answer.status in (404, 416):
                            return None
                        _check(answer, 200)
                async with self._ask("GET", f"{query}&get_download_info") as answer:
                    _check(answer, 200)
                    return FtHttp.parse(await answer.read())
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(PAUSE)
        return None

    # what comes

    def received(self, peer: str, content_type: str, body: bytes, cpim: CpimMessage | None) -> bool:
        """Fetch the file that a message links to; False for any other message. RemoteProtocolError when malformed."""
        if bare_type(content_type) != CONTENT_TYPE or not self._phone.behaviour.takes_links:
            return False
        document = FtHttp.parse(body)
        info, files = document.file, self._phone.files
        name = info.name or urlsplit(info.url).path.rpartition("/")[2]
        selector = FileSelector(name, info.content_type, info.size)
        file = PhoneFile(files, peer, "in", files.new_path(name), selector)
        files.all[file.id] = file
        self._phone.emit("file-offered", peer, file.name, file.id)
        asked = ImdnRequest.of(cpim)
        if asked is not None:
            self._phone.notices.tell(peer, replace(asked, wanted=asked.wanted - {"display"}))
        files.spawn(self._fetch(file, document, asked))
        return True

    async def _fetch(self, file: PhoneFile, document: FtHttp, asked: ImdnRequest | None) -> None:
        """Get the preview and the file, then say that it was looked at: display is downloaded and opened (D-FTH-06)."""
        try:
            if document.thumbnail is not None:
                preview = _Memory()
                await self._download(document.thumbnail.url, document.thumbnail.size, preview)
                file.icon = document.thumbnail.content_type, bytes(preview.content)
            file.begin()
            digest = await self._download(document.file.url, file.size, file)
        except TransferFailed as error:
            file.over(str(error))
            return
        file.sha256 = digest
        file.over(DONE)
        if asked is not None:
            self._phone.notices.tell(file.peer, replace(asked, wanted=asked.wanted - {"positive-delivery"}))

    async def _download(self, url: str, size: int, sink: PhoneFile | _Memory) -> str:
        """Write what lies at ``url`` to ``sink``, going on where it breaks off (D-FTH-05), and return its SHA-256.

        Raise TransferFailed.
        """
        digest = hashlib.sha256()
        for _ in range(TRIES):
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={sink.octets}-"} if sink.octets else {})
            try:
                async with self._ask("GET", url, headers=headers, max_redirects=MAX_REDIRECTS) as answer:
                    if answer.status != 206:
                        _check(answer, 200)
                        sink.octets, digest = 0, hashlib.sha256()
                    async for piece in answer.content.iter_chunked(PIECE):
                        if sink.octets + len(piece) > size:
                            raise TransferFailed(f"the server has more than the {size} octets that were announced")
                        sink.write(sink.octets, piece)
                        digest.update(piece)
                        sink.octets += len(piece)
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(PAUSE)
                continue
            if sink.octets != size:
                raise TransferFailed(f"the server has {sink.octets} octets instead of {size}")
            return digest.hexdigest()
        raise TransferFailed(f"the download broke off {TRIES} times")

    # HTTP

    @property
    def _http(self) -> ClientSession:
        if self._session is None:
            options = self._phone.options
            user = options.username or options.aor.partition(":")[2].partition("@")[0]
            self._session = ClientSession(
                timeout=IDLE, middlewares=[DigestAuthMiddleware(user, options.password)] if options.password else ()
            )
        return self._session

    @asynccontextmanager
    async def _ask(self, method: str, url: str, **options: Any) -> AsyncIterator[ClientResponse]:
        """Yield the answer to a request, once the server is not busy any more."""
        for _ in range(TRIES):
            async with self._http.request(method, url, **options) as answer:
                if answer.status != 503:
                    yield answer
                    return
                wait = answer.headers.get("Retry-After", "")
            await asyncio.sleep(min(float(wait) if wait.isdigit() else PAUSE, MAX_RETRY_AFTER))
        raise TransferFailed("the content server is busy")


class _Memory:
    """A small file that is kept in memory."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.octets = 0

    def write(self, start: int, data: bytes) -> None:
        self.content[start:] = data


async def _octets(path: Path, start: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while piece := file.read(PIECE):
            yield piece


def _check(answer: ClientResponse, wanted: int) -> None:
    if answer.status in (404, 410):
        raise TransferFailed(EXPIRED)
    if answer.status != wanted:
        raise TransferFailed(f"the content server answered {answer.status} {answer.reason}")
