"""The demonstration as a newcomer runs it: every part a process of its own, real sockets, ends with ``demo: ok``."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.lab.expect import Expected, find_missing
from gateway.lab.guest import read_link
from gateway.lab.ladder import Arrow
from gateway.lab.wiretext import Part
from tests.gateway.browser import Browser, start_browser

DEMO = (sys.executable, "-m", "gateway.lab.demo")


def play(folder: Path, *options: str) -> str:
    command = [*DEMO, "--check", "--folder", str(folder), "--width", "140", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.endswith("demo: ok\n")
    return done.stdout


def secrets_of(folder: Path, output: str) -> list[str]:
    """The login secret of the run, and the passwords of its subscribers."""
    link = next(word for word in output.split() if "#passwd=" in word)
    return [read_link(link)[2], "a-secret", "rcsgw-secret"]


def test_the_check_passes_on_the_embedded_core(tmp_path: Path) -> None:
    output = play(tmp_path)
    ladder = output.partition("what crossed the wire")[2]
    assert all(len(line) <= 140 for line in ladder.splitlines())
    # Nothing that would let a reader log in stands in the drawing or in a trace file.
    traces = "".join(file.read_text() for file in tmp_path.glob("*.trace.jsonl"))
    assert [secret for secret in secrets_of(tmp_path, output) if secret in ladder or secret in traces] == []


@pytest.mark.interop
def test_the_check_passes_on_kamailio(tmp_path: Path, needs_kamailio: None) -> None:
    play(tmp_path, "--core", "kamailio")


@asynccontextmanager
async def interactive(folder: Path) -> AsyncIterator[str]:
    """The demonstration for people, as far as the link; ended by Ctrl-C."""
    command = [*DEMO, "--no-browser", "--folder", str(folder)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    seen = ""
    try:
        async with asyncio.timeout(60):
            while "Ctrl-C" not in seen:
                line = await process.stdout.readline()
                assert line, seen
                seen += line.decode()
        yield next(word for word in seen.partition("open this link")[2].split() if "#passwd=" in word)
    finally:
        process.send_signal(signal.SIGINT)
        rest = (await process.stdout.read()).decode()
        await process.wait()
    assert (process.returncode, rest[-9:]) == (0, "demo: ok\n"), rest


@pytest.mark.full  # in each run the newcomer below ends it so
async def test_the_interactive_demonstration_ends_by_ctrl_c(tmp_path: Path) -> None:
    async with interactive(tmp_path) as link:
        assert link.startswith("http://127.0.0.1:")


@pytest.mark.interop
async def test_a_newcomer_chats_in_the_browser(tmp_path: Path) -> None:
    """From the link to A's phone and back, then out."""
    driver = await asyncio.to_thread(start_browser, tmp_path / "profile")
    try:
        async with interactive(tmp_path / "demo") as link:
            browser = Browser(driver)
            await browser.open(link)
            await browser.shows("online", "#inviters")
            await browser.type("abcdefg\n")
            await browser.shows("✓✓ Read", "#log li.out")
            await browser.shows("You said: abcdefg", "#log li.in")
            await browser.click("#logout")
            await browser.click("#confirm button[value=leave]")
            await browser.shows("You are logged out")
            await browser.open(link)
            await browser.shows("This link has been used up")
    finally:
        await asyncio.to_thread(driver.quit)


def test_what_is_missing_is_named() -> None:
    def arrow(label: str) -> Arrow:
        return Arrow(0.0, "a", "b", "SIP", "UDP", Part(label, b"", 0))

    flow = tuple(Expected("a", "b", label) for label in ("INVITE", "ACK", "BYE"))
    assert find_missing([arrow("INVITE x"), arrow("ACK x"), arrow("BYE x")], flow) == []
    assert find_missing([arrow("INVITE x"), arrow("BYE x"), arrow("ACK x")], flow) == ["a → b: BYE"]
    assert find_missing([arrow("INVITE x"), arrow("BYE x")], flow) == ["a → b: ACK"]


@pytest.mark.parametrize("tail", ["?passwd=x1", "#passwd=x1", "#x1"])
def test_links_are_read(tail: str) -> None:
    base = "https://gw.example/prefix"
    assert read_link(f"{base}/rcsgw/invitee/session/sip:b%40cc.com{tail}") == (base, "sip:b@cc.com", "x1")


@pytest.mark.parametrize("link", ["https://gw.example/", "https://gw.example/rcsgw/invitee/session/sip:b@cc.com"])
def test_other_links_are_refused(link: str) -> None:
    with pytest.raises(ValueError, match="no invite link"):
        read_link(link)
