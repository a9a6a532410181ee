"""The lab's mailbox, by a real SMTP client and over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import aiohttp
import aiosmtplib
import pytest
import pytest_asyncio

from gateway.lab.mailbox import Mailbox
from sipstack.trace import Record, Trace, WireRecord


@pytest_asyncio.fixture
async def mailbox(tmp_path: Path) -> AsyncIterator[Mailbox]:
    async with Mailbox(folder=tmp_path) as mailbox:
        yield mailbox


def make_mail(to: str = "b@example.com") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "gateway@cc.com", to, "Änne invites <you>"
    mail["Message-ID"] = "<1@cc.com>"
    mail.set_content("Open http://localhost:8080/x#secret\nHello")
    mail.add_alternative("<p>Hello</p><script>alert(1)</script>", subtype="html")
    return mail


async def send(mailbox: Mailbox, username: str | None = None, password: str | None = None) -> None:
    host, port = mailbox.address
    await aiosmtplib.send(make_mail(), hostname=host, port=port, start_tls=False, username=username, password=password)


async def test_keeps_and_shows_mails(mailbox: Mailbox, tmp_path: Path) -> None:
    waiting = asyncio.create_task(mailbox.wait_for("B@example.com"))
    await send(mailbox)
    mail = await waiting
    assert mail.links() == ["http://localhost:8080/x#secret"]
    assert (tmp_path / "000001.eml").read_bytes() == mail.raw
    async with aiohttp.ClientSession(mailbox.http.url) as http:
        listed = await (await http.get("/mails", params={"to": "b@example.com"})).json()
        assert [(entry["id"], entry["subject"]) for entry in listed["mails"]] == [(1, "Änne invites <you>")]
        assert (await (await http.get("/mails?after=1")).json()) == {"mails": []}
        view = await (await http.get("/mails/1")).json()
        assert view["links"] == ["http://localhost:8080/x#secret"]
        assert view["text"].startswith("Open http")
        assert "<p>Hello</p>" in view["html"]
        page = await (await http.get("/mails/1", headers={"Accept": "text/html"})).text()
        assert '<a href="http://localhost:8080/x#secret"' in page
        assert "<script>" not in page
        assert "Änne invites &lt;you&gt;" in await (await http.get("/")).text()
        assert (await http.get("/mails/2")).status == 404
        assert (await (await http.get("/mails/1.eml")).read()) == mail.raw
        assert (await http.delete("/mails")).status == 204
        assert "No mail yet" in await (await http.get("/")).text()


async def test_waiting_over_http(mailbox: Mailbox) -> None:
    async with aiohttp.ClientSession(mailbox.http.url) as http:
        asking = asyncio.create_task(http.get("/mails?to=b@example.com&wait=5"))
        await asyncio.sleep(0)
        await send(mailbox)
        assert len((await (await asking).json())["mails"]) == 1
        assert (await (await http.get("/mails?to=x@example.com&wait=0.01")).json()) == {"mails": []}


@pytest.mark.parametrize("step", ["mail", "rcpt", "data"])
async def test_refuses_as_told(mailbox: Mailbox, step: str) -> None:
    async with aiohttp.ClientSession(mailbox.http.url) as http:
        assert (await http.put("/faults", json={step: "451 4.3.0 Try later"})).status == 200
        with pytest.raises(aiosmtplib.SMTPException, match="451"):
            await send(mailbox)
        assert (await (await http.get("/faults")).json()) == {step: "451 4.3.0 Try later"}
        assert (await http.put("/faults", json={step: "250 fine"})).status == 400
        assert (await http.put("/faults", json={"quit": "451 no"})).status == 400
        assert (await http.put("/faults", data="x")).status == 400
        assert (await http.delete("/faults")).status == 200
    await send(mailbox)
    assert len(mailbox.mails) == 1


async def test_demands_a_password() -> None:
    async with Mailbox(credentials=("gateway", "secret")) as mailbox:
        with pytest.raises(aiosmtplib.SMTPException):
            await send(mailbox)
        with pytest.raises(aiosmtplib.SMTPAuthenticationError):
            await send(mailbox, username="gateway", password="wrong")
        await send(mailbox, username="gateway", password="secret")
        assert len(mailbox.mails) == 1


async def test_goes_down_and_comes_back(mailbox: Mailbox) -> None:
    await mailbox.stop_smtp()
    with pytest.raises(aiosmtplib.SMTPException):
        await send(mailbox)
    await mailbox.start_smtp()
    await send(mailbox)
    assert len(mailbox.find()) == 1


async def test_nothing_comes(mailbox: Mailbox) -> None:
    with pytest.raises(TimeoutError):
        await mailbox.wait_for("b@example.com", timeout=0.01)


async def test_trace_tells_all_but_the_mail() -> None:
    records: list[Record] = []
    async with Mailbox(trace=Trace("mailbox", records.append, lambda: 0.0)) as mailbox:
        await send(mailbox)
    wires = [record for record in records if isinstance(record, WireRecord)]
    assert all(record.local == mailbox.address and record.remote is not None for record in wires)
    whole = b"".join(record.data for record in wires)
    assert b"RCPT TO:<b@example.com>" in whole
    assert b"octets)\r\n.\r\n250 OK kept as 1" in whole
    assert b"secret" not in whole
