"""Do the names in the configuration have addresses?"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

from gateway.app import endpoint_config
from gateway.config.settings import Config, split_host_port
from gateway.database import DatabaseUrl
from gateway.doctor.base import Check, Outcome, failed, ok
from gateway.doctor.patient import Patient
from sipstack.msrp.uri import MsrpUri
from sipstack.net.resolver import Resolver, numeric_host
from sipstack.sip.uri import Uri

REMEDY = "Correct the name, or give it an address in DNS (or /etc/hosts)."


def name_checks(patient: Patient) -> list[Check]:
    """Return a check for each name; addresses need none."""
    config = patient.config
    checks = []
    for key, host in hosts_of(config):
        if host and numeric_host(host) is None:
            checks.append(Check(f"dns.{key}", f"look {host} up", partial(_look_up, host), REMEDY))
    for key, uri in sip_uris_of(config):
        if numeric_host(uri.host_port[0]) is None:
            remedy = f"{REMEDY} Without a port, NAPTR and SRV records are looked for first (RFC 3263)."
            checks.append(Check(f"dns.{key}", f"look {uri} up as SIP does", partial(_locate, patient, uri), remedy))
    return checks


def hosts_of(config: Config) -> Iterator[tuple[str, str]]:
    """Yield key and host of everything that is used now and is no SIP URI."""
    yield "gateway.public_url", urlsplit(config.gateway.public_url).hostname or ""
    for seam, address in (("sip", config.sip.advertise), ("msrp", config.msrp.advertise)):
        if address:
            yield f"{seam}.advertise", split_host_port(address)[0]
    for relay in config.msrp.relays:
        yield "msrp.relays", MsrpUri.parse(relay).host.strip("[]")
    delivery = config.delivery
    yield "delivery.email.host", delivery.email.host
    if delivery.sms.driver == "smpp":
        yield "delivery.smpp.host", delivery.smpp.host
    if delivery.sms.driver == "http":
        yield "delivery.sms_http.url", urlsplit(delivery.sms_http.url).hostname or ""
    if delivery.mms.driver == "mm7":
        yield "delivery.mm7.url", urlsplit(delivery.mm7.url).hostname or ""
    for seam, section in (("users", config.users), ("provisioning", config.provisioning)):
        if section.driver == "kamailio":
            yield f"{seam}.kamailio.database", _database_host(section.kamailio.database)
    for seam, chosen in (
        ("users", config.users),
        ("provisioning", config.provisioning),
        ("interaction", config.interaction),
    ):
        if chosen.driver == "http":
            yield f"{seam}.http.url", urlsplit(chosen.http.url).hostname or ""
    if config.provisioning.driver == "pyhss":
        yield "provisioning.pyhss.url", urlsplit(config.provisioning.pyhss.url).hostname or ""


def sip_uris_of(config: Config) -> Iterator[tuple[str, Uri]]:
    """Yield key and URI of the SIP servers that requests go to. The home domain is one where there is no proxy."""
    for number, proxy in enumerate(config.proxies):
        yield "core.alternatives" if number else "core.outbound_proxy", Uri.parse(proxy)
    if not config.proxies:
        yield "core.domain", Uri.parse(f"sip:{config.core.domain}")
    if config.interaction.driver == "sip":
        for kind, server in (("im", config.interaction.sip.im), ("file", config.interaction.sip.file)):
            if server:
                yield f"interaction.sip.{kind}", Uri.parse(server)


def _database_host(text: str) -> str:
    try:
        return DatabaseUrl.parse(text).host
    except ValueError:
        return ""


async def _look_up(host: str) -> Outcome:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return failed(f"{host} has no address: {error}")
    return ok(", ".join(dict.fromkeys(str(address[0]) for *_, address in found)))


async def _locate(patient: Patient, uri: Uri) -> Outcome:
    settings = endpoint_config(patient.config)
    resolver = Resolver(transports=settings.transports, families=settings.families, name_servers=settings.name_servers)
    targets = await resolver.resolve(uri)
    return ok(", ".join(f"{target.transport} {target.host}:{target.port}" for target in targets))
