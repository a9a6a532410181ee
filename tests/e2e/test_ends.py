"""How relations end: nothing works any more, nothing is left behind, and other relations go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sipstack.errors import RequestFailed
from tests.e2e.client import EVENTS, MESSAGE, SESSION, Answer, Format, Http, kind, text_in
from tests.e2e.conftest import Start, one_core
from tests.e2e.world import Guest, World, eventually

USER = "/rcsgw/invitee/user"
VALID_FOR = 3.0
"""Seconds of an invitation that expires in a test: long enough to log in on a loaded machine."""


async def _logout(world: World, guest: Guest) -> None:
    assert (await guest.logout()).status == 204


async def _revocation(world: World, guest: Guest) -> None:
    assert (await world.inviter().delete(f"{USER}/sip:b@cc.com")).status == 204


async def _inviter_logout(world: World, guest: Guest) -> None:
    answer = await world.inviter().delete("/rcsgw/inviter/session")
    assert (answer.status, answer.json["ended"]) == (200, 1)


async def _expiry(world: World, guest: Guest) -> None:
    await eventually(lambda: not world.rows("account"))


ENDS: dict[str, tuple[Callable[[World, Guest], Awaitable[None]], str]] = {
    "logout": (_logout, "logout"),
    "revocation": (_revocation, "revoked"),
    "inviter-logout": (_inviter_logout, "inviter-logout"),
    "expiry": (_expiry, "expired"),
}


def calls(http: Http) -> list[Awaitable[Answer]]:
    """Return every call of a guest."""
    return [
        http.post(f"{SESSION}sip:b@cc.com"),
        http.get(f"{SESSION}sip:b@cc.com"),
        http.get("/rcsgw/invitee/status/sip:a@cc.com"),
        http.post(MESSAGE, {"to": "sip:a@cc.com", "message": "too late"}, root="message"),
        http.get("/rcsgw/invitee/messages"),
        http.get(f"{EVENTS}?after=0"),
        http.get(EVENTS, headers={"Accept": "text/event-stream"}),
        http.delete(f"{SESSION}sip:b@cc.com"),
    ]


async def assert_refused(http: Http, status: int, reason: str = "") -> None:
    """Every call gets this status."""
    for answer in await asyncio.gather(*calls(http)):
        assert answer.status == status, answer
        assert reason in answer.text


def assert_no_rows(world: World) -> None:
    """The store holds no row of the relation; of its end it keeps what tells the holder of the secret."""
    for table in ("account", "invitation", "registration", "delivery", "entry"):
        assert world.rows(table) == [], table
    assert len(world.rows("tombstone")) == 1


@pytest.mark.parametrize(
    ("end", "format"), [*((end, "json") for end in ENDS), ("logout", "xml"), ("revocation", "xml")]
)
async def test_the_end_of_the_last_relation(start: Start, format: Format, end: str) -> None:
    world = await start(format=format)
    phone = await world.phone("a")
    act, reason = ENDS[end]
    guest = await world.guest("a", valid_for=VALID_FOR if end == "expiry" else 3600)
    await guest.say("hello")
    await guest.wait_for_text("You said: hello")
    before = len(world.sent("REGISTER sip:cc.com"))
    async with guest.http.stream() as stream:
        await act(world, guest)
        # B is told, and the stream ends
        last = await stream.wait_for(kind("session", reason=reason))
        assert await stream.next() is None
    assert "uid" not in last["session"], "the whole session is over"
    # the SIP side: one BYE, then one REGISTER with Expires 0
    byes, registers = world.sent("BYE"), world.sent("REGISTER sip:cc.com")[before:]
    assert len(byes) == 1
    assert [text for text in registers if "\r\nExpires: 0\r\n" in text] == registers != []
    await phone.wait_for("closed")
    # core and IM server know the account no more
    assert world.core.accounts() == {"a", "c"}
    assert not await world.core.is_registered("b")
    assert world.im_server.accounts.all() == []
    await eventually(lambda: not world.im_server.is_online("sip:b@cc.com"))
    with pytest.raises(RequestFailed, match="40[34]"):
        await phone.call("sip:b@cc.com")
    # nothing of it in the store
    assert_no_rows(world)
    # the holder of the right secret is told why, others nothing
    await assert_refused(guest.http, 410, reason)
    await assert_refused(world.http(guest.user, "wrong"), 401)
    assert len(world.sent("INVITE")) == 1
    assert (await world.inviter().get(USER)).json["invitations"] == []
    assert (await world.inviter().delete(f"{USER}/sip:b@cc.com")).status == 404


@pytest.mark.parametrize("end", ["revocation", "inviter-logout", "expiry"])
async def test_a_second_inviter_is_untouched_by_the_end_of_the_first(start: Start, end: str) -> None:
    world = await start()
    alice, carol = await world.phone("a"), await world.phone("c", on_message="accept")
    act, reason = ENDS[end]
    by_carol = await world.guest("c")
    by_alice = await world.guest("a", valid_for=VALID_FOR if end == "expiry" else 3600)
    await by_alice.say("hello Alice")
    await by_carol.say("hello Carol", "sip:c@cc.com")
    registers = len(world.sent("REGISTER sip:cc.com"))
    async with by_carol.http.stream() as stream:
        if end == "expiry":
            await eventually(lambda: len(world.rows("invitation")) == 1)
        else:
            await act(world, by_alice)
        told = await stream.wait_for(kind("session", uid="a", reason=reason))
        assert told["session"]["state"] in ("ended", "revoked", "expired")
        # only A's chat ended
        await alice.wait_for("closed")
        assert len(world.sent("BYE")) == 1 and "\r\nTo: <sip:a@cc.com>" in world.sent("BYE")[0]
        assert [event for event in carol.events if event.kind == "closed"] == []
        # the rest goes on, in the same session and without a new REGISTER
        await by_carol.say("still here", "sip:c@cc.com")
        assert (await carol.say("sip:b@cc.com", "so am I")).state.value == "sent"
        await stream.wait_for(text_in("so am I"))
    assert len(world.sent("INVITE")) == 2
    assert len(world.sent("REGISTER sip:cc.com")) == registers
    assert await world.core.is_registered("b")
    assert "sip:b@cc.com" in world.im_server.accounts
    # A is out of reach, whichever credentials are used
    assert (await by_carol.send("Alice?", "sip:a@cc.com")).status == 403
    assert (await by_carol.status("sip:a@cc.com")).status == 403
    with pytest.raises(RequestFailed, match="403"):
        await alice.call("sip:b@cc.com")
    await assert_refused(by_alice.http, 410, reason)
    assert (await by_carol.login()).json["inviters"][0]["uid"] == "c"
    # of the relation no row is left, but the news of its end
    assert [row for row in world.rows("invitation") if "a" in row] == []
    assert [row for row in world.rows("entry") if "a" in row and "session" not in row] == []
    assert {line["uid"] for line in await by_carol.messages()} == {"c"}
    # when the last one ends, all does
    assert (await world.inviter("c").delete(f"{USER}/sip:b@cc.com")).status == 204
    assert world.core.accounts() == {"a", "c"}
    assert world.rows("account") == world.rows("entry") == []
    assert not await world.core.is_registered("b")


async def test_the_guests_logout_ends_all_relations(world: World) -> None:
    alice, carol = await world.phone("a"), await world.phone("c")
    by_alice, by_carol = await world.guest("a"), await world.guest("c")
    await by_alice.say("hello")
    await by_alice.say("hello", "sip:c@cc.com")
    assert (await by_alice.logout()).status == 204
    assert len(world.sent("BYE")) == 2
    await alice.wait_for("closed")
    await carol.wait_for("closed")
    assert world.rows("account") == world.rows("invitation") == world.rows("entry") == []
    await assert_refused(by_alice.http, 410, "logout")
    await assert_refused(by_carol.http, 410, "logout")


async def test_a_new_invitation_after_the_end(world: World) -> None:
    """The same person can be invited again; the old secret stays dead."""
    phone = await world.phone("a")
    old = await world.guest("a")
    await old.say("one")
    assert (await old.logout()).status == 204
    new = await world.guest("a")
    assert new.account == old.account and new.secret != old.secret
    assert await new.messages() == [], "nothing of the first time is left"
    await new.say("two")
    assert [event.text for event in phone.events if event.kind == "message"] == ["one", "two"]
    await assert_refused(old.http, 410, "logout")


async def test_the_end_before_any_login(world: World) -> None:
    guest = await world.invite("a")
    assert (await world.inviter().delete(f"{USER}/{guest.account}")).status == 204
    assert world.core.accounts() == {"a", "c"}
    assert world.im_server.accounts.all() == []
    assert_no_rows(world)
    await assert_refused(guest.http, 410, "revoked")
    assert world.sent("REGISTER sip:cc.com") == []


@one_core
async def test_only_ones_own_invitations_can_be_revoked(world: World) -> None:
    guest = await world.guest("a")
    assert (await world.inviter("c").delete(f"{USER}/{guest.account}")).status == 404
    assert (await world.inviter("c").post(f"{USER}/{guest.account}/resend")).status == 404
    assert (await world.inviter("c").delete("/rcsgw/inviter/session")).json["ended"] == 0
    assert (await guest.login()).status == 200


async def test_on_end_relation_keeps_the_account(start: Start) -> None:
    """By policy the account stays for the next inviter; the relation is gone all the same."""
    world = await start('[policy]\non_end = "relation"\n')
    phone = await world.phone("a")
    guest = await world.guest("a")
    await guest.say("hello")
    await guest.wait_for_text("You said: hello")
    assert (await guest.logout()).status == 204
    assert len(world.sent("BYE")) == 1
    assert "\r\nExpires: 0\r\n" in world.sent("REGISTER sip:cc.com")[-1]
    assert not await world.core.is_registered("b")
    assert world.core.accounts() == {"a", "b", "c"}
    assert "sip:b@cc.com" in world.im_server.accounts
    assert world.rows("invitation") == world.rows("delivery") == world.rows("entry") == []
    await assert_refused(guest.http, 410, "logout")
    # the next invitation finds the account as it was
    [account] = world.rows("account")
    again = await world.guest("c")
    assert world.rows("account")[0][:9] == account[:9]
    await world.phone("c")
    await again.say("hello", "sip:c@cc.com")
    await again.wait_for_text("You said: hello")
    assert [line["uid"] for line in await again.messages()] == ["c", "c"]
    assert (await again.send("hello", "sip:a@cc.com")).status == 403
    await phone.wait_for("closed")


async def test_a_message_on_its_way_when_the_end_comes(world: World) -> None:
    """Whoever waits for an answer gets one."""
    phone = await world.phone("a", on_invite="ring")
    guest = await world.guest("a")
    sending = asyncio.ensure_future(guest.send("hello"))
    await phone.wait_for("invited")
    assert (await world.inviter().delete(f"{USER}/{guest.account}")).status == 204
    answer = await sending
    assert answer.status in (202, 409, 410), answer
    await phone.wait_for("cancelled")
    assert_no_rows(world)
    await assert_refused(guest.http, 410, "revoked")
