"""Inviters who are proven by the registrar itself: the ``register`` users driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.lab.kamailio import Kamailio, is_available
from tests.e2e.client import Format
from tests.e2e.conftest import Start, one_core
from tests.e2e.world import DOMAIN, World, kamailio_world

USER = "/rcsgw/invitee/user"
REGISTER = f'[users]\ndriver = "register"\nregister = {{ domains = ["{DOMAIN}"] }}\n'
NO_PROVISIONING = 'driver = "none"'


def queries(world: World) -> list[str]:
    """Return the REGISTERs that prove A, as they went out."""
    return [text for text in world.sent("REGISTER sip:cc.com") if "\r\nTo: <sip:a@cc.com>" in text]


async def test_a_is_proven_by_a_register_that_binds_nothing(start: Start) -> None:
    """No table of the core is configured at all: the gateway knows of A what the registrar says."""
    world = await start(users=REGISTER, provisioning=NO_PROVISIONING)
    assert "database" not in world.config_text and "alice-pw" not in world.config_text
    answer = await world.inviter().get(USER)
    assert (answer.status, answer.json["invitations"]) == (200, [])
    first, second = queries(world)
    assert "\r\nAuthorization:" not in first and "\r\nAuthorization: Digest" in second
    for text in (first, second):
        assert "\r\nContact:" not in text and "\r\nExpires:" not in text
    assert [text[:11] for text in world.received("SIP/2.0 ")] == ["SIP/2.0 401", "SIP/2.0 200"]
    assert not await world.core.is_registered("a")
    assert "alice-pw" not in str(world.wire())
    # proven for a minute
    assert (await world.inviter().get(USER)).status == 200
    assert len(queries(world)) == 2


async def test_nobody_else_is(start: Start) -> None:
    world = await start(users=REGISTER)
    for user, password in (
        ("a", "wrong"),
        ("a", "carol-pw"),
        ("nobody", "alice-pw"),
        ("a@elsewhere.example", "alice-pw"),
        ("a@127.0.0.1", "alice-pw"),
    ):
        for _ in range(2):
            answer = await world.http(user, password).post(USER, {"email": "b@cc.com"})
            assert (answer.status, answer.json["status"]) == (401, 401), (user, answer)
    assert world.rows("account") == []
    assert not [text for text in world.sent("REGISTER") if "elsewhere" in text or "To: <sip:a@127" in text]
    # the right password still does
    for user in ("a", "a@cc.com", "sip:a@cc.com"):
        assert (await world.http(user, "alice-pw").get(USER)).status == 200


async def test_both_flows_with_it(start: Start, format: Format) -> None:
    """Item 1 again, with an inviter of whom the gateway has no record."""
    world = await start(users=REGISTER, format=format)
    phone = await world.phone("a")
    guest = await world.guest("a")
    inviter = (await guest.login()).json["inviters"][0]
    assert inviter["sip"] == "sip:a@cc.com"
    assert (await guest.status()).json["status"] == "online"
    await guest.say("abcdefg")
    await guest.wait_for_text("You said: abcdefg")
    assert (await world.inviter("c").delete(f"{USER}/{guest.account}")).status == 404
    assert (await world.inviter().delete(f"{USER}/{guest.account}")).status == 204
    await phone.wait_for("closed")
    assert world.core.accounts() == {"a", "c"}
    # asking whether somebody is a subscriber has no answer here
    lookup = await world.inviter().get("/rcsgw/user/b@cc.com")
    assert (lookup.status, lookup.json["known"]) == (200, "unknown")


@one_core
async def test_unknown_people_may_be_refused(start: Start) -> None:
    world = await start(users=f'{REGISTER}on_unknown = "refuse"\n')
    answer = await world.inviter().post(USER, {"email": "b@cc.com"})
    assert answer.status in (409, 422, 403), answer
    assert world.rows("account") == []


@pytest.mark.interop
async def test_against_kamailio_with_sha256(tmp_path: Path) -> None:
    if not is_available():
        pytest.skip("kamailio and kamailio-sqlite-modules are not installed")
    async with kamailio_world(tmp_path, algorithm="SHA-256", users=REGISTER) as world:
        await world.phone("a")
        guest = await world.guest("a")
        assert "algorithm=SHA-256" in queries(world)[-1]
        await guest.say("hello")
        await guest.wait_for_text("You said: hello")
        assert isinstance(world.core.core, Kamailio)
        assert (await guest.logout()).status == 204
