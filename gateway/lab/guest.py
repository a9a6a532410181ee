"""What B does over HTTP: log in with the link, ask who is online, chat, send files, log out. For the demonstration and
tests."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

import aiohttp

TIMEOUT = aiohttp.ClientTimeout(total=35.0)
"""Seconds for one call."""


class Refused(Exception):
    """The gateway answered with an error; ``problem`` is its RFC 9457 body."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}".rstrip(": "))
        self.status = status
        self.problem = problem


def read_link(link: str) -> tuple[str, str, str]:
    """Split an invite link into the gateway's URL, the account and the secret. Raises ValueError."""
    parts = urlsplit(link)
    prefix, marker, account = parts.path.partition("/rcsgw/invitee/session/")
    secret = parse_qs(parts.query).get("passwd") or parse_qs(parts.fragment).get("passwd") or [parts.fragment]
    if not marker or not secret[0]:
        raise ValueError("this is no invite link")
    return f"{parts.scheme}://{parts.netloc}{prefix}", unquote(account), secret[0]


class Guest:
    """One guest with an event stream. Use as ``async with``; ``events`` holds what came."""

    def __init__(self, gateway: str, account: str, secret: str) -> None:
        self.account = account
        self.events: list[dict[str, Any]] = []
        self.on_event: Callable[[dict[str, Any]], None] | None = None
        """Is told each event, too."""
        credentials = f"{account.partition(':')[2]}:{secret}".encode()
        self.authorization = "Basic " + base64.b64encode(credentials).decode()
        headers = {"Accept": "application/json", "Authorization": self.authorization}
        self._session = aiohttp.ClientSession(gateway, headers=headers)
        self._came = asyncio.Event()
        self._stream: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
                await self._stream
        await self._session.close()

    async def login(self) -> dict[str, Any]:
        """Log in; returns the inviters."""
        return await self.call("POST", f"/rcsgw/invitee/session/{quote(self.account, safe=':@')}")

    async def logout(self) -> None:
        """End all relations."""
        await self.call("DELETE", f"/rcsgw/invitee/session/{quote(self.account, safe=':@')}")

    async def status(self, inviter: str) -> dict[str, Any]:
        """Ask whether an inviter is online."""
        return await self.call("GET", f"/rcsgw/invitee/status/{quote(inviter, safe=':@')}")

    async def send(self, to: str, message: str) -> dict[str, Any]:
        """Send a message; returns its id and state."""
        return await self.call("POST", "/rcsgw/invitee/message", {"to": to, "message": message})

    async def send_file(self, to: str, name: str, content_type: str, content: bytes) -> dict[str, Any]:
        """Send a file; returns its id and state. Raises Refused."""
        path, headers = f"/rcsgw/invitee/file?to={quote(to)}&name={quote(name)}", {"Content-Type": content_type}
        async with self._session.post(path, data=content, headers=headers, timeout=TIMEOUT) as answer:
            parsed: dict[str, Any] = await answer.json(content_type=None)
            if answer.status >= 400:
                raise Refused(answer.status, parsed)
            return parsed

    async def fetch_file(self, id: str) -> bytes:
        """Return the content of a file that is ready. Raises Refused."""
        headers = {"Accept": "*/*"}
        async with self._session.get(f"/rcsgw/invitee/file/{id}", headers=headers, timeout=TIMEOUT) as answer:
            if answer.status >= 400:
                raise Refused(answer.status, await answer.json(content_type=None))
            return await answer.read()

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make a call; raises Refused."""
        async with self._session.request(method, path, json=body, timeout=TIMEOUT) as answer:
            content = await answer.read()
            parsed = json.loads(content) if content else {}
            if answer.status >= 400:
                raise Refused(answer.status, parsed)
            found: dict[str, Any] = parsed
            return found

    async def listen(self) -> None:
        """Open the event stream; returns when it is open."""
        opened = asyncio.get_running_loop().create_future()
        self._stream = asyncio.create_task(self._read_stream(opened))
        await opened

    async def _read_stream(self, opened: asyncio.Future[None]) -> None:
        headers = {"Accept": "text/event-stream"}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=60.0)
        try:
            async with self._session.get("/rcsgw/invitee/events", headers=headers, timeout=timeout) as answer:
                if answer.status != 200:
                    raise Refused(answer.status, await answer.json(content_type=None))
                opened.set_result(None)
                async for line in answer.content:
                    if line.startswith(b"data:"):
                        event = json.loads(line[5:])
                        self.events.append(event)
                        if self.on_event is not None:
                            self.on_event(event)
                        self._came.set()
                        self._came.clear()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)

    async def wait_for(self, kind: str, *, timeout: float = 10.0, **wanted: Any) -> dict[str, Any]:
        """Return the first event of a kind whose body has the ``wanted`` fields; TimeoutError when none comes."""
        async with asyncio.timeout(timeout):
            while True:
                for event in self.events:
                    body = event.get(kind, {})
                    if event["kind"] == kind and all(body.get(name) == value for name, value in wanted.items()):
                        return event
                await self._came.wait()
