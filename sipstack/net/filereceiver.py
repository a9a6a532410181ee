"""The end of a file transfer that gets the file (:rfc:`5547#section-8.2.2`, :rfc:`5547#section-8.3.1`)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from sipstack.errors import RemoteProtocolError, TransactionTimeout
from sipstack.im.cpim import CpimMessage
from sipstack.msrp.mediatype import bare_type
from sipstack.msrp.message import IncomingMessage
from sipstack.msrp.stream import IncomingStream, Sink
from sipstack.net import media
from sipstack.net.fileends import HEAD_LIMIT, FileWriter
from sipstack.net.filetransfer import (
    CANCELLED,
    CPIM,
    LOCAL,
    MISMATCH,
    REFUSED,
    TIMEOUT,
    UNTYPED,
    FileHandler,
    FileTransfer,
    ReceivedFile,
)
from sipstack.sdp import SessionDescription
from sipstack.sdp_file import FileAttributes, FileSelector
from sipstack.sdp_msrp import Direction, MediaRefused, MsrpMedia
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.msrp.session import MsrpSession
    from sipstack.net.useragent import UserAgent

BYE_GRACE = 10.0
"""Seconds in which the sender should end the dialog after the last octet (:rfc:`5547#section-8.7`); then we do."""

START_TIMEOUT = 60.0
"""Seconds for the first octets, from when the connection is there: a sender has nothing to wait for."""

CANCEL_GRACE = 2.0
"""Seconds for the sender to hear our 413, or for the BYE behind its ``#``, before we end the dialog ourselves."""


