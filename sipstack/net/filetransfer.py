"""A file on its way: one dialog and one MSRP session for one message (:rfc:`5547`, D-FTM-06).

:class:`~sipstack.net.filesender.FileSender` and :class:`~sipstack.net.filereceiver.FileReceiver` are the two kinds.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from sipstack.errors import RemoteProtocolError, SipstackError
from sipstack.msrp.message import IncomingMessage
from sipstack.net import media
from sipstack.net.mediasession import MediaSession
from sipstack.sdp import SessionDescription
from sipstack.sdp_file import FileAttributes, FileSelector, describe_file
from sipstack.sdp_msrp import Direction, MediaRefused, MsrpMedia
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.timers import Timer
    from sipstack.net.useragent import UserAgent

CPIM = "message/cpim"

UNTYPED = "application/octet-stream"
"""The type of files whose type nobody knows."""

DONE = "done"
"""All octets are there and acknowledged."""
LOCAL = "local"
"""We cancelled it."""
CANCELLED = "cancelled"
"""The peer cancelled it: a sender by ``#``, a receiver by 413."""
REMOTE = "remote"
"""The peer hung up before the end; it may have lost its connection."""
REFUSED = "refused"
"""The peer, or our owner, refused the message."""
MISMATCH = "mismatch"
"""It has another size than announced."""
UNREADABLE = "unreadable"
"""Our own file could not be read."""
TIMEOUT = "timeout"
"""The peer stopped in the middle."""


class FileHandler(Protocol):
    """What a transfer tells its owner; synchronous, called from the loop. Inherit from it to get the defaults."""

    def file_progress(self, transfer: FileTransfer, octets: int) -> None:
        """``octets`` of the file, from its first, are there: acknowledged when we send, in the sink when we receive."""
        return

    def file_received(self, transfer: FileTransfer, file: ReceivedFile) -> None:
        """All octets are in the sink: call ``accept()`` or ``reject()`` on ``file``, now or later (fsync, hash)."""
        file.accept()

    def file_sent(self, transfer: FileTransfer) -> None:
        """The peer has acknowledged the last octet."""
        return

    def file_ended(self, transfer: FileTransfer, reason: str, error: Exception | None) -> None:
        """The transfer is over, whoever ended it; called exactly once for each that was accepted, and nothing follows.

        ``reason`` is one of this module's constants, or ``connection-lost`` or ``no-ack`` as
        :meth:`MediaSession.ended` says. After ``file_received`` it waits for the answer.
        """
        return


class ReceivedFile:
    """A file that is in its sink and wants an answer."""

    __slots__ = ("_message", "_transfer", "size")

    def __init__(self, transfer: FileTransfer, message: IncomingMessage, size: int) -> None:
        self._transfer = transfer
        self._message: IncomingMessage | None = message
        self.size = size
        """Octets that the whole file has; what the sink may hold behind them does not count."""

    def accept(self) -> None:
        """Answer 200: the file is kept. Nothing happens after the transfer was cancelled."""
        if self._message is not None:
            self._message.accept()
            self._transfer.conclude(DONE)

    def reject(self, code: int = 413, comment: str = "") -> None:
        """Refuse the file with an MSRP error ``code`` (D-FTM-12): its sender is told that it failed.

        Nothing happens after the transfer was cancelled.
        """
        if self._message is not None:
            self._message.reject(code, comment)
            self._transfer.conclude(REFUSED, RemoteProtocolError(comment or f"refused with {code}", status=code))

    def withdraw(self) -> None:
        """Refuse the file in the name of who has cancelled its transfer."""
        if self._message is not None:
            message, self._message = self._message, None
            message.reject(413)


