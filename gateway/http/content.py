"""The content server: links for anybody who has one, uploads for inviters' devices (RCC.07 §3.2.5.3, D-FTH-03…05)."""

from __future__ import annotations

import re

from aiohttp import web
from multidict import CIMultiDict

from gateway.fileservices import ContentService, NewFile, Upload
from gateway.http.auth import parse_basic
from gateway.http.calls import Face, nothing
from gateway.http.downloads import serve
from gateway.http.problems import CHALLENGE, LengthRequired
from gateway.http.routes import Parameter, Route
from gateway.http.uploads import Form, pour
from gateway.services import Inviter, InviterService, NotAuthenticated
from translators.files import content_range
from translators.from_http import FieldError, name

CONTENT = "/rcsgw/content"

FT_HTTP = "application/vnd.gsma.rcs-ft-http+xml"
RESUME_INFO = "application/xml"

_TID = re.compile(r"[0-9A-Za-z-]{8,64}")
"""A UUID, or whatever else a device takes for one."""

_DIGEST_USER = re.compile(r'username="((?:[^"\\]|\\.)*)"')


class ContentCalls:
    """Turns requests of devices into calls of :class:`gateway.fileservices.ContentService`."""

    def __init__(self, face: Face, content: ContentService, inviters: InviterService) -> None:
        self._face = face
        self._content = content
        self._inviters = inviters

    def routes(self) -> list[Route]:
        """Return the calls with their paths and bodies."""
        tid = Parameter("tid", "Id that the device gave the upload")
        one = f"{CONTENT}/{{token}}"
        parts, icon = {200: "*/*", 206: "*/*"}, {200: "image/*"}
        return [
            Route("GET", one, self.linked, "A file, by its link", "anybody", None, parts, with_head=True),
            Route("GET", f"{one}/thumbnail", self.linked_thumbnail, "Its thumbnail", "anybody", None, icon),
            Route(
                "POST",
                CONTENT,
                self.upload_file,
                "Upload of an inviter's device: empty to be challenged, then tid, Thumbnail and File",
                "inviter",
                "multipart/form-data",
                {200: FT_HTTP, 204: None},
            ),
            Route(
                "GET",
                CONTENT,
                self.upload_info,
                "How far an upload has come, or the document for the chat",
                "inviter",
                None,
                {200: FT_HTTP},
                (tid, Parameter("get_upload_info", "Present"), Parameter("get_download_info", "Present")),
            ),
            Route("PUT", CONTENT, self.resume_upload, "The rest of an upload", "inviter", "*/*", {200: None}, (tid,)),
        ]

    async def linked(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        """Give a file."""
        return await serve(request, await self._content.open(token, thumbnail=False))

    async def linked_thumbnail(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        """Give a thumbnail."""
        return await serve(request, await self._content.open(token, thumbnail=True), inline=True)

    async def upload_file(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take a file; without body tell whether one would be taken."""
        try:
            inviter = await self._inviter(request)
        except NotAuthenticated:
            return self._challenged()
        if not request.body_exists:
            return nothing()
        tid = ""

        async def begin(fields: dict[str, str], new: NewFile) -> Upload:
            nonlocal tid
            tid = _tid(fields.get("tid"))
            return await self._content.begin(inviter, tid, new)

        content = self._content
        await Form(request, begin, content.max_thumbnail, content.stall_timeout).read()
        return _xml(await content.description(inviter, tid), FT_HTTP)

    async def upload_info(self, request: web.BaseRequest) -> web.StreamResponse:
        """Tell about an upload."""
        try:
            inviter = await self._inviter(request)
        except NotAuthenticated:
            return self._challenged()
        tid = _tid(request.query.get("tid"))
        if "get_upload_info" in request.query:
            return _xml((await self._content.upload_state(inviter, tid)).body, RESUME_INFO)
        if "get_download_info" in request.query:
            return _xml(await self._content.description(inviter, tid), FT_HTTP)
        raise FieldError("get_upload_info", "or get_download_info is missing")

    async def resume_upload(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take the rest of a file."""
        try:
            inviter = await self._inviter(request)
        except NotAuthenticated:
            return self._challenged()
        part = content_range(request.headers.get("Content-Range", ""))
        if request.content_length != part.end - part.start:
            raise LengthRequired("Content-Length must fit to Content-Range.")
        tid = _tid(request.query.get("tid"))
        upload = await self._content.resume(inviter, tid, part.start, part.total)
        await pour(request, upload, self._content.stall_timeout)
        return web.Response(status=200, headers={"Cache-Control": "no-store", "Server": "rcsgw"})

    async def _inviter(self, request: web.BaseRequest) -> Inviter:
        authorization = request.headers.get("Authorization", "")
        address = self._face.origins.address(request)
        if authorization.lower().startswith("digest "):
            user = _DIGEST_USER.search(authorization)
            account = name("Authorization", user[1] if user is not None else "")
            with self._face.throttle.attempt(account, address):
                return await self._content.authenticate(request.method, request.path_qs, authorization)
        credentials = parse_basic(authorization or None)
        name("Authorization", credentials.user)
        with self._face.throttle.attempt(credentials.user, address):
            return await self._inviters.authenticate(credentials.user, credentials.password, address)

    def _challenged(self) -> web.Response:
        """Return 401 with what may be answered: digest where we can check it, Basic in any case."""
        headers: CIMultiDict[str] = CIMultiDict({"Cache-Control": "no-store", "Server": "rcsgw"})
        for challenge in (*self._content.challenges(), CHALLENGE):
            headers.add("WWW-Authenticate", challenge)
        return web.Response(status=401, headers=headers)


def _tid(tid: str | None) -> str:
    if tid is None or _TID.fullmatch(tid) is None:
        raise FieldError("tid", "is missing or no UUID; it comes before File")
    return tid


def _xml(body: bytes, content_type: str) -> web.Response:
    headers = {"Content-Type": content_type, "Cache-Control": "no-store", "Server": "rcsgw"}
    return web.Response(body=body, headers=headers)
