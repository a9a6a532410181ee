"""What has to make sense together in the tables of provisioning and interaction drivers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from gateway.config.provisioning import HttpCallSection, HttpServiceSection
from gateway.config.settings import Config
from gateway.database import DatabaseUrl
from gateway.interaction.http import NAMES as INTERACTION_NAMES
from gateway.placeholders import PlaceholderError, check_templates, placeholders
from gateway.provisioning.http import NAMES, SECRETS

Problem = tuple[str, str]
"""A dotted key and what is wrong with its value."""


def provisioning_rules(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the first registration."""
    section = config.provisioning
    match section.driver:
        case "lab" if not section.lab.url:
            yield "provisioning.lab.url", "is missing: the administration of the lab core"
        case "kamailio" if not section.kamailio.database:
            yield "provisioning.kamailio.database", "is missing: URL of the database, or path of the SQLite file"
        case "pyhss":
            yield from _pyhss(config)
        case "pool":
            yield from _pool(config)
        case "http":
            yield from _service(config, "provisioning.http", section.http, NAMES)
        case _:
            pass
    if section.kamailio.database:
        yield from _kamailio(config)
    if section.retry.first > section.retry.longest:
        yield "provisioning.retry.first", "is longer than the longest pause"


def interaction_rules(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the second registration."""
    section = config.interaction
    if section.driver == "http":
        yield from _service(config, "interaction.http", section.http, INTERACTION_NAMES)
        if section.http.list.path:
            yield "interaction.http.list", "is not used: no list tells which type an account belongs to"
    if section.driver == "sip":
        if not section.sip.identity:
            yield "interaction.sip.identity", "is missing: the identity that the gateway registers guests as"
        for kind in config.policy.types:
            if not getattr(section.sip, kind):
                yield f"interaction.sip.{kind}", f'is missing: the server for policy.types = "{kind}"'
        if section.sip.expires < config.policy.max_valid_for:
            yield "interaction.sip.expires", "is shorter than policy.max_valid_for: servers would forget guests"
    elif section.sip.im or section.sip.file:
        yield "interaction.sip", 'is not used: interaction.driver is not "sip"'


def _kamailio(config: Config) -> Iterator[Problem]:
    key, section = "provisioning.kamailio", config.provisioning.kamailio
    try:
        url = DatabaseUrl.parse(section.database, config.file("."))
    except ValueError as error:
        yield f"{key}.database", str(error)
        return
    if url.kind == "sqlite":
        yield from _missing(config, f"{key}.database", url.name)
    yield from _missing(config, f"{key}.database", url.ca_file)
    yield from _missing(config, f"{key}.password_file", section.password_file)
    if section.password_file and url.password:
        yield f"{key}.password_file", "and a password in the URL cannot both be set"


def _pyhss(config: Config) -> Iterator[Problem]:
    section = config.provisioning.pyhss
    if not section.url:
        yield "provisioning.pyhss.url", "is missing: the REST interface of PyHSS"
    template = config.accounts.template
    if re.search(r"[^0-9]", template.replace("{serial}", "")) or "{serial}" not in template:
        yield (
            "accounts.template",
            'must be digits and {serial} for PyHSS, such as "00101999{serial}": IMSIs are numbers',
        )
    if config.accounts.impi != "{user}" and not config.accounts.impi.startswith("{user}@"):
        yield "accounts.impi", "must begin with {user} for PyHSS: the user part is the IMSI"
    yield from _missing(config, "provisioning.pyhss.key_file", section.key_file)
    yield from _missing(config, "provisioning.pyhss.ca_file", section.ca_file)


def _pool(config: Config) -> Iterator[Problem]:
    file = config.provisioning.pool.file
    if not file:
        yield "provisioning.pool.file", "is missing: the CSV file with the accounts"
    yield from _missing(config, "provisioning.pool.file", file)
    if config.users.driver == "http" and config.users.http.allocate:
        yield "users.http.allocate", 'and provisioning.driver = "pool" cannot both name accounts'


def _service(config: Config, key: str, section: HttpServiceSection, names: Collection[str]) -> Iterator[Problem]:
    url = urlsplit(section.url)
    if not section.url:
        yield f"{key}.url", "is missing: where the service is"
    elif url.scheme == "http" and not _is_loopback(url.hostname or ""):
        yield f"{key}.url", "must be https outside of this machine: it is told secrets"
    if section.token_file and section.username:
        yield f"{key}.token_file", "and username cannot both be set"
    if bool(section.username) != bool(section.password_file):
        yield f"{key}.username", "needs password_file, and password_file needs a username"
    for name in ("token_file", "password_file", "ca_file"):
        yield from _missing(config, f"{key}.{name}", getattr(section, name))
    for name in ("create", "delete"):
        if not getattr(section, name).path:
            yield f"{key}.{name}.path", "is missing: what comes behind the url"
    for name in ("create", "delete", "exists"):
        yield from _call(f"{key}.{name}", getattr(section, name), names)
    yield from _path(f"{key}.list.path", section.list.path)


def _call(key: str, call: HttpCallSection, names: Collection[str]) -> Iterator[Problem]:
    if call.form and call.json:
        yield f"{key}.form", "and json cannot both be the body"
    for name in ("path", "query", "form", "json"):
        value = getattr(call, name)
        try:
            check_templates(value, names if key.endswith("create") else set(names) - SECRETS)
        except PlaceholderError as error:
            yield f"{key}.{name}", str(error)
        if name in ("path", "query") and (secret := SECRETS & set(placeholders(value))):
            yield f"{key}.{name}", f"must not hold {{{min(secret)}}}: addresses end in logs"
    yield from _path(f"{key}.path", call.path)


def _path(key: str, path: str) -> Iterator[Problem]:
    if path and (not path.startswith("/") or "?" in path):
        yield key, 'must begin with "/", and has a query of its own: query = { name = "value" }'


def _missing(config: Config, key: str, name: str) -> Iterator[Problem]:
    if name and not config.file(name).is_file():
        yield key, f"there is no file {config.file(name)}"


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
