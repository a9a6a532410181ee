"""The calls of an inviter, over real sockets."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.config.settings import ThrottleSection
from gateway.services import AlreadySubscriber, NoChannel, Unavailable
from tests.gateway.http.fakes import ACCOUNT, INVITER, House, basic, running

USER = "/rcsgw/invitee/user"
XML = {"Accept": "application/xml", "Content-Type": "application/xml"}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with running() as house:
        yield house


async def test_invite(house: House) -> None:
    """The mission's own call."""
    async with house.client.post(USER, json={"email": "b@cc.com"}, headers=INVITER) as answer:
        assert answer.status == 201
        assert answer.headers["Location"] == "/rcsgw/invitee/user/sip:b@cc.com"
        body = await answer.json()
    assert body["account"] == ACCOUNT
    assert body["delivery"] == {"channel": "email", "state": "queued"}
    assert "passwd" not in str(body)
    async with house.client.get(answer.headers["Location"], headers=INVITER) as shown:
        assert await shown.json() == body
    assert house.inviters.checks == [("a", "pässwörd:1", "127.0.0.1")] * 2


async def test_invite_in_xml(house: House) -> None:
    house.inviters.state = "preparing"
    body = "<invite><phone>+4915112345678</phone><types>im</types><types>file</types><valid_for>60</valid_for></invite>"
    async with house.client.post(USER, data=body, headers=INVITER | XML) as answer:
        assert answer.status == 202
        root = ET.fromstring(await answer.read())
    assert root.tag == "invitation"
    assert root.findtext("delivery/state") == "queued"
    request = house.inviters.calls[0][1]
    assert (request.phone, request.types, request.valid_for) == ("+4915112345678", ["im", "file"], 60.0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "email"),
        ({"email": "b@cc.com", "phone": "+4915112345678"}, "email"),
        ({"email": "no address"}, "email"),
        ({"phone": "12"}, "phone"),
        ({"email": 5}, "email"),
        ({"email": "b@cc.com", "types": ["video"]}, "types[0]"),
        ({"email": "b@cc.com", "types": []}, "types"),
        ({"email": "b@cc.com", "valid_for": 0}, "valid_for"),
        ({"email": "b@cc.com", "valid_for": 1e300}, "valid_for"),
        ({"email": "b@cc.com", "language": "english!"}, "language"),
        ({"email": "b@cc.com", "via": "Fax Machine"}, "via"),
        ({"email": "b@cc.com", "note": "x" * 501}, "note"),
    ],
)
async def test_invalid_invitation(house: House, body: dict[str, Any], field: str) -> None:
    async with house.client.post(USER, json=body, headers=INVITER) as answer:
        assert answer.status == 422
        problem = await answer.json()
    assert problem["field"] == field
    assert house.inviters.calls == []


async def test_invite_refused(house: House) -> None:
    house.inviters.error = AlreadySubscriber("b@cc.com is a subscriber.", "sip:bob@cc.com")
    async with house.client.post(USER, json={"email": "b@cc.com"}, headers=INVITER) as answer:
        assert answer.status == 409
        problem = await answer.json()
    assert (problem["type"], problem["sip_uri"]) == ("/problems/already-subscriber", "sip:bob@cc.com")
    house.inviters.error = NoChannel("Nothing brings a link to a number yet.")
    async with house.client.post(USER, json={"phone": "+4915112345678"}, headers=INVITER) as answer:
        assert (answer.status, (await answer.json())["type"]) == (422, "/problems/no-channel")
    house.inviters.error = Unavailable("The core does not answer.", retry_after=5)
    async with house.client.post(USER, json={"email": "b@cc.com"}, headers=INVITER) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("user", ["a", "sip:a@cc.com", "a@cc.com", "SIP:a@CC.com"])
async def test_user_id_with_and_without_scheme(house: House, user: str) -> None:
    async with house.client.get(USER, headers=basic(user, "pässwörd:1")) as answer:
        assert answer.status == 200
    assert house.inviters.checks[0][0] in ("a", "sip:a@cc.com")


