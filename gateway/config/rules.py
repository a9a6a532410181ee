"""What has to make sense together in a configuration, key by key."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from gateway.config.channelrules import channel_rules
from gateway.config.deliveryrules import delivery_rules
from gateway.config.filerules import content_rules
from gateway.config.provisioningrules import interaction_rules, provisioning_rules
from gateway.config.settings import Config, split_host_port
from gateway.config.userrules import user_rules
from gateway.sims import SimError, SimKeys
from sipstack.msrp.relay import chain_fault
from sipstack.msrp.uri import MsrpUri
from translators.identifiers import TemplateError, check_template

Problem = tuple[str, str]
"""A dotted key and what is wrong with its value."""

MAX_THUMBNAIL = 1 << 20
"""Octets of a thumbnail; the embedded core and Kamailio take SIP messages of some MiB over TCP, others much less."""

MAX_HEADER = 256
"""Characters of a header that the operator adds to all requests; they count in the 1300 octets of a datagram."""

OWN_HEADERS = frozenset(
    {"p-preferred-identity", "p-asserted-identity", "p-preferred-service", "p-asserted-service", "p-associated-uri"}
)
"""Lower case: who we are and what we ask for depends on the request."""

KNOWN_DRIVERS = {
    "users": ("local", "register", "kamailio", "http"),
    "provisioning": ("none", "lab", "kamailio", "pyhss", "pool", "http"),
    "interaction": ("none", "sip", "http"),
}
"""Drivers that come with the gateway; everything with a colon is an import path."""


def broken_rules(config: Config) -> Iterator[Problem]:
    """Yield what each rule has to say, in the order of the table below."""
    for rule in RULES:
        yield from rule(config)


def _core(config: Config) -> Iterator[Problem]:
    if not config.core.domain:
        yield "core.domain", "is missing: the home domain of the IMS core"
    if not config.core.outbound_proxy:
        yield "core.outbound_proxy", "is missing: SIP goes to the core's hops only"
    if len(set(config.proxies)) < len(config.proxies):
        yield "core.alternatives", "names an outbound proxy twice"
    if config.core.alternatives and not config.core.outbound_proxy:
        yield "core.alternatives", "needs core.outbound_proxy, the first of them"
    secret = config.core.service_password or config.core.service_password_file
    sim = config.core.service_sim_file
    if config.core.service_account and not secret and not sim:
        yield "core.service_account", "needs service_password, service_password_file or service_sim_file"
    if (secret or sim) and not config.core.service_account:
        yield "core.service_account", "is missing, but there is a password for it"
    yield from _headers(config.core.headers)
    if config.core.inviter_events and not config.core.service_account:
        yield "core.inviter_events", "needs core.service_account: a guest may not watch an inviter's registration"
    if secret and sim:
        yield "core.service_sim_file", "and a password cannot both be set"
    if sim and config.file(sim).is_file():
        yield from _sim_file(config)


def _headers(headers: dict[str, str]) -> Iterator[Problem]:
    for name, value in headers.items():
        key = f"core.headers.{name}"
        if not re.fullmatch(r"(P|X|Cellular)-[A-Za-z0-9-]{1,60}", name, re.IGNORECASE):
            yield key, "is no header that a core may want beside ours: P-…, X-…, Cellular-…"
        elif name.lower() in OWN_HEADERS:
            yield key, "is written by the gateway itself"
        if not value or len(value) > MAX_HEADER or not value.isprintable():
            yield key, f"must be one line of 1 to {MAX_HEADER} printable characters"


def _sim_file(config: Config) -> Iterator[Problem]:
    try:
        SimKeys.from_file(config.file(config.core.service_sim_file))
    except (SimError, OSError) as error:
        yield "core.service_sim_file", f"cannot be used: {error}"


def _drivers(config: Config) -> Iterator[Problem]:
    for section, known in KNOWN_DRIVERS.items():
        driver: str = getattr(config, section).driver
        if ":" not in driver and driver not in known:
            yield f"{section}.driver", f"is none of {', '.join(known)} and no import path such as package.module:Class"


def _policy(config: Config) -> Iterator[Problem]:
    policy = config.policy
    if policy.valid_for > policy.max_valid_for:
        yield "policy.valid_for", "is longer than policy.max_valid_for"
    if policy.min_level and policy.invite != "level":
        yield "policy.min_level", 'counts with invite = "level" only'


def _accounts(config: Config) -> Iterator[Problem]:
    template, impi = config.accounts.template, config.accounts.impi
    if "{user}" not in impi or re.search(r"[{}]", re.sub(r"\{(user|domain|realm)\}", "", impi)):
        yield "accounts.impi", "must hold {user}; only {domain} and {realm} may stand there too"
    if template:
        try:
            check_template(template)
        except TemplateError as error:
            yield "accounts.template", str(error)


def _spool(config: Config) -> Iterator[Problem]:
    files = config.files
    if files.max_size > files.guest_bytes:
        yield "files.max_size", "is more than files.guest_bytes: no guest could have such a file"
    if files.guest_bytes > files.max_spool:
        yield "files.guest_bytes", "is more than files.max_spool"
    if files.thumbnail_max_size > MAX_THUMBNAIL:
        yield "files.thumbnail_max_size", f"is more than {MAX_THUMBNAIL}: thumbnails travel inside an INVITE"
    if not files.allow:
        yield "files.allow", 'is empty: nothing could be sent; "*/*" is everything'
    if files.retry.first > files.retry.longest:
        yield "files.retry.first", "is longer than the longest pause"
    if config.spool.exists() and not config.spool.is_dir():
        yield "files.folder", f"{config.spool} is no folder"
    if files.content.prefer and files.content.server == "off":
        yield "files.content.prefer", "needs files.content.server"


def _delivery(config: Config) -> Iterator[Problem]:
    email = config.delivery.email
    if email.host and not email.sender:
        yield "delivery.email.sender", "is missing: the address that mails come from"
    if email.sender and ("@" not in email.sender or not email.sender.isascii()):
        yield "delivery.email.sender", "is not an e-mail address"
    secret = email.password or email.password_file
    if bool(email.username) != bool(secret):
        yield "delivery.email.username", "needs a password, and a password needs a username"
    if email.password and email.password_file:
        yield "delivery.email.password_file", "and password cannot both be set"
    if secret and email.security == "none" and not _is_loopback(email.host):
        yield "delivery.email.security", 'must be "starttls" or "tls" to send a password to another host'


def _listeners(config: Config) -> Iterator[Problem]:
    http = config.http
    if bool(http.certificate) != bool(http.key):
        yield "http.certificate", "and http.key go together"
    msrp = config.msrp
    if bool(msrp.certificate) != bool(msrp.key):
        yield "msrp.certificate", "and msrp.key go together"
    if bool(config.sip.certificate) != bool(config.sip.key):
        yield "sip.certificate", "and sip.key go together"
    if config.sip.certificate and config.sip.bind.endswith(f":{config.sip.tls_port or 'any'}"):
        yield "sip.tls_port", "is the port of sip.bind: TLS needs one of its own"
    if config.sip.tls_clients in ("ask", "require") and not config.sip.ca_file:
        yield "sip.tls_clients", "needs sip.ca_file: who signs the certificates of those who connect"
    if msrp.security != "answer" and not msrp.certificate:
        yield "msrp.security", "needs msrp.certificate"
    fault = chain_fault([MsrpUri.parse(uri) for uri in msrp.relays])
    if fault is not None:
        yield "msrp.relays", f"cannot be used: {fault}"
    if msrp.relays and msrp.security != "answer":
        yield "msrp.security", "is decided by the relays: msrps:// in msrp.relays means TLS"
    if http.operator_listen and http.operator_listen == http.listen:
        yield "http.operator_listen", "is the public listener too"
    if not (config.sip.udp or config.sip.tcp):
        yield "sip.udp", "and sip.tcp cannot both be off"
    for section in ("sip", "msrp"):
        bind, advertise = getattr(config, section).bind, getattr(config, section).advertise
        if not bind:
            yield f"{section}.bind", "is missing"
        elif split_host_port(bind)[0] in ("0.0.0.0", "::") and not advertise:
            yield f"{section}.advertise", "is missing: peers cannot reach a wildcard address"
    if not http.listen:
        yield "http.listen", "is missing"
    url = urlsplit(config.gateway.public_url)
    if url.scheme == "http" and not _is_loopback(url.hostname or "") and not http.trusted_proxies:
        yield "gateway.public_url", "must be https outside of this machine: links carry a secret"


def _session_timers(config: Config) -> Iterator[Problem]:
    if 0 < config.sip.session_expires < config.sip.min_se:
        yield "sip.session_expires", "must be 0 or at least sip.min_se"


def _certificate(config: Config) -> Iterator[Problem]:
    files = {
        "http.certificate": config.http_files,
        "sip.certificate": config.sip_files[:2],
        "msrp.certificate": config.msrp_files[:2],
    }
    for name, (certificate, key) in files.items():
        if certificate is None or key is None or not (certificate.is_file() and key.is_file()):
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        except OSError as error:
            reason = getattr(error, "reason", None) or error.strerror
            yield name, f"{certificate} is no certificate (PEM) with its key in {key}: {reason}"


def _files(config: Config) -> Iterator[Problem]:
    names = {
        "http.certificate": config.http.certificate,
        "http.key": config.http.key,
        "sip.certificate": config.sip.certificate,
        "sip.key": config.sip.key,
        "sip.ca_file": config.sip.ca_file,
        "msrp.certificate": config.msrp.certificate,
        "msrp.key": config.msrp.key,
        "msrp.ca_file": config.msrp.ca_file,
        "client.logo": config.client.logo,
        "core.service_password_file": config.core.service_password_file,
        "core.service_sim_file": config.core.service_sim_file,
        "delivery.email.password_file": config.delivery.email.password_file,
        "delivery.email.ca_file": config.delivery.email.ca_file,
    }
    for key, name in names.items():
        if name and not config.file(name).is_file():
            yield key, f"there is no file {config.file(name)}"


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


RULES: tuple[Callable[[Config], Iterator[Problem]], ...] = (
    _core,
    _drivers,
    user_rules,
    _policy,
    provisioning_rules,
    _accounts,
    interaction_rules,
    _spool,
    _delivery,
    delivery_rules,
    channel_rules,
    _listeners,
    _files,
    content_rules,
    _certificate,
    _session_timers,
)
