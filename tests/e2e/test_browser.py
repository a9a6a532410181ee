"""The guest's page in a real browser against the whole network, from the link in the mail to the log-out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.lab.ports import free_port
from tests.e2e.conftest import Start, one_core
from tests.e2e.world import DOMAIN, World, eventually
from tests.gateway.browser import Browser, start_browser

pytestmark = pytest.mark.interop


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    driver = await asyncio.to_thread(start_browser, tmp_path / "profile")
    yield Browser(driver)
    await asyncio.to_thread(driver.quit)


@pytest.fixture
async def world(start: Start) -> World:
    """A network whose links lead to the gateway itself, on a port that outlives a restart."""
    port = free_port()
    return await start(
        gateway=f'public_url = "http://127.0.0.1:{port}"\ndrain_timeout = 5',
        http=f'listen = "127.0.0.1:{port}"',
        policy='types = ["im", "file"]',
        client='name = "Lab"\naccent = "#7a1fa2"',
    )


LINES = "return [...document.querySelectorAll('#log li .text')].map((node) => node.lastChild.textContent)"


@one_core
async def test_from_the_mail_to_the_log_out(world: World, browser: Browser, tmp_path: Path) -> None:
    phone = await world.phone("a", on_message="accept", receipts="display", files="msrp")
    invited = await world.invite("a", types=["im", "file"])
    await browser.open(invited.link)
    await browser.shows("online", "#inviters")
    await browser.shows("Lab", "#brand")
    assert invited.secret not in await browser.run("return location.href")
    # text both ways, with a link that is one and markup that is none
    await browser.type("Hello <b>Alice</b>\n")
    await browser.shows("Read", "#log")
    await phone.say(f"sip:b@{DOMAIN}", "look: https://example.com/a?b=1. <img src=x onerror=alert(1)>")
    await browser.shows("look:", "#log")
    assert await browser.run("return [...document.querySelectorAll('#log a')].map((a) => a.href)") == [
        "https://example.com/a?b=1"
    ]
    assert await browser.run("return document.querySelectorAll('#log img, #log b').length") == 0
    # files both ways
    (tmp_path / "note.txt").write_text("from the page")
    await browser.run("document.getElementById('pick').hidden = false")
    await browser.type(str(tmp_path / "note.txt"), "#pick")
    await phone.wait_for("file")
    [there] = phone.files.all.values()
    assert there.path.read_text() == "from the page"
    await phone.files.send(f"sip:b@{DOMAIN}", b"from the phone", name="answer.txt", content_type="text/plain")
    await browser.shows("answer.txt", "#log")
    await browser.shows("Ready to save", "#log")
    # log out
    await browser.click("#logout")
    await browser.click("#confirm button.danger")
    await browser.shows("You are logged out")
    assert (await invited.login()).status == 410


@one_core
async def test_nothing_is_lost_or_doubled_over_a_restart_and_a_reload(world: World, browser: Browser) -> None:
    phone = await world.phone("a", on_message="accept")
    invited = await world.invite("a")
    await browser.open(invited.link)
    await browser.shows("online", "#inviters")
    await phone.say(f"sip:b@{DOMAIN}", "one")
    await browser.shows("one", "#log")
    await world.stop_gateway()
    await browser.shows("Connection lost", "#banner")
    await browser.type("typed without a gateway\n")
    await browser.shows("Waiting for the connection", "#log")
    await browser.run("location.reload()")  # the page itself is not there now
    await asyncio.sleep(0)
    await world.start_gateway()
    await browser.open(f"{world.url}/rcsgw/invitee/session/{invited.account}")
    await browser.shows("typed without a gateway", "#log")
    await eventually(lambda: [event for event in phone.events if event.kind == "message"])
    await phone.say(f"sip:b@{DOMAIN}", "two")
    await browser.shows("two", "#log")
    await browser.run("location.reload()")
    await browser.shows("two", "#log")
    assert sorted(await browser.run(LINES)) == ["one", "two", "typed without a gateway"]
    assert [event.text for event in phone.events if event.kind == "message"] == ["typed without a gateway"]


@one_core
async def test_the_language_can_be_changed_and_the_sound_turned_off(world: World, browser: Browser) -> None:
    await world.phone("a")
    await browser.open((await world.invite("a")).link)
    await browser.shows("online", "#inviters")
    await browser.click("#options summary")
    await browser.shows("has invited you", "#invited")
    await browser.click("#sound")
    await browser.run(
        "const choice = document.getElementById('language');"
        "choice.value = 'zh'; choice.dispatchEvent(new Event('change'))"
    )
    await browser.shows("在线", "#inviters")
    assert await browser.run("return [document.documentElement.lang, document.getElementById('sound').checked]") == [
        "zh-Hans",
        False,
    ]


@one_core
async def test_the_password_is_typed_where_the_link_does_not_carry_it(start: Start, browser: Browser) -> None:
    port = free_port()
    world = await start(
        gateway=f'public_url = "http://127.0.0.1:{port}"',
        http=f'listen = "127.0.0.1:{port}"',
        client='link = "account"',
    )
    await world.phone("a")
    invited = await world.invite("a")
    assert invited.secret == "" and invited.link.endswith(invited.account)
    password = re.search(r"asks for this password: (\w+)", world.mailbox.mails[-1].part("plain"))
    assert password is not None
    await browser.open(invited.link)
    await browser.shows("type what stands in it")
    await browser.type("wrong\n", "#secret")
    await browser.shows("does not open anything")
    await browser.type(f"{password[1]}\n", "#secret")
    await browser.shows("online", "#inviters")
