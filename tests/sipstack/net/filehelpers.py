"""Files in memory and handlers that remember, for tests of transfers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from sipstack.filecheck import FileCheck
from sipstack.net.fileoffer import IncomingFile
from sipstack.net.filetransfer import FileHandler, FileTransfer, ReceivedFile
from sipstack.net.useragent import UserAgent
from sipstack.sdp_file import FileAttributes, FileSelector
from tests.sipstack.net.helpers import Phone, World, registered

SMALL = b"hello file"
LARGE = bytes(range(256)) * 4096
HUGE = LARGE * 32
"""More than all the buffers between two programs hold."""


class MemoryFile:
    """A source and a sink."""

    def __init__(self, octets: bytes = b"") -> None:
        self.octets = bytearray(octets)
        self.spoil: Callable[[int, bytes], bytes] = lambda start, data: data
        """Changes what is read, as a bad wire would."""

    @property
    def size(self) -> int:
        return len(self.octets)

    @property
    def content(self) -> bytes:
        return bytes(self.octets)

    def read(self, start: int, limit: int) -> bytes:
        return self.spoil(start, bytes(self.octets[start : start + limit]))

    def write(self, start: int, data: bytes) -> None:
        if len(self.octets) < start:
            self.octets.extend(bytes(start - len(self.octets)))
        self.octets[start : start + len(data)] = data


class Files(FileHandler):
    """Remembers everything; accepts what has the right hash."""

    def __init__(self) -> None:
        self.progress: list[int] = []
        self.sent: list[FileTransfer] = []
        self.received: list[ReceivedFile] = []
        self.ended: list[tuple[str, Any]] = []
        self.on_progress: Callable[[FileTransfer, int], None] = lambda transfer, octets: None
        self.file: MemoryFile | None = None
        """Whose octets are checked."""
        self.hold = False

    def file_progress(self, transfer: FileTransfer, octets: int) -> None:
        self.progress.append(octets)
        self.on_progress(transfer, octets)

    def file_received(self, transfer: FileTransfer, file: ReceivedFile) -> None:
        self.received.append(file)
        wrong = None
        if self.file is not None:
            check = FileCheck(transfer.attributes.selector)
            check.update(0, self.file.content)
            wrong = check.mismatch(file.size)
        if wrong is not None:
            file.reject(400, wrong)
        elif not self.hold:
            file.accept()

    def file_sent(self, transfer: FileTransfer) -> None:
        self.sent.append(transfer)

    def file_ended(self, transfer: FileTransfer, reason: str, error: Exception | None) -> None:
        self.ended.append((reason, error))

    @property
    def reason(self) -> str:
        """Why the transfer ended; empty before."""
        assert len(self.ended) < 2
        return self.ended[0][0] if self.ended else ""


class FilePhone(Phone):
    """A phone that also takes files."""

    def __init__(self) -> None:
        super().__init__()
        self.files = Files()
        self.disk = MemoryFile()
        self.files.file = self.disk
        self.offers: list[IncomingFile] = []
        self.transfers: list[FileTransfer] = []
        self.react_to_file: Callable[[IncomingFile], Any] = lambda offer: self.transfers.append(
            offer.answer(self.files, self.disk)
        )

    def file_offered(self, agent: object, offer: IncomingFile) -> None:
        self.offers.append(offer)
        offer.on_cancel = self.cancelled.append
        self.react_to_file(offer)


def describe(octets: bytes, name: str = "notes.txt", content_type: str | None = "text/plain") -> FileAttributes:
    """Return what is to be said about a file."""
    digests = {"sha-1": hashlib.sha1(octets).digest()}
    return FileAttributes(FileSelector(name, content_type, len(octets), digests), disposition="attachment")


def file_pair(**options: Any) -> AbstractAsyncContextManager[tuple[World, UserAgent, UserAgent, FilePhone]]:
    """Start a world in which a and b are registered; b takes files."""
    return registered(FilePhone(), "tcp", **options)
