"""Can our certificates be used, for how long, and for the names that we tell?"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from gateway.config.settings import Config, split_host_port
from gateway.doctor.base import SOON, Check, Outcome, failed, ok, warning
from gateway.doctor.msrp import addresses


def certificate_checks(config: Config) -> list[Check]:
    """Return a check for each certificate that is configured."""
    checks = []
    certificate, key = config.http_files
    if certificate is not None:
        host = urlsplit(config.gateway.public_url).hostname or ""
        checks.append(_check("http", certificate, key, host))
    certificate, key, _ = config.sip_files
    if certificate is not None:
        host, _ = split_host_port(config.sip.advertise or config.sip.bind)
        checks.append(_check("sip", certificate, key, host))
    certificate, key, _ = config.msrp_files
    if certificate is not None:
        checks.append(_check("msrp", certificate, key, addresses(config)[1][0]))
    return checks


def _check(seam: str, certificate: Path, key: Path | None, host: str) -> Check:
    work = partial(asyncio.to_thread, examine_certificate, seam, certificate, key, host, datetime.now(UTC))
    return Check(f"certificates.{seam}", f"read {seam}.certificate and its key", work)


def examine_certificate(seam: str, certificate: Path, key: Path | None, host: str, now: datetime) -> Outcome:
    """Tell whether a PEM file has a certificate for ``host`` that is good now, and its key fits."""
    keys = f"{seam}.certificate and {seam}.key"
    try:
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        return failed(f"{certificate}: {error}", f"Let {seam}.certificate be a PEM file with the certificate first.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        return failed(f"{key or certificate}: the key does not fit or cannot be read: {error}", f"Renew {keys}.")
    until = parsed.not_valid_after_utc
    if until < now:
        return failed(f"{certificate} has expired on {until:%Y-%m-%d}", f"Renew {keys}.")
    if parsed.not_valid_before_utc > now:
        return failed(
            f"{certificate} is not valid before {parsed.not_valid_before_utc:%Y-%m-%d}", "Is our clock right?"
        )
    names = names_of(parsed)
    if not any(_matches(name, host) for name in names):
        text = f"{certificate} is for {', '.join(names) or 'nobody'}, not for {host}"
        if seam == "sip":  # who connects to an address of ours may know us by another name
            return warning(text, "Get one for sip.advertise, or for the name by which the core connects to us.")
        if seam == "msrp":  # most peers compare the fingerprint in the SDP
            return warning(text, "Get one for msrp.advertise if peers check names.")
        return failed(text, "Get a certificate for the host of gateway.public_url, or correct that.")
    if until - now < SOON:
        return warning(f"{certificate} expires on {until:%Y-%m-%d}", f"Renew {keys}.")
    return ok(f"{certificate} is good for {host} until {until:%Y-%m-%d}")


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses that a certificate is for (:rfc:`6125`: its subject does not count)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    uris = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith("sip:")]
    return [*names.get_values_for_type(x509.DNSName), *addresses, *uris]


def _matches(name: str, host: str) -> bool:
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(host)
    except ValueError:
        pass
    name, host = name.lower(), host.lower()
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:]
    return name == host
