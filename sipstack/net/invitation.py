"""Requests of others that a user agent's owner decides about: INVITE, MESSAGE, OPTIONS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from sipstack.errors import ConnectionClosed, LocalProtocolError, RemoteProtocolError, TransactionTimeout
from sipstack.net import uas
from sipstack.net.body import SDP, Part, first_message
from sipstack.net.chat import ChatHandler, ChatSession
from sipstack.net.features import offers_chat, preferred_services
from sipstack.net.media import is_secure, warning
from sipstack.net.mediasession import MediaSession
from sipstack.net.ringing import Ringing
from sipstack.sdp import SessionDescription
from sipstack.sip.dialog import Dialog
from sipstack.sip.message import Request
from sipstack.sip.privacy import is_anonymous
from sipstack.sip.transaction import ServerTransaction
from sipstack.sip.uri import Uri

if TYPE_CHECKING:
    from sipstack.net.timers import Timer
    from sipstack.net.useragent import UserAgent

SessionT = TypeVar("SessionT", bound=MediaSession)


class IncomingProbe:
    """Who asks, and by which words: what all incoming requests have in common."""

    __slots__ = ("agent", "asserted", "request", "transaction", "trusted")

    def __init__(self, agent: UserAgent, transaction: ServerTransaction, request: Request) -> None:
        self.agent = agent
        self.transaction = transaction
        self.request = request
        self.trusted = trusted = agent.endpoint.config.trusted(transaction.flow)
        """Whether the flow is within our trust domain: what it asserts counts."""
        self.asserted: tuple[Uri, ...] = (
            tuple(address.uri for address in request.asserted_identities) if trusted else ()
        )
        """P-Asserted-Identity, where the flow is trusted (B-CHT-05); else empty."""

    @property
    def peer(self) -> Uri:
        """Who says to be calling (From)."""
        return self.request.from_.uri

    @property
    def is_anonymous(self) -> bool:
        """Whether the caller does not want our user to know who calls (B-CHT-05)."""
        return is_anonymous(self.request)

    @property
    def services(self) -> tuple[str, ...]:
        """The communication services that are asked for, lower case (B-CHT-04): what the network asserts (:rfc:`6050`),
        else what the caller prefers; empty where only the session description tells."""
        asserted = self.request.headers.get_list("P-Asserted-Service") if self.trusted else []
        return tuple(item.strip().lower() for item in asserted) or preferred_services(self.request)

    @property
    def conversation_id(self) -> str:
        """Conversation-ID, which notifications repeat (B-PGR-04); empty where there is none."""
        return self.request.headers.get("Conversation-ID") or ""

    @property
    def offers_chat(self) -> bool:
        """Whether the peer's Contact says that it can chat (B-CAP-03)."""
        return offers_chat(self.request.contacts)


