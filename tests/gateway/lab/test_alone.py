"""Each part of the lab as a process of its own, as the demonstration starts them."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from gateway.lab.core import main as core_main
from gateway.lab.phonecli import main as phone_main
from sipstack.net.tracefile import read_trace
from sipstack.trace import WireRecord


@asynccontextmanager
async def run(module: str, *options: str) -> AsyncIterator[dict[str, Any]]:
    """Run ``python -m module`` and yield its first line; it ends by SIGTERM with code 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *options, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield json.loads(line)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0


async def test_phones_chat_through_core_and_im_server(tmp_path: Path) -> None:
    free = ("--port", "0", "--http-port", "0")
    trace = tmp_path / "core.jsonl"
    async with run("gateway.lab.imserver", *free, "--open") as im_server:
        options = ("--im-server", im_server["sip"], "--subscriber", "a:x", "--subscriber", "b:y=sip:bob@cc.com")
        async with run("gateway.lab.core", *free, *options, "--trace", str(trace)) as core:
            assert core["actor"] == "core"
            proxy = f"sip:{core['sip']};transport=tcp;lr"
            control = ("--proxy", proxy, "--control", "127.0.0.1:0", "--quiet")
            async with (
                run("gateway.lab.phone", "--password", "x", *control),
                run(
                    "gateway.lab.phone", "--aor", "sip:bob@cc.com", "--username", "b", "--password", "y", *control
                ) as b,
                aiohttp.ClientSession(f"http://{b['http']}") as http,
            ):
                sent = await http.post("/messages", json={"to": "sip:a@cc.com", "message": "hello"})
                assert (await sent.json())["state"] == "sent"
                async with asyncio.timeout(10):
                    after = 0
                    while True:
                        answer = await (await http.get(f"/events?after={after}&wait=5")).json()
                        if "You said: hello" in [event.get("text") for event in answer["events"]]:
                            break
                        after = answer["events"][-1]["serial"]
    records = [record for record in read_trace(trace) if isinstance(record, WireRecord)]
    assert {record.actor for record in records} == {"core"}
    assert any(record.data.startswith(b"INVITE sip:a@cc.com") for record in records)


async def test_lab_and_mailbox() -> None:
    parts = ("sip", "im", "file", "content", "smtp", "mailbox", "core")
    ports = [option for part in parts for option in (f"--{part}-port", "0")]
    async with run("gateway.lab.lab", *ports, "--user", "a:x") as lab:
        assert {"sip", "core", "smtp", "mailbox", "im", "im_sip", "phone"} <= set(lab)
        async with aiohttp.ClientSession() as http:
            assert (await (await http.get(f"http://{lab['core']}/health")).json())["online"] == 1
    async with run("gateway.lab.mailbox", "--port", "0", "--http-port", "0") as mailbox:
        async with aiohttp.ClientSession() as http:
            assert (await (await http.get(f"http://{mailbox['http']}/mails")).json()) == {"mails": []}


@pytest.mark.parametrize(
    ("options", "text"),
    [(["--im-server", "nowhere"], "HOST:PORT"), (["--subscriber", "a"], "USER:PASSWORD")],
)
def test_core_names_what_is_wrong_with_its_options(options: list[str], text: str) -> None:
    result = CliRunner().invoke(core_main, ["--port", "0", *options])
    assert result.exit_code == 2
    assert text in result.output


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--on-invite", "200"], "on_invite"),
        (["--proxy", "sip:127.0.0.1:1;transport=tcp;lr", "--control", "127.0.0.1:0"], "cannot register"),
        (["--gateway", "nowhere"], "nowhere is not an http or https URL"),
        (["--trace", "/no/such/folder/trace"], "the trace cannot be written"),
    ],
)
def test_phone_names_what_is_wrong(options: list[str], text: str) -> None:
    result = CliRunner().invoke(phone_main, options)
    assert result.exit_code != 0
    assert text in result.output


def test_phone_plays_nothing_of_a_script_that_makes_no_sense(tmp_path: Path) -> None:
    script = tmp_path / "test.phone"
    script.write_text("print begun\nsing\n")
    result = CliRunner().invoke(phone_main, ["--script", str(script)])
    assert result.exit_code == 2
    assert "test.phone:2: there is no step 'sing'" in result.output
