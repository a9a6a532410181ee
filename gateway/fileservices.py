"""What the HTTP face asks about files: the protocols that ``gateway.files`` fulfils, and the errors they raise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from gateway.services import Inviter, ServiceError
from translators.model import Files, FileView


class FileTooLarge(ServiceError):
    """The file exceeds a limit; the detail names it."""

    status, type, title = 413, "file-too-large", "The file is too large"


class FileTypeRefused(ServiceError):
    """Files of this media type may not pass."""

    status, type, title = 415, "file-type-refused", "Files of this type are not allowed"


class FileGone(ServiceError):
    """The file was there and is not any more."""

    status, type, title = 410, "file-gone", "The file is gone"


class RangeRefused(ServiceError):
    """The range does not fit to what is there; ``size`` octets are, None when that is not known."""

    status, type, title = 416, "range", "The range cannot be served"

    def __init__(self, detail: str, size: int | None) -> None:
        super().__init__(detail)
        self.size = size


@dataclass(frozen=True, slots=True)
class NewFile:
    """What a client says about a file before its octets."""

    name: str | None
    content_type: str
    size: int | None
    """Octets, None when they are not known beforehand."""


class Upload(Protocol):
    """A file that is coming in."""

    @property
    def id(self) -> str:
        """Id of the file."""

    async def write(self, data: bytes) -> None:
        """Take the next octets; returns when more may come.

        Raises FileTooLarge, Conflict (another upload of this file has begun, or it was cancelled), Unavailable.
        """

    async def thumbnail(self, content_type: str, data: bytes) -> None:
        """Keep a thumbnail. Raises FileTooLarge, FileTypeRefused."""

    async def finish(self) -> FileView:
        """Say that the client has sent its octets; when none is missing, the file is on its way."""

    async def leave(self) -> None:
        """Say that the client has gone: what came is kept, so that it can go on from there."""


class Content(Protocol):
    """A file for a client, or what there is of it so far."""

    @property
    def name(self) -> str:
        """Name to save it as."""

    @property
    def content_type(self) -> str:
        """Media type."""

    @property
    def size(self) -> int:
        """Octets of the whole file."""

    @property
    def etag(self) -> str:
        """Strong entity tag, with its quotation marks."""

    @property
    def modified(self) -> float:
        """When it was written, Unix seconds."""

    def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield octets, as they come where they come in still. Raises ServiceError when no more will."""

    async def taken(self) -> None:
        """Say that a client has got the last octet of the file, and all in front of it."""

    def close(self) -> None:
        """Let go of it; to be called in any case."""


class FileAccess(Protocol):
    """The files of one guest. Everything raises NotFound for an id that is none of theirs."""

    max_thumbnail: int
    """Octets of a thumbnail."""
    stall_timeout: float
    """Seconds that an upload may stand still."""

    async def begin(self, to: str, new: NewFile, key: str | None) -> Upload | FileView:
        """Begin a file to an inviter; a repeat with the same key goes on with it, or tells what came of it.

        Raises NoRelation, Forbidden, Ended, FileTooLarge, FileTypeRefused, TooManyRequests, Unprocessable.
        """

    async def resume(self, id: str, start: int, total: int | None) -> Upload:
        """Go on with an upload from octet ``start``. Raises RangeRefused where there is a gap, Conflict when it is
        complete or over."""

    async def content(self, id: str) -> Content:
        """Open a file that an inviter sent, or one's own. Raises FileGone, Conflict when it is not there yet."""

    async def thumbnail(self, id: str) -> Content:
        """Open a thumbnail."""

    def state(self, id: str) -> FileView:
        """Tell how far a file has come."""

    def list(self, peer: str | None) -> Files:
        """Return the files of one inviter or of all."""

    async def accept(self, id: str) -> FileView:
        """Take a file that an inviter offers. Raises Conflict when it is not offered any more."""

    async def cancel(self, id: str) -> FileView:
        """Cancel, decline or, when it is over already, delete a file."""


@dataclass(frozen=True, slots=True)
class UploadState:
    """How far the upload of an inviter's device has come (RCC.07: get_upload_info)."""

    size: int
    """Octets that are there."""
    body: bytes
    """XML that says so, and where to go on."""


class ContentService(Protocol):
    """The gateway as content server (RCC.07 §3.2.5.3, D-FTH-03…05)."""

    max_thumbnail: int
    stall_timeout: float

    def challenges(self) -> list[str]:
        """Return values of WWW-Authenticate that :meth:`authenticate` can check the answers to."""

    async def authenticate(self, method: str, uri: str, authorization: str) -> Inviter:
        """Return whose digest credentials these are. Raises NotAuthenticated, Unavailable."""

    async def open(self, token: str, *, thumbnail: bool) -> Content:
        """Open what a link leads to. Raises NotFound, FileGone after its end, Unavailable while it is not there yet."""

    async def begin(self, inviter: Inviter, tid: str, new: NewFile) -> Upload:
        """Begin an upload of an inviter's device. Raises FileTooLarge, FileTypeRefused, Unavailable."""

    async def resume(self, inviter: Inviter, tid: str, start: int, total: int | None) -> Upload:
        """Go on with an upload from octet ``start``. Raises NotFound, Conflict, RangeRefused."""

    async def upload_state(self, inviter: Inviter, tid: str) -> UploadState:
        """Tell how far an upload has come. Raises NotFound."""

    async def description(self, inviter: Inviter, tid: str) -> bytes:
        """Return the XML to send in the chat. Raises NotFound; Conflict while octets are missing."""
