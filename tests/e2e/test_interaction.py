"""Flow 2, row by row: B talks to A (design: the two flows, interaction), and how sessions are used."""

from __future__ import annotations

import asyncio

import pytest

from sipstack.errors import RequestFailed
from sipstack.trace import WireRecord
from tests.e2e.client import MESSAGE, Format, kind, text_in
from tests.e2e.conftest import Start, one_core
from tests.e2e.world import PASSWORDS, World, eventually, subscribers


async def test_b_talks_to_a(start: Start, format: Format) -> None:
    """Rows 2 to 10, each with what it does on the wire."""
    world = await start(format=format)
    phone = await world.phone("a", on_message="accept")
    guest = await world.invite("a")
    # rows 2 to 5: login, REGISTER with digest, the inviters
    assert not await world.core.is_registered("b")
    login = (await guest.login()).json
    assert (login["account"], login["expires_at"]) == ("sip:b@cc.com", login["inviters"][0]["until"])
    assert [inviter["name"] for inviter in login["inviters"]] == ["Alice"]
    assert await world.core.is_registered("b")
    registers = [text for text in world.sent("REGISTER") if "\r\nTo: <sip:b@cc.com>" in text and "scscf" not in text]
    asked = [text for text in registers if "\r\nContact:" in text]
    assert "\r\nAuthorization: Digest" in asked[-1] and "response=" in asked[-1]
    assert any(text.startswith("SIP/2.0 401") for text in world.wire(direction="in"))
    await eventually(lambda: world.im_server.is_online("sip:b@cc.com"))
    # row 6: status
    status = (await guest.status()).json
    assert (status["sip"], status["uid"], status["status"]) == ("sip:a@cc.com", "a", "online")
    assert (await guest.status("a")).json["status"] == "online", "a UID does as well"
    assert len(world.sent("OPTIONS sip:a@cc.com")) == 1
    assert len(world.received("OPTIONS", actor="phone a")) == 1
    # rows 7 and 8: INVITE with MSRP SDP through core and IM server, ACK, MSRP, SEND
    await guest.say("hello <&> Grüße 你好")
    [invite] = world.sent("INVITE sip:a@cc.com")
    assert "\r\nm=message " in invite and "\r\na=path:msrp://" in invite
    assert len(world.received("INVITE", actor="im server")) == 1
    [arrived] = world.received("INVITE", actor="phone a")
    assert "\r\nP-Asserted-Identity: <sip:b@cc.com>" in arrived
    assert len(world.sent("ACK")) == 1
    message = await phone.wait_for("message")
    assert (message.peer, message.text) == ("sip:b@cc.com", "hello <&> Grüße 你好")
    # row 9: A → gateway → B
    assert (await phone.say("sip:b@cc.com", "hi <b>")).state.value == "sent"
    event = await guest.wait_for_text("hi <b>")
    assert (event["message"]["from"], event["message"]["uid"]) == ("sip:a@cc.com", "a")
    lines = await guest.messages()
    assert [(line["direction"], line["state"]) for line in lines] == [("out", "sent"), ("in", "delivered")]
    # row 10: the end; everything is done when the answer comes
    assert (await guest.logout()).status == 204
    assert len(world.sent("BYE")) == 1
    assert "\r\nExpires: 0\r\n" in world.sent("REGISTER sip:cc.com")[-1]
    assert not await world.core.is_registered("b")
    assert world.core.accounts() == {"a", "c"}
    assert world.im_server.accounts.all() == []


async def test_one_session_for_many_messages(world: World) -> None:
    """The first message opens one INVITE and one MSRP connection; ten more reuse them."""
    phone = await world.phone("a")
    guest = await world.guest("a")
    await guest.say("first")
    for number in range(10):
        await guest.say(f"more {number}")
    await guest.wait_for_text("You said: more 9")
    texts = [event.text for event in phone.events if event.kind == "message"]
    assert texts == ["first", *(f"more {number}" for number in range(10))]
    assert len(world.sent("INVITE")) == len(world.sent("ACK")) == 1
    assert world.msrp_connections() == world.msrp_connections("phone a") == 1
    assert world.sent("BYE") == []


