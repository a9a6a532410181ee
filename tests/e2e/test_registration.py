"""Flow 1, row by row: A invites B (design: the two flows, registration)."""

from __future__ import annotations

import re
from email.message import EmailMessage

import pytest

from tests.e2e.client import INVITER_EVENTS, Format, kind
from tests.e2e.conftest import Start, one_core
from tests.e2e.world import World, eventually, subscribers

USER = "/rcsgw/invitee/user"


async def test_a_invites_b(start: Start, format: Format) -> None:
    """Rows 2 to 8: one call, then core, IM server and mailbox know what they have to."""
    world = await start(format=format)
    a = world.inviter()
    answer = await a.post(USER, {"email": "b@cc.com", "note": "Hello Bob"}, root="invite")
    assert (answer.status, answer.headers["Location"]) == (201, f"{USER}/sip:b@cc.com")
    invitation = answer.json
    assert (invitation["account"], invitation["identifier"]) == ("sip:b@cc.com", "b@cc.com")
    assert (invitation["state"], invitation["types"], invitation["note"]) == ("active", ["im"], "Hello Bob")
    # rows 5 and 6: first and second registration
    assert "b" in world.core.accounts()
    assert "sip:b@cc.com" in world.im_server.accounts
    assert not await world.core.is_registered("b"), "known, but not logged in"
    [second] = world.sent("REGISTER")
    assert "\r\nTo: <sip:b@cc.com>" in second and "\r\nFrom: <sip:rcsgw@cc.com>" in second
    # row 8: the link, and its state for A
    guest = await world.guest_from_mail()
    mail = world.mailbox.mails[-1]
    assert isinstance(mail.parse(), EmailMessage)
    for part in (mail.part("plain"), mail.part("html")):
        assert "Alice" in part and "Hello Bob" in part and guest.link in part.replace("&amp;", "&")
    assert re.fullmatch(r"http://127\.0\.0\.1:8080/rcsgw/invitee/session/sip:b@cc\.com#passwd=[\w-]{22,}", guest.link)
    assert guest.secret not in answer.text, "A never sees it"
    sent = await a.wait_for_event(
        lambda event: event["invitation"].get("delivery", {}).get("state") == "sent", path=INVITER_EVENTS
    )
    assert sent["kind"] == "invitation" and guest.secret not in str(sent)
    listed = (await a.get(USER)).json["invitations"]
    assert [(item["account"], item["delivery"]["state"]) for item in listed] == [("sip:b@cc.com", "sent")]
    assert (await a.get(f"{USER}/sip:b@cc.com")).json == listed[0]


@one_core
async def test_who_is_a_subscriber(start: Start, format: Format) -> None:
    """Row 1: the UP Center knows subscribers, and nobody else."""
    world = await start(format=format, users=subscribers().replace('name = "Carol"', 'emails = ["carol@example.org"]'))
    a = world.inviter()
    known = await a.get("/rcsgw/user/carol@example.org")
    assert (known.status, known.json["known"], known.json["sip"]) == (200, "yes", "sip:c@cc.com")
    assert (await a.get("/rcsgw/user/sip:c@cc.com")).json["sip"] == "sip:c@cc.com"
    unknown = await a.get("/rcsgw/user/b@cc.com")
    assert (unknown.status, unknown.json["status"]) == (404, 404)
    # row 3: ordinary RCS for subscribers, the gateway is not involved
    answer = await a.post(USER, {"email": "carol@example.org"}, root="invite")
    assert (answer.status, answer.json["sip_uri"]) == (409, "sip:c@cc.com")
    assert world.rows("account") == world.rows("invitation") == []


@one_core
async def test_refused_invitations_leave_nothing(world: World) -> None:
    """Row 3: who is A, may A invite, is there a channel; nothing is allocated otherwise."""
    refused: list[tuple[str, str, dict[str, object], int]] = [
        ("a", "wrong", {"email": "b@cc.com"}, 401),
        ("nobody", "alice-pw", {"email": "b@cc.com"}, 401),
        ("a", "alice-pw", {"phone": "+4915112345678"}, 422),
        ("a", "alice-pw", {"email": "no address"}, 422),
        ("a", "alice-pw", {}, 422),
        ("a", "alice-pw", {"email": "b@cc.com", "valid_for": 1e8}, 422),
        ("a", "alice-pw", {"email": "b@cc.com", "types": ["file"]}, 403),
        ("a", "alice-pw", {"email": "b@cc.com\r\nBcc: x@cc.com"}, 422),
    ]
    for user, password, body, status in refused:
        answer = await world.http(user, password).post(USER, body)
        assert answer.status == status, (body, answer)
        assert answer.json["type"] and answer.json["trace"]
    assert (await world.inviter().post(USER, {"phone": "+4915112345678"})).json["type"].endswith("no-channel")
    assert world.rows("account") == world.rows("invitation") == world.rows("delivery") == []
    assert "b" not in world.core.accounts()
    assert world.sent("REGISTER") == []


