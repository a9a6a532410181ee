"""Anything that an INVITE sets up and a BYE ends: one dialog with one peer (RFC 3261 §12-§15)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sipstack.errors import SipstackError, UnexpectedMessage
from sipstack.sip.dialog import DialogState, RequestTooEarly
from sipstack.sip.headers import quote
from sipstack.sip.message import Request
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.useragent import UserAgent
    from sipstack.sip.dialog import Dialog

logger = logging.getLogger(__name__)

BYE_TIMEOUT = 2.0
"""Seconds that ``close()`` waits for the answer to BYE; the session is over in any case (A-INV-08)."""


def _ignore(_: object) -> None:
    pass


def _reason(text: str | None) -> list[tuple[str, str]]:
    return [] if text is None else [("Reason", f"SIP;cause=200;text={quote(' '.join(text.split()))}")]


class DialogSession(ABC):
    """One dialog with one peer. Leaving an ``async with`` block closes it."""

    KIND: ClassVar[str]
    """What it is called in logs and traces: ``chat``."""

    __slots__ = ("_closed", "agent", "dialog", "peer", "tag")

    def __init__(self, agent: UserAgent, peer: Uri) -> None:
        self.agent = agent
        self.peer = peer
        """Whom we invited, or who invited us (From)."""
        self.tag: Any = None
        """For the owner's own use."""
        self.dialog: Dialog | None = None
        """None until the session is set up."""
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.agent.identity.aor} with {self.peer}>"

    @property
    def is_open(self) -> bool:
        """Tell whether the session was set up and not closed by anybody."""
        return self.dialog is not None and not self._closed

    @property
    def call_id(self) -> str:
        """Of the dialog, for logs; empty before it exists."""
        return self.dialog.call_id if self.dialog is not None else ""

    # what sub-classes define

    @abstractmethod
    def ended(self, reason: str, error: SipstackError | None) -> None:
        """Tell the owner that the session is over; called once, if it was ever established.

        ``reason`` is ``local`` (we closed it), ``remote`` (BYE of the peer), ``connection-lost`` (MSRP broke or was
        never opened) or ``no-ack`` (our 200 to the INVITE was never acknowledged).
        """

    @abstractmethod
    def release(self) -> None:
        """Give up what the session holds beside the dialog, which is over."""

    @abstractmethod
    def invited_again(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer an INVITE inside the dialog, now or later, and show the dialog the response that was sent."""

    # the end

    async def close(self, reason: str | None = None) -> None:
        """End the session: BYE, MSRP closed. Wait for the answer to BYE, 2 s at most. A second call does nothing.

        ``reason`` goes as text into a Reason header (:rfc:`3326`).
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()

        def done(_: object) -> None:
            if not answered.done():
                answered.set_result(None)

        if self.end("local", None, bye=_reason(reason), on_bye=done):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BYE_TIMEOUT):
                    await answered

    def hang_up(self, reason: str | None = None) -> None:
        """:meth:`close` without waiting."""
        self.end("local", None, bye=_reason(reason))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def abandon(self) -> None:
        """Let go of a session that was never set up; its owner is not told."""
        self._closed = True
        self.release()

    def end(
        self,
        reason: str,
        error: SipstackError | None,
        *,
        bye: list[tuple[str, str]] | None = None,
        on_bye: Callable[[object], None] = _ignore,
    ) -> bool:
        """End the session once, with BYE when ``bye`` (its headers) is given; return False when it was over."""
        dialog = self.dialog
        if self._closed or dialog is None:
            return False
        self._closed = True
        agent = self.agent
        if bye is not None and dialog.state is not DialogState.TERMINATED:
            agent.send_in_dialog(dialog, "BYE", headers=bye, on_end=on_bye)
        else:
            on_bye(None)
        dialog.terminate()
        agent.session_ended(self, dialog)
        self.release()
        self.report("closed", reason)
        self.ended(reason, error)
        return True

    def report(self, state: str, note: str = "") -> None:
        """Log and trace what has become of the session."""
        agent, trace = self.agent, self.agent.endpoint.trace
        logger.info("%s %s of %s with %s is %s %s", self.KIND, self.call_id, agent.identity.aor, self.peer, state, note)
        if trace is not None:
            trace.state(f"{self.KIND} {self.call_id}", state, note)

    # sipstack.net.dispatch.DialogUser

    def request_received(self, transaction: ServerTransaction, request: Request) -> None:
        """Answer a request inside the dialog."""
        dialog, endpoint = self.dialog, self.agent.endpoint
        assert dialog is not None
        try:
            dialog.receive_request(request)
        except UnexpectedMessage as error:
            headers = [("Retry-After", str(error.retry_after))] if isinstance(error, RequestTooEarly) else []
            endpoint.reply(transaction, error.status, headers=headers)
            return
        match request.method:
            case "BYE":
                endpoint.reply(transaction, 200)
                self.end("remote", None)
            case "INVITE":
                transaction.owner = self
                self.invited_again(transaction, request)
            case _:
                self.agent.request_received(transaction, request)
