"""Files from HTTP clients: read piece by piece, no faster than the disk takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.fileservices import FileTooLarge, NewFile, Upload
from gateway.http.calls import proceed
from gateway.http.problems import BadRequest, RequestTimeout
from translators.files import media_type, named_file
from translators.from_http import FieldError
from translators.model import FileView

MAX_FIELD = 1024
"""Octets of a field of a form that is no file."""

PIECE = 64 << 10
"""Octets of a form's file that are taken at once."""

MAX_PARTS = 16
"""Parts of a form."""

UNREADABLE = (ValueError, AssertionError, HttpProcessingError)
"""What aiohttp raises for forms that are none."""

Begin = Callable[[dict[str, str], NewFile], Awaitable[Upload | FileView]]
"""Takes the fields of a form in front of its file, and the file."""


async def pour(request: web.BaseRequest, upload: Upload, stall_timeout: float) -> FileView:
    """Give a body to an upload, and return what has become of it. ``stall_timeout``: seconds without an octet."""
    await proceed(request)
    try:
        async for data in _octets(request.content.readany, stall_timeout):
            await upload.write(data)
        return await upload.finish()
    except BaseException:
        await upload.leave()
        raise


async def _octets(read: Callable[[], Awaitable[bytes]], stall_timeout: float) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(stall_timeout):
                data = await read()
        except TimeoutError:
            raise RequestTimeout(f"No octet came for {stall_timeout:.0f} seconds.") from None
        if not data:
            return
        yield data


class Form:
    """A ``multipart/form-data`` body with a file, its thumbnail and fields, in any order but fields that
    :data:`Begin` needs first."""

    def __init__(self, request: web.BaseRequest, begin: Begin, max_thumbnail: int, stall_timeout: float) -> None:
        self._request = request
        self._begin = begin
        self._max_thumbnail = max_thumbnail
        self._stall_timeout = stall_timeout
        self._fields: dict[str, str] = {}
        self._thumbnail: tuple[str, bytes] | None = None
        self._outcome: Upload | FileView | None = None

    async def read(self) -> FileView:
        """Read it all and return what has become of the file. Raises what ``begin`` and the upload raise."""
        await proceed(self._request)
        try:
            await self._read_parts()
            if self._outcome is None:
                raise FieldError("file", "is missing: a part of the form with this name")
            if isinstance(self._outcome, FileView):
                return self._outcome
            if self._thumbnail is not None:
                await self._outcome.thumbnail(*self._thumbnail)
            return await self._outcome.finish()
        except BaseException:
            if self._outcome is not None and not isinstance(self._outcome, FileView):
                await self._outcome.leave()
            raise

    async def _read_parts(self) -> None:
        try:
            reader = await self._request.multipart()
        except UNREADABLE as error:
            raise BadRequest(f"The form cannot be read: {error}") from None
        for _ in range(MAX_PARTS):
            part = await self._next(reader)
            if part is None:
                return
            await self._take(part)
        raise BadRequest(f"The form has more than {MAX_PARTS} parts.")

    async def _next(self, reader: MultipartReader) -> BodyPartReader | None:
        try:
            async with asyncio.timeout(self._stall_timeout):
                part = await reader.next()
        except TimeoutError:
            raise RequestTimeout(f"No octet came for {self._stall_timeout:.0f} seconds.") from None
        except UNREADABLE as error:
            raise BadRequest(f"The form cannot be read: {error}") from None
        if part is not None and not isinstance(part, BodyPartReader):
            raise BadRequest("The form has a form inside it.")
        return part

    async def _take(self, part: BodyPartReader) -> None:
        name = (part.name or "").lower()
        if name == "file":
            if self._outcome is not None:
                raise FieldError("file", "is there twice: one call sends one file")
            await self._take_file(part)
        elif name == "thumbnail":
            content_type = media_type("thumbnail", part.headers.get("Content-Type"))
            self._thumbnail = content_type, await self._small(part, "thumbnail", self._max_thumbnail)
        else:
            octets = await self._small(part, name or "a field", MAX_FIELD)
            self._fields[name] = octets.decode("utf-8", "replace").strip()

    async def _take_file(self, part: BodyPartReader) -> None:
        name = named_file(part.headers.get("Content-Disposition"))
        new = NewFile(name, media_type("file", part.headers.get("Content-Type")), None)
        self._outcome = await self._begin(self._fields, new)
        if isinstance(self._outcome, FileView):
            return
        async for data in _octets(lambda: part.read_chunk(PIECE), self._stall_timeout):
            await self._outcome.write(data)

    async def _small(self, part: BodyPartReader, name: str, limit: int) -> bytes:
        taken = b""
        async for data in _octets(lambda: part.read_chunk(PIECE), self._stall_timeout):
            taken += data
            if len(taken) > limit:
                raise FileTooLarge(f"{name} exceeds {limit} octets.")
        return taken
