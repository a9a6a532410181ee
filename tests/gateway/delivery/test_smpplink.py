"""What no centre does when it is asked to: answers out of order, a nack, receipts by data_sm, a store that is slow."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gateway.config.channels import DeliverySmppSection
from gateway.delivery import smpp
from gateway.delivery.base import DeliveryReceipt
from gateway.delivery.smpp import SmppDelivery
from gateway.delivery.smpplink import MAX_DELIVERED, SmppLink, SmppRefused, SmppServer
from gateway.delivery.smpppdu import HEADER, RECEIPTED_MESSAGE_ID, Pdu, body_length, read, write


class Peer:
    """The server's side of a connection, word by word; binds are answered."""

    def __init__(self) -> None:
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.bound = asyncio.Event()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        bind = await self.next()
        self.say(f"{bind.command}_resp", bind.sequence, system_id="peer")
        self.bound.set()

    async def next(self) -> Pdu:
        async with asyncio.timeout(5):
            header = await self.reader.readexactly(HEADER.size)
            return read(header + await self.reader.readexactly(body_length(header)))

    def say(self, command: str, sequence: int, *, tlvs: bytes = b"", **fields: Any) -> None:
        octets = write(command, sequence, **fields) + tlvs
        self.writer.write(struct.pack(">L", len(octets)) + octets[4:])


@pytest.fixture
async def peer() -> AsyncIterator[tuple[Peer, int]]:
    peer = Peer()
    server = await asyncio.start_server(peer.accept, "127.0.0.1", 0)
    async with server:
        yield peer, server.sockets[0].getsockname()[1]
        if peer.bound.is_set():
            peer.writer.close()


async def nothing(_: Pdu) -> int:
    return 0


async def opened(port: int, on_deliver: Callable[[Pdu], Awaitable[int]] = nothing, window: int = 10) -> SmppLink:
    server = SmppServer(host="127.0.0.1", port=port, system_id="gw", window=window, timeout=5.0)
    return await SmppLink.open(server, on_deliver)


async def test_answers_out_of_order_and_the_window(peer: tuple[Peer, int]) -> None:
    """F-SMP-02."""
    there, port = peer
    link = await opened(port, window=2)
    requests = [asyncio.create_task(link.request("submit_sm", destination_addr=str(number))) for number in range(3)]
    first, second = await there.next(), await there.next()
    await asyncio.sleep(0)
    assert [first.text("destination_addr"), second.text("destination_addr")] == ["0", "1"]
    there.say("submit_sm_resp", second.sequence, message_id="two")
    third = await there.next()
    there.say("submit_sm_resp", third.sequence, message_id="three")
    there.say("submit_sm_resp", first.sequence, message_id="one")
    answers = await asyncio.gather(*requests)
    assert [answer.text("message_id") for answer in answers] == ["one", "two", "three"]
    await closed(link, there)


async def test_a_nack_is_an_answer(peer: tuple[Peer, int]) -> None:
    there, port = peer
    link = await opened(port)
    request = asyncio.create_task(link.request("submit_sm", destination_addr="1"))
    there.say("generic_nack", (await there.next()).sequence, status=3)
    with pytest.raises(SmppRefused, match="ESME_RINVCMDID"):
        await request
    await closed(link, there)


async def test_pings_and_unknown_requests_are_answered(peer: tuple[Peer, int]) -> None:
    """F-SMP-03, F-SMP-15."""
    there, port = peer
    link = await opened(port)
    there.say("enquire_link", 7)
    got = await there.next()
    assert (got.command, got.sequence, got.status) == ("enquire_link_resp", 7, 0)
    there.writer.write(struct.pack(">LLLL", 16, 0x99, 0, 8) + struct.pack(">LLLL", 16, 0x80000099, 0, 9))
    got = await there.next()
    assert (got.command, got.sequence, got.status) == ("generic_nack", 8, 3)
    there.say("query_sm", 10, message_id="x", source_addr="1")
    assert (await there.next()).status == 3, "what is for servers only"
    await closed(link, there)


async def test_too_much_at_once_is_to_come_again(peer: tuple[Peer, int]) -> None:
    there, port = peer
    busy = asyncio.Event()

    async def wait(_: Pdu) -> int:
        await busy.wait()
        return 0

    link = await opened(port, wait)
    for number in range(MAX_DELIVERED + 1):
        there.say("deliver_sm", 1000 + number, esm_class=4)
    answer = await there.next()
    assert (answer.sequence, answer.status) == (1000 + MAX_DELIVERED, 0x64)
    busy.set()
    assert {(await there.next()).status for _ in range(MAX_DELIVERED)} == {0}
    await closed(link, there)


async def closed(link: SmppLink, there: Peer) -> None:
    """Close the link as a server lets it be closed."""
    closing = asyncio.create_task(link.close())
    unbind = await there.next()
    assert unbind.command == "unbind"
    there.say("unbind_resp", unbind.sequence)
    await closing


async def test_a_receipt_is_answered_when_it_is_stored(peer: tuple[Peer, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """F-SMP-12: and comes again where that takes too long."""
    there, port = peer
    driver = SmppDelivery(DeliverySmppSection(host="127.0.0.1", port=port, system_id="gw"))
    got: list[DeliveryReceipt] = []
    stored = asyncio.Event()

    async def wait() -> None:
        await stored.wait()

    driver.on_receipt, driver.receipts_stored = got.append, wait
    await driver.start()
    await there.bound.wait()
    tlvs = struct.pack(">HH", RECEIPTED_MESSAGE_ID, 2) + b"7\0" + struct.pack(">HHB", 0x0427, 1, 2)
    there.say("data_sm", 5, esm_class=4, tlvs=tlvs)
    there.say("enquire_link", 6)
    assert (await there.next()).command == "enquire_link_resp", "nobody waits for the store but the receipt"
    stored.set()
    answer = await there.next()
    assert (answer.command, answer.sequence, answer.status) == ("data_sm_resp", 5, 0)
    stored.clear()
    monkeypatch.setattr(smpp, "STORE_WAIT", 0.05)
    there.say("deliver_sm", 8, esm_class=4, tlvs=tlvs)
    assert (await there.next()).status == 0x64
    assert got == [DeliveryReceipt("7", "delivered")] * 2
    closing = asyncio.create_task(driver.close())
    there.say("unbind_resp", (await there.next()).sequence)
    await closing
