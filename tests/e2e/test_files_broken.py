"""Files that do not get there in one go: cancelled, interrupted, outlived."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from gateway.lab.cutter import Cutter
from gateway.lab.phone import Phone
from gateway.lab.phonefiles import PhoneFile
from tests.e2e.conftest import Start, one_core
from tests.e2e.files import FILE, POLICY, B, incoming, octets, sha256, state_of, until, upload
from tests.e2e.world import Guest, World, eventually

LARGE = octets(8 << 20, seed=2)


def hold(phone: Phone) -> None:
    """Have the phone read no more of a file once it has got some of it."""

    def watch(file: PhoneFile) -> None:
        if file.direction == "in" and file.transfer is not None:
            phone.endpoint.hub.pause(file.transfer.msrp)

    phone.files.watch = watch


def let_go(phone: Phone, file: PhoneFile) -> None:
    """Read on."""
    phone.files.watch = lambda file: None
    if file.transfer is not None:
        phone.endpoint.hub.resume(file.transfer.msrp)


async def half_sent(world: World) -> tuple[Phone, Guest, str, PhoneFile]:
    """Have B send a file of which some is there."""
    phone = await world.phone("a", files="msrp")
    hold(phone)
    guest = await world.guest("a")
    answer = await upload(guest, LARGE)
    assert answer.status == 202, answer
    file = (await eventually(lambda: [file for file in phone.files.all.values() if file.octets]))[0]
    return phone, guest, answer.json["id"], file


def spool(world: World) -> list[Path]:
    """Return what lies in the gateway's folder of files."""
    return [path for path in (world.folder / "data" / "files").rglob("*") if path.is_file()]


@pytest.mark.parametrize("who", ["a", "b"])
async def test_a_file_of_b_is_cancelled(start: Start, who: str) -> None:
    """In the middle, from either side."""
    world = await start(POLICY)
    phone, guest, id, file = await half_sent(world)
    if who == "a":
        phone.files.cancel(file.id)
        let_go(phone, file)
    else:
        assert (await guest.http.delete(f"{FILE}/{id}")).status == 204
        let_go(phone, file)
    assert await file.ended == ("local" if who == "a" else "cancelled")
    assert (await until(guest, id, "cancelled"))["reason"]
    assert (await guest.http.get(f"{FILE}/{id}")).status == 410
    await eventually(lambda: spool(world) == [])


@pytest.mark.parametrize("who", ["a", "b"])
async def test_a_file_of_a_is_cancelled(start: Start, who: str) -> None:
    """In the middle, from either side; nothing of it stays."""
    world = await start(POLICY)
    phone = await world.phone("a", files="msrp")
    guest = await world.guest("a")
    cancel: list[str] = []

    def watch(file: PhoneFile) -> None:
        cancel.append(file.id)
        if who == "a":
            phone.files.cancel(file.id)
        elif file.transfer is not None:
            phone.endpoint.hub.pause(file.transfer.msrp)  # the answers to what it has sent

    phone.files.watch = watch
    sending = asyncio.create_task(phone.files.send(B, LARGE, name="x.bin"))
    await eventually(lambda: cancel)
    if who == "b":
        file = await incoming(guest, "receiving")
        assert (await guest.http.delete(f"{FILE}/{file['id']}")).status == 204
        phone.files.watch = lambda file: None
        [transfer] = [file.transfer for file in phone.files.all.values()]
        assert transfer is not None
        phone.endpoint.hub.resume(transfer.msrp)
    assert (await sending).state == ("local" if who == "a" else "cancelled")
    file = await incoming(guest, "cancelled")
    assert (await guest.http.get(f"{FILE}/{file['id']}")).status == 410
    await eventually(lambda: spool(world) == [])


async def test_a_restart_while_b_sends(start: Start) -> None:
    """The gateway goes on where it was."""
    world = await start(f"{POLICY}[files]\nretry = {{ first = 0.1 }}\n")
    phone, guest, id, file = await half_sent(world)
    await world.stop_gateway()
    let_go(phone, file)
    await file.ended
    await world.start_gateway()
    arrived = await phone.wait_for("file", timeout=30)
    assert arrived.text == sha256(LARGE)
    assert (await until(guest, id, "sent"))["hash"] == sha256(LARGE)


