"""Files between B's client and A's phone, over the whole chain (RFC 5547)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.lab.phonefiles import PhoneFile
from sipstack.errors import RequestFailed
from sipstack.sdp_file import FileAttributes, FileSelector
from sipstack.sip.uri import Uri
from tests.e2e.client import Format, kind
from tests.e2e.conftest import Start, one_core
from tests.e2e.files import (
    FILE,
    ICON,
    POLICY,
    A,
    B,
    incoming,
    octets,
    sha256,
    state_of,
    states_told,
    until,
    upload,
    upload_form,
)

DATA = octets(300_000)


async def test_a_file_of_b(start: Start, format: Format) -> None:
    world = await start(POLICY, format=format)
    phone = await world.phone("a", files="msrp", receipts="display")
    guest = await world.guest("a")
    answer = await upload(guest, DATA, name="bäch.jpg", content_type="image/jpeg")
    assert answer.status == 202 and answer.headers["Location"] == f"{FILE}/{answer.json['id']}"
    id = answer.json["id"]
    came = phone.files.all[(await phone.wait_for("file")).id]
    assert (came.name, came.selector.content_type, came.content) == ("bäch.jpg", "image/jpeg", DATA)
    file = await until(guest, id, "displayed")
    assert (file["hash"], file["octets"], file["size"]) == (sha256(DATA), len(DATA), len(DATA))
    await guest.wait_for_event(kind("file", id=id, state="displayed"))
    told = await states_told(guest, id)
    assert told == sorted(told, key=["uploading", "sending", "sent", "delivered", "displayed"].index)
    [invite] = world.sent("INVITE")[-1:]
    assert "a=file-selector:name:" in invite and "hash:sha-1:" in invite and "\r\na=sendonly" in invite
    assert world.file_server.accounts.all() == [B], "the second registration by interaction type"
    routes = world.received("INVITE", actor="phone a")[-1]
    assert f"Record-Route: <sip:127.0.0.1:{world.file_server.address[1]}" in routes


@one_core
async def test_a_form_with_a_thumbnail(start: Start) -> None:
    world = await start(POLICY)
    phone = await world.phone("a", files="msrp")
    guest = await world.guest("a")
    answer = await upload_form(guest, DATA, name="notes.txt", content_type="text/plain")
    assert answer.status == 202, answer
    came = phone.files.all[(await phone.wait_for("file")).id]
    assert (came.name, came.icon, came.content) == ("notes.txt", ICON, DATA)
    assert (await guest.http.get(f"{FILE}/{answer.json['id']}/thumbnail")).content == ICON[1]


async def test_a_file_of_a(start: Start, format: Format) -> None:
    world = await start(POLICY, format=format)
    phone = await world.phone("a", files="msrp", receipts="display")
    guest = await world.guest("a")
    sent = await phone.files.send(B, DATA, name="../bäch.jpg", content_type="image/jpeg", icon=ICON)
    assert sent.state == "done"
    file = await incoming(guest, "ready")
    assert (file["name"], file["content_type"], file["hash"]) == ("bäch.jpg", "image/jpeg", sha256(DATA))
    delivered = await phone.wait_for("receipt")
    assert delivered.text == "delivered"
    path = f"{FILE}/{file['id']}"
    part = await guest.http.get(path, headers={"Range": "bytes=100-199"})
    assert (part.status, part.content) == (206, DATA[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(DATA)}"
    assert (await guest.http.get(path, headers={"Range": f"bytes={len(DATA)}-"})).status == 416
    assert (await state_of(guest, file["id"]))["state"] == "ready", "nobody has it whole"
    assert (await guest.http.get(f"{path}/thumbnail")).content == ICON[1]
    whole = await guest.http.get(path)
    assert (whole.status, whole.content, whole.headers["Content-Type"]) == (200, DATA, "image/jpeg")
    assert whole.headers["Content-Disposition"].startswith("attachment; ")
    seen = await phone.wait_for("receipt", after=delivered.serial)
    assert (seen.text, seen.id) == ("displayed", delivered.id)
    assert (await until(guest, file["id"], "displayed"))["octets"] == len(DATA)


@one_core
async def test_an_upload_in_parts(start: Start) -> None:
    world = await start(POLICY)
    phone = await world.phone("a", files="msrp")
    guest = await world.guest("a")
    begun = await guest.http.post(
        f"{FILE}?to={A}&size={len(DATA)}&name=x.bin", DATA[:1000], headers={"Content-Type": "image/png"}
    )
    assert (begun.status, begun.json["state"], begun.json["octets"]) == (201, "uploading", 1000)
    path = f"{FILE}/{begun.json['id']}"
    for first, last, status in ((5000, 5999, 416), (1000, 199_999, 200), (200_000, len(DATA) - 1, 202)):
        headers = {"Content-Range": f"bytes {first}-{last}/{len(DATA)}", "Content-Type": "image/png"}
        assert (await guest.http.call("PUT", path, DATA[first : last + 1], headers=headers)).status == status
    assert phone.files.all[(await phone.wait_for("file")).id].content == DATA


# who says no


async def test_a_declines(start: Start) -> None:
    world = await start(POLICY)
    await world.phone("a", files="msrp", on_file=603)
    guest = await world.guest("a")
    id = (await upload(guest, DATA)).json["id"]
    file = await until(guest, id, "declined")
    assert file["reason"] and (await guest.http.get(f"{FILE}/{id}")).status in (200, 410)


async def test_b_declines(start: Start) -> None:
    world = await start(f'{POLICY}[files]\naccept = "ask"\n')
    phone = await world.phone("a", files="msrp")
    guest = await world.guest("a")
    sending = asyncio.create_task(phone.files.send(B, DATA, name="x.bin"))
    file = await incoming(guest, "offered")
    assert (await guest.http.delete(f"{FILE}/{file['id']}")).status == 204
    with pytest.raises(RequestFailed, match="603"):
        await sending
    # and takes the next one
    sending = asyncio.create_task(phone.files.send(B, DATA, name="y.bin"))
    file = await incoming(guest, "offered", name="y.bin")
    assert (await guest.http.post(f"{FILE}/{file['id']}/accept")).status == 200
    assert (await sending).state == "done"
    assert (await guest.http.get(f"{FILE}/{file['id']}")).content == DATA


@one_core
async def test_limits(start: Start) -> None:
    """Too large, or of a type that may not pass: B is told by HTTP, A by SIP."""
    world = await start(f'{POLICY}[files]\nmax_size = 1000\ndeny = ["video/*"]\n')
    phone = await world.phone("a", files="msrp")
    guest = await world.guest("a")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(500)

    for body in (bytes(1001), pieces()):
        refused = await upload(guest, body)
        assert (refused.status, refused.json["type"].rpartition("/")[2]) == (413, "file-too-large"), refused
    refused = await upload(guest, b"x", content_type="video/mp4")
    assert (refused.status, refused.json["type"].rpartition("/")[2]) == (415, "file-type-refused"), refused
    with pytest.raises(RequestFailed, match="413"):
        await phone.files.send(B, bytes(1001), name="x.bin")
    with pytest.raises(RequestFailed, match="488"):
        await phone.files.send(B, b"x", name="x.mp4", content_type="video/mp4")
    assert phone.serial and not [event for event in phone.events if event.kind == "file-offered"]
    assert (await upload(guest, bytes(1000))).status == 202
    assert (await phone.files.send(B, bytes(1000), name="x.bin")).state == "done"


async def test_an_invitation_without_files(start: Start) -> None:
    world = await start(POLICY)
    phone = await world.phone("a", files="msrp")
    guest = await world.guest("a", types=["im"])
    refused = await upload(guest, DATA)
    assert refused.status == 403, refused
    with pytest.raises(RequestFailed, match="403"):
        await phone.files.send(B, DATA, name="x.bin")
    assert world.file_server.accounts.all() == []
    assert (await guest.http.get("/rcsgw/invitee/files")).json == {"files": []}
    await guest.say("but chats do")


@one_core
async def test_files_cannot_be_fetched_from_guests(start: Start) -> None:
    """D-FTM-05: the gateway has no files to show."""
    world = await start(POLICY)
    phone = await world.phone("a", files="msrp")
    await world.guest("a")
    wanted = FileAttributes(FileSelector("x.bin", size=5))
    path = phone.files.new_path("x.bin")
    file = PhoneFile(phone.files, B, "in", path, wanted.selector)
    with pytest.raises(RequestFailed, match="488"):
        await phone.agent.fetch_file(Uri.parse(B), wanted, file, file)