class FileReceiver(FileTransfer):
    """Writes a file to a sink and has its owner accept it."""

    DIRECTION: ClassVar[Direction] = "recvonly"

    __slots__ = ("_limit", "_sink", "_stop", "_stream", "_whole", "_writer")

    def __init__(
        self,
        agent: UserAgent,
        peer: Uri,
        attributes: FileAttributes,
        handler: FileHandler,
        sink: Sink,
        *,
        secure: bool = False,
        limit: int | None = None,
    ) -> None:
        """``sink`` gets the octets by their positions in the whole file.

        ``limit`` is how many octets the file may have where its size is not told; by default as many as a message.
        """
        self.attributes = attributes
        self._sink = sink
        size = attributes.length
        if limit is None:
            limit = agent.endpoint.config.max_message_size
        self._limit = limit if attributes.selector.size is None else attributes.selector.size
        self._stop = self._limit if size is None else attributes.start - 1 + size
        """File position behind the last octet that may come."""
        self._stream: IncomingStream | None = None
        self._writer: FileWriter | None = None
        self._whole: ReceivedFile | None = None
        """While its owner looks at it."""
        super().__init__(agent, peer, attributes, handler, secure=secure, max_size=self._message_size)

    @property
    def wrapper(self) -> CpimMessage | None:
        """The message/cpim headers of the file, once they are there and if it has any."""
        return None if self._writer is None else self._writer.wrapper

    @property
    def resumable(self) -> int:
        """As far as there is no gap (D-FTM-08)."""
        before = self.attributes.start - 1
        if self._stream is None:
            return before
        head = 0 if self.wrapper is None else len(self.wrapper.raw)
        return before + max(0, self._stream.ranges.prefix - head)

    def cancel(self) -> None:
        """Want no more of the file (:rfc:`5547#section-8.4`)."""
        if not self.is_open or self._reported:
            return
        whole, self._whole = self._whole, None
        self.report_end(LOCAL, None)
        if whole is not None:
            whole.withdraw()
        if self._stream is None:
            self.hang_up()
        else:
            self._stream.stop(413)
            self.hang_up_in(CANCEL_GRACE)

    # set-up

    def session_made(self, session: MsrpSession) -> None:
        """Let the message be written to the sink while it comes."""
        session.on_stream = self._stream_offered

    def taken(self) -> media.Taken:
        """Return that the file may come bare or wrapped; bare is first, as the wrapper tells us nothing new."""
        content_type = self.attributes.selector.content_type
        types = (UNTYPED, CPIM, "*") if content_type is None else (bare_type(content_type), CPIM)
        return media.Taken(types, ("*",), self._message_size)

    @property
    def _message_size(self) -> int:
        return max(0, self._stop - self.attributes.start + 1) + HEAD_LIMIT

    def agreed(self, description: SessionDescription, remote: MsrpMedia) -> None:
        """Take over what the answer tells of a file that we fetch (D-FTM-05). Raise MediaRefused if it is too large."""
        super().agreed(description, remote)
        file = FileAttributes.of(description.media[remote.index])
        if file is None or not self._offered:
            return
        self.attributes = replace(self.attributes, selector=_merged(file.selector, self.attributes.selector))
        length = self.attributes.length
        if length is not None:
            stop = self.attributes.start - 1 + length
            if stop > self._limit:
                raise MediaRefused(f"the file has more than {self._limit} octets", media.MISCELLANEOUS)
            self._stop = stop

    # sipstack.net.hub.SessionHandler

    def session_opened(self, session: MsrpSession) -> None:
        """Expect the file."""
        super().session_opened(session)
        if self._stream is None and not self._reported:
            self.call_in(START_TIMEOUT, self._never_began)

    def _never_began(self) -> None:
        self.report_end(TIMEOUT, TransactionTimeout("the sender has not begun"))
        self.hang_up()

    def _stream_offered(self, stream: IncomingStream) -> Sink | int:
        """Take the first message as the file, and no other (D-FTM-06)."""
        if self._stream is not None or self._reported:
            return 403
        wrapped = bare_type(stream.content_type or "") == CPIM
        room = self._stop - self.attributes.start + 1
        if stream.total is not None and stream.total > room + (HEAD_LIMIT if wrapped else 0):
            return 413
        start = self.attributes.start - 1
        self._writer = FileWriter(self._sink, start, self._stop, wrapped=wrapped, on_written=self._written)
        self._stream = stream
        self.cancel_call()
        stream.on_end = self._stream_ended
        return self._writer

    def _written(self, octets: int) -> None:
        self.transferred = octets
        if not self._reported:
            self._handler.file_progress(self, octets)

    def _stream_ended(self, error: Exception | None) -> None:
        """Give up: the sender has (``#``), or it said nothing more, or the sink failed."""
        if not self.is_open or self._reported:
            return
        if error is None:
            self.report_end(CANCELLED, None)
            self.hang_up_in(CANCEL_GRACE)
            return
        self.report_end(REFUSED if isinstance(error, (RemoteProtocolError, OSError)) else TIMEOUT, error)
        self.hang_up_in(CANCEL_GRACE)

    def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
        """Have the owner look at the file, now that its last octet is there."""
        writer = self._writer
        if writer is None or message.stream is not self._stream or self._reported:
            message.reject(403, "this session is over")
            return
        size = message.size - (0 if writer.wrapper is None else len(writer.wrapper.raw)) + self.attributes.start - 1
        if not writer.is_open:
            self._fail(message, 400, "the wrapper of the file is not complete")
        elif size != self._stop and self.attributes.length is not None:
            self._fail(message, 400, f"the file ends with octet {size} instead of {self._stop}")
        else:
            self._whole = ReceivedFile(self, message, size)
            self._handler.file_received(self, self._whole)

    def _fail(self, message: IncomingMessage, code: int, text: str) -> None:
        message.reject(code, text)
        self.report_end(MISMATCH, RemoteProtocolError(text, status=code))
        self.hang_up_in(CANCEL_GRACE)

    # the end

    def conclude(self, reason: str, error: Exception | None = None) -> None:
        """Tell how the transfer ends, after the owner has decided; now it is up to the sender to hang up."""
        self._whole = None
        self.report_end(reason, error)
        if self.is_open:
            self.hang_up_in(BYE_GRACE)

    def report_end(self, reason: str, error: Exception | None) -> None:
        """Tell the handler; but a file that is whole waits for its answer, whatever became of the dialog."""
        if self._whole is None:
            super().report_end(reason, error)


def _merged(found: FileSelector, own: FileSelector) -> FileSelector:
    """Return what both tell of one file; what its sender says counts."""
    return FileSelector(
        found.name or own.name,
        found.content_type or own.content_type,
        own.size if found.size is None else found.size,
        own.hashes | found.hashes,
    )
