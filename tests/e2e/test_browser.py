"""The guest's page in a real browser against the whole network, from the link in the mail to the log-out (item 1)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import pytest_asyncio
from selenium import webdriver

from gateway.lab.kamailio import is_available
from tests.e2e.files import octets
from tests.e2e.pagelab import PNG, Page, PageLab, page_lab
from tests.e2e.world import NAMES, Guest, eventually, subscribers

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]


EVIL = '<img src=x onerror="window.pwned=1"><script>window.pwned=2</script><b>bold</b>" onclick="window.pwned=3"'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(driver: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageLab]:
    users = subscribers().replace(f'"{NAMES["c"]}"', json.dumps(EVIL))
    async with page_lab(tmp_path_factory.mktemp("lab"), driver, users=users) as lab:
        yield lab


WORDS = {
    "en-US": ("online", "has invited you to chat and to share files, until", "Read", "is typing", "You are logged out"),
    "zh-CN": ("在线", "邀请您聊天和互传文件，有效期至", "已读", "正在输入", "您已退出"),
}

EACH_TIME = {("phone", "dark", "zh-CN"), ("desk", "light", "en-US")}
"""Every size, scheme and language once; all combinations of them in the long run."""

COMBINATIONS = [
    pytest.param(*one, marks=() if one in EACH_TIME else pytest.mark.full)
    for one in product(("phone", "desk"), ("light", "dark"), WORDS)
]


@pytest.mark.parametrize(("size", "scheme", "language"), COMBINATIONS)
async def test_item_1_from_the_mail_to_the_log_out(
    lab: PageLab, tmp_path: Path, size: str, scheme: str, language: str
) -> None:
    await whole_flow(lab, tmp_path, size, scheme, language)


@pytest.mark.full
async def test_item_1_over_kamailio(driver: webdriver.Chrome, tmp_path: Path) -> None:
    if not is_available():
        pytest.skip("kamailio and kamailio-sqlite-modules are not installed")
    async with page_lab(tmp_path, driver, "kamailio") as lab:
        await whole_flow(lab, tmp_path, "phone", "light", "zh-CN")


async def whole_flow(lab: PageLab, tmp_path: Path, size: str, scheme: str, language: str) -> None:
    """Come by a mail's link, talk, exchange files, log out; keep a picture of each step."""
    online, invited, read, typing, left = WORDS[language]
    guest = await lab.invite(types=["im", "file"], note="see you", language=language[:2])
    page = Page(lab, guest.account)
    await page.settle(size, scheme, language)
    await page.errors()  # those of others

    async def keep(what: str) -> None:
        await page.picture(f"flow-{what}-{size}-{scheme}-{language[:2]}")
        assert await page.run("return document.documentElement.scrollWidth <= innerWidth"), f"{what} is too wide"

    await page.open(guest.link)
    await page.shows(online, "#inviters")
    await page.shows(invited, "#invited")
    assert guest.secret not in await page.run("return location.href + JSON.stringify(history.state)")
    assert (await page.run("return document.documentElement.lang")) == {"en-US": "en", "zh-CN": "zh-Hans"}[language]
    await keep("empty")
    # text both ways, typing both ways
    await page.say("Hello 👋 你好")
    await page.shows(read, "#log li:last-child")
    await page.type("I am typ")
    await eventually(lambda: [e for e in lab.phone.events if e.kind == "composing" and e.peer == guest.account])
    await page.type("ing\n")
    await lab.say(guest, "look: https://example.com/a?b=1.")
    await lab.say(guest, "שלום! אבג 123")
    await lab.say(guest, "w" * 200)
    await lab.phone.type(guest.account)
    await page.shows(typing, "#peer")
    links = await page.run("return [...document.querySelectorAll('#log a')].map((a) => [a.href, a.target, a.rel])")
    assert links == [["https://example.com/a?b=1", "_blank", "noopener noreferrer nofollow"]]
    directions = await page.run(
        "return [...document.querySelectorAll('#log p.text')].map((p) => getComputedStyle(p).direction)"
    )
    assert directions == ["ltr", "ltr", "ltr", "rtl", "ltr"]
    await keep("talk")
    # files both ways
    (tmp_path / "note.txt").write_text("from the page")
    await page.run("document.getElementById('pick').hidden = false")
    await page.type(str(tmp_path / "note.txt"), "#pick")
    await page.run("document.getElementById('pick').hidden = true")
    await eventually(
        lambda: "note.txt" in {file.name for file in lab.phone.files.all.values() if file.peer == guest.account}
    )
    await lab.phone.files.send(guest.account, PNG, name="beach.png", content_type="image/png")
    await page.shows("beach.png", "#log li:last-child .filename")
    await page.until(bool, "#log li:last-child [data-does=save]", "a button to save")
    await page.click("#log li:last-child [data-does=save]")
    await page.eventually(lambda: page.run("return Boolean(document.querySelector('#log img')?.naturalWidth)"), bool)
    await keep("files")
    await page.click("#options summary")
    await keep("options")
    await page.click("#logout")
    await keep("leaving")
    await page.click("#confirm button.danger")
    await page.shows(left)
    await keep("left")
    assert (await guest.login()).status == 410
    assert await page.errors() == []


