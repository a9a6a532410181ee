"""Files between the disk of a client and the gateway, in parts, taken up again where a connection broke."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import aiohttp

from gateway.clients.calls import GuestCalls
from gateway.clients.errors import ClientError, Refused, Unreachable
from translators.model import FileView

T = TypeVar("T")

PART = 1_048_576
"""Octets that one call carries up: what a lost connection costs at most, and what is held in memory."""

TRIES = 10
"""Attempts in a row without any progress after which a transfer has failed."""

PAUSE = 1.0
"""Seconds before a further attempt, times the number of those that failed."""

RANGE_NOT_SATISFIABLE = 416


async def upload(
    calls: GuestCalls,
    to: str,
    path: Path,
    *,
    content_type: str | None,
    key: str,
    on_progress: Callable[[FileView], None] | None,
) -> FileView:
    """Send a file; return how it stands when the gateway has all of it."""
    kind = content_type or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    with await asyncio.to_thread(path.open, "rb") as source:
        size = await asyncio.to_thread(source.seek, 0, 2)
        view = await _insist(lambda: calls.begin_file(to, path.name, kind, size, key))
        failures = 0
        while view.state == "uploading":
            octets = view.octets
            try:
                view = await _put_part(calls, view, source, size)
            except (Unreachable, Refused) as error:
                if isinstance(error, Refused) and not error.retryable and error.status != RANGE_NOT_SATISFIABLE:
                    raise
                view = await _insist(partial(calls.file_state, view.id))
            failures = 0 if view.octets > octets else failures + 1
            if failures:
                await _pause(failures)
            if on_progress is not None:
                on_progress(view)
    return view


async def _put_part(calls: GuestCalls, view: FileView, source: BinaryIO, size: int) -> FileView:
    content = await asyncio.to_thread(_read_at, source, view.octets)
    if not content and view.octets < size:
        raise ClientError("the file has become shorter while it was sent")
    return await calls.put_file(view.id, view.octets, size, content)


def _read_at(source: BinaryIO, start: int) -> bytes:
    source.seek(start)
    return source.read(PART)


async def download(calls: GuestCalls, file: FileView, path: Path, *, on_progress: Callable[[int], None] | None) -> Path:
    """Fetch a file into ``path``, by way of a ``.part`` beside it."""
    part = path.with_name(path.name + ".part")
    etag = f'"{file.hash}"' if file.hash else ""
    failures = 0
    while True:
        start = part.stat().st_size if part.exists() and etag else 0
        if file.size is not None and start == file.size and start:
            break
        try:
            if await _fetch(calls, file, part, start, etag, on_progress):
                break
        except (Unreachable, aiohttp.ClientError, TimeoutError):
            pass
        except Refused as error:
            if error.status == RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
            elif not error.retryable:
                raise
        failures = 0 if part.exists() and part.stat().st_size > start else failures + 1
        if failures:
            await _pause(failures)
    await _check(file, part)
    return await asyncio.to_thread(part.replace, path)


async def _fetch(
    calls: GuestCalls, file: FileView, part: Path, start: int, etag: str, on_progress: Callable[[int], None] | None
) -> bool:
    """Fetch from ``start`` on; return whether all of it came."""
    async with calls.fetch_file(file.id, start, etag) as answer:
        if answer.status != 206:
            start = 0
        with await asyncio.to_thread(part.open, "r+b" if start else "wb") as target:
            await asyncio.to_thread(target.seek, start)
            async for piece in answer.content.iter_chunked(PART):
                await asyncio.to_thread(target.write, piece)
                start += len(piece)
                if on_progress is not None:
                    on_progress(start)
    return file.size is None or start >= file.size


async def _check(file: FileView, part: Path) -> None:
    if file.hash is None:
        return
    with await asyncio.to_thread(part.open, "rb") as source:
        digest = await asyncio.to_thread(hashlib.file_digest, source, "sha256")
    if digest.hexdigest() != file.hash.lower():
        part.unlink()
        raise ClientError(f"{file.name} came damaged: its hash is another than the gateway said")


async def _insist(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call that a retry can't harm until it is answered."""
    failures = 0
    while True:
        try:
            return await call()
        except Unreachable:
            failures += 1
        except Refused as error:
            if not error.retryable:
                raise
            failures += 1
        await _pause(failures)


async def _pause(failures: int) -> None:
    """Wait before the next attempt. Raise Unreachable when there were too many."""
    if failures >= TRIES:
        raise Unreachable("the gateway does not take the transfer any further")
    await asyncio.sleep(PAUSE * failures)
