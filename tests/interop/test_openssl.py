"""OpenSSL's own client at our port for SIP over TLS: both versions, with a certificate and without."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from sipstack.net.config import EndpointConfig
from sipstack.net.endpoint import Endpoint
from sipstack.net.tls import SipTls
from tests.sipstack.net.certificates import write_certificate

pytestmark = pytest.mark.interop

OPTIONS = (
    "OPTIONS sip:nobody@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS client.invalid;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@x>;tag=1\r\nTo: <sip:nobody@127.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("shows", [True, False])
async def test_listener(tmp_path: Path, version: str, shows: bool) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = write_certificate(tmp_path, "gateway")
    theirs, their_key = write_certificate(tmp_path, "core", host="core.example")
    tls = SipTls(certificate, key, theirs, clients="require")
    async with Endpoint(EndpointConfig(msrp=False, tls=tls, tls_port=0)) as endpoint:
        place = f"127.0.0.1:{endpoint.addresses.uri(transport='TLS').port}"
        shown = ["-cert", str(theirs), "-key", str(their_key)] if shows else []
        client = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", str(certificate)),
            *("-connect", place, version, *shown),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert client.stdin is not None and client.stdout is not None
        try:
            client.stdin.write(OPTIONS.encode())
            answer = await asyncio.wait_for(client.stdout.readline(), 10)
        finally:
            if client.returncode is None:
                client.kill()
            await client.wait()
        assert answer == (b"SIP/2.0 404 Not Found\r\n" if shows else b"")
