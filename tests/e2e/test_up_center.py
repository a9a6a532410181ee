"""Inviters whom an UP Center proves: an operator's over HTTP, which may name accounts too, and Kamailio's tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.lab.kamailio import is_available
from gateway.lab.upcenter import Account, Subscriber, UpCenter, UpCenterOptions
from tests.e2e.client import Format, kind
from tests.e2e.conftest import Start, one_core
from tests.e2e.world import DOMAIN, NAMES, PASSWORDS, World, kamailio_world

USER = "/rcsgw/invitee/user"

PEOPLE = tuple(
    Subscriber(uid, PASSWORDS[uid], (f"sip:{uid}@{DOMAIN}",), NAMES[uid], level=2, emails=(f"{uid}@mail.example",))
    for uid in PASSWORDS
)


@pytest.fixture
async def center() -> AsyncIterator[UpCenter]:
    async with UpCenter(UpCenterOptions(domain=DOMAIN, subscribers=PEOPLE, token="let-me-in")) as center:
        yield center


def users(center: UpCenter, folder: Path, **keys: Any) -> str:
    """Return the tables of the gateway's configuration; its token is in a file."""
    (folder / "token").write_text("let-me-in\n")
    keys = {"url": center.url, "token_file": str(folder / "token"), "cache": 0, "timeout": "5s", **keys}
    lines = (f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in keys.items())
    return "[users]\ndriver = 'http'\n[users.http]\n" + "\n".join(lines) + "\n"


def joined(center: UpCenter, world: World) -> None:
    """Let the UP Center make its accounts known to the core and the interaction servers of a world."""

    async def made(account: Account) -> None:
        world.core.put(account.impi, account.password, (account.sip,))
        for server in (world.im_server, world.file_server):
            server.accounts.add(account.sip)

    async def gone(account: Account) -> None:
        world.core.remove(account.impi)
        for server in (world.im_server, world.file_server):
            server.accounts.remove(account.sip)

    center.options.made, center.options.gone = made, gone


async def test_both_flows_with_accounts_of_the_up_center(
    start: Start, center: UpCenter, tmp_path: Path, format: Format
) -> None:
    """Rows 4 and 6: the UP Center names the account and makes it known; the gateway registers it at login only."""
    world = await start(users=users(center, tmp_path, allocate=True), provisioning='driver = "none"', format=format)
    joined(center, world)
    phone = await world.phone("a")
    guest = await world.invite("a")
    assert guest.account == "sip:guest-1@cc.com" and world.core.accounts() == {"a", "c", "guest-1"}
    assert world.sent("REGISTER") == [], "no second registration"
    second = await world.invite("c")
    assert second.account == guest.account, "one account for one person"
    inviter = (await guest.login()).json["inviters"][0]
    assert (inviter["uid"], inviter["sip"], inviter["name"]) == ("a", "sip:a@cc.com", "Alice")
    await guest.say("abcdefg")
    await guest.wait_for_text("You said: abcdefg")
    assert (await guest.logout()).status == 204
    await phone.wait_for("closed")
    assert world.core.accounts() == {"a", "c"} and center.accounts == {}
    assert world.rows("account") == [] and "sip:guest-1@cc.com" not in world.im_server.accounts
    paths = [path for path, _ in center.calls]
    assert paths.count("/allocate") == 1 and paths.count("/release") == 1
    assert PASSWORDS["a"] not in str(center.calls)


@one_core
async def test_who_is_refused_takes_no_account(start: Start, center: UpCenter, tmp_path: Path) -> None:
    world = await start(
        users=users(center, tmp_path, allocate=True), provisioning='driver = "none"', policy="max_per_day = 1"
    )
    joined(center, world)
    await world.invite("a")
    answer = await world.inviter().post(USER, {"email": "d@cc.com"})
    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (429, "daily-quota")
    assert world.core.accounts() == {"a", "c", "guest-1"}
    center.options.accounts = 1
    answer = await world.inviter("c").post(USER, {"email": "e@cc.com"})
    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (503, "no-account-left")


