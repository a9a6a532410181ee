"""What the tests of files share: networks with files, and a guest's calls about them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
import time
from typing import Any

from aiohttp import FormData

from tests.e2e.client import PATIENCE, Answer, Event
from tests.e2e.world import Guest

A, B = "sip:a@cc.com", "sip:b@cc.com"

POLICY = '[policy]\ntypes = ["im", "file"]\n'
"""Settings of a gateway whose invitations carry files."""

FILE = "/rcsgw/invitee/file"

OVER = {"sent", "delivered", "displayed", "ready", "failed", "declined", "cancelled", "expired"}

ICON = ("image/png", b"\x89PNG tiny")


def octets(size: int, seed: int = 1) -> bytes:
    """Return a file's content, the same in every run."""
    return random.Random(seed).randbytes(size)


def sha256(data: bytes) -> str:
    """Return the hash that events tell."""
    return hashlib.sha256(data).hexdigest()


async def upload(
    guest: Guest, data: Any, *, name: str = "x.bin", content_type: str = "application/octet-stream", **headers: str
) -> Answer:
    """Send a file to A as the body of a call."""
    sent = {"Content-Type": content_type, "Content-Disposition": f'attachment; filename="{name}"', **headers}
    return await guest.http.post(f"{FILE}?to={A}", data, headers=sent)


async def upload_form(guest: Guest, data: bytes, *, name: str, content_type: str) -> Answer:
    """Send a file with a thumbnail to A as a form."""
    form = FormData(quote_fields=False)  # names as browsers write them
    form.add_field("to", A)
    form.add_field("thumbnail", ICON[1], filename="t.png", content_type=ICON[0])
    form.add_field("file", io.BytesIO(data), filename=name, content_type=content_type)
    return await guest.http.post(FILE, form)


async def state_of(guest: Guest, id: str) -> Any:
    """Return what is known of a file."""
    answer = await guest.http.get(f"{FILE}/{id}/state")
    assert answer.status == 200, answer
    return answer.json


async def until(guest: Guest, id: str, *states: str, timeout: float = PATIENCE) -> Any:
    """Wait until a file has one of these states; AssertionError when it ends in another."""
    deadline = time.monotonic() + timeout
    while (file := await state_of(guest, id))["state"] not in states:
        assert file["state"] not in OVER or file["state"] in ("sent", "delivered", "ready"), file
        assert time.monotonic() < deadline, file
        await asyncio.sleep(0.01)
    return file


async def incoming(guest: Guest, *states: str, name: str = "", timeout: float = PATIENCE) -> Any:
    """Wait for an event of a file from A in one of these states; return the file."""

    def matches(event: Event) -> bool:
        file = event.get("file", {"direction": ""})
        return file["direction"] == "in" and file["state"] in states and name in ("", file["name"])

    return (await guest.http.wait_for_event(matches, timeout=timeout))["file"]


async def states_told(guest: Guest, id: str) -> list[str]:
    """Return the states of a file that events told, each once, in order."""
    told = [
        event["file"]["state"]
        for event in await guest.http.events()
        if event["kind"] == "file" and event["file"]["id"] == id
    ]
    return list(dict.fromkeys(told))
