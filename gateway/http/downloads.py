"""Files to HTTP clients: whole or in parts, as they come from the disk, and harmless in a browser."""

from __future__ import annotations

import logging
from email.utils import formatdate

from aiohttp import web
from multidict import CIMultiDict

from gateway.fileservices import Content, RangeRefused
from gateway.http.server import Detached
from gateway.services import ServiceError
from translators.files import RangeNotSatisfiable, byte_range, disposition, is_listed

log = logging.getLogger("rcsgw.http")

SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "audio/*", "video/*", "text/plain")
"""Media types that a browser may show by itself; none of them can run anything."""

POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
"""If a browser shows a file all the same: without scripts, as if from another site."""


async def serve(request: web.BaseRequest, content: Content, *, inline: bool = False) -> web.StreamResponse:
    """Answer GET or HEAD with a file, or with the part that Range asks for (:rfc:`9110#section-14`).

    ``inline``: the client wants to show it; done for harmless types only. Raises :class:`RangeRefused`.
    """
    try:
        part = _part(request, content)
        start, end = part if part is not None else (0, content.size)
        response = web.StreamResponse(status=200 if part is None else 206, headers=_headers(content, inline=inline))
        if part is not None:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
        response.content_length = end - start
        return await _send(request, response, content, start, end)
    finally:
        content.close()


async def _send(
    request: web.BaseRequest, response: web.StreamResponse, content: Content, start: int, end: int
) -> web.StreamResponse:
    """Send the octets; once the head is out, all that can be done about a failure is to break off."""
    if request.method == "HEAD":
        return response
    sent = start
    try:
        await response.prepare(request)
        async for data in content.read(start, end):
            sent += len(data)
            await response.write(data)
        if sent < end:
            raise OSError("the file is shorter than it should be")
        await response.write_eof()
    except (ServiceError, OSError) as error:
        log.info("%s broke off at octet %d: %s", request.path, sent, str(error) or type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
        return Detached()
    if end == content.size:
        await content.taken()
    return response


def _part(request: web.BaseRequest, content: Content) -> tuple[int, int] | None:
    condition = request.headers.get("If-Range")
    if condition is not None and condition not in (content.etag, formatdate(int(content.modified), usegmt=True)):
        return None
    try:
        return byte_range(request.headers.get("Range"), content.size)
    except RangeNotSatisfiable:
        raise RangeRefused(f"The file has {content.size} octets.", content.size) from None


def _headers(content: Content, *, inline: bool) -> CIMultiDict[str]:
    shown = inline and is_listed(content.content_type, SHOWN)
    return CIMultiDict(
        {
            "Content-Type": content.content_type,
            "Content-Disposition": disposition(content.name, inline=shown),
            "Accept-Ranges": "bytes",
            "ETag": content.etag,
            "Last-Modified": formatdate(int(content.modified), usegmt=True),
            "Cache-Control": "private, no-store",
            "Content-Security-Policy": POLICY,
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Server": "rcsgw",
        }
    )
