"""One invitation by each channel: from A's call to a guest who has logged in through the link that really arrived."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest

from gateway.lab.ports import free_port
from tests.e2e.client import PATIENCE
from tests.e2e.world import Guest, World, embedded_world
from tests.interop import kannel, postfix, smsc
from tests.interop.kannel import Kannel
from tests.interop.mmsc import Mmsc
from tests.interop.postfix import Postfix
from tests.interop.smsc import Smsc

pytestmark = pytest.mark.interop

NUMBER = "+4915187654321"
TOKEN = "receipts-of-this-test-0123456789"
WHEN = "sub:001 dlvrd:001 submit date:2611221200 done date:2611221201"


class Place:
    """Where the gateway is, known before it runs: links and receipts lead there."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.sections: dict[str, Any] = {
            "gateway": f'public_url = "{self.url}"',
            "http": f'listen = "127.0.0.1:{self.port}"',
        }


def needs(*missing: tuple[bool, str]) -> None:
    """Skip loudly where a program is missing."""
    for is_there, what in missing:
        if not is_there:
            pytest.skip(f"{what} is not installed")


async def invited(world: World, **body: str) -> str:
    """Invite as A; return the account."""
    answer = await world.inviter().post("/rcsgw/invitee/user", body, root="invite")
    assert answer.status == 201, answer
    account: str = answer.json["account"]
    return account


async def delivery(world: World) -> dict[str, str]:
    """Return what A sees of the delivery of the only invitation."""
    answer = await world.inviter().get("/rcsgw/invitee/user")
    (invitation,) = answer.json["invitations"]
    shown: dict[str, str] = invitation["delivery"]
    return shown


async def comes_to(world: World, state: str, channel: str) -> None:
    """Wait until A sees that state."""
    seen: dict[str, str] = {}
    try:
        async with asyncio.timeout(PATIENCE):
            while (seen.get("state"), seen.get("channel")) != (state, channel):
                await asyncio.sleep(0.05)
                seen = await delivery(world)
    except TimeoutError:
        raise AssertionError(f"the delivery did not come to {state} by {channel}: {seen}") from None


async def enters(world: World, text: str, account: str) -> Guest:
    """Open the link that stands in a text, as a phone's browser does, and log in by what it leads to."""
    (link,) = [word for word in text.split() if word.startswith("http")]
    if "/i/" in link:
        async with aiohttp.ClientSession() as session, session.get(link, allow_redirects=False) as response:
            assert response.status == 302
            link = response.headers["Location"]
    path, _, secret = link.replace("#passwd=", "?passwd=").partition("?passwd=")
    guest = Guest(world, unquote(path.rpartition("/session/")[2]), secret, link)
    assert guest.account == account
    answer = await guest.login()
    assert answer.status == 200 and answer.json["inviters"][0]["uid"] == "a", answer
    return guest


async def talks(world: World, guest: Guest) -> None:
    """Let the guest say something that A's phone takes, and leave."""
    await guest.say("hello")
    assert (await guest.logout()).status == 204


async def test_email_through_postfix(tmp_path: Path) -> None:
    if reason := postfix.missing():
        pytest.skip(reason)
    async with Postfix() as server:
        email = f"""host = "127.0.0.1"
            port = {server.port}
            security = "starttls"
            username = "{postfix.USER}"
            password = "{postfix.PASSWORD}"
            ca_file = "{server.certificate}"
            sender = "gateway@example.com\""""
        async with embedded_world(tmp_path, delivery__email=email) as world:
            await world.phone()
            account = await invited(world, email="b@example.com")
            mail = (await server.mail()).get_body(("plain",))
            assert mail is not None
            await comes_to(world, "sent", "email")
            await talks(world, await enters(world, mail.get_content(), account))
        assert len(server.mails()) == 1


