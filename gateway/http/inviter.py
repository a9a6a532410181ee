"""The calls of a subscriber who invites, A."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from gateway.http.auth import parse_basic
from gateway.http.calls import EVENT_PARAMETERS, Face, nothing
from gateway.http.negotiation import wanted
from gateway.http.routes import Route
from gateway.services import AlreadySubscriber, Inviter, InviterService, NotFound
from translators.from_http import check_invite, name
from translators.identifiers import identity
from translators.model import EventPage, Invitations, InvitationView, InviteRequest, LogoutAnswer, LookupAnswer

USER = "/rcsgw/invitee/user"


class InviterCalls:
    """Turns the requests of inviters into calls of :class:`gateway.services.InviterService`."""

    def __init__(self, face: Face, inviters: InviterService) -> None:
        self._face = face
        self._inviters = inviters

    def routes(self) -> list[Route]:
        """Return the calls with their paths and bodies."""
        one = f"{USER}/{{account}}"
        return [
            Route(
                "GET",
                "/rcsgw/user/{identifier}",
                self.lookup,
                "Is this e-mail address, number or SIP URI a subscriber's?",
                "inviter",
                answers={200: LookupAnswer},
            ),
            Route(
                "POST",
                USER,
                self.invite,
                "Invite somebody",
                "inviter",
                InviteRequest,
                {201: InvitationView, 202: InvitationView},
            ),
            Route("GET", USER, self.list, "My invitations", "inviter", answers={200: Invitations}),
            Route("GET", one, self.show, "One of my invitations", "inviter", answers={200: InvitationView}),
            Route("DELETE", one, self.revoke, "Revoke my invitation", "inviter", answers={204: None}),
            Route(
                "POST",
                f"{one}/resend",
                self.resend,
                "Send the link again, with a new secret",
                "inviter",
                answers={200: InvitationView},
            ),
            Route(
                "DELETE",
                "/rcsgw/inviter/session",
                self.logout,
                "Log out: all my invitations end",
                "inviter",
                answers={200: LogoutAnswer},
            ),
            Route(
                "GET",
                "/rcsgw/inviter/events",
                self.events,
                "What happens to my invitations: event stream or long poll",
                "inviter",
                answers={200: EventPage},
                parameters=EVENT_PARAMETERS,
            ),
        ]

    async def lookup(self, request: web.BaseRequest, identifier: str) -> web.StreamResponse:
        """Ask the UP Center; 404 where it knows that there is no such subscriber."""
        format = wanted(request.headers.get("Accept"))
        inviter = await self._inviter(request)
        with self._face.lookups.asking(inviter.uid):
            answer = await self._inviters.lookup(inviter, name("identifier", identifier))
        if answer.known == "no":
            raise NotFound(f"{answer.identifier} is not a subscriber.")
        return format.answer(answer)

    async def invite(self, request: web.BaseRequest) -> web.StreamResponse:
        """Invite somebody: 201, or 202 while a step is being retried."""
        format = wanted(request.headers.get("Accept"))
        inviter = await self._inviter(request)
        body = await self._face.decode(request, InviteRequest)
        check_invite(body)
        with self._face.lookups.asking(inviter.uid, reveals=AlreadySubscriber):
            view = await self._inviters.invite(inviter, body)
        return format.answer(view, 202 if view.state == "preparing" else 201, f"{USER}/{quote(view.account, ':@+;=')}")

    async def list(self, request: web.BaseRequest) -> web.StreamResponse:
        """List the inviter's invitations."""
        format = wanted(request.headers.get("Accept"))
        inviter = await self._inviter(request)
        return format.answer(Invitations(invitations=await self._inviters.list(inviter)))

    async def show(self, request: web.BaseRequest, account: str) -> web.StreamResponse:
        """Show one invitation, for a client that was told 202."""
        format = wanted(request.headers.get("Accept"))
        inviter = await self._inviter(request)
        account = _account(account)
        for view in await self._inviters.list(inviter):
            if identity(view.account) == account:
                return format.answer(view)
        raise NotFound("You have no such invitation.")

    async def resend(self, request: web.BaseRequest, account: str) -> web.StreamResponse:
        """Send the link again."""
        format = wanted(request.headers.get("Accept"))
        inviter = await self._inviter(request)
        return format.answer(await self._inviters.resend(inviter, _account(account)))

    async def revoke(self, request: web.BaseRequest, account: str) -> web.StreamResponse:
        """End an invitation."""
        inviter = await self._inviter(request)
        await self._inviters.revoke(inviter, _account(account))
        return nothing()

    async def logout(self, request: web.BaseRequest) -> web.StreamResponse:
        """End all invitations of the inviter."""
        format = wanted(request.headers.get("Accept"))
        inviter = await self._inviter(request)
        return format.answer(LogoutAnswer(ended=await self._inviters.logout(inviter)))

    async def events(self, request: web.BaseRequest) -> web.StreamResponse:
        """Give the inviter's events."""
        inviter = await self._inviter(request)
        return await self._face.events(request, self._inviters.feed(inviter))

    async def _inviter(self, request: web.BaseRequest) -> Inviter:
        credentials = parse_basic(request.headers.get("Authorization"))
        name("Authorization", credentials.user)
        address = self._face.origins.address(request)
        with self._face.throttle.attempt(credentials.user, address):
            return await self._inviters.authenticate(credentials.user, credentials.password, address)


def _account(text: str) -> str:
    return identity(name("account", text))