async def test_messages_at_once_share_one_session(world: World) -> None:
    """Whoever comes while the session is being opened waits for it."""
    phone = await world.phone("a", on_message="accept", delay=0.1)
    guest = await world.guest("a")
    texts = [f"text {number}" for number in range(10)]
    await asyncio.gather(*(guest.say(text) for text in texts))
    assert sorted(event.text for event in phone.events if event.kind == "message") == texts
    assert len(world.sent("INVITE")) == 1
    assert world.msrp_connections() == 1


async def test_a_message_of_a_mebibyte_arrives_whole(world: World) -> None:
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    text = "".join(f"{number:07d}\n" for number in range(1 << 17))
    assert len(text) == 1 << 20
    await guest.say(text)
    assert (await phone.wait_for("message")).text == text
    assert (await phone.say("sip:b@cc.com", text[::-1])).state.value == "sent"
    await guest.wait_for_event(text_in(text[::-1]))
    assert len(world.sent("INVITE")) == 1


@one_core
async def test_a_message_that_is_too_long(world: World) -> None:
    phone = await world.phone("a")
    guest = await world.guest("a")
    answer = await guest.send("x" * ((2 << 20) + 1))
    assert (answer.status, answer.json["status"]) == (413, 413)
    await guest.say("shorter")
    assert (await phone.wait_for("message")).text == "shorter"


async def test_a_speaks_first(world: World) -> None:
    """A's INVITE opens a session too, and B answers in it."""
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    async with guest.http.stream() as stream:
        assert (await phone.say("sip:b@cc.com", "are you there?")).state.value == "sent"
        event = await stream.wait_for(text_in("are you there?"))
    assert event["message"]["from"] == "sip:a@cc.com"
    await guest.say("yes")
    assert (await phone.wait_for("message")).text == "yes"
    assert world.sent("INVITE") == []
    assert world.msrp_connections() == 1


async def test_a_page_message_of_a(world: World) -> None:
    """SIP MESSAGE arrives as any other message."""
    phone = await world.phone("a")
    guest = await world.guest("a")
    response = await phone.agent.message(phone.agent.identity.aor.parse("sip:b@cc.com"), b"by the way")
    assert response.status == 200
    await guest.wait_for_text("by the way")
    assert world.received("INVITE") == []


async def test_only_inviters_reach_a_guest(world: World) -> None:
    """INVITE, OPTIONS and MESSAGE of anybody else get 403 (design: A may also speak first)."""
    alice, carol = await world.phone("a"), await world.phone("c")
    guest = await world.guest("a")
    assert await alice.ask("sip:b@cc.com") == 200
    with pytest.raises(RequestFailed, match="403"):
        await carol.call("sip:b@cc.com")
    assert await carol.ask("sip:b@cc.com") == 403
    assert (await carol.agent.message(carol.agent.identity.aor.parse("sip:b@cc.com"), b"psst")).status == 403
    assert await guest.http.events() == []
    assert len(world.received("INVITE sip:")) == 1, "the refusal is the gateway's own"


async def test_a_guest_reaches_inviters_only(start: Start, format: Format) -> None:
    """Row 7: 403 without a relation, and nothing on the wire."""
    world = await start(format=format)
    carol = await world.phone("c")
    guest = await world.guest("a")
    for stranger in ("sip:c@cc.com", "c", "sip:b@cc.com", "sip:nobody@cc.com", "tel:+4915112345678"):
        for answer in (await guest.status(stranger), await guest.send("hello", stranger)):
            assert (answer.status, answer.json["status"]) == (403, 403), (stranger, answer)
    assert (await guest.http.get("/rcsgw/invitee/messages", params={"with": "sip:c@cc.com"})).status == 403
    assert world.sent("OPTIONS") == world.sent("INVITE") == []
    assert [event.kind for event in carol.events] == ["registered"]


