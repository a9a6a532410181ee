"""The operator's content server of the lab: where phones leave files whose links go through chats (D-FTH-03 to -05).

``POST`` without body asks whether one may upload; ``POST`` of ``multipart/form-data`` with ``tid``, ``Thumbnail`` and
``File`` leaves a file and answers with the document for the chat. After a broken upload ``GET ?tid=…&get_upload_info``
says how much is there, ``PUT`` with Content-Range brings the rest, and ``GET ?tid=…&get_download_info`` gives the
document. Downloads are plain GETs with Range.

For labs only: what is known about files is in memory, and who has a link may read.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, unquote

import click
from aiohttp import BodyPartReader, web

from gateway.lab.admin import AdminServer
from gateway.lab.part import Part
from gateway.lab.run import ready, serve_until_signal
from sipstack import ids
from sipstack.flow import HostPort
from sipstack.im.fthttp import CONTENT_TYPE, UNKNOWN_TYPE, FileInfo, FtHttp, ResumeInfo
from sipstack.sip.digest import DigestServer, Verified, compute_ha1
from sipstack.sip.message import Request as SipRequest

REALM = "content"
PATH = "/ft"

PIECE = 65_536
"""Octets read or written at a time."""

RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


@dataclass(slots=True)
class ContentOptions:
    """How the content server is set up."""

    host: str = "127.0.0.1"
    port: int = 0
    folder: Path | None = None
    """Where files lie; None: in a folder that is removed at the end."""
    credentials: Mapping[str, str] = field(default_factory=dict)
    """Password by user for uploads; empty: no authentication is asked for (204)."""
    ttl: float = 7 * 86400.0
    """Seconds that a file is kept."""


@dataclass(slots=True)
class Stored:
    """A file, or as much of it as has come."""

    token: str
    path: Path
    content_type: str = UNKNOWN_TYPE
    name: str | None = None
    size: int = 0
    """Octets that are there."""
    is_whole: bool = False
    thumbnail: Stored | None = None
    until: float = 0.0
    """Wall clock, seconds since 1970."""


class ContentServer(Part):
    """The server in one object. Tests make it fail by :attr:`busy` and :attr:`cuts`, which apply to what comes next."""

    def __init__(self, options: ContentOptions | None = None) -> None:
        self.options = options or ContentOptions()
        self.uploads: dict[str, Stored] = {}
        """By ``tid``."""
        self.busy = 0
        """How many requests get 503 with Retry-After: 1."""
        self.cuts: deque[int] = deque()
        """After how many octets of a file each upload or download is broken off, one each."""
        self.requests: list[tuple[str, int]] = []
        """Method and status of what was asked; 0 where it was broken off."""
        self._by_token: dict[str, Stored] = {}
        self._digest = DigestServer(REALM, ("MD5",), secret=ids.token(256).encode())
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._http = AdminServer(self._build_app(), self.options.host, self.options.port)
        self._folder: Path

    # life

    async def start(self) -> None:
        """Listen. OSError when the port is taken."""
        if self.options.folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="rcsgw-content-")
            self._folder = Path(self._temporary.name)
        else:
            self._folder = self.options.folder
            self._folder.mkdir(parents=True, exist_ok=True)
        await self._http.start()

    async def close(self) -> None:
        """Stop; files that were in no folder of the caller's go."""
        await self._http.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def address(self) -> HostPort:
        """Where HTTP is spoken."""
        return self._http.address

    @property
    def url(self) -> str:
        """Where uploads go."""
        return self._http.url + PATH

    def expire(self) -> None:
        """Let every link be over now."""
        for stored in self._by_token.values():
            stored.until = 0.0

    # HTTP

    def _build_app(self) -> web.Application:
        app = web.Application()
        routes = (
            ("POST", PATH, self._post),
            ("GET", PATH, self._get_info),
            ("PUT", f"{PATH}/u/{{tid}}", self._put),
            ("GET", f"{PATH}/d/{{token}}", self._get),
        )
        for method, path, handler in routes:
            app.router.add_route(method, path, partial(self._serve, handler))
        return app

    async def _serve(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], request: web.Request
    ) -> web.StreamResponse:
        status = 0
        try:
            if self.busy:
                self.busy -= 1
                raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"})
            response = await handler(request)
            status = response.status
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            self.requests.append((request.method, status))

    def _check_credentials(self, request: web.Request) -> None:
        """Raise 401 with a challenge unless the uploader is known, or nobody has to be."""
        if not self.options.credentials:
            return
        headers = [("Authorization", value) for value in request.headers.getall("Authorization", [])]
        asked = SipRequest(request.method, request.path_qs, headers)
        now = time.time()
        if not isinstance(self._digest.verify(asked, self._ha1, now), Verified):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": self._digest.challenges(now)[0]})

    def _ha1(self, username: str, realm: str, algorithm: str) -> str | None:
        password = self.options.credentials.get(username)
        return None if password is None else compute_ha1(username, realm, password, algorithm)

    # uploads

    async def _post(self, request: web.Request) -> web.Response:
        """May I upload (204), or: here is a file (200 with the document)."""
        self._check_credentials(request)
        if not request.content_type.startswith("multipart/"):
            return web.Response(status=204)
        tid = ""
        thumbnail = None
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise web.HTTPBadRequest(text="a multipart in the multipart")
            match (part.name or "").lower():
                case "tid":
                    tid = (await part.read(decode=True)).decode("utf-8", "replace").strip()
                case "thumbnail":
                    thumbnail = self._new(part)
                    await self._take(request, thumbnail, part_pieces(part), thumbnail=True)
                case "file" if tid:
                    stored = self.uploads[tid] = self._new(part)
                    stored.thumbnail = thumbnail
                    await self._take(request, stored, part_pieces(part))
                    stored.is_whole = True
        if tid not in self.uploads:
            raise web.HTTPBadRequest(text="there has to be a tid, and behind it a File")
        return self._document(self.uploads[tid])

    async def _put(self, request: web.Request) -> web.Response:
        """Here is the rest of a file."""
        self._check_credentials(request)
        stored = self.uploads.get(request.match_info["tid"])
        if stored is None:
            raise web.HTTPNotFound
        match = RANGE.fullmatch(request.headers.get("Content-Range", ""))
        if match is None or int(match[1]) > stored.size:
            raise web.HTTPRequestRangeNotSatisfiable
        stored.size = int(match[1])
        await self._take(request, stored, request.content.iter_chunked(PIECE))
        stored.is_whole = stored.size == int(match[3])
        return web.Response(status=200)

    async def _get_info(self, request: web.Request) -> web.Response:
        """How much of it do you have (``get_upload_info``), or: where is it (``get_download_info``)."""
        self._check_credentials(request)
        stored = self.uploads.get(request.query.get("tid", ""))
        if stored is None:
            raise web.HTTPNotFound
        if "get_download_info" in request.query:
            if not stored.is_whole:
                raise web.HTTPNotFound
            return self._document(stored)
        if "get_upload_info" not in request.query or not stored.size:
            raise web.HTTPNotFound
        info = ResumeInfo(0, stored.size - 1, f"{self.url}/u/{quote(request.query['tid'], safe='')}")
        return web.Response(body=bytes(info), content_type="application/xml")

    def _new(self, part: BodyPartReader) -> Stored:
        token = ids.token(128)
        content_type = part.headers.get("Content-Type", UNKNOWN_TYPE)
        until = time.time() + self.options.ttl
        name = None if part.filename is None else unquote(part.filename)  # :rfc:`7578#section-2`
        stored = Stored(token, self._folder / token, content_type, name, until=until)
        stored.path.touch()
        self._by_token[token] = stored
        return stored

    async def _take(
        self, request: web.Request, stored: Stored, pieces: AsyncIterator[bytes], *, thumbnail: bool = False
    ) -> None:
        """Write what comes behind what is there."""
        cut = self.cuts.popleft() if self.cuts and not thumbnail else None
        with stored.path.open("r+b") as file:
            file.seek(stored.size)
            taken = 0
            async for piece in pieces:
                kept = piece if cut is None else piece[: cut - taken]
                taken += file.write(kept)
                file.flush()
                stored.size += len(kept)
                if cut is not None and taken >= cut:
                    break_off(request)

    def _document(self, stored: Stored) -> web.Response:
        thumbnail = None if stored.thumbnail is None else self._info(stored.thumbnail)
        return web.Response(body=bytes(FtHttp(self._info(stored), thumbnail)), content_type=CONTENT_TYPE)

    def _info(self, stored: Stored) -> FileInfo:
        until = datetime.fromtimestamp(stored.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        url = f"{self.url}/d/{stored.token}"
        return FileInfo(url, stored.size, stored.content_type, stored.name, until)

    # downloads

    async def _get(self, request: web.Request) -> web.StreamResponse:
        """Give a file, or a range of it."""
        stored = self._by_token.get(request.match_info["token"])
        if stored is None:
            raise web.HTTPNotFound
        if stored.until <= time.time():
            raise web.HTTPGone
        try:
            wanted = request.http_range
        except ValueError:
            raise web.HTTPRequestRangeNotSatisfiable from None
        start, stop, _ = wanted.indices(stored.size)
        if start >= stop and stored.size:
            raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{stored.size}"})
        response = web.StreamResponse(headers={"Content-Type": stored.content_type, "Accept-Ranges": "bytes"})
        response.content_length = stop - start
        if wanted.start is not None or wanted.stop is not None:
            response.set_status(206)
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{stored.size}"
        await response.prepare(request)
        cut = self.cuts.popleft() if self.cuts else None
        with stored.path.open("rb") as file:
            file.seek(start)
            given = 0
            while piece := file.read(min(PIECE, stop - start - given, PIECE if cut is None else cut - given)):
                await response.write(piece)
                given += len(piece)
                if given == cut:
                    break_off(request)
        return response


async def part_pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    """Yield the content of a part as it comes."""
    while piece := await part.read_chunk(PIECE):
        yield piece


def break_off(request: web.Request) -> NoReturn:
    """Reset the connection in the middle of a transfer."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("broken off on purpose")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8028, show_default=True, help="HTTP port; 0: a free one.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep files here; gone at the end when not given.")
@click.option("--account", "accounts", multiple=True, metavar="USER:PASSWORD", help="Who may upload; else everybody.")
def main(host: str, port: int, folder: Path | None, accounts: tuple[str, ...]) -> None:
    """Run the lab's content server until SIGTERM. Writes one JSON line when it is ready."""
    pairs = [account.partition(":") for account in accounts]
    options = ContentOptions(host, port, folder, {user: password for user, _, password in pairs})
    server = ContentServer(options)
    serve_until_signal(server, lambda: ready("content-server", http=server.address, url=server.url))


if __name__ == "__main__":
    main()
