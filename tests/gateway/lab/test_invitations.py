"""Invitations that events keep up to date, against a gateway that says what the test wants."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.lab.invitations import Invitations, link_words
from gateway.lab.inviter import InviteFailed, Inviter


def view(state: str, account: str = "sip:b@cc.com") -> dict[str, Any]:
    return {"account": account, "identifier": "b@example.com", "state": state}


class Told(Inviter):
    """An inviter whose gateway gives these pages, then nothing more; an exception among them is raised."""

    pages: list[Any]

    def __init__(self, *pages: Any) -> None:
        super().__init__("http://gateway.example", "a", "secret")
        vars(self)["pages"] = list(pages)  # the class it extends is frozen

    async def events(self, after: int | None = None, wait: float = 25.0) -> dict[str, Any]:
        if after is None:
            return {"cursor": 3, "events": []}
        if not self.pages:
            await asyncio.Event().wait()
        page = self.pages.pop(0)
        if isinstance(page, Exception):
            raise page
        found: dict[str, Any] = page
        return found

    async def invitations(self) -> list[dict[str, Any]]:
        return [view("active")]


async def follow(invitations: Invitations, inviter: Told) -> None:
    """Follow until there is nothing more."""
    task = asyncio.ensure_future(invitations.follow())
    while inviter.pages:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    task.cancel()


async def test_events_follow_on_the_list() -> None:
    news: list[Any] = []
    page = {"cursor": 4, "events": [{"kind": "invitation", "invitation": view("ending")}, {"kind": "other"}]}
    inviter = Told(page, {"cursor": 5, "events": []})
    invitations = Invitations(inviter, news.append)
    await follow(invitations, inviter)
    assert news == [None, view("ending")]
    assert invitations.find("b@example.com") == invitations.find("sip:b@cc.com") == view("ending")
    assert invitations.find("sip:c@cc.com") is None


async def test_lost_events_and_answers_are_made_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.lab.invitations.PAUSE", 0.0)
    news: list[Any] = []
    inviter = Told({"cursor": 9, "events": [], "reset": True}, TimeoutError())
    invitations = Invitations(inviter, news.append)
    await follow(invitations, inviter)
    assert news == [None] * 4 and invitations.trouble == ""
    refused = Invitations(Told(InviteFailed(401, {"title": "Wrong"})), news.append)
    with pytest.raises(InviteFailed):
        await refused.follow()
    assert refused.trouble == "401 Wrong"


def test_an_answer_takes_nothing_back() -> None:
    invitations = Invitations(Told(), lambda view: None)
    invitations.take(view("active"))
    invitations.add(view("preparing"))
    assert invitations.all["sip:b@cc.com"]["state"] == "active"
    invitations.take(view("ended"))
    invitations.add(view("preparing"))
    assert invitations.all["sip:b@cc.com"]["state"] == "preparing"


def test_the_way_of_a_link_in_words() -> None:
    tried = [{"channel": "email", "attempts": 1, "error": "550 no such user"}]
    delivery = {"channel": "sms", "state": "sent", "tried": tried}
    assert link_words({**view("active"), "delivery": delivery}) == "sms sent, after email failed: 550 no such user"
    delivery = {"channel": "email", "state": "queued", "error": "421 later"}
    assert link_words({**view("active"), "delivery": delivery}) == "email queued: 421 later"
    assert link_words(view("preparing")) == ""
