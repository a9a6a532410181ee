"""``rcsgw phone`` as A runs it: its screen in a real terminal, its scripts, against the whole network."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.e2e.client import kind
from tests.e2e.conftest import Start, one_core
from tests.e2e.terminal import RCSGW, Terminal
from tests.e2e.world import DOMAIN, PASSWORDS, Guest, World

FILES = 'types = ["im", "file"]'
SECRET = {"RCSGW_PHONE_PASSWORD": PASSWORDS["a"]}


def phone_of(world: World, *options: str) -> list[str]:
    """Return the command line of A's phone."""
    who = ("--aor", f"sip:a@{DOMAIN}", "--proxy", world.proxy, "--gateway", world.url)
    return [RCSGW, "phone", *who, *options]


async def test_the_screen(start: Start, tmp_path: Path) -> None:
    pytest.importorskip("textual")
    world = await start(policy=FILES)
    contacts = tmp_path / "contacts"
    contacts.write_text(f"sip:c@{DOMAIN} Carol\n")
    command = phone_of(world, "--contacts", str(contacts), "--folder", str(tmp_path / "came"))
    async with Terminal(*command, columns=140, rows=40, **SECRET) as terminal:
        await terminal.shows("● a@cc.com", "Carol", "Invited")
        # A invites B
        terminal.press("f2")
        await terminal.shows("Invite by e-mail address or phone number")
        terminal.press("b@cc.com", "enter")
        guest = await world.guest_from_mail()
        await terminal.shows("The invitation of b@cc.com is active; its link: email sent")
        terminal.press("f3")
        await terminal.shows(guest.account, "email sent", "Send the link again")
        terminal.press("f3")
        await guest.login()
        await chat(terminal, guest)
        await receive_file(terminal, guest, tmp_path / "came")
        # the phone's own ladder
        terminal.look_away()
        terminal.press("f4")
        await terminal.shows("REGISTER", "INVITE sip:", "MSRP SEND", "core", "phone")
        terminal.look_away()
        terminal.press("escape")
        await terminal.shows("typed by hand")
        # B ends it
        assert (await guest.logout()).status == 204
        await terminal.shows("the chat is over", "The invitation of b@cc.com is ended")
        terminal.press("ctrl+q")
        assert await terminal.ended() == 0
    assert not await world.core.is_registered("a")
    assert PASSWORDS["a"].encode() not in terminal.drawn


async def chat(terminal: Terminal, guest: Guest) -> None:
    """B writes, A answers; both see that the other types, and that the other has seen it."""
    sending = asyncio.ensure_future(guest.send("anybody there?"))
    await terminal.shows("wants to chat: F5 accepts, F6 declines")
    terminal.press("f5")
    await terminal.shows("anybody there?")
    message = (await sending).json["id"]
    await guest.wait_for_event(kind("receipt", id=message, state="displayed"))
    terminal.press("typed by hand")
    await guest.wait_for_event(kind("composing", state="active"))
    terminal.press("enter")
    answer = await guest.wait_for_text("typed by hand")
    await terminal.shows("typed by hand  ✓✓")
    terminal.look_away()
    assert (await guest.http.post("/rcsgw/invitee/receipt", {"id": answer["message"]["id"]})).status == 204
    await terminal.shows("typed by hand  ✓✓")  # now in another colour
    assert (await guest.http.post("/rcsgw/invitee/composing", {"to": "a", "state": "active"})).status == 204
    await terminal.shows("typing…")


async def receive_file(terminal: Terminal, guest: Guest, folder: Path) -> None:
    """B sends a file, which A takes."""
    content = os.urandom(100_000)
    path = "/rcsgw/invitee/file?to=a&name=photo.jpg"
    sent = await guest.http.post(path, content, headers={"Content-Type": "image/jpeg"})
    assert sent.status == 202
    await terminal.shows("photo.jpg", "is offered: F5 takes it, F6 declines")
    terminal.press("f5")
    await terminal.shows("100 kB here: ")
    await guest.wait_for_event(kind("file", id=sent.json["id"], state="displayed"))
    (came,) = folder.iterdir()
    assert came.read_bytes() == content


# scripts


async def play(world: World, script: Path, *options: str) -> asyncio.subprocess.Process:
    """Begin to play a script."""
    command = phone_of(world, "--script", str(script), *options)
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, **SECRET}
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environment)


async def outcome(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Return exit status and all output."""
    async with asyncio.timeout(60):
        out, errors = await process.communicate()
    return process.returncode, (out + errors).decode()


@one_core
async def test_a_script(start: Start, tmp_path: Path) -> None:
    world = await start(policy=FILES)
    (tmp_path / "answer.txt").write_text("what A sends")
    (tmp_path / "question.txt").write_text("what B sends")
    script = tmp_path / "test.phone"
    script.write_text("""
        timeout 20
        invite b@cc.com as bob types im,file for 3600
        wait invitation active from bob
        wait delivery sent from bob
        wait invited from bob
        delay 0.1
        answer
        wait message "anybody there?"
        type
        send "I am"
        wait receipt displayed
        wait typing
        wait offered question.txt
        answer
        wait file question.txt
        same question.txt
        file answer.txt
        revoke bob
        wait closed from bob
        wait invitation ended from b@cc.com
        refused 404 revoke bob
        """)
    process = await play(world, script)
    guest = await world.guest_from_mail()
    await guest.login()
    await guest.send("anybody there?")
    await guest.wait_for_event(kind("composing", state="active"))
    answer = await guest.wait_for_text("I am")
    await guest.http.post("/rcsgw/invitee/receipt", {"id": answer["message"]["id"]})
    await guest.http.post("/rcsgw/invitee/composing", {"to": "a", "state": "active"})
    headers = {"Content-Type": "text/plain"}
    await guest.http.post("/rcsgw/invitee/file?to=a&name=question.txt", b"what B sends", headers=headers)
    await guest.wait_for_event(lambda event: (event.get("file") or {}).get("name") == "answer.txt")
    status, output = await outcome(process)
    assert status == 0, output
    assert "  22  refused 404 revoke bob" in output
    assert (await guest.login()).status == 410


@one_core
async def test_the_script_of_an_invitation_that_nobody_takes(start: Start) -> None:
    world = await start(policy=FILES)
    script = Path(__file__).parents[2] / "config" / "phone" / "invite.phone"
    status, output = await outcome(await play(world, script))
    assert status == 0, output
    assert world.core.accounts() == {"a", "c"}


@one_core
async def test_a_script_that_fails(world: World, tmp_path: Path) -> None:
    script = tmp_path / "test.phone"
    script.write_text("print begun\nwait message within 0.1\nprint never")
    status, output = await outcome(await play(world, script, "--json"))
    assert (status, "never" in output) == (1, False)
    assert [json.loads(line)["event"] for line in output.splitlines()[:3]] == ["registered", "ready", "step"]
    assert "test.phone:2: wait message within 0.1: that did not happen within 0.1 s, but: " in output
