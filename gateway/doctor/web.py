"""Does public_url lead to us, and does the operators' listener stay inside?"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from gateway.config.settings import Config, split_host_port
from gateway.doctor.base import Check, Outcome, failed, ok, skipped, warning
from gateway.doctor.patient import Patient, is_loopback, is_taken, is_wildcard
from sipstack import ids

MAX_ANSWER = 4096
"""Octets of an answer that are looked at."""

REMEDY = (
    "Let gateway.public_url be the address that browsers use, and let its proxy or port lead to http.listen. "
    "A NAT that does not lead back from inside looks the same from here: then try it from outside."
)


def web_checks(patient: Patient) -> list[Check]:
    """Return the checks of the HTTP face."""
    url = patient.config.gateway.public_url
    return [
        Check("http.public_url", f"fetch a page of ours through {url}", partial(_public, patient), REMEDY),
        Check("http.operator", "look where the operators' calls are", partial(_operator, patient.config)),
    ]


async def _public(patient: Patient) -> Outcome:
    config = patient.config
    url = config.gateway.public_url.rstrip("/")
    token = ids.token()
    try:
        async with _listening(config, token) as is_ours:
            if not is_ours:
                path, wanted = ("/openapi.json", '"openapi"') if config.http.operator_listen else ("/healthz", '"ok"')
            else:
                path, wanted = f"/rcsgw/doctor/{ids.token()}", token
            status, text, date = await _fetch(url + path)
    except (OSError, ssl.SSLError, aiohttp.ClientError) as error:
        return failed(f"{url}: {error}")
    if not is_ours:
        patient.note_date("public_url", date)
    if status in range(300, 400):
        return failed(f"{url} redirects elsewhere (HTTP {status})", "Let public_url be where it redirects to.")
    if status != 200 or wanted not in text:
        return failed(f"somebody else answers at {url} (HTTP {status})")
    found = f"{url} leads to {config.http.listen}" if is_ours else f"a gateway answers at {url}"
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        return warning(f"{found}, in clear text", "Use https: login secrets cross this line.")
    return ok(f"{found}, as far as this machine can tell")


@contextlib.asynccontextmanager
async def _listening(config: Config, token: str) -> AsyncIterator[bool]:
    """Answer every request with the token while this lasts; False: a gateway has the port. Raises OSError."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(text=token)

    certificate, key = config.http_files
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key, password="")
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        host, port = split_host_port(config.http.listen)
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls).start()
        except OSError as error:
            if not is_taken(error):
                raise
            yield False
        else:
            yield True
    finally:
        await runner.cleanup()


async def _fetch(url: str) -> tuple[int, str, str]:
    """Return status, the beginning of the body, and the Date of an answer."""
    headers = {"Accept": "application/json", "User-Agent": "rcsgw"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        body = await response.content.read(MAX_ANSWER)
        return response.status, body.decode("utf-8", "replace"), response.headers.get("Date", "")


async def _operator(config: Config) -> Outcome:
    if not config.http.operator_listen:
        return skipped("there is no http.operator_listen: /healthz and /readyz are on the public listener")
    host, port = split_host_port(config.http.operator_listen)
    found = f"/healthz and /readyz are at {host}:{port}"
    remedy = "Let http.operator_listen be an address that only operators reach."
    if is_wildcard(host):
        return warning(f"{found}, on every address of this machine", remedy)
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_global:
            return failed(f"{found}, a public address", remedy)
    return ok(found)
