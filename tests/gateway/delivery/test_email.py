"""Mails over real SMTP: plain, STARTTLS, TLS, with and without a password, and a server that refuses."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.delivery.email import EmailDelivery
from gateway.drivers import DriverError
from gateway.lab.ports import free_port
from tests.gateway.delivery.test_texts import LINK, order


class Handler:
    """Keeps mails; ``answers`` overrules what each command is answered."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.answers: dict[str, str] = {}
        self.encrypted: list[bool] = []
        self.cut = ""
        """What becomes of a mail after which the connection is cut: ``lost`` or ``taken``."""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if "RCPT" in self.answers:
            return self.answers["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if "DATA" in self.answers:
            return self.answers["DATA"]
        if self.cut != "lost":
            self.encrypted.append(session.ssl is not None)
            self.mails.append(envelope.content)
        if self.cut:
            server.transport.abort()
        return "250 OK"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-made certificate for 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rcsgw test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "cert.pem"
    encoding = serialization.Encoding.PEM
    path.write_bytes(
        built.public_bytes(encoding)
        + key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def server(handler: Handler) -> Iterator[Any]:
    """Start servers on free ports; all are stopped at the end."""
    running: list[Controller] = []

    def start(**options: Any) -> int:
        controller = Controller(handler, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        running.append(controller)
        return int(controller.port)

    yield start
    for controller in running:
        controller.stop()


def context(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"gw", "gehe\u00edm".encode())
    return AuthResult(success=right)


def driver(port: int, **options: Any) -> EmailDelivery:
    return EmailDelivery(host="127.0.0.1", port=port, sender="gw@cc.com", timeout=5.0, **options)


async def test_plain(server: Any, handler: Handler) -> None:
    delivery = driver(server())
    await delivery.send(order())
    (mail,) = handler.mails
    assert b"Message-ID: <1@cc.com>" in mail and LINK.encode() in mail.replace(b"=\r\n", b"").replace(b"=3D", b"=")
    await delivery.close()


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_encrypted_with_a_password(server: Any, handler: Handler, certificate: Path, security: Any) -> None:
    tls = {"tls_context": context(certificate), "require_starttls": True}
    port = server(
        authenticator=authenticate,
        auth_required=security == "starttls",
        auth_require_tls=security == "starttls",
        **(tls if security == "starttls" else {"ssl_context": context(certificate)}),
    )
    await driver(port, security=security, username="gw", password="gehe\u00edm", ca_file=certificate).send(order())
    assert len(handler.mails) == 1
    with pytest.raises(DriverError) as caught:
        await driver(port, security=security, username="gw", password="wrong", ca_file=certificate).send(order())
    assert caught.value.temporary, "an operator can put the password right"
    with pytest.raises(DriverError) as caught:
        await driver(port, security=security, username="gw", password="gehe\u00edm").send(order())
    assert caught.value.temporary, "a certificate of nobody we trust"
    assert len(handler.mails) == 1


async def test_starttls_is_not_given_up_when_the_server_has_none(server: Any, handler: Handler) -> None:
    with pytest.raises(DriverError):
        await driver(server(), security="starttls").send(order())
    assert handler.mails == []


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("code, temporary", [(451, True), (421, True), (550, False), (554, False)])
async def test_refusals(server: Any, handler: Handler, command: str, code: int, temporary: bool) -> None:
    handler.answers[command] = f"{code} no"
    with pytest.raises(DriverError) as caught:
        await driver(server()).send(order())
    assert caught.value.temporary is temporary and caught.value.certain
    assert "passwd" not in str(caught.value) and "\n" not in str(caught.value)


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(DriverError) as caught:
        await driver(free_port()).send(order())
    assert caught.value.temporary and caught.value.certain


async def test_an_address_that_no_server_could_take_is_final(server: Any) -> None:
    with pytest.raises(DriverError) as caught:
        await driver(server()).send(order(address="b\r\nRCPT TO:<c@example.com>"))
    assert not caught.value.temporary


async def test_greylisting_passes_with_the_same_message_id(server: Any, handler: Handler) -> None:
    delivery = driver(server())
    handler.answers["RCPT"] = "450 4.2.0 greylisted, come back in five minutes"
    with pytest.raises(DriverError, match="greylisted") as caught:
        await delivery.send(order())
    assert caught.value.temporary
    del handler.answers["RCPT"]
    await delivery.send(order())
    assert len(handler.mails) == 1 and b"Message-ID: <1@cc.com>" in handler.mails[0]


@pytest.mark.parametrize("taken", [False, True])
async def test_a_connection_that_is_cut_after_the_mail(server: Any, handler: Handler, taken: bool) -> None:
    """Nobody knows whether it was taken: it goes out again, with the same Message-ID."""
    delivery = driver(server())
    handler.cut = "taken" if taken else "lost"
    with pytest.raises(DriverError) as caught:
        await delivery.send(order())
    assert caught.value.temporary and not caught.value.certain
    handler.cut = ""
    await delivery.send(order())
    assert [b"Message-ID: <1@cc.com>" in mail for mail in handler.mails] == [True] * (1 + taken)


@pytest.mark.parametrize(("command", "certain"), [(b"RCPT", True), (b"DATA", False)])
@pytest.mark.parametrize("way", ["silent", "stopped"])
async def test_a_server_that_hangs(command: bytes, certain: bool, way: str) -> None:
    """We stop, or give up, while it does not answer: before it was given the mail that is certain."""
    reached, left = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx\r\n")
        while line := await reader.readline():
            if line.startswith(command):
                reached.set()
            else:
                writer.write(b"250 OK\r\n")
        writer.close()
        left.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    timeout = 0.2 if way == "silent" else 30.0
    delivery = EmailDelivery(host="127.0.0.1", port=port, sender="gw@cc.com", timeout=timeout)
    task = asyncio.create_task(delivery.send(order()))
    await reached.wait()
    if way == "stopped":
        task.cancel()
    if way == "stopped" and not certain:
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        with pytest.raises(DriverError) as caught:
            await task
        assert caught.value.temporary and caught.value.certain is certain
    await left.wait()
    server.close()
    await server.wait_closed()
