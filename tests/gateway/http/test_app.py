"""What holds for every call: formats, errors, limits, what may not get through."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import logging
import ssl
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from yarl import URL

from sipstack.trace import Record, Trace, WireRecord
from tests.gateway.http.fakes import ACCOUNT, GUEST, INVITER, SECRET, House, basic, running

MESSAGE = "/rcsgw/invitee/message"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with running() as house:
        yield house


async def raw(house: House, request: bytes) -> tuple[int, bytes, bytes]:
    """Send bytes, return status, head and body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(request)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: "))
        body = await reader.readexactly(length)
    writer.close()
    return int(head[9:12]), head, body


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/rcsgw/invitee/session/", 404, None),
        ("GET", "/rcsgw/web/../app.py", 404, None),
        ("GET", MESSAGE, 405, "POST"),
        ("HEAD", "/rcsgw/invitee/status/a", 405, "GET"),
        ("PUT", "/rcsgw/invitee/user/sip:b@cc.com", 405, "DELETE, GET"),
        ("OPTIONS", "/healthz", 405, "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("format", ["json", "xml"])
async def test_no_such_call(house: House, method: str, path: str, status: int, allow: str | None, format: str) -> None:
    headers = {"Accept": f"application/{format}", "traceparent": TRACEPARENT}
    url = URL(house.server.url + path, encoded=True)
    async with house.client.request(method, url, headers=headers) as answer:
        assert answer.status == status
        assert answer.headers.get("Allow") == allow
        assert answer.headers["Content-Type"] == f"application/problem+{format}"
        assert answer.headers["Cache-Control"] == "no-store"
        if format == "json" and method != "HEAD":
            problem = await answer.json()
            assert problem["status"] == status
            assert problem["trace"] == TRACEPARENT[3:35]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b"{", 400),
        ({"Content-Type": "application/json"}, b"", 400),
        ({"Content-Type": "application/json"}, b"\xff\xfe", 400),
        ({"Content-Type": "application/json"}, b'{"to":"a","message":"\\ud800"}', 400),
        ({"Content-Type": "application/json"}, b"[]", 422),
        ({"Content-Type": "application/json"}, b'{"to":"a"}', 422),
        ({"Content-Type": "application/xml"}, b"<message>", 400),
        ({"Content-Type": "application/xml"}, b"<!DOCTYPE m><message/>", 400),
        ({"Content-Type": "application/xml"}, b"<other/>", 400),
        ({"Content-Type": "application/xml"}, b"<message><to>a</to></message>", 422),
        ({"Content-Type": "text/plain"}, b"hi", 415),
        ({"Content-Type": "application/json; charset=utf-16"}, b"{}", 415),
        ({}, b"{}", 415),
        ({"Content-Type": "application/json", "Accept": "image/png"}, b"{}", 406),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"{}", 400),
    ],
)
async def test_bad_bodies(house: House, headers: dict[str, str], body: bytes, status: int) -> None:
    async with house.client.post(
        MESSAGE, data=body, headers=GUEST | headers, skip_auto_headers=["Content-Type"]
    ) as answer:
        assert answer.status == status
        problem = await answer.json(content_type="application/problem+json")
    assert problem["status"] == status
    assert len(problem["trace"]) == 32
    assert house.guest.sent == []


async def test_too_large() -> None:
    async with running(http={"max_body": 1000}) as house:
        headers = GUEST | {"Content-Type": "application/json"}

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(10):
                yield b"x" * 1000

        for data in (b"x" * 1001, b"x" * 300_000, chunks()):
            async with house.client.post(MESSAGE, data=data, headers=headers) as answer:
                assert answer.status == 413
                assert (await answer.json())["type"] == "/problems/too-large"


