"""The HTTP calls of a guest, one method each: typed bodies in, typed bodies out, errors as exceptions."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp

from gateway.clients.codec import Codec, Json
from gateway.clients.errors import Refused, Unreachable, refusal
from gateway.clients.link import MARKER
from translators.model import (
    Body,
    ComposingRequest,
    ComposingState,
    EventPage,
    Files,
    FileView,
    LoginAnswer,
    MessageAnswer,
    MessageRequest,
    Messages,
    Problem,
    ReceiptRequest,
    StatusAnswer,
)

T = TypeVar("T", bound=Body)

CALL_TIMEOUT = 35.0
"""Seconds for one call: the gateway answers a message within 2 s and a long poll within 30 s."""

SILENCE = 45.0
"""Seconds without an octet on an event stream that mean it is dead; a comment comes every 15 s."""

MAX_BODY = 16 * 1024 * 1024
"""Octets of an answer that is not a file."""

_SCHEME = re.compile(r"^(sips?|tel):", re.IGNORECASE)


class GuestCalls:
    """The calls of one account, with its credentials in each. ``http`` is the caller's to close."""

    def __init__(
        self, http: aiohttp.ClientSession, gateway: str, account: str, secret: str, codec: Codec | None = None
    ) -> None:
        self.account = account
        self.codec: Codec = codec or Json()
        self._http = http
        self._gateway = gateway
        # Basic forbids a colon in the user-id (RFC 7617 §2).
        credentials = f"{_SCHEME.sub('', account)}:{secret}".encode()
        self._authorization = "Basic " + base64.b64encode(credentials).decode()

    # the session

    async def login(self) -> LoginAnswer:
        """Log in. Raise WrongSecret, Over, another Refused, or Unreachable, as every call does."""
        return await self._read("POST", self._session, LoginAnswer)

    async def logout(self) -> None:
        """End all invitations of the account."""
        await self._call("DELETE", self._session)

    @property
    def _session(self) -> str:
        return MARKER + quote(self.account, safe=":@+")

    # the conversation

    async def status(self, inviter: str) -> StatusAnswer:
        """Return the status of an inviter; from then on its changes come as events."""
        return await self._read("GET", f"/rcsgw/invitee/status/{quote(inviter, safe=':@+')}", StatusAnswer)

    async def send(self, to: str, text: str, key: str) -> MessageAnswer:
        """Send a message; the same ``key`` again is the same message."""
        body = MessageRequest(to=to, message=text, id=key)
        return await self._read("POST", "/rcsgw/invitee/message", MessageAnswer, body)

    async def composing(self, to: str, state: ComposingState) -> None:
        """Tell an inviter that the guest types, or has stopped."""
        await self._call("POST", "/rcsgw/invitee/composing", ComposingRequest(to=to, state=state))

    async def seen(self, message_id: str) -> None:
        """Note that the guest has seen a message."""
        await self._call("POST", "/rcsgw/invitee/receipt", ReceiptRequest(id=message_id))

    async def messages(self, peer: str | None = None, before: int | None = None, limit: int = 100) -> Messages:
        """Return a page of the conversation, the newest without ``before``."""
        query = {"with": peer, "before": before, "limit": limit}
        return await self._read("GET", "/rcsgw/invitee/messages", Messages, query=query)

    # events

    async def poll(self, after: int | None, wait: float) -> EventPage:
        """Return what happened behind a cursor, waiting up to ``wait`` seconds for it."""
        query = {"after": after, "wait": wait if after is not None else None}
        return await self._read("GET", "/rcsgw/invitee/events", EventPage, query=query)

    @asynccontextmanager
    async def stream(self, after: int | None) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the event stream behind a cursor, or from now on; gives its octets."""
        headers = {"Accept": self.codec.stream_types}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CALL_TIMEOUT, sock_read=SILENCE)
        async with self._request("GET", "/rcsgw/invitee/events", headers=headers, timeout=timeout) as answer:
            if answer.content_type != "text/event-stream":
                raise Unreachable(f"instead of events there came {answer.content_type}")
            yield answer.content.iter_any()

    # files

    async def files(self, peer: str | None = None) -> Files:
        """List files, oldest first."""
        return await self._read("GET", "/rcsgw/invitee/files", Files, query={"with": peer})

    async def begin_file(self, to: str, name: str, content_type: str, size: int, key: str) -> FileView:
        """Announce a file of which no octet is sent yet; the same ``key`` again tells how far it has come."""
        return await self._read(
            "POST",
            "/rcsgw/invitee/file",
            FileView,
            query={"to": to, "name": name, "size": size},
            headers={"Content-Type": content_type, "Idempotency-Key": key},
        )

    async def put_file(self, file_id: str, start: int, total: int, content: bytes) -> FileView:
        """Send octets of a file from ``start`` (from 0) on."""
        headers = {"Content-Type": "application/octet-stream"}
        if total:
            headers["Content-Range"] = f"bytes {start}-{start + len(content) - 1}/{total}"
        path = f"/rcsgw/invitee/file/{quote(file_id)}"
        async with self._request("PUT", path, data=content, headers=headers) as answer:
            return await self._decoded(answer, FileView)

    async def file_state(self, file_id: str) -> FileView:
        """Tell how far a file has come."""
        return await self._read("GET", f"/rcsgw/invitee/file/{quote(file_id)}/state", FileView)

    async def accept_file(self, file_id: str) -> FileView:
        """Take a file that is offered."""
        return await self._read("POST", f"/rcsgw/invitee/file/{quote(file_id)}/accept", FileView)

    async def cancel_file(self, file_id: str) -> None:
        """Cancel, decline or delete a file."""
        await self._call("DELETE", f"/rcsgw/invitee/file/{quote(file_id)}")

    @asynccontextmanager
    async def fetch_file(self, file_id: str, start: int = 0, etag: str = "") -> AsyncIterator[aiohttp.ClientResponse]:
        """Open a file from an octet on; status 200 instead of 206 means that it comes whole."""
        headers = {"Accept": "*/*"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": etag}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CALL_TIMEOUT, sock_read=SILENCE)
        path = f"/rcsgw/invitee/file/{quote(file_id)}"
        async with self._request("GET", path, headers=headers, timeout=timeout) as answer:
            yield answer

    # one call

    async def _call(self, method: str, path: str, body: Body | None = None) -> None:
        headers = {"Content-Type": self.codec.media_type}
        data = None if body is None else self.codec.encode(body)
        async with self._request(method, path, data=data, headers=headers if data is not None else {}):
            pass

    async def _read(
        self,
        method: str,
        path: str,
        model: type[T],
        body: Body | None = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        params = {name: str(value) for name, value in (query or {}).items() if value is not None}
        fields = dict(headers or {})
        data = None
        if body is not None:
            data, fields["Content-Type"] = self.codec.encode(body), self.codec.media_type
        async with self._request(method, path, data=data, params=params, headers=fields) as answer:
            return await self._decoded(answer, model)

    @asynccontextmanager
    async def _request(self, method: str, path: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": self.codec.media_type, "Authorization": self._authorization, **options.pop("headers", {})}
        options.setdefault("timeout", aiohttp.ClientTimeout(total=CALL_TIMEOUT))
        try:
            async with self._http.request(
                method, self._gateway + path, headers=headers, allow_redirects=False, **options
            ) as answer:
                if answer.status >= 300:
                    raise await self._refusal(answer)
                yield answer
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise Unreachable.by(error) from error

    async def _decoded(self, answer: aiohttp.ClientResponse, model: type[T]) -> T:
        data = await _limited(answer)
        try:
            return self.codec.decode(data, model)
        except ValueError as error:
            raise Unreachable(f"what answered is not the gateway: {error}") from error

    async def _refusal(self, answer: aiohttp.ClientResponse) -> Refused:
        try:
            problem = self.codec.decode(await _limited(answer), Problem)
        except ValueError:
            problem = None
        after = answer.headers.get("Retry-After", "")
        return refusal(answer.status, problem, float(after) if after.isdigit() else None)


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    """Return the body. Raise Unreachable when it is larger than any of ours."""
    data = bytearray()
    async for piece in answer.content.iter_any():
        data += piece
        if len(data) > MAX_BODY:
            raise Unreachable("the answer is too large to be the gateway's")
    return bytes(data)
