"""Files over real sockets: D-FTM-03 to D-FTM-08, D-FTM-10, D-FTM-12, D-FTM-13."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipstack.net.useragent import UserAgent
from tests.sipstack.net.filehelpers import FilePhone, Files, MemoryFile, describe
from tests.sipstack.net.helpers import B, World, until, world

SMALL = b"hello file"
LARGE = bytes(range(256)) * 4096


@asynccontextmanager
async def file_pair(**options: Any) -> AsyncIterator[tuple[World, UserAgent, UserAgent, FilePhone]]:
    """Start a world in which a and b are registered; b takes files."""
    async with world("tcp", **options) as around:
        phone = FilePhone()
        a, b = around.agent(around.a, "a"), around.agent(around.b, "b", phone)
        await a.register()
        await b.register()
        try:
            yield around, a, b, phone
        finally:
            await a.close()
            await b.close()


@pytest.mark.parametrize("octets", [SMALL, LARGE, b""], ids=["small", "large", "empty"])
async def test_a_file_is_pushed(octets: bytes) -> None:
    """D-FTM-04, D-FTM-06, D-FTM-12: sendonly; the sender hangs up when the last octet is acknowledged."""
    async with file_pair() as (_, a, _b, phone):
        files = Files()
        transfer = await a.send_file(B, describe(octets), MemoryFile(octets), files)
        assert transfer.sending and not phone.transfers[0].sending
        await until(lambda: files.ended and phone.files.ended)
        assert (files.reason, phone.files.reason) == ("done", "done")
        assert phone.disk.octets == octets
        assert files.sent == [transfer]
        assert not transfer.is_open
        await until(lambda: not phone.transfers[0].is_open)
        if octets:
            assert files.progress[-1] == phone.files.progress[-1] == len(octets)
        offer = phone.offers[0]
        assert offer.direction == "push"
        assert offer.attributes.selector == describe(octets).selector
