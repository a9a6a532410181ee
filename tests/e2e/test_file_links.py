"""Files by links in the chat (GSMA RCC.07, D-FTH), both ways, by the gateway's content server and by an operator's."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.lab.contentserver import ContentOptions, ContentServer
from gateway.lab.ports import free_port
from tests.e2e.client import kind
from tests.e2e.conftest import Start, one_core
from tests.e2e.files import FILE, ICON, POLICY, B, incoming, octets, sha256, until, upload, upload_form
from tests.e2e.world import World

DATA = octets(1_500_000, seed=3)


async def begin(start: Start, content: str = "", **options: Any) -> World:
    """Start a network whose gateway is reached at its public URL, and may fetch from loopback."""
    port = free_port()
    return await start(
        f'{POLICY}[files.content]\nallowed_networks = ["127.0.0.0/8"]\n{content}\n',
        gateway=f'public_url = "http://127.0.0.1:{port}"\ndrain_timeout = 5',
        http=f'listen = "127.0.0.1:{port}"',
        **options,
    )


async def test_a_link_from_b(start: Start) -> None:
    """The gateway is the content server."""
    world = await begin(start)
    phone = await world.phone("a", files="http", receipts="display", on_message="accept")
    guest = await world.guest("a")
    answer = await upload_form(guest, DATA, name="bäch.jpg", content_type="image/jpeg")
    assert answer.status == 202, answer
    came = phone.files.all[(await phone.wait_for("file")).id]
    assert (came.name, came.selector.content_type, came.icon, came.content) == ("bäch.jpg", "image/jpeg", ICON, DATA)
    id = answer.json["id"]
    await guest.wait_for_event(kind("file", id=id, state="displayed"))
    assert (await until(guest, id, "displayed"))["hash"] == sha256(DATA)
    assert "application/vnd.gsma.rcs-ft-http+xml" in "".join(world.sent("MSRP", protocol="MSRP"))
    assert not any("file-selector" in invite for invite in world.sent("INVITE"))


@one_core
async def test_msrp_comes_first_unless_links_are_preferred(start: Start) -> None:
    world = await begin(start)
    phone = await world.phone("a", files="both", on_message="accept")
    guest = await world.guest("a")
    await until(guest, (await upload(guest, DATA)).json["id"], "sent")
    assert any("file-selector" in invite for invite in world.sent("INVITE"))
    assert (await phone.wait_for("file")).text == sha256(DATA)


async def test_a_link_from_b_by_the_operators_server(start: Start) -> None:
    async with ContentServer(ContentOptions()) as server:
        world = await begin(start, f'server = "{server.url}"\nprefer = true\n[files.retry]\nfirst = 0.05')
        phone = await world.phone("a", files="both", on_message="accept")
        guest = await world.guest("a")
        server.busy = 1
        server.cuts += [400_000, 100_000, 300_000]
        id = (await upload(guest, DATA, name="x.bin")).json["id"]
        arrived = await phone.wait_for("file", timeout=30)
        assert arrived.text == sha256(DATA) and not server.cuts
        assert (await until(guest, id, "sent"))["octets"] == len(DATA)
        assert [file.name for file in server.uploads.values()] == ["x.bin"]


async def test_a_link_from_a(start: Start) -> None:
    """Fetched when the guest fetches it, with Range where it breaks off; A hears then that it was seen (D-FTH-06)."""
    async with ContentServer(ContentOptions(credentials={"a": "alice-pw"})) as server:
        world = await begin(start)
        world.content_server = server.url
        phone = await world.phone("a", files="http", receipts="display")
        guest = await world.guest("a")
        server.cuts.append(200_000)
        message = await phone.links.send(B, DATA, name="../x.bin", content_type="image/png", thumbnail=ICON)
        assert message.state.value == "sent"
        file = await incoming(guest, "offered")
        assert (file["name"], file["content_type"], file["size"]) == ("x.bin", "image/png", len(DATA))
        delivered = await phone.wait_for("receipt")
        assert delivered.text == "delivered"
        path = f"{FILE}/{file['id']}"
        assert (await guest.http.get(f"{path}/thumbnail")).content == ICON[1]
        server.cuts += [100_000, 500_000]
        part = await guest.http.get(path, headers={"Range": "bytes=1000-1999"})
        assert (part.status, part.content) == (206, DATA[1000:2000])
        assert not [event for event in phone.events if event.text == "displayed"]
        whole = await guest.http.get(path)
        assert (whole.status, whole.content, whole.headers["Content-Type"]) == (200, DATA, "image/png")
        seen = await phone.wait_for("receipt", after=delivered.serial)
        assert (seen.text, seen.id) == ("displayed", delivered.id)
        assert (await until(guest, file["id"], "displayed"))["hash"] == sha256(DATA)


@one_core
async def test_a_link_that_is_over(start: Start) -> None:
    async with ContentServer() as server:
        world = await begin(start)
        world.content_server = server.url
        phone = await world.phone("a", files="http")
        guest = await world.guest("a")
        await phone.links.send(B, DATA, name="x.bin")
        file = await incoming(guest, "offered")
        server.expire()
        assert (await guest.http.get(f"{FILE}/{file['id']}")).status == 410
        assert (await incoming(guest, "expired", "failed"))["reason"]


@one_core
async def test_a_link_to_where_nobody_may_go(start: Start) -> None:
    """D-FTH-05: links are chosen by peers; private addresses are refused unless the operator allows them."""
    async with ContentServer() as server:
        world = await start(POLICY)
        world.content_server = server.url
        phone = await world.phone("a", files="http")
        guest = await world.guest("a")
        await phone.links.send(B, DATA, name="x.bin")
        asked = len(server.requests)
        file = await incoming(guest, "offered", "failed")
        answer = await guest.http.get(f"{FILE}/{file['id']}")
        assert answer.status == 403 and "allowed_networks" in answer.json["detail"]
        assert len(server.requests) == asked, "nobody has asked there"


@one_core
@pytest.mark.parametrize("wrong", [True, False])
async def test_a_uses_the_gateways_content_server(start: Start, wrong: bool) -> None:
    """D-FTH-03: for devices whose operator has none; uploads need A's password."""
    world = await begin(start)
    world.content_server = f"{world.url}/rcsgw/content"
    phone = await world.phone("a", files="http", on_message="accept")
    guest = await world.guest("a")
    if wrong:
        phone.options.password = "wrong"
        with pytest.raises(Exception, match="401"):
            await phone.links.send(B, DATA, name="x.bin")
        return
    assert (await phone.links.send(B, DATA, name="x.bin")).state.value == "sent"
    file = await incoming(guest, "ready")
    assert (await guest.http.get(f"{FILE}/{file['id']}")).content == DATA
