"""Item 4: over every interruption the guest's page shows each message once and misses none, and A's phone too."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.pagelab import Page, PageLab
from tests.e2e.world import Guest, eventually

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]

SOME = 5


async def talk(lab: PageLab, guest: Guest, page: Page, about: str) -> list[str]:
    """Let both sides say something; return what the page shows of it, in order."""
    await page.say(f"B {about}")
    await page.shows("Read", "#log li:last-child")
    await lab.say(guest, f"A {about}")
    await page.shows(f"A {about}", "#log li:last-child")
    return [f"B {about}", f"A {about}"]


async def heard(lab: PageLab, guest: Guest, *texts: str) -> None:
    """Wait until A's phone has heard exactly these texts, in this order."""
    await eventually(lambda: len(lab.heard(guest.account)) >= len(texts))
    assert lab.heard(guest.account) == list(texts)


async def test_item_4_reload(lab: PageLab) -> None:
    guest = await lab.invite()
    page = await lab.tab(guest)
    said = await talk(lab, guest, page, "before")
    await page.type("not sent yet")
    await asyncio.to_thread(page.driver.get, "about:blank")
    await lab.say(guest, "meanwhile")
    await asyncio.to_thread(page.driver.back)
    await page.has(*said, "meanwhile")
    assert await page.run("return text.value") == "not sent yet"
    for _ in range(2):
        await asyncio.to_thread(page.driver.refresh)
        await page.has(*said, "meanwhile")
    await page.type("!\n")
    await page.has(*said, "meanwhile", "not sent yet!")
    await heard(lab, guest, "B before", "not sent yet!")


async def test_item_4_second_tab(lab: PageLab) -> None:
    guest = await lab.invite()
    page = await lab.tab(guest)
    said = await talk(lab, guest, page, "in one tab")
    first = page.driver.current_window_handle
    await asyncio.to_thread(page.driver.switch_to.new_window, "tab")
    other = Page(lab, guest.account)
    try:
        await other.open(guest.link)
        await other.has(*said)
        await other.say("from the second tab")
        await other.shows("Read", "#log li:last-child")
        await lab.say(guest, "to both tabs")
        said += ["from the second tab", "to both tabs"]
        await other.has(*said)
        await asyncio.to_thread(page.driver.close)
    finally:
        await asyncio.to_thread(page.driver.switch_to.window, first)
    await page.has(*said)
    assert (
        await page.run("return [...document.querySelectorAll('#log li.out')].map((li) => li.dataset.state)")
        == ["displayed"] * 2
    )
    said += await talk(lab, guest, page, "after it was closed")
    await page.has(*said)
    await heard(lab, guest, "B in one tab", "from the second tab", "B after it was closed")


async def test_item_4_device_offline(lab: PageLab) -> None:
    guest = await lab.invite()
    page = await lab.tab(guest)
    said = await talk(lab, guest, page, "online")
    await page.offline()
    await page.shows("Your device is offline. What you write is sent when it is online again.", "#banner")
    for number in range(SOME):
        await page.say(f"offline {number}")
        await lab.say(guest, f"missed {number}")
    await page.shows("Waiting for the connection", "#log")
    await page.picture("e2e-offline")
    assert not [text for text in lab.heard(guest.account) if "offline" in text]
    await page.offline(False)
    missed, waited = [f"missed {n}" for n in range(SOME)], [f"offline {n}" for n in range(SOME)]
    await page.has(*said, *missed, *waited)
    await page.until(lambda text: text.count("Read") == SOME + 1, "#log", "all read")
    await heard(lab, guest, "B online", *waited)
    await asyncio.to_thread(page.driver.refresh)
    await page.has(*said, *missed, *waited)
    assert not await page.text("#banner")


async def test_item_4_connections_cut(lab: PageLab) -> None:
    """The TCP connections of the browser break again and again while both sides talk."""
    guest = await lab.invite()
    page = await lab.tab(guest)
    said = await talk(lab, guest, page, "on a good line")
    for number in range(SOME):
        lab.wire.cut()
        await page.say(f"through {number}")
        lab.wire.cut()
        await lab.say(guest, f"back {number}")
    mine, theirs = [f"through {n}" for n in range(SOME)], [f"back {n}" for n in range(SOME)]
    await page.holds({*said, *mine, *theirs})
    await heard(lab, guest, "B on a good line", *mine)
    shown = await page.lines()
    assert [text for text in shown if text in theirs] == theirs
    assert [text for text in shown if text in mine] == mine
    await asyncio.to_thread(page.driver.refresh)
    await page.holds({*said, *mine, *theirs})


async def test_item_4_gateway_killed_and_started_again(lab: PageLab) -> None:
    """kill -9 with the page open, messages of both sides on their way, and more typed while it is down."""
    guest = await lab.invite()
    page = await lab.tab(guest)
    said = await talk(lab, guest, page, "before")
    mine = [f"mine {number}" for number in range(SOME)]
    for text in mine[:3]:
        await page.say(text)
    await lab.kill_gateway()
    await page.shows("Connection lost. Trying again… What you write is sent when it is back.", "#banner")
    for text in mine[3:]:
        await page.say(text)
    await page.shows("Waiting for the connection", "#log li:last-child")
    await page.picture("e2e-gateway-down")
    await lab.start_gateway()
    await page.run("document.getElementById('now').click()")  # try now; the page may have tried already
    await page.until(lambda text: not text, "#banner")
    await lab.say(guest, "welcome back")
    await page.holds({*said, *mine, "welcome back"})
    await eventually(lambda: len(lab.heard(guest.account)) == 1 + SOME)
    assert sorted(lab.heard(guest.account)) == sorted(["B before", *mine])
    said += await talk(lab, guest, page, "after")
    await asyncio.to_thread(page.driver.refresh)
    await page.holds({*said, *mine, "welcome back"})


async def test_item_4_reload_while_the_gateway_is_down(lab: PageLab) -> None:
    guest = await lab.invite()
    page = await lab.tab(guest)
    said = await talk(lab, guest, page, "before")
    await lab.kill_gateway()
    await page.say("typed in vain")
    await page.shows("Waiting for the connection", "#log li:last-child")
    # the address cannot be loaded now; a tab that is restored comes back to the same storage
    await asyncio.to_thread(page.driver.get, "about:blank")
    await lab.start_gateway()
    await asyncio.to_thread(page.driver.back)
    await page.has(*said, "typed in vain")
    await heard(lab, guest, "B before", "typed in vain")


async def test_a_page_that_cannot_sign_in_keeps_trying(lab: PageLab) -> None:
    guest = await lab.invite()
    page = await lab.tab(guest)
    await lab.kill_gateway()
    await page.run("dispatchEvent(new HashChangeEvent('hashchange'))")
    await page.shows("Connection lost", "#banner")
    await page.run(f"location.hash = '#passwd={guest.secret}'")
    await page.shows("Your invitation is still good, and this page keeps trying.", "#over")
    await lab.start_gateway()
    await page.shows("online", "#inviters")
