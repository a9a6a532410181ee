"""The calls of a guest about files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.fileservices import FileAccess, NewFile, Upload
from gateway.http.calls import nothing, number
from gateway.http.downloads import serve
from gateway.http.negotiation import wanted
from gateway.http.problems import LengthRequired
from gateway.http.routes import Parameter, Route
from gateway.http.uploads import Form, pour
from gateway.services import GuestAccess
from translators.files import content_range, media_type, named_file
from translators.from_http import FieldError, key, name
from translators.model import Files, FileView, Problem

FILE = "/rcsgw/invitee/file"
FILES = "/rcsgw/invitee/files"

MAX_SIZE = 2**53 - 1
"""Octets that JSON's numbers can count; the configured limit is far below."""

_RETRY = Parameter("Idempotency-Key", "Makes a retry harmless: it goes on with the file", place="header")
_RANGE = Parameter("Range", "bytes=first-last: a part of the file", place="header")
_IF_RANGE = Parameter("If-Range", "ETag: else the whole file is sent", place="header")
_INLINE = Parameter("inline", "Present: to be shown instead of saved, for harmless types")


class FileCalls:
    """Turns the requests of guests into calls of :class:`gateway.fileservices.FileAccess`."""

    def __init__(self, guest: Callable[[web.BaseRequest], Awaitable[GuestAccess]]) -> None:
        """``guest`` returns who asks, by the credentials of a request."""
        self._guest = guest

    def routes(self) -> list[Route]:
        """Return the calls with their paths and bodies."""
        one = f"{FILE}/{{id}}"
        taken = {200: FileView, 201: FileView, 202: FileView}
        sending = (
            Parameter("to", "UID or identity of an inviter"),
            Parameter("name", "File name; Content-Disposition does too"),
            Parameter("size", "Octets of the whole file, where this body has only the first of them", "integer"),
            Parameter("Content-Disposition", "attachment; filename=…", place="header"),
            _RETRY,
        )
        return [
            Route("POST", FILE, self.send, "Send a file to an inviter", "guest", "*/*", taken, sending),
            Route("GET", FILES, self.list, "My files", "guest", None, {200: Files}, (Parameter("with", "Inviter"),)),
            Route(
                "PUT",
                one,
                self.resume,
                "Go on with an upload",
                "guest",
                "*/*",
                {200: FileView, 202: FileView, 411: Problem, 416: Problem},
                (Parameter("Content-Range", "bytes first-last/total: what this body holds", place="header"),),
            ),
            Route(
                "GET",
                one,
                self.fetch,
                "Fetch a file",
                "guest",
                None,
                {200: "*/*", 206: "*/*", 416: Problem},
                (_RANGE, _IF_RANGE, _INLINE),
                with_head=True,
            ),
            Route("GET", f"{one}/thumbnail", self.thumbnail, "Fetch its thumbnail", "guest", None, {200: "image/*"}),
            Route("GET", f"{one}/state", self.state, "How far it has come", "guest", None, {200: FileView}),
            Route("POST", f"{one}/accept", self.accept, "Take a file that is offered", "guest", None, {200: FileView}),
            Route("DELETE", one, self.cancel, "Cancel, decline or delete it", "guest", None, {204: None}),
        ]

    async def send(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take a file: as a form, or as the body alone."""
        format = wanted(request.headers.get("Accept"))
        files = (await self._guest(request)).files
        once = request.headers.get("Idempotency-Key")
        if once is not None:
            key("Idempotency-Key", once)
        if media_type("Content-Type", request.headers.get("Content-Type")) == "multipart/form-data":
            view = await self._send_form(request, files, once)
        else:
            view = await self._send_body(request, files, once)
        return format.answer(view, _taken(view, 201), f"{FILE}/{view.id}")

    async def _send_form(self, request: web.BaseRequest, files: FileAccess, once: str | None) -> FileView:
        async def begin(fields: dict[str, str], new: NewFile) -> Upload | FileView:
            return await files.begin(_receiver(fields.get("to") or request.query.get("to")), new, once)

        return await Form(request, begin, files.max_thumbnail, files.stall_timeout).read()

    async def _send_body(self, request: web.BaseRequest, files: FileAccess, once: str | None) -> FileView:
        headers = request.headers
        size = number(request, "size", MAX_SIZE)
        new = NewFile(
            named_file(headers.get("Content-Disposition")) or request.query.get("name"),
            media_type("Content-Type", headers.get("Content-Type")),
            size if size is not None else request.content_length if request.body_exists else 0,
        )
        begun = await files.begin(_receiver(request.query.get("to")), new, once)
        return begun if isinstance(begun, FileView) else await pour(request, begun, files.stall_timeout)

    async def resume(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        """Go on with an upload where it stands; without Content-Range the body is the whole file."""
        format = wanted(request.headers.get("Accept"))
        files = (await self._guest(request)).files
        stated = request.headers.get("Content-Range")
        if stated is None:
            start, total = 0, request.content_length
        else:
            part = content_range(stated)
            start, total = part.start, part.total
            length = request.content_length
            if length is None:
                raise LengthRequired("A part of a file needs a Content-Length.")
            if length != part.end - part.start:
                raise FieldError("Content-Range", f"says {part.end - part.start} octets, Content-Length {length}")
        view = await pour(request, await files.resume(id, start, total), files.stall_timeout)
        return format.answer(view, _taken(view, 200))

    async def fetch(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        """Give a file."""
        files = (await self._guest(request)).files
        return await serve(request, await files.content(id), inline="inline" in request.query)

    async def thumbnail(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        """Give a thumbnail."""
        files = (await self._guest(request)).files
        return await serve(request, await files.thumbnail(id), inline=True)

    async def state(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        """Tell how far a file has come."""
        format = wanted(request.headers.get("Accept"))
        return format.answer((await self._guest(request)).files.state(id))

    async def list(self, request: web.BaseRequest) -> web.StreamResponse:
        """List the guest's files."""
        format = wanted(request.headers.get("Accept"))
        files = (await self._guest(request)).files
        peer = request.query.get("with")
        return format.answer(files.list(name("with", peer) if peer is not None else None))

    async def accept(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        """Take a file that an inviter offers."""
        format = wanted(request.headers.get("Accept"))
        return format.answer(await (await self._guest(request)).files.accept(id))

    async def cancel(self, request: web.BaseRequest, id: str) -> web.StreamResponse:
        """Cancel, decline or delete a file."""
        await (await self._guest(request)).files.cancel(id)
        return nothing()


def _receiver(to: str | None) -> str:
    if not to:
        raise FieldError("to", "is missing: the UID or an identity of the inviter")
    return name("to", to)


def _taken(view: FileView, incomplete: int) -> int:
    """Return the status for a file: 202 when it is on its way, ``incomplete`` while octets are missing, else 200."""
    if view.state == "uploading":
        return incomplete
    return 202 if view.state == "sending" else 200
