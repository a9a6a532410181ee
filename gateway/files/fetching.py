"""A file that an inviter sent as a link: from the content server into the spool, and to the guest at the same time."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import aiohttp

from gateway.backoff import pause
from gateway.files.guestfile import GuestFile
from gateway.files.webclient import NotAllowed, WebClient, retry_after
from gateway.fileservices import FileGone
from gateway.services import Conflict, Forbidden, ServiceError, Unavailable

if TYPE_CHECKING:
    from gateway.files.transfers import GuestTransfers

log = logging.getLogger("rcsgw.files")

TRIES = 5
"""Connections in a row that bring nothing before the guest is told to try later."""

PIECE = 64 << 10

_RANGE = re.compile(r"bytes (\d{1,16})-\d{1,16}/(\d{1,16}|\*)")


class Fetching:
    """Downloads one file: a mover with a task of its own."""

    __slots__ = ("_changed", "_client", "_etag", "_files", "_task", "_writer", "file", "outcome", "started")

    def __init__(self, files: GuestTransfers, file: GuestFile, client: WebClient) -> None:
        loop = asyncio.get_running_loop()
        self.file = file
        self._files = files
        self._client = client
        self._writer = files.room.spool.writer(file.record.id, file.record.octets)
        self._etag: str | None = None
        self._changed: asyncio.Future[None] = loop.create_future()
        self.started: asyncio.Future[None] = loop.create_future()
        """Done when the first octets come; fails with what the guest is to be told."""
        self.outcome: asyncio.Future[None] = loop.create_future()
        """Done when the file is ready; fails as ``started`` does."""
        for future in (self.started, self.outcome):
            future.add_done_callback(lambda future: future.cancelled() or future.exception())  # seen, if by nobody
        file.mover = self
        self._task = loop.create_task(self._run())

    @property
    def written(self) -> int:
        """Octets that can be read."""
        return self._writer.written

    async def changed(self) -> None:
        """Wait until there is more, or there will be none."""
        await asyncio.shield(self._changed)

    async def stop(self, *, cancelled: bool) -> None:
        """Let go; what came is kept unless the file is not wanted."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._download_all()
            await self._finish()
        except asyncio.CancelledError:
            self._end(Conflict("The download was stopped."))
            raise
        except ServiceError as error:
            self._end(error)
        except OSError as error:
            log.error("%r cannot be written: %s", self.file, error)
            self._end(Unavailable("The file could not be written.", retry_after=60))
        finally:
            if self.file.mover is self:
                self.file.mover = None
            await self._writer.close()
            self.file.record.octets = self._writer.prefix
            self.file.save()

    async def _download_all(self) -> None:
        """Go on where it broke off until nothing is missing."""
        failures, size = 0, self.file.record.size or 0
        while self._writer.prefix < size or not self.started.done():
            before = self._writer.prefix
            try:
                await self._download()
            except NotAllowed as error:
                raise self._over("failed", Forbidden(f"The file is not fetched: {error}.")) from error
            except (aiohttp.ClientError, OSError) as error:
                failures = failures + 1 if self._writer.prefix == before else 1
                log.info("%r: download broke off: %s", self.file, str(error) or type(error).__name__)
                if failures >= TRIES:
                    raise Unavailable("The content server cannot be reached.", retry_after=30) from error
                await asyncio.sleep(pause(failures, self._files.room.limits.retry))

    async def _download(self) -> None:
        start, size = self._writer.prefix, self.file.record.size or 0
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and self._etag is not None:
            headers["If-Range"] = self._etag
        async with self._client.request("GET", self.file.record.url, headers=headers) as response:
            self._check(response, start)
            self._etag = response.headers.get("ETag")
            if response.status == 200 and start:
                await self._begin_anew()
            self._begun()
            async for data in response.content.iter_chunked(PIECE):
                if self._writer.prefix + len(data) > size:
                    raise self._over(
                        "failed", Conflict(f"The file has more than the {size} octets that were announced.")
                    )
                await self._take(data)
        if self._writer.prefix < size:
            raise OSError("the connection ended early")

    async def _take(self, data: bytes) -> None:
        self._writer.write(self._writer.prefix, data)
        self._files.touch()
        if self.file.progressed(self._writer.prefix):
            await self._writer.flush()
            self.file.save()
        if self._files.room.spool.is_pressed:
            await self._files.room.spool.room()
        self._note()

    async def _begin_anew(self) -> None:
        await self._writer.close()
        self._writer = self._files.room.spool.writer(self.file.record.id, 0)

    def _check(self, response: aiohttp.ClientResponse, start: int) -> None:
        """Raise what another status than 200 or 206 means (D-FTH-05)."""
        status = response.status
        if status == 206:
            match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if match is None or int(match[1]) != start:
                raise OSError("the content server sends another range")
        elif status in (404, 410):
            raise self._over("expired", FileGone("The sender's server does not keep the file any more."))
        elif status == 503 or status == 429:
            raise Unavailable("The content server asks to wait.", retry_after=retry_after(response) or 30)
        elif status != 200:
            if 400 <= status < 500:
                raise self._over("failed", Conflict(f"The content server answers {status}."))
            raise OSError(f"the content server answers {status}")

    def _over(self, state: str, error: ServiceError) -> ServiceError:
        """End the file for good; return what the guest is told."""
        self.file.set("expired" if state == "expired" else "failed", error.detail)
        self._files.room.discard(self.file.record.id)
        return error

    def _begun(self) -> None:
        self.file.set("receiving")
        if not self.started.done():
            self.started.set_result(None)

    async def _finish(self) -> None:
        """Hash it, make it durable, tell."""
        digests = await self._writer.finish()
        record = self.file.record
        record.sha1, record.sha256 = digests.sha1, digests.sha256
        record.octets = digests.size
        self.file.set("ready")
        self.outcome.set_result(None)
        self._note()

    def _end(self, error: ServiceError) -> None:
        for future in (self.started, self.outcome):
            if not future.done():
                future.set_exception(error)
        self._note()

    def _note(self) -> None:
        """Wake whoever waits for more."""
        changed, self._changed = self._changed, asyncio.get_running_loop().create_future()
        changed.set_result(None)


class FetchedContent:
    """:class:`gateway.fileservices.Content` of a file that is still being downloaded."""

    __slots__ = ("_fetching", "_files", "content_type", "etag", "modified", "name", "size")

    def __init__(self, files: GuestTransfers, fetching: Fetching) -> None:
        record = fetching.file.record
        self.name = record.name
        self.content_type = record.content_type
        self.size = record.size or 0
        self.etag = f'"{record.id}"'
        self.modified = record.created
        self._files = files
        self._fetching = fetching

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield octets as they come."""
        fetching = self._fetching
        reader = None
        try:
            while start < end:
                there = min(fetching.written, end)
                if start < there:
                    reader = reader or await self._files.room.spool.reader(fetching.file.record.id)
                    async for data in reader.read(start, there):
                        start += len(data)
                        yield data
                elif fetching.outcome.done():
                    fetching.outcome.result()
                    if fetching.written <= start:
                        return
                else:
                    await fetching.changed()
        finally:
            if reader is not None:
                reader.close()

    async def taken(self) -> None:
        """Note that the guest has it, once it is durable."""
        try:
            await asyncio.shield(self._fetching.outcome)
        except ServiceError:
            return
        self._files.fetched(self._fetching.file)

    def close(self) -> None:
        """Hold nothing: the download goes on into the spool."""
