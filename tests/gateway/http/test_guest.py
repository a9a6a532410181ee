"""The calls of a guest, over real sockets."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator

import pytest
from multidict import CIMultiDict
from yarl import URL

from gateway.config.settings import ThrottleSection
from gateway.services import PeerOffline, Unavailable, UpstreamRefused
from tests.gateway.http.fakes import ACCOUNT, GUEST, SECRET, House, basic, running
from translators.model import SipCause, SipReason

SESSION = "/rcsgw/invitee/session/sip:b@cc.com"
XML = {"Accept": "application/xml"}
JSON = {"Accept": "application/json"}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with running() as house:
        yield house


async def test_link_logs_in_json(house: House) -> None:
    async with house.client.get(f"{SESSION}?passwd={SECRET}", headers=JSON) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        body = await answer.json()
    assert body["account"] == ACCOUNT
    assert body["inviters"] == [
        {"uid": "a", "sip": "sip:a@cc.com", "name": "Alice <&>", "types": ["im"], "until": body["expires_at"]}
    ]
    assert house.guests.logins == [(ACCOUNT, SECRET, "127.0.0.1")]


async def test_link_logs_in_xml(house: House) -> None:
    async with house.client.get(f"{SESSION}?passwd={SECRET}", headers=XML) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/xml"
        root = ET.fromstring(await answer.read())
    assert root.tag == "session"
    assert root.findtext("account") == ACCOUNT
    assert [inviter.findtext("name") for inviter in root.findall("inviters")] == ["Alice <&>"]


@pytest.mark.parametrize("path", ["sip:b@cc.com", "sip%3Ab%40cc.com", "b@cc.com", "%73ip:b@CC.com"])
async def test_account_raw_or_encoded(house: House, path: str) -> None:
    url = URL(f"{house.server.url}/rcsgw/invitee/session/{path}?passwd={SECRET}", encoded=True)
    async with house.client.get(url, headers=JSON) as answer:
        assert answer.status == 200
    assert house.guests.logins[0][0] == ACCOUNT


async def test_link_with_basic(house: House) -> None:
    async with house.client.get(SESSION, headers=JSON | GUEST) as answer:
        assert answer.status == 200
    async with house.client.get("/rcsgw/invitee/session/sip:c@cc.com", headers=JSON | GUEST) as answer:
        assert answer.status == 401


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize("accept", [BROWSER, "*/*", None, "image/png", "application/*", "application/json;q=0"])
async def test_link_shows_the_page(house: House, accept: str | None) -> None:
    """Browsers and mail scanners change nothing."""
    headers = CIMultiDict({} if accept is None else {"Accept": accept})
    skip = ["Accept"] if accept is None else []
    async with house.client.get(f"{SESSION}?passwd={SECRET}", headers=headers, skip_auto_headers=skip) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in answer.headers
        assert SECRET not in await answer.text()
    assert house.guests.logins == []


async def test_head_never_logs_in(house: House) -> None:
    async with house.client.head(f"{SESSION}?passwd={SECRET}", headers=JSON) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/html")
        assert await answer.read() == b""
    assert house.guests.logins == []


async def test_login_by_post(house: House) -> None:
    async with house.client.post(SESSION, headers=GUEST) as answer:
        assert answer.status == 200
    async with house.client.post(SESSION, json={"passwd": SECRET}) as answer:
        assert answer.status == 200
    body = f"<login><passwd>{SECRET}</passwd></login>"
    async with house.client.post(SESSION, data=body, headers={"Content-Type": "text/xml", **XML}) as answer:
        assert answer.status == 200
        assert (await answer.text()).startswith("<?xml")
    assert house.guests.logins == [(ACCOUNT, SECRET, "127.0.0.1")] * 3


async def test_login_refused(house: House) -> None:
    async with house.client.post(SESSION) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="rcsgw", charset="UTF-8"'
    async with house.client.post(SESSION, json={}) as answer:
        assert answer.status == 401
    async with house.client.post(SESSION, json={"passwd": "wrong"}) as answer:
        assert answer.status == 401
        wrong = await answer.json()
    async with house.client.post("/rcsgw/invitee/session/sip:nobody@cc.com", json={"passwd": "wrong"}) as answer:
        assert answer.status == 401
        unknown = await answer.json()
    for body in (wrong, unknown):
        del body["trace"], body["instance"]
    assert wrong == unknown
    async with house.client.post(SESSION, data=b"passwd=x") as answer:
        assert answer.status == 415
    house.guests.ended = True
    async with house.client.post(SESSION, headers=GUEST) as answer:
        assert answer.status == 410
        assert (await answer.json())["detail"] == "The inviter revoked the invitation."


async def test_logout(house: House) -> None:
    async with house.client.delete(SESSION, headers=GUEST) as answer:
        assert answer.status == 204
        assert await answer.read() == b""
    assert house.guest.logged_out == 1
    async with house.client.delete("/rcsgw/invitee/session/sip:c@cc.com", headers=GUEST) as answer:
        assert answer.status == 403
    assert house.guest.logged_out == 1


@pytest.mark.parametrize("inviter", ["sip:a@cc.com", "sip%3Aa%40cc.com", "a"])
async def test_status(house: House, inviter: str) -> None:
    url = URL(f"{house.server.url}/rcsgw/invitee/status/{inviter}", encoded=True)
    async with house.client.get(url, headers=GUEST) as answer:
        assert answer.status == 200
        body = await answer.json()
    assert {key: body[key] for key in ("sip", "uid", "status", "services")} == {
        "sip": "sip:a@cc.com",
        "uid": "a",
        "status": "online",
        "services": ["im"],
    }
    async with house.client.get(url, headers=GUEST | XML) as answer:
        root = ET.fromstring(await answer.read())
    assert [(child.tag, child.text) for child in root][:4] == [
        ("sip", "sip:a@cc.com"),
        ("uid", "a"),
        ("status", "online"),
        ("services", "im"),
    ]


async def test_status_of_a_stranger(house: House) -> None:
    async with house.client.get("/rcsgw/invitee/status/sip:x@cc.com", headers=GUEST) as answer:
        assert answer.status == 403
        assert (await answer.json())["type"] == "/problems/no-relation"


async def test_message(house: House) -> None:
    """The mission's own call; the header is checked once, then known."""
    for _ in range(3):
        async with house.client.post(
            "/rcsgw/invitee/message", json={"to": "sip:a@cc.com", "message": "abcdefg"}, headers=GUEST
        ) as answer:
            assert answer.status == 200
            assert await answer.json() == {"id": "m1", "state": "sent"}
    assert len(house.guests.checks) == 1
    assert [(request.to, request.message) for request, _ in house.guest.sent] == [("sip:a@cc.com", "abcdefg")] * 3


