"""Guests with accounts that the core had before the gateway knew of them."""

from __future__ import annotations

from pathlib import Path

from sipstack.sip.digest import compute_ha1
from tests.e2e.conftest import Start, one_core
from tests.e2e.world import DOMAIN, eventually

pytestmark = one_core


async def test_two_guests_of_a_pool_of_two(start: Start, tmp_path: Path) -> None:
    """One account comes with its password, the other with the hash of one algorithm of the two that the core offers."""
    ha1 = compute_ha1("g2", DOMAIN, "second", "MD5")
    pool = tmp_path / "pool.csv"
    pool.write_text(f"uri,password,ha1_md5\nsip:g1@{DOMAIN},first,\nsip:g2@{DOMAIN},,{ha1}\n")
    world = await start(provisioning='driver = "pool"\npool = { file = "pool.csv" }')
    world.core.put("g1", "first")
    world.core.put("g2", "second")
    phone = await world.phone("a")
    first, second = await world.guest(), await world.guest(email="d@cc.com")
    assert (first.account, second.account) == ("sip:g1@cc.com", "sip:g2@cc.com")
    for guest in (first, second):
        await guest.say(f"from {guest.user}")
    arrived = {(await phone.wait_for("message", peer=guest.account)).text for guest in (first, second)}
    assert arrived == {"from g1@cc.com", "from g2@cc.com"}
    answer = await world.inviter().post("/rcsgw/invitee/user", {"email": "e@cc.com"}, root="invite")
    assert answer.status == 503 and answer.json["type"].endswith("/no-account-left")
    # who has left is known to the interaction server no more, and to the core as before
    assert (await first.logout()).status == 204
    await eventually(lambda: "sip:g1@cc.com" not in str(world.rows("account")))
    assert world.core.accounts() == {"a", "c", "g1", "g2"}
    answer = await world.inviter().post("/rcsgw/invitee/user", {"email": "e@cc.com"}, root="invite")
    assert answer.status == 503 and int(answer.headers["Retry-After"]) > 600000  # it rests a week
    assert (await second.logout()).status == 204
