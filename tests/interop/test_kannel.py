"""Short messages by HTTP through Kannel, which hands them to a message centre and brings back its receipts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from gateway.config.channels import DeliverySmsHttpSection
from gateway.delivery.base import DeliveryReceipt
from gateway.delivery.smshttp import HttpSmsDelivery
from gateway.drivers import DriverError
from tests.gateway.delivery.test_texts import order
from tests.interop import kannel, smsc
from tests.interop.kannel import HOST, Kannel
from tests.interop.smsc import Smsc

pytestmark = pytest.mark.interop

SHORT = "https://gw.example/i/abc"


async def test_messages_and_receipts(tmp_path: Path) -> None:
    """All in one test, as both boxes take seconds to start and stop."""
    if not kannel.is_available() or not smsc.is_available():
        pytest.skip("kannel and libnet-smpp-perl are not installed")
    receipts: asyncio.Queue[DeliveryReceipt] = asyncio.Queue()

    async def receipt(request: web.BaseRequest) -> web.Response:
        status, _, body = await driver.report(dict(request.query), request.content_type, await request.read())
        return web.Response(status=status, body=body)

    runner = web.ServerRunner(web.Server(receipt))
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    receipt_url = f"http://{HOST}:{runner.addresses[0][1]}/rcsgw/delivery/sms/token"
    async with Smsc() as centre, Kannel(tmp_path, centre.port, smsc.PASSWORD) as box:
        await centre.next("bind")

        def made(password: str) -> HttpSmsDelivery:
            query = {"username": kannel.USER, "password": password, "to": "{to}", "from": "{from}", "text": "{text}"}
            query |= {"coding": "{coding}", "charset": "UTF-8", "dlr-mask": "3"}
            query |= {"dlr-url": "{receipt_url}?id={id}&state=%d"}
            section = DeliverySmsHttpSection(
                url=f"http://{HOST}:{box.port}/cgi-bin/sendsms", query=query, sender="12345", success_body="^[03]:"
            )
            return HttpSmsDelivery(section, receipt_url=receipt_url)

        driver, wrong = made(kannel.PASSWORD), made("wrong")
        driver.on_receipt = receipts.put_nowait
        try:
            with pytest.raises(DriverError, match="403 Authorization failed") as caught:
                await wrong.send(order(address="+4915187654321", short_link=SHORT))
            assert caught.value.temporary

            (reference,) = await driver.send(order(address="+4915187654321", short_link=SHORT))
            got = await centre.next("submit")
            assert bytes.fromhex(got["short_message"]).decode().endswith(SHORT)
            # Kannel keeps the + where nobody has told it how numbers look
            assert got["destination_addr"].lstrip("+") == "4915187654321" and got["registered_delivery"] == 1
            when = "submit date:2611221200 done date:2611221201"
            text = f"id:{got['id']} sub:001 dlvrd:001 {when} stat:DELIVRD err:000 text:"
            await centre.tell("report", text=text)
            async with asyncio.timeout(10):
                assert await receipts.get() == DeliveryReceipt(reference, "delivered")

            chinese = order(address="+4915187654321", short_link=SHORT, language="zh", message_id="<2@cc.com>")
            (reference,) = await driver.send(chinese)
            got = await centre.next("submit")
            assert got["data_coding"] == 8 and SHORT in bytes.fromhex(got["short_message"]).decode("utf-16-be")
            await centre.tell("report", text=text.replace("DELIVRD", "UNDELIV").replace("smsc-1", got["id"]))
            async with asyncio.timeout(10):
                assert await receipts.get() == DeliveryReceipt(reference, "failed", "state 2")
        finally:
            await driver.close()
            await wrong.close()
    await runner.cleanup()
