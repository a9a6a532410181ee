"""The phone's files over MSRP (:rfc:`5547`): what it is offered, what it sends, what it goes on with."""

from __future__ import annotations

import asyncio
import hashlib
import math
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sipstack import ids
from sipstack.errors import ConnectionClosed, RequestFailed, SipstackError
from sipstack.filecheck import FileCheck
from sipstack.filename import safe_name
from sipstack.im.imdn import ImdnRequest
from sipstack.net.fileoffer import Icon, IncomingFile
from sipstack.net.filereceiver import FileReceiver
from sipstack.net.filetransfer import CANCELLED, DONE, LOCAL, REFUSED, FileHandler, FileTransfer, ReceivedFile
from sipstack.sdp_file import SHA_1, FileAttributes, FileSelector
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from gateway.lab.phone import Phone

PIECE = 1 << 20
"""Octets hashed at a time."""

OVER = frozenset({DONE, LOCAL, CANCELLED, REFUSED})
"""Ends after which a sender does not try again."""

AWAY = frozenset({408, 480, 487, 500, 502, 503, 504})
"""Answers of a peer, or of the network, after which an offer to go on may be taken later."""

PAUSE = 0.2
"""Seconds before a transfer that broke off is offered again."""

UNTYPED = "application/octet-stream"


class PhoneFile(FileHandler):
    """A file that comes or goes: its transfer's handler, and the file on disk as source or sink."""

    def __init__(
        self, files: Files, peer: str, direction: str, path: Path, selector: FileSelector, icon: Icon | None = None
    ) -> None:
        self.id = ids.token(64)
        self.peer = peer
        self.direction = direction
        """``in`` or ``out``."""
        self.path = path
        self.selector = selector
        self.icon = icon
        """Content type and octets of the preview."""
        self.size = selector.size or 0
        """Octets; of one that comes without its size told, as many as there are."""
        self.octets = 0
        """How many from the first are there."""
        self.state = "offered"
        """``offered``, ``moving``, ``done``, or why it ended."""
        self.sha256 = ""
        """In hex, when it is whole."""
        self.resumed: list[int] = []
        """Octets that were there when it was gone on with."""
        self.transfer: FileTransfer | None = None
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._files = files
        self._disk: BinaryIO | None = None

    @property
    def name(self) -> str:
        """As its sender says."""
        return self.selector.name or ""

    def view(self) -> dict[str, object]:
        """Return it for JSON."""
        names = ("id", "peer", "direction", "name", "size", "octets", "state", "sha256")
        return {name: getattr(self, name) for name in names}

    @property
    def content(self) -> bytes:
        """What is on disk."""
        return self.path.read_bytes()

    def begin(self) -> None:
        """Expect a transfer, the first or a further one."""
        self.state = "moving"
        if self.ended.done():
            self.ended = asyncio.get_running_loop().create_future()
        if self._disk is None:
            self._disk = self.path.open("rb" if self.direction == "out" else "r+b")

    # sipstack.msrp.stream.Source and Sink

    def read(self, start: int, limit: int) -> bytes:
        """Return octets."""
        assert self._disk is not None
        self._disk.seek(start)
        return self._disk.read(limit)

    def write(self, start: int, data: bytes) -> None:
        """Keep octets."""
        assert self._disk is not None
        self._disk.seek(start)
        self._disk.write(data)

    # sipstack.net.filetransfer.FileHandler

    def file_progress(self, transfer: FileTransfer, octets: int) -> None:
        """Note it; call it off where the behaviour says so."""
        self.octets = octets
        if octets >= self._files.cancel_at:
            transfer.cancel()
        self._files.watch(self)

    def file_received(self, transfer: FileTransfer, file: ReceivedFile) -> None:
        """Check it, then answer."""
        self._files.spawn(self._check(transfer, file))

    async def _check(self, transfer: FileTransfer, file: ReceivedFile) -> None:
        assert self._disk is not None
        self._disk.flush()
        self._disk.truncate(file.size)
        wrong, self.sha256 = await asyncio.to_thread(_check, self.path, self.selector)
        if wrong is None:
            self.octets = self.size = file.size
            file.accept()
            wrapper = transfer.wrapper if isinstance(transfer, FileReceiver) else None
            self._files.taken(self, ImdnRequest.of(wrapper))
        else:
            file.reject(400, wrong)

    def file_ended(self, transfer: FileTransfer, reason: str, error: Exception | None) -> None:
        """Note how, and behind which octet to go on."""
        if reason != DONE:
            self.octets = transfer.resumable
        self.over(reason)

    def over(self, reason: str) -> None:
        """Take that nothing of it moves any more."""
        self.state = reason
        if self._disk is not None:
            self._disk.close()
            self._disk = None
        if not self.ended.done():
            self.ended.set_result(reason)
        self._files.over(self)


