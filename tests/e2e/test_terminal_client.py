"""``rcsgw guest``: its screen and its JSON lines, against the whole network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from gateway.clients.jsonlines import JsonLines
from gateway.clients.link import InviteLink
from gateway.clients.rcsguest import RcsGuest
from tests.e2e.client import PATIENCE
from tests.e2e.conftest import Start, one_core
from tests.e2e.terminal import RCSGW, Terminal
from tests.e2e.world import DOMAIN, World, eventually

textual = pytest.importorskip("textual")


def screen_of(app: Any) -> str:
    """Return what stands on the screen, as text."""
    from gateway.terminal.lines import Lines

    parts = [app.query_one("#head"), *app.query_one(Lines).children, app.query_one("#notice")]
    return "\n".join(str(part.content) for part in parts)


@one_core
async def test_a_conversation_on_the_screen(start: Start, tmp_path: Path) -> None:
    from textual.widgets import Input

    from gateway.clients.tui.app import GuestApp

    world = await start(policy='types = ["im", "file"]')
    phone = await world.phone("a", files="msrp", on_message="accept", receipts="display")
    invited = await world.invite("a", types=["im", "file"])
    guest = RcsGuest(InviteLink(world.url, invited.account, invited.secret))
    app = GuestApp(guest)
    async with aclosing(guest), app.run_test(size=(100, 30)) as pilot:

        async def shows(*words: str) -> None:
            deadline = asyncio.get_running_loop().time() + PATIENCE
            while not all(word in screen_of(app) for word in words):
                assert asyncio.get_running_loop().time() < deadline, f"{words} not in {screen_of(app)!r}"
                await pilot.pause(0.05)

        async def enter(text: str) -> None:
            app.query_one("#entry", Input).value = text
            await pilot.press("enter")

        await shows("Alice", "online", "chat and files")
        await enter("Hello [b]Alice[/b]")
        await shows("you  Hello [b]Alice[/b]  ✓✓")
        await phone.say(f"sip:b@{DOMAIN}", "hi \x1b[31m red")
        await shows("Alice  hi \ufffd[31m red")
        await enter("/nonsense")
        await shows("there is no /nonsense")
        await enter("/status")
        await shows("Alice: online")
        (tmp_path / "note.txt").write_text("a small file")
        await enter(f"/file {tmp_path / 'note.txt'}")
        await shows("[1] note.txt", "12 B")
        await phone.wait_for("file")
        await phone.files.send(f"sip:b@{DOMAIN}", b"an answer", name="answer.txt")
        await shows("[2] answer.txt", "here: /save 2")
        await enter(f"/save 2 {tmp_path}")
        await shows("Saved as")
        assert (tmp_path / "answer.txt").read_text() == "an answer"
        await enter("/logout")
        await shows("once more")
        await enter("/logout")
        await eventually(lambda: app.return_value is not None)
    assert app.return_value is not None and "logged out" in app.return_value
    assert (await invited.login()).status == 410


@one_core
async def test_json_lines(start: Start, tmp_path: Path) -> None:
    world = await start(policy='types = ["im", "file"]')
    phone = await world.phone("a", files="msrp", on_message="accept")
    invited = await world.invite("a", types=["im", "file"])
    written: list[dict[str, Any]] = []
    commands: asyncio.Queue[str | None] = asyncio.Queue()

    async def lines() -> AsyncIterator[str]:
        while (line := await commands.get()) is not None:
            yield line

    def do(name: str, **fields: object) -> None:
        commands.put_nowait(json.dumps({"do": name, "tag": name, **fields}))

    async def answer(kind: str, tag: str) -> dict[str, Any]:
        found: dict[str, Any] = await eventually(
            lambda: next((line for line in written if (line["type"], line.get("tag")) == (kind, tag)), None)
        )
        return found

    async with RcsGuest(InviteLink(world.url, invited.account, invited.secret)) as guest:
        running = asyncio.create_task(JsonLines(guest, written.append).run(lines()))
        do("status", of="a")
        assert (await answer("answer", "status"))["result"]["status"] == "online"
        do("send", to="a", text="hello")
        assert (await answer("answer", "send"))["result"]["state"] == "sent"
        await phone.say(f"sip:b@{DOMAIN}", "hi")
        await eventually(lambda: [line for line in written if line["type"] == "event" and "hi" in str(line)])
        do("history", **{"with": "a"})
        assert [line["message"] for line in (await answer("answer", "history"))["result"]] == ["hello", "hi"]
        (tmp_path / "f").write_bytes(b"x" * 100)
        do("file", to="a", path=str(tmp_path / "f"))
        assert (await answer("answer", "file"))["result"]["size"] == 100
        await phone.wait_for("file")
        do("send", to="nobody", text="x")
        do("fetch", id="none")
        assert (await answer("error", "fetch"))["status"] == 404
        commands.put_nowait("no json")
        commands.put_nowait('{"do": "dance"}')
        await eventually(lambda: sum(line["type"] == "error" for line in written) == 4)
        commands.put_nowait(None)
        assert await running == "end-of-input"
    assert written[0]["session"]["account"] == invited.account


async def test_in_a_real_terminal(world: World) -> None:
    phone = await world.phone("a", on_message="accept")
    invited = await world.invite("a")
    link = str(InviteLink(world.url, invited.account, invited.secret))
    async with Terminal(RCSGW, "guest", link.replace("http://", "rcsgw+http://")) as terminal:
        await terminal.shows("online")
        terminal.press("typed by hand", "enter")
        assert (await phone.wait_for("message")).text == "typed by hand"
        await phone.say(f"sip:b@{DOMAIN}", "an answer")
        await terminal.shows("an answer")
        terminal.press("ctrl+q")
        assert await terminal.ended() == 0
    assert invited.secret.encode() not in terminal.drawn
    assert (await invited.login()).status == 200, "leaving is no log-out"