@one_core
@pytest.mark.parametrize(
    ("policy", "state", "status"),
    [("active", "suspended", 403), ("active", "active", 201), ("level", "active", 403), ("any", "suspended", 403)],
)
async def test_who_may_invite(start: Start, policy: str, state: str, status: int) -> None:
    """Row 3: the operator's policy."""
    users = subscribers().replace('name = "Alice"', f'state = "{state}"\nlevel = 1')
    level = "\nmin_level = 2" if policy == "level" else ""
    world = await start(f'[policy]\ninvite = "{policy}"{level}\n', users=users)
    assert (await world.inviter().post(USER, {"email": "b@cc.com"})).status == status


async def test_the_account_of_a_guest_is_reused(world: World) -> None:
    """Row 3: the second inviter of the same person gets the same account, with a secret of its own."""
    first = await world.invite("a")
    second = await world.invite("c")
    again = await world.inviter().post(USER, {"email": "B@CC.com"})
    assert (again.status, again.json["account"]) == (201, "sip:b@cc.com")
    assert first.account == second.account == "sip:b@cc.com"
    assert first.secret != second.secret
    assert len(world.rows("account")) == 1 and len(world.rows("invitation")) == 2
    assert len(world.mailbox.mails) == 2, "the same inviter's repeat sends no second mail"


@one_core
async def test_secrets_are_not_readable_in_the_store(world: World) -> None:
    guest = await world.guest("a")
    await world.stop_gateway()
    for file in (world.folder / "data").rglob("*"):
        assert file.is_dir() or guest.secret.encode() not in file.read_bytes(), file.name


async def test_second_registration_at_the_first_message(start: Start) -> None:
    """Row 6 by policy: at the latest before the first message is forwarded."""
    world = await start(interaction='driver = "sip"\nregister_at = "first_message"')
    phone = await world.phone("a")
    guest = await world.guest("a")
    assert "sip:b@cc.com" not in world.im_server.accounts
    await guest.say("hello")
    assert "sip:b@cc.com" in world.im_server.accounts
    assert (await phone.wait_for("message")).text == "hello"
    assert (await guest.logout()).status == 204
    assert "sip:b@cc.com" not in world.im_server.accounts


async def test_a_resend_kills_the_old_secret(start: Start) -> None:
    world = await start(policy="resend_pause = 0")
    old = await world.guest("a")
    assert (await old.messages()) == []
    newest = world.newest_mail
    async with old.http.stream() as stream:
        answer = await world.inviter().post(f"{USER}/sip:b@cc.com/resend")
        assert (answer.status, answer.json["state"]) == (200, "active")
        assert await stream.next() is None, "what the old secret had opened is closed"
    new = await world.guest_from_mail(after=newest)
    assert new.secret != old.secret
    for refused in (
        await old.login(),
        await old.status(),
        await old.send("x"),
        await old.http.get("/rcsgw/invitee/events"),
    ):
        assert refused.status == 410, refused
    assert (await new.login()).status == 200
    assert await world.core.is_registered("b")
    assert len(world.rows("invitation")) == 1


@pytest.mark.parametrize("naming", ["derived", "identifier", "serial"])
async def test_names_of_accounts(start: Start, naming: str) -> None:
    """Whatever the account is called, its owner can log in and chat."""
    world = await start(accounts=f'naming = "{naming}"')
    phone = await world.phone("a")
    guest = await world.guest("a", "bob@example.org")
    assert re.fullmatch(r"sip:[^@]+@cc\.com", guest.account)
    assert guest.user.partition("@")[0] in world.core.accounts()
    await guest.say("hello")
    assert (await phone.wait_for("message")).peer == guest.account
    assert (await guest.logout()).status == 204
    await eventually(lambda: world.core.accounts() == {"a", "c"})


async def test_an_unproven_look_at_the_link_changes_nothing(world: World) -> None:
    """Interaction, row 1: browsers and mail scanners get the page; nobody is logged in by that."""
    guest = await world.invite("a")
    link = f"{guest.session}?passwd={guest.secret}"
    for accept in ("*/*", "text/html,application/xhtml+xml,*/*;q=0.8", ""):
        answer = await world.http().get(link, headers={"Accept": accept})
        assert answer.status == 200 and "<html" in answer.text
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert (await world.http().call("HEAD", link, headers={"Accept": "application/json"})).status == 200
    assert not await world.core.is_registered("b")
    answer = await world.http().get(link)
    assert answer.json["account"] == "sip:b@cc.com"
    assert await world.core.is_registered("b")


@one_core
async def test_events_of_an_invitation_for_its_inviter(world: World) -> None:
    a = world.inviter()
    async with a.stream(INVITER_EVENTS) as stream:
        await world.invite("a")
        await stream.wait_for(kind("invitation", state="active"))
        assert (await a.delete(f"{USER}/sip:b@cc.com")).status == 204
        ended = await stream.wait_for(kind("invitation", state="ended"))
        assert ended["invitation"]["reason"] == "revoked"
    assert await world.inviter("c").events(INVITER_EVENTS) == []
