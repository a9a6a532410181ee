"""A's invitations as they stand, kept so by the gateway's events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp

from gateway.lab.inviter import InviteFailed, Inviter

PAUSE = 2.0
"""Seconds before the gateway is asked again after it did not answer."""

UNAUTHORIZED = 401

OVER = ("ended", "failed")
"""States in which an account may be invited anew."""

View = dict[str, Any]
"""An invitation as docs/api.md shows it."""


class Invitations:
    """What one subscriber has invited whom to. ``on_change`` is told each news, and None when all may be new."""

    def __init__(self, inviter: Inviter, on_change: Callable[[View | None], None]) -> None:
        self.inviter = inviter
        self.all: dict[str, View] = {}
        """By account, oldest first; also those that have ended since."""
        self.trouble = ""
        """Why they are not kept up to date just now; empty while they are."""
        self._on_change = on_change

    def take(self, view: View) -> None:
        """Take how an invitation stands."""
        self.all[view["account"]] = view
        self._on_change(view)

    def add(self, view: View) -> None:
        """Take the answer to an invite; events about the same invitation may have been quicker, and know better."""
        known = self.all.get(view["account"])
        if known is None or known["state"] in OVER:
            self.take(view)

    def find(self, who: str) -> View | None:
        """Return the newest invitation of an account, an e-mail address or a number."""
        names = (view for view in reversed(self.all.values()) if who in (view["account"], view.get("identifier")))
        return next(names, None)

    async def follow(self) -> None:
        """Keep them up to date until cancelled, or until the gateway does not take A's password: InviteFailed."""
        while True:
            try:
                await self._follow()
            except (InviteFailed, aiohttp.ClientError, TimeoutError) as error:
                self.trouble = str(error) or "no answer in time"
                self._on_change(None)
                if isinstance(error, InviteFailed) and error.status == UNAUTHORIZED:
                    raise
            await asyncio.sleep(PAUSE)

    async def _follow(self) -> None:
        """Begin with where the events are and then the list, so that nothing gets lost between the two."""
        cursor = (await self.inviter.events())["cursor"]
        self.all |= {view["account"]: view for view in await self.inviter.invitations()}
        self.trouble = ""
        self._on_change(None)
        while True:
            page = await self.inviter.events(cursor)
            if page.get("reset"):
                return
            for event in page["events"]:
                if view := event.get("invitation"):
                    self.take(view)
            cursor = page["cursor"]


def link_words(view: View) -> str:
    """Return how far the link of an invitation has come: ``sms sent, after email failed: 550 no such user``."""
    delivery = view.get("delivery") or {}
    steps = [(delivery.get("channel", ""), delivery.get("state", ""), delivery.get("error"))] if delivery else []
    steps += [(tried.get("channel", ""), "failed", tried.get("error")) for tried in delivery.get("tried") or ()]
    words = [f"{channel} {state}" + (f": {error}" if error else "") for channel, state, error in steps]
    return ", after ".join(words)