async def test_any_identity_of_an_inviter(start: Start) -> None:
    """A may be named, and may speak, by each of their identities."""
    identities = ("sip:a@cc.com", "sip:alice@cc.com")
    users = subscribers().replace('["sip:a@cc.com"]', str(list(identities)).replace("'", '"'))
    world = await start(users=users)
    world.core.put("a", PASSWORDS["a"], identities)
    world.im_server.add_members(identities)
    phone = await world.phone("a", identity="sip:alice@cc.com", on_message="accept")
    guest = await world.guest("a")
    assert (await guest.status("sip:alice@cc.com")).json["uid"] == "a"
    assert (await phone.say("sip:b@cc.com", "hello")).state.value == "sent"
    event = await guest.wait_for_text("hello")
    assert (event["message"]["uid"], event["message"]["from"]) == ("a", "sip:a@cc.com")
    for name in ("a", "sip:alice@cc.com", "sip:ALICE@cc.com", "sip:a@CC.com"):
        answer = await guest.send(f"to {name}", name)
        assert answer.status == (403 if "ALICE" in name else 200), (name, answer)
    texts = [event.text for event in phone.events if event.kind == "message"]
    assert texts == ["to a", "to sip:alice@cc.com", "to sip:a@CC.com"]
    assert world.sent("INVITE") == []


async def test_over_udp(start: Start) -> None:
    """The same over UDP, which gives way to TCP where a request is too long for it."""
    world = await start(transport="udp")
    phone = await world.phone("a")
    guest = await world.guest("a")
    assert (await guest.status()).json["status"] == "online"
    await guest.say("hello")
    await guest.wait_for_text("You said: hello")
    used = {
        record.transport
        for record in world.records
        if isinstance(record, WireRecord) and (record.actor, record.protocol) == ("gateway", "SIP")
    }
    assert "UDP" in used
    assert (await guest.logout()).status == 204
    await phone.wait_for("closed")
    assert not await world.core.is_registered("b")


async def test_many_logins_at_once(world: World) -> None:
    """Ten tabs are one registration."""
    guest = await world.invite("a")
    looks = asyncio.gather(*(guest.messages() for _ in range(5)))
    assert [answer.status for answer in await asyncio.gather(*(guest.login() for _ in range(5)))] == [200] * 5
    assert await looks == [[]] * 5
    assert len([text for text in world.sent("REGISTER sip:cc.com") if "\r\nContact:" in text]) == 2, "401, then 200"
    await guest.login()
    assert len(world.sent("REGISTER sip:cc.com")) == 2


async def test_two_guests_of_one_inviter_do_not_see_each_other(world: World) -> None:
    phone = await world.phone("a")
    bob = await world.guest("a", "b@cc.com")
    dora = await world.guest("a", "d@cc.com")
    await bob.say("I am Bob")
    await dora.say("I am Dora")
    await bob.wait_for_text("You said: I am Bob")
    await dora.wait_for_text("You said: I am Dora")
    assert [line["message"] for line in await bob.messages()] == ["I am Bob", "You said: I am Bob"]
    assert "Bob" not in str(await dora.http.events()) and "Dora" not in str(await bob.http.events())
    assert "d@cc.com" not in (await bob.login()).text and "b@cc.com" not in (await dora.login()).text
    for answer in (await bob.send("psst", dora.account), await bob.status(dora.account)):
        assert answer.status == 403
    # credentials of one open nothing of the other
    assert (await world.http(dora.user, bob.secret).get("/rcsgw/invitee/messages")).status == 401
    assert (await bob.http.delete(dora.session)).status == 403
    assert len(phone.chats) == 2
    assert (await bob.logout()).status == 204
    await dora.say("still here")
    assert len(world.sent("INVITE")) == 2