async def test_slow_body(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.calls.BODY_TIMEOUT", 0.05)
    request = f"POST {MESSAGE} HTTP/1.1\r\nHost: x\r\nAuthorization: {GUEST['Authorization']}\r\n"
    status, _, body = await raw(
        house, f"{request}Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{{".encode()
    )
    assert status == 408
    assert b"request-timeout" in body


@pytest.mark.parametrize(
    ("request_", "status", "type_"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, b"uri-too-long"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 65536 + b"\r\n\r\n", 431, b"headers-too-large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431, b"headers-too-large"),
        (b"\x16\x03\x01 hello\r\n\r\n", 400, b"bad-request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: z\r\n\r\n", 400, b"bad-request"),
        (
            b"POST /rcsgw/invitee/session/x HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 5\r\n\r\n",
            417,
            b"expectation-failed",
        ),
    ],
)
async def test_no_http(house: House, request_: bytes, status: int, type_: bytes) -> None:
    found, head, body = await raw(house, request_)
    assert (found, b"application/problem+json" in head) == (status, True)
    assert b"/problems/" + type_ in body


async def test_broken_chunks(house: House) -> None:
    request = f"POST {MESSAGE} HTTP/1.1\r\nHost: x\r\nAuthorization: {GUEST['Authorization']}\r\n"
    request += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    status, _, body = await raw(house, request.encode())
    assert (status, b"/problems/bad-request" in body) == (400, True)


async def test_internal_error(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody outside is told what went wrong; the log has it under the trace id."""
    house.guest.error = ZeroDivisionError("secret detail")
    with caplog.at_level(logging.ERROR, "rcsgw.http"):
        async with house.client.post(
            MESSAGE, json={"to": "a", "message": "x"}, headers=GUEST | {"traceparent": TRACEPARENT}
        ) as answer:
            assert answer.status == 500
            text = await answer.text()
    assert "secret detail" not in text
    assert TRACEPARENT[3:35] in text
    assert TRACEPARENT[3:35] in caplog.text


async def test_public_url_names_problems() -> None:
    async with running(public_url="https://gw.example/") as house, house.client.get("/nothing?x=1") as answer:
        problem = await answer.json()
        assert problem["type"] == "https://gw.example/problems/not-found"
        assert problem["instance"] == "/nothing"


EVIL = ["\r\n", "\n", "\r", "\0", "\x85", "\u2028"]


@pytest.mark.parametrize("evil", EVIL)
async def test_no_line_breaks_get_through(house: House, evil: str) -> None:
    """E-SEC-01, A-URI-04: every string of every call, with what could end a header in it."""
    text = f"sip:a{evil}X-Evil: 1@cc.com"
    refused: list[tuple[str, str, Any]] = [
        ("POST", MESSAGE, {"to": text, "message": "x"}),
        ("POST", MESSAGE, {"to": "a", "message": "x", "id": f"k{evil}"}),
        ("POST", "/rcsgw/invitee/session/sip:b@cc.com", {"passwd": f"x{evil}"}),
        ("GET", f"/rcsgw/invitee/status/{quote(text)}", None),
        ("GET", f"/rcsgw/invitee/messages?with={quote(text)}", None),
        ("GET", f"/rcsgw/invitee/session/{quote(text)}?passwd=x", None),
        ("GET", f"/rcsgw/invitee/session/sip:b@cc.com?passwd={quote('x' + evil)}", None),
        ("GET", f"/rcsgw/user/{quote(text)}", None),
        ("POST", "/rcsgw/invitee/user", {"email": f"b{evil}@cc.com"}),
        ("POST", "/rcsgw/invitee/user", {"phone": f"+49151{evil}12345678"}),
        *(("POST", "/rcsgw/invitee/user", {"email": "b@cc.com", name: f"x{evil}y"}) for name in ("note", "language")),
        ("POST", "/rcsgw/invitee/user", {"email": "b@cc.com", "via": f"email{evil}"}),
        ("POST", "/rcsgw/invitee/user", {"email": "b@cc.com", "types": [f"im{evil}"]}),
        ("DELETE", f"/rcsgw/invitee/user/{quote(text)}", None),
        ("GET", f"/rcsgw/invitee/user/{quote(text)}", None),
        ("POST", f"/rcsgw/invitee/user/{quote(text)}/resend", None),
    ]
    for method, path, body in refused:
        inviter = path.startswith(("/rcsgw/user", "/rcsgw/invitee/user"))
        headers = (INVITER if inviter else GUEST) | {"Accept": "application/json"}
        url = URL(house.server.url + path, encoded=True)
        async with house.client.request(method, url, json=body, headers=headers) as answer:
            assert answer.status == 422, (method, path, body)
            assert (await answer.json())["field"], (method, path)
    if ord(evil[0]) < 0x20 or evil == "\x85":
        for user, password in ((f"b{evil}@cc.com", SECRET), ("b@cc.com", f"x{evil}")):
            async with house.client.get("/rcsgw/invitee/status/a", headers=basic(user, password)) as answer:
                assert (answer.status, (await answer.json())["field"]) == (422, "Authorization")
    assert house.guest.sent == []
    assert house.guest.asked == []
    assert house.guests.logins == []
    assert house.inviters.calls == []


@pytest.mark.parametrize("evil", ["<", ">", '"', " "])
async def test_no_delimiters_in_identities(house: House, evil: str) -> None:
    async with house.client.post(MESSAGE, json={"to": f"sip:a{evil}@cc.com", "message": "x"}, headers=GUEST) as answer:
        assert answer.status == 422
    async with house.client.post(
        MESSAGE, json={"to": "a", "message": "x"}, headers=GUEST | {"Idempotency-Key": f"a{evil}b"}
    ) as answer:
        assert (answer.status, (await answer.json())["field"]) == (422, "Idempotency-Key")


async def test_bad_escapes_in_the_path(house: House) -> None:
    url = URL(f"{house.server.url}/rcsgw/invitee/status/%ff%fe", encoded=True)
    async with house.client.get(url, headers=GUEST) as answer:
        assert answer.status == 422


async def test_client_that_goes_in_the_middle_of_its_body(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing to log, nothing to answer, and the server goes on."""
    with caplog.at_level(logging.INFO, "rcsgw.http"):
        for _ in range(10):
            _, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
            head = f"POST {MESSAGE} HTTP/1.1\r\nHost: x\r\nAuthorization: {GUEST['Authorization']}\r\n"
            writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{{".encode())
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.transport.abort()
        async with house.client.get("/healthz") as answer:
            assert answer.status == 200
    assert "failed" not in caplog.text
    assert house.guest.sent == []


async def test_health(house: House) -> None:
    async with house.client.get("/healthz") as answer:
        assert await answer.json() == {"status": "ok"}
    async with house.client.get("/readyz") as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "ok")
    house.health.checks["core"] = "no answer"
    async with house.client.get("/readyz", headers={"Accept": "application/xml"}) as answer:
        assert answer.status == 503
        root = ET.fromstring(await answer.read())
    assert root.findtext("status") == "unavailable"
    assert root.findtext("checks/core") == "no answer"
    async with house.client.head("/readyz") as answer:
        assert answer.status == 503


async def test_readiness_is_found_out_once_for_all_who_ask(house: House) -> None:
    async def ask() -> int:
        async with house.client.get("/readyz") as answer:
            return answer.status

    await ask()
    assert await asyncio.gather(*(ask() for _ in range(10))) == [200] * 10
    assert house.health.asked < 10
    assert await ask() == 200


async def test_a_listener_for_operators() -> None:
    async with running(http={"operator_listen": "127.0.0.1:0"}) as house:
        operators = f"http://127.0.0.1:{house.server.operator_port}"
        for path in ("/healthz", "/readyz"):
            async with house.client.get(path) as answer:
                assert answer.status == 404, "not for the public"
            async with house.client.get(operators + path) as answer:
                assert answer.status == 200
        async with house.client.get(f"{operators}/openapi.json") as answer:
            assert answer.status == 404


async def test_openapi(house: House) -> None:
    async with house.client.get("/openapi.json") as answer:
        assert answer.headers["Content-Type"] == "application/json"
        document = await answer.json()
    assert document["openapi"] == "3.1.0"
    paths = document["paths"]
    assert {"post"} == set(paths[MESSAGE])
    assert {"get", "post", "delete"} == set(paths["/rcsgw/invitee/session/{account}"])
    operation = paths[MESSAGE]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/MessageRequest"
    }
    assert set(operation["responses"]) >= {"200", "202", "401", "422"}
    assert document["components"]["schemas"]["MessageRequest"]["required"] == ["to", "message"]
    link = paths["/rcsgw/invitee/session/{account}"]["get"]
    assert link["security"] == [{}, {"guest": []}] and set(link["responses"]) >= {"200", "401", "410", "429"}
    assert set(link["responses"]["200"]["content"]) == {"application/json", "application/xml", "text/html"}
    identifiers = [call["operationId"] for path in paths.values() for call in path.values()]
    assert len(identifiers) == len(set(identifiers))
    _check_references(document, document)


def _check_references(node: Any, document: Any) -> None:
    if isinstance(node, dict):
        if "$ref" in node:
            target = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
        for value in node.values():
            _check_references(value, document)
    elif isinstance(node, list):
        for value in node:
            _check_references(value, document)


async def test_page_files(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>rcsgw</title>")
    (tmp_path / "app.js").write_text("1")
    (tmp_path / "notes.txt").write_text("not for the web")
    async with running(web_dir=tmp_path, http={"frame_ancestors": "https://portal.example"}) as house:
        async with house.client.get("/rcsgw/web/app.js") as answer:
            assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
            assert answer.headers["Content-Security-Policy"].endswith("frame-ancestors https://portal.example")
            assert "X-Frame-Options" not in answer.headers
        for name in ("notes.txt", "..%2findex.html", "none.js"):
            async with house.client.get(URL(f"{house.server.url}/rcsgw/web/{name}", encoded=True)) as answer:
                assert answer.status == 404
    async with running(web_dir=tmp_path / "missing") as house:
        async with house.client.get("/rcsgw/invitee/session/x", headers={"Accept": "text/html"}) as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        ((), "192.0.2.7", "127.0.0.1"),
        (("127.0.0.0/8",), "192.0.2.7", "192.0.2.7"),
        (("127.0.0.0/8",), "10.0.0.1, 192.0.2.7", "192.0.2.7"),
        (("127.0.0.0/8", "192.0.2.0/24"), "2001:db8::1, 192.0.2.7", "2001:db8::1"),
        (("127.0.0.0/8",), "198.51.100.4, garbage", "127.0.0.1"),
        (("127.0.0.0/8",), "192.0.2.7:1234", "192.0.2.7"),
        (("127.0.0.0/8",), "[2001:db8::1]:1234", "2001:db8::1"),
    ],
)
async def test_address_behind_proxies(trusted: tuple[str, ...], forwarded: str, address: str) -> None:
    async with running(http={"trusted_proxies": trusted}) as house:
        headers = GUEST | {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https", "Accept": "text/html"}
        async with house.client.post("/rcsgw/invitee/session/b@cc.com", headers=headers | {"Accept": "*/*"}) as answer:
            assert answer.status == 200
        assert house.guests.logins == [(ACCOUNT, SECRET, address)]
        async with house.client.get("/rcsgw/invitee/session/b@cc.com", headers=headers) as answer:
            assert ("Strict-Transport-Security" in answer.headers) == bool(trusted)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Make a key and a certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


async def test_https(certificate: tuple[str, str]) -> None:
    """Calls and streams over TLS, and the page tells the browser to stay."""
    cert, key = certificate
    records: list[Record] = []
    context = ssl.create_default_context(cafile=cert)
    trace = Trace("gateway", records.append, lambda: 0.0)
    async with running(http={"certificate": cert, "key": key}, ssl=context, trace=trace) as house:
        assert house.server.url.startswith("https://")
        async with house.client.get("/rcsgw/invitee/session/x", headers={"Accept": "text/html"}) as answer:
            assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
        async with house.client.get("/rcsgw/invitee/events", headers=GUEST | {"Accept": "text/event-stream"}) as answer:
            assert await answer.content.readuntil(b"id: 0\n\n")
            house.guest.events.publish("over TLS")
            assert b"over TLS" in await answer.content.readuntil(b"}}\n\n")
    assert {record.transport for record in records if isinstance(record, WireRecord)} == {"TLS"}


async def test_trace_holds_what_crossed_the_wire() -> None:
    records: list[Record] = []
    trace = Trace("gateway", records.append, lambda: 12.5)
    async with running(trace=trace) as house:
        async with house.client.post(MESSAGE, json={"to": "a", "message": "x"}, headers=GUEST) as answer:
            assert answer.status == 200
        async with house.client.get("/rcsgw/invitee/events", headers=GUEST | {"Accept": "text/event-stream"}) as answer:
            house.guest.events.publish("pushed")
            await answer.content.readuntil(b"}}\n\n")
    wire = [record for record in records if isinstance(record, WireRecord)]
    assert {(record.protocol, record.transport, record.actor, record.at) for record in wire} == {
        ("HTTP", "TCP", "gateway", 12.5)
    }
    came = b"".join(record.data for record in wire if record.direction == "in")
    went = b"".join(record.data for record in wire if record.direction == "out")
    assert came.startswith(b"POST /rcsgw/invitee/message HTTP/1.1\r\n")
    assert b'{"to": "a", "message": "x"}' in came
    assert went.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'{"id":"m1","state":"sent"}' in went
    assert b"event: message\nid: 1\ndata: " in went
    assert wire[0].local == ("127.0.0.1", house.server.port)
    assert wire[0].remote is not None


async def test_access_log_has_no_query(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with running() as house:
            async with house.client.get(
                f"/rcsgw/invitee/session/b@cc.com?passwd={SECRET}", headers={"Accept": "application/json"}
            ) as answer:
                assert answer.status == 200
        ours = [record.getMessage() for record in caplog.records if record.name.startswith("rcsgw")]
    assert any("GET /rcsgw/invitee/session/b@cc.com 200" in line for line in ours)
    assert not any(SECRET in line for line in ours)


async def test_several_requests_on_one_connection(house: House) -> None:
    """Pipelined requests are answered in order."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
    assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 404")
    writer.close()


async def test_close_twice(house: House) -> None:
    await house.server.close()
    await house.server.close()
