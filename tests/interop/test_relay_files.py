"""Transfers of files through Kamailio as MSRP relay, to the end and not: D-FTM-06, D-FTM-07, D-FTM-12, D-FTM-13."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.lab import kamailio
from sipstack.net.useragent import UserAgent
from tests.interop.test_relay import relay
from tests.sipstack.net.filehelpers import LARGE, FilePhone, Files, MemoryFile, describe, file_pair
from tests.sipstack.net.helpers import B, until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not kamailio.is_available(), reason="kamailio is not installed"),
]

FILE = LARGE * 8


@asynccontextmanager
async def relayed(folder: Path, transport: str = "tcp") -> AsyncIterator[tuple[UserAgent, FilePhone]]:
    """Start a and b with the relay between them."""
    async with relay(folder, transport) as options, file_pair(a=options, b=options) as (_, a, _b, phone):
        yield a, phone


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("notify", [False, True], ids=["bare", "wrapped"])
async def test_a_file_arrives(tmp_path: Path, transport: str, notify: bool) -> None:
    """D-FTM-13, D-FTM-06: bare and wrapped; done when the success report has come."""
    async with relayed(tmp_path, transport) as (a, phone):
        files = Files()
        transfer = await a.send_file(B, describe(FILE), MemoryFile(FILE), files, notify=notify)
        await until(lambda: files.ended and phone.files.ended, 60)
        assert (files.reason, phone.files.reason, phone.disk.content == FILE) == ("done", "done", True)
        assert transfer.msrp.relayed


async def test_the_sender_cancels(tmp_path: Path) -> None:
    """D-FTM-07: ``#`` passes the relay."""
    async with relayed(tmp_path) as (a, phone):
        files = Files()
        files.on_progress = lambda transfer, octets: transfer.cancel() if octets > len(LARGE) else None
        transfer = await a.send_file(B, describe(FILE), MemoryFile(FILE), files)
        assert transfer.resumable == 0
        await until(lambda: files.ended and phone.files.ended, 60)
        assert (files.reason, phone.files.reason) == ("local", "cancelled")


async def test_the_receiver_cancels(tmp_path: Path) -> None:
    """D-FTM-07: 413 comes back through the relay, as a report."""
    async with relayed(tmp_path) as (a, phone):
        files = Files()
        phone.files.on_progress = lambda transfer, octets: transfer.cancel() if octets > len(LARGE) else None
        await a.send_file(B, describe(FILE), MemoryFile(FILE), files)
        await until(lambda: files.ended and phone.files.ended, 60)
        assert (files.reason, phone.files.reason) == ("cancelled", "local")


async def test_a_file_that_is_not_what_it_should_be(tmp_path: Path) -> None:
    """D-FTM-12: who sent it hears that it was refused, though the relay has taken it."""
    async with relayed(tmp_path) as (a, phone):
        source, files = MemoryFile(FILE), Files()
        source.spoil = lambda start, data: b"X" + data[1:] if start > 50000 else data
        await a.send_file(B, describe(FILE), source, files)
        await until(lambda: files.ended and phone.files.ended, 60)
        assert (files.reason, phone.files.reason) == ("refused", "refused")