async def test_a_restart_while_a_sends(start: Start) -> None:
    world = await start(POLICY)
    phone = await world.phone("a", files="msrp")
    guest = await world.guest("a")
    told: list[int] = []
    phone.files.watch = lambda file: told.append(file.octets)
    sending = asyncio.create_task(phone.files.send(B, LARGE, name="x.bin", tries=100))
    await eventually(lambda: told)
    await world.stop_gateway()
    await world.start_gateway()
    assert (await sending).state == "done"
    file = await incoming(guest, "ready", timeout=30)
    assert (await guest.http.get(f"{FILE}/{file['id']}")).content == LARGE


# What it must show 5: a file interrupted at random bytes ten times arrives whole with the right hash.


def random_cuts(cutter: Cutter, seed: int) -> None:
    """Have the next ten connections break at random octets."""
    cutter.cuts += [random.Random(seed).randrange(1, len(LARGE) // 4) for seed in range(seed, seed + 10)]


@pytest.mark.parametrize("seed", [1, 100])
async def test_ten_interruptions_of_a_file_of_b(start: Start, seed: int) -> None:
    world = await start(f"{POLICY}[files]\nretry = {{ first = 0.05, longest = 0.2 }}\n")
    phone = await world.phone("a", files="msrp", cutter=True)
    assert phone.cutter is not None
    guest = await world.guest("a")
    random_cuts(phone.cutter, seed)
    id = (await upload(guest, LARGE)).json["id"]
    arrived = await phone.wait_for("file", timeout=60)
    assert (arrived.text, phone.cutter.done) == (sha256(LARGE), 10)
    assert (await until(guest, id, "sent"))["hash"] == sha256(LARGE)
    assert phone.files.all[arrived.id].content == LARGE


@pytest.mark.parametrize("seed", [1, 100])
async def test_ten_interruptions_of_a_file_of_a(start: Start, seed: int) -> None:
    async with Cutter("127.0.0.1") as cutter:
        world = await start(POLICY, more_msrp=f'advertise = "127.0.0.1:{cutter.address[1]}"')
        assert world.gateway is not None
        cutter.target = ("127.0.0.1", world.gateway.endpoint.hub.port)
        phone = await world.phone("a", files="msrp")
        guest = await world.guest("a")
        random_cuts(cutter, seed)
        assert (await phone.files.send(B, LARGE, name="x.bin", tries=50)).state == "done"
        assert cutter.done == 10
        file = await incoming(guest, "ready")
        assert (file["hash"], file["octets"]) == (sha256(LARGE), len(LARGE))
        assert (await guest.http.get(f"{FILE}/{file['id']}")).content == LARGE


# how long they are kept


@one_core
async def test_files_end_with_their_invitation(start: Start) -> None:
    world = await start(POLICY)
    phone = await world.phone("a", files="msrp")
    guest = await world.guest("a")
    assert (await phone.files.send(B, LARGE[:1000], name="x.bin")).state == "done"
    id = (await upload(guest, LARGE[:1000])).json["id"]
    await until(guest, id, "sent")
    assert spool(world)
    assert (await world.inviter().delete("/rcsgw/invitee/user/sip:b@cc.com")).status == 204
    await eventually(lambda: spool(world) == [] and world.rows("file") == [])
    assert (await guest.http.get(f"{FILE}/{id}")).status == 410


@one_core
async def test_files_expire(start: Start) -> None:
    world = await start(f"{POLICY}[files]\nttl = 1.5\n")
    phone = await world.phone("a", files="msrp")
    guest = await world.guest("a")
    assert (await phone.files.send(B, LARGE[:1000], name="x.bin")).state == "done"
    file = await incoming(guest, "ready")
    gone = await incoming(guest, "expired")
    assert gone["id"] == file["id"] and (await state_of(guest, file["id"]))["state"] == "expired"
    assert (await guest.http.get(f"{FILE}/{file['id']}")).status == 410
    assert spool(world) == []
    await guest.say("the rest stays")
