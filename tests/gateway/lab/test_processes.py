"""Processes of the demonstration: they say when they are ready, fail loudly and leave nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.lab.processes import Child, Children, ProcessFailed

READY = "import json, time; print(json.dumps({'event': 'ready', 'sip': '127.0.0.1:5060'}), flush=True); "


def script(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def test_ready_and_later_events(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    code = READY + "print('no json'); print('[1]'); print(json.dumps({'event': 'message', 'text': 'x'}), flush=True)"
    child = Child("phone", script(code), tmp_path / "phone.log", events.append)
    await child.start()
    assert (await child.ready())["sip"] == "127.0.0.1:5060"
    assert await child.stop() in (0, -15)
    assert all(event["event"] == "message" for event in events)
    assert "ready" in child.log_end()


async def test_a_process_that_ends_early_shows_its_last_words(tmp_path: Path) -> None:
    async with Children(tmp_path) as children:
        child = await children.start("im server", script("import sys; sys.exit('the port is taken')"))
        with pytest.raises(ProcessFailed, match="the port is taken"):
            await child.ready()
        with pytest.raises(ProcessFailed, match="has ended"):
            await child.until(never)
    assert (tmp_path / "im-server.log").exists()


async def test_a_process_that_is_never_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.lab.processes.START_SECONDS", 0.3)
    async with Children(tmp_path) as children:
        child = await children.start("core", script("import time; time.sleep(60)"))
        with pytest.raises(ProcessFailed, match="not ready"):
            await child.ready()
        with pytest.raises(ProcessFailed, match="not ready"):
            await child.until(never)
        assert child.running and child.pid
    assert not child.running


async def test_a_process_that_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.lab.processes.STOP_SECONDS", 2.0)
    async with Children(tmp_path) as children:
        child = await children.start("phone", script("import sys; sys.exit(3)"))
        assert await child.wait() == 3
        monkeypatch.setattr("gateway.lab.processes.STOP_SECONDS", 0.1)
        child = await children.start("phone", script("import time; time.sleep(60)"))
        with pytest.raises(ProcessFailed, match="phone did not end"):
            await child.wait()


async def test_a_process_that_will_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.lab.processes.STOP_SECONDS", 0.3)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "time.sleep(60)"
    child = Child("core", script(code), tmp_path / "core.log")
    assert await child.stop() is None  # was never started
    await child.start()
    await child.ready()
    assert await child.stop() == -9
    assert await child.stop() == -9


async def never() -> bool:
    return False
