"""The gateway as content server: links for devices of inviters, and their uploads (RCC.07 §3.2.5.3, D-FTH-03…05).

A link ends in the file's id and a keyed hash of it. So nothing has to be kept to tell a link that was right once (410)
from one that never was (404).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

from gateway.files.content import SpoolContent, ThumbnailContent
from gateway.files.inviterupload import InviterUpload
from gateway.files.room import FileRoom
from gateway.fileservices import Content, FileGone, NewFile, RangeRefused, Upload, UploadState
from gateway.refusals import refusals
from gateway.secrets import Sealer
from gateway.services import Conflict, Inviter, NotAuthenticated, NotFound, Unavailable
from gateway.storage.filestore import NOBODY, FileRecord
from gateway.users.base import DigestUsers, UsersDriver
from sipstack.errors import ParseError
from sipstack.im.fthttp import FileInfo, FtHttp, ResumeInfo
from sipstack.sip.digest import DigestServer, Verified
from sipstack.sip.digest_hash import base_algorithm
from sipstack.sip.headers import parse_auth_params
from sipstack.sip.message import Request
from translators.files import safe_name
from translators.model import format_time

PATH = "/rcsgw/content"

ID_DIGITS = 24

NOT_SERVED = ("uploading", "offered", "receiving")
"""States in which octets are missing."""

OVER = ("failed", "declined", "cancelled", "expired")

DIGEST_ALGORITHMS = ("SHA-256", "MD5")
"""Asked for where the users driver knows no password; nobody is challenged then."""


class ContentServer:
    """:class:`gateway.fileservices.ContentService`.

    ``public_url`` is where devices find the gateway, ``realm`` that of its digest challenges.
    """

    def __init__(self, room: FileRoom, sealer: Sealer, users: UsersDriver, realm: str, public_url: str) -> None:
        self._room = room
        self._users = users if isinstance(users, DigestUsers) else None
        algorithms = self._users.digest_algorithms if self._users is not None else DIGEST_ALGORITHMS
        self._digest = DigestServer(realm, algorithms, secret=sealer.link("digest").encode())
        self._sealer = sealer
        self._url = public_url.rstrip("/") + PATH
        self._uploads: dict[str, InviterUpload] = {}
        self.max_thumbnail = room.limits.thumbnail_max_size
        self.stall_timeout = room.limits.stall_timeout

    # links

    def link(self, id: str) -> str:
        """Return the public link to a file."""
        return f"{self._url}/{id}{self._sealer.link(id)}"

    def document(self, record: FileRecord, thumbnail_size: int = 0) -> bytes:
        """Return what goes through the chat for a file of the spool."""
        until, url = format_time(record.until), self.link(record.id)
        thumbnail = None
        if record.thumbnail:
            thumbnail = FileInfo(f"{url}/thumbnail", thumbnail_size, record.thumbnail, until=until)
        return bytes(FtHttp(FileInfo(url, record.size or 0, record.content_type, record.name, until), thumbnail))

    def id_of(self, url: str) -> str | None:
        """Return the file that a link of ours leads to, None for others' links."""
        base, _, token = url.rpartition("/")
        return self._checked(token) if base == self._url else None

    def _checked(self, token: str) -> str | None:
        id, proof = token[:ID_DIGITS], token[ID_DIGITS:]
        right = hmac.compare_digest(self._sealer.link(id).encode(), proof.encode("utf-8", "surrogateescape"))
        return id if right else None

    async def open(self, token: str, *, thumbnail: bool) -> Content:
        """Open what a link leads to."""
        id = self._checked(token)
        if id is None:
            raise NotFound("Nothing is at this link.")
        with refusals():
            record = await self._room.store.file(id)
        if record is None or record.state in OVER or record.until <= self._room.clock():
            raise FileGone("The file is not kept any more.")
        if thumbnail:
            return await ThumbnailContent.open(self._room.spool, record)
        if record.state in NOT_SERVED:
            raise Unavailable("The file is not there yet.", retry_after=5)
        return await SpoolContent.open(self._room.spool, record)

    # uploads of inviters

    def challenges(self) -> list[str]:
        """Return digest challenges, where the users driver knows what answers them."""
        return self._digest.challenges(self._room.clock()) if self._users is not None else []

    async def authenticate(self, method: str, uri: str, authorization: str) -> Inviter:
        """Return whose digest credentials these are."""
        with refusals():
            known = await self._digest_user(authorization)
        # the same computation as in SIP; a request is what carries method, URI and credentials
        request = Request(method, uri, [("Authorization", authorization)])
        result = self._digest.verify(request, lambda *_: known[0] if known else None, self._room.clock())
        if known is None or not isinstance(result, Verified):
            raise NotAuthenticated("The digest credentials are wrong.")
        return known[1]

    async def _digest_user(self, authorization: str) -> tuple[str, Inviter] | None:
        """Return the hash that the credentials have to be made with, and whose it is; None for nobody's."""
        try:
            fields = parse_auth_params(authorization)[1]
        except ParseError:
            return None
        algorithm = base_algorithm(fields.get("algorithm"))
        if self._users is None or algorithm not in self._users.digest_algorithms:
            return None
        return await self._users.digest(fields.get("username", ""), self._digest.realm, algorithm)

    async def begin(self, inviter: Inviter, tid: str, new: NewFile) -> Upload:
        """Begin an upload of an inviter's device; one with the same ``tid`` begins anew."""
        room = self._room
        room.check(new.content_type, new.size)
        id, now = self._id(inviter, tid), room.clock()
        await self._stop(id)
        record = FileRecord(
            id,
            NOBODY,
            inviter.uid,
            "in",
            safe_name(new.name, new.content_type),
            new.content_type,
            new.size,
            0,
            "uploading",
            now,
            now + room.limits.ttl,
            way="http",
            transfer_id=tid,
        )
        room.reserve(id, new.size or 0)
        with refusals():
            await room.store.delete_files([id])
            await room.store.add_file(replace(record))
        room.ends_at(record.until)
        return self._upload(record, 0)

    async def resume(self, inviter: Inviter, tid: str, start: int, total: int | None) -> Upload:
        """Go on with an upload."""
        id = self._id(inviter, tid)
        await self._stop(id)
        record = await self._record(id)
        if record.state != "uploading":
            raise Conflict("The upload is complete.")
        if start > record.octets:
            raise RangeRefused(f"The file has {record.octets} octets so far.", record.octets)
        if record.size is None and total is not None:
            self._room.check(record.content_type, total)
            self._room.reserve(id, total)
            record.size = total
        return self._upload(record, start)

    async def upload_state(self, inviter: Inviter, tid: str) -> UploadState:
        """Tell how far an upload has come."""
        id = self._id(inviter, tid)
        running = self._uploads.get(id)
        record = running.record if running is not None else await self._record(id)
        last = max(record.octets - 1, 0)
        return UploadState(record.octets, bytes(ResumeInfo(0, last, f"{self._url}?tid={tid}")))

    async def description(self, inviter: Inviter, tid: str) -> bytes:
        """Return the document for the chat."""
        record = await self._record(self._id(inviter, tid))
        if record.state != "ready":
            raise Conflict("Octets of the file are missing.")
        size = len(await self._room.spool.thumbnail(record.id)) if record.thumbnail else 0
        return self.document(record, size)

    def _id(self, inviter: Inviter, tid: str) -> str:
        return hashlib.sha256(f"{inviter.uid}\0upload\0{tid}".encode()).hexdigest()[:ID_DIGITS]

    async def _record(self, id: str) -> FileRecord:
        with refusals():
            record = await self._room.store.file(id)
        if record is None:
            raise NotFound("There is no such upload.")
        return record

    def _upload(self, record: FileRecord, start: int) -> InviterUpload:
        record.octets = start
        upload = self._uploads[record.id] = InviterUpload(self._room, record, start, self._uploads)
        return upload

    async def _stop(self, id: str) -> None:
        """End an upload that still runs: its connection may hang."""
        running = self._uploads.get(id)
        if running is not None:
            await running.leave()