async def test_wrong_password(house: House) -> None:
    for headers in (basic("a", "wrong"), {}, {"Authorization": "Bearer x"}, {"Authorization": "Basic !"}):
        async with house.client.post(USER, json={"email": "b@cc.com"}, headers=headers) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert house.inviters.calls == []


async def test_inviter_checks_are_throttled() -> None:
    async with running(throttle=ThrottleSection(logins=100, addresses=2, window=600.0)) as house:
        for number, expected in enumerate((401, 401, 429)):
            async with house.client.get(USER, headers=basic(f"user{number}", "guess")) as answer:
                assert answer.status == expected
        assert len(house.inviters.checks) == 2


async def test_lookup(house: House) -> None:
    async with house.client.get("/rcsgw/user/b@cc.com", headers=INVITER) as answer:
        assert await answer.json() == {"identifier": "b@cc.com", "known": "yes", "sip": "sip:b@cc.com"}
    house.inviters.known = "unknown"
    async with house.client.get("/rcsgw/user/tel:%2B4915112345678", headers=INVITER) as answer:
        assert await answer.json() == {"identifier": "tel:+4915112345678", "known": "unknown"}
    house.inviters.known = "no"
    async with house.client.get("/rcsgw/user/sip:x@cc.com", headers=INVITER) as answer:
        assert answer.status == 404


async def test_lookups_are_throttled() -> None:
    async with running(throttle=ThrottleSection(lookups=2, lookup_window=600.0)) as house:
        house.inviters.error = AlreadySubscriber("b@cc.com is a subscriber.", "sip:bob@cc.com")
        async with house.client.post(USER, json={"email": "b@cc.com"}, headers=INVITER) as answer:
            assert answer.status == 409
        house.inviters.error = None
        async with house.client.post(USER, json={"email": "c@cc.com"}, headers=INVITER) as answer:
            assert answer.status == 201
        async with house.client.get("/rcsgw/user/b@cc.com", headers=INVITER) as answer:
            assert answer.status == 200
        asked = len(house.inviters.calls)
        for call in (
            house.client.get("/rcsgw/user/c@cc.com", headers=INVITER),
            house.client.post(USER, json={"email": "c@cc.com"}, headers=INVITER),
        ):
            async with call as answer:
                assert (answer.status, (await answer.json())["type"]) == (429, "/problems/too-many-lookups")
                assert int(answer.headers["Retry-After"]) in (299, 300)
        assert len(house.inviters.calls) == asked


async def test_list(house: House) -> None:
    async with house.client.get(USER, headers=INVITER) as answer:
        assert [view["account"] for view in (await answer.json())["invitations"]] == [ACCOUNT, "sip:c@cc.com"]
    async with house.client.get(USER, headers=INVITER | XML) as answer:
        root = ET.fromstring(await answer.read())
    assert [view.findtext("account") for view in root.findall("invitations")] == [ACCOUNT, "sip:c@cc.com"]
    async with house.client.get(f"{USER}/sip:x@cc.com", headers=INVITER) as answer:
        assert answer.status == 404


async def test_resend_and_revoke(house: House) -> None:
    async with house.client.post(f"{USER}/sip%3Ab%40cc.com/resend", headers=INVITER) as answer:
        assert answer.status == 200
    async with house.client.delete(f"{USER}/sip:b@cc.com", headers=INVITER) as answer:
        assert answer.status == 204
    async with house.client.delete(f"{USER}/sip:x@cc.com", headers=INVITER) as answer:
        assert answer.status == 404
    assert house.inviters.calls == [("resend", ACCOUNT), ("revoke", ACCOUNT), ("revoke", "sip:x@cc.com")]


async def test_logout(house: House) -> None:
    async with house.client.delete("/rcsgw/inviter/session", headers=INVITER) as answer:
        assert await answer.json() == {"ended": 2}
