"""A guest's file to the operator's content server, as RCC.07 §3.2.5.3 has it (D-FTH-03, D-FTH-04)."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from gateway.files.guestfile import GuestFile
from gateway.files.spool import Spool
from gateway.files.webclient import WebClient, read_document, retry_after
from sipstack import ids
from sipstack.errors import ParseError
from sipstack.im.fthttp import ResumeInfo
from sipstack.sip.digest import Challenge, Credentials, digest_response, format_authorization
from sipstack.sip.digest_hash import base_algorithm, is_session
from translators.files import disposition

ACCEPTED = (200, 204)


class UploadBroken(Exception):
    """The upload did not work now. ``retry_after`` is in seconds."""

    def __init__(self, why: str, retry_after: int | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class UploadRefused(Exception):
    """The content server does not take the file."""


class ContentClient:
    """One guest's access to the content server at ``url``."""

    def __init__(self, client: WebClient, spool: Spool, url: str, credentials: Credentials | None) -> None:
        self._client = client
        self._spool = spool
        self._url = url
        self._credentials = credentials
        self._challenge: Challenge | None = None
        self._count = 0

    async def upload(self, file: GuestFile, on_progress: Callable[[int], None]) -> bytes:
        """Bring a file there, or the rest of one that broke off; return the document for the chat.

        Raises UploadBroken or UploadRefused; ``file.record.transfer_id`` names the upload from then on.
        """
        record = file.record
        try:
            if record.transfer_id:
                there = await self._there(record.transfer_id)
                if there is not None:
                    if there[0] < (record.size or 0):
                        await self._put(file, *there, on_progress)
                    return await self._document(record.transfer_id)
            record.transfer_id = str(uuid.UUID(hex=ids.token(128), version=4))
            file.save()
            await self._ask()
            return await self._post(file, on_progress)
        except (aiohttp.ClientError, OSError) as error:
            raise UploadBroken(str(error) or type(error).__name__) from error

    async def _ask(self) -> None:
        """Send an empty POST: it is challenged, so that the large one need not be (D-FTH-03)."""
        async with self._request("POST", self._url) as response:
            if response.status == 401:
                self._take_challenge(response)
            else:
                self._expect(response, ACCEPTED)

    async def _there(self, tid: str) -> tuple[int, str] | None:
        """Return how many octets have arrived and where the rest goes; None when the server knows nothing of it."""
        for _ in range(2):
            async with self._request("GET", f"{self._url}?tid={tid}&get_upload_info") as response:
                if response.status == 401:
                    self._take_challenge(response)
                    continue
                if response.status in (404, 410, 416):
                    return None
                self._expect(response, (200,))
                try:
                    info = ResumeInfo.parse(await read_document(response))
                except ParseError as error:
                    raise UploadBroken(str(error)) from error
                return (info.end + 1 if info.end else 0), info.url
        raise UploadRefused("the content server does not take our credentials")

    async def _put(self, file: GuestFile, start: int, url: str, on_progress: Callable[[int], None]) -> None:
        record = file.record
        size = record.size or 0
        headers = {
            "Content-Type": record.content_type,
            "Content-Range": f"bytes {start}-{size - 1}/{size}",
            "Content-Length": str(size - start),
        }
        data = self._octets(file, start, on_progress)
        async with self._request("PUT", url, headers=headers, data=data) as response:
            if response.status in (404, 410, 416):
                record.transfer_id = ""
                raise UploadBroken("the content server has forgotten what came")
            self._expect(response, ACCEPTED)

    async def _document(self, tid: str) -> bytes:
        async with self._request("GET", f"{self._url}?tid={tid}&get_download_info") as response:
            self._expect(response, (200,))
            return await read_document(response)

    async def _post(self, file: GuestFile, on_progress: Callable[[int], None]) -> bytes:
        record, boundary = file.record, ids.token(128)
        head = _field(boundary, 'name="tid"', "text/plain", record.transfer_id.encode()) + b"\r\n"
        if record.thumbnail:
            icon = await self._spool.thumbnail(record.id)
            head += _field(boundary, 'name="Thumbnail"; filename="thumbnail"', record.thumbnail, icon) + b"\r\n"
        named = disposition(record.name).removeprefix("attachment; ")
        head += _field(boundary, f'name="File"; {named}', record.content_type, b"")
        tail = f"\r\n--{boundary}--\r\n".encode()
        length = len(head) + (record.size or 0) + len(tail)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(length)}

        async def body() -> AsyncIterator[bytes]:
            yield head
            async for data in self._octets(file, 0, on_progress):
                yield data
            yield tail

        async with self._request("POST", self._url, headers=headers, data=body()) as response:
            self._expect(response, (200,))
            return await read_document(response)

    async def _octets(self, file: GuestFile, start: int, on_progress: Callable[[int], None]) -> AsyncIterator[bytes]:
        reader = await self._spool.reader(file.record.id)
        try:
            async for data in reader.read(start, file.record.size or 0):
                yield data
                start += len(data)
                on_progress(start)
        finally:
            reader.close()

    @asynccontextmanager
    async def _request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, data: Any = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = dict(headers or {})
        if self._challenge is not None and self._credentials is not None:
            headers["Authorization"] = self._authorization(self._credentials, self._challenge, method, url)
        async with self._client.request(method, url, headers=headers, data=data) as response:
            yield response

    def _expect(self, response: aiohttp.ClientResponse, statuses: tuple[int, ...]) -> None:
        status = response.status
        if status in statuses:
            return
        if status == 401:
            self._challenge = None
        if status in (401, 408, 429) or status >= 500:
            raise UploadBroken(f"the content server answers {status}", retry_after(response))
        raise UploadRefused(f"The content server answers {status}.")

    # digest, as in SIP

    def _take_challenge(self, response: aiohttp.ClientResponse) -> None:
        """Choose a challenge that can be answered. Raises UploadRefused for none, or when ours was wrong."""
        for value in response.headers.getall("WWW-Authenticate", []):
            try:
                challenge = Challenge.parse(value)
            except ParseError:
                continue
            if challenge.is_supported and self._credentials is not None:
                if self._challenge is not None and not challenge.stale and self._count:
                    break
                self._challenge, self._count = challenge, 0
                return
        raise UploadRefused("The content server does not take the gateway's credentials.")

    def _authorization(self, credentials: Credentials, challenge: Challenge, method: str, url: str) -> str:
        self._count += 1
        parts = urlsplit(url)
        uri = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        qop, nc = challenge.chosen_qop, f"{self._count:08x}"
        cnonce = ids.cnonce() if qop is not None or is_session(challenge.algorithm) else ""
        response = digest_response(
            ha1=credentials.ha1(challenge.realm, base_algorithm(challenge.algorithm)),
            method=method,
            uri=uri,
            nonce=challenge.nonce,
            algorithm=challenge.algorithm,
            qop=qop,
            nc=nc,
            cnonce=cnonce,
        )
        return format_authorization(credentials.username, challenge, uri, response, qop, nc, cnonce)


def _field(boundary: str, what: str, content_type: str, octets: bytes) -> bytes:
    """Return a part of a form, without the line break behind it."""
    head = f"--{boundary}\r\nContent-Disposition: form-data; {what}\r\nContent-Type: {content_type}\r\n\r\n"
    return head.encode() + octets
