"""A run as JSON, as JUnit XML, and as a page: complete, without secrets, and safe whatever a target has sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from gateway.lab.conformance.bench import Bench
from gateway.lab.conformance.page import as_page, readable
from gateway.lab.conformance.peer import Peer, Received
from gateway.lab.conformance.report import Report, as_json, as_junit
from gateway.lab.conformance.runner import Result
from gateway.lab.conformance.verdict import Verdict
from tests.gateway.browser import start_browser
from tests.gateway.test_page_accessibility import axe, check

from .helpers import element, made, running

__all__ = ["axe"]

EVIL = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>"


async def answer_evil(peer: Peer, received: Received) -> None:
    """An element that tries to get into the page: by its reason phrase, a header, and octets that are no text."""
    headers = [("Server", EVIL), ("WWW-Authenticate", 'Digest realm="r", nonce="n"')]
    await peer.respond(received, 200, headers, b"\x00\xff\x1b]0;evil\x07</pre>" + EVIL.encode(), content_type="a/b")


async def says_what_came(bench: Bench) -> None:
    peer = await bench.sip.peer()
    credentials = ("Authorization", 'Digest username="u", response="0123456789abcdef"')
    answer = await peer.exchange(peer.request("OPTIONS", headers=[credentials]))
    bench.remark(f"Server is {answer.response.headers.get('Server')}")
    bench.fail(f"this is wrong: {answer.response.headers.get('Server')}")


async def passes(bench: Bench) -> None:
    bench.check(True, "")


async def breaks(bench: Bench) -> None:
    raise RuntimeError("ours\x00")


@pytest.fixture
async def report() -> Report:
    async with element(answer_evil) as target, running(target) as runner:
        results = await runner.run(
            [
                made(says_what_came, id="T-1", suite="one"),
                made(passes, id="T-2", suite="one"),
                made(breaks, id="T-3", suite="two"),
                made(passes, id="T-4", suite="two", roles={"relay"}),
            ]
        )
    return Report(f"sip:target{EVIL}", results, started=1_790_000_000.0, seconds=1.5, settings={"t1": 0.05})


async def test_json_has_everything_but_secrets(report: Report) -> None:
    document = json.loads(as_json(report))
    assert document["counts"] == {"pass": 1, "fail": 1, "not-applicable": 1, "error": 1}
    assert document["started"] == "2026-09-21T14:13:20Z"
    first, second, third, fourth = document["cases"]
    assert (first["id"], first["verdict"], first["role"], first["transport"]) == ("T-1", "fail", "uas", "UDP")
    assert first["reason"].endswith(EVIL) and first["remarks"] == [f"Server is {EVIL}"]
    sent, came = first["messages"]
    assert sent["text"].startswith("OPTIONS ") and 'response="***"' in sent["text"]
    assert came["direction"] == "in" and "base64" in came
    assert "messages" not in second and "Traceback" in third["log"]
    assert fourth["reason"] == "the target is no relay"


async def test_junit_tells_failures_from_errors(report: Report) -> None:
    root = ElementTree.fromstring(as_junit(report))
    suites = {suite.get("name"): suite for suite in root}
    assert [suites["one"].get(name) for name in ("tests", "failures", "errors", "skipped")] == ["2", "1", "0", "0"]
    assert [suites["two"].get(name) for name in ("tests", "failures", "errors", "skipped")] == ["2", "0", "1", "1"]
    failed, passed = suites["one"]
    failure = failed.find("failure")
    assert failure is not None and (failure.get("message") or "").endswith(EVIL)
    assert "OPTIONS" in (failed.findtext("system-out") or "")
    assert list(passed) == []


def test_nothing_hides_in_octets() -> None:
    assert readable(b"a\r\nb\x00\x1b[31m\xff\t") == "a\nb\\x00\\x1b[31m\\xff\t"
    assert readable("\u202eabc".encode()) == "\\u202eabc"


async def test_a_page_is_one_file_that_loads_nothing(report: Report) -> None:
    page = as_page(report)
    assert "<script" not in page and "<img" not in page and "http://" not in page and "https://" not in page
    assert "0123456789abcdef" not in page
    assert "default-src 'none'" in page


def test_a_run_without_trouble_says_so() -> None:
    page = as_page(Report("gateway", [Result(made(passes), Verdict.PASS)]))
    assert "Nothing to look at" in page and "1 pass" in page


# in a real browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.mark.interop
async def test_the_page_works_by_keyboard_and_what_targets_sent_stays_text(
    report: Report, driver: webdriver.Chrome, axe: str, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(as_page(report), encoding="utf-8")

    def look() -> None:
        driver.get(file.as_uri())
        assert driver.title == f"Conformance of sip:target{EVIL}"
        assert driver.find_elements(By.CSS_SELECTOR, "img, script") == []
        assert EVIL in driver.find_element(By.TAG_NAME, "summary").text
        messages = driver.find_element(By.CSS_SELECTOR, "details details")
        assert messages.get_attribute("open") is None
        # the first case's summary, its ladder, the summary of its messages
        for _ in range(3):
            driver.switch_to.active_element.send_keys(Keys.TAB)
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        assert messages.get_attribute("open") is not None
        assert "OPTIONS sip:element@" in messages.text and "\\x00\\xff" in messages.text
        assert check(driver, axe) == []
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []  # type: ignore[no-untyped-call]  # selenium's own

    assert find_spec("selenium") is not None
    await asyncio.to_thread(look)
