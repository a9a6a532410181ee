"""The guest's page in a real browser, against the real HTTP face with services of straw behind it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from gateway.services import UpstreamRefused
from tests.gateway.browser import Browser, start_browser
from tests.gateway.http.fakes import NOW, SECRET, Feed, House, message_view, running
from translators.model import (
    Composing,
    Event,
    FileState,
    FileView,
    InviterView,
    MessageState,
    MessageView,
    Receipt,
    SessionChange,
    SipCause,
    SipWarning,
    StatusAnswer,
    format_time,
)

pytestmark = pytest.mark.interop

PATH = "/rcsgw/invitee/session/sip:b@cc.com"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def browser(driver: webdriver.Chrome) -> Browser:
    return Browser(driver)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with running() as house:
        yield house


def feed_of(house: House) -> Feed:
    feed = house.guest.feed
    assert isinstance(feed, Feed)
    return feed


def publish(house: House, **fields: Any) -> None:
    """Tell the guest's streams of an event."""
    feed = feed_of(house)
    event = Event(cursor=feed.latest() + 1, at=format_time(time.time()), **fields)
    feed.events.append(event)
    for listener in list(feed.listeners):
        listener(event)


def said(text: str, id: str, **fields: Any) -> MessageView:
    view = message_view(text)
    view.id, view.at = id, format_time(time.time())
    for name, value in fields.items():
        setattr(view, name, value)
    return view


async def eventually(browser: Browser, script: str, wanted: Any) -> None:
    """Wait until a script in the page returns what is wanted."""
    async with asyncio.timeout(10):
        while await browser.run(script) != wanted:
            await asyncio.sleep(0.02)


async def signed_in(house: House, browser: Browser) -> None:
    await browser.open(f"{house.server.url}{PATH}#{SECRET}")
    await browser.shows("online", "#inviters")
    await browser.shows("two\nlines", "#log")


@pytest.mark.parametrize("secret", [f"#{SECRET}", f"#passwd={SECRET}", f"?passwd={SECRET}"])
async def test_the_link_signs_in_and_leaves_no_secret_behind(house: House, browser: Browser, secret: str) -> None:
    await browser.open(f"{house.server.url}{PATH}{secret}")
    await browser.shows("Alice <&>", "#inviters")
    assert await browser.run("return location.href") == f"{house.server.url}{PATH}"
    assert [login[:2] for login in house.guests.logins] == [("sip:b@cc.com", SECRET)]
    # A reload knows the secret from the tab's own storage.
    await asyncio.to_thread(browser.driver.refresh)
    await browser.shows("Alice <&>", "#inviters")
    assert len(house.guests.logins) == 2


