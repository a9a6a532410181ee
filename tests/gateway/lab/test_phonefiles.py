"""Files between two phones over MSRP."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.lab.lab import Lab, LabOptions
from gateway.lab.phone import Phone
from sipstack.errors import RequestFailed
from tests.gateway.lab.conftest import A, B
from tests.gateway.lab.test_contentserver import DATA

ICON = ("image/png", b"\x89PNG tiny")


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab(LabOptions(users=(A, B), cutter=True)) as lab:
        yield lab


@pytest_asyncio.fixture
async def b(lab: Lab) -> AsyncIterator[Phone]:
    async with lab.make_phone(B) as phone:
        yield phone


def phone_of(lab: Lab) -> Phone:
    assert lab.phone is not None
    return lab.phone


async def test_a_file_arrives(lab: Lab, b: Phone) -> None:
    a = phone_of(lab)
    sent = await b.files.send("sip:a@cc.com", DATA, name="bäch.jpg", content_type="image/jpeg", icon=ICON)
    assert (sent.state, sent.octets) == ("done", len(DATA))
    event = await a.wait_for("file")
    came = a.files.all[event.id]
    assert event.text == came.sha256 == hashlib.sha256(DATA).hexdigest()
    assert (came.name, came.selector.content_type, came.icon, came.content) == ("bäch.jpg", "image/jpeg", ICON, DATA)
    assert [event.text for event in a.events if event.kind == "file-offered"] == ["bäch.jpg"]
    receipts = [await b.wait_for("receipt")]
    receipts.append(await b.wait_for("receipt", after=receipts[0].serial))
    assert [event.text for event in receipts] == ["delivered", "displayed"]
    assert a.state()["files"] == [came.view()]


@pytest.mark.parametrize("octets", [0, 1, 5_000_000])
async def test_of_any_size(lab: Lab, b: Phone, octets: int) -> None:
    data = os.urandom(octets)
    assert (await b.files.send("sip:a@cc.com", data, name="x.bin")).state == "done"
    a = phone_of(lab)
    came = a.files.all[(await a.wait_for("file")).id]
    assert came.content == data


async def test_offers_that_are_refused(lab: Lab, b: Phone) -> None:
    a = phone_of(lab)
    for changes, status in (({"on_file": 486}, 486), ({"on_file": 603}, 603), ({"files": "none"}, 488)):
        a.behave(**changes)
        with pytest.raises(RequestFailed, match=str(status)):
            await b.files.send("sip:a@cc.com", b"x", name="x")
        assert [file.state for file in b.files.all.values()][-1] == "refused"
    with pytest.raises(ValueError, match="on_file"):
        a.behave(on_file="eat")


async def test_offers_that_wait(lab: Lab, b: Phone) -> None:
    a = phone_of(lab)
    a.behave(on_file="ask")
    for answer in ("accept", "decline"):
        after = a.serial
        sending = asyncio.create_task(b.files.send("sip:a@cc.com", DATA, name=f"{answer}.bin"))
        offered = await a.wait_for("file-offered", after=after)
        getattr(a.files, answer)(offered.id)
        if answer == "accept":
            assert (await sending).state == "done"
        else:
            with pytest.raises(RequestFailed, match="603"):
                await sending


async def test_goes_on_where_it_broke_off(lab: Lab, b: Phone) -> None:
    """Where a re-INVITE heals the session, and where those connections break too, so that it is offered again."""
    a = phone_of(lab)
    assert a.cutter is not None
    data = os.urandom(5_000_000)
    a.cutter.cuts += [700_000, 1, 2_000_000, 5, 17, 300, 900_000]
    sent = await b.files.send("sip:a@cc.com", data, name="x.bin")
    came = [file for file in a.files.all.values() if file.state == "done"]
    assert sent.state == "done" and [file.content == data for file in came] == [True]
    assert a.cutter.done == 7 and not a.cutter.cuts


async def test_cancelled_by_either_side(lab: Lab, b: Phone) -> None:
    a = phone_of(lab)
    a.files.watch = lambda file: canceller.files.cancel(list(canceller.files.all)[-1])
    for canceller in (a, b):
        sent = await b.files.send("sip:a@cc.com", os.urandom(3_000_000), name="x.bin")
        came = list(a.files.all.values())[-1]
        assert await came.ended == ("local" if canceller is a else "cancelled")
        assert sent.state == ("local" if canceller is b else "cancelled")
