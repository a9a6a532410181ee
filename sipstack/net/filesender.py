"""The end of a file transfer that has the file (:rfc:`5547#section-8.2.1`, :rfc:`5547#section-8.3.2`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sipstack import ids
from sipstack.errors import LocalProtocolError, RemoteProtocolError, TransactionTimeout
from sipstack.msrp.mediatype import bare_type
from sipstack.msrp.message import IncomingMessage, MessageState, OutgoingMessage
from sipstack.msrp.stream import IncomingStream, Source
from sipstack.net import media, notices
from sipstack.net.fileends import HEAD_LIMIT, FilePart
from sipstack.net.filetransfer import (
    CANCELLED,
    CPIM,
    DONE,
    LOCAL,
    REFUSED,
    REMOTE,
    TIMEOUT,
    UNREADABLE,
    UNTYPED,
    FileHandler,
    FileTransfer,
)
from sipstack.sdp import SessionDescription
from sipstack.sdp_file import FileAttributes
from sipstack.sdp_msrp import Direction, MediaRefused, MsrpMedia
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.msrp.session import MsrpSession
    from sipstack.net.useragent import UserAgent


ABORT_LEAD = 0.5
"""Seconds that ``#`` gets before BYE, which goes another way: who hears BYE first takes it for a lost connection."""


class FileSender(FileTransfer):
    """Sends a file as soon as the MSRP connection is up, and hangs up when it is acknowledged."""

    DIRECTION: ClassVar[Direction] = "sendonly"

    __slots__ = ("_content_type", "_message", "_notify", "_resumable", "_source", "_wraps", "message_id")

    def __init__(
        self,
        agent: UserAgent,
        peer: Uri,
        attributes: FileAttributes,
        handler: FileHandler,
        source: Source,
        *,
        secure: bool = False,
        notify: bool = False,
    ) -> None:
        """``source`` has the whole file; what is sent of it says ``attributes.range``.

        ``notify`` asks the receiver for notifications of delivery and display, where it takes a wrapper.
        """
        self._source = source
        self._notify = notify
        self._wraps = False
        self._content_type = attributes.selector.content_type or UNTYPED
        self._message: OutgoingMessage | None = None
        self._resumable = attributes.start - 1
        self.message_id = ids.message_id()
        """MSRP Message-ID, and ``imdn.Message-ID`` where there is a wrapper."""
        super().__init__(agent, peer, attributes, handler, secure=secure, max_size=HEAD_LIMIT)

    @property
    def resumable(self) -> int:
        """As far as the receiver has confirmed it (D-FTM-08)."""
        return self._resumable

    def cancel(self) -> None:
        """Stop sending (:rfc:`5547#section-8.4`)."""
        if not self.is_open or self._reported:
            return
        self.report_end(LOCAL, None)
        if self._message is None:
            self.hang_up()
        else:
            self._message.cancel()
            self.hang_up_in(ABORT_LEAD)

    def source_ready(self) -> None:
        """Go on: the source has octets again, after it had none."""
        if self._message is not None and self._message.state is MessageState.PENDING:
            self.msrp.source_ready(self._message)

    # set-up

    def session_made(self, session: MsrpSession) -> None:
        """Let nothing come in."""
        session.on_stream = _refuse

    def taken(self) -> media.Taken:
        """Return what the peer may expect, though it will not send anything."""
        return media.Taken((bare_type(self._content_type), CPIM), ("*",), None)

    def agreed(self, description: SessionDescription, remote: MsrpMedia) -> None:
        """Decide whether the file goes bare or wrapped (D-FTM-13). Raise MediaRefused when the peer takes neither."""
        super().agreed(description, remote)
        if self._message is None:
            self._choose_form(remote)

    def _choose_form(self, remote: MsrpMedia) -> None:
        bare = remote.accepts(self._content_type)
        wrapped = remote.accepts(CPIM) and remote.accepts_wrapped(self._content_type)
        if not bare and not wrapped:
            raise MediaRefused(f"the peer does not take {self._content_type}", 305)
        self._wraps = wrapped and (not bare or self._notify or remote.prefers_cpim)
        size = self._part().size
        if remote.max_size is not None and size > remote.max_size:
            raise MediaRefused(f"the file has {size} octets, the peer takes {remote.max_size}", media.MISCELLANEOUS)

    def _part(self) -> FilePart:
        """Return what is to be sent: the octets of the range, counted from 1 anew (D-FTM-08)."""
        file, wanted = self._source, self.attributes.range
        stop = file.size if wanted is None or wanted.stop is None else min(wanted.stop, file.size)
        start = min(self.attributes.start - 1, stop)
        if not self._wraps:
            return FilePart(file, start, stop)
        template = notices.ASKING if self._notify else notices.ANONYMOUS
        head = template.render_head(
            self._content_type,
            stop - start,
            datetime=self.agent.endpoint.date(),
            message_id=self.message_id,
            content_headers=[("Content-Disposition", self.attributes.disposition)],
        )
        return FilePart(file, start, stop, head)

    # sipstack.net.hub.SessionHandler

    def session_opened(self, session: MsrpSession) -> None:
        """Send the file, once."""
        super().session_opened(session)
        if self._message is not None or self._reported:
            return
        part = self._part()
        self._message = self.msrp.send_stream(
            part,
            CPIM if self._wraps else self._content_type,
            message_id=self.message_id,
            on_done=self._message_done,
            on_progress=self._progressed,
            tag=part,
        )

    def message_received(self, session: MsrpSession, message: IncomingMessage) -> None:
        """Refuse what does not belong here."""
        message.reject(403, "this session is for a file to you")

    def _progressed(self, message: OutgoingMessage) -> None:
        before, head = self.attributes.start - 1, message.tag.head_size
        self._resumable = before + max(0, message.resume_at(relayed=self.msrp.relayed) - head)
        octets = before + max(0, message.confirmed - head)
        if octets > self.transferred and not self._reported:
            self.transferred = octets
            self._handler.file_progress(self, octets)

    def _message_done(self, message: OutgoingMessage) -> None:
        if not self.is_open or self._reported:
            return
        match message.state:
            case MessageState.PENDING:
                return
            case MessageState.SENT:
                self._progressed(message)
                self._handler.file_sent(self)
                self.conclude(DONE)
            case MessageState.UNKNOWN:
                self.conclude(TIMEOUT, TransactionTimeout("the receiver does not answer"))
            case MessageState.FAILED if message.error is not None:
                self.report_end(UNREADABLE, message.error)
                self.hang_up_in(ABORT_LEAD)
            case MessageState.FAILED:
                status = message.status or 0
                error = RemoteProtocolError(f"the receiver answered {status}", status=status)
                self.conclude(_REASONS.get(status, REFUSED), error)

    def conclude(self, reason: str, error: Exception | None = None) -> None:
        """Tell how the transfer ended, and end the dialog."""
        self.report_end(reason, error)
        self.hang_up()


# A receiver that has enough of it says 413 (RFC 5547 §8.4); one that has closed the session doesn't know it (481).
_REASONS = {413: CANCELLED, 481: REMOTE}


def _refuse(_: IncomingStream) -> int:
    return 403


def check_offer(file: FileAttributes) -> None:
    """Raise LocalProtocolError unless ``file`` says enough for an offer to send it (D-FTM-04)."""
    selector = file.selector
    if selector.content_type is None and selector.size is None and not selector.hashes:
        raise LocalProtocolError("a file is offered with its type, its size or a hash")