async def test_after_a_hung_up_the_next_message_opens_a_new_session(world: World) -> None:
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    await guest.say("one")
    await phone.hang_up("sip:b@cc.com")
    assert len(world.received("BYE")) == 1
    await guest.say("two")
    assert [event.text for event in phone.events if event.kind == "message"] == ["one", "two"]
    assert len(world.sent("INVITE")) == 2


async def test_an_idempotency_key_makes_a_retry_harmless(world: World) -> None:
    phone = await world.phone("a", on_message="accept")
    guest = await world.guest("a")
    key = {"Idempotency-Key": "k-1"}
    twice = await asyncio.gather(guest.send("once", headers=key), guest.send("once", headers=key))
    again = await guest.send("once", headers=key)
    in_body = await guest.http.post(MESSAGE, {"to": "a", "message": "once", "id": "k-1"})
    assert {answer.json["id"] for answer in (*twice, again, in_body)} == {twice[0].json["id"]}
    other = await guest.send("another text", headers=key)
    assert (other.status, other.json["message_id"]) == (422, again.json["id"])
    await guest.say("last")
    assert [event.text for event in phone.events if event.kind == "message"] == ["once", "last"]
    # a restart forgets nothing of it
    await world.stop_gateway()
    await world.start_gateway()
    assert (await guest.send("once", headers=key)).json["id"] == again.json["id"]
    await guest.say("very last")
    assert [event.text for event in phone.events if event.kind == "message"] == ["once", "last", "very last"]


async def test_a_slow_peer_is_pending_first(start: Start) -> None:
    """202 after message_wait; the outcome follows as an event."""
    world = await start("[policy]\nmessage_wait = 0.1\n")
    phone = await world.phone("a", on_invite="ask", on_message="accept")
    guest = await world.guest("a")
    answer = await guest.send("patience")
    assert (answer.status, answer.json["state"]) == (202, "pending")
    await phone.wait_for("invited")
    assert [line["state"] for line in await guest.messages()] == ["pending"]
    phone.accept("sip:b@cc.com")
    await guest.wait_for_event(kind("receipt", id=answer.json["id"], state="sent"))
    assert [line["state"] for line in await guest.messages()] == ["sent"]


@one_core
async def test_b_is_told_to_log_in_first(world: World) -> None:
    """Without credentials, or with wrong ones, nothing works, and accounts cannot be told apart."""
    guest = await world.guest("a")
    wrong = world.http(guest.user, "wrong")
    unknown = world.http("nobody@cc.com", "wrong")
    nobody = world.http()
    for client in (wrong, unknown, nobody):
        for answer in (
            await client.get("/rcsgw/invitee/messages"),
            await client.get("/rcsgw/invitee/status/a"),
            await client.post(MESSAGE, {"to": "a", "message": "x"}),
        ):
            assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Basic")
    answers = [await client.get("/rcsgw/invitee/messages") for client in (wrong, unknown)]
    assert len({(answer.status, answer.json["type"], answer.json["detail"]) for answer in answers}) == 1
    assert world.sent("OPTIONS") == world.sent("INVITE") == []


@one_core
@pytest.mark.parametrize("trace", ["4bf92f3577b34da6a3ce929d0e0e4736", None], ids=["the client's", "made up"])
async def test_one_correlation_id_from_http_to_sip(world: World, trace: str | None) -> None:
    """W3C trace-id over HTTP, Session-ID over SIP."""
    await world.phone("a", on_invite=486)
    guest = await world.guest("a")
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"} if trace else {}
    refused = await guest.send("hello", headers=headers)
    assert refused.status == 409 and refused.json["trace"] == (trace or refused.json["trace"])
    [invite] = world.sent("INVITE sip:a@cc.com")
    assert f"\r\nSession-ID: {refused.json['trace']};remote={'0' * 32}\r\n" in invite