class FileTransfer(MediaSession):
    """One file to or from one peer. Made by :meth:`UserAgent.send_file`, :meth:`UserAgent.fetch_file`, and
    :class:`~sipstack.net.fileoffer.IncomingFile`."""

    KIND: ClassVar[str] = "file"

    DIRECTION: ClassVar[Direction]
    """What we say in our description: ``sendonly`` or ``recvonly``."""

    __slots__ = ("_handler", "_offered", "_reported", "_timer", "attributes", "transferred")

    def __init__(
        self,
        agent: UserAgent,
        peer: Uri,
        attributes: FileAttributes,
        handler: FileHandler,
        *,
        secure: bool,
        max_size: int,
    ) -> None:
        """``max_size`` is how many octets a message to us may have. Raise ConnectionClosed as MediaSession."""
        self.attributes = attributes
        """What is known of the file: as offered, and of one that we fetch what the peer answered."""
        self.transferred = attributes.start - 1
        """Octets of the file, from its first, that are there."""
        self._handler = handler
        self._offered = False
        # how it ends
        self._reported = False
        self._timer: Timer | None = None
        super().__init__(agent, peer, secure=secure, max_size=max_size)

    @property
    def sending(self) -> bool:
        """Tell whether the file goes from us to the peer."""
        return self.DIRECTION == "sendonly"

    @property
    @abstractmethod
    def resumable(self) -> int:
        """Octets of the file, from its first, that the receiver surely has: behind them another transfer goes on.

        Less than ``transferred`` where relays are in the path, which have answered for what they may have lost.
        """

    # what the owner does

    @abstractmethod
    def cancel(self) -> None:
        """Stop the transfer (D-FTM-07): the sender ends its message with ``#``, the receiver answers 413; then BYE.

        ``file_ended`` is called in here, with ``local``, unless the transfer is over.
        """

    # sipstack.net.mediasession.MediaSession

    def make_offer(self, *, active: bool = False) -> SessionDescription:
        """Return our offer to send or fetch the file."""
        self._offered = True
        config = self.agent.endpoint.config
        description = media.offer(config, self.msrp, self.wording.id, active=active, taken=self.taken())
        describe_file(description.media[0], self.attributes, self.DIRECTION)
        return description

    def make_answer(self, offer: SessionDescription, setup: Literal["active", "passive"]) -> SessionDescription:
        """Return our answer to an offer of this file. Raise MediaRefused when it is about another one (D-FTM-03)."""
        config = self.agent.endpoint.config
        description = media.answer(config, self.msrp, self.wording.id, offer, setup, taken=self.taken())
        remote = media.medium_of(offer, self.msrp)
        file = FileAttributes.of(offer.media[remote.index])
        if file is None or file.transfer_id != self.attributes.transfer_id:
            raise MediaRefused("a session has one file only", media.MISCELLANEOUS)
        if not file.selector.fits(self.attributes.selector):
            self.agent.endpoint.timers.schedule(0.0, self.cancel)
            raise MediaRefused("one file-transfer-id stands for two files", media.MISCELLANEOUS)
        self.agreed(offer, remote)
        describe_file(description.media[remote.index], self.attributes.answer(), self.DIRECTION)
        return description

    @abstractmethod
    def taken(self) -> media.Taken:
        """Return what our descriptions say that we take."""

    def agreed(self, description: SessionDescription, remote: MsrpMedia) -> None:
        """Take what the peer says about the file. Raise MediaRefused when it does not fit."""
        file = FileAttributes.of(description.media[remote.index])
        if file is not None and not _same(file.selector, self.attributes.selector):
            raise MediaRefused("the answer is about another file", media.MISCELLANEOUS)
        if self._offered and self.attributes.start != (1 if file is None else file.start):
            raise MediaRefused("the answer is about another range of the file", media.MISCELLANEOUS)
        if remote.direction in ("inactive", self.DIRECTION):
            raise MediaRefused(f"the medium is {remote.direction}", media.MISCELLANEOUS)

    def ended(self, reason: str, error: SipstackError | None) -> None:
        """Tell the handler, unless it knows or has yet to say what becomes of the file."""
        self.cancel_call()
        self.report_end(reason, error)

    # for sub-classes

    @abstractmethod
    def conclude(self, reason: str, error: Exception | None = None) -> None:
        """Note how the transfer ends, before the dialog does."""

    def report_end(self, reason: str, error: Exception | None) -> None:
        """Tell the handler of the end, once."""
        if not self._reported:
            self._reported = True
            self._handler.file_ended(self, reason, error)

    def hang_up_in(self, seconds: float) -> None:
        """End the dialog after that time, unless the peer does before."""
        self.call_in(seconds, self.hang_up)

    def call_in(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something after that time, in place of what was to be done, unless the transfer is over then."""
        self.cancel_call()
        timers = self.agent.endpoint.timers
        self._timer = timers.schedule(timers.time() + seconds, action)

    def cancel_call(self) -> None:
        """Do not do it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _same(answered: FileSelector, offered: FileSelector) -> bool:
    """Tell whether both can mean one file; peers write its name and type as they like."""
    return replace(answered, name=None, content_type=None).fits(offered)
