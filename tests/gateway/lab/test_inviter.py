"""Inviting over HTTP, against a gateway of a few lines."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from rich.console import Console

from gateway.lab.admin import AdminServer, read_json
from gateway.lab.inviter import InviteFailed, Inviter
from gateway.lab.terminal import Terminal

Calls = list[tuple[str, str, Any]]


@pytest.fixture
def calls() -> Calls:
    return []


@pytest_asyncio.fixture
async def gateway(calls: Calls) -> AsyncIterator[str]:
    """The URL of a gateway that takes a:secret and writes down what it is asked."""

    async def handle(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Basic YTpzZWNyZXQ=":
            return web.json_response({"title": "Credentials are wrong", "detail": "who?"}, status=401)
        calls.append((request.method, request.path_qs, await read_json(request) if request.can_read_body else None))
        if request.method == "DELETE":
            return web.Response(status=204)
        if request.method == "GET":
            return web.json_response({"invitations": [{"account": "sip:g@cc.com"}]})
        return web.json_response({"account": "sip:g@cc.com"}, status=201)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    server = AdminServer(app)
    await server.start()
    yield server.url
    await server.close()


async def test_calls(gateway: str, calls: Calls) -> None:
    inviter = Inviter(gateway, "a", "secret")
    assert (await inviter.invite("b@example.com", note="hi", types=["im"]))["account"] == "sip:g@cc.com"
    await inviter.invite("+4915112345", valid_for=60.0, language="zh")
    assert await inviter.invitations() == [{"account": "sip:g@cc.com"}]
    await inviter.resend("sip:g@cc.com")
    await inviter.revoke("sip:g@cc.com")
    await inviter.log_out()
    await inviter.events()
    await inviter.events(7, 2.5)
    assert calls == [
        ("POST", "/rcsgw/invitee/user", {"email": "b@example.com", "types": ["im"], "note": "hi"}),
        ("POST", "/rcsgw/invitee/user", {"phone": "+4915112345", "valid_for": 60.0, "language": "zh"}),
        ("GET", "/rcsgw/invitee/user", None),
        ("POST", "/rcsgw/invitee/user/sip:g@cc.com/resend", None),
        ("DELETE", "/rcsgw/invitee/user/sip:g@cc.com", None),
        ("DELETE", "/rcsgw/inviter/session", None),
        ("GET", "/rcsgw/inviter/events", None),
        ("GET", "/rcsgw/inviter/events?after=7&wait=2.5", None),
    ]


async def test_refusal_is_told_in_words(gateway: str) -> None:
    with pytest.raises(InviteFailed, match="401 Credentials are wrong: who") as caught:
        await Inviter(gateway, "a", "wrong").invite("b@example.com")
    assert caught.value.status == 401


@pytest.mark.parametrize("address", ["gateway", "127.0.0.1:8080", "ftp://127.0.0.1", "http://", ""])
def test_address_that_cannot_be_called(address: str) -> None:
    with pytest.raises(ValueError, match="is not an http or https URL"):
        Inviter(address, "a", "secret")


async def test_what_answers_is_no_gateway() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text="404: Not Found", status=404)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    server = AdminServer(app)
    await server.start()
    with pytest.raises(InviteFailed, match=f"404 No gateway answers at {server.url}"):
        await Inviter(server.url, "a", "secret").invite("b@example.com")
    await server.close()


async def test_terminal_commands(gateway: str, calls: Calls) -> None:

    output = io.StringIO()
    terminal = Terminal(Console(file=output, width=200), Inviter(gateway, "a", "secret"))
    for line in ("/invite b@example.com do come", "/invitations", "/resend g", "/revoke sip:g@cc.com", "/logout"):
        await terminal.take(line)
    assert [method for method, _, _ in calls] == ["POST", "GET", "POST", "DELETE", "DELETE"]
    assert "invited b@example.com as sip:g@cc.com" in output.getvalue()