# files


async def drop(page: Page, kind: str, name: str, content: str, type: str = "text/plain") -> None:
    """Let a file fall on the conversation, or paste one."""
    await page.run(
        f"""
        const data = new DataTransfer();
        data.items.add(new File([{content}], {name!r}, {{type: {type!r}}}));
        const options = {{bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data}};
        if ({kind!r} === 'paste') text.dispatchEvent(new ClipboardEvent('paste', options));
        else for (const one of ['dragover', 'drop']) scroll.dispatchEvent(new DragEvent(one, options));
        """.replace("scroll.", "document.getElementById('scroll').")
    )


def received(lab: PageLab, account: str) -> dict[str, bytes]:
    """Return what a guest's files have become on A's phone."""
    files = lab.phone.files.all.values()
    return {file.name: file.path.read_bytes() for file in files if file.peer == account and file.state == "done"}


async def test_files_by_drop_and_paste_with_preview(lab: PageLab) -> None:
    guest = await lab.invite(types=["im", "file"])
    page = await lab.tab(guest)
    await drop(page, "drop", "dropped.txt", "'dropped'")
    picture = f"new Uint8Array([{','.join(map(str, PNG))}])"
    await drop(page, "paste", "pasted.png", picture, "image/png")
    await eventually(lambda: received(lab, guest.account) == {"dropped.txt": b"dropped", "pasted.png": PNG})
    assert await page.eventually(lambda: page.run("return document.querySelector('#log img')?.naturalWidth ?? 0"), bool)
    await page.until(lambda text: text.count("Opened") + text.count("Sent") + text.count("Delivered") == 2, "#log")


async def test_a_file_goes_on_where_the_connection_broke_and_can_be_cancelled(lab: PageLab, tmp_path: Path) -> None:
    guest = await lab.invite(types=["im", "file"])
    page = await lab.tab(guest)
    content = octets(3_500_000)
    (tmp_path / "large.bin").write_bytes(content)
    (tmp_path / "unwanted.bin").write_bytes(content)
    slow = 2_000_000
    await asyncio.to_thread(page.driver.set_network_conditions, offline=False, latency=0, throughput=slow)
    await page.run("document.getElementById('pick').hidden = false")
    await page.type(str(tmp_path / "large.bin"), "#pick")
    progress = "return document.querySelector('#log progress')?.value ?? 0"
    await page.eventually(lambda: page.run(progress), lambda value: value > 1_000_000)
    lab.wire.cut()
    await page.picture("e2e-upload")
    await asyncio.to_thread(page.driver.set_network_conditions, offline=False, latency=0, throughput=-1)
    await eventually(lambda: received(lab, guest.account) == {"large.bin": content})
    await asyncio.to_thread(page.driver.set_network_conditions, offline=False, latency=0, throughput=slow)
    await page.type(str(tmp_path / "unwanted.bin"), "#pick")
    await page.eventually(lambda: page.run(progress), lambda value: value > 0)
    await page.click("#log li:last-child [data-does=cancel]")
    await page.shows("Cancelled", "#log li:last-child")
    await page.offline(False)
    # and one that a reload interrupts goes on when it is chosen again
    await asyncio.to_thread(page.driver.set_network_conditions, offline=False, latency=0, throughput=slow)
    (tmp_path / "half.bin").write_bytes(content)
    await page.type(str(tmp_path / "half.bin"), "#pick")
    await page.eventually(lambda: page.run(progress), lambda value: value > 1_000_000)
    await page.offline(False)
    await asyncio.to_thread(page.driver.refresh)
    await page.shows("Stopped half-way: choose it again to go on", "#log li:last-child")
    await page.run("document.getElementById('pick').hidden = false")
    await page.type(str(tmp_path / "half.bin"), "#pick")
    await eventually(lambda: received(lab, guest.account).get("half.bin") == content)
    assert "unwanted.bin" not in received(lab, guest.account)
    assert len(await page.run("return [...document.querySelectorAll('#log li.file')]")) == 3


