"""A real browser for tests of the guest's page: Debian's Chromium, driven by selenium."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

PATIENCE = 10.0
"""Seconds for the page to become what a test expects; a slow machine shares two cores with a browser."""

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=900,700",
)


TEXT = """
const node = document.querySelector(arguments[0]);
return node && node.checkVisibility() ? node.innerText.trim() : "";
"""


class Browser:
    """A browser whose calls do not stop the loop that serves the page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    async def open(self, url: str) -> None:
        await asyncio.to_thread(self.driver.get, "about:blank")
        await asyncio.to_thread(self.driver.get, url)

    async def text(self, selector: str = "body") -> str:
        """Return what a reader sees of an element, "" when it is not there."""
        try:
            # in one call: the page may draw the element anew at any time
            text: str = await asyncio.to_thread(self.driver.execute_script, TEXT, selector)
        except WebDriverException:  # it is between two pages
            return ""
        return text

    async def shows(self, words: str, selector: str = "body") -> None:
        """Wait until an element shows ``words``."""
        await self.until(lambda text: words in text, selector, words)

    async def until(self, wanted: Callable[[str], bool], selector: str = "body", what: str = "") -> None:
        end = time.monotonic() + PATIENCE
        text = await self.text(selector)
        while not wanted(text):
            assert time.monotonic() < end, f"{what!r} is not in {text!r}"
            await asyncio.sleep(0.05)
            text = await self.text(selector)

    async def run(self, script: str) -> Any:
        return await asyncio.to_thread(self.driver.execute_script, script)

    async def type(self, text: str, selector: str = "#text") -> None:
        element = await asyncio.to_thread(self.driver.find_element, By.CSS_SELECTOR, selector)
        await asyncio.to_thread(element.send_keys, text)

    async def click(self, selector: str) -> None:
        element = await asyncio.to_thread(self.driver.find_element, By.CSS_SELECTOR, selector)
        await asyncio.to_thread(element.click)


def start_browser(profile: Path, language: str = "en-US") -> webdriver.Chrome:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in (*SWITCHES, f"--user-data-dir={profile}", f"--lang={language}", f"--accept-lang={language}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(chromedriver))
