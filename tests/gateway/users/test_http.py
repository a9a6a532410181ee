"""An operator's UP Center over HTTP: the lab's, which is written from the contract, and one that misbehaves."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.drivers import DriverError
from gateway.lab.upcenter import Account, Subscriber, UpCenter, UpCenterOptions
from gateway.services import Inviter, NoAccountLeft, NotAuthenticated
from gateway.users.base import StateUsers
from gateway.users.http import HttpUsers
from gateway.users.service import MAX_ANSWER, JsonService
from tests.sipstack.net.certificates import write_certificate
from translators.identifiers import parse_identifier

PASSWORD = "pä:ss"
ALICE = Subscriber(
    "a",
    PASSWORD,
    ("tel:+15550100", "sip:a@cc.com", "sip:alice@cc.com"),
    "Alice",
    level=3,
    emails=("Alice@mail.example",),
    phones=("+15550101",),
)
INVITER = Inviter("a", "sip:a@cc.com")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def driver(url: str, *, token: str = "t", timeout: float = 5.0, cache: float = 0.0, **options: Any) -> HttpUsers:
    authorization = f"Bearer {token}" if token else ""
    service = JsonService(url, timeout=timeout, connections=4, authorization=authorization, **options)
    return HttpUsers(service, realm="cc.com", cache=cache)


@pytest.fixture
async def center() -> AsyncIterator[UpCenter]:
    lost = Subscriber("l", "pl", ("sip:l@cc.com",), state="lost", may_invite=False)
    async with UpCenter(UpCenterOptions(subscribers=(ALICE, lost), token="t", accounts=2)) as center:
        yield center


@pytest.fixture
async def users(center: UpCenter) -> AsyncIterator[HttpUsers]:
    users = driver(center.url)
    yield users
    await users.close()


async def test_who_is_this(users: HttpUsers, center: UpCenter) -> None:
    expected = Inviter(
        "a", "sip:a@cc.com", ("sip:a@cc.com", "tel:+15550100", "sip:alice@cc.com"), "Alice", "active", 3, True
    )
    for name in ("a", "a@CC.com", "sip:alice@cc.com", "+15550100"):
        assert await users.authenticate(name, PASSWORD) == expected
    lost = await users.authenticate("l", "pl")
    assert (lost.state, lost.level, lost.may_invite) == ("lost", 0, False)
    for name, password in (("a", "wrong"), ("nobody", PASSWORD), ("", "")):
        with pytest.raises(NotAuthenticated, match="The user or the password is wrong"):
            await users.authenticate(name, password)
    assert [path for path, _ in center.calls] == ["/authenticate"] * 8
    assert center.connections == 1, "the connection is used again"


async def test_whose_is_this(users: HttpUsers) -> None:
    for text, known in (
        ("alice@mail.example", "yes"),
        ("+1 555 0101", "yes"),
        ("+15550100", "yes"),
        ("sip:alice@cc.com", "yes"),
        ("b@mail.example", "no"),
        ("sip:b@cc.com", "no"),
    ):
        identifier = parse_identifier(text)
        assert identifier is not None
        answer = await users.lookup(identifier)
        assert (answer.known, answer.sip) == (known, "sip:a@cc.com" if known == "yes" else None), text
    assert await users.taken("sip:alice@cc.com") and not await users.taken("sip:b@cc.com")


async def test_states(users: HttpUsers, center: UpCenter) -> None:
    assert isinstance(users, StateUsers)
    center.change("a", state="on holiday")
    assert await users.states(["a", "l", "nobody"]) == {"a": "unknown", "l": "lost"}
    assert len(center.calls) == 1


async def test_accounts(users: HttpUsers, center: UpCenter) -> None:
    changes: list[tuple[str, str]] = []

    async def made(account: Account) -> None:
        changes.append(("made", account.sip))

    async def gone(account: Account) -> None:
        changes.append(("gone", account.sip))

    center.options.made, center.options.gone = made, gone
    people = [parse_identifier(text) for text in ("b@mail.example", "c@mail.example", "d@mail.example")]
    b, c, d = (person for person in people if person is not None)
    first = await users.allocate(b, INVITER, ("im",))
    assert (first.uri, first.impi, first.realm, first.origin) == (
        "sip:guest-1@cc.com",
        "guest-1",
        "cc.com",
        "up-center",
    )
    assert first.secret and first.secret not in repr(first)
    assert await users.allocate(b, INVITER, ("im",)) == first
    await users.allocate(c, INVITER, ("im", "file"))
    with pytest.raises(NoAccountLeft):
        await users.allocate(d, INVITER, ("im",))
    for _ in range(2):
        await users.release(first.uri)
    await users.allocate(d, INVITER, ("im",))
    assert changes == [
        ("made", "sip:guest-1@cc.com"),
        ("made", "sip:guest-2@cc.com"),
        ("gone", "sip:guest-1@cc.com"),
        ("made", "sip:guest-3@cc.com"),
    ]
    assert center.calls[0][1] == {
        "identifier": {"kind": "email", "value": "b@mail.example"},
        "inviter": {"uid": "a", "sip": "sip:a@cc.com"},
        "types": ["im"],
    }


async def test_a_proof_is_remembered(center: UpCenter) -> None:
    users = driver(center.url, cache=30.0)
    for _ in range(3):
        await users.authenticate("a", PASSWORD)
    assert len(center.calls) == 1
    for _ in range(2):
        with pytest.raises(NotAuthenticated):
            await users.authenticate("a", "wrong")
    assert len(center.calls) == 3
    await users.close()


def fixed(status: int = 200, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """Return what answers everything the same."""

    async def answer(_: web.Request) -> web.StreamResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, body=data, headers={"Content-Type": "application/json"} | (headers or {}))

    return answer


USER = {"uid": "a", "sip": "sip:a@cc.com"}


@pytest.mark.parametrize(
    ("answer", "temporary", "text"),
    [
        (fixed(500), True, "it answers 500"),
        (fixed(503, headers={"Retry-After": "7"}), True, "it answers 503"),
        (fixed(429), True, "it answers 429"),
        (fixed(401), False, "it answers 401"),
        (fixed(403), False, "it answers 403"),
        (fixed(404), False, "it answers 404"),
        (fixed(501), False, "it answers 501"),
        (fixed(201, {"user": USER}), False, "it answers 201"),
        (fixed(307, headers={"Location": "/lookup"}), False, "it answers 307"),
        (fixed(200, b"<html>" + PASSWORD.encode()), False, "makes no sense"),
        (fixed(200, b""), False, "makes no sense"),
        (fixed(200, {}), False, "required field `user`"),
        (fixed(200, {"user": {"uid": "a"}}), False, "required field `sip`"),
        (fixed(200, {"user": USER | {"level": PASSWORD}}), False, r"\$.user.level"),
        (fixed(200, {"user": USER | {"sip": "sip:a@cc.com\r\nX: y"}}), False, r"\$.user.sip"),
        (fixed(200, {"user": USER | {"sip": "tel:+15550100"}}), False, "no SIP URI"),
        (fixed(200, {"user": USER | {"name": "A\nB"}}), False, r"\$.user.name"),
        (fixed(200, {"user": USER | {"identities": ["x"] * 65}}), False, r"\$.user.identities"),
        (fixed(200, b" " * (MAX_ANSWER + 1) + b'{"user": null}'), False, "more than 65536 octets"),
        (fixed(200, b"\x1f\x8b", {"Content-Encoding": "gzip"}), False, "makes no sense"),
    ],
)
async def test_answers_that_are_none(
    users: HttpUsers,
    center: UpCenter,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
    temporary: bool,
    text: str,
) -> None:
    """What cannot heal is final, and neither error nor log tells the password, not even from an echo of it."""
    center.answer = answer
    with caplog.at_level(logging.DEBUG), pytest.raises(DriverError, match=text) as caught:
        await users.authenticate("a", PASSWORD)
    assert caught.value.temporary is temporary
    assert PASSWORD not in str(caught.value) and PASSWORD not in caplog.text
    center.answer = None
    assert (await users.authenticate("a", PASSWORD)).uid == "a", "the next call works"


async def test_an_answer_in_time(center: UpCenter) -> None:
    async def slow(_: web.Request) -> None:
        await asyncio.sleep(1)

    async def trickling(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    users = driver(center.url, timeout=0.2)
    for answer in (slow, trickling):
        center.answer = answer
        with pytest.raises(DriverError, match="no answer in time") as caught:
            await users.authenticate("a", PASSWORD)
        assert caught.value.temporary
    await users.close()


async def test_nobody_there(center: UpCenter) -> None:
    await center.close()
    users = driver(center.url)
    with pytest.raises(DriverError) as caught:
        await users.authenticate("a", PASSWORD)
    assert caught.value.temporary and PASSWORD not in str(caught.value)
    await users.close()


async def test_a_gateway_that_is_not_let_in(center: UpCenter) -> None:
    """401 is about the gateway: no subscriber is told that the password was wrong."""
    users = driver(center.url, token="other")
    with pytest.raises(DriverError, match="it answers 401") as caught:
        await users.authenticate("a", PASSWORD)
    assert not caught.value.temporary and "other" not in str(caught.value)
    await users.close()


async def test_several_calls_share_a_few_connections(users: HttpUsers, center: UpCenter) -> None:
    await asyncio.gather(*(users.authenticate("a", PASSWORD) for _ in range(40)))
    assert 1 <= center.connections <= 4


async def test_the_certificate_counts(center: UpCenter, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, "center")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(Relay(center).serve, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    trusting, doubting = driver(url, ca_file=certificate), driver(url)
    try:
        assert (await trusting.authenticate("a", PASSWORD)).uid == "a"
        with pytest.raises(DriverError, match="(?i)certificate") as caught:
            await doubting.authenticate("a", PASSWORD)
        assert not caught.value.temporary
    finally:
        await trusting.close()
        await doubting.close()
        server.close()
        await server.wait_closed()


class Relay:
    """Takes octets to the UP Center and back: what is in front of it speaks TLS."""

    def __init__(self, center: UpCenter) -> None:
        self._port = int(center.url.rpartition(":")[2])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer), return_exceptions=True)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    finally:
        writer.close()


HA1 = {"MD5": "0" * 32, "SHA-256": "1" * 64}


@pytest.mark.parametrize(
    ("account", "text"),
    [
        ({"sip": "guest@cc.com", "password": "x"}, "no SIP URI"),
        ({"sip": "tel:+15550100", "password": "x"}, "no SIP URI"),
        ({"sip": "sip:g@cc.com"}, "without password"),
        ({"sip": "sip:g@cc.com", "ha1": {"MD5": "1" * 64}}, "no known algorithm"),
        ({"sip": "sip:g@cc.com", "ha1": {"SHA-1": "1" * 32}}, "no known algorithm"),
        ({"sip": "sip:g@cc.com", "ha1": {"MD5": "XYZ"}}, "makes no sense"),
        ({"sip": "sip:g@cc.com", "password": "x", "realm": "a b"}, "makes no sense"),
    ],
)
async def test_accounts_that_are_none(users: HttpUsers, center: UpCenter, account: Any, text: str) -> None:
    center.answer = fixed(200, {"account": account})
    identifier = parse_identifier("b@mail.example")
    assert identifier is not None
    with pytest.raises(DriverError, match=text) as caught:
        await users.allocate(identifier, INVITER, ("im",))
    assert not caught.value.temporary


async def test_an_account_with_hashes_only(users: HttpUsers, center: UpCenter) -> None:
    center.answer = fixed(200, {"account": {"sip": "sip:G@CC.com", "impi": "g@home", "realm": "r", "ha1": HA1}})
    identifier = parse_identifier("b@mail.example")
    assert identifier is not None
    account = await users.allocate(identifier, INVITER, ("im",))
    assert (account.uri, account.impi, account.realm, account.secret) == ("sip:G@cc.com", "g@home", "r", "")
    assert account.ha1 == HA1 and "0" * 32 not in repr(account)