async def test_a_file_that_comes_is_saved_though_the_connection_breaks(lab: PageLab, tmp_path: Path) -> None:
    guest = await lab.invite(types=["im", "file"])
    page = await lab.tab(guest)
    content = octets(3_000_000, seed=7)
    await page.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    await lab.phone.files.send(guest.account, content, name="report.bin", content_type="application/x-thing")
    await page.shows("Ready to save", "#log li:last-child")
    await asyncio.to_thread(page.driver.set_network_conditions, offline=False, latency=0, throughput=1_500_000)
    await page.click("#log li:last-child [data-does=save]")
    progress = "return document.querySelector('#log progress')?.value ?? 0"
    await page.eventually(lambda: page.run(progress), lambda value: value > 200_000)
    lab.wire.cut()
    await page.offline(False)
    await eventually(lambda: (tmp_path / "report.bin").exists() and (tmp_path / "report.bin").read_bytes() == content)
    await page.shows("Saved", "#log li:last-child")


# what others write


STRANGE = """
const made = 'img:not(#brand-logo):not([src^=blob]), b, i, iframe, object, embed, body script, [onclick], [onerror]';
return [window.pwned ?? 0, document.querySelectorAll(made).length];
"""


async def test_nothing_of_what_others_write_is_ever_markup(lab: PageLab) -> None:
    """Message, name, file name, note and typing, as a network brings them; more is in tests/gateway/test_page.py."""
    guest = await lab.invite("c", types=["im", "file"], note=EVIL)
    mail = lab.world.mailbox.mails[-1]
    assert "<script>window" not in mail.part("html")
    page = await lab.tab(guest)
    phone = lab.world.phones["c"]
    await page.shows(EVIL, "#inviters")  # the inviter's name
    await page.errors()
    for text in (
        EVIL,
        "javascript:alert(1) data:text/html,<script>",
        'https://x.example/"><img src=x onerror=alert(1)>',
    ):
        await phone.say(guest.account, text)
        await page.shows(text, "#log li:last-child")
    await page.say(EVIL)
    await page.shows("Read", "#log li:last-child")
    await phone.files.send(
        guest.account, b"<script>1</script>", name='<img src=x onerror="1">\u202egnp.html', content_type="text/html"
    )
    await page.shows("onerror", "#log li.file")
    assert "\u202e" not in await page.run("return document.body.textContent")
    await phone.type(guest.account)
    await page.shows("is typing", "#peer")
    hrefs = await page.run("return [...document.querySelectorAll('#log a')].map((a) => a.protocol)")
    assert hrefs == ["https:"]
    assert await page.run(STRANGE) == [0, 0]
    assert await page.run("return document.title") == EVIL
    assert await page.errors() == [], "not even tried"


# what the operator wants


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict(driver: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageLab]:
    """A network whose operator wants passwords typed, links for one client, and A to be there."""
    settings = {
        "policy": 'types = ["im", "file"]\nrequire_online = "client"\nsingle_use = true',
        "client": 'features = ["status"]\nlink = "account"',
        "sip": 'bind = "127.0.0.1:0"\ntrusted = ["127.0.0.0/8"]\nprobe_interval = 0.5',
    }
    async with page_lab(tmp_path_factory.mktemp("strict"), driver, **settings) as lab:
        yield lab


def password_in(lab: PageLab) -> str:
    """Return the password that stands in the newest mail."""
    found = re.search(r"asks for this password: (\w+)", lab.world.mailbox.mails[-1].part("plain"))
    assert found is not None
    return found[1]


async def by_hand(lab: PageLab, guest: Guest) -> Page:
    """Open a link and type the password of the mail."""
    page = Page(lab, guest.account)
    await page.settle()
    await page.open(guest.link)
    await page.shows("type what stands in it")
    await page.type("wrong\n", "#secret")
    await page.shows("does not open anything")
    await page.type(f"{password_in(lab)}\n", "#secret")
    await page.shows("Alice", "#inviters")
    return page


async def test_the_password_is_typed_where_the_link_does_not_carry_it_and_good_for_one_client(strict: PageLab) -> None:
    guest = await strict.invite()
    assert guest.secret == "" and guest.link.endswith(guest.account)
    page = await by_hand(strict, guest)
    # functions that the operator does not offer are not there
    hidden = "return ['attach', 'standalone'].map((id) => document.getElementById(id).hidden)"
    assert await page.run(hidden) == [True, True]
    # this browser comes back, another one is told
    await asyncio.to_thread(page.driver.refresh)
    await page.shows("online", "#inviters")
    await page.settle()
    await page.open(guest.link)
    await page.type(f"{password_in(strict)}\n", "#secret")
    await page.shows("This link was opened elsewhere")