class Files:
    """All files of a phone. What comes lies in ``folder``, or in one that goes with the phone."""

    def __init__(self, phone: Phone, folder: Path | None) -> None:
        self._phone = phone
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.all: dict[str, PhoneFile] = {}
        """By :attr:`PhoneFile.id`, oldest first."""
        self.offers: dict[str, IncomingFile] = {}
        """What waits for :meth:`accept` or :meth:`decline`, by the file's id."""
        self.watch: Callable[[PhoneFile], None] = lambda file: None
        """Called when octets have come or gone."""

    @property
    def cancel_at(self) -> float:
        """From how many octets on a transfer is called off."""
        limit = self._phone.behaviour.cancel_at
        return math.inf if limit is None else limit

    def close(self) -> None:
        """Call off what is under way; what came goes, unless it lies in a folder of the caller's."""
        for task in self._tasks:
            task.cancel()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in a task of its own."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def new_path(self, name: str) -> Path:
        """Return where a file of that name may be written."""
        if self._folder is None and self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="rcsgw-phone-")
        folder = self._folder or Path(self._temporary.name if self._temporary else "")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{ids.token(64)}-{safe_name(name)}"
        path.touch()
        return path

    # what goes

    async def send(
        self,
        uri: str,
        content: bytes | Path,
        *,
        name: str = "",
        content_type: str = UNTYPED,
        icon: Icon | None = None,
        tries: int = 20,
    ) -> PhoneFile:
        """Send a file, going on with it where it breaks off, and return it when it is over: see its ``state``.

        Raises as :meth:`UserAgent.send_file`.
        """
        peer = Uri.parse(uri)
        path = content if isinstance(content, Path) else self.new_path(name)
        if isinstance(content, bytes):
            path.write_bytes(content)
        selector = await asyncio.to_thread(_describe, path, name or path.name, content_type)
        file = PhoneFile(self, peer.aor, "out", path, selector, icon)
        self.all[file.id] = file
        self._phone.emit("file-sending", peer.aor, file.name, file.id)
        for attempt in range(tries):
            try:
                await self._offer(peer, file)
            except RequestFailed as error:
                if not attempt or error.response.status not in AWAY:
                    file.over(REFUSED)
                    raise
                file.over("unreachable")
            except ConnectionClosed:
                file.over("unreachable")
            if await file.ended in OVER:
                break
            await asyncio.sleep(PAUSE * min(attempt + 1, 5))
        return file

    async def _offer(self, peer: Uri, file: PhoneFile) -> None:
        file.begin()
        start = min(file.octets + 1, max(file.size, 1))
        if start > 1:
            file.resumed.append(start - 1)
        attributes = FileAttributes(file.selector, disposition="render")
        icon = file.icon if start == 1 else None
        try:
            file.transfer = await self._phone.agent.send_file(
                peer, attributes, file, file, icon=icon, start=start, notify=self._phone.notices.asks
            )
        except SipstackError as error:
            if not isinstance(error, RequestFailed | ConnectionClosed):
                file.over(REFUSED)
            raise

    def cancel(self, id: str) -> None:
        """Stop a transfer; KeyError when there is no such file."""
        transfer = self.all[id].transfer
        if transfer is not None:
            transfer.cancel()

    # what comes

    def offered(self, offer: IncomingFile) -> None:
        """Do as the behaviour says with a file that a peer offers."""
        phone, act, peer = self._phone, self._phone.behaviour.on_file, offer.peer.aor
        if offer.direction != "push" or not phone.behaviour.takes_files:
            offer.refuse(488, "no files here")
            return
        file = self._broken(peer, offer.attributes)
        if file is None and offer.attributes.start > 1:
            offer.refuse(488, "that file is not known")
            return
        if file is None:
            selector = offer.attributes.selector
            file = PhoneFile(self, peer, "in", self.new_path(selector.name or ""), selector, offer.icon)
            self.all[file.id] = file
            phone.emit("file-offered", peer, file.name, file.id)
        elif act == "ask":
            act = "accept"  # it was asked for already
        if isinstance(act, int):
            offer.reject(act)
            file.over(REFUSED)
        elif act == "accept":
            self._answer(file, offer)
        else:
            self.offers[file.id] = offer
            offer.on_cancel = self._withdrawal(file)
            if act == "ask":
                offer.ring()

    def _broken(self, peer: str, attributes: FileAttributes) -> PhoneFile | None:
        """Return the file that an offer goes on with; None when it is a new one."""
        start = attributes.start - 1
        for file in self.all.values():
            is_same = (file.direction, file.peer, file.selector) == ("in", peer, attributes.selector)
            if is_same and 0 < start <= file.path.stat().st_size and file.state not in OVER:
                if file.transfer is not None and file.state == "moving":
                    file.transfer.hang_up()  # it has broken, and we have not noticed yet
                file.resumed.append(start)
                return file
        return None

    def _withdrawal(self, file: PhoneFile) -> Callable[[object], None]:
        def withdrawn(_: object) -> None:
            self.offers.pop(file.id, None)
            file.over(CANCELLED)

        return withdrawn

    def _answer(self, file: PhoneFile, offer: IncomingFile) -> None:
        file.begin()
        try:
            file.transfer = offer.answer(file, file)
        except SipstackError as error:
            file.over(str(error))

    def accept(self, id: str) -> None:
        """Take a file that waits; KeyError when there is no such."""
        self._answer(self.all[id], self.offers.pop(id))

    def decline(self, id: str, status: int = 603) -> None:
        """Refuse a file that waits; KeyError when there is no such."""
        self.offers.pop(id).reject(status)
        self.all[id].over(REFUSED)

    # what files tell

    def taken(self, file: PhoneFile, asked: ImdnRequest | None) -> None:
        """Tell the sender that the file is here, and looked at, if it wants to know."""
        if asked is not None:
            self._phone.notices.tell(file.peer, asked)

    def over(self, file: PhoneFile) -> None:
        """Tell the phone's owner."""
        if file.state == DONE:
            kind, text = ("file", file.sha256) if file.direction == "in" else ("file-sent", file.name)
        else:
            kind, text = "file-ended", file.state
        self._phone.emit(kind, file.peer, text, file.id)


def _describe(path: Path, name: str, content_type: str) -> FileSelector:
    """Return what an offer says of a file on disk."""
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return FileSelector(name, content_type, path.stat().st_size, {SHA_1: digest.digest()})


def _check(path: Path, selector: FileSelector) -> tuple[str | None, str]:
    """Return what is not as the selector says, and the SHA-256."""
    check, digest, size = FileCheck(selector), hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            check.update(size, piece)
            digest.update(piece)
            size += len(piece)
    return check.mismatch(size), digest.hexdigest()
