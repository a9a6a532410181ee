"""What has to make sense together in the tables of users drivers, and between them and the policy."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.settings import Config
from gateway.config.users import Subscriber
from gateway.database import DatabaseUrl

Problem = tuple[str, str]
"""A dotted key and what is wrong with its value."""


def user_rules(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the chosen driver, and what the policy wants of it that it can't tell."""
    users = config.users
    if users.driver == "register" and not users.register.domains:
        yield "users.register.domains", "is missing: only subscribers of configured domains are asked about"
    if users.driver == "kamailio":
        yield from _kamailio(config)
    if users.driver == "http":
        yield from _http(config)
    if users.driver != "local" and users.subscriber:
        yield "users.subscriber", "belongs to the local driver"
    yield from _subscribers(users.subscriber)
    yield from _policy(config)


def _kamailio(config: Config) -> Iterator[Problem]:
    kamailio = config.users.kamailio
    if not kamailio.database:
        yield "users.kamailio.database", "is missing: URL of the database, or path of the SQLite file"
        return
    try:
        url = DatabaseUrl.parse(kamailio.database, config.file("."))
    except ValueError as error:
        yield "users.kamailio.database", str(error)
        return
    if url.kind == "sqlite" and not config.file(url.name).is_file():
        yield "users.kamailio.database", f"there is no file {config.file(url.name)}"
    if kamailio.password_file and url.password:
        yield "users.kamailio.password_file", "and a password in the URL cannot both be set"
    if kamailio.password_file and not config.file(kamailio.password_file).is_file():
        yield "users.kamailio.password_file", f"there is no file {config.file(kamailio.password_file)}"
    if kamailio.states and not kamailio.state:
        yield "users.kamailio.states", "needs users.kamailio.state: the column with these words"


def _http(config: Config) -> Iterator[Problem]:
    http = config.users.http
    url = urlsplit(http.url)
    if not http.url:
        yield "users.http.url", "is missing: where the UP Center is"
    elif url.scheme == "http" and not _is_loopback(url.hostname or ""):
        yield "users.http.url", "must be https outside of this machine: it is told passwords"
    if http.token_file and http.username:
        yield "users.http.token_file", "and username cannot both be set"
    if bool(http.username) != bool(http.password_file):
        yield "users.http.username", "and users.http.password_file go together"
    for key in ("ca_file", "token_file", "password_file"):
        name: str = getattr(http, key)
        if name and not config.file(name).is_file():
            yield f"users.http.{key}", f"there is no file {config.file(name)}"


def _subscribers(subscribers: tuple[Subscriber, ...]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, subscriber in enumerate(subscribers):
        for name in {subscriber.uid, *subscriber.identities}:
            if seen.setdefault(name, number) != number:
                yield "users.subscriber", f"has {name!r} twice"
        for identity in subscriber.identities:
            if not identity.startswith(("sip:", "sips:", "tel:")):
                yield "users.subscriber", f"identity {identity!r} of {subscriber.uid} is neither a SIP nor a tel URI"
        if not any(identity.startswith(("sip:", "sips:")) for identity in subscriber.identities):
            yield "users.subscriber", f"{subscriber.uid} needs a SIP identity"


def _policy(config: Config) -> Iterator[Problem]:
    """Refuse a policy by state or level with a driver that can't tell it; import paths have to know themselves."""
    policy, driver = config.policy, config.users.driver
    lacking = _cannot_tell(config)
    needs = {
        f'policy.invite = "{policy.invite}"': {"any": (), "active": ("state",), "level": ("state", "level")}[
            policy.invite
        ],
        f'policy.on_suspend = "{policy.on_suspend}"': ("state",) if policy.on_suspend == "end" else (),
    }
    for rule, wanted in needs.items():
        missing = [word for word in wanted if word in lacking]
        if missing:
            how = f"; set users.kamailio.{missing[0]}" if driver == "kamailio" else ""
            key, _, value = rule.partition(" = ")
            yield key, f"cannot be {value} with the {driver} driver, which does not tell the {_joined(missing)}{how}"


def _cannot_tell(config: Config) -> frozenset[str]:
    match config.users.driver:
        case "register":
            return frozenset({"state", "level"})
        case "kamailio":
            return frozenset(key for key in ("state", "level") if not getattr(config.users.kamailio, key))
        case _:
            return frozenset()


def _joined(words: list[str]) -> str:
    return " and the ".join(words)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