async def test_the_secret_is_kept_for_the_tab_only(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    kept = "return [JSON.stringify(sessionStorage), JSON.stringify(localStorage) + document.cookie + location.href]"
    tab, elsewhere = await browser.run(kept)
    assert SECRET in tab and SECRET not in elsewhere
    assert SECRET not in await browser.run("return document.documentElement.outerHTML")


async def test_the_app_is_opened_by_its_own_link(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    await browser.run(
        "navigation.addEventListener('navigate', (event) => {"
        "  window.went = event.destination.url; event.preventDefault(); })"
    )
    await browser.click("#options summary")
    await browser.click("#standalone")
    host = house.server.url.removeprefix("http://")
    assert await browser.run("return window.went") == f"rcsgw+http://{host}{PATH}#{SECRET}"


async def test_everything_is_reached_by_the_keyboard_in_order(house: House, browser: Browser) -> None:
    house.guests.inviters[0].types = ["im", "file"]
    house.guests.inviters.append(InviterView(uid="c", sip="sip:c@cc.com", types=["im"], until=NOW, name="Carol"))
    await signed_in(house, browser)
    # back from the text field, where the focus is at first
    order = []
    for _ in range(7):
        await browser.type(Keys.SHIFT + Keys.TAB, ":focus")
        order.append(await browser.run("const e = document.activeElement; return e.id || e.innerText || e.tagName"))
    ends = ["logout", "SUMMARY", "Carol", "Alice <&>"]
    assert [place.splitlines()[0] for place in order] == ["attach", "Save", "earlier", *ends]
    assert await browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


async def test_other_conversations_sound_unless_that_is_turned_off(house: House, browser: Browser) -> None:
    house.guests.inviters.append(InviterView(uid="c", sip="sip:c@cc.com", types=["im"], until=NOW, name="Carol"))
    await signed_in(house, browser)
    await browser.run(
        "window.tones = 0; const start = OscillatorNode.prototype.start;"
        "OscillatorNode.prototype.start = function (...when) { window.tones += 1; return start.apply(this, when); }"
    )
    await browser.click("#text")
    for number, tones in enumerate((1, 2)):
        publish(house, kind="message", message=said("psst", f"c{number}", uid="c", from_="sip:c@cc.com"))
        await eventually(browser, "return window.tones", tones)
    publish(house, kind="message", message=said("in front of your eyes", "m9"))
    await browser.shows("in front of your eyes", "#log li:last-child")
    await browser.click("#options summary")
    await browser.click("#sound")
    publish(house, kind="message", message=said("psst", "c9", uid="c", from_="sip:c@cc.com"))
    await eventually(browser, "return document.querySelector('#inviters .unread').textContent", "5")
    assert await browser.run("return window.tones") == 2
    await browser.click("#sound")


async def test_too_many_windows_have_their_own_words(house: House, browser: Browser) -> None:
    feed_of(house).max_listeners = 0
    await browser.open(f"{house.server.url}{PATH}#{SECRET}")
    await browser.shows("This chat is open in too many windows. Close one, then try again.", "#banner")
    feed_of(house).max_listeners = 3
    await browser.click("#now")
    await browser.shows("two\nlines", "#log")
    await browser.until(lambda text: not text, "#banner")


async def test_a_portal_that_the_operator_names_can_embed_it(browser: Browser) -> None:
    async def portal(request: web.BaseRequest) -> web.Response:
        frame = f'<iframe src="{request.query["page"]}" width=600 height=500></iframe>'
        return web.Response(text=f"<!doctype html>{frame}", content_type="text/html")

    async with RawTestServer(portal) as server, AsyncExitStack() as stack:
        own = str(server.make_url("/")).rstrip("/")
        for ancestors, shown in ((own, True), ("'none'", False)):
            house = await stack.enter_async_context(running(http={"frame_ancestors": ancestors}))
            page = quote(f"{house.server.url}{PATH}#{SECRET}", safe="")
            await browser.open(f"{own}/?page={page}")
            frame = await asyncio.to_thread(browser.driver.find_element, "css selector", "iframe")
            await asyncio.to_thread(browser.driver.switch_to.frame, frame)
            if shown:
                await browser.shows("two\nlines", "#log")
            else:
                assert house.guests.logins == []
            await asyncio.to_thread(browser.driver.switch_to.default_content)


async def test_chat_goes_both_ways(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    await browser.type("abcdefg" + Keys.ENTER)
    await browser.shows("abcdefg", "#log li:last-child")
    await browser.shows("✓ Sent", "#log li:last-child")
    request, key = house.guest.sent[0]
    assert (request.to, request.message) == ("sip:a@cc.com", "abcdefg")
    assert key and len(key) >= 32
    publish(house, kind="message", message=said("hello <b>B</b> <img src=x onerror=alert(1)>", "m9"))
    await browser.shows("hello <b>B</b> <img src=x onerror=alert(1)>", "#log li:last-child")
    assert await browser.run("return document.querySelectorAll('#log b, #log img').length") == 0


async def test_the_event_of_an_own_message_does_not_show_it_twice(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    await browser.type("only once" + Keys.ENTER)
    await browser.shows("✓ Sent", "#log li:last-child")
    id = house.guest.sent[0][1]
    assert id is not None
    publish(house, kind="message", message=said("only once", id, direction="out", state="sent"))
    publish(house, kind="message", message=said("marker", "m10"))
    await browser.shows("marker", "#log li:last-child")
    assert (await browser.text("#log")).count("only once") == 1


async def test_an_own_message_whose_answer_is_late_is_there_once(house: House, browser: Browser) -> None:
    """Its event has come, with an id that the page does not know yet."""
    await signed_in(house, browser)
    house.guest.answers_at_once.clear()
    house.guest.message_id = "own-1"
    await browser.type("only once" + Keys.ENTER)
    await browser.shows("Sending", "#log li:last-child")
    publish(house, kind="message", message=said("only once", "own-1", direction="out", state="pending"))
    publish(house, kind="message", message=said("marker", "m10"))
    await browser.shows("marker", "#log li:last-child")
    assert (await browser.text("#log")).count("only once") == 1
    house.guest.answers_at_once.set()
    await browser.shows("✓ Sent", "#log li.out")
    assert (await browser.text("#log")).count("only once") == 1


async def test_no_answer_in_time_is_not_known_and_sent_again_under_the_same_key(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    house.guest.error = UpstreamRefused(504, "upstream-timeout", "No answer", "", retryable=True, message_id="x2")
    await browser.type("hello?" + Keys.ENTER)
    await browser.shows("Not known whether it arrived: Alice <&> did not answer.", "#log li:last-child")
    house.guest.error, house.guest.message_id = None, "x2"
    await asyncio.to_thread(browser.driver.refresh)  # the key outlives the page
    await browser.shows("online", "#inviters")
    publish(house, kind="message", message=said("hello?", "x2", direction="out", state="unknown"))
    await browser.shows("Not known whether it arrived", "#log li:last-child")
    await browser.click("#log li:last-child button")
    await browser.shows("✓ Sent", "#log li:last-child")
    assert (await browser.text("#log")).count("hello?") == 1
    assert len(house.guest.keys) == 2 and len(set(house.guest.keys)) == 1


async def test_what_another_tab_sends_again_is_told_here(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    publish(house, kind="message", message=said("from another tab", "o1", direction="out", state="failed"))
    await browser.shows("✗ Not sent", "#log li:last-child")
    for state, mark in (("pending", "Sending"), ("sent", "✓ Sent")):
        publish(house, kind="receipt", receipt=Receipt(id="o1", state=state, uid="a"))  # type: ignore[arg-type]
        await browser.shows(mark, "#log li:last-child")


EVIL = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><b>x</b>'

STRANGE = "return [window.pwned ?? 0, document.querySelectorAll('#chat img, #over img, b, i, body script').length]"


async def test_no_text_of_others_is_ever_markup(house: House, browser: Browser) -> None:
    """Names, messages, file names, media types, reasons of errors and ends: all that a peer or a network may choose."""
    [inviter] = house.guests.inviters
    inviter.name, inviter.types = EVIL, ["im", "file"]
    await browser.open(f"{house.server.url}{PATH}#{SECRET}")
    await browser.shows(EVIL, "#inviters")
    publish(house, kind="composing", composing=Composing(uid="a", state="active", until=format_time(time.time() + 60)))
    await browser.shows(EVIL, "#peer")
    publish(house, kind="message", message=said(EVIL, "m9"))
    publish(house, kind="message", message=said(EVIL, "m10", content_type=f"x/{EVIL}"))
    await browser.shows(f"x/{EVIL}", "#log")
    known: dict[str, Any] = {"from_": "sip:a@cc.com", "to": "sip:b@cc.com", "uid": "a", "at": NOW, "until": NOW}
    states: tuple[FileState, ...] = ("failed", "ready", "offered")
    for number, state in enumerate(states):
        view = FileView(
            id=f"f{number}", name=EVIL, content_type=EVIL, reason=EVIL, state=state, direction="in", octets=0, **known
        )
        publish(house, kind="file", file=view)
    await browser.until(lambda text: text.count(EVIL) >= 6, "#log")
    house.guest.error = UpstreamRefused(
        403,
        EVIL,
        EVIL,
        EVIL,
        retryable=False,
        sip=SipCause(code=499, reason=EVIL, warning=[SipWarning(code=399, agent=EVIL, text=EVIL)]),
        message_id=EVIL,
    )
    await browser.type(EVIL + Keys.ENTER)
    await browser.shows("Not sent", "#log li:last-child")
    publish(house, kind="status", status=StatusAnswer(sip="sip:a@cc.com", uid="a", status=EVIL, services=[], at=NOW))  # type: ignore[arg-type]
    await browser.shows("status not known", "#inviters")
    assert await browser.run(STRANGE) == [0, 0]
    publish(house, kind="session", session=SessionChange(state="ended", uid="a", reason=EVIL))
    await browser.shows("The invitation has ended.")
    assert await browser.run(STRANGE) == [0, 0]


async def test_names_that_turn_text_around_are_shown_straight(house: House, browser: Browser) -> None:
    [inviter] = house.guests.inviters
    inviter.name = "\u202eecilA\u2066"
    await browser.open(f"{house.server.url}{PATH}#{SECRET}")
    await browser.shows("ecilA", "#inviters")
    assert await browser.run("return /[\\u202e\\u2066]/.test(document.documentElement.textContent)") is False
    publish(house, kind="message", message=said("שלום abc", "m9"))
    await browser.shows("שלום", "#log li:last-child")
    direction = "return getComputedStyle(document.querySelector('#log li:last-child p.text')).direction"
    assert await browser.run(direction) == "rtl", "the speaker's name does not decide it"


async def test_refused_messages_say_why_and_can_be_sent_again(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    house.guest.error = UpstreamRefused(
        409, "peer-busy", "Busy", "", retryable=True, sip=SipCause(code=486, reason="Busy Here"), message_id="x1"
    )
    await browser.type("are you there" + Keys.ENTER)
    await browser.shows("Not sent: Alice <&> is busy.", "#log li:last-child")
    house.guest.error, house.guest.message_id = None, "x1"
    await browser.click("#log li:last-child button")
    await browser.shows("✓ Sent", "#log li:last-child")
    assert (await browser.text("#log")).count("are you there") == 1


async def test_status_and_receipts_are_live(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    answer = StatusAnswer(sip="sip:a@cc.com", uid="a", status="offline", services=[], at=format_time(time.time()))
    publish(house, kind="status", status=answer)
    await browser.shows("offline", "#inviters")
    await browser.shows("Alice <&> is not online now.", "#peer")
    answer.cause = SipCause(code=480, reason="Gone <fishing>")
    publish(house, kind="status", status=answer)
    await browser.shows("A message may not get through. (SIP 480 Gone <fishing>)", "#peer")
    answer.status, answer.cause = "online", SipCause(code=200, reason="OK")
    publish(house, kind="status", status=answer)
    await browser.shows("online", "#inviters")
    assert "SIP" not in await browser.text("#peer")


async def test_marks_of_own_messages(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    await browser.type("abcdefg" + Keys.ENTER)
    await browser.shows("✓ Sent", "#log li:last-child")
    id = house.guest.sent[0][1]
    assert id is not None
    told: list[tuple[MessageState, str]] = [("delivered", "✓✓ Delivered"), ("displayed", "✓✓ Read")]
    for state, mark in (*told, (told[0][0], told[1][1])):
        publish(house, kind="receipt", receipt=Receipt(id=id, state=state, uid="a"))
        await browser.shows(mark, "#log li:last-child")


async def test_typing_shows_and_is_told(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    until = format_time(time.time() + 60)
    publish(house, kind="composing", composing=Composing(uid="a", state="active", until=until))
    await browser.shows("Alice <&> is typing…", "#peer")
    publish(house, kind="composing", composing=Composing(uid="a", state="idle"))
    async with asyncio.timeout(10):
        while "typing" in await browser.text("#peer"):
            await asyncio.sleep(0.02)
        await browser.type("abc")
        while ("sip:a@cc.com", "active") not in house.guest.asked:
            await asyncio.sleep(0.02)
        await browser.type(Keys.BACKSPACE * 3)
        while ("sip:a@cc.com", "idle") not in house.guest.asked:
            await asyncio.sleep(0.02)
    assert house.guest.asked.count(("sip:a@cc.com", "active")) == 1, "not at every key"


async def test_what_is_seen_is_told_once(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    publish(house, kind="message", message=said("see this", "m20"))
    await browser.shows("see this", "#log li:last-child")
    async with asyncio.timeout(10):
        while "m20" not in house.guest.asked:
            await asyncio.sleep(0.02)
    publish(house, kind="message", message=said("see this", "m20"))
    publish(house, kind="message", message=said("and this", "m21"))
    async with asyncio.timeout(10):
        while "m21" not in house.guest.asked:
            await asyncio.sleep(0.02)
    assert house.guest.asked.count("m20") == 1


async def test_a_broken_stream_is_resumed_behind_the_last_event(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    publish(house, kind="message", message=said("first", "m20"))
    await browser.shows("first", "#log")
    feed_of(house).end()
    while feed_of(house).listeners:
        await asyncio.sleep(0.01)
    publish(house, kind="message", message=said("while away", "m21"))
    await browser.shows("while away", "#log")
    assert (await browser.text("#log")).count("first") == 1


async def test_wrong_links_and_typing_by_hand(house: House, browser: Browser) -> None:
    await browser.open(f"{house.server.url}{PATH}#wrong")
    await browser.shows("This link does not open anything.")
    await browser.type(SECRET, "#secret")
    await browser.click("#signin button")
    await browser.shows("online", "#inviters")


@pytest.mark.parametrize("link", [f"{PATH}#%zz", f"{PATH}%zz#{SECRET}", f"{PATH}%00#{SECRET}", f"{PATH}#passwd=%"])
async def test_broken_links_have_words_too(house: House, browser: Browser, link: str) -> None:
    await browser.open(f"{house.server.url}{link}")
    await browser.shows("This link does not open anything.")


async def test_without_a_secret_it_asks_for_one(house: House, browser: Browser) -> None:
    await browser.open(f"{house.server.url}{PATH}")
    await browser.shows("Open the link of your invitation")
    assert house.guests.logins == []


async def test_after_the_end_it_says_why(house: House, browser: Browser) -> None:
    house.guests.ended = True
    await browser.open(f"{house.server.url}{PATH}#{SECRET}")
    await browser.shows("taken the invitation back")
    house.guests.ended = False
    await browser.open(f"{house.server.url}{PATH}#{SECRET}")
    await browser.shows("online", "#inviters")
    publish(house, kind="session", session=SessionChange(state="expired"))
    await browser.shows("has expired")


async def test_the_end_of_the_only_relation_is_the_end(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    publish(house, kind="session", session=SessionChange(state="ended", uid="a", reason="inviter-logout"))
    await browser.shows("has logged out")


async def test_logging_out_asks_first(house: House, browser: Browser) -> None:
    await signed_in(house, browser)
    await browser.click("#logout")
    await browser.shows("Your invitations end with it")
    await browser.click("#confirm button[value=stay]")
    assert house.guest.logged_out == 0
    await browser.click("#logout")
    await browser.click("#confirm button[value=leave]")
    await browser.shows("You are logged out")
    assert house.guest.logged_out == 1
    assert await browser.run("return sessionStorage.length") == 0


async def test_the_page_obeys_its_own_policy(house: House, browser: Browser) -> None:
    """The console would tell of every breach of the content security policy and every script error."""
    await asyncio.to_thread(browser.driver.get_log, "browser")  # what earlier tests left
    await signed_in(house, browser)
    await browser.type("policy" + Keys.ENTER)
    await browser.shows("✓ Sent", "#log li:last-child")
    log = await asyncio.to_thread(browser.driver.get_log, "browser")
    assert [json.dumps(entry) for entry in log if entry["level"] == "SEVERE"] == []


async def test_it_speaks_chinese(house: House, tmp_path: Path) -> None:
    driver = await asyncio.to_thread(start_browser, tmp_path / "profile", "zh-CN")
    try:
        browser = Browser(driver)
        await browser.open(f"{house.server.url}{PATH}#{SECRET}")
        await browser.shows("在线", "#inviters")
        assert await browser.run("return document.documentElement.lang") == "zh-Hans"
    finally:
        await asyncio.to_thread(driver.quit)
