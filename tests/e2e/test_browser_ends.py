"""How the guest's page tells of every end and of links that open nothing, and what a mail scanner may do with one."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from tests.e2e.pagelab import Page, PageLab
from tests.e2e.world import eventually

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]


async def opened_again(lab: PageLab, link: str, words: str) -> None:
    """Open a link in a tab that knows nothing."""
    page = Page(lab, "")
    await page.open(link)
    await page.shows(words)
    assert await page.run("return document.getElementById('chat').hidden")


async def test_revoked_while_the_page_is_open(lab: PageLab) -> None:
    guest = await lab.invite()
    page = await lab.tab(guest)
    await page.say("before")
    await page.shows("✓", "#log")
    await lab.world.inviter().delete(f"/rcsgw/invitee/user/{guest.account}")
    await page.shows("taken the invitation back")
    assert await page.run("return sessionStorage.length") == 0
    await opened_again(lab, guest.link, "taken the invitation back")


async def test_the_inviter_logs_out_while_the_page_is_open(lab: PageLab) -> None:
    guest = await lab.invite("c")
    page = await lab.tab(guest)
    await lab.world.inviter("c").delete("/rcsgw/inviter/session")
    await page.shows("has logged out, which ends the invitation")
    await opened_again(lab, guest.link, "has logged out, which ends the invitation")


async def test_expired_while_the_page_is_open_and_opened_too_late(lab: PageLab) -> None:
    guest = await lab.invite(valid_for=5)
    page = await lab.tab(guest)
    await page.shows("The invitation has expired. Ask whoever invited you for a new one")
    await opened_again(lab, guest.link, "The invitation has expired.")


async def test_one_of_two_inviters_goes_and_the_other_conversation_goes_on(lab: PageLab) -> None:
    guest = await lab.invite("c", await lab.invite("a"))  # the link of an invitation ends with it
    page = await lab.tab(guest)
    await page.shows("Alice", "#inviters .inviter:nth-child(1)")
    await page.shows("Carol", "#inviters .inviter:nth-child(2)")
    await lab.say(guest, "from Carol", "c")
    await page.shows("1", "#inviters .inviter:nth-child(2) .unread")
    await asyncio.to_thread(page.driver.refresh)  # what nobody has read stays unread
    await page.shows("1", "#inviters .inviter:nth-child(2) .unread")
    assert (await page.run("return document.title")).startswith("(1) ")
    await page.type("half a sen")
    await page.click("#inviters .inviter:nth-child(2)")
    await page.has("from Carol")
    assert await page.run("return document.getElementById('text').value") == "", "what is typed stays with its reader"
    await lab.world.inviter().delete(f"/rcsgw/invitee/user/{guest.account}")
    await page.shows("invitation over", "#inviters .inviter:nth-child(1)")
    await page.say("to Carol")
    await page.shows("Read", "#log li:last-child")
    await page.click("#inviters .inviter:nth-child(1)")
    await page.shows("taken the invitation back", "#peer")
    assert await page.run("return [text.disabled, text.value]") == [True, "half a sen"]


async def test_somebody_invites_a_guest_whose_page_is_open(lab: PageLab) -> None:
    guest = await lab.invite("a")
    page = await lab.tab(guest)
    await lab.invite("c", guest)
    await lab.say(guest, "surprise", "c")
    await page.shows("Carol", "#inviters")
    await page.click("#inviters .inviter:nth-child(2)")
    await page.has("surprise")


async def test_log_out_ends_everything_and_uses_the_link_up(lab: PageLab) -> None:
    guest = await lab.invite()
    page = await lab.tab(guest)
    assert await lab.is_logged_in(guest)
    await page.click("#logout")
    await page.shows("the link will not work again", "#confirm")
    await page.click("#confirm button.danger")
    await page.shows("You are logged out")
    assert not await lab.is_logged_in(guest)
    await opened_again(lab, guest.link, "This link has been used up")


async def test_a_wrong_link_asks_for_the_password_without_the_browsers_own_prompt(lab: PageLab) -> None:
    guest = await lab.invite()
    for link in (guest.link[:-3] + "xyz", guest.link.replace(guest.user, "nobody@cc.com")):
        await opened_again(lab, link, "This link does not open anything.")
    page = Page(lab, guest.account)
    await page.open(guest.link[:-3] + "xyz")
    await page.shows("This link does not open anything.")
    # a prompt of the browser's would stop every script
    assert await page.run("return document.activeElement.id") == "secret"
    await page.type(f"{guest.secret}\n", "#secret")
    await page.shows("online", "#inviters")


SCANNERS: tuple[dict[str, str], ...] = (
    {"Accept": "*/*"},
    {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "User-Agent": "Mozilla/5.0"},
    {},
)


@pytest.mark.parametrize("style", ["fragment", "query"])
async def test_item_5_a_mail_scanner_logs_nobody_in_and_uses_nothing_up(lab: PageLab, style: str) -> None:
    """GET and HEAD, several times, from another address, whatever it accepts."""
    guest = await lab.invite()
    link = guest.link if style == "fragment" else guest.link.replace("#passwd=", "?passwd=")
    before = lab.world.rows("account")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=("127.0.0.3", 0))) as scanner:
        for headers in SCANNERS:
            for method in ("GET", "HEAD", "GET"):
                async with scanner.request(method, link, headers=headers, skip_auto_headers=["Accept"]) as answer:
                    assert answer.status == 200 and answer.content_type == "text/html"
                    assert not answer.cookies
    assert lab.world.rows("account") == before
    assert not await lab.is_logged_in(guest)
    assert not [text for text in lab.world.received("REGISTER", actor="core") if guest.user in text]
    # and the person for whom it was meant gets in, more than once
    page = Page(lab, guest.account)
    for _ in range(2):
        await page.open(link)
        await page.shows("online", "#inviters")
        assert guest.secret not in await page.run("return location.href")
    await page.say("I am here")
    await eventually(lambda: lab.heard(guest.account) == ["I am here"])
