"""HTTP by which a program drives a phone: what it may do by hand, and what happened to it. For loopback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.lab.admin import read_json
from gateway.lab.phone import Phone, explain
from gateway.lab.phonefiles import UNTYPED
from sipstack.errors import ParseError, RequestFailed, SipstackError
from sipstack.sip.uri import Uri

MAX_WAIT = 60.0
"""Seconds that ``GET /events?wait=`` waits at most."""


def build_app(phone: Phone) -> web.Application:
    """Return the application. Bodies are JSON; failures of SIP are 502 with the status in the body."""
    control = PhoneControl(phone)
    app = web.Application()
    app.add_routes(
        [
            web.get("/state", control.get_state),
            web.get("/events", control.get_events),
            web.put("/behaviour", control.put_behaviour),
            web.post("/messages", control.post_message),
            web.post("/chats", control.post_chat),
            web.delete("/chats/{peer}", control.delete_chat),
            web.post("/chats/{peer}/seen", control.post_seen),
            web.post("/invitations/{peer}", control.post_invitation),
            web.delete("/invitations/{peer}", control.delete_invitation),
            web.post("/files", control.post_file),
            web.get("/files/{id}", control.get_file),
            web.post("/files/{id}", control.post_answer),
            web.delete("/files/{id}", control.delete_file),
            web.get("/options/{peer}", control.get_options),
            web.put("/registration", control.put_registration),
            web.delete("/registration", control.delete_registration),
        ]
    )
    return app


class PhoneControl:
    """The handlers; ``{peer}`` is a SIP or tel URI."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone

    async def get_state(self, _: web.Request) -> web.Response:
        """Return what stands."""
        return web.json_response(self._phone.state())

    async def get_events(self, request: web.Request) -> web.Response:
        """Return the events after ``?after=``; with ``?wait=SECONDS`` wait for one."""
        after = int(request.query.get("after", "0"))
        wait = min(float(request.query.get("wait", "0")), MAX_WAIT)
        events = await self._phone.wait_for_events(after, wait)
        return web.json_response({"events": [event.view() for event in events]})

    async def put_behaviour(self, request: web.Request) -> web.Response:
        """Change the keys given; 400 when they make no sense."""
        try:
            self._phone.behave(**await read_json(request))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return web.json_response(self._phone.state())

    async def post_message(self, request: web.Request) -> web.Response:
        """Send ``{"to", "message"}``; opens a chat when there is none."""
        body = await read_json(request)
        try:
            message = await self._phone.say(_text(body, "to"), _text(body, "message"))
        except SipstackError as error:
            return _failure(error)
        return web.json_response({"id": message.message_id, "state": message.state.value, "status": message.status})

    async def post_chat(self, request: web.Request) -> web.Response:
        """Invite ``{"to"}``."""
        body = await read_json(request)
        try:
            chat = await self._phone.call(_text(body, "to"))
        except SipstackError as error:
            return _failure(error)
        return web.json_response({"peer": chat.peer.aor, "call_id": chat.call_id}, status=201)

    async def delete_chat(self, request: web.Request) -> web.Response:
        """Hang up."""
        return await self._on_peer(request, self._phone.hang_up)

    async def post_seen(self, request: web.Request) -> web.Response:
        """Take that somebody has looked at what came; for the behaviour ``receipts = seen``."""

        async def seen(peer: str) -> None:
            self._phone.notices.seen(Uri.parse(peer).aor)

        return await self._on_peer(request, seen)

    async def post_invitation(self, request: web.Request) -> web.Response:
        """Accept."""

        async def accept(peer: str) -> None:
            self._phone.accept(peer)

        return await self._on_peer(request, accept)

    async def delete_invitation(self, request: web.Request) -> web.Response:
        """Refuse, with ``?status=`` or 603."""
        status = int(request.query.get("status", "603"))

        async def decline(peer: str) -> None:
            self._phone.decline(peer, status)

        return await self._on_peer(request, decline)

    async def post_file(self, request: web.Request) -> web.Response:
        """Send the file ``{"to", "path"}`` of this machine, with ``name`` and ``content_type`` if they are given.

        ``by`` is ``msrp`` (when not given) or ``link``. The answer comes when it is over.
        """
        body = await read_json(request)
        to, path = _text(body, "to"), Path(_text(body, "path"))
        name, content_type = str(body.get("name") or path.name), str(body.get("content_type") or UNTYPED)
        if not path.is_file():
            raise web.HTTPBadRequest(text=f"path: there is no file {path}")
        try:
            if body.get("by") == "link":
                message = await self._phone.links.send(to, path, name=name, content_type=content_type)
                return web.json_response({"id": message.message_id, "state": message.state.value})
            file = await self._phone.files.send(to, path, name=name, content_type=content_type)
        except SipstackError as error:
            return _failure(error)
        return web.json_response(file.view())

    async def get_file(self, request: web.Request) -> web.StreamResponse:
        """Return the octets of a file that came or went, as many as are there."""
        file = self._phone.files.all.get(request.match_info["id"])
        if file is None or not file.path.exists():
            raise web.HTTPNotFound(text="no such file")
        return web.FileResponse(file.path)

    async def post_answer(self, request: web.Request) -> web.Response:
        """Accept a file that is offered."""

        async def accept(id: str) -> None:
            self._phone.files.accept(id)

        return await self._on(request.match_info["id"], accept)

    async def delete_file(self, request: web.Request) -> web.Response:
        """Refuse a file that is offered, with ``?status=`` or 603; stop one that is under way."""
        status = int(request.query.get("status", "603"))

        async def drop(id: str) -> None:
            if id in self._phone.files.offers:
                self._phone.files.decline(id, status)
            else:
                self._phone.files.cancel(id)

        return await self._on(request.match_info["id"], drop)

    async def get_options(self, request: web.Request) -> web.Response:
        """Ask what a peer can."""
        try:
            return web.json_response({"status": await self._phone.ask(request.match_info["peer"])})
        except SipstackError as error:
            return _failure(error)

    async def put_registration(self, _: web.Request) -> web.Response:
        """Go online."""
        try:
            await self._phone.go_online()
        except SipstackError as error:
            return _failure(error)
        return web.json_response(self._phone.state())

    async def delete_registration(self, _: web.Request) -> web.Response:
        """Go offline."""
        await self._phone.go_offline()
        return web.json_response(self._phone.state())

    async def _on_peer(self, request: web.Request, action: Callable[[str], Awaitable[None]]) -> web.Response:
        return await self._on(request.match_info["peer"], action)

    async def _on(self, name: str, action: Callable[[str], Awaitable[None]]) -> web.Response:
        try:
            await action(name)
        except KeyError:
            raise web.HTTPNotFound(text="there is nothing of this name") from None
        except ParseError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return web.Response(status=204)


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise web.HTTPBadRequest(text=f"{key}: a text is needed")
    return value


def _failure(error: SipstackError) -> web.Response:
    if isinstance(error, ParseError):
        raise web.HTTPBadRequest(text=str(error))
    body: dict[str, Any] = {"error": explain(error)}
    if isinstance(error, RequestFailed):
        body["status"] = error.response.status
    return web.json_response(body, status=502)
