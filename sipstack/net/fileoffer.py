"""Offers of files: ours, and those of others (:rfc:`5547#section-8`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from sipstack import ids
from sipstack.errors import LocalProtocolError, RemoteProtocolError, RequestFailed
from sipstack.msrp.stream import Sink, Source
from sipstack.net import media
from sipstack.net.body import SDP, find_part, with_icon
from sipstack.net.filereceiver import FileReceiver
from sipstack.net.filesender import FileSender, check_offer
from sipstack.net.filetransfer import FileHandler
from sipstack.net.invitation import IncomingCall
from sipstack.net.invite import call
from sipstack.sdp import SessionDescription
from sipstack.sdp_file import FileAttributes, FileSelector
from sipstack.sip.message import Request
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.useragent import UserAgent

MAX_ICON = 32 * 1024
"""Octets of an icon in an INVITE: proxies take 64 KiB of SIP at most, and RCS has thumbnails of 5 to 10."""

UNSUPPORTED_MEDIA_TYPE = 415

Icon = tuple[str, bytes]
"""Content type and octets of a preview."""


async def send_file(
    agent: UserAgent,
    uri: Uri,
    file: FileAttributes,
    source: Source,
    handler: FileHandler,
    icon: Icon | None = None,
    *,
    start: int = 1,
    notify: bool = False,
    headers: Iterable[tuple[str, str]] = (),
    timeout: float | None = None,
) -> FileSender:
    """Offer ``file`` to ``uri`` and return its transfer when the peer has accepted: see :meth:`UserAgent.send_file`."""
    check_offer(file)
    if icon is not None and len(icon[1]) > MAX_ICON:
        raise LocalProtocolError(f"an icon has {MAX_ICON} octets at most, not {len(icon[1])}")
    headers = [*agent.profile.file_headers(), *headers]

    async def offer(with_: Icon | None) -> FileSender:
        content_id = None if with_ is None else f"{ids.token(96)}@{agent.identity.aor.host}"
        attributes = _begin(replace(file, icon=content_id), start)

        def pack(description: bytes) -> tuple[str, bytes]:
            if with_ is None or content_id is None:
                return SDP, description
            return with_icon(description, content_id, *with_)

        return await call(
            agent,
            lambda secure: FileSender(agent, uri, attributes, handler, source, secure=secure, notify=notify),
            headers=headers,
            timeout=timeout,
            pack=pack,
        )

    try:
        return await offer(icon)
    except RequestFailed as error:
        # The peer knows no multipart/related: once more without the icon (RFC 5547 §8.8).
        if icon is None or error.response.status != UNSUPPORTED_MEDIA_TYPE:
            raise
    return await offer(None)


async def fetch_file(
    agent: UserAgent,
    uri: Uri,
    file: FileAttributes,
    sink: Sink,
    handler: FileHandler,
    *,
    start: int = 1,
    limit: int | None = None,
    headers: Iterable[tuple[str, str]] = (),
    timeout: float | None = None,
) -> FileReceiver:
    """Ask ``uri`` for a file and return its transfer when the peer has agreed: see :meth:`UserAgent.fetch_file`."""
    if file.selector.is_empty:
        raise LocalProtocolError("a file is asked for by its name, type, size or hash")
    # Nothing else is to be said about a file that is asked for (RFC 5547 §8.2.2).
    attributes = _begin(FileAttributes(file.selector, file.transfer_id, range=file.range), start)
    return await call(
        agent,
        lambda secure: FileReceiver(agent, uri, attributes, handler, sink, secure=secure, limit=limit),
        headers=[*agent.profile.file_headers(), *headers],
        timeout=timeout,
    )


def _begin(file: FileAttributes, start: int) -> FileAttributes:
    """Return the attributes of a new transfer: each has an id of its own (D-FTM-03)."""
    if start > 1:
        return file.resumed(start, ids.token(128))
    return file if file.transfer_id else replace(file, transfer_id=ids.token(128))


class IncomingFile(IncomingCall):
    """An INVITE about a file: :meth:`answer` it (or :meth:`serve` it when the peer wants a file of ours), or
    :meth:`refuse` or :meth:`reject` it; :meth:`ring` in between."""

    __slots__ = ("attributes", "direction")

    def __init__(
        self,
        agent: UserAgent,
        transaction: ServerTransaction,
        request: Request,
        offer: SessionDescription,
        attributes: FileAttributes,
        direction: Literal["push", "pull"],
    ) -> None:
        super().__init__(agent, transaction, request, offer)
        self.attributes = attributes
        """What the offer says about the file."""
        self.direction: Literal["push", "pull"] = direction
        """``push``: the peer has a file for us; ``pull``: it wants one of ours."""

    @property
    def icon(self) -> Icon | None:
        """Content type and octets of the preview that came along (D-FTM-10); None when there is none."""
        if self.attributes.icon is None:
            return None
        part = find_part(self.request, self.attributes.icon)
        return None if part is None else (part.media_type, part.body)

    def answer(self, handler: FileHandler, sink: Sink, *, limit: int | None = None) -> FileReceiver:
        """:meth:`take` the file that the peer has for us: send 200 and have it written to ``sink``.

        ``limit`` is how many octets it may have where the offer tells no size. Raise as :meth:`take`, and
        LocalProtocolError for a ``pull``.
        """
        if self.direction != "push":
            raise LocalProtocolError("the peer has no file for us, it wants one")
        return self.take(
            lambda secure: FileReceiver(
                self.agent, self.peer, self.attributes, handler, sink, secure=secure, limit=limit
            )
        )

    def serve(self, handler: FileHandler, source: Source, selector: FileSelector) -> FileSender:
        """:meth:`take` the wish for a file of ours: send 200, which says all of ``selector``, and the file.

        Raise as :meth:`take`, and LocalProtocolError for a ``push``.
        """
        if self.direction != "pull":
            raise LocalProtocolError("the peer wants no file, it has one")
        attributes = replace(self.attributes, selector=selector)
        return self.take(lambda secure: FileSender(self.agent, self.peer, attributes, handler, source, secure=secure))

    def refuse(self, status: int, text: str) -> None:
        """Refuse, and say why in a Warning: 603 declined, 488 or 413 too large, 415 of a type that is not taken."""
        error = RemoteProtocolError(text, status=status)
        self.reject(status, headers=[media.warning(self.agent.endpoint.config, error)])
