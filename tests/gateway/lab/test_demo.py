"""The demonstration as a newcomer runs it: every part a process of its own, real sockets, ends with ``demo: ok``."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.lab.expect import Expected, find_missing
from gateway.lab.guest import read_link
from gateway.lab.ladder import Arrow
from gateway.lab.wiretext import Part

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


async def test_the_interactive_demonstration_ends_by_ctrl_c(tmp_path: Path) -> None:
    command = [*DEMO, "--no-browser", "--folder", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    seen = ""
    async with asyncio.timeout(60):
        while "Ctrl-C" not in seen:
            line = await process.stdout.readline()
            assert line, seen
            seen += line.decode()
        process.send_signal(signal.SIGINT)
        rest = (await process.stdout.read()).decode()
        assert await process.wait() == 0, rest
    assert "open this link" in seen
    assert rest.endswith("demo: ok\n")


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
