"""Short messages through a centre that is not ours: Debian's Net::SMPP (tests/interop/smsc)."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.channels import DeliverySmppSection
from gateway.delivery.base import DeliveryReceipt
from gateway.delivery.smpp import SmppDelivery
from gateway.drivers import DriverError
from tests.gateway.delivery.test_texts import order
from tests.interop import smsc
from tests.interop.smsc import HOST, PASSWORD, Smsc
from tests.sipstack.net.certificates import write_certificate

pytestmark = pytest.mark.interop

LONG = "https://gw.example/i/" + "a" * 300
"""A link that no single short message holds."""


@pytest.fixture
async def centre() -> AsyncIterator[Smsc]:
    if not smsc.is_available():
        pytest.skip("libnet-smpp-perl is not installed")
    async with Smsc() as running:
        yield running


class Line:
    """A driver that is bound to the centre, and the receipts that it has got."""

    def __init__(
        self, centre: Smsc, *, tls: ssl.SSLContext | None = None, password: str = PASSWORD, **keys: Any
    ) -> None:
        section: dict[str, Any] = {"host": HOST, "port": centre.port, "system_id": "gw", "timeout": 2.0}
        section |= {"source": "12345", "pace": 200.0, "reconnect": 0.2} | keys
        self.driver = SmppDelivery(DeliverySmppSection(**section), password=password, tls=tls, clock=lambda: 0.0)
        self.receipts: asyncio.Queue[DeliveryReceipt] = asyncio.Queue()
        self.driver.on_receipt = self.receipts.put_nowait

    async def __aenter__(self) -> Line:
        await self.driver.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.driver.close()

    async def receipt(self) -> DeliveryReceipt:
        async with asyncio.timeout(5):
            return await self.receipts.get()

    async def refused(self, **changes: Any) -> DriverError:
        with pytest.raises(DriverError) as caught:
            await self.driver.send(order(address="+4915187654321", **changes))
        assert "gw.example" not in str(caught.value)
        return caught.value

    async def sent(self, **changes: Any) -> tuple[str, ...]:
        return await self.driver.send(order(address="+4915187654321", **changes))


async def test_a_message_arrives_whole(centre: Smsc, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with Line(centre, validity="invitation") as line:
        bound = await centre.next("bind")
        assert (bound["kind"], bound["system_id"]) == ("transceiver", "gw")
        assert await line.sent(short_link="https://gw.example/i/abc", until=90061.0) == ("smsc-1",)
        got = await centre.next("submit")
        text = bytes.fromhex(got["short_message"]).decode()
        assert "Alice" in text and text.endswith("https://gw.example/i/abc")
        assert (got["dest_addr_ton"], got["dest_addr_npi"], got["destination_addr"]) == (1, 1, "4915187654321")
        assert (got["source_addr_ton"], got["source_addr_npi"], got["source_addr"]) == (3, 0, "12345")
        assert (got["data_coding"], got["esm_class"], got["registered_delivery"]) == (0, 0, 1)
        assert got["validity_period"] == "000001010101000R", "a day, an hour, a minute and a second"
    await centre.next("unbind")
    assert "bound as gw" in caplog.text
    for secret in ("gw.example", "4915187654321", PASSWORD):
        assert secret not in caplog.text


async def test_characters_beyond_the_alphabet_of_gsm(centre: Smsc) -> None:
    async with Line(centre) as line:
        await line.sent(language="zh", inviter="王小明", short_link="https://gw.example/i/abc")
        got = await centre.next("submit")
        text = bytes.fromhex(got["short_message"]).decode("utf-16-be")
        assert got["data_coding"] == 8 and "王小明" in text and text.endswith("https://gw.example/i/abc")


@pytest.mark.parametrize("way", ["udh8", "udh16", "sar", "payload"])
async def test_long_texts(centre: Smsc, way: str) -> None:
    async with Line(centre, long_messages=way) as line:
        references = await line.sent(short_link=LONG)
        parts = [await centre.next("submit") for _ in references]
        if way == "payload":
            assert len(parts) == 1 and LONG.encode() in bytes.fromhex(parts[0]["message_payload"])
            return
        assert references == tuple(f"smsc-{number}" for number in range(1, len(parts) + 1)) and len(parts) >= 3
        header = {"udh8": 6, "udh16": 7, "sar": 0}[way]
        octets = [bytes.fromhex(part["short_message"]) for part in parts]
        assert LONG.encode() in b"".join(part[header:] for part in octets)
        assert {part["esm_class"] for part in parts} == {0x40 if header else 0}
        if way == "sar":
            assert [int(part["sar_segment_seqnum"], 16) for part in parts] == list(range(1, len(parts) + 1))
            assert len({part["sar_msg_ref_num"] for part in parts}) == 1
        else:
            assert [part[header - 1] for part in octets] == list(range(1, len(parts) + 1))
            assert {part[header - 2] for part in octets} == {len(parts)}
            assert len({part[: header - 2] for part in octets}) == 1, "one reference for all"


async def test_receipts(centre: Smsc) -> None:
    async with Line(centre) as line:
        (reference,) = await line.sent()
        await centre.tell("report", id=reference, state=1)
        await centre.tell("report", id=reference, state=2)
        assert await line.receipt() == DeliveryReceipt(reference, "delivered")
        (reference,) = await line.sent()
        text = (
            f"id:{reference} sub:001 dlvrd:000 submit date:2611221200 done date:2611221201 stat:UNDELIV err:034 text:x"
        )
        await centre.tell("report", text=text)
        assert await line.receipt() == DeliveryReceipt(reference, "failed", "UNDELIV, error 034")
        await centre.tell("report", text="nothing of use")
        await centre.tell("report", text="hello, who are you?", esm_class=0)
        for _ in range(5):
            assert (await centre.next("acknowledged"))["status"] == 0
        assert line.receipts.empty()


async def test_ids_that_are_written_in_two_ways(centre: Smsc) -> None:
    async with Line(centre, submit_id="hex", receipt_id="decimal") as line:
        await centre.tell("ids", format="%08X", start=0xABCD)
        (reference,) = await line.sent()
        assert reference == str(0xABCE)
        await centre.tell("report", text=f"id:{0xABCE:010d} stat:DELIVRD err:000")
        assert (await line.receipt()).reference == reference
        await centre.tell("report", id="0000abce", state=5)
        assert await line.receipt() == DeliveryReceipt(reference, "failed", "UNDELIV")


async def test_a_centre_that_has_too_much_to_do_gets_time(centre: Smsc) -> None:
    async with Line(centre) as line:
        await centre.tell("answer", statuses=[0x58])
        begun = asyncio.get_running_loop().time()
        assert await line.sent() == ("smsc-2",)
        assert asyncio.get_running_loop().time() - begun >= 1.0
        await centre.tell("answer", statuses=[0x14, 0x14, 0x58])
        error = await line.refused()
        assert error.temporary and "ESME_RTHROTTLED (0x58)" in str(error)


@pytest.mark.parametrize(
    "status, temporary",
    [
        (0x08, True),
        (0x64, True),
        (0xFF, True),
        (0x401, True),
        (0x0A, False),
        (0x0B, False),
        (0x45, False),
        (0x402, False),
    ],
)
async def test_refusals(centre: Smsc, status: int, temporary: bool) -> None:
    async with Line(centre, temporary=(0x401,)) as line:
        await centre.tell("answer", statuses=[status])
        error = await line.refused()
        assert error.temporary is temporary and f"(0x{status:02x})" in str(error)


async def test_parts_that_were_taken_are_not_sent_again(centre: Smsc) -> None:
    async with Line(centre) as line:
        await centre.tell("answer", statuses=[0, 0x08])
        assert (await line.refused(short_link=LONG)).temporary
        references = await line.sent(short_link=LONG)
        assert references[:2] == ("smsc-1", "smsc-3"), "the second try began with the second part"


async def test_a_new_session_after_the_centre_was_killed(centre: Smsc) -> None:
    async with Line(centre) as line:
        await line.sent()
        await centre.kill()
        assert (await line.refused()).temporary
        await centre.start()
        await centre.next("bind")
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(DriverError):
                    assert await line.sent() == ("smsc-1",)
                    break
                await asyncio.sleep(0.05)


async def test_a_centre_that_unbinds_us_is_bound_again(centre: Smsc) -> None:
    async with Line(centre):
        await centre.next("bind")
        await centre.tell("unbind")
        await centre.next("closed")
        await centre.next("bind")


async def test_a_silent_centre_is_asked_and_left(centre: Smsc) -> None:
    async with Line(centre, enquire_interval=0.1, timeout=0.3) as line:
        await centre.next("ping")
        await centre.tell("mute")
        await centre.next("closed")
        assert (await line.refused()).temporary


async def test_a_message_without_an_answer_may_have_been_sent(centre: Smsc) -> None:
    async with Line(centre, timeout=0.3) as line:
        await line.sent()
        await centre.tell("mute")
        error = await line.refused()
        assert error.temporary and not error.certain
        await centre.kill()
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while not (error := await line.refused()).certain:
                pass
        assert error.temporary


async def test_a_wrong_password_can_be_put_right(centre: Smsc) -> None:
    async with Line(centre, password="wrong") as line:
        error = await line.refused()
        assert error.temporary and "ESME_RINVPASWD (0x0e)" in str(error)


async def test_a_transmitter_asks_for_no_receipts(centre: Smsc) -> None:
    async with Line(centre, bind="transmitter", receipts="none", source="Alice Ltd") as line:
        assert (await centre.next("bind"))["kind"] == "transmitter"
        assert await line.sent() == ()
        got = await centre.next("submit")
        assert (got["registered_delivery"], got["source_addr_ton"], got["source_addr"]) == (0, 5, "Alice Ltd")


async def test_what_is_no_pdu_is_refused(centre: Smsc) -> None:
    async with Line(centre) as line:
        await line.sent()
        await centre.tell("raw", octets="00000010000000990000000000000007")
        assert (await centre.next("nack"))["status"] == 3
        await line.sent()
        await centre.tell("raw", octets="ffffffff000000050000000000000008")
        assert (await centre.next("nack"))["status"] == 2
        await centre.next("closed")
        await centre.next("bind")


async def test_over_tls(centre: Smsc, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    async with tls_in_front_of(centre.port, server) as port:
        async with Line(centre, port=port, tls=ssl.create_default_context(cafile=str(certificate))) as line:
            assert await line.sent() == ("smsc-1",)
        async with Line(centre, port=port, tls=ssl.create_default_context()) as line:
            assert re.search("certificate", str(await line.refused()), re.IGNORECASE)


@contextlib.asynccontextmanager
async def tls_in_front_of(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Take TLS and hand on what is in it: Net::SMPP has none."""

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await source.read(4096):
                target.write(octets)
        target.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(HOST, port)
        await asyncio.gather(copy(reader, outer), copy(inner, writer))

    server = await asyncio.start_server(accept, HOST, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