async def test_message_in_xml(house: House) -> None:
    body = "<message><to>sip:a@cc.com</to><message>a &lt;b&gt;\n中文</message></message>"
    headers = {"Content-Type": "application/xml; charset=utf-8", "Idempotency-Key": "k-1", **XML}
    house.guest.state = "pending"
    async with house.client.post("/rcsgw/invitee/message", data=body.encode(), headers=headers | GUEST) as answer:
        assert answer.status == 202
        root = ET.fromstring(await answer.read())
    assert (root.findtext("id"), root.findtext("state")) == ("k-1", "pending")
    request, key = house.guest.sent[0]
    assert (request.message, key) == ("a <b>\n中文", "k-1")


async def test_message_of_one_mebibyte(house: House) -> None:
    text = "é" * (512 * 1024)
    body = io.BytesIO(f'{{"to": "a", "message": "{text}"}}'.encode())
    headers = GUEST | {"Content-Type": "application/json"}
    async with house.client.post("/rcsgw/invitee/message", data=body, headers=headers) as answer:
        assert answer.status == 200
    assert house.guest.sent[0][0].message == text


async def test_message_with_expect(house: House) -> None:
    async with house.client.post(
        "/rcsgw/invitee/message", json={"to": "a", "message": "hi"}, headers=GUEST, expect100=True
    ) as answer:
        assert answer.status == 200


async def test_messages(house: House) -> None:
    async with house.client.get("/rcsgw/invitee/messages", headers=GUEST) as answer:
        assert [line["message"] for line in (await answer.json())["messages"]] == ["one", "two\nlines"]
    async with house.client.get(
        "/rcsgw/invitee/messages", params={"with": "sip:a@cc.com", "before": "7", "limit": "2"}, headers=GUEST | XML
    ) as answer:
        root = ET.fromstring(await answer.read())
    assert [line.findtext("from") for line in root.findall("messages")] == ["sip:a@cc.com"] * 2
    assert root.findtext("before") == "1"
    assert house.guest.asked == [(None, None, 50), ("sip:a@cc.com", 7, 2)]


@pytest.mark.parametrize("query", ["before=x", "before=-1", "limit=101", "before=99999999999999999", "with=%0d%0aX:1"])
async def test_messages_with_a_bad_query(house: House, query: str) -> None:
    url = URL(f"{house.server.url}/rcsgw/invitee/messages?{query}", encoded=True)
    async with house.client.get(url, headers=GUEST) as answer:
        assert answer.status == 422
        assert (await answer.json())["field"] == query.partition("=")[0]