async def test_the_input_waits_until_the_inviter_is_online(strict: PageLab) -> None:
    await strict.phone.go_offline()
    page = await by_hand(strict, await strict.invite())
    await page.shows("Alice is not online now. You can write as soon as they are.", "#peer")
    closed = "return [text.disabled, document.querySelector('#composer .primary').disabled]"
    assert await page.run(closed) == [True, True]
    await page.picture("e2e-waits-for-online")
    await strict.phone.go_online()
    await page.shows("online", "#inviters .status")
    await page.eventually(lambda: page.run(closed), lambda now: now == [False, False])
    await page.say("now")
    await page.shows("Read", "#log")
    await strict.phone.go_offline()
    await page.shows("You can write as soon as they are.", "#peer")


async def test_the_language_can_be_changed_and_the_sound_turned_off(lab: PageLab) -> None:
    page = await lab.tab(await lab.invite())
    await page.type("half a sen")
    await page.click("#options summary")
    await page.shows("What the marks mean", "#options")
    await page.click("#sound")
    await page.run("language.value = 'zh'; language.dispatchEvent(new Event('change'))")
    await page.shows("在线", "#inviters")
    chosen = "return [document.documentElement.lang, sound.checked, text.value]"
    assert await page.run(chosen) == ["zh-Hans", False, "half a sen"]


# a long conversation

MANY = 5_000
SOME = 20

WORK = "return [document.querySelectorAll('*').length, document.querySelectorAll('#log li').length]"


async def test_a_page_with_5000_messages_is_as_quick_as_one_with_ten(lab: PageLab) -> None:
    """What comes costs the page the same, whatever it holds; it has all of them, and few of them on the screen."""
    guest = await lab.invite()
    page = await lab.tab(guest)
    chat = await lab.phone.call(guest.account)
    for number in range(10):
        await chat.deliver(f"line {number}")
    await page.shows("line 9", "#log li:last-child")
    small = await burst(page, lab, guest.account, "small")
    nodes, _ = await page.run(WORK)
    sending = [chat.send(f"line {number}") for number in range(10, MANY)]
    assert len(sending) == MANY - 10
    await page.eventually(page.lines, lambda lines: bool(lines) and lines[-1] == f"line {MANY - 1}", patience=60)
    large = await burst(page, lab, guest.account, "large")
    assert large < 3 * small + 0.3, f"{SOME} messages take {large:.2f} s of the page's work, {small:.2f} s with ten"
    assert (await page.run(WORK))[1] <= 210
    # a reload fetches the newest page only; the earlier ones come as somebody scrolls up, and those that are far away
    # leave the screen
    await asyncio.to_thread(page.driver.refresh)
    await page.shows(f"large {SOME - 1}", "#log li:last-child")
    assert (await page.run(WORK))[0] < 10 * nodes
    seen = set(await page.lines())
    for _ in range(12):
        top = (await page.lines())[0]
        await page.run("document.getElementById('scroll').scrollTop = 0")
        shown = await page.eventually(page.lines, partial(_begins_otherwise, top))
        assert len(shown) <= 200
        numbers = [int(text.split()[1]) for text in shown if text.startswith("line")]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "each once, in order, none missing"
        seen |= set(shown)
    assert len(seen) > 500
    await lab.say(guest, "far below")
    await page.shows("1 new", "#newest")
    await page.click("#newest")
    await page.shows("far below", "#log li:last-child")
    assert len(await page.lines()) <= 100


def _begins_otherwise(top: str, lines: list[str]) -> bool:
    return lines[0] != top


async def burst(page: Page, lab: PageLab, account: str, name: str) -> float:
    """Let some messages come one after the other; return the seconds that the page worked for it."""
    await page.cdp("Performance.enable")
    before = await worked(page)
    for number in range(SOME):
        await lab.phone.say(account, f"{name} {number}")
    await page.shows(f"{name} {SOME - 1}", "#log li:last-child")
    return await worked(page) - before


async def worked(page: Page) -> float:
    """Return the seconds that scripts, style and layout have taken so far."""
    metrics = {one["name"]: one["value"] for one in (await page.cdp("Performance.getMetrics"))["metrics"]}
    return float(metrics["ScriptDuration"] + metrics["LayoutDuration"] + metrics["RecalcStyleDuration"])
