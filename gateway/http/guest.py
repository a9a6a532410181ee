"""The calls of a guest, B."""

from __future__ import annotations

import msgspec
from aiohttp import web

from gateway.http.auth import parse_basic
from gateway.http.calls import EVENT_PARAMETERS, MAX_CURSOR, Face, nothing, number, secret
from gateway.http.negotiation import JSON, Format, asked_for, sent_in, wanted
from gateway.http.page import Pages
from gateway.http.routes import Parameter, Route
from gateway.services import Forbidden, GuestAccess, GuestService, NotAuthenticated
from translators.from_http import check_composing, check_message, check_receipt, key, name
from translators.identifiers import identity
from translators.model import (
    ComposingRequest,
    EventPage,
    LoginAnswer,
    LoginRequest,
    MessageAnswer,
    MessageRequest,
    Messages,
    ReceiptRequest,
    StatusAnswer,
)

MAX_PAGE = 100
"""Messages of one page of the conversation."""

DEFAULT_PAGE = 50
"""Messages of a page when the client does not say."""


CLIENT = "Rcsgw-Client"
"""Header by which a client tells itself from others: a random text that it keeps."""


class GuestCalls:
    """Turns the requests of guests into calls of :class:`gateway.services.GuestService`."""

    def __init__(self, face: Face, guests: GuestService, pages: Pages) -> None:
        self._face = face
        self._guests = guests
        self._known = guests.known
        self._single_use = guests.single_use
        self._pages = pages
        self._decode_message = msgspec.json.Decoder(MessageRequest).decode

    def routes(self) -> list[Route]:
        """Return the calls with their paths and bodies."""
        session = "/rcsgw/invitee/session/{account}"
        with_, before = Parameter("with", "UID or identity of an inviter"), Parameter("before", "Cursor", "integer")
        retry = Parameter("Idempotency-Key", "Makes a retry harmless", place="header")
        return [
            Route(
                "GET",
                session,
                self.link,
                "The invite link: logs in where Accept names JSON or XML, else gives the page",
                "guest",
                answers={200: LoginAnswer},
                shows_page=True,
                parameters=(Parameter("passwd", "Login secret; Basic does too"),),
                with_head=True,
            ),
            Route("POST", session, self.login, "Log in", "guest", LoginRequest, {200: LoginAnswer}),
            Route("DELETE", session, self.logout, "Log out: all invitations end", "guest", None, {204: None}),
            Route(
                "GET",
                "/rcsgw/invitee/status/{inviter}",
                self.status,
                "Status of an inviter, by UID or identity",
                "guest",
                answers={200: StatusAnswer},
            ),
            Route(
                "POST",
                "/rcsgw/invitee/message",
                self.message,
                "Send a message to an inviter",
                "guest",
                MessageRequest,
                {200: MessageAnswer, 202: MessageAnswer},
                (retry,),
            ),
            Route(
                "POST",
                "/rcsgw/invitee/composing",
                self.composing,
                "Tell an inviter that the guest types, or has stopped",
                "guest",
                ComposingRequest,
                {204: None},
            ),
            Route(
                "POST",
                "/rcsgw/invitee/receipt",
                self.receipt,
                "Note that the guest has seen a message of an inviter",
                "guest",
                ReceiptRequest,
                {204: None},
            ),
            Route(
                "GET",
                "/rcsgw/invitee/messages",
                self.messages,
                "The conversation so far, newest page first",
                "guest",
                answers={200: Messages},
                parameters=(with_, before, Parameter("limit", f"Messages of the page, at most {MAX_PAGE}", "integer")),
            ),
            Route(
                "GET",
                "/rcsgw/invitee/events",
                self.events,
                "Everything for the guest: event stream or long poll",
                "guest",
                answers={200: EventPage},
                parameters=EVENT_PARAMETERS,
            ),
        ]

    async def link(self, request: web.BaseRequest, account: str) -> web.StreamResponse:
        """Log in only where the client named JSON or XML: a mail scanner that follows the link changes nothing."""
        format = asked_for(request.headers.get("Accept")) if request.method == "GET" else None
        if format is None:
            return self._pages.index(request, secure=self._face.origins.secure(request))
        passwd = request.query.get("passwd")
        if passwd is None:
            passwd = self._basic_secret(request, account)
        return await self._login(request, format, account, secret("passwd", passwd))

    async def login(self, request: web.BaseRequest, account: str) -> web.StreamResponse:
        """Log in, with the secret from Basic or from the body."""
        format = wanted(request.headers.get("Accept"))
        body = LoginRequest()
        if request.body_exists and (data := await self._face.read(request)):
            body = sent_in(request.headers.get("Content-Type")).decode(data, LoginRequest)
        passwd = body.passwd if body.passwd is not None else self._basic_secret(request, account)
        return await self._login(request, format, account, secret("passwd", passwd))

    def _basic_secret(self, request: web.BaseRequest, account: str) -> str:
        credentials = parse_basic(request.headers.get("Authorization"))
        if credentials.user != identity(account):
            raise NotAuthenticated("The credentials are for another account.")
        return credentials.password

    async def _login(self, request: web.BaseRequest, format: Format, account: str, passwd: str) -> web.StreamResponse:
        account = identity(name("account", account))
        address = self._face.origins.address(request)
        with self._face.throttle.attempt(account, address):
            return format.answer(await self._guests.login(account, passwd, self._client(request)))

    async def logout(self, request: web.BaseRequest, account: str) -> web.StreamResponse:
        """Log out; answered when everything is ended."""
        guest = await self.guest(request)
        if identity(guest.account) != identity(account):
            raise Forbidden("This is another guest's session.")
        await guest.logout()
        return nothing()

    async def status(self, request: web.BaseRequest, inviter: str) -> web.StreamResponse:
        """Tell the status of an inviter."""
        format = wanted(request.headers.get("Accept"))
        guest = await self.guest(request)
        return format.answer(await guest.status(name("inviter", inviter)))

    async def message(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send a message: the call that must be quick."""
        headers = request.headers
        format = wanted(headers.get("Accept"))
        guest = self._known(self._proof(request)) or await self.guest(request)
        sent = sent_in(headers.get("Content-Type"))
        data = await self._face.read(request)
        body = self._decode_message(data) if sent is JSON else sent.decode(data, MessageRequest)
        check_message(body)
        once = headers.get("Idempotency-Key")
        if once is not None:
            key("Idempotency-Key", once)
        answer = await guest.send(body, once)
        return format.quick(request, answer, 202 if answer.state == "pending" else 200)

    async def composing(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass on that the guest types."""
        guest = await self.guest(request)
        sent = sent_in(request.headers.get("Content-Type"))
        guest.composing(check_composing(sent.decode(await self._face.read(request), ComposingRequest)))
        return nothing()

    async def receipt(self, request: web.BaseRequest) -> web.StreamResponse:
        """Note that the guest has seen a message."""
        guest = await self.guest(request)
        sent = sent_in(request.headers.get("Content-Type"))
        await guest.receipt(check_receipt(sent.decode(await self._face.read(request), ReceiptRequest)))
        return nothing()

    async def messages(self, request: web.BaseRequest) -> web.StreamResponse:
        """Give a page of the conversation."""
        format = wanted(request.headers.get("Accept"))
        guest = await self.guest(request)
        peer = request.query.get("with")
        if peer is not None:
            name("with", peer)
        limit = number(request, "limit", MAX_PAGE, minimum=1)
        page = await guest.messages(peer, number(request, "before", MAX_CURSOR), limit or DEFAULT_PAGE)
        return format.answer(page)

    async def events(self, request: web.BaseRequest) -> web.StreamResponse:
        """Give the guest's events."""
        guest = await self.guest(request)
        return await self._face.events(request, guest.feed)

    async def guest(self, request: web.BaseRequest) -> GuestAccess:
        """Return who asks: by one look-up of the header, or by checking the credentials in it."""
        proof = self._proof(request)
        known = self._known(proof)
        if known is not None:
            return known
        account, passwd = parse_basic(request.headers.get("Authorization"))
        name("Authorization", account)
        address = self._face.origins.address(request)
        with self._face.throttle.attempt(account, address):
            return await self._guests.authenticate(proof, account, passwd, self._client(request))

    def _proof(self, request: web.BaseRequest) -> str:
        """Return what is remembered of credentials: the header, and whose it is where that makes a difference."""
        authorization = request.headers.get("Authorization", "")
        return f"{authorization}\n{self._client(request)}" if self._single_use else authorization

    def _client(self, request: web.BaseRequest) -> str:
        """Return what tells this client from others: the name that it gives itself, or else its address."""
        return request.headers.get(CLIENT) or self._face.origins.address(request)