async def test_upstream_refusal(house: House) -> None:
    """The problem sample of E.4: a busy peer."""
    cause = SipCause(
        code=486,
        reason="Busy Here",
        retry_after=30,
        reason_header=[SipReason(protocol="SIP", cause=486, text="in chat")],
    )
    house.guest.error = UpstreamRefused(
        409,
        "peer-busy",
        "The other side is busy",
        "The network answered 486 Busy Here.",
        retryable=True,
        retry_after=30,
        sip=cause,
        message_id="m9",
    )
    message = {"to": "a", "message": "x"}
    async with house.client.post("/rcsgw/invitee/message", json=message, headers=GUEST) as answer:
        assert answer.status == 409
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Retry-After"] == "30"
        problem = await answer.json()
    assert len(problem.pop("trace")) == 32
    assert problem == {
        "type": "/problems/peer-busy",
        "title": "The other side is busy",
        "status": 409,
        "instance": "/rcsgw/invitee/message",
        "retryable": True,
        "detail": "The network answered 486 Busy Here.",
        "message_id": "m9",
        "sip": {
            "code": 486,
            "reason": "Busy Here",
            "retry_after": 30,
            "reason_header": [{"protocol": "SIP", "cause": 486, "text": "in chat"}],
        },
    }
    async with house.client.post("/rcsgw/invitee/message", json=message, headers=GUEST | XML) as answer:
        assert answer.headers["Content-Type"] == "application/problem+xml"
        root = ET.fromstring(await answer.read())
    assert root.tag == "{urn:ietf:rfc:7807}problem"
    assert root.findtext("{*}sip/{*}code") == "486"
    house.guest.error = PeerOffline("sip:a@cc.com is not online.")
    async with house.client.post("/rcsgw/invitee/message", json=message, headers=GUEST) as answer:
        assert (answer.status, (await answer.json())["retryable"]) == (409, True)


async def test_throttle() -> None:
    """Wrong secrets are counted, right ones are not, and failures of ours teach nobody anything."""
    async with running(throttle=ThrottleSection(logins=2, addresses=50, window=600.0)) as house:
        for _ in range(5):
            async with house.client.post(SESSION, headers=GUEST) as answer:
                assert answer.status == 200
        house.guests.error = Unavailable("The core is down.", retry_after=3)
        for _ in range(3):
            async with house.client.post(SESSION, headers=GUEST) as answer:
                assert answer.status == 503
        house.guests.error = None
        for expected in (401, 401, 429, 429):
            async with house.client.post(SESSION, json={"passwd": "guess"}) as answer:
                assert answer.status == expected
                assert (expected == 429) == (1 <= int(answer.headers.get("Retry-After", "0")) <= 300)
        assert len(house.guests.logins) == 10
        wrong = basic("b@cc.com", "guess")
        async with house.client.get("/rcsgw/invitee/status/a", headers=wrong) as answer:
            assert answer.status == 429
        assert house.guests.checks == []


@pytest.mark.parametrize(
    ("path", "body", "root", "expected"),
    [
        ("composing", {"to": "sip:a@cc.com", "state": "active"}, "composing", ("sip:a@cc.com", "active")),
        ("receipt", {"id": "m2"}, "receipt", "m2"),
    ],
)
async def test_typing_and_receipts(house: House, path: str, body: dict[str, str], root: str, expected: object) -> None:
    url = f"/rcsgw/invitee/{path}"
    async with house.client.post(url, json=body, headers=GUEST) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    members = "".join(f"<{name}>{value}</{name}>" for name, value in body.items())
    headers = {"Content-Type": "application/xml"} | GUEST
    async with house.client.post(url, data=f"<{root}>{members}</{root}>", headers=headers) as answer:
        assert answer.status == 204
    assert house.guests.guest.asked[-2:] == [expected, expected]
    async with house.client.post(url, json={name: "a\nb" for name in body}, headers=GUEST) as answer:
        assert answer.status in (400, 422)
    async with house.client.post(url, json=body) as answer:
        assert answer.status == 401


async def test_clients_are_told_by_their_name_or_else_by_their_address(house: House) -> None:
    async with house.client.post(SESSION, headers=GUEST | {"Rcsgw-Client": "laptop"}):
        pass
    async with house.client.post(SESSION, headers=GUEST):
        pass
    assert [client for _, _, client in house.guests.logins] == ["laptop", "127.0.0.1"]


async def test_where_secrets_are_for_single_use_each_client_has_to_prove_itself() -> None:
    async with running(single_use=True) as house:
        for client in ("laptop", "laptop", "phone", ""):
            named = {"Rcsgw-Client": client} if client else {}
            async with house.client.get("/rcsgw/invitee/messages", headers=GUEST | named) as answer:
                assert answer.status == 200
    assert [client for _, _, client in house.guests.checks] == ["laptop", "phone", "127.0.0.1"]