class IncomingPage(IncomingProbe):
    """A SIP MESSAGE (RFC 3428). Call :meth:`accept` or :meth:`reject`, now or within 32 s."""

    __slots__ = ()

    @property
    def content_type(self) -> str:
        """As on the wire, with parameters."""
        return str(self.request.content_type or "text/plain")

    @property
    def body(self) -> bytes:
        """The content, as it came."""
        return self.request.body

    def accept(self, status: int = 200) -> None:
        """Answer 200: it is stored. (202: it is queued.)"""
        self.agent.endpoint.reply(self.transaction, status)

    def reject(self, status: int, reason: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Refuse with ``status``."""
        self.agent.endpoint.reply(self.transaction, status, reason, headers=headers)


class IncomingCall(IncomingProbe):
    """An INVITE: :meth:`take` it with a session of the right kind, or :meth:`reject` it; :meth:`ring` in between."""

    __slots__ = ("_ringing", "_session", "_timer", "_waiter", "done", "offer", "on_cancel")

    def __init__(
        self, agent: UserAgent, transaction: ServerTransaction, request: Request, offer: SessionDescription | None
    ) -> None:
        super().__init__(agent, transaction, request)
        self.offer = offer
        """The peer's session description; None when it wants ours (A-OA-03)."""
        self.done = False
        """Answered, rejected or cancelled."""
        self.on_cancel: Callable[[Any], None] | None = None
        """Called with this object when the caller gave up before an answer."""
        self._ringing: Ringing | None = None
        self._session: MediaSession | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: Timer | None = None
        expires = request.expires
        if expires:
            timers = agent.endpoint.timers
            self._timer = timers.schedule(timers.time() + expires, self._expired)

    def ring(self) -> None:
        """Answer 180, and again each minute until there is an answer: reliably for a caller who requires that, or may
        be asked to by the configuration (A-PRK-01)."""
        if self.done or self._ringing is not None:
            return
        try:
            self._ringing = Ringing(self)
            self._ringing.ring()
        except (ConnectionClosed, RemoteProtocolError) as error:
            self.give_up(error.status if isinstance(error, RemoteProtocolError) else 480)

    def early_session(self) -> MediaSession:
        """Return the session for an offer of ours before the 200; it has no owner yet. Raise ConnectionClosed as
        :meth:`take`, and LocalProtocolError where there is nothing to offer."""
        raise LocalProtocolError("only chats are invited to without an offer")

    def take(self, make: Callable[[bool], SessionT]) -> SessionT:
        """Accept: send 200 with our session description and return the session, which may be used at once.

        ``make`` makes the session and is told whether it goes by TLS. Raise LocalProtocolError when the invitation is
        done, RemoteProtocolError when nothing in the offer fits; then 488 has been sent. ConnectionClosed when our path
        through an MSRP relay is lost; then 480 has been sent.
        """
        if self.done:
            raise LocalProtocolError("the invitation is answered, rejected or cancelled")
        agent = self.agent
        try:
            session = make(is_secure(agent.endpoint.config, self.offer))
        except ConnectionClosed:
            self.reject(480)  # our path through the MSRP relay is lost
            raise
        ringing = self._ringing
        try:
            # Media first: an INVITE of RFC 2543 may have neither a Contact nor anything that we could take.
            has_offered = ringing is not None and ringing.has_offered
            description = b"" if has_offered else session.describe(self.offer)
            dialog = (
                Dialog.from_request(self.request, self.transaction.local_tag) if ringing is None else ringing.dialog
            )
        except RemoteProtocolError as error:
            session.abandon()
            self.reject(error.status, headers=[warning(agent.endpoint.config, error)])
            raise
        self.done = True
        self._cancel_expiry()
        self._session = session
        headers = [*self.headers(), ("Allow", uas.ALLOW), ("Supported", agent.endpoint.config.supported)]
        headers += session.refreshing.answer(self.request)
        if description:
            headers.append(("Content-Type", SDP))
        response = agent.endpoint.make_reply(self.transaction, 200, headers=headers, body=description)
        dialog.send_response(self.request, response)
        remote = self.offer if ringing is None or ringing.remote is None else ringing.remote
        session.established(dialog, remote, offered=False, called=True)
        if ringing is None:
            agent.endpoint.respond(self.transaction, response)
        else:
            session.early = ringing
            ringing.accept(response)
        return session

    async def acknowledged(self) -> None:
        """Wait for the caller's ACK after :meth:`take`. Raise TransactionTimeout when it does not come; the session is
        closed then."""
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def reject(self, status: int, reason: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Refuse with ``status``: 486 busy, 603 declined, 403, 480… Nothing happens when the invitation is done."""
        if self.done:
            return
        self.done = True
        self._cancel_expiry()
        response = self.agent.endpoint.make_reply(self.transaction, status, reason, headers=headers)
        if self._ringing is not None:
            self._ringing.dialog.send_response(self.request, response)
            self._ringing.close()
        self.agent.endpoint.respond(self.transaction, response)

    def give_up(self, status: int) -> None:
        """Refuse with ``status`` because there is no caller any more, or none that could be answered."""
        if not self.done:
            self.reject(status)
            if self.on_cancel is not None:
                self.on_cancel(self)
        elif self._session is not None and self._ringing is not None and self._ringing.withdraw(status):
            # We have accepted, but the caller never learnt it.
            self._session.end("no-ack", TransactionTimeout("our 200 was never sent"))

    def headers(self) -> list[tuple[str, str]]:
        """Return what each response has that makes a dialog."""
        # A-DLG-02: every Record-Route goes back as it came.
        routes = [("Record-Route", value) for value in self.request.headers.get_all("Record-Route")]
        return [*routes, ("Contact", self.agent.contact())]

    # sipstack.net.dispatch.InviteUser

    def cancelled(self, request: Request) -> None:
        """Take the caller's CANCEL."""
        self.give_up(487)

    def ack_received(self, request: Request) -> None:
        """Take the ACK: the session is confirmed."""
        if self._session is not None:
            self._session.confirmed(request)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def ack_missing(self) -> None:
        """Give up on a caller that never acknowledged (A-IST-05)."""
        if self._session is not None:
            self._session.ack_missing()
        self.never_acknowledged("the 200 to INVITE was never acknowledged")

    def never_acknowledged(self, text: str) -> None:
        """Tell who waits for the ACK that there will be none."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TransactionTimeout(text))

    def _expired(self) -> None:
        self._timer = None
        self.cancelled(self.request)

    def _cancel_expiry(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class IncomingInvitation(IncomingCall):
    """An INVITE to a chat. :meth:`answer` or :meth:`accept` it, or :meth:`reject` it; :meth:`ring` in between."""

    __slots__ = ()

    @property
    def first_message(self) -> Part | None:
        """A message/cpim body that came along in the INVITE (B-CHT-14). The 200 says that it was taken."""
        return first_message(self.request)

    def early_session(self) -> ChatSession:
        """Return the chat that is offered before the 200."""
        return ChatSession(self.agent, self.peer, None, secure=is_secure(self.agent.endpoint.config, None))

    def answer(self, handler: ChatHandler | None = None) -> ChatSession:
        """:meth:`take` the invitation: send 200 and return the chat, on which messages may be sent at once."""

        def make(secure: bool) -> ChatSession:
            early = None if self._ringing is None else self._ringing.session
            if not isinstance(early, ChatSession):
                return ChatSession(self.agent, self.peer, handler, secure=secure)
            if handler is not None:
                early.handler = handler
            return early

        return self.take(make)

    async def accept(self, handler: ChatHandler | None = None) -> ChatSession:
        """:meth:`answer`, then wait until the caller has :meth:`acknowledged` it."""
        chat = self.answer(handler)
        await self.acknowledged()
        return chat