async def test_sms_by_smpp(tmp_path: Path) -> None:
    needs((smsc.is_available(), "libnet-smpp-perl"))
    place = Place()
    async with Smsc() as centre:
        smpp = f"""host = "127.0.0.1"
            port = {centre.port}
            system_id = "gw"
            password = "{smsc.PASSWORD}"
            source = "12345\""""
        sections: dict[str, Any] = {**place.sections, "delivery__sms": 'driver = "smpp"', "delivery__smpp": smpp}
        async with embedded_world(tmp_path, **sections) as world:
            await centre.next("bind")
            await world.phone()
            account = await invited(world, phone="+49 151 87654321")
            got = await centre.next("submit")
            assert got["destination_addr"] == NUMBER.removeprefix("+") and got["esm_class"] == 0, "one short message"
            await comes_to(world, "sent", "sms")
            await world.stop_gateway()
            await centre.next("unbind")
            await world.start_gateway()
            await centre.next("bind")
            await centre.tell("report", id=got["id"], state=2)  # of an order of the process before
            await comes_to(world, "delivered", "sms")
            await talks(world, await enters(world, bytes.fromhex(got["short_message"]).decode(), account))
        await centre.next("unbind")


async def test_sms_by_http_through_kannel(tmp_path: Path) -> None:
    needs((kannel.is_available(), "kannel"), (smsc.is_available(), "libnet-smpp-perl"))
    place = Place()
    async with Smsc() as centre, Kannel(tmp_path, centre.port, smsc.PASSWORD) as box:
        http = f"""url = "http://127.0.0.1:{box.port}/cgi-bin/sendsms"
            query = {{ username = "{kannel.USER}", password = "{kannel.PASSWORD}", to = "{{to}}", from = "{{from}}",\
 text = "{{text}}", coding = "{{coding}}", charset = "UTF-8", dlr-mask = "3",\
 dlr-url = "{{receipt_url}}?id={{id}}&state=%d" }}
            sender = "12345\""""
        receipts = f'sms = "{TOKEN}"'
        sections: dict[str, Any] = {**place.sections, "delivery__sms": 'driver = "http"', "delivery__sms_http": http}
        async with embedded_world(tmp_path, **sections, delivery__receipts=receipts) as world:
            await world.phone()
            account = await invited(world, phone=NUMBER)
            got = await centre.next("submit")
            await centre.tell("report", text=f"id:{got['id']} {WHEN} stat:DELIVRD err:000 text:")
            await comes_to(world, "delivered", "sms")
            await talks(world, await enters(world, bytes.fromhex(got["short_message"]).decode(), account))


async def test_mms_where_sms_fails(tmp_path: Path) -> None:
    """The number is barred for short messages; the multimedia message arrives and is reported."""
    needs((smsc.is_available(), "libnet-smpp-perl"))
    place = Place()
    async with Smsc() as centre, Mmsc() as mms_centre:
        smpp = f"""host = "127.0.0.1"
            port = {centre.port}
            system_id = "gw"
            password = "{smsc.PASSWORD}\""""
        sections: dict[str, Any] = {
            **place.sections,
            "delivery__channels": 'phone = ["sms", "mms"]',
            "delivery__receipts": f'mms = "{TOKEN}"',
            "delivery__sms": 'driver = "smpp"',
            "delivery__smpp": smpp,
            "delivery__mms": 'driver = "mm7"',
            "delivery__mm7": f'url = "{mms_centre.url}"\nsender = "12345"',
        }
        await centre.tell("answer", statuses=[0x0B])
        async with embedded_world(tmp_path, **sections) as world:
            await world.phone()
            account = await invited(world, phone=NUMBER, note="see you there")
            got = await mms_centre.received.get()
            assert got.recipient == NUMBER and "see you there" in got.text and len(got.pictures) == 1
            await comes_to(world, "sent", "mms")
            url = f"{place.url}/rcsgw/delivery/mms/"
            assert await mms_centre.report(url + TOKEN, "mms-1", "Retrieved") == (200, "DeliveryReportRsp", "1000")
            await comes_to(world, "delivered", "mms")
            await talks(world, await enters(world, got.text, account))
