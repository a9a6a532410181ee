"""axe finds nothing to complain of in any state of the guest's page, in each size and colour scheme (WCAG 2.2 AA).

The pictures that the run takes are left in ``build/screenshots``.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytest
from selenium import webdriver

from gateway.services import Ended, NotAuthenticated, UpstreamRefused
from tests.gateway.browser import Browser, start_browser
from tests.gateway.http.fakes import House, running
from tests.gateway.test_page import PATH, publish, said
from translators.model import Composing, FileState, FileView, InviterView, SipCause

pytestmark = pytest.mark.interop

PICTURES = Path(__file__).parents[2] / "build" / "screenshots"

SIZES = {"phone": (360, 640, True), "desk": (1280, 800, False)}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

AT = "2026-03-01T09:30:00.000Z"


@pytest.fixture(scope="module")
def axe() -> str:
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python is not installed")
    return next(Path(found.origin).parent.rglob("axe.min.js")).read_text()


@pytest.fixture(scope="module", params=["en-US", pytest.param("zh-CN", marks=pytest.mark.full)])
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    driver = start_browser(tmp_path_factory.mktemp("profile"), request.param)
    driver.execute_cdp_cmd("Emulation.setLocaleOverride", {"locale": request.param})
    yield driver
    driver.quit()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with running() as house:
        yield house


def file(state: FileState, direction: Literal["in", "out"], id: str, **fields: Any) -> FileView:
    known: dict[str, Any] = {"size": 183_724, "octets": 65_536, "content_type": "image/png", **fields}
    known |= {"from_": "sip:a@cc.com", "to": "sip:b@cc.com", "at": AT, "until": AT, "uid": "a"}
    return FileView(id=id, name="a beach.png", state=state, direction=direction, **known)


async def signing_in(house: House, browser: Browser) -> None:
    await browser.open(f"{house.server.url}{PATH}")
    await browser.until(bool, "#signin-reason")


async def wrong_link(house: House, browser: Browser) -> None:
    house.guests.error = NotAuthenticated()
    await browser.open(f"{house.server.url}{PATH}#wrong")
    await browser.until(bool, "#signin-reason")


async def over(house: House, browser: Browser) -> None:
    house.guests.error = Ended("expired")
    await browser.open(f"{house.server.url}{PATH}#x")
    await browser.until(bool, "#over-title")


async def talk(house: House, browser: Browser) -> None:
    await arrived(house, browser)
    for number, state in enumerate(("sent", "delivered", "displayed", "failed", "unknown")):
        publish(house, kind="message", message=said(f"mine {state}", f"o{number}", direction="out", state=state))
    publish(house, kind="message", message=said("https://example.com/x שלום 你好 " + "w" * 300, "m7"))
    publish(house, kind="composing", composing=Composing(uid="a", state="active", until=AT))
    house.guest.error = UpstreamRefused(
        409, "peer-busy", "Busy", "", retryable=True, sip=SipCause(code=486, reason="Busy Here"), message_id="x1"
    )
    await browser.type("are you there\n")
    await browser.until(lambda text: "are you there" in text, "#log")


async def files(house: House, browser: Browser) -> None:
    await arrived(house, browser)
    states: list[tuple[FileState, Literal["in", "out"]]] = [
        ("uploading", "out"),
        ("sent", "out"),
        ("failed", "out"),
        ("offered", "in"),
        ("receiving", "in"),
        ("ready", "in"),
        ("expired", "in"),
    ]
    for number, (state, direction) in enumerate(states):
        publish(house, kind="file", file=file(state, direction, f"f{number}"))
    await browser.until(lambda text: text.count("a beach.png") == len(states), "#log")


async def options(house: House, browser: Browser) -> None:
    await arrived(house, browser)
    await browser.click("#options summary")


async def leaving(house: House, browser: Browser) -> None:
    await arrived(house, browser)
    await browser.click("#logout")


async def arrived(house: House, browser: Browser) -> None:
    await browser.open(f"{house.server.url}{PATH}#0123456789abcdef0123456789abcdef")
    await browser.until(bool, "#log")


async def several(house: House, browser: Browser) -> None:
    """Two inviters, one of whom has written; and somebody reads further up."""
    carol = InviterView(uid="c", sip="sip:c@cc.com", types=["im", "file"], until=AT, name="Carol")
    house.guests.inviters.append(carol)
    await arrived(house, browser)
    for number in range(30):
        publish(house, kind="message", message=said(f"line {number}", f"l{number}"))
    await browser.until(lambda text: "line 29" in text, "#log")
    from_carol = said("hello", "c1", from_="sip:c@cc.com", uid="c")
    publish(house, kind="message", message=from_carol)
    await browser.until(bool, "#inviters .unread")
    await browser.run("document.getElementById('scroll').scrollTop = 500")
    await browser.until(bool, "#newest")


async def offline(house: House, browser: Browser) -> None:
    await arrived(house, browser)
    await asyncio.to_thread(browser.driver.set_network_conditions, offline=True, latency=0, throughput=-1)
    await browser.type("waits\n")
    await browser.until(lambda text: "waits" in text, "#log")
    await browser.until(bool, "#banner")


STATES: dict[str, Callable[[House, Browser], Awaitable[None]]] = {
    "signing-in": signing_in,
    "wrong-link": wrong_link,
    "over": over,
    "talk": talk,
    "files": files,
    "options": options,
    "several": several,
    "offline": offline,
    "leaving": leaving,
}


@pytest.mark.parametrize("state", STATES)
async def test_no_violation(house: House, driver: webdriver.Chrome, axe: str, state: str) -> None:
    browser = Browser(driver)
    await asyncio.to_thread(driver.set_network_conditions, offline=False, latency=0, throughput=-1)
    await STATES[state](house, browser)
    language = await browser.run("return document.documentElement.lang")
    for size, (width, height, mobile) in SIZES.items():
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        await asyncio.to_thread(driver.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", metrics)
        for scheme in ("light", "dark"):
            media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            await asyncio.to_thread(driver.execute_cdp_cmd, "Emulation.setEmulatedMedia", media)
            await keep_picture(driver, f"{state}-{size}-{scheme}-{language}")
            violations = await asyncio.to_thread(check, driver, axe)
            assert not violations, f"{size}, {scheme}: " + "; ".join(violations)
            wide = await browser.run("return document.documentElement.scrollWidth - window.innerWidth")
            assert wide <= 0, f"the page is {wide} pixels wider than a {size}"
            high = await browser.run("return document.documentElement.scrollHeight - window.innerHeight")
            assert high <= 0 or not await browser.text("#chat"), f"the page is {high} pixels higher than a {size}"
    narrow = {"width": 320, "height": 512, "deviceScaleFactor": 1, "mobile": True}  # WCAG 1.4.10
    await asyncio.to_thread(driver.execute_cdp_cmd, "Emulation.setDeviceMetricsOverride", narrow)
    wide = await browser.run("return document.documentElement.scrollWidth - 320")
    assert wide <= 0, f"the page is {wide} pixels wider than 320"


async def keep_picture(driver: webdriver.Chrome, name: str) -> None:
    picture = await asyncio.to_thread(driver.execute_cdp_cmd, "Page.captureScreenshot", {"format": "png"})
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))


def check(driver: webdriver.Chrome, axe: str) -> list[str]:
    """Return what axe complains of, in words."""
    driver.execute_script(axe)
    result = driver.execute_async_script(
        "const [rules, done] = arguments;"
        "axe.run(document, {runOnly: rules}).then((found) => done(found.violations), (error) => done([String(error)]))",
        RULES,
    )
    return [
        f"{found['id']}: {found['help']}: {[node['target'] for node in found['nodes']]}"
        if isinstance(found, dict)
        else found
        for found in result
    ]
