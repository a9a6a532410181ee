"""Who hides from whom (RFC 3323, RFC 3325): guests by configuration, inviters by their own wish."""

from __future__ import annotations

from pathlib import Path

from sipstack.sip.uri import Uri
from tests.e2e.world import embedded_world

ANONYMOUS = "sip:anonymous@anonymous.invalid"


async def test_a_guest_who_hides(tmp_path: Path) -> None:
    """The core knows who it is, and the inviter does not learn it."""
    async with embedded_world(tmp_path, more_core='\nprivacy = "id"') as world:
        phone, guest = await world.phone("a"), await world.guest("a")
        assert (await guest.send("who am I?")).status in (200, 202)
        message = await phone.wait_for("message")
        assert (message.text, message.peer) == ("who am I?", ANONYMOUS)
        (invite,) = world.sent("INVITE")
        assert "\r\nPrivacy: id\r\n" in invite and "\r\nP-Preferred-Identity: <sip:b" in invite


async def test_an_inviter_who_hides(tmp_path: Path) -> None:
    """B-CHT-05: the core keeps from the guest's side who it is, so no invitation joins the two."""
    async with embedded_world(tmp_path) as world:
        phone, guest = await world.phone("a"), await world.guest("a")
        phone.agent.privacy = "id"
        response = await phone.agent.message(Uri.parse(guest.account), b"guess who")
        assert response.status == 403
        phone.agent.privacy = ""
        assert (await phone.agent.message(Uri.parse(guest.account), b"it is me")).status == 200
