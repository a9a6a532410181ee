"""Who does a core that we reach by TLS say it is, and do we believe that?"""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from functools import partial
from typing import Any

from gateway.doctor.base import SOON, Check, Outcome, failed, ok, warning
from gateway.doctor.patient import Patient
from gateway.siptransports import SECURE, sip_tls
from sipstack.net.resolver import Resolver, Target
from sipstack.net.tls import proven
from sipstack.sip.certificate import identities

ALERTS = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "UNKNOWN_CA")
"""Parts of what OpenSSL says when a server wants a certificate of ours, or another one."""

HANDSHAKE_TIMEOUT = 3.0
"""Seconds that the core has for a handshake; it needs some milliseconds."""

CLIENT_REMEDY = "Does the core want a certificate of ours? Set sip.certificate and sip.key to one that it believes."


def certificate_check(patient: Patient) -> Check:
    """Return the check of the core's certificate."""
    return Check("core.certificate", f"shake hands with {patient.proxy} by TLS", partial(_certificate, patient))


async def _certificate(patient: Patient) -> Outcome:
    config, proxy = patient.config, patient.proxy
    tls = sip_tls(config)
    assert tls is not None, "the core is reached by TLS"
    resolver = Resolver(transports=tuple(SECURE), families=("AAAA",) if config.sip.bind.startswith("[") else ("A",))
    target = (await resolver.resolve(proxy))[0]
    is_web = target.transport == "WSS"
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT):
            _, writer = await asyncio.open_connection(
                target.host, target.port, ssl=tls.web if is_web else tls.client, server_hostname=target.name
            )
    except ssl.SSLCertVerificationError as error:
        return _distrusted(target, error)
    except ssl.SSLError as error:
        wants_ours = any(alert in str(error).upper().replace(" ", "_") for alert in ALERTS)
        remedy = CLIENT_REMEDY if wants_ours else "Does the core speak TLS at this port?"
        return failed(f"no TLS with {_place(target)}: {error.reason or error}", remedy)
    except TimeoutError:
        return failed(f"no TLS with {_place(target)}: no answer", "Does the core speak TLS at this port?")
    except OSError as error:
        return failed(f"{_place(target)} cannot be reached: {error}", "Is core.outbound_proxy right?")
    certificate = writer.get_extra_info("ssl_object").getpeercert() or {}
    is_right = is_web or proven(writer.transport, target.name) is not None
    writer.transport.abort()
    if not is_right:
        names = ", ".join(identities(certificate)) or "no domain"
        remedy = "Let core.outbound_proxy have a name that is in the core's certificate (RFC 5922: no wildcards)."
        return failed(f"the core's certificate is for {names}, not for {target.name}", remedy)
    return _judge_age(target.name, certificate)


def _judge_age(name: str, certificate: dict[str, Any]) -> Outcome:
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    text = f"the core's certificate is good for {name} until {until:%Y-%m-%d}"
    if until - datetime.now(UTC) < SOON:
        return warning(text, "Have who runs the core renew it.")
    return ok(text)


def _distrusted(target: Target, error: ssl.SSLCertVerificationError) -> Outcome:
    text = f"we do not believe {_place(target)}: {error.verify_message}"
    if "expired" in error.verify_message:
        return failed(text, "Have who runs the core renew its certificate.")
    if "mismatch" in error.verify_message:
        return failed(text, "Let core.outbound_proxy have a name that is in the core's certificate.")
    return failed(text, "Let sip.ca_file be a PEM file of who signs the core's certificate.")


def _place(target: Target) -> str:
    return f"{target.host}:{target.port}"
