"""The invited person's side as a library: log in with the link, talk, read what comes, log out.

>>> async with RcsGuest("https://gw.example/rcsgw/invitee/session/sip:b@cc.com#SECRET") as guest:
...     await guest.send("a", "Hello")
...     async for event in guest.events():
...         print(event.kind)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from gateway.clients import filecopy
from gateway.clients.calls import CALL_TIMEOUT, GuestCalls
from gateway.clients.codec import Codec
from gateway.clients.errors import ClientError, Refused, Unreachable
from gateway.clients.events import EventReader
from gateway.clients.link import InviteLink
from sipstack import ids
from translators.model import Event, FileView, InviterView, LoginAnswer, MessageAnswer, MessageView, StatusAnswer

SEND_PAUSES = (0.5, 2.0, 5.0, 10.0)
"""Seconds before each further attempt at a call that a retry can't harm."""

TYPING_INTERVAL = 5.0
"""Seconds between two calls that say the same about typing; the gateway takes 15 s of silence for the end of it."""


class RcsGuest:
    """One guest. ``async with`` logs in; leaving the block closes the connections and does not log out."""

    def __init__(self, link: str | InviteLink, *, secret: str = "", codec: Codec | None = None) -> None:
        """``secret`` is for a link that does not carry it. Raise ValueError for a text that is no invite link."""
        self.link = InviteLink.parse(link) if isinstance(link, str) else link
        self.session: LoginAnswer | None = None
        """What the last log-in answered."""
        self._secret = secret
        self._codec = codec
        self._http: aiohttp.ClientSession | None = None
        self._calls: GuestCalls | None = None
        self._typing: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        try:
            await self.login()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    # the session

    async def login(self) -> LoginAnswer:
        """Log in, again if need be: the inviters are read anew.

        Raise WrongSecret, Over, another Refused, or Unreachable.
        """
        if self._http is None:
            self._http = aiohttp.ClientSession()
        if self.link.token:
            self.link = await self._resolved(self._http)
        if self._calls is None:
            secret = self._secret or self.link.secret
            if not secret:
                raise ClientError("the link does not carry the password of the invitation")
            self._calls = GuestCalls(self._http, self.link.gateway, self.link.account, secret, self._codec)
        self.session = await self._calls.login()
        return self.session

    async def _resolved(self, http: aiohttp.ClientSession) -> InviteLink:
        """Return where a short link leads to; it has to stay at the same gateway."""
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT)
        try:
            async with http.get(str(self.link), allow_redirects=False, timeout=timeout) as answer:
                location = answer.headers.get("Location", "")
                if not 300 <= answer.status < 400 or not location:
                    raise ClientError("the short link leads nowhere: it may have ended, or a newer one was sent")
                return InviteLink.parse(str(answer.url.join(type(answer.url)(location))))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable.by(error) from error
        except ValueError as error:
            raise ClientError(str(error)) from error

    async def logout(self) -> None:
        """Log out: all invitations of the guest end."""
        await self.calls.logout()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    @property
    def calls(self) -> GuestCalls:
        """The single calls, for what this class has no method for. Raise ClientError before the log-in."""
        if self._calls is None:
            raise ClientError("not logged in")
        return self._calls

    @property
    def account(self) -> str:
        """SIP URI of the guest's account."""
        return self.link.account if self.session is None else self.session.account

    @property
    def inviters(self) -> list[InviterView]:
        """Whom the guest may talk to, as the last log-in said."""
        return [] if self.session is None else self.session.inviters

    # talking

    async def send(self, to: str, text: str, *, key: str | None = None) -> MessageAnswer:
        """Send a message to an inviter (UID or identity), once, however often it takes.

        Raise Refused when it was refused, Unreachable when no attempt was answered: then ``key`` may be used again.
        """
        key = key or ids.message_id()
        self._typing.pop(to, None)
        for pause in SEND_PAUSES:
            try:
                return await self.calls.send(to, text, key)
            except Unreachable:
                await asyncio.sleep(pause)
            except Refused as error:
                if error.kind != "unavailable":
                    raise
                await asyncio.sleep(max(pause, error.retry_after or 0.0))
        return await self.calls.send(to, text, key)

    async def typing(self, to: str, *, stopped: bool = False) -> None:
        """Tell that the guest types; may be called at any key."""
        now = time.monotonic()
        if stopped:
            if self._typing.pop(to, None) is not None:
                await self.calls.composing(to, "idle")
        elif now - self._typing.get(to, -TYPING_INTERVAL) >= TYPING_INTERVAL:
            self._typing[to] = now
            await self.calls.composing(to, "active")

    async def seen(self, message_id: str) -> None:
        """Tell that the guest has seen a message."""
        await self.calls.seen(message_id)

    async def status(self, inviter: str) -> StatusAnswer:
        """Return whether an inviter is online, and what their device can do."""
        return await self.calls.status(inviter)

    async def history(self, peer: str | None = None) -> AsyncIterator[MessageView]:
        """Yield the conversation, newest message first, page by page as it is read."""
        before = None
        while True:
            page = await self.calls.messages(peer, before)
            for message in reversed(page.messages):
                yield message
            before = page.before
            if before is None:
                return

    # what comes

    def events(self, *, polls: bool = False, on_connection: Callable[[bool], None] | None = None) -> EventReader:
        """Return all events from now on, each once, over lost connections and restarts of the gateway.

        ``async for`` ends only by WrongSecret or Over. ``await ready()`` before fetching the history leaves no gap.
        ``on_connection`` is called when the connection is lost and found.
        """
        return EventReader(self.calls, polls=polls, on_connection=on_connection)

    # files

    async def send_file(
        self,
        to: str,
        path: Path,
        *,
        content_type: str | None = None,
        key: str | None = None,
        on_progress: Callable[[FileView], None] | None = None,
    ) -> FileView:
        """Send a file; return when the gateway has all of it, after which events tell how far it has come.

        A lost connection is taken up where it broke off. Raise OSError when the file can't be read.
        """
        return await filecopy.upload(
            self.calls, to, path, content_type=content_type, key=key or ids.message_id(), on_progress=on_progress
        )

    async def fetch_file(self, file: FileView, path: Path, *, on_progress: Callable[[int], None] | None = None) -> Path:
        """Fetch a file to ``path``; a part of it that is there already is not fetched again.

        Raise ClientError when what came is not what was announced.
        """
        return await filecopy.download(self.calls, file, path, on_progress=on_progress)


def is_end(event: Event) -> bool:
    """Tell whether an event ends the guest's session, and not only what joins the guest to one inviter."""
    return event.session is not None and event.session.uid is None and event.session.state not in ("failed", "restored")
