"""The phone's screen, driven by keys, on a lab with the embedded core and a second phone; the gateway is a fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.lab.inviter import InviteFailed, Inviter
from gateway.lab.lab import Lab
from gateway.lab.phone import Phone
from gateway.lab.tui.book import ContactFile
from tests.gateway.lab.conftest import B
from tests.gateway.lab.tui.screen import Screen, on_screen

pytest.importorskip("textual")


class Gateway(Inviter):
    """Takes invitations, and tells at once that their links are sent."""

    queue: asyncio.Queue[dict[str, Any]]
    views: dict[str, dict[str, Any]]

    def __init__(self) -> None:
        super().__init__("http://gateway.example", "a", "secret")
        vars(self).update(queue=asyncio.Queue(), views={})  # the class it extends is frozen

    async def invite(self, identifier: str, **options: Any) -> dict[str, Any]:
        if identifier == "bob@cc.com":
            raise InviteFailed(409, {"title": "Already a subscriber", "sip_uri": "sip:bob@cc.com"})
        view = {"account": "sip:g1@cc.com", "identifier": identifier, "state": "active", "types": options["types"]}
        self.tell({**view, "delivery": {"channel": "email", "state": "sent"}})
        return {**view, "delivery": {"channel": "email", "state": "queued"}}

    async def resend(self, account: str) -> dict[str, Any]:
        self.tell({**self.views[account], "delivery": {"channel": "email", "state": "failed", "error": "550 no"}})
        return self.views[account]

    async def revoke(self, account: str) -> None:
        self.tell({**self.views[account], "state": "ended", "reason": "revoked"})

    async def invitations(self) -> list[dict[str, Any]]:
        return list(self.views.values())

    async def events(self, after: int | None = None, wait: float = 25.0) -> dict[str, Any]:
        events = [] if after is None else [{"kind": "invitation", "invitation": await self.queue.get()}]
        return {"cursor": (after or 0) + 1, "events": events}

    def tell(self, view: dict[str, Any]) -> None:
        self.views[view["account"]] = view
        self.queue.put_nowait(view)


@pytest_asyncio.fixture
async def a(lab: Lab) -> Phone:
    """The phone at the other end."""
    assert lab.phone is not None
    lab.phone.behave(on_message="accept")
    return lab.phone


@pytest_asyncio.fixture
async def screen(lab: Lab, a: Phone, tmp_path: Path) -> AsyncIterator[Screen]:
    contacts = tmp_path / "contacts"
    contacts.write_text("sip:a@cc.com Alice\n")
    async with on_screen(lab.make_phone(B).options, Gateway(), ContactFile(contacts)) as screen:
        yield screen


async def test_all_keys_are_named_on_a_narrow_screen(screen: Screen) -> None:
    await screen.pilot.resize_terminal(80, 24)
    await screen.shows("f1 Help f2 Invite f3 Invited f4 Ladder f5 Accept f6 Decline f7 Hang up")


async def test_a_conversation(screen: Screen, a: Phone) -> None:
    await screen.shows("b@cc.com", "Alice", "online, no chat")
    await screen.enter("hello [b]Alice[/b]")
    await screen.shows("you  hello [b]Alice[/b]  ✓✓", "the chat is open")
    await a.say("sip:b@cc.com", "hi \x1b[31m red")
    await screen.shows("Alice  hi \ufffd[31m red")
    await a.wait_for("receipt")  # what stands on the screen is seen
    await a.type("sip:b@cc.com")
    await screen.shows("typing…")
    await screen.type("ty")
    assert (await a.wait_for("composing")).text == "active"
    await screen.enter("//slash")
    await screen.shows("you  /slash")
    await screen.press("f7")
    await screen.shows("the chat is over")
    await screen.enter("/nonsense")
    await screen.shows("no command /nonsense")


async def test_somebody_calls(screen: Screen, a: Phone) -> None:
    await screen.enter("/to sip:c@cc.com Carol")
    await screen.shows("Carol")
    calling = asyncio.ensure_future(a.say("sip:b@cc.com", "ring ring"))
    await screen.shows("Alice wants to chat: F5 accepts, F6 declines")
    await screen.press("f5")  # goes to who calls
    await screen.shows("Alice  ring ring")
    assert (await calling).state.value == "sent"
    await a.hang_up("sip:b@cc.com")
    await screen.shows("the chat is over (remote)")
    calling = asyncio.ensure_future(a.say("sip:b@cc.com", "and now?"))
    await screen.shows("wants to chat: F5")
    await screen.press("f6")
    with pytest.raises(Exception, match="603"):
        await calling
    await screen.enter("/hangup")
    await screen.shows("there is nothing with this person")
    assert screen.contacts is not None and "Carol" in screen.contacts.path.read_text()


async def test_failures_and_trying_again(screen: Screen, a: Phone) -> None:
    a.behave(on_invite=486)
    await screen.enter("/again")
    await screen.shows("nothing has failed here")
    await screen.enter("busy?")
    await screen.shows("you  busy?  ✗ 486 Busy Here — /again to send it once more")
    a.behave(on_invite="accept")
    await screen.enter("/again")
    await screen.shows("you  busy?  ✓✓")
    assert (await a.wait_for("message")).text == "busy?"


async def test_files(screen: Screen, a: Phone, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("a small file")
    await screen.enter(f"/file {tmp_path / 'note.txt'}")
    await screen.shows("you  [1] note.txt 12 B sent")
    sending = asyncio.ensure_future(a.files.send("sip:b@cc.com", b"an answer", name="answer.txt"))
    await screen.shows("Alice  [2] answer.txt 9 B is offered: F5 takes it, F6 declines")
    await screen.press("f5")
    await screen.shows("[2] answer.txt 9 B here: /")
    assert (await sending).state == "done"
    await screen.enter(f"/save {tmp_path / 'saved.txt'}")
    await screen.shows("saved as")
    assert (tmp_path / "saved.txt").read_text() == "an answer"
    await screen.enter(f"/save {tmp_path / 'saved.txt'}")
    await screen.shows("is there already")
    await screen.enter("/cancel")
    await screen.shows("there is nothing")


async def test_invitations(screen: Screen) -> None:
    await screen.press("f2")
    await screen.shows("Invite by e-mail address")
    await screen.type("bob@cc.com")
    await screen.press("enter")
    await screen.shows("409 Already a subscriber; chat without the gateway: /to", "sip:bob@cc.com")
    await screen.press(*["backspace"] * len("bob@cc.com"))
    await screen.type("dora@example.com")
    await screen.press("enter")
    await screen.shows("dora@example.com  sip:g1@cc.com", "dora@example.com is active; its link: email sent")
    await screen.press("f3")
    await screen.shows("sip:g1@cc.com", "active", "email sent", "im, file")
    await screen.press("r")
    await screen.shows("email failed: 550 no", "A new link is on its way")
    await screen.press("d")
    await screen.shows("d once more revokes it")
    await screen.press("d")
    await screen.shows("ended (revoked)", "sip:g1@cc.com is revoked")
    await screen.press("escape")
    await screen.shows("The invitation of dora@example.com is ended (revoked)")
    await screen.press("f2", "escape")
    await screen.shows("Alice")


async def test_what_is_covered_is_not_seen(screen: Screen, a: Phone) -> None:
    await screen.enter("hello")
    await screen.shows("you  hello  ✓✓")
    await screen.press("f4")
    await a.say("sip:b@cc.com", "look here")
    delivered = await a.wait_for("receipt")
    await screen.shows("MSRP SEND")
    assert [event.text for event in a.events if event.kind == "receipt"] == ["delivered"]
    await screen.press("escape")
    await screen.shows("Alice  look here")
    assert (await a.wait_for("receipt", after=delivered.serial)).text == "displayed"


async def test_ladder(screen: Screen) -> None:
    await screen.enter("hello")
    await screen.shows("you  hello  ✓✓")
    await screen.press("f4")
    await screen.shows("phone", "core", "peer", "REGISTER", "INVITE sip:a@cc.com", "MSRP SEND")
    await screen.press("s")
    await screen.shows("[phone] ")
    await screen.press("c")
    await screen.shows("nothing was recorded")
    await screen.press("f4")
    await screen.shows("you  hello")


async def test_help_and_leaving(screen: Screen) -> None:
    await screen.press("f1")
    await screen.shows("F5 accept", "/revoke ACCOUNT", "/hangup")
    await screen.press("escape")
    await screen.enter("/offline")
    await screen.shows("offline")
    await screen.enter("/quit")
    await screen.left()


async def test_without_a_gateway(lab: Lab, a: Phone) -> None:
    async with on_screen(lab.make_phone(B).options) as screen:
        for key in ("f2", "f3"):
            await screen.press(key)
            await screen.shows("No gateway was named")
        await screen.enter("hello")
        await screen.shows("to whom? /to")
        await screen.press("f5")
        await screen.shows("nobody waits for an answer")
