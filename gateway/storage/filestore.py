"""What the gateway keeps about files; their octets lie in the spool (:mod:`gateway.files.spool`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

NOBODY = 0
"""``account_id`` of what an inviter has put into our content server: no guest has it yet."""


@dataclass(slots=True)
class FileRecord:
    """A file between a guest and an inviter. Times are Unix seconds, sizes octets."""

    id: str
    """Unguessable, and the name of the file in the spool."""
    account_id: int
    uid: str
    """UID of the inviter."""
    direction: str
    """``in`` from the inviter to the guest, ``out`` the other way."""
    name: str
    """Safe as a file name; never used as one by us."""
    content_type: str
    size: int | None
    """None while it is not known."""
    octets: int
    """How many have come in, or, while it is sent, how many the other end has confirmed."""
    state: str
    created: float
    until: float
    """When it is deleted."""
    way: str = "msrp"
    """``msrp`` or ``http`` (a link in the chat)."""
    sha1: str = ""
    """In hex, empty until all octets are there."""
    sha256: str = ""
    transfer_id: str = ""
    """``file-transfer-id`` of the offer (:rfc:`5547#section-6`); ``tid`` of an upload to a content server."""
    message_id: str = ""
    """Message that carries the link, and its notifications."""
    url: str = ""
    """Where the other side's content server has it."""
    thumbnail: str = ""
    """Media type of the thumbnail, empty where there is none."""
    reason: str = ""
    """Why it failed, in words."""
    thumbnail_url: str = ""
    """Where the other side's content server has the thumbnail."""
    asked: str = ""
    """What the sender of a link wants to be told of it (:mod:`gateway.asked`)."""


class FileStore(Protocol):
    """The part of :class:`gateway.storage.store.Store` about files."""

    async def add_file(self, record: FileRecord) -> None:
        """Keep a new file. Raises StoreError when there is one of this id."""

    async def update_file(self, record: FileRecord) -> bool:
        """Keep what has changed of a file; return False when it is not kept any more."""

    async def file(self, id: str) -> FileRecord | None:
        """Return one file."""

    async def files(self, account_id: int, uid: str | None = None) -> list[FileRecord]:
        """Return the files of an account, or of one of its relations, oldest first."""

    async def all_files(self) -> list[FileRecord]:
        """Return every file, oldest first: at start, to go on where the last process stopped."""

    async def files_over(self, now: float) -> list[FileRecord]:
        """Return the files whose time is over and that are not ``expired`` yet."""

    async def next_file_end(self) -> float | None:
        """Return when the time of the next file is over."""

    async def delete_files(self, ids: Sequence[str]) -> None:
        """Forget files."""
