"""Files of a phone that is driven by HTTP, or by commands in a terminal."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest_asyncio
from rich.console import Console

from gateway.lab.admin import AdminServer
from gateway.lab.lab import Lab
from gateway.lab.phone import Phone
from gateway.lab.phonecontrol import build_app
from gateway.lab.terminal import Terminal
from sipstack.net.features import offers_files
from tests.gateway.lab.conftest import B

DATA = b"0123456789abcdef" * 300_000


@pytest_asyncio.fixture
async def b(lab: Lab) -> AsyncIterator[Phone]:
    async with lab.make_phone(B) as phone:
        phone.links.content_server = lab.content_server.url
        yield phone


async def test_files_by_http(a: Phone, b: Phone, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(DATA)
    ours, theirs = AdminServer(build_app(b)), AdminServer(build_app(a))
    await ours.start()
    await theirs.start()
    order = {"to": "sip:a@cc.com", "path": str(path), "content_type": "text/plain"}
    async with aiohttp.ClientSession(ours.url) as sender, aiohttp.ClientSession(theirs.url) as receiver:
        sent = await (await sender.post("/files", json=order)).json()
        assert (sent["state"], sent["octets"]) == ("done", len(DATA))
        came = await a.wait_for("file")
        assert await (await receiver.get(f"/files/{came.id}")).read() == DATA
        assert (await receiver.get("/files/nothing")).status == 404
        linked = await (await sender.post("/files", json={**order, "by": "link"})).json()
        assert linked["state"] == "sent"
        assert (await a.wait_for("file", after=came.serial)).text == came.text
        assert (await sender.post("/files", json={**order, "path": "nowhere"})).status == 400
        # asked
        a.behave(on_file="ask")
        for method, state in (("POST", 200), ("DELETE", 502)):
            after = a.serial
            sending = asyncio.create_task(sender.post("/files", json=order))
            offered = await a.wait_for("file-offered", after=after)
            assert (await receiver.request(method, f"/files/{offered.id}")).status == 204
            assert (await sending).status == state
        assert (await receiver.post(f"/files/{came.id}")).status == 404
        assert (await receiver.delete("/files/nothing")).status == 404
        # called off
        a.behave(on_file="accept", cancel_at=100_000)
        sent = await (await sender.post("/files", json=order)).json()
        assert sent["state"] == "cancelled"
    await ours.close()
    await theirs.close()


async def test_files_by_commands(a: Phone, b: Phone, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(DATA)
    outputs = io.StringIO(), io.StringIO()
    terminals = []
    for phone, output in zip((a, b), outputs, strict=True):
        terminals.append(Terminal(Console(file=output, width=200)))
        terminals[-1].phone = phone
        phone.on_event = terminals[-1].show
    await terminals[1].take(f"/file {path}")
    await terminals[1].take("/to sip:a@cc.com")
    await terminals[1].take("/file /nowhere")
    a.behave(on_file="ask")
    for answer, event in (("/accept sip:b@cc.com", "file-sent"), ("/decline sip:b@cc.com", "file-ended")):
        after = a.serial
        await terminals[1].take(f"/file {path}")
        await a.wait_for("file-offered", after=after)
        await terminals[0].take(answer)
        await b.wait_for(event)
    await terminals[1].take(f"/link {path}")
    await a.wait_for("file", after=a.serial)
    await terminals[0].take("/files")
    said, shown = outputs[1].getvalue(), outputs[0].getvalue()
    for text in ("to whom?", "there is no file /nowhere", "sip:a@cc.com has the file notes.txt", "603"):
        assert text in said
    for text in ("sip:b@cc.com has a file: notes.txt", "the file from sip:b@cc.com is ", "notes.txt from sip:b@cc.com"):
        assert text in shown


async def test_what_the_phone_announces(a: Phone, b: Phone) -> None:
    """D-FTM-13: tags of what it takes."""
    assert offers_files((await b.agent.options(a.agent.identity.aor)).contacts)
    a.behave(files="http")
    contacts = (await b.agent.options(a.agent.identity.aor)).contacts
    assert not offers_files(contacts) and "rcs.fthttp" in str(contacts[0])
    a.behave(files="none")
    assert "fthttp" not in str((await b.agent.options(a.agent.identity.aor)).contacts[0])