@one_core
async def test_who_is_a_subscriber(start: Start, center: UpCenter, tmp_path: Path) -> None:
    """Rows 1 and 3: A's client asks first; the gateway asks again."""
    world = await start(users=users(center, tmp_path))
    a = world.inviter()
    found = await a.get("/rcsgw/user/c@mail.example")
    assert (found.status, found.json["known"], found.json["sip"]) == (200, "yes", "sip:c@cc.com")
    assert (await a.get("/rcsgw/user/b@mail.example")).status == 404
    answer = await a.post(USER, {"email": "c@mail.example"})
    assert (answer.status, answer.json["sip_uri"]) == (409, "sip:c@cc.com")
    guest = await world.invite("a")
    assert (await a.get(f"/rcsgw/user/{guest.account}")).status == 404, "a guest is no subscriber"


@one_core
async def test_an_up_center_that_is_away(start: Start, center: UpCenter, tmp_path: Path) -> None:
    """Nobody is let in and nobody refused for it; guests who are here go on."""
    world = await start(users=users(center, tmp_path, timeout="1s"))
    await world.phone("a")
    guest = await world.guest("a")
    await center.close()
    answer = await world.inviter().get(USER)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "let-me-in" not in answer.text and PASSWORDS["a"] not in answer.text
    await guest.say("still here")
    await guest.wait_for_text("You said: still here")


@one_core
async def test_an_inviter_who_is_suspended_in_the_middle_of_a_chat(
    start: Start, center: UpCenter, tmp_path: Path
) -> None:
    """Item 5: their invitations end as if revoked, and the guest is told; another inviter's go on."""
    world = await start(users=users(center, tmp_path), policy='on_suspend = "end"\nsuspend_check = 0.1')
    phone = await world.phone("a")
    await world.phone("c")
    guest = await world.guest("a")
    by_carol = await world.invite("c")
    await guest.say("hello")
    async with guest.http.stream() as stream:
        center.change("a", state="suspended")
        await stream.wait_for(kind("session", uid="a", reason="inviter-suspended"))
    await phone.wait_for("closed")
    answer = await guest.login()
    assert answer.status == 410 and "inviter-suspended" in answer.text
    refused = await world.inviter().post(USER, {"email": "d@cc.com"})
    assert (refused.status, refused.json["type"].rpartition("/")[2]) == (403, "subscriber-suspended")
    assert (await by_carol.login()).status == 200
    states = [body for path, body in center.calls if path == "/states"]
    assert states and all(len(body["uids"]) <= 2 for body in states)


@one_core
async def test_suspended_where_invitations_go_on(start: Start, center: UpCenter, tmp_path: Path) -> None:
    """The default: nothing new, and what runs runs."""
    world = await start(users=users(center, tmp_path))
    await world.phone("a")
    guest = await world.guest("a")
    center.change("a", state="lost")
    refused = await world.inviter().post(USER, {"email": "d@cc.com"})
    assert (refused.status, refused.json["type"].rpartition("/")[2]) == (403, "subscriber-lost")
    await guest.say("hello")
    await guest.wait_for_text("You said: hello")
    assert "/states" not in [path for path, _ in center.calls]


@pytest.mark.interop
async def test_subscribers_in_the_tables_of_kamailio(tmp_path: Path) -> None:
    """The same database has the subscribers and, by the provisioning driver, the guests; who is who stays clear."""
    if not is_available():
        pytest.skip("kamailio and kamailio-sqlite-modules are not installed")
    database = tmp_path / "kamailio" / "kamailio.db"
    section = f'[users]\ndriver = "kamailio"\n[users.kamailio]\ndatabase = "{database}"\n'
    async with kamailio_world(tmp_path, users=section) as world:
        await world.phone("a")
        guest = await world.guest("a")
        await guest.say("hello")
        await guest.wait_for_text("You said: hello")
        a = world.inviter()
        assert (await world.http("a", "wrong").get(USER)).status == 401
        assert (await world.http(guest.user, "").get(USER)).status == 401, "a guest is no inviter"
        assert (await a.get("/rcsgw/user/sip:c@cc.com")).json["known"] == "yes"
        assert (await a.get(f"/rcsgw/user/{guest.account}")).status == 404
        assert (await a.get("/rcsgw/user/c@mail.example")).json["known"] == "unknown", "there is no such column"
        second = await world.invite("c")
        assert second.account == guest.account
        assert (await guest.logout()).status == 204
        assert set(world.core.accounts()) == {"a", "c"}
