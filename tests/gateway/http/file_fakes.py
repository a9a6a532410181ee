"""Files behind the HTTP face, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.fileservices import (
    Content,
    FileGone,
    FileTooLarge,
    FileTypeRefused,
    NewFile,
    RangeRefused,
    Upload,
    UploadState,
)
from gateway.services import Conflict, Forbidden, Inviter, NotAuthenticated, NotFound
from translators.model import Files, FileView, format_time

NOW = format_time(1_800_000_000.0)


def view(id: str = "f1", state: str = "ready", **changes: object) -> FileView:
    values: dict[str, object] = {
        "from_": "sip:a@cc.com",
        "to": "sip:b@cc.com",
        "direction": "in",
        "name": "a <b>.jpg",
        "content_type": "image/jpeg",
        "octets": 0,
        "at": NOW,
        "until": NOW,
        "uid": "a",
    }
    return FileView(id=id, state=state, **{**values, **changes})  # type: ignore[arg-type]  # a test's words


class MemoryContent:
    """gateway.fileservices.Content."""

    def __init__(self, name: str, content_type: str, data: bytes, piece: int = 1000) -> None:
        self.name = name
        self.content_type = content_type
        self.data = data
        self.size = len(data)
        self.etag = '"tag"'
        self.modified = 1_800_000_000.5
        self.breaks_at: int | None = None
        self.is_taken = False
        self.closed = 0
        self._piece = piece

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        for position in range(start, end, self._piece):
            if self.breaks_at is not None and position >= self.breaks_at:
                raise OSError("gone")
            yield self.data[position : min(position + self._piece, end)]

    async def taken(self) -> None:
        self.is_taken = True

    def close(self) -> None:
        self.closed += 1


class MemoryUpload:
    """gateway.fileservices.Upload."""

    def __init__(self, files: MemoryFiles, id: str, new: NewFile) -> None:
        self.id = id
        self.new = new
        self.data = bytearray()
        self.icon: tuple[str, bytes] | None = None
        self.left = 0
        self._files = files

    async def write(self, data: bytes) -> None:
        if len(self.data) + len(data) > self._files.max_size:
            raise FileTooLarge(f"the limit files.max_size is {self._files.max_size}")
        self.data += data

    async def thumbnail(self, content_type: str, data: bytes) -> None:
        self.icon = content_type, data

    async def finish(self) -> FileView:
        whole = self.new.size is None or len(self.data) == self.new.size
        return view(self.id, "sending" if whole else "uploading", octets=len(self.data), size=self.new.size)

    async def leave(self) -> None:
        self.left += 1


class MemoryFiles:
    """gateway.fileservices.FileAccess."""

    def __init__(self) -> None:
        self.max_thumbnail = 100
        self.max_size = 10_000_000
        self.stall_timeout = 5.0
        self.uploads: list[MemoryUpload] = []
        self.begun: list[tuple[str, NewFile, str | None]] = []
        self.contents: dict[str, MemoryContent] = {}
        self.calls: list[tuple[str, ...]] = []
        self.again: FileView | None = None

    async def begin(self, to: str, new: NewFile, key: str | None) -> Upload | FileView:
        self.begun.append((to, new, key))
        if to == "c":
            raise Forbidden("The invitation of c is not for file.")
        if new.content_type == "application/x-evil":
            raise FileTypeRefused("Files of type application/x-evil are not allowed here.")
        if new.size is not None and new.size > self.max_size:
            raise FileTooLarge(f"the limit files.max_size is {self.max_size}")
        if self.again is not None:
            return self.again
        self.uploads.append(MemoryUpload(self, f"f{len(self.uploads) + 1}", new))
        return self.uploads[-1]

    async def resume(self, id: str, start: int, total: int | None) -> Upload:
        upload = next((upload for upload in self.uploads if upload.id == id), None)
        if upload is None:
            raise NotFound("You have no such file.")
        if start > len(upload.data):
            raise RangeRefused(f"The file has {len(upload.data)} octets so far.", len(upload.data))
        del upload.data[start:]
        return upload

    async def content(self, id: str) -> Content:
        if id == "gone":
            raise FileGone("The file is expired.")
        if id not in self.contents:
            raise NotFound("You have no such file.")
        return self.contents[id]

    async def thumbnail(self, id: str) -> Content:
        return await self.content(f"{id}-thumbnail")

    def state(self, id: str) -> FileView:
        return view(id, "receiving", octets=7, size=10)

    def list(self, peer: str | None) -> Files:
        self.calls.append(("list", peer or ""))
        return Files(files=[view("f1"), view("f2", "failed", reason="why")])

    async def accept(self, id: str) -> FileView:
        if id == "over":
            raise Conflict("The file is ready: there is nothing to accept.")
        return view(id, "receiving")

    async def cancel(self, id: str) -> FileView:
        self.calls.append(("cancel", id))
        return view(id, "cancelled")


class MemoryContents:
    """gateway.fileservices.ContentService, of one file."""

    max_thumbnail = 100
    stall_timeout = 5.0

    def __init__(self) -> None:
        self.files: dict[str, MemoryContent] = {}

    def challenges(self) -> list[str]:
        return []

    async def authenticate(self, method: str, uri: str, authorization: str) -> Inviter:
        raise NotAuthenticated("no digest here")

    async def open(self, token: str, *, thumbnail: bool) -> Content:
        if token not in self.files:
            raise NotFound("Nothing is at this link.")
        return self.files[token]

    async def begin(self, inviter: Inviter, tid: str, new: NewFile) -> Upload:
        raise NotFound(tid)

    async def resume(self, inviter: Inviter, tid: str, start: int, total: int | None) -> Upload:
        raise NotFound(tid)

    async def upload_state(self, inviter: Inviter, tid: str) -> UploadState:
        raise NotFound(tid)

    async def description(self, inviter: Inviter, tid: str) -> bytes:
        raise NotFound(tid)
