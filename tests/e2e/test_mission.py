"""The job as its buyer put it: these very calls, over each core, in JSON and in XML."""

from __future__ import annotations

import aiohttp

from tests.e2e.client import Format, basic, parse, text_in
from tests.e2e.conftest import Start

XML_INVITE = "<invite><email>b@cc.com</email></invite>"
XML_MESSAGE = "<message><to>sip:a@cc.com</to><message>abcdefg</message></message>"


async def test_the_calls_of_the_mission(start: Start, format: Format) -> None:
    world = await start(
        "[policy]\nmessage_wait = 2.5\n",
        format=format,
        gateway='public_url = "http://127.0.0.1:8080"\nlink_style = "query"',
    )
    phone = await world.phone("a", on_message="script", script=("Nice to meet you",))
    kind = {"Content-Type": f"application/{format}", "Accept": f"application/{format}"}
    as_a = {"Authorization": basic("a", "alice-pw")}
    async with aiohttp.ClientSession(world.url, headers=kind) as http:
        body = '{"email":"b@cc.com"}' if format == "json" else XML_INVITE
        async with http.post("/rcsgw/invitee/user", data=body, headers=as_a) as answer:
            assert answer.status == 201, await answer.text()
            invitation = parse(answer.content_type, await answer.text())
            assert answer.headers["Location"] == "/rcsgw/invitee/user/sip:b@cc.com"
        assert (invitation["account"], invitation["state"]) == ("sip:b@cc.com", "active")

        guest = await world.guest_from_mail("b@cc.com")
        assert guest.link == f"http://127.0.0.1:8080/rcsgw/invitee/session/sip:b@cc.com?passwd={guest.secret}"
        assert guest.secret not in str(invitation)
        as_b = {"Authorization": basic("b@cc.com", guest.secret)}
        async with http.get(f"/rcsgw/invitee/session/sip:b@cc.com?passwd={guest.secret}", headers=as_b) as answer:
            assert answer.status == 200, await answer.text()
            login = parse(answer.content_type, await answer.text())
        assert login["account"] == "sip:b@cc.com"
        assert [(inviter["uid"], inviter["sip"], inviter["types"]) for inviter in login["inviters"]] == [
            ("a", "sip:a@cc.com", ["im"])
        ]

        async with http.get("/rcsgw/invitee/status/sip:a@cc.com", headers=as_b) as answer:
            assert answer.status == 200, await answer.text()
            status = parse(answer.content_type, await answer.text())
        assert (status["sip"], status["status"], status["services"]) == ("sip:a@cc.com", "online", ["im"])

        body = '{"to":"sip:a@cc.com","message":"abcdefg"}' if format == "json" else XML_MESSAGE
        async with http.post("/rcsgw/invitee/message", data=body, headers=as_b) as answer:
            assert answer.status == 200, await answer.text()
            assert parse(answer.content_type, await answer.text())["state"] == "sent"

    arrived = await phone.wait_for("message")
    assert (arrived.peer, arrived.text) == ("sip:b@cc.com", "abcdefg")
    answered = await guest.wait_for_event(text_in("Nice to meet you"))
    assert (answered["message"]["from"], answered["message"]["to"]) == ("sip:a@cc.com", "sip:b@cc.com")
    assert [line["message"] for line in await guest.messages()] == ["abcdefg", "Nice to meet you"]
    assert (await guest.logout()).status == 204
